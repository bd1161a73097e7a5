//! The log of session secrets, for decrypting captured traffic.

use crate::ConfigError;
use rustls::{KeyLogFile, NoKeyLog};
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// A log for the secrets of each session, in the format of NSS. They allow decrypting the traffic, so nothing is
/// logged by default.
#[derive(Clone, Debug)]
pub struct KeyLog(pub(crate) Arc<dyn rustls::KeyLog>);

impl KeyLog {
    /// Logs to the file that the environment variable `SSLKEYLOGFILE` names, if it is set. Writing blocks; use it for
    /// debugging only.
    #[must_use]
    pub fn environment() -> Self {
        Self(Arc::new(KeyLogFile::new()))
    }

    /// Appends to a file. A new file can be read by its owner only. Writing blocks; use it for debugging only. Lines
    /// that cannot be written are lost.
    ///
    /// # Errors
    /// [`ConfigError::Read`] if it cannot be opened.
    pub fn file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let file = File::options().append(true).create(true).mode(0o600).open(path);
        let file = Mutex::new(file.map_err(|error| ConfigError::Read { path: path.into(), error })?);
        Ok(Self::sink(move |line| {
            // Each line is one write, so that lines of several processes do not mix.
            let line = format!("{line}\n");
            let _ = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
        }))
    }

    /// Calls `sink` for each line, without its end. It is called during handshakes, and must not block.
    #[must_use]
    pub fn sink(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Sink(Box::new(sink))))
    }
}

impl Default for KeyLog {
    /// No log.
    fn default() -> Self {
        Self(Arc::new(NoKeyLog))
    }
}

struct Sink(Box<dyn Fn(&str) + Send + Sync>);

impl rustls::KeyLog for Sink {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        (self.0)(&format!("{label} {} {}", Hex(client_random), Hex(secret)));
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sink")
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
