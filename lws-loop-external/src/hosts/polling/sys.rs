//! A service and its descriptors in a poller of the `polling` crate, whose `add` is unsafe: descriptors must be deleted
//! before they are closed.
//!
//! Descriptors are borrowed from the service each time that one is registered: none is made from a stored number, which
//! another descriptor may have by then.

use crate::service::{Service, Token};
use polling::{Event, PollMode, Poller};
use std::collections::HashSet;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::Arc;

/// The descriptors that are in the poller.
#[derive(Debug)]
pub(super) struct PollerEntries {
    poller: Arc<Poller>,
    mode: PollMode,
    tokens: HashSet<Token>,
}

impl PollerEntries {
    pub(super) fn new(poller: Arc<Poller>, mode: PollMode) -> Self {
        Self { poller, mode, tokens: HashSet::new() }
    }

    pub(super) fn add(&mut self, token: Token, fd: BorrowedFd<'_>, event: Event) -> io::Result<()> {
        // SAFETY: a service keeps a descriptor open until it hears that its host has let go, before which the host calls `delete`;
        // and until it is dropped, before which `Hosted` deletes all of them. A service that breaks its word harms no
        // memory: the poller keeps a number, of which the system forgets what it meant when it is closed.
        unsafe { self.poller.add_with_mode(fd.as_raw_fd(), event, self.mode)? };
        self.tokens.insert(token);
        Ok(())
    }

    /// Changes what a descriptor is watched for, or arms it again.
    pub(super) fn set(&mut self, token: Token, fd: BorrowedFd<'_>, event: Event) -> io::Result<()> {
        if self.tokens.contains(&token) {
            self.poller.modify_with_mode(fd, event, self.mode)
        } else {
            self.add(token, fd, event)
        }
    }

    pub(super) fn delete(&mut self, token: Token, fd: BorrowedFd<'_>) {
        if self.tokens.remove(&token) {
            // It fails only if the system does not have the descriptor, which is the result that is wanted.
            let _ = self.poller.delete(fd);
        }
    }
}

/// A service with its descriptors in a poller. They are deleted from the poller before the service is dropped.
pub(super) struct Hosted<S: Service> {
    /// Dropped by `drop` or moved out by `into_service`, and nowhere else.
    service: ManuallyDrop<S>,
    watched: PollerEntries,
}

impl<S: Service> Hosted<S> {
    pub(super) fn new(service: S, watched: PollerEntries) -> Self {
        Self { service: ManuallyDrop::new(service), watched }
    }

    pub(super) fn service(&self) -> &S {
        &self.service
    }

    pub(super) fn service_mut(&mut self) -> &mut S {
        &mut self.service
    }

    pub(super) fn parts(&mut self) -> (&mut S, &mut PollerEntries) {
        (&mut self.service, &mut self.watched)
    }

    /// Deletes every descriptor of the service from the poller. In the child of a fork(2) none, as what the system watches is the parent's;
    /// there the child closes its copies, and the parent's stay open.
    fn forget(&mut self) {
        if self.service.is_forked() {
            return self.watched.tokens.clear();
        }
        let tokens: Vec<_> = self.watched.tokens.iter().copied().collect();
        for token in tokens {
            if let Some(fd) = self.service.descriptor(token) {
                self.watched.delete(token, fd);
            }
        }
    }

    /// Deletes every descriptor from the poller, and returns the service.
    pub(super) fn into_service(mut self) -> S {
        self.forget();
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is never dropped and not used again, so that each of its two fields is dropped or moved out once.
        unsafe {
            ptr::drop_in_place(&raw mut this.watched);
            ManuallyDrop::take(&mut this.service)
        }
    }
}

impl<S: Service> Drop for Hosted<S> {
    fn drop(&mut self) {
        self.forget();
        // SAFETY: nothing uses it after this, and `into_service` leaves nothing to be dropped.
        unsafe { ManuallyDrop::drop(&mut self.service) };
    }
}
