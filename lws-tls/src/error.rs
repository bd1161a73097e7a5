//! The errors of a configuration.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// The error of a configuration, which has changed nothing.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file could not be read.
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A certificate, key or root could not be parsed.
    Malformed {
        /// Its source: a path, or a description.
        source: String,
        /// Why.
        reason: String,
    },
    /// The source has no item of a kind: "certificate", "private key", "root".
    Missing {
        /// The source.
        source: String,
        /// What.
        what: &'static str,
    },
    /// The private key belongs to another certificate.
    KeyMismatch {
        /// The source of the certificate.
        source: String,
    },
    /// An unknown name.
    Unknown {
        /// The kind of name: "version", "cipher suite", "group", "server name".
        what: &'static str,
        /// The name.
        name: String,
        /// The names that are known.
        known: Vec<&'static str>,
    },
    /// Settings that contradict each other, such as a version without a cipher suite.
    Inconsistent(String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Malformed { source, reason } => write!(f, "{source}: {reason}"),
            Self::Missing { source, what } => write!(f, "{source}: there is no {what} in it"),
            Self::KeyMismatch { source } => {
                write!(f, "{source}: the private key belongs to another certificate")
            }
            Self::Unknown { what, name, known } if known.is_empty() => write!(f, "no {what}: {name}"),
            Self::Unknown { what, name, known } => {
                write!(f, "unknown {what} {name}; known are {}", known.join(", "))
            }
            Self::Inconsistent(what) => f.write_str(what),
        }
    }
}

impl Error for ConfigError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl From<ConfigError> for io::Error {
    fn from(error: ConfigError) -> Self {
        let kind = match &error {
            ConfigError::Read { error, .. } => error.kind(),
            _ => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

impl From<rustls::Error> for ConfigError {
    fn from(error: rustls::Error) -> Self {
        Self::Inconsistent(error.to_string())
    }
}
