//! What is noted of a request until it ends, and its record is written. Knows no line.

use super::AccessRecord;
use crate::Peer;
use crate::http::{Tally, TraceParent};
use crate::id::StreamId;
use lws_proto::Time;
use lws_proto::http::{Head, Method, Version};
use std::time::{Duration, Instant};

/// Entries that are kept for requests to come.
const POOLED_MAX: usize = 64;
/// Octets of texts that a kept entry has room for: more than the heads of browsers have.
const POOLED_OCTETS_MAX: usize = 2_048;

/// What the access log wants to know of a request after its head has gone.
pub(crate) struct LoggedRequest {
    origin: RequestOrigin,
    begun: Instant,
    method: Method,
    version: Version,
    trace: Option<TraceParent>,
    /// Content that was received.
    pub(crate) bytes_in: u64,
    /// From the head to that of the response, by the clock of the loop.
    pub(crate) first_byte: Option<Duration>,
    text: Texts,
}

/// Where and when a request has come.
pub(crate) struct RequestOrigin {
    pub(crate) peer: Peer,
    pub(crate) unix_seconds: u32,
    pub(crate) millis: u16,
    pub(crate) tls: Option<&'static str>,
    pub(crate) stream: Option<StreamId>,
}

/// The texts of a request, one behind the other: one allocation for all.
#[derive(Default)]
struct Texts {
    octets: Vec<u8>,
    /// Where each ends. `there` distinguishes one that is missing from an empty one.
    ends: [u32; Texts::COUNT],
    there: [bool; Texts::COUNT],
}

impl Texts {
    const COUNT: usize = 5;

    fn fill(&mut self, texts: [Option<&[u8]>; Self::COUNT]) {
        self.octets.clear();
        for ((end, there), text) in self.ends.iter_mut().zip(&mut self.there).zip(texts) {
            if let Some(text) = text {
                self.octets.extend_from_slice(text);
            }
            *there = text.is_some();
            // A head is far smaller: `Limits::head_bytes_max`.
            *end = u32::try_from(self.octets.len()).unwrap_or(u32::MAX);
        }
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let begin = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        let end = *self.ends.get(index)?;
        self.octets.get(begin as usize..end as usize).filter(|_| self.there[index])
    }

    fn text(&self, index: usize) -> &str {
        self.get(index).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }
}

/// What of a head has no part of its own in a request's line.
#[derive(Default)]
struct NotedFields<'a> {
    referer: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
    trace: Option<TraceParent>,
}

impl<'a> NotedFields<'a> {
    fn of(head: &Head<'a>) -> Self {
        let (mut noted, mut traces) = (Self::default(), 0);
        for (name, value) in head.fields() {
            // Their lengths tell most fields apart.
            match name.len() {
                7 if name.eq_ignore_ascii_case("referer") => noted.referer = noted.referer.or(Some(value)),
                10 if name.eq_ignore_ascii_case("user-agent") => {
                    noted.user_agent = noted.user_agent.or(Some(value));
                }
                11 if name.eq_ignore_ascii_case("traceparent") => {
                    (noted.trace, traces) = (TraceParent::parse(value), traces + 1);
                }
                _ => {}
            }
        }
        // Two of them are as good as none. W3C Trace Context §3.2.
        noted.trace = noted.trace.filter(|_| traces == 1);
        noted
    }
}

impl LoggedRequest {
    #[cold]
    fn new(begun: Instant, origin: RequestOrigin, head: &Head<'_>) -> Box<Self> {
        let mut entry = Box::new(Self {
            origin,
            begun,
            method: Method::Other,
            version: Version::Http11,
            trace: None,
            bytes_in: 0,
            first_byte: None,
            text: Texts::default(),
        });
        entry.note(head);
        entry
    }

    fn note(&mut self, head: &Head<'_>) {
        let NotedFields { referer, user_agent, trace } = NotedFields::of(head);
        (self.method, self.version, self.trace) = (head.method(), head.version(), trace);
        (self.bytes_in, self.first_byte) = (0, None);
        // Methods that have a number need no name.
        let name = if self.method == Method::Other { head.method_name().as_bytes() } else { b"" };
        self.text.fill([Some(name), Some(head.target_bytes()), head.host(), referer, user_agent]);
    }

    /// The record of this request, or of the WebSocket that it has become.
    #[inline]
    pub(super) fn record(&self, status: u16, bytes: u64, cause: &'static str) -> AccessRecord<'_> {
        AccessRecord {
            peer: self.origin.peer,
            unix_seconds: self.origin.unix_seconds,
            millis: self.origin.millis,
            method: if self.method == Method::Other { self.text.text(0) } else { self.method.token() },
            target: self.text.text(1),
            host: self.text.get(2),
            version: self.version,
            tls: self.origin.tls,
            status,
            bytes,
            bytes_in: self.bytes_in,
            duration: self.begun.elapsed(),
            first_byte: self.first_byte,
            referer: self.text.get(3),
            user_agent: self.text.get(4),
            trace: self.trace,
            stream: self.origin.stream,
            cause,
            websocket: None,
        }
    }

    /// The record of the exchange.
    #[inline]
    pub(crate) fn exchange(&self, tally: &Tally, cause: &'static str) -> AccessRecord<'_> {
        self.record(tally.status, tally.bytes, cause)
    }
}

/// Entries of requests that have ended, for those to come: in the run of things a request that is logged allocates nothing.
#[derive(Default)]
pub(crate) struct EntryPool {
    #[expect(clippy::vec_box, reason = "they are lent one by one, and not moved")]
    free: Vec<Box<LoggedRequest>>,
    /// The first request of the turn that is logged: the time of the loop, and of the system.
    turn: Option<(Time, Instant)>,
}

impl EntryPool {
    /// The entry of a request that has come at this time of the loop.
    pub(crate) fn begin(&mut self, now: Time, origin: RequestOrigin, head: &Head<'_>) -> Box<LoggedRequest> {
        let begun = self.begun(now);
        let Some(mut entry) = self.free.pop() else { return LoggedRequest::new(begun, origin, head) };
        (entry.origin, entry.begun) = (origin, begun);
        entry.note(head);
        entry
    }

    /// When a request has come. Those of one turn lay in their sockets when it began: the clock is read once for all of them.
    fn begun(&mut self, now: Time) -> Instant {
        match self.turn {
            Some((turn, begun)) if turn == now => begun,
            _ => self.turn.insert((now, Instant::now())).1,
        }
    }

    /// Takes an entry back whose record is written.
    pub(crate) fn give_back(&mut self, entry: Box<LoggedRequest>) {
        if self.free.len() < POOLED_MAX && entry.text.octets.capacity() <= POOLED_OCTETS_MAX {
            self.free.push(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_apart_and_a_missing_one_is_not_an_empty_one() {
        let mut texts = Texts::default();
        texts.fill([Some(b"POST"), Some(b"/a/longer/one"), Some(b"a"), None, None]);
        texts.fill([Some(b"GET"), Some(b"/"), None, Some(b""), Some(b"\xff")]);
        assert_eq!((texts.text(0), texts.text(1)), ("GET", "/"));
        assert_eq!([2, 3, 4].map(|index| texts.get(index)), [None, Some(&b""[..]), Some(&b"\xff"[..])]);
        assert_eq!(texts.text(4), "");
    }
}
