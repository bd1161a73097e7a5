//! What the two sides say to each other, read from an input: settings, exchanges, their parts, and how the bytes travel.
//!
//! Where the input has ended everything takes its smallest value. Sizes have bounds, so that an input costs a millisecond or so.

use crate::endpoint::Buffer;
use crate::transcript::{Fields, Octets};
use arbitrary::{Arbitrary, Unstructured};
use lws_proto::Bytes;

/// Names of the field lines that are compared. Whatever else comes the implementations add by themselves.
pub(super) const NAMES: [&str; 8] =
    ["x-a", "x-longer-name", "x-b", "cookie", "accept", "authorization", "user-agent", "referer"];
/// Of those in `NAMES` so many may be trailers. RFC 9110 §6.5.1.
const TRAILER_NAMES: usize = 3;

/// Exchanges of one connection.
const EXCHANGES_MAX: usize = 8;
/// Bytes of content of one connection, in both directions.
const CONTENT_MAX: usize = 120_000;
/// How often a window is filled, at most: tiny windows make tiny contents.
const WINDOWS_MAX: usize = 20;

/// All of a connection.
#[derive(Debug)]
pub(super) struct Plan {
    /// Whether `h2` is the server, and not the client.
    pub(super) answers: bool,
    /// Whether the side that has `h2` begins the orderly end.
    pub(super) ends: bool,
    /// Whether `h2` pings.
    pub(super) pings: bool,
    /// What our side allows.
    pub(super) ours: Bounds,
    /// What `h2` allows.
    pub(super) theirs: Bounds,
    /// How the bytes travel.
    pub(super) travel: Travel,
    /// Each with a stream of its own.
    pub(super) exchanges: Vec<Exchange>,
}

/// What one side allows the other.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub(super) struct Bounds {
    window: u16,
    connection: u8,
    frame: u8,
    queue: u8,
    table: u8,
    streams: u8,
}

impl Bounds {
    /// Bytes of the window of a stream.
    pub(super) fn window(self) -> u32 {
        if self.window == 0 { 65_535 } else { self.window.into() }
    }

    /// Bytes of the window of the connection.
    pub(super) fn connection_window(self) -> u32 {
        65_535 + 4_000 * u32::from(self.connection)
    }

    /// Bytes of a frame.
    pub(super) fn frame(self) -> u32 {
        16_384 + 200 * u32::from(self.frame)
    }

    /// Bytes that may be queued for the other side.
    pub(super) fn queue(self) -> usize {
        if self.queue == 0 { 64 << 10 } else { 50 * usize::from(self.queue) }
    }

    /// Bytes of the table of field lines.
    pub(super) fn table(self) -> u32 {
        [4_096, 0, 64, 200, 1_000, 10_000][usize::from(self.table % 6)]
    }

    /// Streams at once.
    pub(super) fn streams(self) -> u32 {
        if self.streams == 0 { 100 } else { (self.streams % 8 + 1).into() }
    }
}

/// How the bytes travel.
#[derive(Arbitrary, Debug)]
pub(super) struct Travel {
    rounds: [u8; 6],
    step: u8,
}

impl Travel {
    /// Rounds in which a direction may stand still.
    const UNEVEN: usize = 60;

    /// In which directions bytes move in a round, from `h2` and to it.
    pub(super) fn moves(&self, round: usize) -> [bool; 2] {
        let byte = self.round(round);
        [byte & 1 == 0, byte & 2 == 0]
    }

    /// Bytes of the parts that are moved in a round.
    pub(super) fn part(&self, round: usize) -> usize {
        match self.round(round) >> 2 {
            0 => usize::MAX,
            n => usize::from(n) * usize::from(n),
        }
    }

    /// Whose buffer parts come in.
    pub(super) fn buffer(&self, round: usize) -> Buffer {
        if self.round(round) & 4 == 0 { Buffer::Lent } else { Buffer::Own }
    }

    fn round(&self, round: usize) -> u8 {
        if round < Self::UNEVEN { self.rounds[round % self.rounds.len()] } else { 0 }
    }

    /// Bytes that the transport takes of our side in one call.
    pub(super) fn step(&self) -> usize {
        if self.step == 0 { usize::MAX } else { 64 * usize::from(self.step) }
    }
}

/// A request and its response.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Of the request.
    pub(super) method: &'static str,
    /// What the client says.
    pub(super) request: Message,
    /// Interim responses.
    pub(super) interim: usize,
    /// The status code of the final response.
    pub(super) status: u16,
    /// What the server says.
    pub(super) response: Message,
    /// Whether the server answers before it has received the end of the request.
    pub(super) early: bool,
    /// Who gives up, and after how many parts.
    pub(super) reset: Reset,
    /// Whether our side pauses after each piece of content.
    pub(super) pauses: bool,
}

/// Who gives up, and after how many parts of its message. That is before the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    Neither,
    Client(usize),
    Server(usize),
}

/// What one side says in an exchange.
#[derive(Debug)]
pub(super) struct Message {
    /// Those of the head. `content-length` may be among them.
    pub(super) fields: Fields,
    /// All parts together.
    pub(super) content: Bytes,
    /// If there are any.
    pub(super) trailers: Option<Fields>,
    /// In order. The first one goes with the head.
    pub(super) parts: Vec<Part>,
}

/// What is sent at once.
#[derive(Clone, Debug)]
pub(super) enum Part {
    /// Content, and whether it is the last.
    Content(Bytes, bool),
    Trailers,
}

impl Part {
    /// What can go with the head, and whether that is all.
    pub(super) fn with_head(&self) -> (Bytes, bool) {
        match self {
            Self::Content(content, end) => (content.clone(), *end),
            Self::Trailers => (Bytes::new(), false),
        }
    }
}

#[derive(Arbitrary, Debug)]
struct RawExchange {
    method: u8,
    interim: u8,
    status: u8,
    reset: u8,
    ways: u8,
    request: RawMessage,
    response: RawMessage,
}

#[derive(Arbitrary, Debug)]
struct RawMessage {
    len: u16,
    parts: u8,
    fields: Vec<RawField>,
    trailers: Option<RawField>,
}

#[derive(Arbitrary, Debug)]
struct RawField {
    name: u8,
    value: [u8; 2],
    times: u8,
}

impl RawField {
    /// Visible characters, so that every implementation takes them: `value`, again and again.
    fn field(&self, names: &[&str], len_max: usize) -> (String, Octets) {
        let value = self.value.map(|octet| b'!' + octet % 94);
        let len = (usize::from(self.times) * usize::from(self.times) / 8).min(len_max);
        (names[usize::from(self.name) % names.len()].into(), Octets(value.repeat(len.div_ceil(2))))
    }
}

impl Plan {
    /// Reads one.
    pub(super) fn read(input: &[u8]) -> arbitrary::Result<Self> {
        let mut input = Unstructured::new(input);
        let ways: u8 = input.arbitrary()?;
        let (ours, theirs): (Bounds, Bounds) = input.arbitrary()?;
        let travel = input.arbitrary()?;
        let windows = [ours, theirs].map(|bounds| bounds.window() as usize);
        let mut left = CONTENT_MAX;
        let mut exchanges = Vec::new();
        while exchanges.len() < EXCHANGES_MAX && (exchanges.is_empty() || !input.is_empty()) {
            exchanges.push(Exchange::cook(
                &input.arbitrary()?,
                *windows.iter().min().unwrap_or(&1),
                &mut left,
            ));
        }
        let [answers, ends, pings] = [1, 2, 4].map(|bit| ways & bit != 0);
        Ok(Self { answers, ends, pings, ours, theirs, travel, exchanges })
    }
}

impl Exchange {
    fn cook(raw: &RawExchange, window: usize, left: &mut usize) -> Self {
        let method = ["GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS"][usize::from(raw.method % 6)];
        let status = [200, 404, 204, 304, 500, 201][usize::from(raw.status % 6)];
        let request = Message::cook(&raw.request, window, left, true);
        let response =
            Message::cook(&raw.response, window, left, method != "HEAD" && !matches!(status, 204 | 304));
        let after = usize::from(raw.reset >> 2);
        let reset = match raw.reset % 4 {
            1 if request.parts.len() > 1 => Reset::Client(1 + after % (request.parts.len() - 1)),
            2 => Reset::Server(after % response.parts.len()),
            _ => Reset::Neither,
        };
        Self {
            method,
            request,
            interim: usize::from(raw.interim % 4),
            status,
            response,
            early: raw.ways & 1 != 0,
            reset,
            pauses: raw.ways & 2 != 0,
        }
    }
}

impl Message {
    /// One whose content meets the bounds; of nothing but a head if it may have no content.
    fn cook(raw: &RawMessage, window: usize, left: &mut usize, has_content: bool) -> Self {
        let mut fields: Fields = raw.fields.iter().take(6).map(|field| field.field(&NAMES, 4_000)).collect();
        fields.sort_by(|(name, _), (other, _)| name.cmp(other));
        if !has_content {
            let parts = vec![Part::Content(Bytes::new(), true)];
            return Self { fields, content: Bytes::new(), trailers: None, parts };
        }
        let len = usize::from(raw.len) * if raw.len > 60_000 { 2 } else { 1 };
        let len = len.min(window * WINDOWS_MAX).min(*left);
        *left -= len;
        let content = content(len);
        let trailers = raw.trailers.as_ref().map(|field| vec![field.field(&NAMES[..TRAILER_NAMES], 500)]);
        let [declared, late] = [16, 32].map(|bit| raw.parts & bit != 0);
        if declared {
            fields.push(("content-length".into(), len.to_string().as_str().into()));
        }
        let part = len.div_ceil(usize::from(raw.parts % 8) + 1).max(1);
        let mut parts: Vec<Part> = (0..len.div_ceil(part).max(1))
            .map(|index| content.slice(index * part..len.min((index + 1) * part)))
            .map(|content| Part::Content(content, false))
            .collect();
        match parts.last_mut() {
            _ if trailers.is_some() => parts.push(Part::Trailers),
            Some(Part::Content(_, end)) if !late => *end = true,
            _ => parts.push(Part::Content(Bytes::new(), true)),
        }
        Self { fields, content, trailers, parts }
    }
}

/// So many bytes, none like its neighbours, so that what is lost or comes twice is seen.
fn content(len: usize) -> Bytes {
    use std::sync::LazyLock;
    static SAMPLE: LazyLock<Bytes> = LazyLock::new(|| crate::Random::new(1).bytes(1 << 17).into());
    SAMPLE.slice(..len)
}
