//! A service in a loop on the `polling` crate: each descriptor in its poller, in any of its modes.

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
use sys::{Hosted, Watched};

/// A service whose descriptors are in a [`Poller`].
///
/// In each turn: [`settle`](Self::settle), the wait, and [`handle`](Self::handle) for each event.
pub struct OnPolling<S: Service> {
    hosted: Hosted<S>,
    trigger: Trigger,
    numbers: Numbers,
}

impl<S: Service> OnPolling<S> {
    /// Hosts a service under a number that no other service in the poller has, and that is less than 255: it is in the
    /// eight highest bits of every key of the service, so the program's own keys must have another number there. The
    /// cheapest trigger is [`Trigger::Edge`].
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
        let hosted = Hosted::new(service, Watched::new(poller, mode));
        Ok(Self { hosted, trigger, numbers: Numbers::new(tag) })
    }

    /// Does what is due, and tells the poller what is to be watched. Answers how long the loop may sleep.
    pub fn settle(&mut self, now: Time) -> Wait {
        let Self { hosted, numbers, .. } = self;
        let (service, watched) = hosted.parts();
        let event = |number: usize, interest: Interest| {
            let (read, write) = (interest.contains(Interest::READ), interest.contains(Interest::WRITE));
            Event::new(number, read, write)
        };
        each::settle(service, now, |change, fd| match change {
            // A hang-up is reported of whatever is in the poller, so what has no interest is not.
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

    /// Hands over an event of this service. False if it is of something else.
    pub fn handle(&mut self, event: &Event, now: Time) -> bool {
        let token = self.numbers.token(event.key);
        if let Some(token) = token {
            // The peer's end comes as input, and a second edge does not follow the one that reported both.
            let end = event.is_interrupt() || event.readable && self.trigger == Trigger::Edge;
            let ready = Readiness::READABLE.when(event.readable)
                | Readiness::WRITABLE.when(event.writable)
                | Readiness::HANG_UP.when(end)
                | Readiness::ERROR.when(event.is_err() == Some(true));
            self.hosted.service_mut().handle_ready(now, token, ready);
        }
        token.is_some()
    }

    /// Leaves nothing of the service in the poller. Another loop can host it.
    pub fn detach(self) -> S {
        let mut service = self.hosted.into_service();
        // The poller has none of the descriptors any more, also of those that are still to be removed.
        each::detach(&mut service, |_| ());
        service
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &S {
        self.hosted.service()
    }

    /// The service. What it is given to do is done by the next [`settle`](Self::settle).
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
