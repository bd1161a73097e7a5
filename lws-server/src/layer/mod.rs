//! What stands around endpoints: limits, request identities, field lines that every response has.
//!
//! A layer looks at a request, or at the opening handshake of a WebSocket, before the endpoint does. It lets it pass, perhaps with field
//! lines for the response, or answers in place of the endpoint. It wraps a route ([`Route::layer`](crate::Route::layer)), or all routes of a
//! site ([`Builder::layer`](crate::Builder::layer)). Who may come in at all is decided before, by a [`Guard`](crate::Guard), which may take
//! its time.
//!
//! ```
//! use lws_server::http::{Request, Response};
//! use lws_server::layer::Fields;
//! use lws_server::{Context, Server};
//! use std::cell::Cell;
//!
//! let count = Cell::new(0_u64);
//! let number = move |_: &mut Context<'_>, _: &Request<'_>, fields: &mut Fields| -> Result<(), Response> {
//!     count.set(count.get() + 1);
//!     fields.add("X-Request-Number", count.get().to_string());
//!     // An `Err` would be the response in place of the endpoint's.
//!     Ok(())
//! };
//!
//! let server = Server::builder().get("/", |_| Response::text("Hello!")).layer(number);
//! ```

mod cors;
mod kept;
mod ready;
mod wrapped;

use crate::Context;
use crate::http::{Compression, Request, Response, Status};
use crate::site::served::can_be_written;
pub use cors::Cors;
use lws_proto::Time;
pub use ready::{Compress, ConcurrencyLimit, ContentLimit, Deadline, RequestIdentity};
use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
pub(crate) use wrapped::Wrapped;

/// What looks at requests and opening handshakes before an endpoint does. A function with these arguments is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no `Layer`",
    label = "not a layer",
    note = "a layer is what implements `lws_server::layer::Layer`, or a function \
            `Fn(&mut Context<'_>, &Request<'_>, &mut Fields) -> Result<(), Response>`"
)]
pub trait Layer: 'static {
    /// A request has been received up to its content, or an opening handshake. `fields` go into the response, whichever
    /// part of the server makes it.
    ///
    /// # Errors
    /// The response in place of the endpoint's.
    fn check(&self, cx: &mut Context<'_>, request: &Request<'_>, fields: &mut Fields)
    -> Result<(), Response>;

    /// The rules for pages of other origins, if that is what the layer is about: preflights are answered by them, before any layer is
    /// asked. Only [`Cors`] has some.
    #[doc(hidden)]
    fn cors(&self) -> Option<&Cors> {
        None
    }
}

impl<F> Layer for F
where
    F: Fn(&mut Context<'_>, &Request<'_>, &mut Fields) -> Result<(), Response> + 'static,
{
    fn check(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        fields: &mut Fields,
    ) -> Result<(), Response> {
        self(cx, request, fields)
    }
}

/// Field lines that layers add to a response. The layers of this crate ask for more by it: a deadline, a limit, a content coding.
#[derive(Default)]
pub struct Fields {
    lines: Vec<(&'static str, Cow<'static, str>)>,
    pub(crate) terms: LayerTerms,
}

/// What layers ask for beside field lines.
#[derive(Default)]
pub(crate) struct LayerTerms {
    /// When the response must have begun.
    pub(crate) deadline: Option<Time>,
    pub(crate) content_bytes_max: Option<usize>,
    pub(crate) compression: Option<Compression>,
    pub(crate) identity: Option<Box<str>>,
    /// What is dropped with the exchange or the WebSocket.
    pub(crate) kept: Vec<Box<dyn Any>>,
}

impl Fields {
    /// Adds a line. One that cannot be written, as it has a line break, makes a 500 of the response.
    pub fn add(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        self.lines.push((name, value.into()));
    }

    /// Takes out what cannot be written. Answers whether there was something.
    fn take_malformed(&mut self) -> bool {
        let before = self.lines.len();
        self.lines.retain(|(name, value)| can_be_written(name, value));
        self.lines.len() < before
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields").field("lines", &self.lines).finish_non_exhaustive()
    }
}

/// The layers of a route or site, the first one outermost.
#[derive(Clone, Default)]
pub(crate) struct Layers(Vec<Rc<dyn Layer>>);

impl Layers {
    pub(crate) fn push(&mut self, layer: impl Layer) {
        self.0.push(Rc::new(layer));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rules for pages of other origins. The innermost ones count, which stand closest to the endpoint.
    pub(crate) fn cors(&self) -> Option<&Cors> {
        self.0.iter().rev().find_map(|layer| layer.cors())
    }

    /// These, without rules for pages of other origins: a response that names its origin twice is refused by browsers.
    pub(crate) fn without_cors(&self) -> Self {
        Self(self.0.iter().filter(|layer| layer.cors().is_none()).cloned().collect())
    }

    fn check(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        fields: &mut Fields,
    ) -> Result<(), Response> {
        let checked = self.0.iter().try_for_each(|layer| layer.check(cx, request, fields));
        if fields.take_malformed() {
            // With such a line no response could be written, this one included.
            return Err(Response::error(Status::INTERNAL_SERVER_ERROR));
        }
        checked
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers").field("len", &self.0.len()).finish()
    }
}
