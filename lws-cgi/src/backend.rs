//! What stands behind an exchange: something that takes the content of a request and writes an answer as scripts do.

use crate::failure::Failure;
use lws_server::{Context, StreamId};

/// What is made of a request once its content can be handed over.
pub(crate) trait Launch: 'static {
    type Backend: Backend;

    /// Starts a backend for `exchange`, which it wakes. `length` is that of the content, if there is any.
    fn launch(
        self,
        cx: &mut Context<'_>,
        exchange: StreamId,
        length: Option<u64>,
    ) -> Result<Self::Backend, Failure>;
}

/// A script at work on one request. It wakes the exchange whenever one of its calls can do more than it could.
pub(crate) trait Backend: 'static {
    /// Offers content of the request, and returns how much of it was taken: all of it where nothing is read any more. Where it is not
    /// all, the exchange is woken when more can be.
    fn send(&mut self, cx: &mut Context<'_>, content: &[u8]) -> usize;

    /// Lets its [`Limits::time_max`](crate::Limits::time_max) run, as it does from its start on, or stand still while the client is waited for.
    fn set_clock(&mut self, cx: &mut Context<'_>, runs: bool);

    /// There is no more content.
    fn finish(&mut self, cx: &mut Context<'_>);

    /// Reads output.
    fn receive(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Received;

    /// The exchange is over, with a whole answer or without. Nothing is called any more.
    fn release(&mut self, cx: &mut Context<'_>, whole: bool);
}

/// What there was to read.
#[derive(Debug)]
pub(crate) enum Received {
    Octets(usize),
    /// Nothing now.
    Pending,
    /// Nothing any more: it has said all.
    End,
    /// Nothing any more, and something is missing.
    Failed(Failure),
}
