//! Paths of request targets as names below a root. RFC 3986 §3.3 and §6.2.2.
//!
//! Knows no file system: it answers whether a path stays below its root, not whether anything is there.

use alloc::string::String;
use alloc::vec::Vec;

/// The names that `path` leads through, decoded, joined by `/` and without the `/` in front.
///
/// Escapes are decoded once. Empty and `.` segments vanish, and `..` takes the segment before it away; a `/` at the end
/// stays. `None` if it would leave the root, if an escape is not `%` and two hexadecimal digits, if the result is not UTF-8,
/// or if a decoded name has a NUL, `/` or `\`, which some file system takes for something else than a part of a name.
///
/// ```
/// use lws_proto::http::normalize_path;
///
/// assert_eq!(normalize_path("/a/./b%20c/../d/").as_deref(), Some("a/d/"));
/// assert_eq!(normalize_path("/a/%2e%2e/%2e%2e/etc"), None);
/// ```
#[must_use]
pub fn normalize_path(path: &str) -> Option<String> {
    let mut names = Vec::with_capacity(path.len());
    let mut directory = true;
    for segment in path.split('/') {
        let start = names.len();
        decode(segment, &mut names)?;
        let name = &names[start..];
        directory = matches!(name, b"" | b"." | b"..");
        match name {
            b"" | b"." => names.truncate(start),
            b".." => {
                let above = names[..start].strip_suffix(b"/")?;
                let above = above.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
                names.truncate(above);
            }
            _ if name.iter().any(|byte| matches!(byte, 0 | b'/' | b'\\')) => return None,
            _ => names.push(b'/'),
        }
    }
    if !directory {
        names.pop();
    }
    String::from_utf8(names).ok()
}

/// Appends `segment` with its escapes decoded. RFC 3986 §2.1.
fn decode(segment: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            _ => byte,
        });
    }
    Some(())
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_names_it_leads_through() {
        for (path, names) in [
            ("/", ""),
            ("", ""),
            ("/a", "a"),
            ("/a/", "a/"),
            ("//a///b", "a/b"),
            ("/./a/./b/.", "a/b/"),
            ("/a/b/..", "a/"),
            ("/a/../b", "b"),
            ("/a/..", ""),
            ("/a/b/../../c", "c"),
            ("/%61%20b", "a b"),
            ("/%C3%A9", "\u{e9}"),
            ("/%25%32%65", "%2e"),
            ("/...", "..."),
            ("/..a/b..", "..a/b.."),
            ("/a+b", "a+b"),
        ] {
            assert_eq!(normalize_path(path).as_deref(), Some(names), "{path:?}");
        }
    }

    #[test]
    fn no_path_leads_out_of_the_root_or_means_two_things() {
        for path in [
            "/..",
            "/../a",
            "/a/../../b",
            "/%2e%2e/a",
            "/.%2E",
            "/a/%2e%2e/..",
            "/%2f",
            "/a%2Fb",
            "/..%2fa",
            "/a%5cb",
            "/a\\b",
            "/%00",
            "/a%00.html",
            "/%",
            "/%2",
            "/%zz",
            "/%+1",
            "/%ff",
            "/%c0%ae%c0%ae/",
            "\\..\\a",
        ] {
            assert_eq!(normalize_path(path), None, "{path:?}");
        }
    }
}
