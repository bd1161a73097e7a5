//! The access log: one record per request.
//!
//! Knows how a record is written as a line, not where the line goes.

use crate::Peer;
use crate::http::Tally;
use lws_proto::http::{Head, HttpDate, Version};
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

/// A request, when its exchange has ended or its WebSocket has been opened.
///
/// `Display` writes the combined log format, with the duration in milliseconds and the cause behind it. Whatever a peer can
/// choose is escaped: no record is more than one line, and none moves a terminal's cursor.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AccessRecord<'a> {
    /// Who asked.
    pub peer: Peer,
    /// When, in whole seconds since the first of January 1970, UTC. Zero if that is unknown.
    pub unix_seconds: u32,
    /// The method as it was written; empty for a request that could not be understood.
    pub method: &'a str,
    /// The target as it was written.
    pub target: &'a str,
    /// The version.
    pub version: Version,
    /// The status code of the response; zero if none was sent.
    pub status: u16,
    /// Content bytes of the response.
    pub bytes: u64,
    /// From the request head to the end of the exchange, or to the answer that opened the WebSocket.
    pub duration: Duration,
    /// `Referer`. RFC 9110 §10.1.3.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`. RFC 9110 §10.1.5.
    pub user_agent: Option<&'a [u8]>,
    /// Why the exchange ended: [`Cause::name`](lws_proto::Cause::name); `websocket` when one was opened.
    pub cause: &'static str,
}

/// What the access log wants to know of a request after its head has gone.
pub(crate) struct LoggedRequest {
    peer: Peer,
    begun: Instant,
    unix_seconds: u32,
    method: Box<str>,
    target: Box<str>,
    version: Version,
    referer: Option<Box<[u8]>>,
    user_agent: Option<Box<[u8]>>,
}

impl LoggedRequest {
    #[cold]
    pub(crate) fn new(peer: Peer, unix_seconds: u32, head: &Head<'_>) -> Box<Self> {
        Box::new(Self {
            peer,
            begun: Instant::now(),
            unix_seconds,
            method: head.method_name().into(),
            target: head.target().into(),
            version: head.version(),
            referer: head.get("referer").map(Into::into),
            user_agent: head.get("user-agent").map(Into::into),
        })
    }

    /// The status code with which a WebSocket is opened. RFC 6455 §4.2.2, RFC 8441 §5.1.
    pub(crate) fn opened_status(&self) -> u16 {
        match self.version {
            Version::Http2 => 200,
            Version::Http10 | Version::Http11 => 101,
        }
    }
}

/// The record of a request. One that was refused before it could be understood has no entry.
#[cold]
pub(crate) fn record<'a>(
    entry: Option<&'a LoggedRequest>,
    peer: impl FnOnce() -> Peer,
    unix_seconds: u32,
    tally: &Tally,
    cause: &'static str,
) -> AccessRecord<'a> {
    AccessRecord {
        peer: entry.map_or_else(peer, |entry| entry.peer),
        unix_seconds: entry.map_or(unix_seconds, |entry| entry.unix_seconds),
        method: entry.map_or("", |entry| &entry.method),
        target: entry.map_or("", |entry| &entry.target),
        version: entry.map_or(Version::Http11, |entry| entry.version),
        status: tally.status,
        bytes: tally.bytes,
        duration: entry.map_or(Duration::ZERO, |entry| entry.begun.elapsed()),
        referer: entry.and_then(|entry| entry.referer.as_deref()),
        user_agent: entry.and_then(|entry| entry.user_agent.as_deref()),
        cause,
    }
}

impl fmt::Display for AccessRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.peer, self.peer.ip()) {
            (_, Some(ip)) => write!(f, "{ip} - - ")?,
            (Peer::Local, None) => f.write_str("local - - ")?,
            (_, None) => f.write_str("- - - ")?,
        }
        write_date(f, self.unix_seconds)?;
        if self.method.is_empty() {
            f.write_str(" \"-\" ")?;
        } else {
            f.write_str(" \"")?;
            escape(f, self.method.as_bytes())?;
            f.write_char(' ')?;
            escape(f, self.target.as_bytes())?;
            f.write_char(' ')?;
            f.write_str(version(self.version))?;
            f.write_str("\" ")?;
        }
        match self.status {
            0 => f.write_str("-")?,
            status => write!(f, "{status}")?,
        }
        write!(f, " {} ", self.bytes)?;
        quote(f, self.referer)?;
        f.write_char(' ')?;
        quote(f, self.user_agent)?;
        let micros = self.duration.as_micros();
        write!(f, " {}.{:03}ms {}", micros / 1_000, micros % 1_000, self.cause)
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::Http10 => "HTTP/1.0",
        Version::Http11 => "HTTP/1.1",
        Version::Http2 => "HTTP/2",
    }
}

/// `[06/Nov/1994:08:49:37 +0000]`
fn write_date(f: &mut fmt::Formatter<'_>, unix_seconds: u32) -> fmt::Result {
    if unix_seconds == 0 {
        return f.write_str("[-]");
    }
    let date = HttpDate::from_unix(unix_seconds.into()).to_bytes();
    let part = |range: std::ops::Range<usize>| std::str::from_utf8(&date[range]).unwrap_or("");
    write!(f, "[{}/{}/{}:{} +0000]", part(5..7), part(8..11), part(12..16), part(17..25))
}

fn quote(f: &mut fmt::Formatter<'_>, value: Option<&[u8]>) -> fmt::Result {
    f.write_char('"')?;
    escape(f, value.unwrap_or(b"-"))?;
    f.write_char('"')
}

/// Quotes, backslashes, control characters and everything that is not ASCII as `\xhh`, as nginx does.
fn escape(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => write!(f, "\\x{byte:02X}")?,
            b' '..=b'~' => f.write_char(char::from(byte))?,
            _ => write!(f, "\\x{byte:02X}")?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_in_the_combined_format() {
        let record = AccessRecord {
            peer: Peer::Tcp(([127, 0, 0, 1], 4711).into()),
            unix_seconds: 784_111_777,
            method: "GET",
            target: "/a?b=\"",
            version: Version::Http11,
            status: 200,
            bytes: 13,
            duration: Duration::from_micros(1_050),
            referer: None,
            user_agent: Some(b"x\n\x1b[2J\\\xff"),
            cause: "complete",
        };
        assert_eq!(
            record.to_string(),
            "127.0.0.1 - - [06/Nov/1994:08:49:37 +0000] \"GET /a?b=\\x22 HTTP/1.1\" 200 13 \"-\" \
             \"x\\x0A\\x1B[2J\\x5C\\xFF\" 1.050ms complete"
        );
    }

    #[test]
    fn a_request_that_was_not_understood_has_dashes() {
        let record = AccessRecord {
            peer: Peer::Local,
            unix_seconds: 0,
            method: "",
            target: "",
            version: Version::Http11,
            status: 0,
            bytes: 0,
            duration: Duration::ZERO,
            referer: None,
            user_agent: None,
            cause: "head_timeout",
        };
        assert_eq!(record.to_string(), "local - - [-] \"-\" - 0 \"-\" \"-\" 0.000ms head_timeout");
    }
}
