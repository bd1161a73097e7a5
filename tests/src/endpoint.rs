//! One engine with an application and a transport that is a vector; and the contract, checked at every step.

use crate::application::Application;
use crate::random::SampleNonce;
use crate::transcript::{Seen, Transcript};
use lws_proto::ws::Connect;
use lws_proto::{Config, Connection, Event, Limits, Stream, StreamKey, Time};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// A valid opening handshake, the example of RFC 6455 §1.2.
pub const OPENING: &str = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// The answer to the handshake of a client that takes [`SampleNonce`] for chance. RFC 6455 §1.3.
pub const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A configuration with other limits.
#[must_use]
pub fn limits(change: impl FnOnce(&mut Limits)) -> Arc<Config> {
    let mut config = Config::default();
    change(&mut config.limits);
    Arc::new(config)
}

/// Whose buffer the bytes of the peer come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// The driver's: `receive`.
    Lent,
    /// The engine's: `recv_buf` and `received`.
    Own,
}

/// More turns than any input of the tests needs: an engine that always has one more thing to say is at fault.
const TURNS_MAX: usize = 2_000_000;

/// One engine, its application and its transport.
#[derive(Debug)]
pub struct Endpoint<A> {
    /// The engine.
    pub connection: Connection,
    /// The application.
    pub app: A,
    /// The simulated time.
    pub now: Time,
    /// What the engine said.
    pub seen: Transcript,
    /// What it sent.
    pub sent: Vec<u8>,
    /// How many bytes the transport takes in one call.
    pub step: usize,
    /// How many bytes the transport still takes before it is full.
    pub room: usize,
    /// How often the transport took bytes.
    pub writes: usize,
    audit: Audit,
}

/// What must be true of the events of one connection.
#[derive(Debug, Default)]
struct Audit {
    open: Option<StreamKey>,
    ended: HashSet<StreamKey>,
    in_message: bool,
    turns: usize,
}

impl<A: Application> Endpoint<A> {
    /// A server.
    pub fn server(config: Arc<Config>, app: A) -> Self {
        Self::new(Connection::server(Time::ZERO, config), app)
    }

    /// A client whose nonce is [`SampleNonce`].
    pub fn client(config: Arc<Config>, app: A) -> Self {
        Self::new(Connection::client(Time::ZERO, config, Box::new(SampleNonce::new(1))), app)
    }

    /// A server behind the opening handshake. What was said and sent so far is forgotten.
    pub fn websocket_server(config: Arc<Config>, app: A) -> Self {
        let mut server = Self::server(config, app);
        server.receive(OPENING.as_bytes(), Buffer::Lent);
        assert!(server.sent.starts_with(b"HTTP/1.1 101 "), "{}", server.sent.escape_ascii());
        server.forget();
        server
    }

    /// A client behind the opening handshake. What was said and sent so far is forgotten.
    pub fn websocket_client(config: Arc<Config>, connect: Connect<'_>, app: A) -> Self {
        let mut client = Self::client(config, app);
        if let Err(misuse) = client.connection.connect_websocket(client.now, &connect) {
            panic!("the handshake was not taken: {misuse}");
        }
        client.settle();
        client.receive(ACCEPTED.as_bytes(), Buffer::Lent);
        assert!(matches!(client.seen.0[..], [Seen::Established { .. }]), "{:?}", client.seen);
        client.forget();
        client
    }

    /// Any engine.
    pub fn new(connection: Connection, app: A) -> Self {
        Self {
            connection,
            app,
            now: Time::ZERO,
            seen: Transcript::default(),
            sent: Vec::new(),
            step: usize::MAX,
            room: usize::MAX,
            writes: 0,
            audit: Audit::default(),
        }
    }

    /// The same with another application.
    pub fn with_app<B>(self, app: B) -> Endpoint<B> {
        let Self { connection, app: _, now, seen, sent, step, room, writes, audit } = self;
        Endpoint { connection, app, now, seen, sent, step, room, writes, audit }
    }

    /// Forgets what was said and sent so far.
    pub fn forget(&mut self) {
        self.seen = Transcript::default();
        self.sent = Vec::new();
        self.writes = 0;
    }

    /// What was sent since the last call.
    pub fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }

    /// The stream that is open.
    pub fn key(&self) -> StreamKey {
        self.audit.open.expect("no stream is open")
    }

    /// The open stream's handle.
    pub fn stream(&mut self) -> Stream<'_> {
        let key = self.key();
        self.connection.stream(key).expect("the open stream was not found")
    }

    /// Bytes of the peer arrive. Everything that follows is done.
    pub fn receive(&mut self, bytes: &[u8], buffer: Buffer) {
        match buffer {
            Buffer::Lent => self.receive_lent(bytes),
            Buffer::Own => self.receive_own(bytes),
        }
        self.settle();
    }

    fn receive_lent(&mut self, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        let Self { connection, app, now, seen, sent, audit, step, room, writes } = self;
        let mut feed = connection.receive(*now, &mut bytes);
        loop {
            while let Some(event) = feed.next_event() {
                audit.note(&event);
                seen.push(Seen::of(&event));
                app.event(event);
            }
            // The application holds the input, perhaps until its answers have gone.
            let Some(transmit) = (feed.remaining() > 0).then(|| feed.transmit(*now)).flatten() else { break };
            let mut slices = [&[][..]; lws_proto::SLICES_MAX];
            let count = transmit.slices(&mut slices);
            let taken = take(&slices[..count], (*step).min(*room), sent);
            if taken == 0 {
                break;
            }
            *room -= taken;
            *writes += 1;
            transmit.commit(taken);
            audit.turn();
        }
    }

    fn receive_own(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = self.connection.recv_buf();
            let len = room.len().min(bytes.len());
            assert!(len > 0, "no room to receive into");
            room[..len].copy_from_slice(&bytes[..len]);
            self.connection.received(self.now, len);
            bytes = &bytes[len..];
            self.settle();
        }
    }

    /// The peer sends no more.
    pub fn receive_eof(&mut self) {
        self.connection.received_eof(self.now);
        self.settle();
    }

    /// Takes events and output until there are none, then checks the contract.
    pub fn settle(&mut self) {
        loop {
            self.take_events();
            let sent = self.drain();
            if !sent && !self.connection.needs_service() {
                break;
            }
            self.audit.turn();
        }
        self.check_contract();
    }

    /// Takes events until there are none. A driver that asks only when service is wanted misses none of them.
    pub fn take_events(&mut self) {
        loop {
            let service = self.connection.needs_service();
            let Some(event) = self.connection.next_event() else { break };
            assert!(service, "an event, although no service was asked for: {event:?}");
            self.audit.note(&event);
            self.seen.push(Seen::of(&event));
            self.app.event(event);
            self.audit.turn();
        }
    }

    /// Moves output to the transport as long as it takes some. Returns whether it took any.
    pub fn drain(&mut self) -> bool {
        let mut any = false;
        while self.room > 0 {
            let Some(transmit) = self.connection.transmit(self.now) else { break };
            let mut slices = [&[][..]; lws_proto::SLICES_MAX];
            let count = transmit.slices(&mut slices);
            assert!(count > 0 && !transmit.first().is_empty(), "something to transmit, but no bytes");
            let taken = take(&slices[..count], self.step.min(self.room), &mut self.sent);
            transmit.commit(taken);
            self.room -= taken;
            self.writes += 1;
            any = true;
            self.audit.turn();
        }
        any
    }

    /// What the engine says when nothing is left to do for the moment.
    fn check_contract(&mut self) {
        let interest = self.connection.interest();
        assert_eq!(interest.service, self.connection.needs_service());
        assert!(!interest.service, "forced service is asked for although there is nothing to say");
        assert!(self.connection.next_event().is_none(), "an event, although no service was asked for");
        assert_eq!(interest.deadline, self.connection.next_timeout());
        assert_eq!(interest.write, self.connection.transmit(self.now).is_some());
        if interest.close {
            assert!(self.audit.open.is_none(), "the transport may close, but the stream has not been closed");
        }
    }

    /// Lets `duration` pass: every deadline that it meets is seen to in its time.
    pub fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.connection.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.connection.handle_timeout(self.now);
            self.settle();
            self.audit.turn();
        }
        self.now = end;
        // A call before its time does nothing.
        self.connection.handle_timeout(self.now);
        self.settle();
    }

    /// Whether the transport is to be closed.
    pub fn is_over(&self) -> bool {
        self.connection.interest().close
    }
}

/// Appends up to `max` bytes of `slices` to `sent`.
fn take(slices: &[&[u8]], max: usize, sent: &mut Vec<u8>) -> usize {
    let before = sent.len();
    for slice in slices {
        let left = max - (sent.len() - before);
        sent.extend_from_slice(&slice[..slice.len().min(left)]);
    }
    sent.len() - before
}

impl Audit {
    /// Checks one event against those before it: `Closed` comes once and last, and streams do not overlap.
    fn note(&mut self, event: &Event<'_>) {
        let key = match event {
            Event::Request { stream, .. }
            | Event::Response { stream, .. }
            | Event::Body { stream, .. }
            | Event::Trailers { stream, .. }
            | Event::Established { stream, .. }
            | Event::Message { stream, .. }
            | Event::Control { stream, .. }
            | Event::Raw { stream, .. }
            | Event::Timeout { stream } => stream.key(),
            Event::Writable(permit) => permit.key(),
            Event::Closed { key, .. } => *key,
            other => panic!("an event without a stream: {other:?}"),
        };
        assert!(!self.ended.contains(&key), "an event of a stream that has been closed: {event:?}");
        assert!(self.open.is_none_or(|open| open == key), "a stream begins before the last has been closed");
        self.open = Some(key);
        match event {
            Event::Closed { .. } => {
                self.ended.insert(key);
                self.open = None;
                self.in_message = false;
            }
            Event::Message { first, chunk, end, .. } => {
                assert_eq!(*first, !self.in_message, "`first` is told of the first part of a message");
                assert!(!chunk.is_empty() || *end, "a part without bytes that is not the last");
                self.in_message = !end;
            }
            Event::Body { chunk, end, .. } | Event::Raw { chunk, end, .. } => {
                assert!(!chunk.is_empty() || *end, "a part without bytes that is not the last");
            }
            _ => {}
        }
    }

    fn turn(&mut self) {
        self.turns += 1;
        assert!(self.turns < TURNS_MAX, "the engine does not come to rest");
    }
}
