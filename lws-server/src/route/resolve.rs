//! What is to be done with a request: which route it belongs to, and what answers it.
//!
//! Pure: reads the head of a request and the site that it is for, and calls nothing.

use crate::id::RouteId;
use crate::route::guard::Guards;
use crate::route::path_tree::{Pattern, path_of};
use crate::route::refusal::is_preflight;
use crate::site::hosts::Arrival;
use crate::site::served::{Served, ServedPath, ServedSite};
use lws_proto::http::{Head, Method, is_registered_method};
use lws_proto::ws::is_opening;
use std::borrow::Cow;

/// A request and its way through a site.
pub(crate) struct Resolved<'s> {
    /// [`RouteId::NONE`] if its path has no route.
    pub(crate) route: RouteId,
    pub(crate) pattern: Option<&'s Pattern>,
    /// The path in normal form; empty if there is none.
    pub(crate) path: Cow<'s, str>,
    pub(crate) step: Step<'s>,
}

/// What is done with a request.
pub(crate) enum Step<'s> {
    /// The endpoint answers.
    Request(&'s Served),
    /// The endpoint accepts a WebSocket.
    Upgrade(&'s Served),
    /// The server itself answers.
    Refuse(Refusal<'s>),
}

impl<'s> Step<'s> {
    /// The endpoint, if one is to answer.
    #[inline]
    pub(crate) fn served(&self) -> Option<&'s Served> {
        match self {
            Self::Request(served) | Self::Upgrade(served) => Some(served),
            Self::Refuse(_) => None,
        }
    }

    /// Who is asked before it is done: also before a peer learns what is at a path.
    #[inline]
    pub(crate) fn guards(&self) -> Option<&'s Guards> {
        match self {
            Self::Request(served) | Self::Upgrade(served) => Some(&served.terms.guards),
            Self::Refuse(Refusal::UpgradeRequired(path) | Refusal::NotAllowed(Some(path))) => path.guards(),
            // A browser sends no credentials with a preflight, and learns what the route tells everybody who may ask from elsewhere.
            Self::Refuse(_) => None,
        }
    }
}

/// Why no endpoint gets a request.
#[derive(Clone, Copy)]
pub(crate) enum Refusal<'s> {
    /// It was meant for another server. RFC 9110 §7.4.
    Misdirected,
    /// It came without TLS to where TLS is spoken.
    Plain,
    /// A page of another origin has made it. RFC 6455 §4.2.2.
    Foreign,
    /// Its path has no normal form.
    Path,
    /// Its path has no route.
    NotFound,
    /// Its method is not a registered one, or it asks for a protocol that the server does not speak.
    NotImplemented,
    /// The resource has WebSockets, and this is no opening handshake. RFC 9110 §15.5.22.
    UpgradeRequired(&'s ServedPath),
    /// The resource does not have the method; or, of OPTIONS, what it has was asked for. `None` is the server as a whole.
    NotAllowed(Option<&'s ServedPath>),
    /// It is no request of the page, but asks whether there may be one. Fetch Standard §3.3.2.
    Preflight(&'s ServedPath),
}

/// Finds what answers a request. `site` is the one that it is for; `plain` says that it came without TLS to where that is refused.
#[inline]
pub(crate) fn resolve<'s>(
    site: Option<&'s ServedSite>,
    head: &Head<'s>,
    arrival: Arrival,
    plain: bool,
) -> Resolved<'s> {
    // Most targets are written as their route is, and need not be brought into normal form.
    let whole = site.filter(|_| !plain).and_then(|site| site.find_whole(head.target_bytes()));
    if let Some((path, (route, pattern, served))) = whole {
        let step = step_at(served, head, arrival.secure);
        return Resolved { route, pattern: Some(pattern), path: Cow::Borrowed(path), step };
    }
    let path = path_of(head, head.target());
    let Some(site) = site else { return refused(path, Refusal::Misdirected) };
    if plain {
        return refused(path, Refusal::Plain);
    }
    let Some(path) = path else { return refused(None, Refusal::Path) };
    match site.find(&path) {
        Some((route, pattern, served)) => {
            let step = step_at(served, head, arrival.secure);
            Resolved { route, pattern: Some(pattern), path, step }
        }
        None => {
            let refusal = refusal_of_no_route(head, &path);
            refused(Some(path), refusal)
        }
    }
}

#[cold]
fn refused<'s>(path: Option<Cow<'s, str>>, refusal: Refusal<'s>) -> Resolved<'s> {
    let (path, step) = (path.unwrap_or_default(), Step::Refuse(refusal));
    Resolved { route: RouteId::NONE, pattern: None, path, step }
}

/// What answers a request at its path.
#[inline]
fn step_at<'s>(path: &'s ServedPath, head: &Head<'_>, secure: bool) -> Step<'s> {
    // A WebSocket comes first: its opening handshake is a GET, which something else may take here.
    if let Some(served) = path.upgrade.as_ref().filter(|_| is_opening(head)) {
        let permitted = served.permits_opening(head, secure);
        return if permitted { Step::Upgrade(served) } else { Step::Refuse(Refusal::Foreign) };
    }
    match path.requests.iter().find(|(methods, _)| methods.allow(head.method())) {
        Some((_, served)) if served.permits_request(head, secure) => Step::Request(served),
        Some(_) => Step::Refuse(Refusal::Foreign),
        None => Step::Refuse(refusal_at(path, head)),
    }
}

/// Why nothing at a path takes a request.
#[cold]
fn refusal_at<'s>(path: &'s ServedPath, head: &Head<'_>) -> Refusal<'s> {
    if is_unknown(head) {
        Refusal::NotImplemented
    } else if path.upgrade.is_some() && head.method() == Method::Get {
        Refusal::UpgradeRequired(path)
    } else if is_preflight(path, head) {
        Refusal::Preflight(path)
    } else {
        Refusal::NotAllowed(Some(path))
    }
}

#[cold]
fn refusal_of_no_route(head: &Head<'_>, path: &str) -> Refusal<'static> {
    if !path.is_empty() {
        Refusal::NotFound
    } else if is_unknown(head) {
        Refusal::NotImplemented
    } else {
        // RFC 9110 §9.3.6: this is no proxy, so that CONNECT is for no resource that it has. `OPTIONS *` asks for the server.
        Refusal::NotAllowed(None)
    }
}

/// Whether the method, or the protocol of an extended CONNECT, is unknown to the server.
fn is_unknown(head: &Head<'_>) -> bool {
    match head.method() {
        // RFC 9110 §9.1: one that is not recognised.
        Method::Other => !is_registered_method(head.method_name()),
        // RFC 8441 §4: an extended CONNECT for a protocol that is not spoken here.
        Method::Connect => head.connect_protocol().is_some() && !is_opening(head),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heads::with_head;
    use crate::http::{Request, Response};
    use crate::route::Route;
    use crate::site::Site;
    use crate::site::origins::Origins;
    use crate::{Context, MessageKind, WebSocket, ws};

    struct Silent;

    impl ws::Handler for Silent {
        fn message(&mut self, _: &mut Context<'_>, _: WebSocket<'_>, message: ws::Message<'_>) {
            let _: MessageKind = message.kind;
        }
    }

    fn site() -> ServedSite {
        let mut site = Site::new();
        let text = |_: &Request<'_>| Response::text("");
        site.routes = vec![
            Route::get("/page", text),
            Route::post("/page", text).origins(Origins::Same),
            Route::get("/items/{id}", text),
            Route::ws("/chat", |_| Silent),
            Route::ws("/own", |_| Silent).origins(Origins::Only(vec!["https://a.example".into()])),
        ];
        let served = ServedSite::new(site, false).unwrap_or_else(|error| panic!("{error}"));
        served.numbered(SiteId(7), (100..104).map(RouteId).collect())
    }

    use crate::id::SiteId;

    /// The number of the route, the path, and the step as a word.
    fn resolved(
        site: Option<&ServedSite>,
        request: &str,
        plain: bool,
    ) -> (Option<u32>, String, &'static str) {
        with_head(request, |head| {
            let arrival = Arrival { secure: false, local: false };
            let Resolved { route, path, step, .. } = resolve(site, head, arrival, plain);
            let step = match step {
                Step::Request(_) => "request",
                Step::Upgrade(_) => "upgrade",
                Step::Refuse(Refusal::Misdirected) => "misdirected",
                Step::Refuse(Refusal::Plain) => "plain",
                Step::Refuse(Refusal::Foreign) => "foreign",
                Step::Refuse(Refusal::Path) => "path",
                Step::Refuse(Refusal::NotFound) => "not found",
                Step::Refuse(Refusal::NotImplemented) => "not implemented",
                Step::Refuse(Refusal::UpgradeRequired(_)) => "upgrade required",
                Step::Refuse(Refusal::NotAllowed(_)) => "not allowed",
                Step::Refuse(Refusal::Preflight(_)) => "preflight",
            };
            (
                Some(route).filter(|route| *route != RouteId::NONE).map(|route| route.0),
                path.into_owned(),
                step,
            )
        })
    }

    const OPENING: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    #[test]
    fn a_request_has_a_route_and_a_step() {
        let site = site();
        for (line, fields, route, path, step) in [
            ("GET /page?x", "", Some(100), "/page", "request"),
            ("GET /a/../page", "", Some(100), "/page", "request"),
            ("POST /page", "Content-Length: 0\r\n", Some(100), "/page", "request"),
            (
                "POST /page",
                "Content-Length: 0\r\nOrigin: http://evil.example\r\n",
                Some(100),
                "/page",
                "foreign",
            ),
            ("DELETE /page", "", Some(100), "/page", "not allowed"),
            ("BREW /page", "", Some(100), "/page", "not implemented"),
            ("GET /items/7", "", Some(101), "/items/7", "request"),
            ("GET /items", "", None, "/items", "not found"),
            ("GET /chat", OPENING, Some(102), "/chat", "upgrade"),
            ("GET /chat", "", Some(102), "/chat", "upgrade required"),
            ("DELETE /chat", "", Some(102), "/chat", "not allowed"),
            ("GET /own", OPENING, Some(103), "/own", "upgrade"),
            ("GET /../page", "", None, "", "path"),
            ("OPTIONS *", "", None, "", "not allowed"),
        ] {
            let request = format!("{line} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n");
            let found = resolved(Some(&site), &request, false);
            assert_eq!(found, (route, path.to_owned(), step), "{line} {fields}");
        }
        let foreign =
            format!("GET /own HTTP/1.1\r\nHost: a.example\r\nOrigin: http://b.example\r\n{OPENING}\r\n");
        assert_eq!(resolved(Some(&site), &foreign, false).2, "foreign");
    }

    #[test]
    fn a_request_for_no_site_or_without_tls_gets_no_further() {
        let request = "GET /page HTTP/1.1\r\nHost: a.example\r\n\r\n";
        assert_eq!(resolved(None, request, true), (None, "/page".to_owned(), "misdirected"));
        assert_eq!(resolved(Some(&site()), request, true), (None, "/page".to_owned(), "plain"));
    }
}
