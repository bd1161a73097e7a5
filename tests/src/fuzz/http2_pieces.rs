//! What a peer of HTTP/2 may send, by the rules and against them, as an input describes it.

use crate::h2::{self, flag, kind};
use arbitrary::Arbitrary;

/// What a peer sends: any bytes, or frames that lead deeper.
#[derive(Arbitrary, Debug)]
pub(super) enum Piece {
    Any(Vec<u8>),
    Frame { kind: u8, flags: u8, stream: u8, payload: Vec<u8> },
    Request { stream: u8, end: bool, fields: u8 },
    Response { stream: u8, end: bool, status: u8 },
    Opening { stream: u8 },
    Trailers { stream: u8, end: bool },
    Split { stream: u8, at: u8, continuations: u8 },
    Data { stream: u8, len: u16, end: bool },
    Padded { stream: u8, len: u8, padding: u8, end: bool },
    WindowUpdate { stream: u8, increment: u32 },
    Settings { name: u8, value: u32 },
    SettingsAck,
    Ping { ack: bool },
    Reset { stream: u8, code: u8 },
    GoAway { last: u8, code: u8 },
    Priority { stream: u8 },
    PriorityUpdate { stream: u8, urgency: u8 },
    WebSocket { stream: u8, first: u8, len: u8, end: bool },
}

/// Which streams the numbers of an input are: mostly one that is next or was last, so that connections live.
pub(super) struct Ids {
    next: u32,
    opens: bool,
}

impl Ids {
    /// Those of a client that has asked nothing yet.
    pub(super) fn asking() -> Self {
        Self { next: 1, opens: true }
    }

    /// Those of a server, up to the one before `next`.
    pub(super) fn answering(next: u32) -> Self {
        Self { next, opens: false }
    }

    /// One that has begun, mostly.
    pub(super) fn any(&self, stream: u8) -> u32 {
        match stream % 32 {
            few @ 0..=27 => self.next.saturating_sub(2 * (1 + u32::from(few % 5))),
            odd => u32::from(odd) - 28,
        }
    }

    /// One that a request begins.
    pub(super) fn opened(&mut self, stream: u8) -> u32 {
        if !self.opens || stream.is_multiple_of(8) {
            return self.any(stream);
        }
        self.next += 2;
        self.next - 2
    }
}

impl Piece {
    /// As it stands on the wire.
    pub(super) fn bytes(&self, masked: bool, ids: &mut Ids) -> Vec<u8> {
        match self {
            Self::Any(bytes) => bytes.clone(),
            Self::Frame { kind, flags, stream, payload } => {
                h2::frame(kind % 18, *flags, ids.any(*stream), payload)
            }
            Self::Request { stream, end, fields } => {
                let more: &[&[(&str, &str)]] = &[
                    &[],
                    &[("content-length", "5")],
                    &[("expect", "100-continue")],
                    &[("connection", "x")],
                    &[("cookie", "a"), ("cookie", "b")],
                    &[("x", "0123456789012345678901234567890123456789")],
                ];
                let control = if *fields < 128 { h2::POST } else { h2::GET };
                let more = more[usize::from(*fields) % more.len()];
                h2::headers(ids.opened(*stream), &[&control[..], more].concat(), *end)
            }
            Self::Response { stream, end, status } => {
                let status = ["200", "200", "100", "204", "304", "404", "101", "0"][usize::from(*status % 8)];
                h2::headers(ids.any(*stream), &[(":status", status)], *end)
            }
            Self::Opening { stream } => h2::headers(ids.opened(*stream), &h2::WEBSOCKET, false),
            Self::Trailers { stream, end } => h2::headers(ids.any(*stream), &[("x", "y")], *end),
            Self::Split { stream, at, continuations } => {
                let stream = ids.opened(*stream);
                let block = h2::block(&h2::GET);
                let (first, rest) = block.split_at(usize::from(*at).min(block.len()));
                let mut bytes = h2::frame(kind::HEADERS, flag::END_STREAM, stream, first);
                for _ in 0..continuations % 4 {
                    bytes.extend(h2::frame(kind::CONTINUATION, 0, stream, &[]));
                }
                bytes.extend(h2::frame(kind::CONTINUATION, flag::END_HEADERS, stream, rest));
                bytes
            }
            Self::Data { stream, len, end } => {
                h2::data(ids.any(*stream), vec![b'x'; usize::from(len % 600)], *end)
            }
            Self::Padded { stream, len, padding, end } => {
                h2::padded(ids.any(*stream), &vec![b'x'; usize::from(*len)], *padding, *end)
            }
            Self::WindowUpdate { stream, increment } => {
                let stream = if *stream < 64 { 0 } else { ids.any(*stream) };
                h2::window_update(stream, increment >> (increment % 32))
            }
            Self::Settings { name, value } => h2::settings(&[(u16::from(name % 10), value >> (value % 32))]),
            Self::SettingsAck => h2::settings_ack(),
            Self::Ping { ack } => h2::ping(*ack, *b"go away\0"),
            Self::Reset { stream, code } => h2::rst_stream(ids.any(*stream), (code % 15).into()),
            Self::GoAway { last, code } => h2::go_away(ids.any(*last), (code % 3).into()),
            Self::Priority { stream } => h2::frame(kind::PRIORITY, 0, ids.any(*stream), &[0, 0, 0, 1, 5]),
            Self::PriorityUpdate { stream, urgency } => {
                h2::priority_update(ids.any(*stream), &format!("u={},i", urgency % 8))
            }
            Self::WebSocket { stream, first, len, end } => {
                let payload = vec![b'x'; usize::from(*len)];
                let frame = crate::wire::frame(*first, masked.then_some([1, 2, 3, 4]), &payload);
                h2::data(ids.any(*stream), frame, *end)
            }
        }
    }
}
