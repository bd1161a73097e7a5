//! The file format of records.
//!
//! `LWSREC`, a version octet, and then entries: a length of four octets, little-endian, and as many octets, the first
//! of which is the kind. Numbers are LEB128. An incomplete entry ends the record without an error: a process that was
//! killed leaves one.

use crate::hash::Hash;
use lws_proto::http::Status;
use lws_proto::record::{Command, Fields, Note, Role};
use lws_proto::ws::CloseCode;
use lws_proto::{MessageKind, StreamKey, Time};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

const MAGIC: &[u8; 6] = b"LWSREC";
const VERSION: u8 = 1;
/// The longest entry. It holds the input of a single call, so a longer one is malformed.
const ENTRY_BYTES_MAX: usize = 1 << 30;

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    entries: Vec<Entry>,
    complete: bool,
}

/// An entry of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Note(Note<'static>),
    /// The hash of the octets that were sent up to here.
    Hash(Hash),
}

/// Why octets could not be read as a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// They do not begin with `LWSREC`.
    NoRecord,
    /// They have this version of the format, which is not supported.
    Version(u8),
    /// The entry with this number, from zero, is malformed.
    Entry(usize),
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRecord => f.write_str("this is no record of a connection"),
            Self::Version(version) => write!(f, "a record of version {version}, and only {VERSION} is known"),
            Self::Entry(at) => write!(f, "entry {at} of the record is malformed"),
        }
    }
}

impl std::error::Error for Unreadable {}

impl Record {
    /// Reads the octets of a file. If its end is missing, the record has the entries before that.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(octets: &[u8]) -> Result<Self, Unreadable> {
        let rest = octets.strip_prefix(MAGIC).ok_or(Unreadable::NoRecord)?;
        let (&version, mut rest) = rest.split_first().ok_or(Unreadable::NoRecord)?;
        if version != VERSION {
            return Err(Unreadable::Version(version));
        }
        let mut entries = Vec::new();
        while let Some((len, more)) = rest.split_first_chunk() {
            let len = u32::from_le_bytes(*len) as usize;
            if len > ENTRY_BYTES_MAX {
                return Err(Unreadable::Entry(entries.len()));
            }
            let Some((entry, more)) = more.split_at_checked(len) else { break };
            let entry = Reader { rest: entry }.entry().ok_or(Unreadable::Entry(entries.len()))?;
            entries.push(entry);
            rest = more;
        }
        Ok(Self { entries, complete: rest.is_empty() })
    }

    /// Whether the last entry is complete.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The recorded calls and events, in order.
    pub fn notes(&self) -> impl Iterator<Item = &Note<'static>> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Note(note) => Some(note),
            Entry::Hash(_) => None,
        })
    }

    /// The configuration of the connection, as text.
    #[must_use]
    pub fn config(&self) -> Option<&str> {
        self.notes().find_map(|note| match note {
            Note::Begin { config, .. } => Some(&**config),
            _ => None,
        })
    }

    /// All received octets.
    #[must_use]
    pub fn received(&self) -> Vec<u8> {
        let bytes = self.notes().filter_map(|note| match note {
            Note::Received { bytes, .. } => Some(&**bytes),
            _ => None,
        });
        bytes.collect::<Vec<_>>().concat()
    }

    /// All received octets, as an input of the fuzz targets that take octets: the last four determine how the
    /// others are cut.
    #[must_use]
    pub fn corpus_entry(&self) -> Vec<u8> {
        let mut entry = self.received();
        entry.extend_from_slice(&[0; 4]);
        entry
    }
}

/// The beginning of every record.
pub(crate) fn begin() -> Vec<u8> {
    [&MAGIC[..], &[VERSION]].concat()
}

/// Appends an entry with its length.
pub(crate) fn write(out: &mut Vec<u8>, entry: &Entry) {
    let mut writer = EntryWriter::default();
    match entry {
        Entry::Note(note) => writer.note(note),
        Entry::Hash(Hash { value, octets }) => {
            writer.octet(kind::HASH);
            writer.number(*value);
            writer.number(*octets);
        }
    }
    let len = u32::try_from(writer.out.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&writer.out);
}

/// The first octets of entries. They never change: a new kind gets a new number.
mod kind {
    pub(super) const BEGIN: u8 = 0;
    pub(super) const DATE: u8 = 1;
    pub(super) const RECEIVED: u8 = 2;
    pub(super) const EVENT: u8 = 3;
    pub(super) const FEED_END: u8 = 4;
    pub(super) const TRANSMIT: u8 = 5;
    pub(super) const TOOK: u8 = 6;
    pub(super) const EOF: u8 = 7;
    pub(super) const TRUNCATION: u8 = 8;
    pub(super) const FAILED: u8 = 9;
    pub(super) const TIMEOUT: u8 = 10;
    pub(super) const SELECT: u8 = 11;
    pub(super) const REDEEM: u8 = 12;
    pub(super) const DRAIN: u8 = 13;
    pub(super) const ABORT: u8 = 14;
    pub(super) const CHANCE: u8 = 15;
    pub(super) const REQUEST: u8 = 16;
    pub(super) const COMMAND: u8 = 17;
    pub(super) const UNSUPPORTED: u8 = 18;
    pub(super) const HASH: u8 = 19;
    pub(super) const DELIVERED: u8 = 20;
    pub(super) const SPREAD: u8 = 21;
    pub(super) const RETIRE: u8 = 22;
}

/// The second octets, of commands.
mod command {
    pub(super) const WANT_WRITE: u8 = 0;
    pub(super) const PAUSE: u8 = 1;
    pub(super) const RESUME: u8 = 2;
    pub(super) const SET_TIMEOUT: u8 = 3;
    pub(super) const CONFIRM_LIVENESS: u8 = 4;
    pub(super) const SET_LIVENESS: u8 = 5;
    pub(super) const TRY_QUEUE: u8 = 6;
    pub(super) const SET_EXTENSION_OPTION: u8 = 7;
    pub(super) const INTERIM: u8 = 8;
    pub(super) const LAST_EXCHANGE: u8 = 9;
    pub(super) const LIMIT_CONTENT: u8 = 10;
    pub(super) const ACCEPT_WEB_SOCKET: u8 = 11;
    pub(super) const ACCEPT_TUNNEL: u8 = 12;
    pub(super) const CLOSE: u8 = 13;
    pub(super) const ABORT_STREAM: u8 = 14;
    pub(super) const RESPOND: u8 = 15;
    pub(super) const DATA: u8 = 16;
    pub(super) const TRAILERS: u8 = 17;
    pub(super) const FILL: u8 = 18;
    pub(super) const MESSAGE: u8 = 19;
    pub(super) const PREPARED: u8 = 20;
    pub(super) const PING: u8 = 21;
    pub(super) const TICKET: u8 = 22;
    pub(super) const AGAIN: u8 = 23;
    pub(super) const THROTTLE: u8 = 24;
    pub(super) const KEEP_HALF_CLOSED: u8 = 25;
    pub(super) const EXPECT_CONTENT: u8 = 26;
    pub(super) const HOLD: u8 = 27;
    pub(super) const LET_GO: u8 = 28;
}

const ROLES: [Role; 5] = [Role::Server, Role::ServerHttp1, Role::ServerHttp2, Role::Client, Role::Raw];

#[derive(Default)]
struct EntryWriter {
    out: Vec<u8>,
}

impl EntryWriter {
    fn octet(&mut self, octet: u8) {
        self.out.push(octet);
    }

    fn flag(&mut self, flag: bool) {
        self.octet(flag.into());
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.octet(number as u8 | 0x80);
            number >>= 7;
        }
        self.octet(number as u8);
    }

    fn octets(&mut self, octets: &[u8]) {
        self.number(octets.len() as u64);
        self.out.extend_from_slice(octets);
    }

    fn time(&mut self, time: Time) {
        self.number(time.as_micros());
    }

    fn key(&mut self, key: StreamKey) {
        let (index, generation) = key.parts();
        self.number(index.into());
        self.number(generation.into());
    }

    fn fields(&mut self, fields: &[(Vec<u8>, Vec<u8>)]) {
        self.number(fields.len() as u64);
        for (name, value) in fields {
            self.octets(name);
            self.octets(value);
        }
    }

    fn message_kind(&mut self, kind: MessageKind) {
        self.flag(kind == MessageKind::Text);
    }

    /// Writes an optional value.
    fn option<T>(&mut self, option: Option<T>, some: impl FnOnce(&mut Self, T)) {
        self.flag(option.is_some());
        if let Some(value) = option {
            some(self, value);
        }
    }

    fn timed(&mut self, kind: u8, now: Time) {
        self.octet(kind);
        self.time(now);
    }

    fn note(&mut self, note: &Note<'_>) {
        match note {
            Note::Begin { role, now, config } => {
                self.timed(kind::BEGIN, *now);
                self.octet(ROLES.iter().position(|known| known == role).map_or(u8::MAX, |at| at as u8));
                self.octets(config.as_bytes());
            }
            Note::Spread(spread) => {
                self.octet(kind::SPREAD);
                self.octet(*spread);
            }
            Note::Date(seconds) => {
                self.octet(kind::DATE);
                self.number(seconds.unwrap_or(0).into());
            }
            Note::Received { now, own, bytes } => {
                self.timed(kind::RECEIVED, *now);
                self.flag(*own);
                self.octets(bytes);
            }
            Note::Event => self.octet(kind::EVENT),
            Note::FeedEnd => self.octet(kind::FEED_END),
            Note::Transmit(now) => self.timed(kind::TRANSMIT, *now),
            Note::Took(now, n) => {
                self.timed(kind::TOOK, *now);
                self.number(*n as u64);
            }
            Note::Eof(now) => self.timed(kind::EOF, *now),
            Note::Truncation(now) => self.timed(kind::TRUNCATION, *now),
            Note::Failed(now) => self.timed(kind::FAILED, *now),
            Note::Timeout(now) => self.timed(kind::TIMEOUT, *now),
            Note::Delivered(now, under_way) => {
                self.timed(kind::DELIVERED, *now);
                self.number(*under_way as u64);
            }
            Note::Select(key) => {
                self.octet(kind::SELECT);
                self.key(*key);
            }
            Note::Redeem(key) => {
                self.octet(kind::REDEEM);
                self.key(*key);
            }
            Note::Drain(now) => self.timed(kind::DRAIN, *now),
            Note::Retire(now) => self.timed(kind::RETIRE, *now),
            Note::Abort => self.octet(kind::ABORT),
            Note::Chance(bytes) => {
                self.octet(kind::CHANCE);
                self.octets(bytes);
            }
            Note::Request { now, line, fields, content, end } => {
                self.timed(kind::REQUEST, *now);
                line.iter().for_each(|part| self.octets(part.as_bytes()));
                self.fields(fields);
                self.octets(content);
                self.flag(*end);
            }
            Note::Command(key, command) => {
                self.octet(kind::COMMAND);
                self.command(command);
                self.key(*key);
            }
            Note::Unsupported(what) => {
                self.octet(kind::UNSUPPORTED);
                self.octets(what.as_bytes());
            }
            // Sent octets are only hashed, and unknown notes cannot be replayed.
            _ => {
                self.octet(kind::UNSUPPORTED);
                self.octets(b"a call that this version does not know");
            }
        }
    }

    fn command(&mut self, command: &Command<'_>) {
        match command {
            Command::WantWrite => self.octet(command::WANT_WRITE),
            Command::Pause => self.octet(command::PAUSE),
            Command::Resume => self.octet(command::RESUME),
            Command::SetTimeout(at) => {
                self.octet(command::SET_TIMEOUT);
                self.option(*at, Self::time);
            }
            Command::ConfirmLiveness(now) => self.timed(command::CONFIRM_LIVENESS, *now),
            Command::SetLiveness(liveness) => {
                self.octet(command::SET_LIVENESS);
                self.option(*liveness, |writer, durations| {
                    for duration in durations {
                        writer.number(duration.as_secs());
                        writer.number(duration.subsec_nanos().into());
                    }
                });
            }
            Command::TryQueue(kind, message) => {
                self.octet(command::TRY_QUEUE);
                self.message_kind(*kind);
                self.octets(message);
            }
            Command::SetExtensionOption(words) => {
                self.octet(command::SET_EXTENSION_OPTION);
                words.iter().for_each(|word| self.octets(word.as_bytes()));
            }
            Command::Interim(status, fields) => {
                self.octet(command::INTERIM);
                self.number(status.code().into());
                self.fields(fields);
            }
            Command::LastExchange => self.octet(command::LAST_EXCHANGE),
            Command::LimitContent(bytes) => {
                self.octet(command::LIMIT_CONTENT);
                self.number(*bytes);
            }
            Command::ExpectContent(bytes) => {
                self.octet(command::EXPECT_CONTENT);
                self.number(*bytes as u64);
            }
            Command::Hold(bytes) => {
                self.octet(command::HOLD);
                self.number(*bytes as u64);
            }
            Command::LetGo(bytes) => {
                self.octet(command::LET_GO);
                self.number(*bytes as u64);
            }
            Command::KeepHalfClosed(keep) => {
                self.octet(command::KEEP_HALF_CLOSED);
                self.flag(*keep);
            }
            Command::AcceptWebSocket { protocol, fields, streamed, deflate } => {
                self.octet(command::ACCEPT_WEB_SOCKET);
                self.option(protocol.as_deref(), |writer, text| writer.octets(text.as_bytes()));
                self.fields(fields);
                self.flag(*streamed);
                self.option(deflate.as_deref(), |writer, text| writer.octets(text.as_bytes()));
            }
            Command::AcceptTunnel => self.octet(command::ACCEPT_TUNNEL),
            Command::Close(code, reason) => {
                self.octet(command::CLOSE);
                self.number(code.get().into());
                self.octets(reason.as_bytes());
            }
            Command::AbortStream => self.octet(command::ABORT_STREAM),
            Command::Respond { status, fields, content, end } => {
                self.octet(command::RESPOND);
                self.number(status.code().into());
                self.fields(fields);
                self.octets(content);
                self.flag(*end);
            }
            Command::Data(content, end) => {
                self.octet(command::DATA);
                self.octets(content);
                self.flag(*end);
            }
            Command::Trailers(fields) => {
                self.octet(command::TRAILERS);
                self.fields(fields);
            }
            Command::Fill { room, content, end } => {
                self.octet(command::FILL);
                self.number(*room as u64);
                self.octets(content);
                self.flag(*end);
            }
            Command::Message { kind, payload, end, compress } => {
                self.octet(command::MESSAGE);
                self.message_kind(*kind);
                self.octets(payload);
                self.flag(*end);
                self.flag(*compress);
            }
            Command::Prepared(kind, message) => {
                self.octet(command::PREPARED);
                self.message_kind(*kind);
                self.octets(message);
            }
            Command::Ping(payload) => {
                self.octet(command::PING);
                self.octets(payload);
            }
            Command::Ticket => self.octet(command::TICKET),
            Command::Again => self.octet(command::AGAIN),
            Command::Throttle => self.octet(command::THROTTLE),
            // Written as a malformed entry, so that no other command is replayed in its place.
            _ => self.octet(u8::MAX),
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

/// Each method returns `None` if the octets are malformed.
impl<'a> Reader<'a> {
    fn octet(&mut self) -> Option<u8> {
        let (octet, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*octet)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.octet()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let octet = self.octet()?;
            let bits = u64::from(octet & 0x7f);
            number |= bits << shift;
            if octet & 0x80 == 0 {
                return ((bits << shift) >> shift == bits).then_some(number);
            }
        }
        None
    }

    fn octets(&mut self) -> Option<Cow<'static, [u8]>> {
        self.slice().map(|octets| octets.to_vec().into())
    }

    fn slice(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (octets, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(octets)
    }

    fn text(&mut self) -> Option<Cow<'static, str>> {
        std::str::from_utf8(self.slice()?).ok().map(|text| text.to_owned().into())
    }

    fn time(&mut self) -> Option<Time> {
        self.number().map(Time::from_micros)
    }

    fn key(&mut self) -> Option<StreamKey> {
        let (index, generation) = (self.number()?, self.number()?);
        Some(StreamKey::from_parts(u32::try_from(index).ok()?, u32::try_from(generation).ok()?))
    }

    fn fields(&mut self) -> Option<Fields<'static>> {
        let count = self.number()?;
        let mut fields = Vec::new();
        for _ in 0..count {
            fields.push((self.slice()?.to_vec(), self.slice()?.to_vec()));
        }
        Some(fields.into())
    }

    fn message_kind(&mut self) -> Option<MessageKind> {
        self.flag().map(|text| if text { MessageKind::Text } else { MessageKind::Binary })
    }

    fn status(&mut self) -> Option<Status> {
        u16::try_from(self.number()?).ok().and_then(Status::new)
    }

    fn option<T>(&mut self, some: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { some(self).map(Some) } else { Some(None) }
    }

    fn duration(&mut self) -> Option<Duration> {
        let (secs, nanos) = (self.number()?, u32::try_from(self.number()?).ok()?);
        (nanos < 1_000_000_000).then(|| Duration::new(secs, nanos))
    }

    fn entry(mut self) -> Option<Entry> {
        let kind = self.octet()?;
        let entry = match kind {
            kind::HASH => Entry::Hash(Hash { value: self.number()?, octets: self.number()? }),
            _ => Entry::Note(self.note(kind)?),
        };
        self.rest.is_empty().then_some(entry)
    }

    fn note(&mut self, kind: u8) -> Option<Note<'static>> {
        Some(match kind {
            kind::BEGIN => {
                let now = self.time()?;
                Note::Begin { now, role: *ROLES.get(usize::from(self.octet()?))?, config: self.text()? }
            }
            kind::SPREAD => Note::Spread(self.octet()?),
            kind::DATE => {
                Note::Date(Some(u32::try_from(self.number()?).ok()?).filter(|seconds| *seconds != 0))
            }
            kind::RECEIVED => Note::Received { now: self.time()?, own: self.flag()?, bytes: self.octets()? },
            kind::EVENT => Note::Event,
            kind::FEED_END => Note::FeedEnd,
            kind::TRANSMIT => Note::Transmit(self.time()?),
            kind::TOOK => Note::Took(self.time()?, usize::try_from(self.number()?).ok()?),
            kind::EOF => Note::Eof(self.time()?),
            kind::TRUNCATION => Note::Truncation(self.time()?),
            kind::FAILED => Note::Failed(self.time()?),
            kind::TIMEOUT => Note::Timeout(self.time()?),
            kind::DELIVERED => Note::Delivered(self.time()?, usize::try_from(self.number()?).ok()?),
            kind::SELECT => Note::Select(self.key()?),
            kind::REDEEM => Note::Redeem(self.key()?),
            kind::DRAIN => Note::Drain(self.time()?),
            kind::RETIRE => Note::Retire(self.time()?),
            kind::ABORT => Note::Abort,
            kind::CHANCE => Note::Chance(self.octets()?),
            kind::REQUEST => Note::Request {
                now: self.time()?,
                line: [self.text()?, self.text()?, self.text()?],
                fields: self.fields()?,
                content: self.octets()?,
                end: self.flag()?,
            },
            kind::COMMAND => {
                let command = self.command()?;
                Note::Command(self.key()?, command)
            }
            kind::UNSUPPORTED => Note::Unsupported(self.text()?),
            _ => return None,
        })
    }

    fn command(&mut self) -> Option<Command<'static>> {
        Some(match self.octet()? {
            command::WANT_WRITE => Command::WantWrite,
            command::PAUSE => Command::Pause,
            command::RESUME => Command::Resume,
            command::SET_TIMEOUT => Command::SetTimeout(self.option(Self::time)?),
            command::CONFIRM_LIVENESS => Command::ConfirmLiveness(self.time()?),
            command::SET_LIVENESS => {
                Command::SetLiveness(self.option(|reader| Some([reader.duration()?, reader.duration()?]))?)
            }
            command::TRY_QUEUE => Command::TryQueue(self.message_kind()?, self.octets()?),
            command::SET_EXTENSION_OPTION => {
                Command::SetExtensionOption([self.text()?, self.text()?, self.text()?])
            }
            command::INTERIM => Command::Interim(self.status()?, self.fields()?),
            command::LAST_EXCHANGE => Command::LastExchange,
            command::EXPECT_CONTENT => Command::ExpectContent(usize::try_from(self.number()?).ok()?),
            command::KEEP_HALF_CLOSED => Command::KeepHalfClosed(self.flag()?),
            command::LIMIT_CONTENT => Command::LimitContent(self.number()?),
            command::HOLD => Command::Hold(usize::try_from(self.number()?).unwrap_or(usize::MAX)),
            command::LET_GO => Command::LetGo(usize::try_from(self.number()?).unwrap_or(usize::MAX)),
            command::ACCEPT_WEB_SOCKET => Command::AcceptWebSocket {
                protocol: self.option(Self::text)?,
                fields: self.fields()?,
                streamed: self.flag()?,
                deflate: self.option(Self::text)?,
            },
            command::ACCEPT_TUNNEL => Command::AcceptTunnel,
            command::CLOSE => {
                let code = u16::try_from(self.number()?).ok().and_then(CloseCode::new)?;
                Command::Close(code, self.text()?)
            }
            command::ABORT_STREAM => Command::AbortStream,
            command::RESPOND => Command::Respond {
                status: self.status()?,
                fields: self.fields()?,
                content: self.octets()?,
                end: self.flag()?,
            },
            command::DATA => Command::Data(self.octets()?, self.flag()?),
            command::TRAILERS => Command::Trailers(self.fields()?),
            command::FILL => Command::Fill {
                room: usize::try_from(self.number()?).ok()?,
                content: self.octets()?,
                end: self.flag()?,
            },
            command::MESSAGE => Command::Message {
                kind: self.message_kind()?,
                payload: self.octets()?,
                end: self.flag()?,
                compress: self.flag()?,
            },
            command::PREPARED => Command::Prepared(self.message_kind()?, self.octets()?),
            command::PING => Command::Ping(self.octets()?),
            command::TICKET => Command::Ticket,
            command::AGAIN => Command::Again,
            command::THROTTLE => Command::Throttle,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
