//! WebSocket handlers: one per connection.

use crate::Context;
use crate::http::Response;
pub use crate::outbox::{NotSent, Outbox, Overflow};
pub use crate::publish::topics::{Backlog, LagPolicy};
use lws_proto::http::Head;
use lws_proto::ws::Accept;
pub use lws_proto::ws::{Broadcast, CloseCode, Deflate, Negotiate, OptionError, Prepared};
use lws_proto::{Cause, Control, MessageKind, Misuse, WebSocket, WebSocketPermit};
use std::borrow::Cow;
use std::sync::Arc;

/// One WebSocket. Made by the factory of its route when the opening handshake is there, dropped after
/// [`close`](Self::close).
///
/// A handler sends by spending a [`WebSocketPermit`]: the one that [`WebSocket::permit`] gives at once, or the one that comes with
/// [`writable`](Self::writable) after [`WebSocket::want_write`].
///
/// ```
/// use lws_server::ws::{Handler, Message};
/// use lws_server::{Cause, Context, Server, WebSocket, WebSocketPermit};
///
/// /// Counts messages, and says how many there were when it can.
/// struct Count(u64);
///
/// impl Handler for Count {
///     fn message(&mut self, _: &mut Context<'_>, mut stream: WebSocket<'_>, _: Message<'_>) {
///         self.0 += 1;
///         // Asking several times is asking once: a peer that reads slowly gets fewer answers, and nothing queues up.
///         stream.want_write();
///     }
///
///     fn writable(&mut self, _: &mut Context<'_>, permit: WebSocketPermit<'_>) {
///         let _ = permit.text(&self.0.to_string());
///     }
///
///     fn close(&mut self, _: &mut Context<'_>, cause: Cause) {
///         println!("{} messages, then {}", self.0, cause.name());
///     }
/// }
///
/// let server = Server::builder().ws("/count", |_| Count(0));
/// ```
#[doc(alias = "lws_protocols")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no `ws::Handler`",
    label = "not a handler of WebSockets",
    note = "implement `lws_server::ws::Handler`; each of its calls has a default"
)]
pub trait Handler: 'static {
    /// The opening handshake is done.
    #[doc(alias = "LWS_CALLBACK_ESTABLISHED")]
    fn open(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        let _ = (cx, stream);
    }

    /// A message, or a part of one if the route said [`Accepted::streamed`].
    #[doc(alias = "LWS_CALLBACK_RECEIVE")]
    fn message(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>, message: Message<'_>) {
        let _ = (cx, stream, message);
    }

    /// The permit that was asked for. To a WebSocket that is slow it may also come unasked after something was published
    /// to its route.
    #[doc(alias = "LWS_CALLBACK_SERVER_WRITEABLE")]
    fn writable(&mut self, cx: &mut Context<'_>, permit: WebSocketPermit<'_>) {
        let _ = (cx, permit);
    }

    /// A Ping, Pong or Close was received. The engine answers them.
    #[doc(alias = "LWS_CALLBACK_RECEIVE_PONG")]
    #[doc(alias = "LWS_CALLBACK_WS_PEER_INITIATED_CLOSE")]
    fn control(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>, control: Control<'_>) {
        let _ = (cx, stream, control);
    }

    /// The moment of [`WebSocket::set_timeout`].
    #[doc(alias = "LWS_CALLBACK_TIMER")]
    fn timer(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        let _ = (cx, stream);
    }

    /// A message was published to the route or to a topic of this WebSocket. Answers whether the peer gets it: by default it does.
    fn published(&mut self, cx: &mut Context<'_>, message: &Prepared) -> bool {
        let _ = (cx, message);
        true
    }

    /// What came of [`Context::subscribe_from`]: the WebSocket is subscribed from now on. What is sent here stands before the messages that
    /// it has missed, if they are known, and those that follow.
    #[cfg(feature = "broker")]
    fn recovered(
        &mut self,
        cx: &mut Context<'_>,
        stream: WebSocket<'_>,
        recovered: &crate::broker::Recovered,
    ) {
        let _ = (cx, stream, recovered);
    }

    /// [`Handle::wake`](crate::Handle::wake) or [`Context::wake`] was called for the WebSocket.
    #[doc(alias = "LWS_CALLBACK_EVENT_WAIT_CANCELLED")]
    fn wake(&mut self, cx: &mut Context<'_>, stream: WebSocket<'_>) {
        let _ = (cx, stream);
    }

    /// The WebSocket is over. Exactly once, also if [`open`](Self::open) never came.
    #[doc(alias = "LWS_CALLBACK_CLOSED")]
    fn close(&mut self, cx: &mut Context<'_>, cause: Cause) {
        let _ = (cx, cause);
    }
}

/// A data message that was received, or a part of one. RFC 6455 §5.6.
#[derive(Debug)]
pub struct Message<'a> {
    /// Text or binary.
    pub kind: MessageKind,
    /// The bytes. A part of a text may end inside a character; a whole one is UTF-8.
    pub chunk: &'a mut [u8],
    /// Whether these are the first.
    pub first: bool,
    /// How many bytes of this frame are still to come.
    pub remaining: u64,
    /// Whether these are the last of the message.
    pub end: bool,
}

impl Message<'_> {
    /// The text, if this is a whole text message.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self.kind {
            MessageKind::Text if self.first && self.end => std::str::from_utf8(self.chunk).ok(),
            _ => None,
        }
    }
}

/// A handler, and how its opening handshake is accepted. A factory that has nothing to say about that returns the
/// handler alone.
#[derive(Clone, Debug)]
#[must_use]
pub struct Accepted<H> {
    pub(crate) handler: H,
    pub(crate) protocol: Option<Cow<'static, str>>,
    pub(crate) fields: Vec<(&'static str, String)>,
    pub(crate) extensions: Vec<Arc<dyn Negotiate>>,
    pub(crate) streamed: bool,
}

impl<H> Accepted<H> {
    /// No subprotocol, no further fields, no extension, whole messages.
    pub fn new(handler: H) -> Self {
        Self { handler, protocol: None, fields: Vec::new(), extensions: Vec::new(), streamed: false }
    }

    /// The subprotocol that is spoken: one of those offered, as [`Request::select_protocol`](crate::http::Request::select_protocol) finds it.
    pub fn protocol(mut self, protocol: impl Into<Option<&'static str>>) -> Self {
        self.protocol = protocol.into().map(Cow::Borrowed);
        self
    }

    /// The subprotocol that is spoken, where its name is not known before: that which an upstream has chosen, for instance.
    pub fn protocol_chosen(mut self, protocol: String) -> Self {
        self.protocol = Some(Cow::Owned(protocol));
        self
    }

    /// Adds a field to the response.
    pub fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Allows an extension.
    #[doc(alias = "lws_extension")]
    pub fn extension(mut self, extension: Arc<dyn Negotiate>) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Allows permessage-deflate, RFC 7692. For all WebSockets of a server there is
    /// [`Builder::deflate`](crate::Builder::deflate), before which this comes. Give it clones of one value, as those share
    /// their contexts.
    pub fn deflate(self, deflate: &Deflate) -> Self {
        self.extension(Arc::new(deflate.clone()))
    }

    /// Accepts with a handler whose type is erased, as [`Endpoint::upgrade`](crate::Endpoint::upgrade) returns it.
    pub fn boxed(self) -> Accepted<Box<dyn Handler>>
    where
        H: Handler,
    {
        let Self { handler, protocol, fields, extensions, streamed } = self;
        Accepted { handler: Box::new(handler), protocol, fields, extensions, streamed }
    }

    /// Messages come in parts, as they arrive: they may be of any size, and nothing of them is held. Otherwise each comes
    /// whole, within [`Limits::message_bytes_max`](lws_proto::Limits::message_bytes_max).
    pub fn streamed(mut self) -> Self {
        self.streamed = true;
        self
    }
}

impl Accepted<Box<dyn Handler>> {
    /// Accepts the opening handshake of `head` with it.
    ///
    /// # Errors
    /// A subprotocol that was not offered, or a field that cannot be written. Nothing has been sent then.
    pub(crate) fn accept(
        self,
        exchange: lws_proto::Exchange<'_>,
        head: &Head<'_>,
        deflate: Option<&Deflate>,
    ) -> Result<Box<dyn Handler>, Misuse> {
        let fields: Vec<_> = self.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut accept = Accept::new().fields(&fields).extensions(&self.extensions);
        if let Some(deflate) = deflate {
            accept = accept.deflate(deflate);
        }
        if let Some(protocol) = &self.protocol {
            accept = accept.protocol(protocol);
        }
        if self.streamed {
            accept = accept.streamed();
        }
        exchange.accept_websocket(head, &accept)?;
        Ok(self.handler)
    }
}

/// What the factory of a WebSocket route may return: a [`Handler`], an [`Accepted`] one, or a `Result` of either with
/// the response that refuses.
#[diagnostic::on_unimplemented(
    message = "a WebSocket cannot be accepted with `{Self}`",
    label = "neither a handler nor a refusal",
    note = "the factory of a WebSocket route returns a `ws::Handler`, one that is `ws::Accepted`, or a `Result` of either with an error that \
            becomes an `http::Response`"
)]
pub trait Accepting {
    /// The handler.
    #[doc(hidden)]
    type Handler: Handler;

    /// How to go on.
    #[doc(hidden)]
    fn accepting(self) -> Result<Accepted<Self::Handler>, Response>;
}

impl<H: Handler> Accepting for H {
    type Handler = H;

    fn accepting(self) -> Result<Accepted<H>, Response> {
        Ok(Accepted::new(self))
    }
}

impl<H: Handler> Accepting for Accepted<H> {
    type Handler = H;

    fn accepting(self) -> Result<Self, Response> {
        Ok(self)
    }
}

impl<A: Accepting, R: Into<Response>> Accepting for Result<A, R> {
    type Handler = A::Handler;

    fn accepting(self) -> Result<Accepted<A::Handler>, Response> {
        self.map_err(Into::into)?.accepting()
    }
}
