//! HTTP handlers: one per exchange, or a plain function from request to response.

mod accept;
mod asynchronous;
mod attached;
mod authorization;
mod collect;
mod compression;
#[cfg(feature = "cookies")]
mod cookies;
mod deferred;
mod errors;
mod exchange;
#[cfg(feature = "proxies")]
mod forwarded;
#[cfg(feature = "json")]
mod json;
mod media_type;
pub mod multipart;
mod pairs;
mod redirection;
mod rejection;
mod remote;
mod request;
mod response;
mod streamed;
pub(crate) mod subrequest;
mod tally;
mod trace;

use crate::Context;
pub use asynchronous::{Async, OwnedRequest};
pub(crate) use attached::Attached;
pub use authorization::Credentials;
pub(crate) use collect::Collect;
pub(crate) use compression::Compression;
#[cfg(feature = "signed-cookies")]
pub use cookies::CookieSigner;
#[cfg(feature = "cookies")]
pub use cookies::{Cookie, SameSite};
pub use deferred::{Deferred, Promise};
pub(crate) use errors::ErrorForm;
pub use errors::{
    CONTENT_BYTES_MAX, ErrorContent, ErrorRenderer, ErrorReport, REFUSAL_BYTES_MAX, RenderError,
};
pub use exchange::{Exchange, Permit, Spent};

#[cfg(feature = "proxies")]
pub use forwarded::{Client, NoNetwork, TrustedProxies};
#[cfg(feature = "json")]
pub use json::Problem;
use lws_proto::Cause;
pub(crate) use lws_proto::http::normalize_path;
pub use lws_proto::http::{Head, HeadBuf, HttpDate, Method, Status, Version, escape_path};
pub use media_type::MediaType;
pub use pairs::Pairs;
pub use rejection::Rejection;
pub use request::Request;
pub(crate) use request::{KeptHead, Routed};
pub use response::{Content, Response};
pub use streamed::{SendError, Sender, Streamed};
pub(crate) use tally::{FieldLine, Tally};
pub use trace::TraceParent;

/// One exchange. Made by the factory of its route when the request head is there, dropped after
/// [`close`](Self::close).
///
/// A handler answers by spending a [`Permit`]: the one that [`Exchange::permit`] gives at once, or the one that comes
/// with [`writable`](Self::writable) after [`Exchange::want_write`].
///
/// ```
/// use lws_server::http::{Exchange, Handler, Spent, Status};
/// use lws_server::{Context, Payload, Server};
///
/// /// Sends back what it gets, as it comes, and takes no more than its peer reads.
/// struct Echo;
///
/// impl Handler for Echo {
///     fn open(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, end: bool) {
///         // A new exchange may write.
///         if let Ok(permit) = exchange.permit() {
///             let fields = [("Content-Type", "application/octet-stream")];
///             let _ = permit.respond(Status::OK, fields, Payload::Static(b""), end);
///         }
///     }
///
///     fn content(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>, chunk: &mut [u8], end: bool) {
///         // What comes waits until the exchange may write again, so that there always is a permit here.
///         if let Ok(permit) = exchange.permit() {
///             let _ = permit.data(Payload::Copy(chunk), end).map(Spent::throttle);
///         }
///     }
/// }
///
/// let server = Server::builder().post("/echo", |_| Echo);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no `http::Handler`",
    label = "not a handler of exchanges",
    note = "implement `lws_server::http::Handler`: `open` begins an exchange, and `writable` sends when the peer can take it"
)]
pub trait Handler: 'static {
    /// The request has been received up to its content, of which there is none if `end`.
    #[doc(alias = "LWS_CALLBACK_HTTP")]
    fn open(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, end: bool);

    /// Content of the request; empty only if `end` comes late. What is not wanted now can be held off by
    /// [`Exchange::pause`].
    #[doc(alias = "LWS_CALLBACK_HTTP_BODY")]
    fn content(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, chunk: &mut [u8], end: bool) {
        let _ = (cx, exchange, chunk, end);
    }

    /// The trailer section of the request, after the last content.
    fn trailers(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, trailers: Head<'_>) {
        let _ = (cx, exchange, trailers);
    }

    /// The permit that was asked for.
    #[doc(alias = "LWS_CALLBACK_HTTP_WRITEABLE")]
    fn writable(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        let _ = (cx, permit);
    }

    /// The moment of [`Exchange::set_timeout`].
    fn timer(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        let _ = (cx, exchange);
    }

    /// The peer has ended its direction, and the response is still due: it has left, or reads on and has nothing more to say,
    /// which nothing but its next reset would tell. At most once, and behind the whole request.
    ///
    /// An exchange that sends such a peer nothing for [`Limits::half_closed_timeout`](lws_proto::Limits::half_closed_timeout)
    /// is over, unless it says [`Exchange::keep_half_closed`] or its route [`Builder::keep_half_closed`](crate::Builder::keep_half_closed).
    /// A handler that does work for this peer alone stops here.
    fn peer_ended(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        let _ = (cx, exchange);
    }

    /// [`Handle::wake`](crate::Handle::wake) or [`Context::wake`] was called for the exchange.
    #[doc(alias = "LWS_CALLBACK_EVENT_WAIT_CANCELLED")]
    fn wake(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        let _ = (cx, exchange);
    }

    /// The exchange is over. Exactly once.
    #[doc(alias = "LWS_CALLBACK_CLOSED_HTTP")]
    fn close(&mut self, cx: &mut Context<'_>, cause: Cause) {
        let _ = (cx, cause);
    }
}

/// What the factory of an HTTP route may return: a [`Response`], a [`Handler`], or a `Result` of either with the
/// response that refuses.
#[diagnostic::on_unimplemented(
    message = "a route cannot answer with `{Self}`",
    label = "not an answer",
    note = "a function of a route returns an `http::Response`, an `http::Handler`, or a `Result` of either with an error that becomes an \
            `http::Response`",
    note = "an `async` function is the handler of a route by `get_async`, `post_async` or `Route::methods_async`, and an `async` block an \
            answer by `http::Async::new`"
)]
pub trait Answer: 'static {
    /// Whether the factory is called only when all of the request's content is there. Then
    /// [`Request::content`] has it.
    #[doc(hidden)]
    const COLLECTS: bool;

    /// Answers, or leaves a handler that will.
    #[doc(hidden)]
    fn answer(self, cx: &mut Context<'_>, exchange: Exchange<'_>, end: bool) -> Option<Box<dyn Handler>>;
}

impl<H: Handler> Answer for H {
    const COLLECTS: bool = false;

    fn answer(mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, end: bool) -> Option<Box<dyn Handler>> {
        self.open(cx, exchange, end);
        Some(Box::new(self))
    }
}

impl Answer for Response {
    const COLLECTS: bool = true;

    #[inline]
    fn answer(self, _: &mut Context<'_>, exchange: Exchange<'_>, _: bool) -> Option<Box<dyn Handler>> {
        match exchange.permit() {
            Ok(permit) => {
                permit.reply(self);
                None
            }
            Err(exchange) => Some(Waiting::hold(self, exchange)),
        }
    }
}

impl<A: Answer, R: Into<Response> + 'static> Answer for Result<A, R> {
    const COLLECTS: bool = A::COLLECTS;

    fn answer(self, cx: &mut Context<'_>, exchange: Exchange<'_>, end: bool) -> Option<Box<dyn Handler>> {
        match self {
            Ok(answer) => answer.answer(cx, exchange, end),
            Err(refusal) => refusal.into().answer(cx, exchange, end),
        }
    }
}

/// A response that waits for the queue to empty.
struct Waiting(Option<Response>);

impl Waiting {
    #[cold]
    fn hold(response: Response, mut exchange: Exchange<'_>) -> Box<dyn Handler> {
        exchange.want_write();
        Box::new(Self(Some(response)))
    }
}

impl Handler for Waiting {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {}

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        if let Some(response) = self.0.take() {
            permit.reply(response);
        }
    }
}
