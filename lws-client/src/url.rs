//! URLs of the four schemes that a client can ask for. RFC 3986, as browsers read it.
//!
//! Parsing is that of the crate `url`; what is here is which URLs are acceptable, and what of them goes where: the origin,
//! the `Host` field, the request target.

use std::fmt;
use std::str::FromStr;

/// A URL with the scheme `http`, `https`, `ws` or `wss`, and a host.
///
/// ```
/// use lws_client::Url;
///
/// let url: Url = "HTTPS://Example.org:443/a?b#c".parse()?;
/// assert_eq!(url.to_string(), "https://example.org/a?b#c");
/// assert_eq!((url.authority().as_str(), url.target().as_str()), ("example.org", "/a?b"));
/// assert!("ftp://example.org".parse::<Url>().is_err());
/// # Ok::<(), lws_client::UrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url(
    /// Invariant: one of the four schemes, and a host that is not empty.
    url::Url,
);

/// Why a text is no URL that a client can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UrlError {
    /// It is no URL.
    Malformed,
    /// Its scheme is none of `http`, `https`, `ws` and `wss`.
    Scheme,
    /// It has no host.
    Host,
    /// It has more than [`URL_BYTES_MAX`] bytes.
    TooLong,
}

/// The most bytes of a URL, so that a redirect cannot make one grow for ever.
pub const URL_BYTES_MAX: usize = 16 << 10;

/// Scheme, host and port: what two URLs must share to trust each other. RFC 6454 §4.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// Whether the scheme asks for TLS.
    pub secure: bool,
    /// In lower case, without a trailing dot; an IPv6 address in brackets.
    pub host: String,
    /// The port, that of the scheme if none was given.
    pub port: u16,
}

impl Url {
    fn check(url: url::Url) -> Result<Self, UrlError> {
        if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
            return Err(UrlError::Scheme);
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(UrlError::Host);
        }
        if url.as_str().len() > URL_BYTES_MAX { Err(UrlError::TooLong) } else { Ok(Self(url)) }
    }

    /// Resolves a reference against this URL, as a `Location` field has it. Octets outside of ASCII that are not UTF-8 are
    /// percent-encoded. RFC 3986 §5, RFC 9110 §10.2.2.
    ///
    /// # Errors
    /// The reference leads to nothing that a client can ask for.
    pub fn join(&self, reference: &[u8]) -> Result<Self, UrlError> {
        if reference.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let text = match std::str::from_utf8(reference) {
            Ok(text) => text.to_owned(),
            Err(_) => reference.iter().fold(String::new(), |mut text, &byte| {
                if byte.is_ascii() {
                    text.push(char::from(byte));
                } else {
                    text.push_str(&format!("%{byte:02X}"));
                }
                text
            }),
        };
        self.0.join(&text).map_err(|_| UrlError::Malformed).and_then(Self::check)
    }

    /// Whether the scheme asks for TLS.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        matches!(self.0.scheme(), "https" | "wss")
    }

    /// Whether the scheme is that of a WebSocket.
    #[must_use]
    pub fn is_websocket(&self) -> bool {
        matches!(self.0.scheme(), "ws" | "wss")
    }

    /// The host in lower case; an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        // The invariant: there is a host.
        self.0.host_str().unwrap_or_default()
    }

    /// The host as it is resolved and as certificates name it: without brackets and without a trailing dot.
    #[must_use]
    pub fn name(&self) -> &str {
        let host = self.host();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        host.strip_suffix('.').unwrap_or(host)
    }

    /// The port, that of the scheme if none is given.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port().unwrap_or(if self.is_secure() { 443 } else { 80 })
    }

    /// What a `Host` field says: the host, and the port unless it is that of the scheme. RFC 9110 §7.2.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.0.port() {
            None => self.host().to_owned(),
            Some(port) => format!("{}:{port}", self.host()),
        }
    }

    /// The path and the query. RFC 9112 §3.2.1.
    #[must_use]
    pub fn target(&self) -> String {
        match self.0.query() {
            None => self.0.path().to_owned(),
            Some(query) => format!("{}?{query}", self.0.path()),
        }
    }

    /// The path alone, with its escapes.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The whole URL without user information and fragment, as a proxy is asked for it. RFC 9112 §3.2.2.
    #[must_use]
    pub fn absolute_form(&self) -> String {
        format!("{}://{}{}", self.0.scheme(), self.authority(), self.target())
    }

    /// The fragment.
    #[must_use]
    pub fn fragment(&self) -> Option<&str> {
        self.0.fragment()
    }

    /// The same URL with another fragment.
    #[must_use]
    pub(crate) fn with_fragment(mut self, fragment: Option<&str>) -> Self {
        self.0.set_fragment(fragment);
        self
    }

    /// The same URL as that of a WebSocket: `ws` for `http`, `wss` for `https`. RFC 6455 §3.
    #[must_use]
    pub(crate) fn into_websocket(mut self) -> Self {
        let scheme = if self.is_secure() { "wss" } else { "ws" };
        // From one of the four schemes to another is always possible.
        let changed = self.0.set_scheme(scheme);
        debug_assert!(changed.is_ok());
        self
    }

    /// The user and password that the URL carries, with their escapes undone. They are sent only where that is asked for.
    #[must_use]
    pub fn user_information(&self) -> Option<(String, String)> {
        let (user, password) = (self.0.username(), self.0.password());
        if user.is_empty() && password.is_none() {
            return None;
        }
        Some((unescape(user), unescape(password.unwrap_or_default())))
    }

    /// Scheme, host and port.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let host = self.host();
        let host = host.strip_suffix('.').unwrap_or(host).to_owned();
        Origin { secure: self.is_secure(), host, port: self.port() }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    #[cfg(feature = "cookies")]
    pub(crate) fn inner(&self) -> &url::Url {
        &self.0
    }
}

/// Undoes percent-encoding; what is no UTF-8 then becomes the replacement character.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let hex = |byte: u8| char::from(byte).to_digit(16);
        if let (b'%', [high, low, ..]) = (first, behind)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            // Two hexadecimal digits fill an octet.
            bytes.push((high << 4 | low) as u8);
            rest = &behind[2..];
        } else {
            bytes.push(first);
            rest = behind;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        url::Url::parse(text).map_err(|_| UrlError::Malformed).and_then(Self::check)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Url {
    /// Without the password, which has no business in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Url").field(&self.absolute_form()).finish()
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a URL",
            Self::Scheme => "a URL with a scheme other than http, https, ws and wss",
            Self::Host => "a URL without a host",
            Self::TooLong => "a URL that is too long",
        })
    }
}

impl std::error::Error for UrlError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_url_is_divided_into_what_goes_where() {
        for (text, authority, name, port, target) in [
            ("http://A.test", "a.test", "a.test", 80, "/"),
            ("http://a.test:80/x?y#z", "a.test", "a.test", 80, "/x?y"),
            ("https://a.test:80/?", "a.test:80", "a.test", 80, "/?"),
            ("ws://[::1]:7681/chat", "[::1]:7681", "::1", 7681, "/chat"),
            ("wss://user:pa%20ss@a.test./", "a.test.", "a.test", 443, "/"),
        ] {
            let url = url(text);
            assert_eq!(
                (url.authority().as_str(), url.name(), url.port(), url.target().as_str()),
                (authority, name, port, target),
                "{text}"
            );
        }
        let with_user = url("http://us%C3%A9r:pa%20ss@a.test/");
        assert_eq!(with_user.user_information(), Some(("usér".into(), "pa ss".into())));
        assert_eq!(with_user.absolute_form(), "http://a.test/");
        assert_eq!(format!("{with_user:?}"), "Url(\"http://a.test/\")");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        assert_eq!(url("http://A.test./x").origin(), url("ws://a.test:80/y").origin());
        for other in ["https://a.test/", "http://b.test/", "http://a.test:81/", "http://a.test:443/"] {
            assert_ne!(url("http://a.test/").origin(), url(other).origin(), "{other}");
        }
    }

    #[test]
    fn what_no_client_can_ask_for_is_refused() {
        for (text, error) in [
            ("", UrlError::Malformed),
            ("/x", UrlError::Malformed),
            ("http://", UrlError::Malformed),
            ("ftp://a/", UrlError::Scheme),
            ("file:///etc/passwd", UrlError::Scheme),
            ("javascript:alert(1)", UrlError::Scheme),
        ] {
            assert_eq!(text.parse::<Url>(), Err(error), "{text}");
        }
        let long = format!("http://a/{}", "x".repeat(URL_BYTES_MAX));
        assert_eq!(long.parse::<Url>(), Err(UrlError::TooLong));
        assert!(long[..URL_BYTES_MAX].parse::<Url>().is_ok());
    }

    #[test]
    fn a_reference_is_resolved_against_the_url() {
        let base = url("http://a.test/b/c?d");
        for (reference, result) in [
            (&b"e"[..], "http://a.test/b/e"),
            (b"/e", "http://a.test/e"),
            (b"//b.test/e", "http://b.test/e"),
            (b"?e", "http://a.test/b/c?e"),
            (b"https://b.test", "https://b.test/"),
            ("/é".as_bytes(), "http://a.test/%C3%A9"),
            (b"/\xe9", "http://a.test/%E9"),
        ] {
            assert_eq!(base.join(reference).expect("a URL").as_str(), result);
        }
        assert_eq!(base.join(b"file:///etc/passwd"), Err(UrlError::Scheme));
    }
}
