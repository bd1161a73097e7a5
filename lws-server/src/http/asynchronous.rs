//! Answers of asynchronous functions: an exchange polls a future, and is woken when that can go on.
//!
//! Knows no runtime: what a future waits for wakes it from any thread, and the host of the server runs what it waits for.

use super::remote::Remote;
use super::request::KeptHead;
use super::{Answer, Exchange, Handler, Permit, Request, Response, Status};
use crate::tls::Info;
use crate::{Context, Peer};
use lws_proto::Cause;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

/// How long an exchange waits for its future, unless [`Async::within`] says otherwise.
const DEADLINE: Duration = Duration::from_secs(60);

/// The answer of a future: what a function of a route returns in place of what the future gives, a [`Response`] mostly. Made by
/// [`Route::get_async`](crate::Route::get_async) and its like, or by hand where the function looks at the context before.
///
/// The future is polled on the thread of its exchange, when it was woken, and is dropped when the peer has left. It may wait for whatever its
/// host runs: in a task of tokio (`OnTokio` of `lws-loop-external`) for everything of tokio. One that takes longer than 60 seconds,
/// or than [`within`](Self::within) says, is dropped and answered 503. It must not wait by blocking.
///
/// A peer that takes nothing holds one response: a long one is a [`Streamed`](super::Streamed), which a future may answer with.
///
/// ```
/// use lws_server::http::{Async, Response};
/// use lws_server::Server;
/// use std::time::Duration;
///
/// let server = Server::builder().get_with("/", |cx, request| {
///     let (peer, request) = (cx.peer(), request.to_owned_request(cx));
///     Async::new(async move { Response::text(format!("{peer} {}", request.as_request().path())) })
///         .within(Duration::from_secs(5))
/// });
/// ```
#[must_use = "it is what the function of the route returns"]
pub struct Async<F> {
    future: F,
    deadline: Duration,
    held_bytes: usize,
}

impl<F: Future<Output: Answer> + 'static> Async<F> {
    /// The answer of this future.
    pub fn new(future: F) -> Self {
        Self { future, deadline: DEADLINE, held_bytes: 0 }
    }

    /// How long the exchange waits. Past it: 503.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Says that the future holds so many bytes for its peer while it waits, an [`OwnedRequest`] mostly: they count as those of
    /// [`Exchange::hold`] do. Past a limit it is dropped and answered 413 or 503.
    pub fn holding(mut self, bytes: usize) -> Self {
        self.held_bytes = bytes;
        self
    }
}

impl<F> fmt::Debug for Async<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Async").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl<F: Future<Output: Answer> + 'static> Answer for Async<F> {
    const COLLECTS: bool = true;

    fn answer(self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, _: bool) -> Option<Box<dyn Handler>> {
        if let Err(limit) = exchange.hold(self.held_bytes) {
            let status = Status::new(limit.status()).unwrap_or(Status::SERVICE_UNAVAILABLE);
            return Response::error(status).answer(cx, exchange, true);
        }
        exchange.set_timeout(Some(cx.now() + self.deadline));
        let alarm = Arc::new(Alarm(Remote::new(())));
        // Before the first poll, so that nothing that wakes is missed.
        alarm.0.begin(cx);
        let mut polled =
            Polled::Waiting { future: Box::pin(self.future), alarm, held_bytes: self.held_bytes };
        polled.poll(cx, exchange);
        Some(Box::new(polled))
    }
}

/// Wakes the exchange.
struct Alarm(Remote<()>);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // One that is over needs nothing any more.
        self.0.change(|()| true);
    }
}

/// An exchange that waits for its future, and then is what that has answered.
enum Polled<F> {
    Waiting { future: Pin<Box<F>>, alarm: Arc<Alarm>, held_bytes: usize },
    Answered(Option<Box<dyn Handler>>),
}

impl<F: Future<Output: Answer>> Polled<F> {
    fn poll(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        let Self::Waiting { future, alarm, .. } = self else { return };
        let waker = Waker::from(Arc::clone(alarm));
        if let Poll::Ready(answer) = future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            self.become_answer(answer, cx, exchange);
        }
    }

    fn become_answer(&mut self, answer: impl Answer, cx: &mut Context<'_>, mut exchange: Exchange<'_>) {
        if let Self::Waiting { alarm, held_bytes, .. } = self {
            alarm.0.end();
            exchange.let_go(*held_bytes);
        }
        exchange.set_timeout(None);
        // What the future holds goes before the answer is sent: it may be a place that another waits for.
        *self = Self::Answered(None);
        *self = Self::Answered(answer.answer(cx, exchange, true));
    }
}

impl<F: Future<Output: Answer> + 'static> Handler for Polled<F> {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {}

    fn wake(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        match self {
            Self::Waiting { .. } => self.poll(cx, exchange),
            Self::Answered(Some(handler)) => handler.wake(cx, exchange),
            Self::Answered(None) => {}
        }
    }

    fn timer(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        match self {
            Self::Waiting { .. } => {
                self.become_answer(Response::error(Status::SERVICE_UNAVAILABLE), cx, exchange);
            }
            Self::Answered(Some(handler)) => handler.timer(cx, exchange),
            Self::Answered(None) => {}
        }
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        if let Self::Answered(Some(handler)) = self {
            handler.writable(cx, permit);
        }
    }

    fn peer_ended(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        if let Self::Answered(Some(handler)) = self {
            handler.peer_ended(cx, exchange);
        }
    }

    fn close(&mut self, cx: &mut Context<'_>, cause: Cause) {
        match self {
            Self::Waiting { alarm, .. } => alarm.0.end(),
            Self::Answered(Some(handler)) => handler.close(cx, cause),
            Self::Answered(None) => {}
        }
    }
}

/// A request that outlives the call that lends it: what an asynchronous function gets.
#[derive(Debug)]
pub struct OwnedRequest {
    head: KeptHead,
    content: Vec<u8>,
    tls: Option<Info>,
    peer: Peer,
}

impl OwnedRequest {
    /// The request, for everything that can be read of it.
    #[must_use]
    pub fn as_request(&self) -> Request<'_> {
        Request::kept(&self.head, &self.content, self.tls.as_ref())
    }

    /// Who is at the other end of its connection.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.head.held() + self.content.len()
    }

    /// Takes its content out.
    #[must_use]
    pub fn into_content(self) -> Vec<u8> {
        self.content
    }
}

impl Request<'_> {
    /// Copies the request, to be kept.
    #[must_use]
    pub fn to_owned_request(&self, cx: &Context<'_>) -> OwnedRequest {
        let (head, content) = (self.keep(), self.content().to_vec());
        OwnedRequest { head, content, tls: self.tls().cloned(), peer: cx.peer() }
    }
}
