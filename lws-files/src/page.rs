//! Small pages that are made here: for errors, and what every page needs.
//!
//! Everything that a peer or a file system has named is escaped.

use crate::request::Wants;
use bytes::Bytes;
use lws_proto::http::Status;
use std::fmt::Write as _;

/// A page or a document for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its `Content-Type`.
    pub content_type: &'static str,
    /// Its bytes.
    pub bytes: Bytes,
}

/// What is said of an error: a page, styled by `/error.css`, or problem details (RFC 9457) for programs that ask for JSON.
///
/// ```
/// use lws_files::error_page;
/// use lws_proto::http::Status;
///
/// let page = error_page(Status::NOT_FOUND, false);
/// assert_eq!(page.content_type, "text/html; charset=utf-8");
/// assert!(error_page(Status::NOT_FOUND, true).bytes.starts_with(b"{\"status\":404"));
/// ```
#[must_use]
pub fn error_page(status: Status, json: bool) -> Page {
    let (code, reason) = (status.code(), status.reason());
    if json {
        let bytes = format!("{{\"status\":{code},\"title\":\"{reason}\"}}\n").into();
        return Page { content_type: "application/problem+json", bytes };
    }
    let bytes = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{code} {reason}</title>\n\
         <link rel=\"stylesheet\" href=\"/error.css\">\n</head>\n<body>\n<main>\n<h1>{code}</h1>\n<p>{reason}</p>\n\
         </main>\n</body>\n</html>\n"
    );
    Page { content_type: "text/html; charset=utf-8", bytes: bytes.into() }
}

pub(crate) fn of_error(status: Status, wants: Wants) -> Page {
    error_page(status, wants == Wants::Json)
}

/// Appends `text` as the content of an element or of an attribute in quotes.
pub(crate) fn push_html(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // A name may have them, and a document may not.
            char if char.is_control() => out.push('\u{fffd}'),
            char => out.push(char),
        }
    }
}

/// Appends `text` as the inside of a string of JSON. RFC 8259 §7.
pub(crate) fn push_json(text: &str, out: &mut String) {
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            // `<` as well, so that no page that has it in a script is ended by it.
            char if char.is_control() || char == '<' || char == '\u{2028}' || char == '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
}

/// Appends `name` as one segment of a path. RFC 3986 §3.3.
pub(crate) fn push_segment(name: &str, out: &mut String) {
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(push: fn(&str, &mut String), rows: &[(&str, &str)]) {
        for (text, expected) in rows {
            let mut out = String::new();
            push(text, &mut out);
            assert_eq!(out, *expected, "{text:?}");
        }
    }

    #[test]
    fn no_text_ends_what_it_stands_in() {
        check(
            push_html,
            &[("a<b>&\"'", "a&lt;b&gt;&amp;&quot;&#39;"), ("\n\0", "\u{fffd}\u{fffd}"), ("\u{e9}", "\u{e9}")],
        );
        check(
            push_json,
            &[("\"\\", "\\\"\\\\"), ("\n</script>", "\\u000a\\u003c/script>"), ("\u{2028}", "\\u2028")],
        );
        check(
            push_segment,
            &[
                ("a b:c/d?e#f%", "a%20b%3Ac%2Fd%3Fe%23f%25"),
                ("\u{e9}", "%C3%A9"),
                ("javascript:x", "javascript%3Ax"),
            ],
        );
    }
}
