//! Gathers the content of a request for a plain handler, up to a limit.

use super::{Answer, Exchange, Handler, KeptHead, Permit, Request};
use crate::Context;
use lws_proto::Cause;
use std::rc::Rc;

/// Holds the head and what has come of the content, then calls the factory and becomes what that returns.
pub(super) enum Collect<F> {
    Content { factory: Rc<F>, head: Box<KeptHead>, content: Vec<u8> },
    Answered(Option<Box<dyn Handler>>),
}

impl<F: Fn(&Request<'_>) -> A + 'static, A: Answer> Collect<F> {
    /// The engine answers 413 past `bytes_max`, so that nothing more than that ever comes to be held here.
    pub(super) fn begin(
        factory: &Rc<F>,
        bytes_max: usize,
        request: &Request<'_>,
        mut exchange: Exchange<'_>,
    ) -> Box<dyn Handler> {
        exchange.limit_content(bytes_max as u64);
        Box::new(Self::Content {
            factory: Rc::clone(factory),
            head: Box::new(request.keep()),
            content: Vec::new(),
        })
    }
}

impl<F: Fn(&Request<'_>) -> A + 'static, A: Answer> Handler for Collect<F> {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {}

    fn content(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>, chunk: &mut [u8], end: bool) {
        let Self::Content { factory, head, content } = self else { return };
        content.extend_from_slice(chunk);
        if end {
            let answer = factory(&Request::kept(head, content, cx.tls()));
            *self = Self::Answered(answer.answer(cx, exchange, true));
        }
    }

    fn writable(&mut self, cx: &mut Context<'_>, permit: Permit<'_>) {
        if let Self::Answered(Some(handler)) = self {
            handler.writable(cx, permit);
        }
    }

    fn timer(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        if let Self::Answered(Some(handler)) = self {
            handler.timer(cx, exchange);
        }
    }

    fn peer_ended(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        if let Self::Answered(Some(handler)) = self {
            handler.peer_ended(cx, exchange);
        }
    }

    fn wake(&mut self, cx: &mut Context<'_>, exchange: Exchange<'_>) {
        if let Self::Answered(Some(handler)) = self {
            handler.wake(cx, exchange);
        }
    }

    fn close(&mut self, cx: &mut Context<'_>, cause: Cause) {
        if let Self::Answered(Some(handler)) = self {
            handler.close(cx, cause);
        }
    }
}
