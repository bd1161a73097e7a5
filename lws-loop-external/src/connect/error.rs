//! The error of an outgoing connection that could not be made, with its phase, addresses and cause.

use super::resolver::ResolveError;
use super::target::Target;
use crate::address::Address;
use crate::tls::Failure;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Why an outgoing connection could not be made. Its `Display` text lists, for a person, what was tried and how
/// each address failed.
#[derive(Debug)]
pub struct ConnectError {
    pub(super) target: Target,
    pub(super) cause: ConnectCause,
    pub(super) attempts: Vec<FailedAttempt>,
}

/// The target and history of an outgoing connection, kept as long as its handshake may still fail.
pub(crate) struct Origin {
    pub(super) target: Target,
    pub(super) attempts: Vec<FailedAttempt>,
}

impl Origin {
    pub(crate) fn into_error(self, cause: ConnectCause) -> ConnectError {
        ConnectError { target: self.target, cause, attempts: self.attempts }
    }
}

/// The phase that an outgoing connection had reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectPhase {
    /// No address of the name was known yet.
    Resolve,
    /// Sockets were being connected.
    Connect,
    /// A socket was connected, and its TLS handshake was going on.
    Tls,
}

/// What ended the attempt to make an outgoing connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectCause {
    /// The name has no address, or none that could be found out.
    Resolve(ResolveError),
    /// Every address was tried, and each failed: see [`ConnectError::attempts`].
    Failed,
    /// [`ConnectOptions::timeout`](crate::ConnectOptions::timeout) has passed.
    TimedOut {
        /// The phase that it had reached.
        phase: ConnectPhase,
    },
    /// This side gave up: the connection was closed or aborted, or the service is ending.
    GivenUp {
        /// The phase that it had reached.
        phase: ConnectPhase,
    },
    /// The name resolves to an address that this side has a connection to, which may serve in place of this one:
    /// [`ConnectOptions::shared_with`](crate::ConnectOptions::shared_with). Nothing has failed.
    Shared(SocketAddr),
    /// The socket was connected, and TLS failed.
    Tls(Failure),
    /// The socket was connected, but a system call on it failed here.
    Local(io::Error),
}

/// One address that was tried without success.
#[derive(Debug)]
#[non_exhaustive]
pub struct FailedAttempt {
    /// The address.
    pub address: Address,
    /// The error. [`io::ErrorKind::TimedOut`] past a deadline, [`io::ErrorKind::ConnectionAborted`] if this side gave
    /// up.
    pub error: io::Error,
    /// The time from the beginning of the attempt to its failure.
    pub took: Duration,
}

impl ConnectError {
    /// The target of the connection.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The phase that it had reached.
    #[must_use]
    pub fn phase(&self) -> ConnectPhase {
        match &self.cause {
            ConnectCause::Resolve(_) | ConnectCause::Shared(_) => ConnectPhase::Resolve,
            ConnectCause::Failed | ConnectCause::Local(_) => ConnectPhase::Connect,
            ConnectCause::Tls(_) => ConnectPhase::Tls,
            ConnectCause::TimedOut { phase } | ConnectCause::GivenUp { phase } => *phase,
        }
    }

    /// The cause that ended it.
    #[must_use]
    pub fn cause(&self) -> &ConnectCause {
        &self.cause
    }

    /// The addresses that were tried, in the order in which they failed.
    #[must_use]
    pub fn attempts(&self) -> &[FailedAttempt] {
        &self.attempts
    }

    /// The closest [`io::ErrorKind`]; after several addresses, that of the last error.
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match &self.cause {
            ConnectCause::Resolve(error) => error.kind(),
            ConnectCause::Failed => {
                self.attempts.last().map_or(io::ErrorKind::NotFound, |attempt| attempt.error.kind())
            }
            ConnectCause::TimedOut { .. } => io::ErrorKind::TimedOut,
            ConnectCause::Shared(_) => io::ErrorKind::AlreadyExists,
            ConnectCause::GivenUp { .. } => io::ErrorKind::ConnectionAborted,
            ConnectCause::Tls(failure) => failure.kind(),
            ConnectCause::Local(error) => error.kind(),
        }
    }
}

impl ConnectPhase {
    /// A short name, for logs and counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = &self.target;
        match &self.cause {
            ConnectCause::Resolve(error) => write!(f, "{target} could not be resolved: {error}")?,
            ConnectCause::Failed => write!(f, "no connection to {target}")?,
            ConnectCause::TimedOut { phase: ConnectPhase::Resolve } => {
                write!(f, "{target} was not resolved in time")?;
            }
            ConnectCause::TimedOut { phase: ConnectPhase::Tls } => {
                write!(f, "no TLS with {target} in time")?;
            }
            ConnectCause::TimedOut { .. } => write!(f, "no connection to {target} in time")?,
            ConnectCause::GivenUp { .. } => write!(f, "gave up connecting to {target}")?,
            ConnectCause::Shared(address) => {
                write!(f, "there is a connection to {address}, which is {target}")?;
            }
            ConnectCause::Tls(failure) => write!(f, "no connection to {target}: {failure}")?,
            ConnectCause::Local(error) => write!(f, "no connection to {target}: {error}")?,
        }
        for (n, attempt) in self.attempts.iter().enumerate() {
            write!(f, "{}{attempt}", if n == 0 { ": " } else { "; " })?;
        }
        Ok(())
    }
}

impl fmt::Display for FailedAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {} ms: {}", self.address, self.took.as_millis(), self.error)
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            ConnectCause::Resolve(error) => Some(error),
            ConnectCause::Tls(failure) => Some(failure),
            ConnectCause::Local(error) => Some(error),
            ConnectCause::Failed => self.attempts.last().map(|attempt| &attempt.error as _),
            ConnectCause::TimedOut { .. } | ConnectCause::GivenUp { .. } | ConnectCause::Shared(_) => None,
        }
    }
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        Self::new(error.kind(), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_tells_what_was_tried() {
        let attempt = |port, kind, millis| FailedAttempt {
            address: Address::Tcp(([127, 0, 0, 1], port).into()),
            error: io::Error::from(kind),
            took: Duration::from_millis(millis),
        };
        let check = |cause, attempts, kind, phase, text: &str| {
            let error = ConnectError { target: ("a.test", 80).into(), cause, attempts };
            assert_eq!((error.kind(), error.phase(), error.to_string().as_str()), (kind, phase, text));
        };
        let refused = attempt(1, io::ErrorKind::ConnectionRefused, 0);
        let silent = attempt(2, io::ErrorKind::TimedOut, 7);
        check(
            ConnectCause::Failed,
            vec![refused, silent],
            io::ErrorKind::TimedOut,
            ConnectPhase::Connect,
            "no connection to a.test:80: 127.0.0.1:1 after 0 ms: connection refused; \
             127.0.0.1:2 after 7 ms: timed out",
        );
        check(
            ConnectCause::Resolve(ResolveError::NoAddress),
            vec![],
            io::ErrorKind::NotFound,
            ConnectPhase::Resolve,
            "a.test:80 could not be resolved: the name has no address",
        );
        let phase = ConnectPhase::Resolve;
        check(
            ConnectCause::TimedOut { phase },
            vec![],
            io::ErrorKind::TimedOut,
            phase,
            "a.test:80 was not resolved in time",
        );
        let phase = ConnectPhase::Connect;
        check(
            ConnectCause::GivenUp { phase },
            vec![attempt(1, io::ErrorKind::ConnectionAborted, 3)],
            io::ErrorKind::ConnectionAborted,
            phase,
            "gave up connecting to a.test:80: 127.0.0.1:1 after 3 ms: connection aborted",
        );
    }
}
