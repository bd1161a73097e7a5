//! HTTP/2 on the wire: frames, written and read without the engine, and decoded frames of an engine.
//!
//! Frames are made of numbers, so that whatever is forbidden can be written down too. Field blocks are written here, plainly and
//! without a table; those of the engine are read with its own decoder, which has tests of its own.

use crate::hpack::{Field, fields};
use crate::{Delivered, Octets, Transcript};
use lws_proto::hpack::{Decoder, Section, SectionLimits, TABLE_SIZE_DEFAULT};
use std::collections::BTreeMap;

/// What a client says first. RFC 9113 §3.4.
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames. RFC 9113 §6, RFC 9218 §7.1.
pub mod kind {
    /// `DATA`.
    pub const DATA: u8 = 0;
    /// `HEADERS`.
    pub const HEADERS: u8 = 1;
    /// `PRIORITY`.
    pub const PRIORITY: u8 = 2;
    /// `RST_STREAM`.
    pub const RST_STREAM: u8 = 3;
    /// `SETTINGS`.
    pub const SETTINGS: u8 = 4;
    /// `PUSH_PROMISE`.
    pub const PUSH_PROMISE: u8 = 5;
    /// `PING`.
    pub const PING: u8 = 6;
    /// `GOAWAY`.
    pub const GOAWAY: u8 = 7;
    /// `WINDOW_UPDATE`.
    pub const WINDOW_UPDATE: u8 = 8;
    /// `CONTINUATION`.
    pub const CONTINUATION: u8 = 9;
    /// `PRIORITY_UPDATE`.
    pub const PRIORITY_UPDATE: u8 = 16;
}

/// Flags of frames. RFC 9113 §6.
pub mod flag {
    /// `END_STREAM`, of DATA and HEADERS.
    pub const END_STREAM: u8 = 1;
    /// `ACK`, of SETTINGS and PING.
    pub const ACK: u8 = 1;
    /// `END_HEADERS`, of HEADERS and CONTINUATION.
    pub const END_HEADERS: u8 = 4;
    /// `PADDED`, of DATA and HEADERS.
    pub const PADDED: u8 = 8;
    /// `PRIORITY`.
    pub const PRIORITY: u8 = 0x20;
}

/// Names of settings. RFC 9113 §6.5.2, RFC 8441 §3, RFC 9218 §2.1.
pub mod setting {
    /// `SETTINGS_HEADER_TABLE_SIZE`.
    pub const HEADER_TABLE_SIZE: u16 = 1;
    /// `SETTINGS_ENABLE_PUSH`.
    pub const ENABLE_PUSH: u16 = 2;
    /// `SETTINGS_MAX_CONCURRENT_STREAMS`.
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    /// `SETTINGS_INITIAL_WINDOW_SIZE`.
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    /// `SETTINGS_MAX_FRAME_SIZE`.
    pub const MAX_FRAME_SIZE: u16 = 5;
    /// `SETTINGS_MAX_HEADER_LIST_SIZE`.
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    /// `SETTINGS_ENABLE_CONNECT_PROTOCOL`.
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
    /// `SETTINGS_NO_RFC7540_PRIORITIES`.
    pub const NO_RFC7540_PRIORITIES: u16 = 9;
}

/// A frame. RFC 9113 §4.1.
#[must_use]
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    header(payload.len() as u32, kind, flags, stream).into_iter().chain(payload.iter().copied()).collect()
}

/// The head of a frame, whatever follows.
#[must_use]
pub fn header(len: u32, kind: u8, flags: u8, stream: u32) -> [u8; 9] {
    let [_, a, b, c] = len.to_be_bytes();
    let [d, e, f, g] = stream.to_be_bytes();
    [a, b, c, kind, flags, d, e, f, g]
}

/// A DATA frame.
#[must_use]
pub fn data(stream: u32, content: impl AsRef<[u8]>, end: bool) -> Vec<u8> {
    frame(kind::DATA, u8::from(end) * flag::END_STREAM, stream, content.as_ref())
}

/// A DATA frame with padding.
#[must_use]
pub fn padded(stream: u32, content: &[u8], padding: u8, end: bool) -> Vec<u8> {
    let payload = [&[padding], content, &vec![0; usize::from(padding)]].concat();
    frame(kind::DATA, flag::PADDED | (u8::from(end) * flag::END_STREAM), stream, &payload)
}

/// A HEADERS frame that holds the whole field block.
#[must_use]
pub fn headers(stream: u32, fields: &[(&str, &str)], end: bool) -> Vec<u8> {
    let flags = flag::END_HEADERS | (u8::from(end) * flag::END_STREAM);
    frame(kind::HEADERS, flags, stream, &block(fields))
}

/// The control data of a GET, to which fields are added.
pub const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];

/// The same of a POST.
pub const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];

/// What opens a WebSocket. RFC 8441 §5.1.
pub const WEBSOCKET: [(&str, &str); 6] = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "http"),
    (":path", "/chat"),
    (":authority", "a"),
    ("sec-websocket-version", "13"),
];

/// A GET without content.
#[must_use]
pub fn get(stream: u32) -> Vec<u8> {
    headers(stream, &GET, true)
}

/// The head of a POST.
#[must_use]
pub fn post(stream: u32) -> Vec<u8> {
    headers(stream, &POST, false)
}

/// A SETTINGS frame.
#[must_use]
pub fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let entry = |(name, value): &(u16, u32)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, &entries.iter().flat_map(entry).collect::<Vec<_>>())
}

/// The acknowledgement of SETTINGS.
#[must_use]
pub fn settings_ack() -> Vec<u8> {
    frame(kind::SETTINGS, flag::ACK, 0, &[])
}

/// A WINDOW_UPDATE frame.
#[must_use]
pub fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

/// A RST_STREAM frame.
#[must_use]
pub fn rst_stream(stream: u32, code: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &code.to_be_bytes())
}

/// A GOAWAY frame.
#[must_use]
pub fn go_away(last: u32, code: u32) -> Vec<u8> {
    frame(kind::GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat())
}

/// A PING frame.
#[must_use]
pub fn ping(ack: bool, payload: [u8; 8]) -> Vec<u8> {
    frame(kind::PING, u8::from(ack) * flag::ACK, 0, &payload)
}

/// A PRIORITY_UPDATE frame. RFC 9218 §7.1.
#[must_use]
pub fn priority_update(stream: u32, value: &str) -> Vec<u8> {
    frame(kind::PRIORITY_UPDATE, 0, 0, &[&stream.to_be_bytes()[..], value.as_bytes()].concat())
}

/// A field block of literals that enter no table, whatever the names and values are. RFC 7541 §6.2.2.
#[must_use]
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        literal(&mut block, name.as_bytes(), value.as_bytes());
    }
    block
}

/// Adds a literal that enters no table. RFC 7541 §6.2.2.
pub fn literal(block: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    block.push(0);
    string(block, name);
    string(block, value);
}

/// A string literal without Huffman coding. RFC 7541 §5.2.
fn string(block: &mut Vec<u8>, octets: &[u8]) {
    match octets.len() {
        len @ ..127 => block.push(len as u8),
        len => {
            block.push(127);
            let mut rest = len - 127;
            while rest >= 128 {
                block.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            block.push(rest as u8);
        }
    }
    block.extend_from_slice(octets);
}

/// What a client begins with, to which the server's SETTINGS are acknowledged.
#[must_use]
pub fn client_begins(entries: &[(u16, u32)]) -> Vec<u8> {
    [&PREFACE[..], &settings(entries), &settings_ack()].concat()
}

/// What a server begins with, to which the client's SETTINGS are acknowledged.
#[must_use]
pub fn server_begins(entries: &[(u16, u32)]) -> Vec<u8> {
    [settings(entries), settings_ack()].concat()
}

/// A decoded frame that an engine has sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SentFrame {
    /// The client's preface.
    Preface,
    /// SETTINGS.
    Settings(Vec<(u16, u32)>),
    /// SETTINGS acknowledged.
    SettingsAck,
    /// HEADERS with their CONTINUATION frames, and how many those were.
    Headers {
        /// Of the frame.
        stream: u32,
        /// In order.
        fields: Vec<Field>,
        /// END_STREAM.
        end: bool,
        /// CONTINUATION frames.
        continuations: usize,
    },
    /// DATA.
    Data {
        /// Of the frame.
        stream: u32,
        /// Without padding, of which an engine has none.
        content: Octets,
        /// END_STREAM.
        end: bool,
    },
    /// RST_STREAM.
    Reset {
        /// Of the frame.
        stream: u32,
        /// The error code.
        code: u32,
    },
    /// PING.
    Ping {
        /// ACK.
        ack: bool,
        /// Opaque.
        payload: [u8; 8],
    },
    /// GOAWAY.
    GoAway {
        /// The last stream that is processed.
        last: u32,
        /// The error code.
        code: u32,
        /// Additional debug data.
        debug: String,
    },
    /// WINDOW_UPDATE.
    WindowUpdate {
        /// Zero is the connection.
        stream: u32,
        /// Window size increment.
        increment: u32,
    },
}

/// Decodes the output of an engine. It keeps the dynamic table of the field blocks.
#[derive(Debug)]
pub struct Reader {
    decoder: Decoder,
}

impl Default for Reader {
    fn default() -> Self {
        Self { decoder: Decoder::new(TABLE_SIZE_DEFAULT) }
    }
}

impl Reader {
    /// Frames to the end of `bytes`.
    ///
    /// # Panics
    /// If they are incomplete, or something that an engine never sends.
    pub fn read(&mut self, mut bytes: &[u8]) -> Vec<SentFrame> {
        let mut sent_frames = Vec::new();
        if let Some(rest) = bytes.strip_prefix(PREFACE) {
            bytes = rest;
            sent_frames.push(SentFrame::Preface);
        }
        let mut open: Option<(u32, bool, Vec<u8>, usize)> = None;
        while !bytes.is_empty() {
            let (head, rest) = bytes.split_first_chunk::<9>().expect("half a frame header");
            let [a, b, c, kind, flags, stream @ ..] = *head;
            let len = u32::from_be_bytes([0, a, b, c]) as usize;
            let stream = u32::from_be_bytes(stream);
            // "Unused flags MUST be ... left unset (0x00) when sending", and so must the reserved bit. RFC 9113 §4.1.
            assert_eq!(flags & !used(kind), 0, "flags of a frame of type {kind}");
            assert!(stream < 1 << 31, "the reserved bit");
            let (payload, rest) = rest.split_at_checked(len).expect("half a payload");
            bytes = rest;
            assert!(open.is_none() || kind == kind::CONTINUATION, "a field block is interrupted");
            match kind {
                kind::HEADERS => open = Some((stream, flags & flag::END_STREAM != 0, payload.to_vec(), 0)),
                kind::CONTINUATION => {
                    let (id, _, block, count) = open.as_mut().expect("CONTINUATION of nothing");
                    assert_eq!(*id, stream);
                    block.extend_from_slice(payload);
                    *count += 1;
                }
                kind => sent_frames.push(read_frame(kind, flags, stream, payload)),
            }
            if matches!(kind, kind::HEADERS | kind::CONTINUATION) && flags & flag::END_HEADERS != 0 {
                let (stream, end, block, continuations) = open.take().expect("a field block");
                sent_frames.push(SentFrame::Headers {
                    stream,
                    fields: self.fields(&block),
                    end,
                    continuations,
                });
            }
        }
        assert!(open.is_none(), "half a field block");
        sent_frames
    }

    fn fields(&mut self, block: &[u8]) -> Vec<Field> {
        let limits = SectionLimits { bytes_max: u32::MAX, fields_max: u32::MAX, hard_bytes_max: u32::MAX };
        let mut section = Section::default();
        self.decoder.decode(block, &mut section, limits).expect("a field block");
        fields(&section)
    }
}

/// The flags that an engine may set on a frame. It pads nothing, and says nothing of RFC 7540's priorities.
fn used(kind: u8) -> u8 {
    match kind {
        kind::DATA => flag::END_STREAM,
        kind::HEADERS => flag::END_STREAM | flag::END_HEADERS,
        kind::CONTINUATION => flag::END_HEADERS,
        kind::SETTINGS | kind::PING => flag::ACK,
        _ => 0,
    }
}

fn word(payload: &[u8]) -> u32 {
    u32::from_be_bytes(*payload.first_chunk().expect("four bytes"))
}

fn read_frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> SentFrame {
    let on_connection = || assert_eq!(stream, 0, "a frame about the connection");
    match kind {
        kind::DATA => SentFrame::Data { stream, content: payload.into(), end: flags != 0 },
        kind::RST_STREAM => SentFrame::Reset { stream, code: word(payload) },
        kind::SETTINGS if flags & flag::ACK != 0 => {
            on_connection();
            assert!(payload.is_empty());
            SentFrame::SettingsAck
        }
        kind::SETTINGS => {
            on_connection();
            let entry = |entry: &[u8; 6]| (u16::from_be_bytes([entry[0], entry[1]]), word(&entry[2..]));
            let (entries, rest) = payload.as_chunks::<6>();
            assert!(rest.is_empty());
            SentFrame::Settings(entries.iter().map(entry).collect())
        }
        kind::PING => {
            on_connection();
            SentFrame::Ping { ack: flags & flag::ACK != 0, payload: payload.try_into().expect("eight bytes") }
        }
        kind::GOAWAY => {
            on_connection();
            let debug = String::from_utf8_lossy(&payload[8..]).into_owned();
            SentFrame::GoAway { last: word(payload), code: word(&payload[4..]), debug }
        }
        kind::WINDOW_UPDATE => {
            assert_ne!(word(payload), 0, "an increment of zero");
            SentFrame::WindowUpdate { stream, increment: word(payload) }
        }
        other => panic!("a frame of type {other} with {}", payload.escape_ascii()),
    }
}

impl SentFrame {
    /// The stream that it is about; zero is the connection.
    #[must_use]
    pub fn stream(&self) -> u32 {
        match self {
            Self::Headers { stream, .. }
            | Self::Data { stream, .. }
            | Self::Reset { stream, .. }
            | Self::WindowUpdate { stream, .. } => *stream,
            _ => 0,
        }
    }
}

impl SentFrame {
    /// What a GOAWAY says for a person.
    #[must_use]
    pub fn debug(&self) -> Option<&str> {
        match self {
            Self::GoAway { debug, .. } => Some(debug),
            _ => None,
        }
    }
}

/// The frames of one stream, or of the connection if `wanted` is zero.
#[must_use]
pub fn on(sent_frames: &[SentFrame], wanted: u32) -> Vec<SentFrame> {
    sent_frames.iter().filter(|frame| frame.stream() == wanted).cloned().collect()
}

/// What an engine has made of its input, stream by stream: in which order those take turns depends on when the transport takes
/// what there is, and nothing else may.
#[derive(Clone, Debug, PartialEq)]
pub struct ByStream {
    seen: Vec<Transcript>,
    sent_frames: BTreeMap<u32, Vec<SentFrame>>,
    reads: bool,
    fin: bool,
    over: bool,
}

impl ByStream {
    /// Takes it apart. Content of adjacent DATA frames is joined.
    #[must_use]
    pub fn of(delivered: &Delivered) -> Self {
        let mut sent_frames: BTreeMap<u32, Vec<SentFrame>> = BTreeMap::new();
        for one in Reader::default().read(&delivered.sent.0) {
            let before = sent_frames.entry(one.stream()).or_default();
            match (before.last_mut(), one) {
                (
                    Some(SentFrame::Data { content, end: end @ false, .. }),
                    SentFrame::Data { content: more, end: now_end, .. },
                ) => {
                    content.0.extend_from_slice(&more.0);
                    *end = now_end;
                }
                (_, one) => before.push(one),
            }
        }
        let Delivered { streams, reads, fin, over, .. } = delivered;
        Self { seen: streams.clone(), sent_frames, reads: *reads, fin: *fin, over: *over }
    }
}

/// The status code of the final response on a stream, and its content.
#[must_use]
pub fn answer(sent_frames: &[SentFrame], stream: u32) -> Option<(u16, Octets)> {
    let mut status = None;
    let mut content = Octets::default();
    for frame in on(sent_frames, stream) {
        match frame {
            SentFrame::Headers { fields, .. } => {
                let code = fields.iter().find(|field| field.name == b":status");
                let code = code.map(|code| String::from_utf8_lossy(&code.value).parse().expect("a status"));
                status = code.or(status);
            }
            SentFrame::Data { content: part, .. } => content.0.extend_from_slice(&part.0),
            _ => {}
        }
    }
    status.map(|status| (status, content))
}

/// Whether the message on a stream has been sent to its end.
#[must_use]
pub fn ended(sent_frames: &[SentFrame], stream: u32) -> bool {
    on(sent_frames, stream).iter().any(|frame| {
        matches!(frame, SentFrame::Headers { end: true, .. } | SentFrame::Data { end: true, .. })
    })
}

/// The error code with which a stream was reset.
#[must_use]
pub fn reset(sent_frames: &[SentFrame], wanted: u32) -> Option<u32> {
    sent_frames.iter().find_map(|frame| match frame {
        SentFrame::Reset { stream, code } if *stream == wanted => Some(*code),
        _ => None,
    })
}

/// The codes of all GOAWAY frames, with their last streams.
#[must_use]
pub fn go_aways(sent_frames: &[SentFrame]) -> Vec<(u32, u32)> {
    let found = |frame: &SentFrame| match frame {
        SentFrame::GoAway { last, code, .. } => Some((*last, *code)),
        _ => None,
    };
    sent_frames.iter().filter_map(found).collect()
}

/// Field lines in the order of their names. Cookies may have been cut into lines, and joined again. RFC 9113 §8.2.3.
#[must_use]
pub fn by_name(fields: impl Iterator<Item = (String, Octets)>) -> crate::transcript::Fields {
    let (cookies, mut fields): (crate::transcript::Fields, crate::transcript::Fields) =
        fields.partition(|(name, _)| name == "cookie");
    if !cookies.is_empty() {
        let values: Vec<Vec<u8>> = cookies.into_iter().map(|(_, value)| value.0).collect();
        fields.push(("cookie".into(), Octets(values.join(&b"; "[..]))));
    }
    fields.sort_by(|(name, _), (other, _)| name.cmp(other));
    fields
}
