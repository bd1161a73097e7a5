//! WebSockets of a test.

use super::client::Outgoing;
use super::response::Response;
use super::world::{ClientIndex, World};
use lws_proto::{Bytes, Cause, MessageKind, ws};
use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;

/// An opening handshake that has not been sent.
#[must_use = "nothing is sent before `connect`"]
pub struct Opening {
    world: Rc<RefCell<World>>,
    target: String,
    host: String,
    fields: Vec<(String, String)>,
    protocols: Vec<String>,
    deflate: Option<ws::Deflate>,
    http2: bool,
    from: Option<SocketAddr>,
}

impl Opening {
    pub(super) fn new(world: Rc<RefCell<World>>, target: &str) -> Self {
        Self {
            world,
            target: target.to_owned(),
            host: "localhost".to_owned(),
            fields: Vec::new(),
            protocols: Vec::new(),
            deflate: None,
            http2: false,
            from: None,
        }
    }

    /// The name that it is for. Default `localhost`.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Adds a field line, such as `Origin` or `Cookie`.
    pub fn field(mut self, name: &str, value: impl Into<String>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// Offers a subprotocol, behind those that were offered before.
    pub fn protocol(mut self, protocol: &str) -> Self {
        self.protocols.push(protocol.to_owned());
        self
    }

    /// Offers permessage-deflate. RFC 7692.
    pub fn deflate(mut self, deflate: ws::Deflate) -> Self {
        self.deflate = Some(deflate);
        self
    }

    /// Opens it on a stream of HTTP/2. RFC 8441.
    pub fn http2(mut self) -> Self {
        self.http2 = true;
        self
    }

    /// The address that its connection comes from.
    pub fn from(mut self, address: SocketAddr) -> Self {
        self.from = Some(address);
        self
    }

    /// Opens the WebSocket.
    ///
    /// # Panics
    /// It is refused: [`try_connect`](Self::try_connect) returns the response. Or the handshake cannot be written.
    #[track_caller]
    pub fn connect(self) -> WebSocket {
        let target = self.target.clone();
        match self.try_connect() {
            Ok(websocket) => websocket,
            Err(response) => panic!("the WebSocket {target} is refused: {response:?}"),
        }
    }

    /// Opens the WebSocket, if the server wants it.
    ///
    /// # Errors
    /// The response that refuses.
    ///
    /// # Panics
    /// The handshake cannot be written, or nothing listens any more.
    #[track_caller]
    pub fn try_connect(self) -> Result<WebSocket, Response> {
        let mut world = self.world.borrow_mut();
        let now = world.now();
        let mut client = world.connect(self.http2, self.from).expect("the server listens");
        let fields: Vec<_> = self.fields.iter().map(|(name, value)| (&**name, &**value)).collect();
        let protocols: Vec<_> = self.protocols.iter().map(|protocol| &**protocol).collect();
        let mut connect = ws::Connect::new(&self.host, &self.target).fields(&fields).protocols(&protocols);
        if let Some(deflate) = &self.deflate {
            connect = connect.deflate(deflate);
        }
        if let Err(misuse) = client.connect_websocket(now, &connect) {
            panic!("the opening handshake of {} cannot be written: {misuse}", self.target);
        }
        let client = world.add(client);
        world.settle_until(client, |client| client.record.established || client.is_over());
        if !world.record(client).established {
            return Err(Response::new(world.remove(client)));
        }
        drop(world);
        Ok(WebSocket { world: self.world, client })
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, host, fields, .. } = self;
        let mut debug = f.debug_struct("Opening");
        debug.field("target", target).field("host", host).field("fields", fields).finish_non_exhaustive()
    }
}

/// The client's end of a WebSocket. When it is dropped the client leaves, without a Close.
#[must_use = "its client leaves when it is dropped"]
pub struct WebSocket {
    world: Rc<RefCell<World>>,
    client: ClientIndex,
}

impl WebSocket {
    /// Sends a text message.
    pub fn send(&self, text: impl Into<String>) {
        self.push(Outgoing::Message(MessageKind::Text, text.into().into()));
    }

    /// Sends a binary message.
    pub fn send_binary(&self, message: impl Into<Vec<u8>>) {
        self.push(Outgoing::Message(MessageKind::Binary, Bytes::from(message.into())));
    }

    /// Sends a Ping; [`pong`](Self::pong) takes its answer.
    pub fn ping(&self, payload: impl Into<Vec<u8>>) {
        self.push(Outgoing::Ping(Bytes::from(payload.into())));
    }

    /// Sends a Close.
    pub fn close(&self, code: ws::CloseCode, reason: &str) {
        self.push(Outgoing::Close(code, reason.to_owned()));
    }

    fn push(&self, outgoing: Outgoing) {
        self.world.borrow_mut().with_client(self.client, |client, _| client.send(outgoing));
    }

    /// Takes the next message that has come, if there is one.
    #[must_use]
    pub fn receive(&self) -> Option<(MessageKind, Vec<u8>)> {
        let mut world = self.world.borrow_mut();
        world.settle();
        world.record(self.client).take_message()
    }

    /// Takes the next message, which is a text. What other threads do is waited for.
    ///
    /// # Panics
    /// There is none, or it is binary.
    #[must_use]
    #[track_caller]
    pub fn text(&self) -> String {
        let mut world = self.world.borrow_mut();
        world.settle_until(self.client, |client| client.record.has_message() || client.is_over());
        let record = world.record(self.client);
        match record.take_message() {
            Some((MessageKind::Text, text)) => String::from_utf8_lossy(&text).into_owned(),
            Some((kind, message)) => panic!("a text was to come, and not {kind:?} {message:?}"),
            None => panic!("no message comes: {record:?}"),
        }
    }

    /// Whether no message has come that was not taken.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let mut world = self.world.borrow_mut();
        world.settle();
        !world.record(self.client).has_message()
    }

    /// Takes the payload of the next Pong.
    #[must_use]
    pub fn pong(&self) -> Option<Vec<u8>> {
        let mut world = self.world.borrow_mut();
        world.settle();
        world.record(self.client).pongs.pop_front()
    }

    /// The code of the server's Close; 1005 if it had none. `None` as long as none has come.
    #[must_use]
    pub fn close_code(&self) -> Option<u16> {
        self.world.borrow_mut().record(self.client).close.as_ref().map(|(code, _)| *code)
    }

    /// The reason of the server's Close.
    #[must_use]
    pub fn close_reason(&self) -> Option<String> {
        self.world.borrow_mut().record(self.client).close.as_ref().map(|(_, reason)| reason.clone())
    }

    /// Why it has ended, if it has.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        self.world.borrow_mut().record(self.client).cause
    }

    /// A field of the response to the opening handshake.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<String> {
        let mut world = self.world.borrow_mut();
        let fields = &world.record(self.client).fields;
        let named = fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    /// Reads nothing from now on, so that the connection fills up, as with a peer that is slow; or reads again.
    pub fn pause(&self, paused: bool) {
        self.world.borrow_mut().with_client(self.client, |client, _| client.paused = paused);
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        if let Ok(mut world) = self.world.try_borrow_mut() {
            world.remove(self.client);
        }
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("client", &self.client).finish_non_exhaustive()
    }
}
