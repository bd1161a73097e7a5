//! An exchange that is answered with what another server says.

use super::{Failure, Pending, Request, Response};
use crate::Context;
use crate::http::{self, Exchange, Handler, Permit};
use std::cell::RefCell;
use std::rc::Rc;

/// Bytes of content that are gathered unless [`Fetch::bytes_max`] says otherwise: 1 MiB.
const BYTES_MAX: usize = 1 << 20;

/// A handler that asks another server, waits, and answers with what `answer` makes of the outcome. Content of the request that it answers
/// is read and dropped. When the exchange ends before, the request is given up.
///
/// A factory returns it: see the [module](super).
pub struct Fetch<F> {
    /// Until it is asked for.
    request: Option<Request>,
    bytes_max: usize,
    answer: Option<F>,
    pending: Option<Pending>,
    outcome: Rc<RefCell<Option<Result<Response, Failure>>>>,
    /// What waits for room to be sent.
    response: Option<http::Response>,
}

impl<F: FnOnce(&mut Context<'_>, Result<Response, Failure>) -> http::Response + 'static> Fetch<F> {
    /// Asks for `request`, and answers with what `answer` returns.
    #[must_use]
    pub fn new(request: Request, answer: F) -> Self {
        Self {
            request: Some(request),
            bytes_max: BYTES_MAX,
            answer: Some(answer),
            pending: None,
            outcome: Rc::default(),
            response: None,
        }
    }

    /// Bytes of content that are gathered: a response with more is a [`Failure`]. Default 1 MiB.
    #[must_use]
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }
}

impl<F: FnOnce(&mut Context<'_>, Result<Response, Failure>) -> http::Response + 'static> Handler
    for Fetch<F>
{
    fn open(&mut self, cx: &mut Context<'_>, _: Exchange<'_>, _: bool) {
        let (Some(request), Some(waker)) = (self.request.take(), cx.waker()) else { return };
        let outcome = Rc::clone(&self.outcome);
        self.pending = Some(cx.fetch(request, self.bytes_max, move |_, result| {
            outcome.replace(Some(result));
            waker.wake();
        }));
    }

    fn wake(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>) {
        let Some(outcome) = self.outcome.take() else { return };
        let Some(answer) = self.answer.take() else { return };
        self.response = Some(answer(cx, outcome));
        match exchange.permit() {
            Ok(permit) => self.writable(cx, permit),
            Err(refused) => {
                exchange = refused;
                exchange.want_write();
            }
        }
    }

    fn writable(&mut self, _: &mut Context<'_>, permit: Permit<'_>) {
        if let Some(response) = self.response.take() {
            permit.reply(response);
        }
    }
}
