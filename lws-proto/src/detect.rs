//! What the first bytes of a connection are. Decides with as few as it can.

/// The HTTP/2 connection preface. RFC 9113 §3.4.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The longest method that is waited for before the first space: more than any registered one.
const METHOD_BYTES_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detected {
    Http1,
    Http2,
    Raw,
}

/// What `bytes` begin, or `None` if they could still be more than one thing.
pub(crate) fn detect(bytes: &[u8]) -> Option<Detected> {
    let bytes = skip_empty_lines(bytes);
    if bytes.is_empty() || bytes == b"\r" {
        return None;
    }
    if bytes.starts_with(HTTP2_PREFACE) {
        return Some(Detected::Http2);
    }
    if HTTP2_PREFACE.starts_with(bytes) {
        return None;
    }
    // "method SP request-target", where a target begins with "/", "*", a letter, a digit or "[". RFC 9112 §3.
    let method = bytes.iter().take_while(|byte| is_method_byte(**byte)).count();
    match bytes.get(method) {
        None if method < METHOD_BYTES_MAX => None,
        Some(b' ') if (1..=METHOD_BYTES_MAX).contains(&method) => match bytes.get(method + 1) {
            None => None,
            Some(b'/' | b'*' | b'[') => Some(Detected::Http1),
            Some(byte) if byte.is_ascii_alphanumeric() => Some(Detected::Http1),
            Some(_) => Some(Detected::Raw),
        },
        _ => Some(Detected::Raw),
    }
}

/// RFC 9112 §2.2: a server ignores an empty line before the request line.
fn skip_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    bytes
}

/// Registered methods are upper-case letters and hyphens; a token of other bytes is no sign of HTTP.
fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide_and_a_prefix_of_them_waits() {
        let check = |bytes: &[u8], expected: Option<Detected>| {
            assert_eq!(detect(bytes), expected, "{}", bytes.escape_ascii());
            if expected.is_some() {
                // The decision never changes when more bytes come.
                let longer = [bytes, b"xyz \r\n"].concat();
                assert_eq!(detect(&longer), expected, "{}", longer.escape_ascii());
            }
        };
        check(b"", None);
        check(b"\r\n", None);
        check(b"\r\n\r", None);
        check(b"G", None);
        check(b"GET", None);
        check(b"GET ", None);
        check(b"GET /", Some(Detected::Http1));
        check(b"\r\nOPTIONS *", Some(Detected::Http1));
        check(b"CONNECT [", Some(Detected::Http1));
        check(b"VERSION-CONTROL h", Some(Detected::Http1));
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n", None);
        check(HTTP2_PREFACE, Some(Detected::Http2));
        check(b"PRI * HTTP/1.1", Some(Detected::Http1));
        check(b"\x16\x03\x01", Some(Detected::Raw));
        check(b"SSH-2.0-x", Some(Detected::Raw));
        check(b"GET\t/", Some(Detected::Raw));
        check(b"GET  /", Some(Detected::Raw));
        check(&[b'A'; METHOD_BYTES_MAX], Some(Detected::Raw));
    }
}
