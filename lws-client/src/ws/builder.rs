//! How an application says which WebSocket it wants.

use super::{Handler, OutboxLimits, ReconnectRules, Socket, SocketId, Terms};
use crate::Fields;
use crate::client::Client;
use crate::options::RequestOptions;
use crate::url::{Url, UrlError};
use lws_proto::ws::Deflate;

/// A WebSocket that is being described. Nothing is asked for before [`start`](Self::start).
#[must_use = "nothing is asked for before `start`"]
pub struct SocketBuilder<'c> {
    client: &'c mut Client,
    terms: Terms,
}

impl Client {
    /// A WebSocket.
    ///
    /// ```
    /// use lws_client::ws::{Context, GaveUp, Handler, Message};
    /// use lws_client::{Client, Options};
    ///
    /// struct Printer;
    /// impl Handler for Printer {
    ///     fn message(&mut self, _: &mut Context<'_>, message: Message<'_>) {
    ///         println!("{}", message.bytes.escape_ascii());
    ///     }
    ///     fn gave_up(self: Box<Self>, _: &mut Context<'_>, why: GaveUp) {
    ///         println!("{why:?}");
    ///     }
    /// }
    ///
    /// let mut client = Client::new(Options::default());
    /// let socket = client.websocket("ws://127.0.0.1:7681/chat")?.protocol("v2.chat").start(Printer);
    /// # let _ = socket;
    /// # Ok::<(), lws_client::UrlError>(())
    /// ```
    ///
    /// # Errors
    /// It is no URL with the scheme `ws` or `wss`.
    pub fn websocket(&mut self, url: &str) -> Result<SocketBuilder<'_>, UrlError> {
        let url: Url = url.parse()?;
        if !url.is_websocket() {
            return Err(UrlError::Scheme);
        }
        let options = self.options.request.clone();
        let terms = Terms {
            url,
            host: None,
            target: None,
            fields: Fields::new(),
            protocols: Vec::new(),
            deflate: None,
            streamed: false,
            options,
            rules: ReconnectRules::default(),
            limits: OutboxLimits::default(),
        };
        Ok(SocketBuilder { client: self, terms })
    }
}

impl SocketBuilder<'_> {
    /// Adds a field line to the opening handshake.
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.terms.fields.add(name, value);
        self
    }

    /// The value of `Host` in place of the URL's authority, for a proxy.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.terms.host = Some(host.into());
        self
    }

    /// The request target in place of the URL's path and query, octet for octet, for a proxy.
    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.terms.target = Some(target.into());
        self
    }

    /// Offers a subprotocol, behind those before it. RFC 6455 §1.9.
    pub fn protocol(mut self, name: &str) -> Self {
        self.terms.protocols.push(name.to_owned());
        self
    }

    /// Offers permessage-deflate. RFC 7692.
    pub fn deflate(mut self, deflate: Deflate) -> Self {
        self.terms.deflate = Some(deflate);
        self
    }

    /// Tells messages as they arrive, so that they may be of any size.
    pub fn streamed(mut self) -> Self {
        self.terms.streamed = true;
        self
    }

    /// Changes how connections are made: TLS, proxy, versions. With [`Versions::Http2`](crate::Versions::Http2) it is a stream of an
    /// HTTP/2 connection that others share, if the server knows RFC 8441.
    pub fn options(mut self, change: impl FnOnce(&mut RequestOptions)) -> Self {
        change(&mut self.terms.options);
        self
    }

    /// When it comes back.
    pub fn reconnect(mut self, rules: ReconnectRules) -> Self {
        self.terms.rules = rules;
        self
    }

    /// What it may hold for its server.
    pub fn outbox(mut self, limits: OutboxLimits) -> Self {
        self.terms.limits = limits;
        self
    }

    /// Begins it. The handler is not called within this call.
    pub fn start(self, handler: impl Handler + 'static) -> SocketId {
        self.client.sockets.insert(Socket::new(self.terms, Box::new(handler)))
    }
}
