//! One engine with an application and a transport that is a vector; and the contract, checked at every step.

use crate::application::Application;
use crate::random::SampleNonce;
use crate::transcript::{Seen, Transcript};
use lws_proto::http::Scheme;
use lws_proto::ws::Connect;
use lws_proto::{Config, Connection, Event, Exchange, Limits, RawStream, Stream, StreamKey, Time, WebSocket};
use std::collections::{BTreeMap, HashSet};
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
    /// The events of the engine, of all streams together.
    pub seen: Transcript,
    /// The events of each stream, in the order of their first events.
    pub streams: Vec<(StreamKey, Transcript)>,
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
    /// Whether streams may overlap: HTTP/2.
    multiplexed: bool,
    open: BTreeMap<StreamKey, Progress>,
    ended: HashSet<StreamKey>,
    last: Option<StreamKey>,
    turns: usize,
}

/// Where one stream stands.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    in_message: bool,
    /// Whether the end of the peer's message was delivered.
    ended: bool,
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

    /// A client that speaks HTTP/2 from the first byte. Its nonce is [`SampleNonce`].
    pub fn http2_client(config: Arc<Config>, app: A) -> Self {
        let entropy = Box::new(SampleNonce::new(1));
        Self::new(Connection::client_http2(Time::ZERO, config, entropy, Scheme::Http), app).multiplexed()
    }

    /// A server of any version, whose streams may overlap.
    pub fn http2_server(config: Arc<Config>, app: A) -> Self {
        Self::server(config, app).multiplexed()
    }

    /// The same where streams may overlap.
    #[must_use]
    pub fn multiplexed(mut self) -> Self {
        self.audit.multiplexed = true;
        self
    }

    /// A server after the opening handshake. Earlier events and output are forgotten.
    pub fn websocket_server(config: Arc<Config>, app: A) -> Self {
        let mut server = Self::server(config, app);
        server.receive(OPENING.as_bytes(), Buffer::Lent);
        assert!(server.sent.starts_with(b"HTTP/1.1 101 "), "{}", server.sent.escape_ascii());
        server.forget();
        server
    }

    /// A client after the opening handshake. Earlier events and output are forgotten.
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
            streams: Vec::new(),
            sent: Vec::new(),
            step: usize::MAX,
            room: usize::MAX,
            writes: 0,
            audit: Audit::default(),
        }
    }

    /// The same with another application.
    pub fn with_app<B>(self, app: B) -> Endpoint<B> {
        let Self { connection, app: _, now, seen, streams, sent, step, room, writes, audit } = self;
        Endpoint { connection, app, now, seen, streams, sent, step, room, writes, audit }
    }

    /// Forgets the events and the output so far.
    pub fn forget(&mut self) {
        self.seen = Transcript::default();
        self.streams.clear();
        self.sent = Vec::new();
        self.writes = 0;
        self.audit.last = None;
    }

    /// What was sent since the last call.
    pub fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }

    /// The one open stream that an event has lent.
    pub fn key(&self) -> StreamKey {
        match self.keys()[..] {
            [key] => key,
            ref keys => panic!("not one stream is open: {keys:?}"),
        }
    }

    /// The open streams that events have lent.
    pub fn keys(&self) -> Vec<StreamKey> {
        self.audit.open.keys().copied().collect()
    }

    /// The events of a stream.
    pub fn of(&self, key: StreamKey) -> Transcript {
        let found = self.streams.iter().find(|(other, _)| *other == key);
        found.map(|(_, transcript)| transcript.clone()).unwrap_or_default()
    }

    /// The open stream's handle.
    pub fn stream(&mut self) -> Stream<'_> {
        let key = self.key();
        self.connection.stream(key).expect("the open stream was not found")
    }

    /// The open stream's handle, which is an exchange.
    pub fn exchange(&mut self) -> Exchange<'_> {
        self.stream().into_exchange().expect("the open stream is no exchange")
    }

    /// The open stream's handle, which is a WebSocket.
    pub fn websocket(&mut self) -> WebSocket<'_> {
        self.stream().into_websocket().expect("the open stream is no WebSocket")
    }

    /// The open stream's handle, which is raw.
    pub fn raw(&mut self) -> RawStream<'_> {
        self.stream().into_raw().expect("the open stream is not raw")
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
        let Self { connection, app, now, seen, streams, sent, audit, step, room, writes } = self;
        let mut feed = connection.receive(*now, &mut bytes);
        loop {
            while let Some(event) = feed.next_event() {
                write_down(&event, audit, seen, streams);
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

    /// The transport ends without a word of the peer, as TLS without `close_notify`.
    pub fn receive_truncation(&mut self) {
        self.connection.received_truncation(self.now);
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
            write_down(&event, &mut self.audit, &mut self.seen, &mut self.streams);
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
            assert!(self.audit.open.is_empty(), "the transport may close, but a stream has not been closed");
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

/// Checks an event, and adds it to what was seen.
fn write_down(
    event: &Event<'_>,
    audit: &mut Audit,
    seen: &mut Transcript,
    streams: &mut Vec<(StreamKey, Transcript)>,
) {
    audit.note(event);
    let key = event.key();
    let same = audit.last.replace(key) == Some(key);
    seen.push_of(Seen::of(event), same);
    match streams.iter_mut().find(|(other, _)| *other == key) {
        Some((_, transcript)) => transcript.push(Seen::of(event)),
        None => streams.push((key, Transcript(vec![Seen::of(event)]))),
    }
}

impl Audit {
    /// Checks one event against those before it: `Closed` comes once and last, streams overlap only where they may, and
    /// nothing of the peer comes behind the end of its message.
    fn note(&mut self, event: &Event<'_>) {
        let key = event.key();
        assert!(!self.ended.contains(&key), "an event of a stream that has been closed: {event:?}");
        let overlaps = !self.open.is_empty() && !self.open.contains_key(&key);
        assert!(self.multiplexed || !overlaps, "a stream begins before the last has been closed");
        let progress = self.open.entry(key).or_default();
        match event {
            Event::Closed { .. } => {
                self.ended.insert(key);
                self.open.remove(&key);
            }
            Event::Message { first, chunk, end, .. } => {
                assert_eq!(*first, !progress.in_message, "`first` marks the first part of a message");
                assert!(!chunk.is_empty() || *end, "a part without bytes that is not the last");
                progress.in_message = !end;
            }
            Event::Request { end, .. } => progress.take(*end),
            Event::Response { head, end, .. } => {
                let interim = head.status().is_some_and(|status| status.is_interim());
                assert!(!interim || !end, "an interim response ends nothing");
                progress.take(*end);
            }
            Event::Body { chunk, end, .. } | Event::Raw { chunk, end, .. } => {
                assert!(!chunk.is_empty() || *end, "a part without bytes that is not the last");
                progress.take(*end);
            }
            // What it has become has an end of its own.
            Event::Established { .. } => progress.ended = false,
            Event::Trailers { .. } => assert!(progress.ended, "trailers before the end of the content"),
            _ => {}
        }
    }

    fn turn(&mut self) {
        self.turns += 1;
        assert!(self.turns < TURNS_MAX, "the engine does not come to rest");
    }
}

impl Progress {
    /// A part of the peer's message.
    fn take(&mut self, end: bool) {
        assert!(!self.ended, "a part of a message that has ended");
        self.ended = end;
    }
}
