//! Which pages a browser may ask from: the check of `Origin`. RFC 6454 §7, RFC 6455 §10.2.
//!
//! Knows no route. Whether a request has come to the right server is `hosts.rs`.

use lws_proto::http::{Authority, Head};

/// Pages of which origins may ask for what a page of another must not do: open WebSockets, and use methods that are not safe.
///
/// A browser sends along what it knows of the user, whichever page asks. Requests of others are answered 403, over HTTP/2, too
/// (RFC 8441). Those without `Origin`, which are no browser's, pass. RFC 6454, RFC 6455 §10.2.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// Pages of every origin.
    #[default]
    Any,
    /// Pages of the server's own origin: that of `Host` by the scheme that is spoken here. Behind a proxy that speaks TLS name it
    /// by `SameAnd`.
    Same,
    /// Pages of the server's own origin and of these, such as `https://example.com`. `null` stands for pages without an origin.
    SameAnd(Vec<String>),
    /// Pages of these.
    Only(Vec<String>),
}

impl Origins {
    /// These and the server's own.
    pub(crate) fn and_same(self) -> Self {
        match self {
            Self::Any | Self::Same => Self::Same,
            Self::SameAnd(listed) | Self::Only(listed) => Self::SameAnd(listed),
        }
    }

    /// These and one more.
    pub(crate) fn and(self, origin: &str) -> Self {
        let with = |mut listed: Vec<String>| {
            listed.push(origin.into());
            listed
        };
        match self {
            Self::Any => Self::Only(with(Vec::new())),
            Self::Same => Self::SameAnd(with(Vec::new())),
            Self::SameAnd(listed) => Self::SameAnd(with(listed)),
            Self::Only(listed) => Self::Only(with(listed)),
        }
    }
}

/// The check that [`Origins`] ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OriginGuard {
    /// That of the server itself passes: the scheme, host and port by which the request came.
    same: bool,
    /// These pass, too. Invariant: in normal form.
    listed: Vec<Box<str>>,
}

impl OriginGuard {
    /// The guard for what was stated; `None` where every origin passes.
    ///
    /// # Errors
    /// The first text that is no serialised origin. RFC 6454 §6.2.
    pub(crate) fn new(origins: Option<&Origins>) -> Result<Option<Self>, &str> {
        let (same, listed) = match origins {
            None | Some(Origins::Any) => return Ok(None),
            Some(Origins::Same) => (true, &[][..]),
            Some(Origins::SameAnd(listed)) => (true, &listed[..]),
            Some(Origins::Only(listed)) => (false, &listed[..]),
        };
        let normal = |origin: &'_ String| match Origin::parse(origin) {
            _ if origin == "null" => Some(origin.as_str().into()),
            Some(parsed) => Some(parsed.normal().into()),
            None => None,
        };
        let mut guard = Self { same, listed: Vec::new() };
        for origin in listed {
            guard.listed.push(normal(origin).ok_or(origin.as_str())?);
        }
        Ok(Some(guard))
    }

    /// Whether a request may be answered. `secure` says whether it came by TLS.
    ///
    /// Browsers say where a page comes from with every WebSocket and every method that is not safe. What says nothing is no
    /// browser's, unless `Sec-Fetch-Site` says otherwise; the names that the server answers for keep out clients that a
    /// page can make believe that this is its own server.
    #[inline]
    pub(crate) fn permits_request(&self, head: &Head<'_>, secure: bool) -> bool {
        head.method().is_safe() || self.permits_opening(head, secure)
    }

    /// Whether an opening handshake may be accepted: a page can make one although its method is safe.
    #[cold]
    pub(crate) fn permits_opening(&self, head: &Head<'_>, secure: bool) -> bool {
        let mut values = head.get_all("origin");
        match (values.next(), values.next()) {
            (None, _) => !matches!(head.get("sec-fetch-site"), Some(b"cross-site" | b"same-site")),
            (Some(value), None) => std::str::from_utf8(value).is_ok_and(|text| self.has(text, head, secure)),
            (Some(_), Some(_)) => false,
        }
    }

    fn has(&self, text: &str, head: &Head<'_>, secure: bool) -> bool {
        let Some(origin) = Origin::parse(text) else {
            return text == "null" && self.listed.iter().any(|listed| **listed == *text);
        };
        let own = || {
            let scheme = if secure { "https" } else { "http" };
            head.authority().is_some_and(|authority| origin == Origin { scheme, authority })
        };
        self.same && own() || {
            let normal = origin.normal();
            self.listed.iter().any(|listed| **listed == *normal)
        }
    }
}

/// A scheme, a host and a port. RFC 6454 §4.
#[derive(Clone, Copy, Debug)]
struct Origin<'a> {
    scheme: &'a str,
    authority: Authority<'a>,
}

impl<'a> Origin<'a> {
    /// `scheme "://" host [ ":" port ]`, and nothing behind it. RFC 6454 §6.2.
    fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let first = scheme.bytes().next().is_some_and(|first| first.is_ascii_alphabetic());
        let others = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let authority = Authority::parse(rest).filter(|authority| !authority.host().is_empty())?;
        (first && others).then_some(Self { scheme, authority })
    }

    /// The port that is written or meant.
    fn port(&self) -> Option<u16> {
        let default = match () {
            () if self.scheme.eq_ignore_ascii_case("http") => Some(80),
            () if self.scheme.eq_ignore_ascii_case("https") => Some(443),
            () => None,
        };
        self.authority.port().or(default)
    }

    /// As browsers write it, but always with its port.
    fn normal(&self) -> String {
        let port = self.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{}{port}", self.scheme, self.authority.host()).to_ascii_lowercase()
    }
}

impl PartialEq for Origin<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.scheme.eq_ignore_ascii_case(other.scheme)
            && self.authority.host().eq_ignore_ascii_case(other.authority.host())
            && self.port() == other.port()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for (text, normal) in [
            ("http://a", "http://a:80"),
            ("HTTPS://A.Example", "https://a.example:443"),
            ("https://a:8443", "https://a:8443"),
            ("http://[::1]:7681", "http://[::1]:7681"),
            ("moz-extension://0-1", "moz-extension://0-1"),
        ] {
            assert_eq!(Origin::parse(text).map(|origin| origin.normal()).as_deref(), Some(normal), "{text}");
        }
        for text in [
            "",
            "a",
            "a:80",
            "http:",
            "http://",
            "http://a/",
            "http://a/b",
            "http://u@a",
            "://a",
            "1://a",
            "http://a b",
            "*",
        ] {
            assert!(Origin::parse(text).is_none(), "{text}");
        }
    }
}
