//! The interface of a recorder: every call that changes a connection, in order.
//!
//! An engine without clock, chance and transport does the same again if it is called the same again. So what a
//! [`Tape`] is given is all that it takes to have a connection once more: the bytes of the peer and the time, what the transport took,
//! and what the application did with its handles. Knows neither files nor formats; the crate `lws-record` has those.
//!
//! Only with the feature `record`: without it nothing of this is compiled.

use crate::http::Status;
use crate::ws::CloseCode;
use crate::{Config, Entropy, MessageKind, PreparedFields, StreamKey, Time};
use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use std::sync::{Mutex, PoisonError};

/// Records the calls to one connection.
pub trait Tape: Send {
    /// Records the next call, before it takes effect.
    fn note(&mut self, note: Note<'_>);
}

/// The constructor that made a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// [`Connection::server`](crate::Connection::server).
    Server,
    /// [`Connection::server_http1`](crate::Connection::server_http1).
    ServerHttp1,
    /// [`Connection::server_http2`](crate::Connection::server_http2).
    ServerHttp2,
    /// [`Connection::client`](crate::Connection::client).
    Client,
    /// [`Connection::client_raw`](crate::Connection::client_raw), or a server's that expects nothing else.
    Raw,
}

/// Names and values, in order.
pub type Fields<'a> = Cow<'a, [(Vec<u8>, Vec<u8>)]>;

/// One recorded call to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note<'a> {
    /// The connection is in this state: nothing else has happened yet.
    Begin {
        /// How it began.
        role: Role,
        /// When.
        now: Time,
        /// The limits and everything else of its configuration, as text.
        config: Cow<'a, str>,
    },
    /// Whose turn it is to be asked for a sign of life: [`Connection::set_spread`](crate::Connection::set_spread).
    Spread(u8),
    /// The wall clock has changed to this many seconds; `None` is unknown.
    Date(Option<u32>),
    /// Bytes of the peer.
    Received {
        /// When.
        now: Time,
        /// Whether they came in the engine's own buffer.
        own: bool,
        /// Before the engine has unmasked them.
        bytes: Cow<'a, [u8]>,
    },
    /// The next event was asked for, whether there was one or not.
    Event,
    /// Lent bytes were taken back, whether they had all been looked at or not.
    FeedEnd,
    /// Queued bytes were asked for.
    Transmit(Time),
    /// The transport takes these bytes. There may be several before one [`Took`](Self::Took).
    Sent(Cow<'a, [u8]>),
    /// So much it took in all.
    Took(Time, usize),
    /// The peer has ended.
    Eof(Time),
    /// The peer has ended, perhaps cut.
    Truncation(Time),
    /// The transport has failed.
    Failed(Time),
    /// Time has passed.
    Timeout(Time),
    /// So many bytes that the transport took are still under way.
    Delivered(Time, usize),
    /// A stream was looked up.
    Select(StreamKey),
    /// A ticket was redeemed.
    Redeem(StreamKey),
    /// The connection is to end in order.
    Drain(Time),
    /// [`Connection::retire`](crate::Connection::retire).
    Retire(Time),
    /// The connection is to end at once.
    Abort,
    /// Random bytes that were drawn.
    Chance(Cow<'a, [u8]>),
    /// A client's request.
    Request {
        /// When.
        now: Time,
        /// Method, target and host.
        line: [Cow<'a, str>; 3],
        /// All of them.
        fields: Fields<'a>,
        /// What comes with the head.
        content: Cow<'a, [u8]>,
        /// Whether that is all.
        end: bool,
    },
    /// What the application does with the stream that it was lent.
    Command(StreamKey, Command<'a>),
    /// Something that a record cannot hold, so that it can be read but not replayed beyond this point.
    Unsupported(Cow<'a, str>),
}

/// A call on a [`Stream`](crate::Stream), a [`Writable`](crate::Writable) or what is left of one, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the methods of these names say it")]
pub enum Command<'a> {
    WantWrite,
    Pause,
    Resume,
    SetTimeout(Option<Time>),
    ConfirmLiveness(Time),
    SetLiveness(Option<[core::time::Duration; 2]>),
    TryQueue(MessageKind, Cow<'a, [u8]>),
    SetExtensionOption([Cow<'a, str>; 3]),
    Interim(Status, Fields<'a>),
    LastExchange,
    LimitContent(u64),
    Hold(usize),
    LetGo(usize),
    KeepHalfClosed(bool),
    ExpectContent(usize),
    AcceptWebSocket {
        protocol: Option<Cow<'a, str>>,
        fields: Fields<'a>,
        streamed: bool,
        /// The options of permessage-deflate, as `Deflate::set_option` takes them, if it is allowed.
        deflate: Option<Cow<'a, str>>,
    },
    AcceptTunnel,
    Close(CloseCode, Cow<'a, str>),
    AbortStream,
    Respond {
        status: Status,
        fields: Fields<'a>,
        content: Cow<'a, [u8]>,
        end: bool,
    },
    Data(Cow<'a, [u8]>, bool),
    Trailers(Fields<'a>),
    /// The room that was lent, what was written there, and whether that was the last.
    Fill {
        room: usize,
        content: Cow<'a, [u8]>,
        end: bool,
    },
    Message {
        kind: MessageKind,
        payload: Cow<'a, [u8]>,
        end: bool,
        compress: bool,
    },
    Prepared(MessageKind, Cow<'a, [u8]>),
    Ping(Cow<'a, [u8]>),
    Ticket,
    Again,
    Throttle,
}

/// A tape, for all halves of a connection that note something: one calls at a time.
#[derive(Clone)]
pub(crate) struct Running(Arc<Mutex<Turning>>);

struct Turning {
    tape: Box<dyn Tape>,
    date: Option<u32>,
}

impl Running {
    pub(crate) fn new(tape: Box<dyn Tape>) -> Self {
        Self(Arc::new(Mutex::new(Turning { tape, date: None })))
    }

    /// Notes the wall clock too, if it has changed: responses read it whenever they are written.
    pub(crate) fn note(&self, config: &Config, note: Note<'_>) {
        let mut turning = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let date = config.wall_clock.get();
        if date != turning.date {
            turning.date = date;
            turning.tape.note(Note::Date(date));
        }
        turning.tape.note(note);
    }

    fn chance(&self, bytes: &[u8]) {
        let mut turning = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        turning.tape.note(Note::Chance(bytes.into()));
    }
}

/// Chance that is noted.
pub(crate) struct NotedEntropy {
    pub(crate) entropy: Box<dyn Entropy>,
    pub(crate) tape: Running,
}

impl Entropy for NotedEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.entropy.fill(bytes);
        self.tape.chance(bytes);
    }
}

/// Fields that are kept.
pub(crate) fn owned<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    fields: impl IntoIterator<Item = (N, V)>,
) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.into_iter().map(|(name, value)| (name.as_ref().to_vec(), value.as_ref().to_vec())).collect()
}

/// The fields of a response: those that were prepared, and the others.
pub(crate) fn with_prepared(
    prepared: &[&PreparedFields],
    others: &[(Vec<u8>, Vec<u8>)],
) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut fields = owned(prepared.iter().flat_map(|prepared| prepared.lines()));
    fields.extend_from_slice(others);
    fields
}

/// Fields on their way to the peer: kept where a tape runs, as they may be asked for only once, and otherwise passed on.
pub(crate) enum SentFields<I> {
    Passed(I),
    Kept(Vec<(Vec<u8>, Vec<u8>)>),
}

/// A name or value of [`SentFields`].
pub(crate) enum Octets<T> {
    Passed(T),
    Kept(Vec<u8>),
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Octets<T> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Passed(octets) => octets.as_ref(),
            Self::Kept(octets) => octets,
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>, I: Iterator<Item = (N, V)>> SentFields<I> {
    pub(crate) fn new(running: Option<&Running>, fields: impl IntoIterator<IntoIter = I>) -> Self {
        let fields = fields.into_iter();
        if running.is_none() {
            return Self::Passed(fields);
        }
        Self::Kept(owned(fields))
    }

    /// Those that a tape notes.
    pub(crate) fn kept(&self) -> &[(Vec<u8>, Vec<u8>)] {
        match self {
            Self::Passed(_) => &[],
            Self::Kept(fields) => fields,
        }
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>, I: Iterator<Item = (N, V)>> IntoIterator for SentFields<I> {
    type Item = (Octets<N>, Octets<V>);
    type IntoIter = SentFieldsIter<I>;

    fn into_iter(self) -> SentFieldsIter<I> {
        match self {
            Self::Passed(fields) => SentFieldsIter::Passed(fields),
            Self::Kept(fields) => SentFieldsIter::Kept(fields.into_iter()),
        }
    }
}

/// The fields of [`SentFields`], in their order.
pub(crate) enum SentFieldsIter<I> {
    Passed(I),
    Kept(alloc::vec::IntoIter<(Vec<u8>, Vec<u8>)>),
}

impl<N, V, I: Iterator<Item = (N, V)>> Iterator for SentFieldsIter<I> {
    type Item = (Octets<N>, Octets<V>);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Passed(fields) => {
                fields.next().map(|(name, value)| (Octets::Passed(name), Octets::Passed(value)))
            }
            Self::Kept(fields) => {
                fields.next().map(|(name, value)| (Octets::Kept(name), Octets::Kept(value)))
            }
        }
    }
}

/// What writes in place, and is noted with what it wrote.
pub(crate) fn filling<F: FnOnce(&mut [u8]) -> (usize, bool)>(
    running: Option<(Running, Arc<Config>, StreamKey)>,
    max: usize,
    fill: F,
) -> impl FnOnce(&mut [u8]) -> (usize, bool) + use<F> {
    move |room: &mut [u8]| {
        let (len, end) = fill(room);
        if let Some((tape, config, key)) = running {
            let content = room.get(..len).unwrap_or(room).into();
            tape.note(&config, Note::Command(key, Command::Fill { room: max, content, end }));
        }
        (len, end)
    }
}

/// A configuration as text, without the wall clock, which is noted as it goes, and what others of the service hold.
#[must_use]
pub fn describe(config: &Config) -> String {
    let Config { limits, expect, wall_clock: _, versions, upgrade_to_http2, held: _, refusals: _ } = config;
    alloc::format!("{expect:?} {versions:?} {upgrade_to_http2} {limits:?}")
}

impl StreamKey {
    /// Its place and its generation, to be written down.
    #[must_use]
    pub fn parts(self) -> (u32, u32) {
        (self.number(), self.generation)
    }

    /// The key that has these [`parts`](Self::parts). One that the engine has not made finds nothing.
    #[must_use]
    pub fn from_parts(index: u32, generation: u32) -> Self {
        Self::new(index, generation)
    }
}

/// Strings of HPACK, for a program that has to find one in a field block. RFC 7541 §5.2.
pub mod strings {
    pub use crate::hpack::strings::{code_length, decode, encode, static_name};
}
