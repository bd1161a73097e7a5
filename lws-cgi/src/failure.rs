//! Why a script could not answer, and what else there is to say of one.

use crate::head::HeadFault;
use lws_server::http::Status;
use std::fmt;
use std::io;

/// Why the client did not get a whole answer. Before the head was sent it gets [`status`](Self::status) instead; after it the
/// response is cut, so that what is not whole does not look so.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// As many requests as there may be are with scripts already.
    TooMany,
    /// The script could not be started, or its server not be asked.
    Start(io::Error),
    /// The server of the script could not be reached.
    Unreachable(String),
    /// It has answered something else than RFC 3875 §6 says.
    Head(HeadFault),
    /// It has not answered in time: [`Limits::head_timeout`](crate::Limits::head_timeout).
    HeadTimeout,
    /// It was at work for too long: [`Limits::time_max`](crate::Limits::time_max).
    TimeMax,
    /// A signal has ended it before it was done.
    Signal(i32),
    /// It has written less content than its `Content-Length`.
    Short,
    /// Its content is not in the chunked coding that its `Transfer-Encoding` names.
    NotChunked,
    /// It has written more content than [`Limits::output_bytes_max`](crate::Limits::output_bytes_max).
    OutputMax,
    /// The connection to it, or the protocol on that, has failed.
    Protocol(&'static str),
    /// It refers to a path that is none.
    Elsewhere,
}

impl Failure {
    /// The status code of the response in its place. RFC 9110 §15.6.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::TooMany => Status::SERVICE_UNAVAILABLE,
            Self::Start(error) if error.kind() == io::ErrorKind::NotFound => Status::NOT_FOUND,
            Self::Start(_) => Status::INTERNAL_SERVER_ERROR,
            Self::HeadTimeout | Self::TimeMax => Status::GATEWAY_TIMEOUT,
            _ => Status::BAD_GATEWAY,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => f.write_str("too many requests are with scripts already"),
            Self::Start(error) => write!(f, "it could not be started: {error}"),
            Self::Unreachable(error) => write!(f, "its server could not be reached: {error}"),
            Self::Head(fault) => write!(f, "{fault}"),
            Self::HeadTimeout => f.write_str("it has not answered in time"),
            Self::TimeMax => f.write_str("it was at work for too long"),
            Self::Signal(signal) => write!(f, "signal {signal} has ended it"),
            Self::Short => f.write_str("it has written less than its Content-Length"),
            Self::NotChunked => f.write_str("its content is not chunked as it says"),
            Self::OutputMax => f.write_str("it has written too much"),
            Self::Protocol(what) => f.write_str(what),
            Self::Elsewhere => f.write_str("its Location is no path"),
        }
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(error) => Some(error),
            _ => None,
        }
    }
}

/// How a process has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status; zero is success.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Other code of this process has waited for it, and knows.
    Unknown,
}

/// What there is to log of a script, beside its answers.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// A line of its standard error, without its end. A long one comes in pieces.
    Message(&'a [u8]),
    /// It has written more messages than [`Limits::message_bytes_max`](crate::Limits::message_bytes_max), of which no more come.
    MessagesEnd,
    /// A request was not answered as a whole.
    Failed(&'a Failure),
    /// It has answered, and ended with an error all the same.
    Exited(Exit),
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Octets of a script are no text that a terminal should obey.
            Self::Message(line) => write!(f, "{}", line.escape_ascii()),
            Self::MessagesEnd => f.write_str("further messages are dropped"),
            Self::Failed(failure) => write!(f, "{failure}"),
            Self::Exited(Exit::Code(code)) => write!(f, "it has ended with status {code}"),
            Self::Exited(Exit::Signal(signal)) => write!(f, "signal {signal} has ended it"),
            Self::Exited(Exit::Unknown) => f.write_str("it has ended, in a way that is not known"),
        }
    }
}
