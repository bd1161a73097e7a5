//! A service in a task on the reactor of `async-io`: smol's, and that of every executor without one.

use crate::clock::Clock;
use crate::one_descriptor::OneDescriptor;
use crate::service::Service;
use async_io::{Async, Timer};
use lws_proto::Time;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;

/// A service that a task serves: [`run`](Self::run) to the end of the service, or [`turn`](Self::turn) by turn among what
/// else the task waits for.
///
/// A task that serves moves between threads if the service can. Otherwise let it run where it was made, in `block_on` or
/// a local executor.
pub struct OnAsyncIo<S> {
    /// A second descriptor of the same epoll, as the reactor takes ownership of what it watches.
    watched: Async<OwnedFd>,
    one: OneDescriptor<S>,
    clock: Clock,
    timer: Timer,
    /// The time for which the timer is set. The timer is left alone when the deadline moves back, which is the usual
    /// change: a superfluous turn now and then costs less than setting the timer in each.
    armed: Option<Time>,
}

impl<S: Service> OnAsyncIo<S> {
    /// Hosts a service.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn new(service: S) -> io::Result<Self> {
        let one = OneDescriptor::new(service)?;
        let watched = Async::new_nonblocking(one.as_fd().try_clone_to_owned()?)?;
        Ok(Self { watched, one, clock: Clock::new(), timer: Timer::never(), armed: None })
    }

    /// Waits until the service has something to do, and does it. Nothing is lost if the future is dropped before.
    ///
    /// # Errors
    /// The reactor cannot watch the descriptor.
    pub async fn turn(&mut self) -> io::Result<()> {
        if let Some(at) = self.one.wait().deadline()
            && self.armed.is_none_or(|armed| at < armed)
        {
            self.timer.set_after(at - self.clock.now());
            self.armed = Some(at);
        }
        poll_fn(|cx| {
            if self.armed.is_some() && Pin::new(&mut self.timer).poll(cx).is_ready() {
                self.armed = None;
                return Ok(()).into();
            }
            self.watched.poll_readable(cx)
        })
        .await?;
        self.one.dispatch(self.clock.now());
        self.one.check()
    }

    /// Serves until nothing will ever happen again: see [`Service::is_done`]. Nothing is lost if the future is dropped
    /// before.
    ///
    /// # Errors
    /// The reactor cannot watch the descriptor.
    pub async fn run(&mut self) -> io::Result<()> {
        while !self.one.is_done() {
            self.turn().await?;
        }
        Ok(())
    }

    /// Calls `call` with the service, between turns, and then gives it a turn.
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

    /// Gives the service back, for another host.
    #[must_use]
    pub fn detach(self) -> S {
        self.one.detach()
    }
}

impl<S> fmt::Debug for OnAsyncIo<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnAsyncIo").field("one", &self.one).finish_non_exhaustive()
    }
}
