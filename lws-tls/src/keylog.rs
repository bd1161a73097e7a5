//! Where the secrets of sessions go, for looking into captured traffic.

use crate::ConfigError;
use rustls::{KeyLogFile, NoKeyLog};
use std::fmt;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Where the secrets of each session are written, in the format of NSS. Whoever has them reads everything: nothing is
/// written unless this is asked for.
#[derive(Clone, Debug)]
pub struct KeyLog(pub(crate) Arc<dyn rustls::KeyLog>);

impl KeyLog {
    /// To the file that the environment variable `SSLKEYLOGFILE` names, if it names one. The write blocks: for debugging.
    #[must_use]
    pub fn environment() -> Self {
        Self(Arc::new(KeyLogFile::new()))
    }

    /// To the end of a file, which only its owner may read if it is made now. The write blocks: for debugging. Lines that cannot be
    /// written are lost.
    ///
    /// # Errors
    /// [`ConfigError::Read`] if it cannot be opened.
    pub fn file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let file = File::options().append(true).create(true).mode(0o600).open(path);
        let file = Mutex::new(file.map_err(|error| ConfigError::Read { path: path.into(), error })?);
        Ok(Self::sink(move |line| {
            // One write, so that lines of several processes do not mix.
            let line = format!("{line}\n");
            let _ = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
        }))
    }

    /// To `sink`, a line at a time and without its end. It is called in the middle of handshakes, and should not wait.
    #[must_use]
    pub fn sink(sink: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Sink(Box::new(sink))))
    }
}

impl Default for KeyLog {
    /// Nowhere.
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
