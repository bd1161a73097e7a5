//! Factories and plain functions as endpoints.

use crate::Context;
use crate::http::{self, Answer, Collect, Exchange, Request, Response};
use crate::raw;
use crate::route::endpoint::Endpoint;
use crate::ws::{self, Accepted, Accepting};
use std::marker::PhantomData;
use std::rc::Rc;

/// The endpoint of a factory, or of a plain function.
pub(crate) fn http<A: Answer>(
    factory: impl Fn(&mut Context<'_>, &Request<'_>) -> A + 'static,
) -> impl Endpoint {
    Exchanges { factory: Rc::new(factory), answer: PhantomData }
}

struct Exchanges<F, A> {
    factory: Rc<F>,
    answer: PhantomData<fn() -> A>,
}

impl<F: Fn(&mut Context<'_>, &Request<'_>) -> A + 'static, A: Answer> Endpoint for Exchanges<F, A> {
    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn http::Handler>> {
        if A::COLLECTS && !end {
            return Collect::begin(cx, &self.factory, request, exchange);
        }
        (self.factory)(cx, request).answer(cx, exchange, end)
    }
}

/// The endpoint of a factory of WebSocket handlers.
pub(crate) fn websockets<A: Accepting + 'static>(
    factory: impl Fn(&mut Context<'_>, &Request<'_>) -> A + 'static,
) -> impl Endpoint {
    WebSockets { factory, accepting: PhantomData }
}

struct WebSockets<F, A> {
    factory: F,
    accepting: PhantomData<fn() -> A>,
}

impl<F: Fn(&mut Context<'_>, &Request<'_>) -> A + 'static, A: Accepting + 'static> Endpoint
    for WebSockets<F, A>
{
    fn upgrade(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
    ) -> Result<Accepted<Box<dyn ws::Handler>>, Response> {
        Ok((self.factory)(cx, request).accepting()?.boxed())
    }
}

/// The endpoint of a factory of raw handlers.
pub(crate) fn raw<H: raw::Handler>(factory: impl Fn() -> H + 'static) -> impl Endpoint {
    RawStreams(factory)
}

struct RawStreams<F>(F);

impl<F: Fn() -> H + 'static, H: raw::Handler> Endpoint for RawStreams<F> {
    fn raw(&self, _: &mut Context<'_>) -> Option<Box<dyn raw::Handler>> {
        Some(Box::new((self.0)()))
    }
}
