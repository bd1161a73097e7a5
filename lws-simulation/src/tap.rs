//! A passive observer of both directions of a connection, which judges them as an independent implementation would.
//!
//! Knows the outer form of HTTP/2 frames and no engine. It does not judge what it cannot read, TLS above all.

use lws_proto::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// The sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The end that has connected.
    Client,
    /// The end that was connected to.
    Server,
}

/// The observer of one connection.
#[derive(Debug, Default)]
pub(crate) struct Tap {
    language: Language,
    /// The client's first octets, until they determine the protocol.
    first: Vec<u8>,
    client: Frames,
    server: Frames,
    streams: BTreeMap<u32, ObservedExchange>,
    /// The code of the last GOAWAY of the server.
    goaway: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Language {
    #[default]
    Unknown,
    Http2,
    Other,
}

/// The observed state of one stream of HTTP/2.
#[derive(Clone, Copy, Debug, Default)]
struct ObservedExchange {
    /// Whether the client has ended it with its head, so that it is not a tunnel.
    bodiless: bool,
    reset_by_client: bool,
    answered: bool,
    complete: bool,
    /// Whether the client has ended it, by DATA or HEADERS with END_STREAM.
    ended_by_client: bool,
    reset_by_server: bool,
    /// The octets of the server's DATA frames.
    octets: u64,
    asked: Time,
    took: Duration,
}

/// The responses that an honest client has received.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Given {
    pub(crate) asked: usize,
    pub(crate) complete: usize,
    pub(crate) goaway: Option<u32>,
    /// The longest time of a response of up to a thousand octets.
    pub(crate) slowest_small: Duration,
}

/// Divides a stream of octets into frames. RFC 9113 §4.1.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    head: Vec<u8>,
    payload: Vec<u8>,
    skip: usize,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
/// The octets of a payload that are kept.
const PAYLOAD_BYTES_MAX: usize = 8;

pub(crate) const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const NO_ERROR: u32 = 0;
const CANCEL: u32 = 8;

impl Tap {
    /// Observes octets of one side. Returns a violation, if there is one.
    pub(crate) fn said(&mut self, now: Time, side: Side, mut octets: &[u8]) -> Option<String> {
        if self.language == Language::Unknown && side == Side::Client {
            let missing = PREFACE.len() - self.first.len();
            let (begin, rest) = octets.split_at(missing.min(octets.len()));
            self.first.extend(begin);
            if !PREFACE.starts_with(&self.first) {
                self.language = Language::Other;
            } else if self.first.len() == PREFACE.len() {
                self.language = Language::Http2;
            }
            octets = rest;
        }
        if self.language != Language::Http2 {
            return None;
        }
        let mut complaint = None;
        while !octets.is_empty() {
            let frames = if side == Side::Client { &mut self.client } else { &mut self.server };
            let Some(frame) = frames.take(&mut octets) else { continue };
            let said = match side {
                Side::Client => self.client_frame(now, &frame),
                Side::Server => self.server_frame(now, &frame),
            };
            complaint = complaint.or(said);
        }
        complaint
    }

    /// The responses that the client has received, if it used HTTP/2.
    pub(crate) fn given(&self) -> Given {
        let all = self.streams.values().filter(|exchange| exchange.asked > Time::ZERO);
        let complete = all.clone().filter(|exchange| exchange.complete);
        let small = complete.clone().filter(|exchange| exchange.octets <= 1_000);
        Given {
            asked: all.count(),
            complete: complete.count(),
            goaway: self.goaway,
            slowest_small: small.map(|exchange| exchange.took).max().unwrap_or_default(),
        }
    }

    fn client_frame(&mut self, now: Time, frame: &Frame) -> Option<String> {
        match frame.kind {
            HEADERS => {
                let exchange = self.streams.entry(frame.stream).or_default();
                exchange.bodiless |= frame.flags & END_STREAM != 0;
                exchange.ended_by_client |= frame.flags & END_STREAM != 0;
                exchange.asked = now;
            }
            DATA if frame.flags & END_STREAM != 0 => {
                self.streams.entry(frame.stream).or_default().ended_by_client = true;
            }
            RST_STREAM => self.streams.entry(frame.stream).or_default().reset_by_client = true,
            _ => {}
        }
        None
    }

    /// Checks a frame of the server. RFC 9113 §8.1: after a complete response RST_STREAM with NO_ERROR asks the client
    /// to stop sending; after an incomplete response several clients take it, and CANCEL too, for the end of the
    /// response.
    fn server_frame(&mut self, now: Time, frame: &Frame) -> Option<String> {
        if frame.kind == GOAWAY {
            self.goaway = frame.second;
            return None;
        }
        let exchange = self.streams.entry(frame.stream).or_default();
        match frame.kind {
            HEADERS => {
                exchange.answered = true;
                exchange.complete |= frame.flags & END_STREAM != 0;
            }
            DATA => {
                exchange.octets += frame.octets;
                exchange.complete |= frame.flags & END_STREAM != 0;
            }
            RST_STREAM if exchange.answered && !exchange.complete && !exchange.reset_by_client => {
                let code = frame.code?;
                let lies = code == NO_ERROR || code == CANCEL && exchange.bodiless;
                return lies.then(|| {
                    format!("the response on stream {} is cut, and its RST_STREAM says {code}", frame.stream)
                });
            }
            RST_STREAM
                if exchange.complete
                    && exchange.ended_by_client
                    && !exchange.reset_by_client
                    && !std::mem::replace(&mut exchange.reset_by_server, true) =>
            {
                return Some(format!("stream {} has ended on both sides, and is reset", frame.stream));
            }
            _ => {}
        }
        if exchange.complete && exchange.took == Duration::ZERO {
            exchange.took = now - exchange.asked;
        }
        None
    }
}

pub(crate) struct Frame {
    pub(crate) kind: u8,
    flags: u8,
    pub(crate) stream: u32,
    /// The first four octets of the payload, as a number.
    code: Option<u32>,
    /// The four octets after it.
    second: Option<u32>,
    /// Octets of the payload.
    pub(crate) octets: u64,
}

impl Frames {
    /// Takes octets, and returns the frame that they complete.
    pub(crate) fn take(&mut self, octets: &mut &[u8]) -> Option<Frame> {
        if self.head.len() < HEAD_BYTES {
            let (begin, rest) = octets.split_at((HEAD_BYTES - self.head.len()).min(octets.len()));
            self.head.extend(begin);
            *octets = rest;
            if self.head.len() < HEAD_BYTES {
                return None;
            }
            self.skip = self.head[..3].iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
        }
        let (payload, rest) = octets.split_at(self.skip.min(octets.len()));
        let seen = PAYLOAD_BYTES_MAX - self.payload.len();
        self.payload.extend(&payload[..seen.min(payload.len())]);
        self.skip -= payload.len();
        *octets = rest;
        if self.skip > 0 {
            return None;
        }
        let number =
            |octets: &[u8]| octets.iter().fold(0_u32, |number, octet| number << 8 | u32::from(*octet));
        let frame = Frame {
            kind: self.head[3],
            flags: self.head[4],
            stream: number(&self.head[5..9]) & 0x7fff_ffff,
            code: self.payload.get(..4).map(number),
            second: self.payload.get(4..8).map(number),
            octets: number(&self.head[..3]).into(),
        };
        self.head.clear();
        self.payload.clear();
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
    }

    fn check(request_flags: u8, answer: &[u8], complains: bool) {
        for step in [1, 3, 1_000] {
            let mut tap = Tap::default();
            let request = [PREFACE, &frame(4, 0, 0, b""), &frame(HEADERS, request_flags, 1, b"abc")].concat();
            let mut complaints = Vec::new();
            for piece in request.chunks(step) {
                complaints.extend(tap.said(Time::ZERO, Side::Client, piece));
            }
            for piece in answer.chunks(step) {
                complaints.extend(tap.said(Time::ZERO, Side::Server, piece));
            }
            assert_eq!(!complaints.is_empty(), complains, "{answer:?}: {complaints:?}");
        }
    }

    #[test]
    fn a_cut_response_whose_reset_looks_like_success_is_complained_of() {
        let head = frame(HEADERS, 4, 1, b"x");
        let reset = |code: u8| frame(RST_STREAM, 0, 1, &[0, 0, 0, code]);
        check(5, &[head.clone(), reset(0)].concat(), true);
        check(5, &[head.clone(), frame(0, 0, 1, b"abcdefghijkl"), reset(8)].concat(), true);
        check(5, &[head.clone(), reset(2)].concat(), false);
        check(4, &[head.clone(), frame(0, END_STREAM, 1, b"all"), reset(0)].concat(), false);
        // A stream that both sides have ended must not be reset.
        check(5, &[head.clone(), frame(0, END_STREAM, 1, b"all"), reset(0)].concat(), true);
        check(5, &reset(7), false);
        // A tunnel is closed by CANCEL: RFC 8441 §5.
        check(4, &[head.clone(), reset(8)].concat(), false);
        check(4, &[head, reset(0)].concat(), true);
    }
}
