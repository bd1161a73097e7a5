//! One event of the engine as C reads it: texts and bytes in memory of the handle, so that nothing C points to is borrowed.

use crate::engine::ConnEvent;
use crate::sys;
use crate::types::{END, Field, Str, cause_number, close_code, end_flag, key_of, message_flags};
use lws_proto::http::Head;
use lws_proto::{Control, Event, MessageKind, Protocol};
use std::ops::Range;

/// The kinds of events, as the header has them.
pub(crate) mod kind {
    pub(crate) const REQUEST: i32 = 1;
    pub(crate) const RESPONSE: i32 = 2;
    pub(crate) const CONTENT: i32 = 3;
    pub(crate) const TRAILERS: i32 = 4;
    pub(crate) const WEBSOCKET: i32 = 5;
    pub(crate) const RAW_OPEN: i32 = 6;
    pub(crate) const MESSAGE: i32 = 7;
    pub(crate) const PING: i32 = 8;
    pub(crate) const PONG: i32 = 9;
    pub(crate) const CLOSE: i32 = 10;
    pub(crate) const RAW: i32 = 11;
    pub(crate) const WRITABLE: i32 = 12;
    pub(crate) const TIMER: i32 = 13;
    pub(crate) const PEER_ENDED: i32 = 14;
    pub(crate) const CLOSED: i32 = 15;
    pub(crate) const OTHER: i32 = 16;
}

/// A request that can become a WebSocket.
pub(crate) const OPENING: u32 = 16;
/// The peer began to close.
pub(crate) const BY_PEER: u32 = 32;

/// The memory of one event, used again for the next.
#[derive(Default)]
pub(crate) struct EventMemory {
    bytes: Vec<u8>,
    spans: Vec<(Range<usize>, Range<usize>)>,
    fields: Vec<Field>,
}

/// Bytes that one idle connection keeps for its next event: enough for a head.
const KEPT_BYTES: usize = 16 << 10;

impl EventMemory {
    /// Copies an event here.
    pub(crate) fn copy(&mut self, event: &Event<'_>) -> ConnEvent {
        self.clear();
        let mut out = ConnEvent { key: key_of(event.key()), ..sys::zeroed() };
        out.data = Str::EMPTY;
        (out.method, out.target) = (Str::EMPTY, Str::EMPTY);
        match event {
            Event::Request { head, end, .. } => {
                out.kind = kind::REQUEST;
                out.flags = end_flag(*end) | if lws_proto::ws::is_opening(head) { OPENING } else { 0 };
                self.request(head, &mut out);
            }
            Event::Response { head, end, .. } => {
                (out.kind, out.flags) = (kind::RESPONSE, end_flag(*end));
                self.head(head, &mut out);
            }
            Event::Body { chunk, end, .. } => {
                (out.kind, out.flags) = (kind::CONTENT, end_flag(*end));
                out.data = self.content(chunk);
            }
            Event::Trailers { head, .. } => {
                (out.kind, out.flags) = (kind::TRAILERS, END);
                self.head(head, &mut out);
            }
            Event::Established { stream, head, .. } => {
                out.kind =
                    if stream.protocol() == Protocol::WebSocket { kind::WEBSOCKET } else { kind::RAW_OPEN };
                if let Some(head) = head {
                    self.head(head, &mut out);
                }
            }
            Event::Message { kind, chunk, first, remaining, end, .. } => {
                self.message(*kind, (*first, *end), chunk, &mut out);
                out.remaining = *remaining;
            }
            Event::Control { control, .. } => self.control(control, &mut out),
            Event::Raw { chunk, end, .. } => {
                (out.kind, out.flags) = (kind::RAW, end_flag(*end));
                out.data = self.content(chunk);
            }
            Event::Writable(permit) => {
                out.kind = kind::WRITABLE;
                out.remaining = permit.budget() as u64;
            }
            Event::Timeout { .. } => out.kind = kind::TIMER,
            Event::PeerEnded { .. } => out.kind = kind::PEER_ENDED,
            Event::Closed { cause, .. } => {
                out.kind = kind::CLOSED;
                let by_peer = matches!(cause, lws_proto::Cause::Closed { by_peer: true, .. });
                out.flags = if by_peer { BY_PEER } else { 0 };
                (out.cause, out.code) = (cause_number(*cause), close_code(*cause));
                out.data = Str::lend(cause.name().as_bytes());
            }
            // What a later engine may have beside these: it can be left out.
            _ => out.kind = kind::OTHER,
        }
        out
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.spans.clear();
        self.fields.clear();
    }

    fn content(&mut self, bytes: &[u8]) -> Str {
        self.bytes.extend_from_slice(bytes);
        Str::lend(&self.bytes)
    }

    fn message(&mut self, kind: MessageKind, (first, end): (bool, bool), chunk: &[u8], out: &mut ConnEvent) {
        out.kind = kind::MESSAGE;
        out.flags = message_flags(kind, first, end);
        out.data = self.content(chunk);
    }

    fn control(&mut self, control: &Control<'_>, out: &mut ConnEvent) {
        match control {
            Control::Ping(payload) => {
                out.kind = kind::PING;
                out.data = self.content(payload);
            }
            Control::Pong(payload) => {
                out.kind = kind::PONG;
                out.data = self.content(payload);
            }
            Control::Close { code, reason } => {
                (out.kind, out.code) = (kind::CLOSE, u32::from(code.get()));
                out.data = self.content(reason.as_bytes());
            }
            _ => out.kind = kind::OTHER,
        }
    }

    fn request(&mut self, head: &Head<'_>, out: &mut ConnEvent) {
        let method = self.push(head.method_name().as_bytes());
        let target = self.push(head.target().as_bytes());
        self.head(head, out);
        // Not before everything is there: the memory may move while it grows.
        out.method = Str::lend(&self.bytes[method]);
        out.target = Str::lend(&self.bytes[target]);
    }

    fn head(&mut self, head: &Head<'_>, out: &mut ConnEvent) {
        out.status = head.status().map_or(0, |status| status.code().into());
        out.version = crate::types::version_number(head.version());
        for (name, value) in head.fields() {
            let (name, value) = (self.push(name.as_bytes()), self.push(value));
            self.spans.push((name, value));
        }
        let (bytes, spans) = (&self.bytes, self.spans.iter());
        self.fields.extend(spans.map(|(name, value)| Field {
            name: Str::lend(&bytes[name.clone()]),
            value: Str::lend(&bytes[value.clone()]),
        }));
        (out.fields, out.field_count) = (self.fields.as_ptr(), self.fields.len());
    }

    fn push(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}
