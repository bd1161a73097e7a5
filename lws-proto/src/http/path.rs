//! Paths of request targets: their normal form, and the names below a root that they lead through. RFC 3986 §3.3 and §6.2.2.
//!
//! Knows no file system: it answers whether a path stays below its root, not whether anything is there.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

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

/// The one form of all paths that mean the same: what routes are compared with.
///
/// It begins with `/`. Empty and `.` segments vanish, and `..` takes the segment before it away; a `/` at the end stays. Escapes
/// are decoded once, where that changes nothing else: those of `/`, `\` and `%`, of control characters, and of octets that are
/// not UTF-8 stay escapes, in upper case, as decoding them would divide a segment, make another path look like this one, or break
/// a line. So `%2F` is data, and two paths with different normal forms are different. A `\` that is not escaped becomes one.
///
/// `None` if the path would leave the root, or if an escape is not `%` and two hexadecimal digits.
///
/// ```
/// use lws_proto::http::normal_path;
///
/// assert_eq!(normal_path("/a/./b%20c/../%64/").as_deref(), Some("/a/d/"));
/// assert_eq!(normal_path("/a%2fb/%C3%A9%00").as_deref(), Some("/a%2Fb/\u{e9}%00"));
/// assert_eq!(normal_path("/a/%2e%2e/../etc"), None);
/// ```
#[must_use]
pub fn normal_path(path: &str) -> Option<String> {
    let mut normal = String::with_capacity(path.len() + 1);
    let mut segment = Vec::new();
    let mut directory = true;
    for raw in path.strip_prefix('/').unwrap_or(path).split('/') {
        segment.clear();
        decode(raw, &mut segment)?;
        directory = matches!(&segment[..], b"" | b"." | b"..");
        match &segment[..] {
            b"" | b"." => {}
            b".." => normal.truncate(normal.rfind('/')?),
            name => {
                normal.push('/');
                push_normal(name, &mut normal);
            }
        }
    }
    if directory {
        normal.push('/');
    }
    Some(normal)
}

/// `path`, which is in normal form, as it is written in a request target or a location: what would begin a query or a fragment, and what
/// is no ASCII, becomes an escape. A `%` begins an escape already. RFC 3986 §3.3.
///
/// ```
/// use lws_proto::http::{escape_path, normal_path};
///
/// let path = normal_path("/a%3fb/%C3%A9/%2F").expect("a path");
/// assert_eq!(escape_path(&path), "/a%3Fb/%C3%A9/%2F");
/// ```
#[must_use]
pub fn escape_path(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// Appends a decoded segment, with escapes where it needs them.
fn push_normal(name: &[u8], normal: &mut String) {
    let escape = |byte: u8, normal: &mut String| {
        // Writing to a string does not fail.
        let _ = write!(normal, "%{byte:02X}");
    };
    for chunk in name.utf8_chunks() {
        for char in chunk.valid().chars() {
            if matches!(char, '/' | '\\' | '%') || char.is_control() {
                char.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| escape(byte, normal));
            } else {
                normal.push(char);
            }
        }
        chunk.invalid().iter().for_each(|&byte| escape(byte, normal));
    }
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
    fn what_means_the_same_has_one_normal_form() {
        for (path, normal) in [
            ("", "/"),
            ("/", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("//a///b", "/a/b"),
            ("/./a/./b/.", "/a/b/"),
            ("/a/b/..", "/a/"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/a/b/../../c", "/c"),
            ("/%61%20b", "/a b"),
            ("/%C3%A9", "/\u{e9}"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2Fb", "/a%2Fb"),
            ("/..%2fa", "/..%2Fa"),
            ("/%2f", "/%2F"),
            ("/%252f", "/%252f"),
            ("/100%25", "/100%25"),
            ("/a\\b", "/a%5Cb"),
            ("/a%5cb", "/a%5Cb"),
            ("/%00%0d%0A%7f", "/%00%0D%0A%7F"),
            ("/%c2%85", "/%C2%85"),
            ("/%ff%C3", "/%FF%C3"),
            ("/%c0%ae%c0%ae/", "/%C0%AE%C0%AE/"),
            ("/%3f%23", "/?#"),
            ("/a+b", "/a+b"),
        ] {
            assert_eq!(normal_path(path).as_deref(), Some(normal), "{path:?}");
            // It is its own normal form, and leads through the same names.
            assert_eq!(normal_path(normal).as_deref(), Some(normal), "{path:?}");
            assert_eq!(normalize_path(normal), normalize_path(path), "{path:?}");
        }
        for path in
            ["/..", "/../a", "/a/../../b", "/%2e%2e/a", "/.%2E", "/a/%2e%2e/..", "/%", "/%2", "/%zz", "/%+1"]
        {
            assert_eq!(normal_path(path), None, "{path:?}");
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
