//! A service and its descriptors in a poller of the `polling` crate, which asks for the promise that they are deleted before they
//! are closed.
//!
//! Descriptors are borrowed from the service each time that one is registered with the poller: none is made of a number that was noted
//! once, which by then may be that of something else.

use crate::service::{Service, Token};
use polling::{Event, PollMode, Poller};
use std::collections::HashSet;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::Arc;

/// What is in the poller.
#[derive(Debug)]
pub(super) struct Watched {
    poller: Arc<Poller>,
    mode: PollMode,
    tokens: HashSet<Token>,
}

impl Watched {
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

    /// Watches it for something else, or again.
    pub(super) fn set(&mut self, token: Token, fd: BorrowedFd<'_>, event: Event) -> io::Result<()> {
        if self.tokens.contains(&token) {
            self.poller.modify_with_mode(fd, event, self.mode)
        } else {
            self.add(token, fd, event)
        }
    }

    pub(super) fn delete(&mut self, token: Token, fd: BorrowedFd<'_>) {
        if self.tokens.remove(&token) {
            // It fails only for what the system does not have, which is what is wanted.
            let _ = self.poller.delete(fd);
        }
    }
}

/// A service with its descriptors in a poller. It is dropped after they were deleted there.
pub(super) struct Hosted<S: Service> {
    /// Dropped by `drop` or moved out by `into_service`, and by nothing else.
    service: ManuallyDrop<S>,
    watched: Watched,
}

impl<S: Service> Hosted<S> {
    pub(super) fn new(service: S, watched: Watched) -> Self {
        Self { service: ManuallyDrop::new(service), watched }
    }

    pub(super) fn service(&self) -> &S {
        &self.service
    }

    pub(super) fn service_mut(&mut self) -> &mut S {
        &mut self.service
    }

    pub(super) fn parts(&mut self) -> (&mut S, &mut Watched) {
        (&mut self.service, &mut self.watched)
    }

    /// Deletes every descriptor from the poller that the service has there.
    fn forget(&mut self) {
        let tokens: Vec<_> = self.watched.tokens.iter().copied().collect();
        for token in tokens {
            if let Some(fd) = self.service.descriptor(token) {
                self.watched.delete(token, fd);
            }
        }
    }

    /// Takes the service out. The poller has nothing of it any more.
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
