//! The access log: one record for each request, and one more for the end of a WebSocket.
//!
//! Knows how a record is written as a line, not where the line goes.

mod combined;
mod json;
mod line;

use crate::Peer;
use crate::http::{Tally, TraceParent};
use crate::id::StreamId;
use line::Line;
use lws_proto::http::{Head, Method, Version};
use std::fmt;
use std::time::{Duration, Instant};

/// A request, when its exchange has ended or its WebSocket has been opened; or a WebSocket that has ended.
///
/// `Display` writes the combined log format, with the duration in milliseconds and the cause behind it, and then of a WebSocket that has
/// ended what came and went. [`json`](Self::json) writes an object. Whatever a peer can choose is escaped: no record is more than
/// one line, and none moves a terminal's cursor.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AccessRecord<'a> {
    /// Who asked.
    pub peer: Peer,
    /// When, in whole seconds since the first of January 1970, UTC. Zero if that is unknown.
    pub unix_seconds: u32,
    /// Milliseconds of that second, by the clock of the loop.
    pub millis: u16,
    /// The method as it was written; empty for a request that could not be understood.
    pub method: &'a str,
    /// The target as it was written.
    pub target: &'a str,
    /// The host that the request is for, as it was written.
    pub host: Option<&'a [u8]>,
    /// The version.
    pub version: Version,
    /// The version of TLS, if the request came by it.
    pub tls: Option<&'static str>,
    /// The status code of the response; zero if none was sent.
    pub status: u16,
    /// Content bytes of the response; of a WebSocket that has ended those of its messages.
    pub bytes: u64,
    /// Content bytes of the request that were received; of a WebSocket that has ended those of its messages.
    pub bytes_in: u64,
    /// From the request head to the end of the exchange, to the answer that opened the WebSocket, or to the end of that.
    pub duration: Duration,
    /// From the request head to that of the response, by the clock of the loop: what is answered in the turn that begins it has
    /// zero. `None` if no response was sent.
    pub first_byte: Option<Duration>,
    /// `Referer`. RFC 9110 §10.1.3.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`. RFC 9110 §10.1.5.
    pub user_agent: Option<&'a [u8]>,
    /// The trace that the request belongs to, if it has named one that is valid.
    pub trace: Option<TraceParent>,
    /// The stream: the opening and the end of a WebSocket have the same.
    pub stream: Option<StreamId>,
    /// Why the exchange or the WebSocket ended: [`Cause::name`](lws_proto::Cause::name); `websocket` when one was opened.
    pub cause: &'static str,
    /// What came and went on a WebSocket that has ended. `None` for every other record.
    pub websocket: Option<WebSocketRecord>,
}

/// What came and went on a WebSocket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebSocketRecord {
    /// Messages that were received.
    pub messages_in: u64,
    /// Messages that were sent.
    pub messages_out: u64,
    /// The code of the Close frame that ended it, if it ended by one. RFC 6455 §7.4.
    pub close_code: Option<u16>,
}

impl AccessRecord<'_> {
    /// The record as a JSON object in one line, without the line's end. The names of its members stay as they are, and a member
    /// that nothing is known of is left out. Octets that are no UTF-8 are U+FFFD.
    ///
    /// `time` (RFC 3339, UTC, milliseconds), `peer`, `host`, `method`, `target`, `proto`, `tls`, `status`, `bytes_in`, `bytes_out`,
    /// `duration_ms`, `first_byte_ms`, `cause`, `referer`, `user_agent`, `trace_id`, `parent_id`, `request_id`; and at the end of a
    /// WebSocket `messages_in`, `messages_out` and `close_code`.
    #[must_use]
    pub fn json(&self) -> impl fmt::Display + '_ {
        json::Json(self)
    }

    /// Appends what `Display` writes to `line`: for a program that logs each request, to which the detour of a formatter is dear.
    pub fn append_combined(&self, line: &mut Vec<u8>) {
        // To append fails never.
        let _ = self.write_combined(&mut Line::new(line));
    }

    /// Appends what [`json`](Self::json) writes to `line`.
    pub fn append_json(&self, line: &mut Vec<u8>) {
        let _ = json::Json(self).write(&mut Line::new(line));
    }
}

/// What the access log wants to know of a request after its head has gone.
pub(crate) struct LoggedRequest {
    peer: Peer,
    begun: Instant,
    unix_seconds: u32,
    millis: u16,
    method: Method,
    version: Version,
    tls: Option<&'static str>,
    trace: Option<TraceParent>,
    stream: Option<StreamId>,
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
struct Texts {
    octets: Box<[u8]>,
    /// Where each ends. `there` distinguishes one that is missing from an empty one.
    ends: [u32; Texts::COUNT],
    there: [bool; Texts::COUNT],
}

impl Texts {
    const COUNT: usize = 5;

    fn new(texts: [Option<&[u8]>; Self::COUNT]) -> Self {
        let length = texts.iter().flatten().map(|text| text.len()).sum();
        let mut octets = Vec::with_capacity(length);
        let mut ends = [0; Self::COUNT];
        for (end, text) in ends.iter_mut().zip(texts) {
            octets.extend_from_slice(text.unwrap_or_default());
            // A head is far smaller: `Limits::head_bytes_max`.
            *end = u32::try_from(octets.len()).unwrap_or(u32::MAX);
        }
        Self { octets: octets.into_boxed_slice(), ends, there: texts.map(|text| text.is_some()) }
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

impl LoggedRequest {
    #[cold]
    pub(crate) fn new(arrival: RequestOrigin, head: &Head<'_>) -> Box<Self> {
        let RequestOrigin { peer, unix_seconds, millis, tls, stream } = arrival;
        let (mut referer, mut user_agent, mut traces) = (None, None, 0);
        let mut trace = None;
        for (name, value) in head.fields() {
            // Their lengths tell most fields apart.
            match name.len() {
                7 if name.eq_ignore_ascii_case("referer") => referer = referer.or(Some(value)),
                10 if name.eq_ignore_ascii_case("user-agent") => user_agent = user_agent.or(Some(value)),
                11 if name.eq_ignore_ascii_case("traceparent") => {
                    (trace, traces) = (TraceParent::parse(value), traces + 1);
                }
                _ => {}
            }
        }
        // Methods that have a number need no name.
        let method = head.method();
        let name = if method == Method::Other { head.method_name().as_bytes() } else { b"" };
        Box::new(Self {
            peer,
            begun: Instant::now(),
            unix_seconds,
            millis,
            method,
            version: head.version(),
            tls,
            // Two of them are as good as none. W3C Trace Context §3.2.
            trace: trace.filter(|_| traces == 1),
            stream,
            bytes_in: 0,
            first_byte: None,
            text: Texts::new([Some(name), Some(head.target_bytes()), head.host(), referer, user_agent]),
        })
    }

    /// The record of this request, or of the WebSocket that it has become.
    fn record(&self) -> AccessRecord<'_> {
        AccessRecord {
            peer: self.peer,
            unix_seconds: self.unix_seconds,
            millis: self.millis,
            method: if self.method == Method::Other { self.text.text(0) } else { self.method.token() },
            target: self.text.text(1),
            host: self.text.get(2),
            version: self.version,
            tls: self.tls,
            status: 0,
            bytes: 0,
            bytes_in: self.bytes_in,
            duration: self.begun.elapsed(),
            first_byte: self.first_byte,
            referer: self.text.get(3),
            user_agent: self.text.get(4),
            trace: self.trace,
            stream: self.stream,
            cause: "",
            websocket: None,
        }
    }

    /// The record of the exchange.
    #[cold]
    pub(crate) fn exchange(&self, tally: &Tally, cause: &'static str) -> AccessRecord<'_> {
        let Tally { status, bytes, .. } = *tally;
        AccessRecord { status, bytes, cause, ..self.record() }
    }
}

/// A request that was refused before it could be understood.
#[cold]
pub(crate) fn not_understood(
    arrival: RequestOrigin,
    status: u16,
    cause: &'static str,
) -> AccessRecord<'static> {
    let RequestOrigin { peer, unix_seconds, millis, tls, stream } = arrival;
    AccessRecord {
        peer,
        unix_seconds,
        millis,
        method: "",
        target: "",
        host: None,
        version: Version::Http11,
        tls,
        status,
        bytes: 0,
        bytes_in: 0,
        duration: Duration::ZERO,
        first_byte: None,
        referer: None,
        user_agent: None,
        trace: None,
        stream,
        cause,
        websocket: None,
    }
}

/// A WebSocket that is logged: what it was opened by, and what has come.
pub(crate) struct LoggedWebSocket {
    request: Box<LoggedRequest>,
    status: u16,
    pub(crate) messages_in: u64,
    pub(crate) bytes_in: u64,
}

impl LoggedWebSocket {
    pub(crate) fn new(request: Box<LoggedRequest>, status: u16) -> Box<Self> {
        Box::new(Self { request, status, messages_in: 0, bytes_in: 0 })
    }

    /// The record of its end. `messages_out` and `bytes` are what was sent.
    #[cold]
    pub(crate) fn end(
        &self,
        messages_out: u64,
        bytes: u64,
        close_code: Option<u16>,
        cause: &'static str,
    ) -> AccessRecord<'_> {
        let websocket = Some(WebSocketRecord { messages_in: self.messages_in, messages_out, close_code });
        let (status, bytes_in) = (self.status, self.bytes_in);
        AccessRecord { status, bytes, bytes_in, cause, websocket, ..self.request.record() }
    }
}

/// How records name a version of HTTP.
fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A record with everything that a peer can choose.
    pub(super) fn record() -> AccessRecord<'static> {
        AccessRecord {
            peer: Peer::Tcp(([127, 0, 0, 1], 4711).into()),
            unix_seconds: 784_111_777,
            millis: 7,
            method: "GET",
            target: "/a?b=\"",
            host: Some(b"example.org"),
            version: Version::Http11,
            tls: Some("TLSv1.3"),
            status: 200,
            bytes: 13,
            bytes_in: 5,
            duration: Duration::from_micros(1_050),
            first_byte: Some(Duration::from_millis(1)),
            referer: None,
            user_agent: Some(b"x\n\x1b[2J\\\xff"),
            trace: TraceParent::parse(b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            stream: None,
            cause: "complete",
            websocket: None,
        }
    }

    #[test]
    fn texts_are_kept_apart_and_a_missing_one_is_not_an_empty_one() {
        let texts = Texts::new([Some(b"GET"), Some(b"/"), None, Some(b""), Some(b"\xff")]);
        assert_eq!((texts.text(0), texts.text(1)), ("GET", "/"));
        assert_eq!([2, 3, 4].map(|index| texts.get(index)), [None, Some(&b""[..]), Some(&b"\xff"[..])]);
        assert_eq!(texts.text(4), "");
    }
}
