//! What cannot be said without `unsafe`: that a descriptor is ours which another process has opened.

use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Takes a descriptor that this process was started with, by its number. To be called once for each.
///
/// # Errors
/// It is not open.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    fs::symlink_metadata(format!("/proc/self/fd/{number}"))?;
    // SAFETY: it is open, and was handed over by who has started this process: nothing else here owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
