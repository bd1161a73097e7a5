//! A service in a loop on mio. Each descriptor is registered once, edge-triggered.

use super::each;
use super::numbers::{Numbers, TAG_SHIFT};
use crate::service::{Change, Interest, Readiness, Service, Trigger, Wait};
use lws_proto::Time;
use mio::Registry;
use mio::event::Event;
use mio::unix::SourceFd;
use std::os::fd::AsRawFd;

/// A service whose descriptors are in the registry of a [`mio::Poll`].
///
/// In each turn: [`settle`](Self::settle), the wait, and [`handle`](Self::handle) for each event.
#[derive(Debug)]
pub struct OnMio<S> {
    service: S,
    numbers: Numbers,
}

impl<S: Service> OnMio<S> {
    /// Hosts a service. `tag` is in the eight highest bits of every [`mio::Token`] of the service: no other service
    /// in the loop, and no token of the program, may have the same number there.
    pub fn new(mut service: S, tag: u8) -> Self {
        service.attach(Trigger::Edge);
        Self { service, numbers: Numbers::new(tag) }
    }

    /// The number in the eight highest bits of a token.
    #[must_use]
    #[inline]
    pub fn tag_of(token: mio::Token) -> u8 {
        (token.0 >> TAG_SHIFT) as u8
    }

    /// Settles the service, and applies its changes to the registry. Returns how long the loop may sleep.
    pub fn settle(&mut self, registry: &Registry, now: Time) -> Wait {
        let numbers = &mut self.numbers;
        each::settle(&mut self.service, now, |change, _| match change {
            Change::Add { token, fd, interest } => {
                let number = mio::Token(numbers.of(token));
                let add = |interests| registry.register(&mut SourceFd(&fd), number, interests);
                interests(interest).map_or(Ok(()), add).inspect_err(|_| numbers.release(token))
            }
            Change::Modify { token, fd, interest } => {
                let number = mio::Token(numbers.of(token));
                let modify = |interests| registry.reregister(&mut SourceFd(&fd), number, interests);
                interests(interest).map_or(Ok(()), modify)
            }
            Change::Remove { token, fd } => {
                numbers.release(token);
                registry.deregister(&mut SourceFd(&fd))
            }
        })
    }

    /// Handles an event of this service. Returns false if the event is not of this service.
    #[inline]
    pub fn handle(&mut self, event: &Event, now: Time) -> bool {
        let token = self.numbers.token(event.token().0);
        if let Some(token) = token {
            self.service.handle_ready(now, token, readiness(event));
        }
        token.is_some()
    }

    /// Removes the service from the registry, and returns it for another host.
    pub fn detach(mut self, registry: &Registry) -> S {
        each::detach(&mut self.service, |descriptor| {
            // Deregistering fails for descriptors that were never registered, which is fine.
            let _ = registry.deregister(&mut SourceFd(&descriptor.as_raw_fd()));
        });
        self.service
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &S {
        &self.service
    }

    /// The service. Call [`settle`](Self::settle) afterwards, which carries out what the service was asked for.
    #[must_use]
    pub fn service_mut(&mut self) -> &mut S {
        &mut self.service
    }
}

fn interests(interest: Interest) -> Option<mio::Interest> {
    let read = interest.contains(Interest::READ).then_some(mio::Interest::READABLE);
    let write = interest.contains(Interest::WRITE).then_some(mio::Interest::WRITABLE);
    match (read, write) {
        (Some(read), Some(write)) => Some(read | write),
        (read, write) => read.or(write),
    }
}

#[inline]
fn readiness(event: &Event) -> Readiness {
    Readiness::READABLE.when(event.is_readable())
        | Readiness::WRITABLE.when(event.is_writable())
        | Readiness::HANG_UP.when(event.is_read_closed())
        | Readiness::ERROR.when(event.is_error())
}
