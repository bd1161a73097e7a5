//! A descriptor that becomes readable.

use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// An eventfd, or a socket pair where that is not to be had.
pub(crate) struct Bell {
    listen: OwnedFd,
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    pull: OwnedFd,
}

impl Bell {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    pub(crate) fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        Ok(Self { listen: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    pub(crate) fn new() -> io::Result<Self> {
        let (listen, pull) = std::os::unix::net::UnixStream::pair()?;
        listen.set_nonblocking(true)?;
        pull.set_nonblocking(true)?;
        Ok(Self { listen: listen.into(), pull: pull.into() })
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn pull(&self) -> impl AsFd + '_ {
        &self.listen
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    fn pull(&self) -> impl AsFd + '_ {
        &self.pull
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.listen.as_fd()
    }

    pub(crate) fn ring(&self) {
        // A full counter or pipe is readable already, and nothing else can fail.
        while rustix::io::write(self.pull(), &1_u64.to_ne_bytes()) == Err(Errno::INTR) {}
    }

    pub(crate) fn hush(&self) {
        let mut count = [0; 8];
        while rustix::io::read(&self.listen, &mut count) == Err(Errno::INTR) {}
    }
}
