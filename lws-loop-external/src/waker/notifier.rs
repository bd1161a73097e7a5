//! A descriptor that becomes readable.

use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An eventfd, or a socket pair where that is not to be had.
pub(crate) struct Notifier {
    reader: OwnedFd,
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    writer: OwnedFd,
}

impl Notifier {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    pub(crate) fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        Ok(Self { reader: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = std::os::unix::net::UnixStream::pair()?;
        reader.set_nonblocking(true)?;
        writer.set_nonblocking(true)?;
        Ok(Self { reader: reader.into(), writer: writer.into() })
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn writer(&self) -> impl AsFd + '_ {
        &self.reader
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    fn writer(&self) -> impl AsFd + '_ {
        &self.writer
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }

    /// Makes the descriptor readable.
    pub(crate) fn notify(&self) {
        // A full counter or pipe is readable already, and nothing else can fail.
        while rustix::io::write(self.writer(), &1_u64.to_ne_bytes()) == Err(Errno::INTR) {}
    }

    /// Makes it readable no longer.
    pub(crate) fn acknowledge(&self) {
        let mut count = [0; 8];
        while rustix::io::read(&self.reader, &mut count) == Err(Errno::INTR) {}
    }
}
