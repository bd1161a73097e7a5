//! The file that says which process serves. Who has locked it serves: the number in it is for others to read, and is never asked whether a
//! process of that number lives, as another one may have it by now.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often a file is opened anew that another process takes away in the same moment.
const TRIES: usize = 16;

/// The file, locked for as long as this is there, or another descriptor of it in a process that was handed one.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    file: OwnedFd,
    /// The number in it is that of this process, which takes the file away at its end.
    is_ours: AtomicBool,
}

impl PidFile {
    /// Locks the file and writes the number of this process.
    ///
    /// # Errors
    /// Another process has locked it, or it cannot be written.
    pub(crate) fn take(path: &Path) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        for _ in 0..TRIES {
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
            let mut file = file.map_err(named)?;
            // Whatever else it is would be taken away at the end.
            if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
                return Err(named(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")));
            }
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                let mut number = String::new();
                let _ = file.read_to_string(&mut number);
                let text = format!("the process {} has locked it: it serves already", number.trim());
                return Err(named(io::Error::new(io::ErrorKind::AddrInUse, text)));
            }
            if is_at(path, &file) {
                let taken = Self::of(path, file.into());
                taken.write().map_err(named)?;
                return Ok(taken);
            }
        }
        Err(named(io::Error::other("it is taken away again and again")))
    }

    /// A file that the process before this one has locked. Its number stays there until [`write`](Self::write).
    pub(crate) fn of(path: &Path, file: OwnedFd) -> Self {
        Self { path: path.to_owned(), file, is_ours: AtomicBool::new(false) }
    }

    /// Writes the number of this process. A reader finds a number in the first line at every moment: this one, or the one before.
    ///
    /// # Errors
    /// The disk is full, mostly.
    pub(crate) fn write(&self) -> io::Result<()> {
        let file = File::from(self.file.try_clone()?);
        self.is_ours.store(true, Ordering::Release);
        let line = format!("{}\n", process::id());
        file.write_all_at(line.as_bytes(), 0)?;
        file.set_len(line.len() as u64)
    }

    /// The process that has another descriptor of it writes its own number, and takes it away.
    pub(crate) fn leave(&self) {
        self.is_ours.store(false, Ordering::Release);
    }

    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.file
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        self.remove();
    }
}

impl PidFile {
    /// Takes the file away, if the number in it is that of this process.
    pub(crate) fn remove(&self) {
        if !self.is_ours.swap(false, Ordering::AcqRel) {
            return;
        }
        let Ok(file) = self.file.try_clone().map(File::from) else { return };
        // Another user than the one that made it may have to leave it, but no number in it.
        if is_at(&self.path, &file) && fs::remove_file(&self.path).is_err() {
            let _ = file.set_len(0);
        }
    }
}

/// Whether a file that is open is the one at a path.
fn is_at(path: &Path, file: &File) -> bool {
    let (Ok(there), Ok(open)) = (fs::metadata(path), file.metadata()) else { return false };
    (there.dev(), there.ino()) == (open.dev(), open.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_locked_named_and_taken_away_and_one_that_was_left_there_is_no_obstacle() -> io::Result<()> {
        let path = std::env::temp_dir().join(format!("lwsws-pid-{}", process::id()));
        fs::write(&path, "4194304 or so, of a process that was killed")?;
        let taken = PidFile::take(&path)?;
        assert_eq!(fs::read_to_string(&path)?, format!("{}\n", process::id()));
        let refused = PidFile::take(&path).expect_err("it is locked").to_string();
        assert!(refused.contains(&format!("the process {} has locked it", process::id())), "{refused}");
        // Another descriptor of it keeps the lock, and takes the file away only when its number is there.
        let other = PidFile::of(&path, taken.descriptor().try_clone()?);
        taken.leave();
        drop(taken);
        assert!(path.exists() && PidFile::take(&path).is_err());
        other.write()?;
        drop(other);
        assert!(!path.exists());
        drop(PidFile::take(&path)?);
        // What stands there by now is another's.
        let taken = PidFile::take(&path)?;
        fs::remove_file(&path)?;
        fs::write(&path, "another")?;
        drop(taken);
        assert_eq!(fs::read_to_string(&path)?, "another");
        fs::remove_file(&path)?;
        let folder = PidFile::take(&std::env::temp_dir()).expect_err("a folder").to_string();
        assert!(folder.starts_with(&std::env::temp_dir().display().to_string()), "{folder}");
        Ok(())
    }
}
