//! The descriptors in a poller of the `polling` crate, which asks for the promise that they are deleted before they are
//! closed.

use polling::{Event, PollMode, Poller};
use std::collections::HashSet;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;

/// Descriptors of a service, which is dropped after this.
#[derive(Debug)]
pub(super) struct Watched {
    poller: Arc<Poller>,
    mode: PollMode,
    fds: HashSet<RawFd>,
}

impl Watched {
    pub(super) fn new(poller: Arc<Poller>, mode: PollMode) -> Self {
        Self { poller, mode, fds: HashSet::new() }
    }

    pub(super) fn add(&mut self, fd: RawFd, event: Event) -> io::Result<()> {
        // SAFETY: the service keeps it open until it hears that its host has let go, before which the host calls
        // `delete`; and until it is dropped, before which this is.
        unsafe { self.poller.add_with_mode(fd, event, self.mode)? };
        self.fds.insert(fd);
        Ok(())
    }

    /// Watches it for something else, or again.
    pub(super) fn set(&mut self, fd: RawFd, event: Event) -> io::Result<()> {
        match self.descriptor(fd) {
            Some(descriptor) => self.poller.modify_with_mode(descriptor, event, self.mode),
            None => self.add(fd, event),
        }
    }

    pub(super) fn delete(&mut self, fd: RawFd) {
        if let Some(descriptor) = self.descriptor(fd) {
            // It fails only for what the system does not have, which is what is wanted.
            let _ = self.poller.delete(descriptor);
            self.fds.remove(&fd);
        }
    }

    fn descriptor(&self, fd: RawFd) -> Option<BorrowedFd<'_>> {
        // SAFETY: what is in the set is open, as `add` tells.
        self.fds.contains(&fd).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let fds: Vec<_> = self.fds.iter().copied().collect();
        fds.into_iter().for_each(|fd| self.delete(fd));
    }
}
