//! One server that requests are passed on to.

use lws_server::Address;
use lws_server::client::{self, Url, Versions};
use std::fmt;
use std::str::FromStr;

/// A server that requests are passed on to.
///
/// Read from text: `http://host:port/path` and `https://...` speak HTTP/1.1 and what ALPN chooses; `h2c://...` and `h2://...` HTTP/2 alone,
/// without and with TLS; `unix:/path/of/socket` and `unix:/path/of/socket:/path` HTTP/1.1 over a Unix socket.
///
/// ```
/// use lws_proxy::Upstream;
///
/// for text in ["http://127.0.0.1:3000", "https://api.example/v1", "h2c://localhost:50051", "unix:/run/app.sock:/base"] {
///     assert!(text.parse::<Upstream>().is_ok(), "{text}");
/// }
/// assert!("ftp://files.example".parse::<Upstream>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// With the scheme `http` or `https`.
    pub(crate) url: Url,
    /// The path that stands for that of the route, without a `/` at its end. `None` leaves paths as they are.
    pub(crate) path: Option<String>,
    /// Where it is found in place of the host.
    pub(crate) connect_to: Option<Address>,
    pub(crate) versions: Versions,
}

/// Why a text names no upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAnUpstream {
    /// The scheme is none of those that are known.
    Scheme,
    /// What follows the scheme is no URL.
    Url(client::UrlError),
    /// It has a query or fragment, which belong to requests.
    Query,
}

impl fmt::Display for NotAnUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("an upstream is http://, https://, h2c://, h2:// or unix:"),
            Self::Url(error) => error.fmt(f),
            Self::Query => f.write_str("an upstream has no query and no fragment"),
        }
    }
}

impl std::error::Error for NotAnUpstream {}

impl FromStr for Upstream {
    type Err = NotAnUpstream;

    fn from_str(text: &str) -> Result<Self, NotAnUpstream> {
        if let Some(rest) = text.strip_prefix("unix:") {
            let (socket, path) = rest.split_once(":/").unwrap_or((rest, ""));
            if socket.is_empty() {
                return Err(NotAnUpstream::Scheme);
            }
            let address = format!("unix:{socket}").parse().map_err(|_| NotAnUpstream::Scheme)?;
            let (upstream, slash) =
                (Self::at("http://localhost", Versions::Http1), if path.is_empty() { "" } else { "/" });
            return Ok(Self {
                connect_to: Some(address),
                path: path_of(&format!("{slash}{path}"))?,
                ..upstream?
            });
        }
        let (scheme, rest) = text.split_once("://").ok_or(NotAnUpstream::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" => Self::at(&format!("http://{rest}"), Versions::Http1),
            "https" => Self::at(&format!("https://{rest}"), Versions::Any),
            "h2c" => Self::at(&format!("http://{rest}"), Versions::Http2),
            "h2" => Self::at(&format!("https://{rest}"), Versions::Http2),
            _ => Err(NotAnUpstream::Scheme),
        }
    }
}

impl Upstream {
    fn at(url: &str, versions: Versions) -> Result<Self, NotAnUpstream> {
        // The path as it was written: what a URL parser makes of it is another one.
        let path = url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default();
        let url: Url = url.parse().map_err(NotAnUpstream::Url)?;
        Ok(Self { url, path: path_of(&path)?, connect_to: None, versions })
    }

    /// The target of a request for this upstream: `target` with the upstream's path in place of `prefix`.
    pub(crate) fn target(&self, target: &str, prefix: &str) -> String {
        match (&self.path, target.strip_prefix(prefix)) {
            (Some(path), Some(rest)) if rest.is_empty() || rest.starts_with(['/', '?']) => {
                let slash = if path.is_empty() && !rest.starts_with('/') { "/" } else { "" };
                format!("{path}{slash}{rest}")
            }
            _ => target.to_owned(),
        }
    }

    /// The URL of its WebSockets.
    pub(crate) fn websocket_url(&self) -> String {
        // `http` becomes `ws`, and `https` `wss`.
        self.url.as_str().replacen("http", "ws", 1)
    }

    /// Whether nothing but HTTP/2 is spoken there.
    pub(crate) fn is_http2(&self) -> bool {
        self.versions == Versions::Http2
    }
}

/// The path of an upstream that has one: a lone `/` is one, too, and replaces that of the route.
fn path_of(path: &str) -> Result<Option<String>, NotAnUpstream> {
    if path.contains(['?', '#']) {
        return Err(NotAnUpstream::Query);
    }
    Ok((!path.is_empty()).then(|| path.trim_end_matches('/').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_for_that_of_the_route() {
        for (upstream, prefix, target, sent) in [
            ("http://a", "/api", "/api/x?y", "/api/x?y"),
            ("http://a/", "/api", "/api/x?y", "/x?y"),
            ("http://a/", "/api", "/api", "/"),
            ("http://a/", "/api", "/api?y", "/?y"),
            ("http://a/v1/", "/api", "/api/%2e%2e/x", "/v1/%2e%2e/x"),
            ("http://a/v1", "/api", "/api", "/v1"),
            ("http://a/v1", "", "/x", "/v1/x"),
            ("http://a/v1", "/api", "/apix", "/apix"),
            ("unix:/run/a.sock:/v1", "/api", "/api/x", "/v1/x"),
            ("unix:/run/a.sock", "/api", "/api/x", "/api/x"),
            ("http://a/", "", "*", "*"),
        ] {
            let it: Upstream = upstream.parse().expect("an upstream");
            assert_eq!(it.target(target, prefix), sent, "{upstream} {prefix} {target}");
        }
    }

    #[test]
    fn what_is_no_upstream_is_said() {
        for (text, error) in [
            ("", NotAnUpstream::Scheme),
            ("localhost:80", NotAnUpstream::Scheme),
            ("ws://a", NotAnUpstream::Scheme),
            ("unix:", NotAnUpstream::Scheme),
            ("http://a/?x", NotAnUpstream::Query),
            ("http://", NotAnUpstream::Url(client::UrlError::Malformed)),
        ] {
            assert_eq!(text.parse::<Upstream>().expect_err(text), error, "{text}");
        }
    }
}
