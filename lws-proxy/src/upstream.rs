//! One server that requests are passed on to.

use lws_server::client::{self, RequestOptions, Url, Versions};
use lws_server::http::{Request, escape_path};
use lws_server::{Address, Context};
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

/// What a request is for.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Path and query as the client wrote them, or `*`.
    written: String,
    /// The path in normal form; empty where there is none.
    path: String,
    query: Option<String>,
}

impl Target {
    pub(crate) fn of(request: &Request<'_>) -> Self {
        Self::new(request.raw_path(), request.path(), request.query())
    }

    fn new(raw_path: &str, path: &str, query: Option<&str>) -> Self {
        let written = match (raw_path, query) {
            ("", _) => "*".to_owned(),
            (path, None) => path.to_owned(),
            (path, Some(query)) => format!("{path}?{query}"),
        };
        Self { written, path: path.to_owned(), query: query.map(str::to_owned) }
    }
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

    /// The target of a request for this upstream: as it was written, or with the upstream's path in place of `prefix`.
    ///
    /// What is written anew is the path in normal form, by which the request was routed: `/%61pi/x` has the prefix `/api` as well, and
    /// `/api/../x` written behind another path would lead out of that.
    pub(crate) fn target(&self, wanted: &Target, prefix: &str) -> String {
        match (&self.path, wanted.path.strip_prefix(prefix)) {
            (Some(path), Some(rest))
                if !wanted.path.is_empty() && (rest.is_empty() || rest.starts_with('/')) =>
            {
                let slash = if path.is_empty() && rest.is_empty() { "/" } else { "" };
                let query = wanted.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
                format!("{path}{slash}{}{query}", escape_path(rest))
            }
            _ => wanted.written.clone(),
        }
    }

    /// How it is asked: as the client of the thread says, but that what is passed on is not followed, not taken apart, and not answered
    /// with credentials of ours.
    pub(crate) fn options(&self, cx: &mut Context<'_>) -> RequestOptions {
        let asked = &cx.client().options().request;
        let mut options = RequestOptions::default();
        (options.timeout, options.first_byte_timeout) = (asked.timeout, asked.first_byte_timeout);
        options.retry.tries_max = asked.retry.tries_max;
        (options.tls, options.proxy) = (asked.tls.clone(), asked.proxy.clone());
        (options.bind, options.bind_device) = (asked.bind, asked.bind_device.clone());
        options.versions = self.versions;
        options.connect_to = self.connect_to.clone();
        options
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
        for (upstream, prefix, target, normal, sent) in [
            ("http://a", "/api", "/api/x?y", "/api/x", "/api/x?y"),
            ("http://a/", "/api", "/api/x?y", "/api/x", "/x?y"),
            ("http://a/", "/api", "/api", "/api", "/"),
            ("http://a/", "/api", "/api?y", "/api", "/?y"),
            ("http://a/v1", "/api", "/api", "/api", "/v1"),
            ("http://a/v1", "", "/x", "/x", "/v1/x"),
            ("unix:/run/a.sock:/v1", "/api", "/api/x", "/api/x", "/v1/x"),
            ("unix:/run/a.sock", "/api", "/api/x", "/api/x", "/api/x"),
            ("http://a/", "", "*", "", "*"),
            // However the client has written what has the prefix, it is replaced, and nothing leads out of what stands in its place.
            ("http://a/v1/", "/api", "/%61pi/x", "/api/x", "/v1/x"),
            ("http://a/v1/", "/api", "/y/../api/x?q=/../", "/api/x", "/v1/x?q=/../"),
            ("http://a/v1/", "/api", "/api/../api/x", "/api/x", "/v1/x"),
            ("http://a/v1/", "", "/%2e%2e/x", "/x", "/v1/x"),
            ("http://a/v1/", "/api", "/api/a%2Fb%3fc%20d", "/api/a%2Fb?c d", "/v1/a%2Fb%3Fc%20d"),
            ("http://a", "/api", "/%61pi/../api/x", "/api/x", "/%61pi/../api/x"),
        ] {
            let it: Upstream = upstream.parse().expect("an upstream");
            let (raw, query) =
                target.split_once('?').map_or((target, None), |(raw, query)| (raw, Some(query)));
            let wanted = Target::new(if raw == "*" { "" } else { raw }, normal, query);
            assert_eq!(it.target(&wanted, prefix), sent, "{upstream} {prefix} {target}");
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
