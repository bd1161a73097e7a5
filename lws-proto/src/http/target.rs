//! Request targets and `Host`. RFC 9112 §3.2, RFC 9110 §4.
//!
//! Where a target points, not what is there.

use super::{Method, is_visible_ascii};
use core::fmt;

/// A request target, in one of the four forms. RFC 9112 §3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// The path and query on this server. RFC 9112 §3.2.1.
    Origin {
        /// It begins with `/`; escapes are as they came.
        path: &'a str,
        /// What follows the first `?`.
        query: Option<&'a str>,
    },
    /// A whole URI, as it is sent to proxies. It overrides `Host`. RFC 9112 §3.2.2.
    Absolute {
        /// `http`, in whatever case.
        scheme: &'a str,
        /// The server.
        authority: Authority<'a>,
        /// It begins with `/`, or is empty.
        path: &'a str,
        /// What follows the first `?`.
        query: Option<&'a str>,
    },
    /// Where a CONNECT goes. RFC 9112 §3.2.3.
    Authority(Authority<'a>),
    /// `*`: the server as a whole, for OPTIONS. RFC 9112 §3.2.4.
    Asterisk,
}

impl<'a> Target<'a> {
    /// Parses the target of a request with `method`; `None` if the method does not allow its form.
    ///
    /// Every visible ASCII character but `#` passes in a path or query: clients do not escape all that RFC 3986
    /// asks them to.
    #[must_use]
    pub fn parse(method: Method, target: &'a str) -> Option<Self> {
        if method == Method::Connect {
            let authority = Authority::parse(target)?;
            // RFC 9110 §9.3.6: "A server MUST reject a CONNECT request that targets an empty or invalid port number".
            return (authority.port().is_some() && !authority.host.is_empty())
                .then_some(Self::Authority(authority));
        }
        if target == "*" {
            return (method == Method::Options).then_some(Self::Asterisk);
        }
        if !is_visible_ascii(target.as_bytes()) || target.contains('#') {
            return None;
        }
        if target.starts_with('/') {
            let (path, query) = split_query(target);
            return Some(Self::Origin { path, query });
        }
        Self::parse_absolute(target)
    }

    fn parse_absolute(target: &'a str) -> Option<Self> {
        let (scheme, rest) = target.split_once("://")?;
        let (rest, query) = split_query(rest);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority = Authority::parse(authority).filter(|authority| !authority.host.is_empty())?;
        is_scheme(scheme.as_bytes()).then_some(Self::Absolute { scheme, authority, path, query })
    }

    /// Whether `target` could be parsed for `method`: the same question, asked of every request.
    #[inline]
    pub(crate) fn is_valid(method: Method, target: &[u8]) -> bool {
        match target {
            [b'/', rest @ ..] if method != Method::Connect => {
                rest.iter().all(|&byte| TARGET[usize::from(byte)])
            }
            _ => core::str::from_utf8(target).is_ok_and(|target| Target::parse(method, target).is_some()),
        }
    }

    /// The path, with its escapes; `/` for an absolute form without one, empty for the forms that have none.
    #[must_use]
    pub fn path(&self) -> &'a str {
        match *self {
            Self::Absolute { path: "", .. } => "/",
            Self::Origin { path, .. } | Self::Absolute { path, .. } => path,
            Self::Authority(_) | Self::Asterisk => "",
        }
    }

    /// What follows the first `?`, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        match *self {
            Self::Origin { query, .. } | Self::Absolute { query, .. } => query,
            Self::Authority(_) | Self::Asterisk => None,
        }
    }

    /// The server that the target itself names, which overrides `Host`.
    #[must_use]
    pub fn authority(&self) -> Option<Authority<'a>> {
        match *self {
            Self::Absolute { authority, .. } | Self::Authority(authority) => Some(authority),
            Self::Origin { .. } | Self::Asterisk => None,
        }
    }
}

#[inline]
pub(super) fn split_query(text: &str) -> (&str, Option<&str>) {
    match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    }
}

/// `uri-host [ ":" port ]`: the value of `Host`, and the authority of a target. RFC 9110 §7.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// Invariant: a `reg-name`, an IPv4 address, or an IP literal with its brackets; or empty, and then without port.
    host: &'a str,
    port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Parses `Host` or an authority. Empty is allowed, as `Host` may be; userinfo is not. RFC 9110 §4.2.4.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let end = host_len(text.as_bytes())?;
        let (host, rest) = text.split_at_checked(end)?;
        let port = match rest.as_bytes() {
            [] | [b':'] => None,
            [b':', digits @ ..] => Some(port(digits)?),
            _ => return None,
        };
        (end > 0 || rest.is_empty()).then_some(Self { host, port })
    }

    /// Whether `bytes` could be parsed: the same question, asked of every request.
    #[inline]
    pub(crate) fn is_valid(bytes: &[u8]) -> bool {
        let Some(end) = host_len(bytes) else { return false };
        match &bytes[end..] {
            [] => true,
            [b':', digits @ ..] => end > 0 && (digits.is_empty() || port(digits).is_some()),
            _ => false,
        }
    }

    /// The host as it was written, an IPv6 address with its brackets. Names are compared without regard to case.
    #[must_use]
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// The port, if one was written.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

/// As in `Host`: the host, and behind a colon the port, if one was written.
impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Whether it is a `scheme`. RFC 3986 §3.1.
#[inline]
pub(crate) fn is_scheme(scheme: &[u8]) -> bool {
    let continues = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    matches!(scheme, b"http" | b"https")
        || scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(continues)
}

/// Visible ASCII, but not the beginning of a fragment.
static TARGET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = byte != b'#';
        byte += 1;
    }
    table
};

/// `reg-name` without its escapes, and IPv4 addresses, which look the same. RFC 3986 §3.2.2.
static REG_NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric()
            || matches!(
                byte as u8,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
            );
        byte += 1;
    }
    table
};

/// How many of `bytes` are the host. RFC 3986 §3.2.2.
#[inline]
fn host_len(bytes: &[u8]) -> Option<usize> {
    if bytes.first() == Some(&b'[') {
        return literal_len(bytes);
    }
    // Hardly any name has escapes: those before the first one need no look behind.
    let plain = bytes.iter().position(|&byte| !REG_NAME[usize::from(byte)]).unwrap_or(bytes.len());
    if bytes.get(plain) == Some(&b'%') { escaped_len(bytes, plain) } else { Some(plain) }
}

/// The length of a host in which an escape stands at `at`.
#[cold]
fn escaped_len(bytes: &[u8], mut at: usize) -> Option<usize> {
    while let Some(&byte) = bytes.get(at) {
        if REG_NAME[usize::from(byte)] {
            at += 1;
        } else if byte == b'%' {
            let digits = bytes.get(at + 1..at + 3)?;
            digits.iter().all(u8::is_ascii_hexdigit).then_some(())?;
            at += 3;
        } else {
            break;
        }
    }
    Some(at)
}

/// How many of `bytes` are the host, where it is `"[" ( IPv6address / IPvFuture ) "]"`.
#[cold]
fn literal_len(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|&byte| byte == b']')?;
    let literal = core::str::from_utf8(&bytes[1..end]).ok()?;
    let valid = match literal.strip_prefix(['v', 'V']) {
        Some(future) => future.split_once('.').is_some_and(|(version, address)| {
            let hex = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_hexdigit());
            let rest = address.bytes().all(|byte| REG_NAME[usize::from(byte)] || byte == b':');
            hex && rest && !address.is_empty()
        }),
        None => literal.parse::<core::net::Ipv6Addr>().is_ok(),
    };
    valid.then_some(end + 1)
}

/// `1*DIGIT`, up to 65,535. Leading zeros are digits like others, but five digits are enough.
#[inline]
fn port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 {
        return None;
    }
    let mut number = 0_u32;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u32::from(digit);
    }
    u16::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: Method, target: &str) -> Option<Target<'_>> {
        let parsed = Target::parse(method, target);
        assert_eq!(Target::is_valid(method, target.as_bytes()), parsed.is_some(), "{target:?}");
        parsed
    }

    #[test]
    fn each_form_belongs_to_its_methods() {
        for (method, target, allowed) in [
            (Method::Get, "/", true),
            (Method::Get, "*", false),
            (Method::Options, "*", true),
            (Method::Options, "/", true),
            (Method::Options, "http://a/", true),
            (Method::Get, "a:80", false),
            (Method::Get, "a", false),
            (Method::Get, "", false),
            (Method::Get, "?a", false),
            (Method::Connect, "a:80", true),
            (Method::Connect, "[::1]:443", true),
            (Method::Connect, "a", false),
            (Method::Connect, "a:", false),
            (Method::Connect, ":80", false),
            (Method::Connect, "/", false),
            (Method::Connect, "*", false),
            (Method::Connect, "http://a:80/", false),
            (Method::Other, "/", true),
        ] {
            assert_eq!(parse(method, target).is_some(), allowed, "{method:?} {target:?}");
        }
    }

    #[test]
    fn the_parts_of_a_target_are_found() {
        for (target, path, query, host) in [
            ("/", "/", None, None),
            ("/a/b?c=d?e", "/a/b", Some("c=d?e"), None),
            ("/a?", "/a", Some(""), None),
            ("//a/b", "//a/b", None, None),
            ("http://h", "/", None, Some("h")),
            ("http://h?q", "/", Some("q"), Some("h")),
            ("HTTPS://h:8/p?q/r", "/p", Some("q/r"), Some("h")),
            ("http://[::1]:8/", "/", None, Some("[::1]")),
        ] {
            let parsed = parse(Method::Get, target).expect(target);
            assert_eq!((parsed.path(), parsed.query()), (path, query), "{target:?}");
            assert_eq!(parsed.authority().map(|authority| authority.host()), host, "{target:?}");
        }
    }

    #[test]
    fn no_target_has_fragments_userinfo_or_characters_that_are_not_visible() {
        for target in
            ["/a#b", "/a b", "/\u{e9}", "/\x7f", "http://u@h/", "http://", "http:///p", "1http://h/", "://h/"]
        {
            assert_eq!(parse(Method::Get, target), None, "{target:?}");
        }
    }

    fn check_host(text: &str, expected: Option<(&str, Option<u16>)>) {
        let parsed = Authority::parse(text);
        assert_eq!(parsed.map(|authority| (authority.host(), authority.port())), expected, "{text:?}");
        assert_eq!(Authority::is_valid(text.as_bytes()), expected.is_some(), "{text:?}");
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        check_host("", Some(("", None)));
        check_host("localhost", Some(("localhost", None)));
        check_host("a.example:80", Some(("a.example", Some(80))));
        check_host("a.example:", Some(("a.example", None)));
        check_host("127.0.0.1:65535", Some(("127.0.0.1", Some(65_535))));
        check_host("[::1]", Some(("[::1]", None)));
        check_host("[2001:db8::7]:7681", Some(("[2001:db8::7]", Some(7681))));
        check_host("[v1.a:b]", Some(("[v1.a:b]", None)));
        check_host("a%2Db", Some(("a%2Db", None)));
        for text in [
            ":80",
            "a:65536",
            "a:-1",
            "a:+1",
            "a:8o",
            "a b",
            "a:80:81",
            "u@h",
            "a/b",
            "a?b",
            "a%2",
            "a%zz",
            "[::1",
            "::1",
            "[]",
            "[::g]",
            "[::1]x",
            "[v.a]",
            "[v1.]",
            "a,b c",
            "\u{e9}",
            "a:000080",
            "[fe80::1%25eth0]",
        ] {
            check_host(text, None);
        }
    }
}
