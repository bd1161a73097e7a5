//! Replaying a record.

use crate::format::{Entry, Record};
use crate::hash::Hash;
use lws_proto::http::Head;
use lws_proto::record::{Command, Note, Role, describe};
use lws_proto::ws::{Accept, Deflate, Prepared};
use lws_proto::{
    ByProtocol, Bytes, Config, Connection, Entropy, Event, Exchange, ExchangePermit, Feed, Liveness, Payload,
    RawPermit, Request, Sent, Stream, StreamKey, Time, Transmit, WebSocket, WebSocketPermit, Writable,
    WriteTicket, spoken,
};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The outcome of a replay without a divergence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Octets that were sent.
    pub sent: u64,
    /// The number of comparisons of the sent octets.
    pub compared: usize,
    /// Whether the record is complete, and every entry could be replayed.
    pub complete: bool,
}

/// A divergence of a replay: the engine or its configuration has changed, or it does not depend on its inputs alone.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Divergence {
    /// The record does not begin with a connection.
    NoBeginning,
    /// The configurations differ: that of the record, and that of the replay.
    Config(String, String),
    /// The call of this entry is impossible.
    Impossible(usize, &'static str),
    /// The octets that were sent up to this entry differ.
    Sent(usize),
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBeginning => f.write_str("the record does not begin with a connection"),
            Self::Config(recorded, ours) => write!(f, "recorded with {recorded}, and this is {ours}"),
            Self::Impossible(at, what) => write!(f, "entry {at}: {what}"),
            Self::Sent(at) => write!(f, "entry {at}: what was sent up to here differs"),
        }
    }
}

impl std::error::Error for Divergence {}

/// Makes the calls of a record to a fresh connection, with the configuration of the record, and compares its output.
///
/// # Errors
/// The first [`Divergence`].
pub fn replay(record: &Record, config: Config) -> Result<Outcome, Divergence> {
    let config = Arc::new(config);
    let mut notes = Notes {
        entries: record.entries(),
        at: 0,
        config: Arc::clone(&config),
        hash: Hash::default(),
        compared: 0,
    };
    let Some(Note::Begin { role, now, config: recorded }) = notes.begin() else {
        return Err(Divergence::NoBeginning);
    };
    let ours = describe(&config);
    if *recorded != *ours {
        return Err(Divergence::Config(recorded.clone().into_owned(), ours));
    }
    let chance = Chance::default();
    let connection = match role {
        Role::Server => Connection::server(*now, config),
        Role::ServerHttp1 => Connection::server_http1(*now, config),
        Role::ServerHttp2 => Connection::server_http2(*now, config),
        Role::Client => Connection::client(*now, config, Box::new(chance.clone())),
        Role::Raw => Connection::client_raw(*now, config),
        _ => return Err(Divergence::NoBeginning),
    };
    let mut replay = Replay { connection, chance, tickets: Vec::new() };
    let supported = replay.run(&mut notes)?;
    let complete = supported && record.is_complete();
    Ok(Outcome { sent: notes.hash.octets, compared: notes.compared, complete })
}

/// The recorded random bytes.
#[derive(Clone, Default)]
struct Chance(Arc<Mutex<VecDeque<u8>>>);

impl Chance {
    fn add(&self, bytes: &[u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
    }
}

impl Entropy for Chance {
    fn fill(&mut self, bytes: &mut [u8]) {
        let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.iter_mut().for_each(|byte| *byte = drawn.pop_front().unwrap_or(0));
    }
}

/// The remaining entries, and the hash of the output so far.
struct Notes<'r> {
    entries: &'r [Entry],
    at: usize,
    config: Arc<Config>,
    hash: Hash,
    compared: usize,
}

impl<'r> Notes<'r> {
    /// The first call, which a date may precede.
    fn begin(&mut self) -> Option<&'r Note<'static>> {
        let note = self.peek().ok()??;
        self.at += 1;
        Some(note)
    }

    /// The next call to the connection. Dates and comparisons before it are handled here.
    fn peek(&mut self) -> Result<Option<&'r Note<'static>>, Divergence> {
        while let Some(entry) = self.entries.get(self.at) {
            match entry {
                Entry::Hash(hash) if *hash != self.hash => return Err(Divergence::Sent(self.at)),
                Entry::Hash(_) => self.compared += 1,
                Entry::Note(Note::Date(seconds)) => self.config.wall_clock.set(seconds.unwrap_or(0)),
                Entry::Note(note) => return Ok(Some(note)),
            }
            self.at += 1;
        }
        Ok(None)
    }

    fn impossible<T>(&self, what: &'static str) -> Result<T, Divergence> {
        Err(Divergence::Impossible(self.at, what))
    }

    /// Takes as many bytes from a transmission as the record says that the transport took.
    fn take(&mut self, transmit: Option<Transmit<'_>>) -> Result<(), Divergence> {
        let Some(Note::Took(_, n)) = self.peek()? else { return Ok(()) };
        let Some(transmit) = transmit else { return self.impossible("nothing is to be sent") };
        let mut slices: [&[u8]; lws_proto::SLICES_MAX] = [&[]; lws_proto::SLICES_MAX];
        let count = transmit.slices(&mut slices);
        let mut left = *n;
        for slice in &slices[..count] {
            let part = &slice[..left.min(slice.len())];
            self.hash.add(part);
            left -= part.len();
        }
        if left > 0 {
            return self.impossible("less is to be sent");
        }
        transmit.commit(*n);
        self.at += 1;
        Ok(())
    }
}

struct Replay {
    connection: Connection,
    chance: Chance,
    tickets: Vec<WriteTicket>,
}

impl Replay {
    /// Replays all entries. Returns false if it stops at one that cannot be replayed.
    fn run(&mut self, notes: &mut Notes<'_>) -> Result<bool, Divergence> {
        while let Some(note) = notes.peek()? {
            notes.at += 1;
            match note {
                Note::Received { now, own: false, bytes } => {
                    if !self.feed(*now, bytes, notes)? {
                        return Ok(false);
                    }
                }
                Note::Received { now, own: true, bytes } => {
                    let room = self.connection.recv_buf();
                    let Some(room) = room.get_mut(..bytes.len()) else {
                        return notes.impossible("the engine has less room");
                    };
                    room.copy_from_slice(bytes);
                    self.connection.received(*now, bytes.len());
                }
                Note::Event => {
                    let Self { connection, tickets, .. } = self;
                    respond_to(connection.next_event(), tickets, notes)?;
                }
                Note::FeedEnd => return notes.impossible("no bytes are lent"),
                Note::Transmit(now) => notes.take(self.connection.transmit(*now))?,
                Note::Took(now, _) => self.took(*now, notes)?,
                Note::Spread(spread) => self.connection.set_spread(*spread),
                Note::Eof(now) => self.connection.received_eof(*now),
                Note::Truncation(now) => self.connection.received_truncation(*now),
                Note::Failed(now) => self.connection.transport_failed(*now),
                Note::Timeout(now) => self.connection.handle_timeout(*now),
                Note::Delivered(now, under_way) => self.connection.delivered(*now, *under_way),
                Note::Select(key) => {
                    let Self { connection, tickets, .. } = self;
                    if let Some(stream) = connection.stream(*key) {
                        obey(Handle::Stream(stream), None, tickets, notes)?;
                    }
                }
                Note::Redeem(key) => self.redeem(*key, notes)?,
                Note::Drain(now) => self.connection.drain(*now),
                Note::Retire(now) => self.connection.retire(*now),
                Note::Abort => self.connection.abort(),
                Note::Chance(bytes) => self.chance.add(bytes),
                Note::Request { now, line: [method, target, host], fields, content, end } => {
                    let Self { connection, tickets, chance } = self;
                    // The call draws a nonce.
                    while let Some(Note::Chance(bytes)) = notes.peek()? {
                        chance.add(bytes);
                        notes.at += 1;
                    }
                    let request = Request { method, target, host };
                    let fields = fields.iter().map(|(name, value)| (name, value));
                    if let Ok(sent) = connection.request(*now, &request, fields, Payload::Copy(content), *end)
                    {
                        obey(Handle::Sent(sent.into_any()), None, tickets, notes)?;
                    }
                }
                Note::Command(..) => return notes.impossible("no stream is lent"),
                Note::Unsupported(_) => return Ok(false),
                _ => return notes.impossible("this is not known"),
            }
        }
        Ok(true)
    }

    /// Feeds received bytes, until the record ends the feed.
    fn feed(&mut self, now: Time, bytes: &[u8], notes: &mut Notes<'_>) -> Result<bool, Divergence> {
        let Self { connection, tickets, .. } = self;
        let mut bytes = bytes.to_vec();
        let mut feed: Feed<'_, '_> = connection.receive(now, &mut bytes);
        while let Some(note) = notes.peek()? {
            notes.at += 1;
            match note {
                Note::Event => respond_to(feed.next_event(), tickets, notes)?,
                Note::Transmit(now) => notes.take(feed.transmit(*now))?,
                Note::FeedEnd => return Ok(true),
                Note::Unsupported(_) => return Ok(false),
                _ => return notes.impossible("bytes are still lent"),
            }
        }
        Ok(true)
    }

    /// Handles bytes that the transport took later than they were offered.
    fn took(&mut self, now: Time, notes: &mut Notes<'_>) -> Result<(), Divergence> {
        notes.at -= 1;
        // Calling `transmit` again at the same time changes nothing.
        notes.take(self.connection.transmit(now))
    }

    fn redeem(&mut self, key: StreamKey, notes: &mut Notes<'_>) -> Result<(), Divergence> {
        let Self { connection, tickets, .. } = self;
        let Some(at) = tickets.iter().position(|ticket| ticket.key() == key) else {
            return notes.impossible("there is no such ticket");
        };
        match connection.redeem(tickets.swap_remove(at)) {
            Ok(permit) => obey(Handle::Writable(permit), None, tickets, notes),
            Err(ticket) => {
                tickets.push(ticket);
                Ok(())
            }
        }
    }
}

/// Replays the application's reaction to an event.
fn respond_to(
    event: Option<Event<'_>>,
    tickets: &mut Vec<WriteTicket>,
    notes: &mut Notes<'_>,
) -> Result<(), Divergence> {
    let (handle, head) = match event {
        None => return Ok(()),
        Some(Event::Writable(permit)) => (Handle::Writable(permit), None),
        Some(Event::Request { stream, head, .. } | Event::Response { stream, head, .. }) => {
            (Handle::Stream(stream.into_any()), Some(head))
        }
        Some(event) => match event.into_stream() {
            Some(stream) => (Handle::Stream(stream), None),
            None => return Ok(()),
        },
    };
    obey(handle, head.as_ref(), tickets, notes)
}

/// The handle of a stream that the application holds.
enum Handle<'a> {
    Stream(Stream<'a>),
    Writable(Writable<'a>),
    Sent(Sent<'a>),
    /// The handle was consumed.
    Gone,
}

impl<'a> Handle<'a> {
    fn key(&self) -> Option<StreamKey> {
        match self {
            Self::Stream(stream) => Some(stream.key()),
            Self::Writable(permit) => Some(permit.key()),
            Self::Sent(sent) => Some(sent.key()),
            Self::Gone => None,
        }
    }

    fn into_stream(self) -> Option<Stream<'a>> {
        match self {
            Self::Stream(stream) => Some(stream),
            Self::Writable(permit) => Some(permit.into_stream()),
            Self::Sent(sent) => Some(sent.into_stream()),
            Self::Gone => None,
        }
    }

    fn into_permit(self) -> Option<Writable<'a>> {
        match self {
            Self::Writable(permit) => Some(permit),
            other => other.into_stream()?.permit().ok(),
        }
    }
}

const NO_STREAM: &str = "the stream was given away";
const NO_PERMIT: &str = "the stream may not write";
const NO_HEAD: &str = "the event has no head";
const UNKNOWN_COMMAND: &str = "a command that this version does not know, or of another protocol";

/// Replays the calls on a stream, up to a call on something else.
fn obey<'a>(
    mut handle: Handle<'a>,
    head: Option<&Head<'_>>,
    tickets: &mut Vec<WriteTicket>,
    notes: &mut Notes<'_>,
) -> Result<(), Divergence> {
    while let Some(Note::Command(key, command)) = notes.peek()? {
        if handle.key() != Some(*key) {
            return notes.impossible("another stream is lent");
        }
        handle = match command {
            Command::Ticket => match handle.into_permit() {
                Some(permit) => {
                    tickets.push(permit.into_ticket());
                    Handle::Gone
                }
                None => return notes.impossible(NO_PERMIT),
            },
            command if writes(command) => match handle.into_permit() {
                Some(permit) => write(permit, command),
                None => return notes.impossible(NO_PERMIT),
            },
            command => match perform(handle, head, command) {
                Ok(handle) => handle,
                Err(what) => return notes.impossible(what),
            },
        };
        notes.at += 1;
    }
    Ok(())
}

/// Whether a command spends a permit.
fn writes(command: &Command<'_>) -> bool {
    matches!(
        command,
        Command::Respond { .. }
            | Command::Data(..)
            | Command::Trailers(_)
            | Command::Fill { .. }
            | Command::Message { .. }
            | Command::Prepared(..)
            | Command::Ping(_)
    )
}

/// Spends a permit. A misuse has no effect, in the recorded run and now, so it is not a divergence.
fn write<'a>(permit: Writable<'a>, command: &Command<'_>) -> Handle<'a> {
    let sent = match permit.by_protocol() {
        Ok(ByProtocol::Exchange(permit)) => write_on_exchange(permit, command).map(Sent::into_any),
        Ok(ByProtocol::WebSocket(permit)) => write_on_websocket(permit, command).map(Sent::into_any),
        Ok(ByProtocol::Raw(permit)) => write_on_raw(permit, command).map(Sent::into_any),
        Err(_) => None,
    };
    sent.map_or(Handle::Gone, Handle::Sent)
}

fn write_on_exchange<'a>(
    permit: ExchangePermit<'a>,
    command: &Command<'_>,
) -> Option<Sent<'a, spoken::Http>> {
    let pairs = |fields: &[(Vec<u8>, Vec<u8>)]| fields.to_vec();
    let sent = match command {
        Command::Respond { status, fields, content, end } => {
            permit.respond(*status, pairs(fields), Payload::Copy(content), *end)
        }
        Command::Data(content, end) => permit.data(Payload::Copy(content), *end),
        Command::Trailers(fields) => permit.trailers(pairs(fields)),
        Command::Fill { room, content, end } => permit.fill(*room, refill(content, *end)),
        _ => return None,
    };
    sent.ok()
}

fn write_on_websocket<'a>(
    permit: WebSocketPermit<'a>,
    command: &Command<'_>,
) -> Option<Sent<'a, spoken::WebSocket>> {
    let sent = match command {
        Command::Message { kind, payload, end, compress: true } => {
            permit.message(*kind, Payload::Copy(payload), *end)
        }
        Command::Message { kind, payload, end, compress: false } => {
            permit.uncompressed_message(*kind, Payload::Copy(payload), *end)
        }
        Command::Prepared(kind, message) => {
            permit.prepared(&Prepared::new(*kind, Bytes::copy_from_slice(message)))
        }
        Command::Ping(payload) => permit.ping(payload),
        _ => return None,
    };
    sent.ok()
}

fn write_on_raw<'a>(permit: RawPermit<'a>, command: &Command<'_>) -> Option<Sent<'a, spoken::Raw>> {
    let sent = match command {
        Command::Data(content, end) => permit.data(Payload::Copy(content), *end),
        Command::Fill { room, content, end } => permit.fill(*room, refill(content, *end)),
        _ => return None,
    };
    sent.ok()
}

/// Writes the content that was written in place.
fn refill(content: &[u8], end: bool) -> impl FnOnce(&mut [u8]) -> (usize, bool) {
    move |place| {
        let len = content.len().min(place.len());
        place[..len].copy_from_slice(&content[..len]);
        (len, end)
    }
}

/// Replays a call that needs no permit. A misuse is not a divergence here, either.
fn perform<'a>(
    handle: Handle<'a>,
    head: Option<&Head<'_>>,
    command: &Command<'_>,
) -> Result<Handle<'a>, &'static str> {
    if matches!(command, Command::Again | Command::Throttle) {
        let Handle::Sent(sent) = handle else { return Err("nothing was sent") };
        match command {
            Command::Again => sent.again(),
            _ => sent.throttle(),
        }
        return Ok(Handle::Gone);
    }
    let mut stream = handle.into_stream().ok_or(NO_STREAM)?;
    match command {
        Command::WantWrite => stream.want_write(),
        Command::Pause => stream.pause(),
        Command::Resume => stream.resume(),
        Command::SetTimeout(at) => stream.set_timeout(*at),
        Command::ConfirmLiveness(now) => stream.confirm_liveness(*now),
        Command::Hold(bytes) => {
            let _ = stream.hold(*bytes);
        }
        Command::LetGo(bytes) => stream.let_go(*bytes),
        Command::AbortStream => {
            stream.abort();
            return Ok(Handle::Gone);
        }
        command => {
            return match stream.by_protocol() {
                Ok(ByProtocol::Exchange(exchange)) => perform_on_exchange(exchange, head, command),
                Ok(ByProtocol::WebSocket(websocket)) => perform_on_websocket(websocket, command),
                Ok(ByProtocol::Raw(_)) => Err(UNKNOWN_COMMAND),
                // The call on an ended stream had no effect.
                Err(stream) => Ok(Handle::Stream(stream)),
            };
        }
    }
    Ok(Handle::Stream(stream))
}

fn perform_on_exchange<'a>(
    mut exchange: Exchange<'a>,
    head: Option<&Head<'_>>,
    command: &Command<'_>,
) -> Result<Handle<'a>, &'static str> {
    match command {
        Command::Interim(status, fields) => {
            let _ = exchange.interim(*status, fields.to_vec());
        }
        Command::LastExchange => exchange.last_exchange(),
        Command::LimitContent(bytes) => exchange.limit_content(*bytes),
        Command::ExpectContent(bytes) => exchange.expect_content(*bytes),
        Command::KeepHalfClosed(keep) => exchange.keep_half_closed(*keep),
        Command::AcceptWebSocket { protocol, fields, streamed, deflate } => {
            let head = head.ok_or(NO_HEAD)?;
            let terms = (protocol.as_deref(), &fields[..], *streamed, deflate.as_deref());
            let accepted = accept(exchange, head, terms);
            return Ok(accepted.map_or(Handle::Gone, |websocket| Handle::Stream(websocket.into_any())));
        }
        Command::AcceptTunnel => {
            let accepted = exchange.accept_tunnel();
            return Ok(accepted.map_or(Handle::Gone, |raw| Handle::Stream(raw.into_any())));
        }
        _ => return Err(UNKNOWN_COMMAND),
    }
    Ok(Handle::Stream(exchange.into_any()))
}

fn perform_on_websocket<'a>(
    mut websocket: WebSocket<'a>,
    command: &Command<'_>,
) -> Result<Handle<'a>, &'static str> {
    match command {
        Command::SetLiveness(liveness) => {
            let liveness = liveness.map(|[ping_after, drop_after]| Liveness { ping_after, drop_after });
            let _ = websocket.set_liveness(liveness);
        }
        Command::TryQueue(kind, message) => {
            let _ = websocket.try_queue(*kind, Bytes::copy_from_slice(message));
        }
        Command::SetExtensionOption([extension, name, value]) => {
            let _ = websocket.set_extension_option(extension, name, value);
        }
        Command::Close(code, reason) => {
            let _ = websocket.close(*code, reason);
            return Ok(Handle::Gone);
        }
        _ => return Err(UNKNOWN_COMMAND),
    }
    Ok(Handle::Stream(websocket.into_any()))
}

/// Subprotocol, fields, whether messages are streamed, and the options of permessage-deflate.
type Terms<'a> = (Option<&'a str>, &'a [(Vec<u8>, Vec<u8>)], bool, Option<&'a str>);

fn accept<'a>(
    exchange: Exchange<'a>,
    head: &Head<'_>,
    (protocol, fields, streamed, deflate): Terms<'_>,
) -> Option<WebSocket<'a>> {
    let text = |octets| std::str::from_utf8(octets).unwrap_or_default();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (text(name), text(value))).collect();
    let deflate = deflate.map(|options| {
        let mut deflate = Deflate::default();
        for (name, value) in options.split(',').filter_map(|option| option.split_once('=')) {
            let _ = deflate.set_option(name, value);
        }
        deflate
    });
    let mut accept = Accept::new().fields(&fields);
    if let Some(protocol) = protocol {
        accept = accept.protocol(protocol);
    }
    if let Some(deflate) = &deflate {
        accept = accept.deflate(deflate);
    }
    if streamed {
        accept = accept.streamed();
    }
    exchange.accept_websocket(head, &accept).ok()
}
