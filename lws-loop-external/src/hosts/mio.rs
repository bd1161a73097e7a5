//! A service in a loop on mio: each descriptor in its registry, edge-triggered, once.

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
    /// Hosts a service under a number that no other service in the loop has. `tag` is in the eight highest bits of
    /// every [`mio::Token`] of the service, so the program's own tokens must have another number there.
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

    /// Does what is due, and tells the registry what is to be watched. Answers how long the loop may sleep.
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

    /// Hands over an event of this service. False if it is of something else.
    #[inline]
    pub fn handle(&mut self, event: &Event, now: Time) -> bool {
        let token = self.numbers.token(event.token().0);
        if let Some(token) = token {
            self.service.handle_ready(now, token, readiness(event));
        }
        token.is_some()
    }

    /// Leaves nothing of the service in the registry. Another loop can host it.
    pub fn detach(mut self, registry: &Registry) -> S {
        each::detach(&mut self.service, |descriptor| {
            // It fails for what was never flushed to this registry.
            let _ = registry.deregister(&mut SourceFd(&descriptor.as_raw_fd()));
        });
        self.service
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &S {
        &self.service
    }

    /// The service. What it is given to do is done by the next [`settle`](Self::settle).
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
