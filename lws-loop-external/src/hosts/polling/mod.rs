//! A service in a loop on the `polling` crate. Each descriptor is added to its poller, in any of its modes.

#[allow(unsafe_code)]
mod sys;

use super::each;
use super::numbers::Numbers;
use crate::service::{Change, Interest, Readiness, Service, Trigger, Wait};
use lws_proto::Time;
use polling::{Event, PollMode, Poller};
use std::fmt;
use std::io;
use std::sync::Arc;
use sys::{Hosted, PollerEntries};

/// A service whose descriptors are in a [`Poller`].
///
/// In each turn: [`settle`](Self::settle), the wait, and [`handle`](Self::handle) for each event.
pub struct OnPolling<S: Service> {
    hosted: Hosted<S>,
    trigger: Trigger,
    numbers: Numbers,
}

impl<S: Service> OnPolling<S> {
    /// Hosts a service. `tag` is less than 255, and is in the eight highest bits of every key of the service: no other
    /// service in the poller, and no key of the program, may have the same number there. The cheapest trigger is
    /// [`Trigger::Edge`].
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] if the poller has no such mode here.
    pub fn new(mut service: S, poller: Arc<Poller>, trigger: Trigger, tag: u8) -> io::Result<Self> {
        let (mode, supported) = match trigger {
            Trigger::Level => (PollMode::Level, poller.supports_level()),
            Trigger::Edge => (PollMode::Edge, poller.supports_edge()),
            Trigger::OneShot => (PollMode::Oneshot, true),
        };
        if !supported {
            return Err(io::ErrorKind::Unsupported.into());
        }
        service.attach(trigger);
        let hosted = Hosted::new(service, PollerEntries::new(poller, mode));
        Ok(Self { hosted, trigger, numbers: Numbers::new(tag) })
    }

    /// Settles the service, and applies its changes to the poller. Returns how long the loop may sleep.
    pub fn settle(&mut self, now: Time) -> Wait {
        let Self { hosted, numbers, .. } = self;
        let (service, watched) = hosted.parts();
        let event = |number: usize, interest: Interest| {
            let (read, write) = (interest.contains(Interest::READ), interest.contains(Interest::WRITE));
            Event::new(number, read, write)
        };
        each::settle(service, now, |change, fd| match change {
            // The poller reports a hang-up of every descriptor in it, so one without interest is not added.
            Change::Add { interest: Interest::NONE, .. } => Ok(()),
            Change::Modify { token, interest: Interest::NONE, .. } => {
                watched.delete(token, fd);
                Ok(())
            }
            Change::Remove { token, .. } => {
                numbers.release(token);
                watched.delete(token, fd);
                Ok(())
            }
            Change::Add { token, interest, .. } => {
                let added = watched.add(token, fd, event(numbers.of(token), interest));
                added.inspect_err(|_| numbers.release(token))
            }
            Change::Modify { token, interest, .. } => {
                watched.set(token, fd, event(numbers.of(token), interest))
            }
        })
    }

    /// Handles an event of this service. Returns false if the event is not of this service.
    pub fn handle(&mut self, event: &Event, now: Time) -> bool {
        let token = self.numbers.token(event.key);
        if let Some(token) = token {
            // The peer's end is reported as input. With edge triggers one report covers both, so a read has to go
            // on to the end.
            let end = event.is_interrupt() || event.readable && self.trigger == Trigger::Edge;
            let ready = Readiness::READABLE.when(event.readable)
                | Readiness::WRITABLE.when(event.writable)
                | Readiness::HANG_UP.when(end)
                | Readiness::ERROR.when(event.is_err() == Some(true));
            self.hosted.service_mut().handle_ready(now, token, ready);
        }
        token.is_some()
    }

    /// Removes the service from the poller, and returns it for another host.
    pub fn detach(self) -> S {
        let mut service = self.hosted.into_service();
        // The poller has none of the descriptors any more, so there is nothing to forget.
        each::detach(&mut service, |_| ());
        service
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &S {
        self.hosted.service()
    }

    /// The service. Call [`settle`](Self::settle) afterwards, which carries out what the service was asked for.
    #[must_use]
    pub fn service_mut(&mut self) -> &mut S {
        self.hosted.service_mut()
    }
}

impl<S: Service> fmt::Debug for OnPolling<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnPolling").field("trigger", &self.trigger).finish_non_exhaustive()
    }
}
