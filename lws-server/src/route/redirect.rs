//! An endpoint that answers with a redirect.

use crate::Context;
use crate::http::{Answer, Exchange, Handler, Request, Response, Status};
use crate::route::endpoint::Endpoint;
use crate::route::methods::Methods;
use crate::route::{Route, Takes};
use lws_proto::http::escape_path;

/// Redirects requests to another address. RFC 9110 §15.4.
///
/// The address is the configured one, and never one that the request names: what a request may add stands behind it,
/// and cannot become the name of another host.
///
/// ```
/// use lws_server::{Redirect, Server};
///
/// let server = Server::builder()
///     .listen("127.0.0.1:0")
///     .route(Redirect::permanent("https://example.com/new").with_rest().at("/old"))
///     .build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[doc(alias = "LWSMPRO_REDIR_HTTP")]
#[derive(Clone, Debug)]
#[must_use = "it is an endpoint of a route"]
pub struct Redirect {
    status: Status,
    location: String,
    with_rest: bool,
    /// The path of the route, without a slash at its end.
    prefix: String,
}

impl Redirect {
    /// To `location`, an absolute address or an absolute path, with this status code: 301, 302, 303, 307 or 308.
    ///
    /// # Panics
    /// The status code is not one of a redirect.
    pub fn new(status: Status, location: impl Into<String>) -> Self {
        assert!(matches!(status.code(), 301 | 302 | 303 | 307 | 308), "not a redirect: {status:?}");
        Self { status, location: location.into(), with_rest: false, prefix: String::new() }
    }

    /// For good, and with the method that was used: 308.
    pub fn permanent(location: impl Into<String>) -> Self {
        Self::new(Status::PERMANENT_REDIRECT, location)
    }

    /// For now, and with the method that was used: 307.
    pub fn temporary(location: impl Into<String>) -> Self {
        Self::new(Status::TEMPORARY_REDIRECT, location)
    }

    /// The rest of the path behind that of the route, and the query, are put behind the address.
    pub fn with_rest(mut self) -> Self {
        self.with_rest = true;
        self
    }

    /// The route of this endpoint: every method, at `path` and everything below it.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Route {
        let path = path.into();
        self.prefix = path.trim_end_matches('/').to_owned();
        Route::new(Takes::Requests(Methods::Any), path, self)
    }

    /// Where a request for `path` with `query` is sent.
    fn location(&self, path: &str, query: Option<&str>) -> String {
        if !self.with_rest {
            return self.location.clone();
        }
        let mut location = self.location.clone();
        // A second slash at the beginning of a path would make the name of a host of what follows.
        let rest = path.strip_prefix(&self.prefix).unwrap_or(path).trim_start_matches('/');
        if !rest.is_empty() {
            if !location.ends_with('/') {
                location.push('/');
            }
            location.push_str(&escape_path(rest));
        }
        if let Some(query) = query {
            location.push(if location.contains('?') { '&' } else { '?' });
            location.push_str(query);
        }
        location
    }
}

impl Endpoint for Redirect {
    fn precedes_guards(&self) -> bool {
        true
    }

    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn Handler>> {
        let location = self.location(request.path(), request.query());
        Response::new(self.status).field("Location", location).answer(cx, exchange, end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_as_configured_whatever_is_asked_for() {
        for (location, path, query, wanted) in [
            ("https://a.example/new", "/old/b/c", None, "https://a.example/new/b/c"),
            ("https://a.example/new/", "/old/b", Some("q=1"), "https://a.example/new/b?q=1"),
            ("https://a.example", "/old", None, "https://a.example"),
            ("https://a.example?x", "/old", Some("y"), "https://a.example?x&y"),
            ("/", "/old//b.example/", None, "/b.example/"),
            ("/", "/old", None, "/"),
            ("/", "/old/a?b#c d\u{fc}%2F", None, "/a%3Fb%23c%20d%C3%BC%2F"),
        ] {
            let mut redirect = Redirect::permanent(location).with_rest();
            redirect.prefix = "/old".to_owned();
            assert_eq!(redirect.location(path, query), wanted, "{location} {path}");
        }
        let fixed = Redirect::temporary("/there");
        assert_eq!(fixed.location("/anything", Some("q")), "/there");
    }

    #[test]
    #[should_panic(expected = "not a redirect")]
    fn a_status_that_leads_nowhere_is_refused() {
        let _ = Redirect::new(Status::OK, "/there");
    }
}
