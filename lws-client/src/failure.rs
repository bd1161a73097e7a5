//! The failure of a request: its phase, its cause, and whether the request may be sent again.

use lws_loop_external::tls;
use lws_loop_external::{ConnectCause, ConnectError, ConnectPhase};
use lws_proto::{Cause as EngineCause, Misuse};
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Why a request has no response, or an incomplete one. It is delivered exactly once.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// How far the request had come.
    pub phase: Phase,
    /// What ended it.
    pub cause: Cause,
    /// The address of the peer, if a socket had been connected, or the last one that was tried.
    pub address: Option<Arc<str>>,
    /// Octets of the request's content that were handed to the transport, in the last try.
    pub bytes_sent: u64,
    /// Whether the peer has certainly not acted on the request, so that sending it again can do no harm.
    pub retryable: bool,
}

/// How far a request had come. The order is that of a request's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Phase {
    /// It waited for a connection.
    Pool,
    /// The name was being resolved.
    Dns,
    /// A socket was being connected.
    Tcp,
    /// The TLS handshake was going on.
    Tls,
    /// A proxy was asked for a tunnel.
    Proxy,
    /// The request was being sent.
    Send,
    /// The head of the response was awaited.
    Head,
    /// The content of the response was being received.
    Body,
}

/// What ended a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// [`cancel`](crate::Client::cancel) was called, or the client is ending.
    Cancelled,
    /// A deadline passed.
    TimedOut(Deadline),
    /// As many requests wait as may: [`Limits::waiting_max`](crate::Limits::waiting_max).
    TooManyWaiting,
    /// No connection could be made: what the system or TLS said.
    Connect(io::ErrorKind, Arc<str>),
    /// TLS failed.
    Tls(tls::Failure),
    /// The proxy answered a request for a tunnel with this status code.
    ProxyStatus(u16),
    /// The SOCKS proxy did not do what was asked.
    Socks(crate::proxy::SocksError),
    /// The stream ended with this cause of the engine.
    Stream(EngineCause),
    /// The request cannot be written.
    Request(Misuse),
    /// The content of the response has more bytes than the application takes.
    TooLarge {
        /// The most bytes.
        max: usize,
    },
    /// The content of the response is not what its `Content-Encoding` says, or grows too much.
    Encoding(crate::decode::DecodeError),
    /// A redirect was not followed.
    Redirect(crate::redirect::RedirectError),
    /// The request has to be sent again, and its content is gone.
    NotReplayable,
}

/// A deadline of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Deadline {
    /// [`RequestOptions::timeout`](crate::RequestOptions::timeout): from the beginning to the end.
    Total,
    /// [`Limits::wait_timeout`](crate::Limits::wait_timeout): for a connection.
    Wait,
    /// [`RequestOptions::first_byte_timeout`](crate::RequestOptions::first_byte_timeout): from the request to the
    /// response's head.
    FirstByte,
    /// [`Limits::proxy_timeout`](crate::Limits::proxy_timeout): until the proxy has made the tunnel.
    Proxy,
}

impl Failure {
    pub(crate) fn new(phase: Phase, cause: Cause) -> Self {
        // Before the request was sent, the server cannot have acted on it.
        let unsent = phase < Phase::Send;
        let refused = matches!(&cause, Cause::Stream(cause) if cause.is_retryable());
        let gone = matches!(cause, Cause::Request(_) | Cause::Cancelled | Cause::NotReplayable);
        Self { phase, cause, address: None, bytes_sent: 0, retryable: (unsent || refused) && !gone }
    }

    /// From what a driver says of a connection that could not be made.
    pub(crate) fn connecting(error: &ConnectError) -> Self {
        let phase = match error.phase() {
            ConnectPhase::Resolve => Phase::Dns,
            ConnectPhase::Tls => Phase::Tls,
            _ => Phase::Tcp,
        };
        let cause = match error.cause() {
            ConnectCause::Tls(failure) => Cause::Tls(failure.clone()),
            _ => Cause::Connect(error.kind(), error.to_string().into()),
        };
        let mut failure = Self::new(phase, cause);
        failure.address = error.attempts().last().map(|attempt| attempt.address.to_string().into());
        failure
    }

    /// From what a driver says of a connection that it does not begin.
    pub(crate) fn not_begun(error: &io::Error) -> Self {
        Self::new(Phase::Tcp, Cause::Connect(error.kind(), error.to_string().into()))
    }

    /// The same as a kind of the standard library.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match &self.cause {
            Cause::Cancelled => io::ErrorKind::ConnectionAborted,
            Cause::TimedOut(_) | Cause::Stream(EngineCause::Timeout(_)) => io::ErrorKind::TimedOut,
            Cause::TooManyWaiting => io::ErrorKind::QuotaExceeded,
            Cause::Connect(kind, _) => *kind,
            Cause::Tls(failure) => failure.kind(),
            Cause::ProxyStatus(_) | Cause::Socks(_) => io::ErrorKind::ConnectionRefused,
            Cause::Stream(EngineCause::Disconnected | EngineCause::Truncated) => io::ErrorKind::UnexpectedEof,
            Cause::Stream(EngineCause::Reset(_) | EngineCause::Refused) => io::ErrorKind::ConnectionReset,
            Cause::Stream(_) | Cause::Encoding(_) | Cause::Redirect(_) => io::ErrorKind::InvalidData,
            Cause::Request(_) => io::ErrorKind::InvalidInput,
            Cause::TooLarge { .. } => io::ErrorKind::FileTooLarge,
            Cause::NotReplayable => io::ErrorKind::Other,
        }
    }
}

impl Phase {
    /// A short, stable name for logs and counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::Send => "send",
            Self::Head => "head",
            Self::Body => "body",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled => f.write_str("cancelled"),
            Self::TimedOut(Deadline::Total) => f.write_str("not done in time"),
            Self::TimedOut(Deadline::Wait) => f.write_str("no connection was free in time"),
            Self::TimedOut(Deadline::FirstByte) => f.write_str("the response did not begin in time"),
            Self::TimedOut(Deadline::Proxy) => f.write_str("the proxy made no tunnel in time"),
            Self::TooManyWaiting => f.write_str("too many requests wait for a connection"),
            Self::Connect(_, text) => f.write_str(text),
            Self::Tls(failure) => failure.fmt(f),
            Self::ProxyStatus(status) => write!(f, "the proxy answered {status}"),
            Self::Socks(error) => error.fmt(f),
            Self::Stream(cause) => cause.fmt(f),
            Self::Request(misuse) => misuse.fmt(f),
            Self::TooLarge { max } => write!(f, "the content has more than {max} bytes"),
            Self::Encoding(error) => error.fmt(f),
            Self::Redirect(error) => error.fmt(f),
            Self::NotReplayable => f.write_str("the content is gone and cannot be sent again"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.phase.name(), self.cause)?;
        match &self.address {
            Some(address) => write!(f, " ({address})"),
            None => Ok(()),
        }
    }
}

impl Error for Failure {}

impl From<Failure> for io::Error {
    /// The failure stays reachable through [`io::Error::get_ref`].
    fn from(failure: Failure) -> Self {
        Self::new(failure.kind(), failure)
    }
}

/// How long the steps of a request took, each counted from its beginning, by the names of libcurl. A step that was not
/// needed, as on a connection that was there already, took no time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Until the request had a connection, from the pool or a new one. (libcurl's `queue` time.)
    pub queue: Duration,
    /// Until the connection was ready: the name resolved, the socket connected, TLS and proxy done. (`appconnect`.)
    #[doc(alias = "CURLINFO_APPCONNECT_TIME_T")]
    pub connect: Duration,
    /// Until the request was handed to the connection.
    #[doc(alias = "CURLINFO_PRETRANSFER_TIME_T")]
    pub pretransfer: Duration,
    /// Until the head of the final response had come.
    #[doc(alias = "CURLINFO_STARTTRANSFER_TIME_T")]
    pub starttransfer: Duration,
    /// What all redirects before the last request took together.
    #[doc(alias = "CURLINFO_REDIRECT_TIME_T")]
    pub redirect: Duration,
    /// Until the end.
    #[doc(alias = "CURLINFO_TOTAL_TIME_T")]
    pub total: Duration,
    /// Connections that were made for it: 0 if one could be used again.
    #[doc(alias = "CURLINFO_NUM_CONNECTS")]
    pub connects: u32,
    /// Redirects that were followed.
    #[doc(alias = "CURLINFO_REDIRECT_COUNT")]
    pub redirects: u32,
    /// Tries that failed and were begun again.
    pub retries: u32,
    /// Octets of content that were sent.
    pub bytes_sent: u64,
    /// Octets of content that were received, before decompression.
    pub bytes_received: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use lws_proto::Deadline as EngineDeadline;

    #[test]
    fn only_a_request_that_cannot_have_been_acted_on_is_retryable() {
        let ended = || Cause::Stream(EngineCause::Disconnected);
        for (phase, cause, retryable) in [
            (Phase::Pool, Cause::TimedOut(Deadline::Wait), true),
            (Phase::Tcp, Cause::Connect(io::ErrorKind::ConnectionRefused, "".into()), true),
            (Phase::Proxy, Cause::ProxyStatus(407), true),
            (Phase::Pool, Cause::Cancelled, false),
            (Phase::Send, ended(), false),
            (Phase::Head, ended(), false),
            (Phase::Head, Cause::Stream(EngineCause::Refused), true),
            (Phase::Head, Cause::Stream(EngineCause::Timeout(EngineDeadline::Response)), false),
            (Phase::Body, ended(), false),
        ] {
            assert_eq!(Failure::new(phase, cause.clone()).retryable, retryable, "{phase:?} {cause:?}");
        }
    }

    #[test]
    fn the_text_tells_phase_cause_and_address() {
        let mut failure = Failure::new(Phase::Head, Cause::Stream(EngineCause::Disconnected));
        failure.address = Some("127.0.0.1:80".into());
        assert_eq!(failure.to_string(), "head: the transport ended early (127.0.0.1:80)");
        assert_eq!(io::Error::from(failure).kind(), io::ErrorKind::UnexpectedEof);
    }
}
