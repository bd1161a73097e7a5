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
mod wrapped;

use crate::Context;
use crate::http::{Request, Response};
pub use cors::Cors;
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

/// Field lines that layers add to a response.
#[derive(Clone, Debug, Default)]
pub struct Fields(Vec<(&'static str, Cow<'static, str>)>);

impl Fields {
    /// Adds a line. One that cannot be written, as it has a line break, makes a 500 of the response.
    pub fn add(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        self.0.push((name, value.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_lines(self) -> Vec<(&'static str, Cow<'static, str>)> {
        self.0
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

    fn check(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        fields: &mut Fields,
    ) -> Result<(), Response> {
        self.0.iter().try_for_each(|layer| layer.check(cx, request, fields))
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layers").field("len", &self.0.len()).finish()
    }
}
