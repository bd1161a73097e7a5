//! Whether what a path leads to is still what it was when it was opened: a configuration that is equal may name other files by now.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long a file must have been left alone before its times tell one state from the next: those of some file systems have whole seconds.
const SETTLED: Duration = Duration::from_secs(2);

/// What tells a file or a folder, and its state, from another one. Of a folder what is in it does not count: its files are looked up
/// with each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    /// Of a file: its size, and the times of its last changes of content and of anything else, in seconds and nanoseconds.
    state: Option<(u64, [i64; 4])>,
}

impl Stamp {
    /// The stamp of what a path leads to now. `None` if nothing is there, or if it has changed so lately that it may change again
    /// without a trace: it is read again then.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Self::at(&metadata, SystemTime::now())
    }

    fn at(metadata: &Metadata, now: SystemTime) -> Option<Self> {
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        let state = (!metadata.is_dir()).then_some((metadata.size(), times));
        let changed =
            u64::try_from(metadata.ctime()).map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at));
        let is_settled = changed.is_ok_and(|at| now.duration_since(at).is_ok_and(|since| since >= SETTLED));
        let stamp = Self { device: metadata.dev(), inode: metadata.ino(), state };
        (metadata.is_dir() || is_settled).then_some(stamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_stamp_when_it_has_been_left_alone_and_a_folder_always() -> std::io::Result<()> {
        let folder = std::env::temp_dir().join(format!("lwsws-stamp-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let path = folder.join("file");
        fs::write(&path, "one")?;
        let (now, metadata) = (SystemTime::now(), fs::metadata(&path)?);
        assert_eq!(Stamp::at(&metadata, now), None);
        let later = now + Duration::from_secs(10);
        let one = Stamp::at(&metadata, later);
        assert!(one.is_some());
        fs::write(&path, "other")?;
        assert_ne!(Stamp::at(&fs::metadata(&path)?, later), one);
        let whole = Stamp::of(&folder);
        fs::remove_file(&path)?;
        assert!(whole.is_some() && Stamp::of(&folder) == whole && Stamp::of(&path).is_none());
        fs::remove_dir_all(&folder)
    }
}
