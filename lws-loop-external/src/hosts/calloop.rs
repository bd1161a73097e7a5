//! A service as an event source of calloop.

use crate::clock::Clock;
use crate::one_descriptor::OneDescriptor;
use crate::service::Service;
use calloop::generic::Generic;
use calloop::timer::{TimeoutAction, Timer};
use calloop::{EventSource, Interest, Mode, Poll, PostAction, Readiness, Token, TokenFactory};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// A service as an event source, for [`LoopHandle::insert_source`](calloop::LoopHandle::insert_source), or for a
/// [`Dispatcher`](calloop::Dispatcher) if the program needs access to it later.
///
/// Its only event means that the service is done ([`Service::is_done`]): the loop drops the source after the
/// callback.
pub struct OnCalloop<S> {
    /// A second descriptor of the same epoll, as the loop takes ownership of what it watches.
    watched: Generic<OwnedFd>,
    /// The timer of the next deadline. It is lazy: a deadline that moves back sets it only when it fires.
    timer: Timer,
    one: OneDescriptor<S>,
    clock: Clock,
}

/// The longest sleep although nothing is due.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl<S: Service> OnCalloop<S> {
    /// Hosts a service.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn new(service: S) -> io::Result<Self> {
        let one = OneDescriptor::new(service)?;
        let watched = Generic::new(one.as_fd().try_clone_to_owned()?, Interest::READ, Mode::Level);
        Ok(Self { watched, timer: Timer::immediate(), one, clock: Clock::new() })
    }

    /// Calls `call` with the service, outside the service's own calls, and then gives it a turn.
    pub fn with<R>(&mut self, call: impl FnOnce(&mut S) -> R) -> R {
        self.one.with(self.clock.now(), call)
    }

    /// The clock whose time is passed to the service.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &S {
        self.one.service()
    }

    /// Gives the service back, for another host. Remove the source from its loop first.
    #[must_use]
    pub fn detach(self) -> S {
        self.one.detach()
    }
}

impl<S: Service> EventSource for OnCalloop<S> {
    type Event = ();
    type Metadata = S;
    type Ret = ();
    type Error = io::Error;

    fn process_events<F>(
        &mut self,
        readiness: Readiness,
        token: Token,
        mut callback: F,
    ) -> io::Result<PostAction>
    where
        F: FnMut((), &mut S),
    {
        let now = self.clock.now();
        let wait = self.one.dispatch(now);
        if self.one.is_done() {
            self.one.with(now, |service| callback((), service));
            return Ok(PostAction::Remove);
        }
        let sleep = wait.deadline().map_or(SLEEP_MAX, |at| (at - now).min(SLEEP_MAX));
        let next = Instant::now() + sleep;
        self.timer.process_events(readiness, token, |_, ()| TimeoutAction::ToInstant(next))?;
        if self.timer.current_deadline().is_some_and(|set| set <= next) {
            return Ok(PostAction::Continue);
        }
        self.timer.set_deadline(next);
        Ok(PostAction::Reregister)
    }

    fn register(&mut self, poll: &mut Poll, factory: &mut TokenFactory) -> calloop::Result<()> {
        self.timer.register(poll, factory)?;
        self.watched.register(poll, factory)
    }

    /// Registers the timer again, which has the first token each time. The watch of the descriptor does not change.
    fn reregister(&mut self, poll: &mut Poll, factory: &mut TokenFactory) -> calloop::Result<()> {
        self.timer.reregister(poll, factory)
    }

    fn unregister(&mut self, poll: &mut Poll) -> calloop::Result<()> {
        self.timer.unregister(poll)?;
        self.watched.unregister(poll)
    }
}

impl<S> fmt::Debug for OnCalloop<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnCalloop").field("one", &self.one).finish_non_exhaustive()
    }
}
