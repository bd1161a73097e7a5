//! Which pages a browser may ask from: the check of `Origin`. RFC 6454 §7, RFC 6455 §10.2.
//!
//! Knows no route. Whether a request has come to the right server is `hosts.rs`.

use lws_proto::http::{Authority, Head};

/// The origins from which a route may be asked for what a page of another must not do: WebSockets, and methods that are not safe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origins {
    /// That of the server itself passes: the scheme, host and port by which the request came.
    same: bool,
    /// These pass, too. Invariant: in normal form.
    listed: Vec<Box<str>>,
}

impl Origins {
    /// Lets the server's own pass.
    pub(crate) fn add_same(&mut self) {
        self.same = true;
    }

    /// Lets `origin` pass; `None` if it is no serialised origin. RFC 6454 §6.2.
    #[must_use]
    pub(crate) fn add(&mut self, origin: &str) -> Option<()> {
        let origin = if origin == "null" { origin.into() } else { Origin::parse(origin)?.normal().into() };
        self.listed.push(origin);
        Some(())
    }

    /// Whether a request may be answered. `secure` says whether it came by TLS.
    ///
    /// Browsers say where a page comes from with every WebSocket and every method that is not safe. What says nothing is no
    /// browser's, unless `Sec-Fetch-Site` tells otherwise; the names that the server answers for keep out whom a page can make
    /// believe that this is its own server.
    #[inline]
    pub(crate) fn permit(&self, head: &Head<'_>, secure: bool) -> bool {
        head.method().is_safe() || self.permit_origin(head, secure)
    }

    /// Whether an opening handshake may be accepted: a page can make one although its method is safe.
    #[cold]
    pub(crate) fn permit_origin(&self, head: &Head<'_>, secure: bool) -> bool {
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
