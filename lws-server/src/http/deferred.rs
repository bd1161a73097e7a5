//! Answers from elsewhere: an exchange waits, and another thread answers it.

use super::remote::Remote;
use super::{Answer, Exchange, Handler, Permit, Response, Status};
use crate::Context;
use lws_proto::Cause;
use std::sync::Arc;
use std::time::Duration;

/// How long an exchange waits for its answer, unless [`Deferred::within`] says otherwise.
const DEADLINE: Duration = Duration::from_secs(60);

/// The answer of an exchange that another thread gives: what a function of a route returns in place of a [`Response`]. Made by
/// [`Context::defer`].
///
/// One that is not answered within 60 seconds, or within what [`within`](Self::within) says, is answered 503.
#[derive(Debug)]
#[must_use = "it is what the function of the route returns"]
pub struct Deferred {
    shared: Arc<Remote<DeferredState>>,
    deadline: Duration,
}

/// Gives the answer, from whatever thread, once. Dropping it answers 500.
#[derive(Debug)]
#[must_use = "a promise that is dropped answers 500"]
pub struct Promise(Arc<Remote<DeferredState>>);

#[derive(Debug)]
enum DeferredState {
    Open,
    Answered(Box<Response>),
    /// The promise was dropped.
    Broken,
    /// The answer has been taken, or its time is over.
    Closed,
}

impl Context<'_> {
    /// Lets another thread answer: the promise is for that thread, and the function of the route returns the other.
    ///
    /// ```
    /// use lws_server::{Server, http::Response};
    /// use std::thread;
    ///
    /// let server = Server::builder().get_with("/slow", |cx, _| {
    ///     let (promise, deferred) = cx.defer();
    ///     thread::spawn(move || {
    ///         // Something that takes its time.
    ///         let _ = promise.answer(Response::text("done"));
    ///     });
    ///     deferred
    /// });
    /// ```
    pub fn defer(&mut self) -> (Promise, Deferred) {
        let shared = Arc::new(Remote::new(DeferredState::Open));
        (Promise(Arc::clone(&shared)), Deferred { shared, deadline: DEADLINE })
    }

    /// Has a thread of the server's pool do what waits, and answer with what comes of it: see [`Builder::work`](crate::Builder::work). The
    /// function of the route returns what this returns.
    ///
    /// If too much work is queued already the answer is 503, and if `work` panics it is 500. Work whose exchange has
    /// ended is not begun.
    ///
    /// ```
    /// use lws_server::{Server, http::Response};
    ///
    /// let server = Server::builder().get_with("/load", |cx, _| {
    ///     cx.work(|| Response::text(std::fs::read_to_string("/proc/loadavg").unwrap_or_default()))
    /// });
    /// ```
    pub fn work<R: Into<Response>>(&mut self, work: impl FnOnce() -> R + Send + 'static) -> Deferred {
        let (promise, deferred) = self.defer();
        match self.state.group.pools.work.reserve() {
            Ok(slot) => {
                let do_it = move || {
                    if promise.is_wanted() {
                        // A peer that has left meanwhile gets nothing.
                        let _ = promise.answer(work());
                    }
                };
                slot.call(do_it, drop);
                deferred
            }
            Err(_) => Response::error(Status::SERVICE_UNAVAILABLE).into(),
        }
    }
}

impl Promise {
    /// Answers the exchange.
    ///
    /// # Errors
    /// The response: the exchange is over, as the peer has left or the time was up.
    pub fn answer(self, response: impl Into<Response>) -> Result<(), Response> {
        let response: Response = response.into();
        let mut left = Some(response);
        self.0.change(|state| {
            if let DeferredState::Open = state
                && let Some(response) = left.take()
            {
                *state = DeferredState::Answered(Box::new(response));
            }
            true
        });
        left.map_or(Ok(()), Err)
    }

    /// Whether anybody waits for the answer: work for a peer that has left can stop.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let inner = self.0.lock();
        !inner.over && matches!(inner.value, DeferredState::Open)
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.change(|state| {
            let broken = matches!(state, DeferredState::Open);
            if broken {
                *state = DeferredState::Broken;
            }
            broken
        });
    }
}

impl Deferred {
    /// How long the exchange waits. Past it: 503.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

impl From<Response> for Deferred {
    /// An answer that is there already, for a function that defers only some of them.
    fn from(response: Response) -> Self {
        let shared = Arc::new(Remote::new(DeferredState::Answered(Box::new(response))));
        Self { shared, deadline: DEADLINE }
    }
}

impl Answer for Deferred {
    const COLLECTS: bool = true;

    fn answer(self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, _: bool) -> Option<Box<dyn Handler>> {
        exchange.set_timeout(Some(cx.now() + self.deadline));
        // From here on a change wakes, so that none is missed that comes before the look below.
        self.shared.begin(cx);
        let mut waiting = WaitingResponse(self.shared);
        waiting.look(exchange);
        Some(Box::new(waiting))
    }
}

/// The exchange that waits.
struct WaitingResponse(Arc<Remote<DeferredState>>);

impl WaitingResponse {
    /// Answers if the answer is there and may be sent.
    fn look(&mut self, mut exchange: Exchange<'_>) {
        match self.0.lock().value {
            DeferredState::Open | DeferredState::Closed => return,
            DeferredState::Answered(_) | DeferredState::Broken => {}
        }
        match exchange.permit() {
            Ok(permit) => self.send(permit),
            Err(held) => {
                exchange = held;
                exchange.want_write();
            }
        }
    }

    fn send(&mut self, permit: Permit<'_>) {
        let state = std::mem::replace(&mut self.0.lock().value, DeferredState::Closed);
        match state {
            DeferredState::Answered(response) => permit.reply(*response),
            DeferredState::Broken => permit.reply(Response::error(Status::INTERNAL_SERVER_ERROR)),
            // A permit that was not requested.
            DeferredState::Open => self.0.lock().value = DeferredState::Open,
            DeferredState::Closed => {}
        }
    }
}

impl Handler for WaitingResponse {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {}

    fn wake(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>) {
        self.look(exchange);
    }

    fn timer(&mut self, _: &mut Context<'_>, exchange: Exchange<'_>) {
        let mut inner = self.0.lock();
        if let DeferredState::Open = inner.value {
            inner.value = DeferredState::Answered(Box::new(Response::error(Status::SERVICE_UNAVAILABLE)));
        }
        drop(inner);
        self.look(exchange);
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        self.send(permit);
    }

    fn close(&mut self, _: &mut Context<'_>, _: Cause) {
        self.0.end();
    }
}
