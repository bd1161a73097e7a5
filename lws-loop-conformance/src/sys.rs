//! fork(2), and the end of the child that it makes.

use rustix::process::{Pid, WaitOptions, waitpid};
use std::io;

/// The seconds after which the system ends a child that has not ended itself, for example because another thread of the parent had a lock
/// when the child was made.
pub(crate) const CHILD_SECONDS: u32 = 10;

/// A child of this process.
pub(crate) struct Child(Pid);

/// Makes a child, in which this thread alone goes on. `None` is in the child.
pub(crate) fn fork() -> io::Result<Option<Child>> {
    // SAFETY: it touches no memory. Locks that other threads have are never given back in the child: the C library sees to those of its
    // allocator, and the alarm ends a child that waits for another.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: it has no conditions, and nothing handles the signal, so that it ends the child.
            unsafe { libc::alarm(CHILD_SECONDS) };
            Ok(None)
        }
        id => Pid::from_raw(id).map(|id| Some(Child(id))).ok_or_else(|| io::ErrorKind::Other.into()),
    }
}

/// Ends the child at once: nothing is dropped, and nothing that the parent has buffered is written a second time.
pub(crate) fn end(code: i32) -> ! {
    // SAFETY: it has no conditions.
    unsafe { libc::_exit(code) }
}

impl Child {
    /// Waits for the end of the child. Returns the code of [`end`], or `None` if a signal has ended it.
    pub(crate) fn wait(self) -> io::Result<Option<i32>> {
        loop {
            match waitpid(Some(self.0), WaitOptions::empty()) {
                Err(rustix::io::Errno::INTR) | Ok(None) => {}
                Err(error) => return Err(error.into()),
                Ok(Some((_, status))) => return Ok(status.exit_status()),
            }
        }
    }
}
