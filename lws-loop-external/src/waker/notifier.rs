//! A descriptor that becomes readable.

use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An eventfd, or a pair of sockets on systems without one.
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
        // The write fails only if the counter or the socket's buffer is full, and then the descriptor is readable
        // already.
        while rustix::io::write(self.writer(), &1_u64.to_ne_bytes()) == Err(Errno::INTR) {}
    }

    /// Empties the descriptor, so that it is no longer readable.
    pub(crate) fn acknowledge(&self) {
        let mut count = [0; 8];
        while rustix::io::read(&self.reader, &mut count) == Err(Errno::INTR) {}
    }
}
