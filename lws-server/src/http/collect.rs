//! Gathers the content of a request for a plain handler, up to a limit.

use super::{Answer, Exchange, Handler, KeptHead, Permit, Request};
use crate::Context;
use crate::http::{Response, Status};
use lws_proto::{Cause, Limit};
use std::rc::Rc;

/// Holds the head and what has come of the content, then calls the factory and becomes what that returns.
pub(crate) enum Collect<F> {
    Content { factory: Rc<F>, head: Box<KeptHead>, content: Vec<u8> },
    Answered(Option<Box<dyn Handler>>),
}

impl<F: Fn(&mut Context<'_>, &Request<'_>) -> A + 'static, A: Answer> Collect<F> {
    /// The engine answers 413 past the limit of the route, so that nothing more than that ever comes to be held here. What is held counts
    /// with what the connection and the service hold.
    pub(crate) fn begin(
        cx: &mut Context<'_>,
        factory: &Rc<F>,
        request: &Request<'_>,
        mut exchange: Exchange<'_>,
    ) -> Option<Box<dyn Handler>> {
        exchange.limit_content(request.content_bytes_max() as u64);
        let head = Box::new(request.keep());
        if let Err(limit) = exchange.hold(head.held()) {
            return refuse(limit, cx, exchange);
        }
        Some(Box::new(Self::Content { factory: Rc::clone(factory), head, content: Vec::new() }))
    }
}

/// Answers that no more can be held. What still comes of the request is dropped.
#[cold]
fn refuse(limit: Limit, cx: &mut Context<'_>, mut exchange: Exchange<'_>) -> Option<Box<dyn Handler>> {
    let status = Status::new(limit.status()).unwrap_or(Status::SERVICE_UNAVAILABLE);
    exchange.last_exchange();
    Response::error(status).answer(cx, exchange, false)
}

impl<F: Fn(&mut Context<'_>, &Request<'_>) -> A + 'static, A: Answer> Handler for Collect<F> {
    fn open(&mut self, _: &mut Context<'_>, _: Exchange<'_>, _: bool) {}

    fn content(&mut self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, chunk: &mut [u8], end: bool) {
        let Self::Content { factory, head, content } = self else { return };
        if let Err(limit) = exchange.hold(chunk.len()) {
            exchange.let_go(head.held() + content.len());
            *self = Self::Answered(refuse(limit, cx, exchange));
            return;
        }
        content.extend_from_slice(chunk);
        if end {
            exchange.let_go(head.held() + content.len());
            // The factory gets the context too, which lends what TLS has agreed on: so this is a copy, of a few words.
            let tls = cx.tls().cloned();
            let answer = factory(cx, &Request::kept(head, content, tls.as_ref()));
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
