//! The access log: one record for each request, and one more for the end of a WebSocket.
//!
//! Knows how a record is written as a line, not where the line goes.

mod combined;
mod json;
mod line;
mod request;

use crate::Peer;
use crate::http::TraceParent;
use crate::id::StreamId;
use line::Line;
use lws_proto::http::Version;
pub(crate) use request::{EntryPool, LoggedRequest, RequestOrigin};
use std::fmt;
use std::time::Duration;

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
    /// From the request head to the end of the exchange, to the answer that opened the WebSocket, or to the end of that. Of the requests
    /// that came in one turn of the loop the first one's head counts for all.
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
        // Appending to a buffer never fails.
        let _ = self.write_combined(&mut Line::new(line));
    }

    /// Appends what [`json`](Self::json) writes to `line`.
    pub fn append_json(&self, line: &mut Vec<u8>) {
        // Appending to a buffer never fails.
        let _ = json::Json(self).write(&mut Line::new(line));
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
        AccessRecord { bytes_in: self.bytes_in, websocket, ..self.request.record(self.status, bytes, cause) }
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
}
