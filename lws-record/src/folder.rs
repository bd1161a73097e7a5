//! The files of records: one for each connection, in a folder, readable by their owner only.

use crate::{Ends, Recorder, Redaction, Tap, Writer};
use lws_proto::record::{Note, Tape};
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// The files that are written for a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Output {
    /// A record for replay, `.lwsrec`.
    Record,
    /// A capture for Wireshark, `.pcapng`.
    Pcapng,
    /// Both.
    #[default]
    Both,
}

/// A folder in which the files of connections are made. Share it in an `Arc`.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    output: Output,
    redaction: Redaction,
    peer: Option<IpAddr>,
    files_max: u32,
    file_bytes_max: u64,
    made: AtomicU32,
}

impl Folder {
    /// The default of the most connections that are recorded. No more are recorded after that, so that a forgotten
    /// recording does not fill a disk.
    pub const FILES_MAX: u32 = 10_000;
    /// The default of the most octets of one file. A record ends there, and can be replayed up to that point.
    pub const FILE_BYTES_MAX: u64 = 64 << 20;

    /// Makes the folder, accessible to its owner only, if it does not exist.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(path: &Path) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        Ok(Self {
            path: path.to_owned(),
            output: Output::default(),
            redaction: Redaction::default(),
            peer: None,
            files_max: Self::FILES_MAX,
            file_bytes_max: Self::FILE_BYTES_MAX,
            made: AtomicU32::new(0),
        })
    }

    /// Sets which files are written. Default: both.
    #[must_use]
    pub fn output(self, output: Output) -> Self {
        Self { output, ..self }
    }

    /// Sets what is masked. Default: credentials.
    #[must_use]
    pub fn redaction(self, redaction: Redaction) -> Self {
        Self { redaction, ..self }
    }

    /// Records only connections of this peer. Default: all.
    #[must_use]
    pub fn peer(self, peer: Option<IpAddr>) -> Self {
        Self { peer, ..self }
    }

    /// Sets the most connections that are recorded, and the most octets of one file.
    #[must_use]
    pub fn limits(self, files_max: u32, file_bytes_max: u64) -> Self {
        Self { files_max, file_bytes_max, ..self }
    }

    /// Makes the files of one more connection. `None` if it is not of the recorded peer, or the limit is reached.
    ///
    /// # Errors
    /// What the system says.
    pub fn tape(&self, ends: Ends) -> io::Result<Option<Box<dyn Tape>>> {
        if self.peer.is_some_and(|peer| peer != ends.peer.ip().to_canonical()) {
            return Ok(None);
        }
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        if number >= self.files_max {
            // The counter stays at the limit, so that it cannot wrap around.
            self.made.store(self.files_max, Ordering::Relaxed);
            return Ok(None);
        }
        let name = format!("{}-{number:06}", std::process::id());
        let record = matches!(self.output, Output::Record | Output::Both);
        let pcapng = matches!(self.output, Output::Pcapng | Output::Both);
        let record = record.then(|| self.file(&name, "lwsrec")).transpose()?;
        let pcapng = pcapng.then(|| self.file(&name, "pcapng")).transpose()?;
        Ok(Some(Box::new(Both {
            record: record.map(|file| Recorder::new(file, self.redaction)),
            pcapng: pcapng.map(|file| Tap::new(Writer::new(file), ends, self.redaction)),
        })))
    }

    fn file(&self, name: &str, extension: &str) -> io::Result<BufWriter<Limited>> {
        let path = self.path.join(name).with_extension(extension);
        // An existing file is never reused, as another process may have opened it.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(BufWriter::new(Limited { file, left: self.file_bytes_max }))
    }
}

/// A file up to its limit.
struct Limited {
    file: File,
    left: u64,
}

impl Write for Limited {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.left == 0 && !octets.is_empty() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(octets.len());
        let n = self.file.write(&octets[..room])?;
        self.left -= n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The recorder and the tap of one connection.
struct Both {
    record: Option<Recorder<BufWriter<Limited>>>,
    pcapng: Option<Tap<BufWriter<Limited>>>,
}

impl Tape for Both {
    fn note(&mut self, note: Note<'_>) {
        if let Some(tap) = &mut self.pcapng {
            tap.note(note.clone());
        }
        if let Some(record) = &mut self.record {
            record.note(note);
        }
    }
}
