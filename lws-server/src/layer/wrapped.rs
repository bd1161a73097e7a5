//! An endpoint behind layers.

use super::kept::Kept;
use super::{Fields, LayerTerms, Layers};
use crate::Context;
use crate::http::{self, Answer, Exchange, Request, Response};
use crate::route::endpoint::Endpoint;
use crate::{raw, ws};
use std::rc::Rc;

/// An endpoint that gets what its layers let pass.
pub(crate) struct Wrapped {
    layers: Layers,
    endpoint: Rc<dyn Endpoint>,
}

impl Wrapped {
    pub(crate) fn new(layers: Layers, endpoint: Rc<dyn Endpoint>) -> Self {
        Self { layers, endpoint }
    }
}

impl Endpoint for Wrapped {
    fn precedes_guards(&self) -> bool {
        self.endpoint.precedes_guards()
    }

    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn http::Handler>> {
        let mut fields = Fields::default();
        let checked = self.layers.check(cx, request, &mut fields);
        let Fields { lines, terms } = fields;
        let mut exchange = exchange;
        if !lines.is_empty() {
            exchange.tally.add_always(lines);
        }
        let LayerTerms { deadline, content_bytes_max, compression, identity, kept } = terms;
        exchange.attach(deadline, compression, kept);
        let mut request = request.identified(identity.as_deref());
        if let Some(bytes) = content_bytes_max {
            // Where content is gathered it is the request that says how much.
            exchange.limit_content(bytes as u64);
            request = request.limited(bytes);
        }
        match checked {
            Ok(()) => self.endpoint.request(cx, &request, exchange, end),
            Err(response) => response.answer(cx, exchange, end),
        }
    }

    fn upgrade(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
    ) -> Result<ws::Accepted<Box<dyn ws::Handler>>, Response> {
        let mut fields = Fields::default();
        let checked = self.layers.check(cx, request, &mut fields);
        let Fields { lines, terms } = fields;
        let LayerTerms { identity, kept, .. } = terms;
        let request = request.identified(identity.as_deref());
        match checked.and_then(|()| self.endpoint.upgrade(cx, &request)) {
            Ok(mut accepted) => {
                if !kept.is_empty() {
                    accepted.handler = Box::new(Kept { handler: accepted.handler, _kept: kept });
                }
                Ok(lines.into_iter().fold(accepted, |accepted, (name, value)| accepted.field(name, value)))
            }
            Err(response) => {
                Err(lines.into_iter().fold(response, |response, (name, value)| response.field(name, value)))
            }
        }
    }

    fn raw(&self, cx: &mut Context<'_>) -> Option<Box<dyn raw::Handler>> {
        self.endpoint.raw(cx)
    }
}
