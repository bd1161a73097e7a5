//! Endpoints of functions, for protocols that are no more than that.

use lws_server::http::{Request, Response};
use lws_server::{Context, Endpoint, raw, ws};

/// The endpoint of a protocol of WebSockets: `factory` makes the handler of each.
#[must_use]
pub fn websockets<H: ws::Handler>(
    factory: impl Fn(&Request<'_>) -> ws::Accepted<H> + 'static,
) -> Box<dyn Endpoint> {
    Box::new(WebSocketFactory(factory))
}

/// The endpoint of a protocol of raw streams: `factory` makes the handler of each.
#[must_use]
pub fn raw_streams<H: raw::Handler>(factory: impl Fn() -> H + 'static) -> Box<dyn Endpoint> {
    Box::new(RawFactory(factory))
}

struct WebSocketFactory<F>(F);

impl<H, F> Endpoint for WebSocketFactory<F>
where
    H: ws::Handler,
    F: Fn(&Request<'_>) -> ws::Accepted<H> + 'static,
{
    fn upgrade(
        &self,
        _: &mut Context<'_>,
        request: &Request<'_>,
    ) -> Result<ws::Accepted<Box<dyn ws::Handler>>, Response> {
        Ok((self.0)(request).boxed())
    }
}

struct RawFactory<F>(F);

impl<H, F> Endpoint for RawFactory<F>
where
    H: raw::Handler,
    F: Fn() -> H + 'static,
{
    fn raw(&self, _: &mut Context<'_>) -> Option<Box<dyn raw::Handler>> {
        Some(Box::new((self.0)()))
    }
}
