//! Endpoints: what a route leads to.

use crate::http::{self, Answer, Exchange, Request, Response, Status};
use crate::{Context, raw, ws};

/// A response is the endpoint of a resource that always is the same: `robots.txt`, or a page that says that something is being repaired.
///
/// ```
/// use lws_server::{Methods, Route, http::Response};
///
/// let robots = Route::new(Methods::GET.into(), "/robots.txt", Response::text("User-agent: *\nDisallow: /\n"));
/// ```
impl Endpoint for Response {
    fn request(
        &self,
        cx: &mut Context<'_>,
        _: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn http::Handler>> {
        self.clone().answer(cx, exchange, end)
    }

    fn upgrade(
        &self,
        _: &mut Context<'_>,
        _: &Request<'_>,
    ) -> Result<ws::Accepted<Box<dyn ws::Handler>>, Response> {
        Err(self.clone())
    }
}

/// What stands behind a [`Route`](crate::Route), or behind a raw listener.
///
/// Plain functions, handlers and files are endpoints ([`Route::get`](crate::Route::get), [`Route::ws`](crate::Route::ws),
/// [`Route::files`](crate::Route::files)); whatever else answers requests, such as a proxy or a redirect, implements this. An endpoint
/// belongs to one thread, and what it keeps in its fields is the state of its route there.
///
/// Each method has a default for endpoints that are never asked so, because their route [takes](crate::Takes) something else.
///
/// ```
/// use lws_server::http::{Answer, Exchange, Handler, Request, Response, Status};
/// use lws_server::{Context, Endpoint, Methods, Route};
///
/// /// Redirects every request to the same path below another one.
/// struct Moved(&'static str);
///
/// impl Endpoint for Moved {
///     fn request(
///         &self,
///         cx: &mut Context<'_>,
///         request: &Request<'_>,
///         exchange: Exchange<'_>,
///         end: bool,
///     ) -> Option<Box<dyn Handler>> {
///         let location = format!("{}{}", self.0, request.raw_path());
///         let response = Response::new(Status::PERMANENT_REDIRECT).field("Location", location);
///         response.answer(cx, exchange, end)
///     }
/// }
///
/// let route = Route::new(Methods::Any.into(), "/old", Moved("/archive"));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no `Endpoint`",
    label = "not an endpoint",
    note = "functions become endpoints by `Route::get`, `Route::methods`, `Route::ws` and the like; `Route::new` takes what implements \
            `lws_server::Endpoint`"
)]
pub trait Endpoint: 'static {
    /// Whether it answers before the route's guards are asked, as one that only sends elsewhere does. Default no.
    fn precedes_guards(&self) -> bool {
        false
    }

    /// A request has been received up to its content, of which there is none if `end`. Answers it, or returns the handler that gets
    /// what follows and answers then. A request that is left with neither is answered 500.
    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn http::Handler>> {
        let _ = request;
        Response::error(Status::NOT_FOUND).answer(cx, exchange, end)
    }

    /// An opening handshake of a WebSocket has been received, over whichever version of HTTP. Returns its handler and how to accept it.
    ///
    /// # Errors
    /// The response that refuses.
    fn upgrade(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
    ) -> Result<ws::Accepted<Box<dyn ws::Handler>>, Response> {
        let _ = (cx, request);
        Err(Response::error(Status::NOT_FOUND))
    }

    /// A connection begins that is a raw stream. `None` cuts it off.
    fn raw(&self, cx: &mut Context<'_>) -> Option<Box<dyn raw::Handler>> {
        let _ = cx;
        None
    }
}
