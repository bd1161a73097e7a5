//! One descriptor that stands for all descriptors of a service, for loops that can watch a descriptor and keep a
//! deadline.
//!
//! It is an epoll or kqueue of the service's own, and costs one system call more per wake-up than a loop that watches
//! each descriptor.

use crate::hosts::OnMio;
use crate::service::{Service, Wait};
use lws_proto::Time;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// A service behind one descriptor, which its host watches for reading, and one deadline.
///
/// The host calls [`dispatch`](Self::dispatch) when the descriptor is readable, and when the time that the last call
/// returned has passed. In between, it reaches the service through [`with`](Self::with).
///
/// The descriptor is also readable while there is work that no socket announces ([`Wait::Now`]), when a deadline has
/// become earlier than the one that the host knows, and when the service is done. So a host that keeps to the
/// [`Wait::Until`] of the last dispatch misses nothing, whether it is level-triggered, edge-triggered or one-shot: a
/// dispatch takes everything that was ready, or makes the descriptor readable again.
pub struct OneDescriptor<S> {
    poll: mio::Poll,
    events: mio::Events,
    events_max: usize,
    waker: mio::Waker,
    on_mio: OnMio<S>,
    wait: Wait,
    /// Whether the program has closed the descriptor.
    closed: bool,
}

/// The default of the most descriptors that one dispatch handles.
const EVENTS: usize = 1_024;
const TAG: u8 = 0;
/// A token that no service has.
const WAKER: mio::Token = mio::Token(usize::MAX);

impl<S: Service> OneDescriptor<S> {
    /// Hosts a service. The descriptor is readable at once, for the first dispatch.
    ///
    /// # Errors
    /// The system has no descriptor left: two are needed.
    pub fn new(service: S) -> io::Result<Self> {
        Self::with_events(service, EVENTS)
    }

    /// Hosts a service, and handles at most `events` ready descriptors in one dispatch, and at least one; the others
    /// follow in the next dispatch. The default is 1,024.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_events(service: S, events: usize) -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), WAKER)?;
        waker.wake()?;
        let events_max = events.max(1);
        let events = mio::Events::with_capacity(events_max);
        Ok(Self {
            poll,
            events,
            events_max,
            waker,
            on_mio: OnMio::new(service, TAG),
            wait: Wait::Now,
            closed: false,
        })
    }

    /// Does the work that can be done now, and never sleeps. Returns how long the host may sleep if the descriptor
    /// does not become readable before.
    pub fn dispatch(&mut self, now: Time) -> Wait {
        if self.closed {
            return self.wait;
        }
        let looked = self.poll.poll(&mut self.events, Some(Duration::ZERO));
        if let Err(error) = &looked
            && error.kind() != io::ErrorKind::Interrupted
        {
            // Polling one's own epoll fails only if it was closed.
            self.give_up();
            return self.wait;
        }
        let mut count = 0;
        for event in &self.events {
            self.on_mio.handle(event, now);
            count += 1;
        }
        self.wait = self.on_mio.settle(self.poll.registry(), now);
        // After an interruption by a signal, everything that was ready is still to be reported.
        if looked.is_err() || count >= self.events_max {
            self.wait = Wait::Now;
        }
        if self.wait == Wait::Now {
            self.wake();
        }
        self.wait
    }

    /// Dispatches for at most about `time`, whatever the options of the service say: for the rest of a frame, in a
    /// program that draws. The descriptor stays readable if there is more to do.
    pub fn dispatch_within(&mut self, now: Time, time: Duration) -> Wait {
        self.on_mio.service_mut().limit_turn(Some(time));
        let wait = self.dispatch(now);
        self.on_mio.service_mut().limit_turn(None);
        wait
    }

    /// Calls `call` with the service, then gives the service a turn, and returns the result of `call`.
    pub fn with<R>(&mut self, now: Time, call: impl FnOnce(&mut S) -> R) -> R {
        let result = call(self.on_mio.service_mut());
        let wait = self.on_mio.settle(self.poll.registry(), now);
        if wait.earliest(self.wait) != self.wait || self.is_done() {
            self.wake();
        }
        self.wait = wait.earliest(self.wait);
        result
    }

    /// How long the host may sleep, as the last dispatch returned it.
    #[must_use]
    pub fn wait(&self) -> Wait {
        self.wait
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &S {
        self.on_mio.service()
    }

    /// Fails if the program has closed the descriptor, which belongs to the service: dispatches do nothing then, and
    /// the service should be dropped. The next dispatch after the close notices it.
    ///
    /// # Errors
    /// The descriptor was closed.
    pub fn check(&self) -> io::Result<()> {
        if self.closed {
            return Err(io::Error::other("the program has closed the descriptor of a service that it hosts"));
        }
        Ok(())
    }

    /// Whether nothing will ever happen again: see [`Service::is_done`].
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.service().is_done()
    }

    /// Gives the service back, for another host.
    #[must_use]
    pub fn detach(self) -> S {
        self.on_mio.detach(self.poll.registry())
    }

    /// The descriptor is not ours any more: its number may be another's by now, which is not closed with this.
    #[cold]
    fn give_up(&mut self) {
        self.closed = true;
        self.wait = Wait::Forever;
        if let Ok(other) = mio::Poll::new() {
            std::mem::forget(std::mem::replace(&mut self.poll, other));
        }
    }

    /// Makes the descriptor readable.
    fn wake(&self) {
        // mio empties a waker whose counter is full, and nothing else can fail.
        let _ = self.waker.wake();
    }
}

impl<S> AsFd for OneDescriptor<S> {
    /// The descriptor to watch, for reading only.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.registry().as_fd()
    }
}

impl<S> AsRawFd for OneDescriptor<S> {
    /// As [`as_fd`](AsFd::as_fd).
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl<S> fmt::Debug for OneDescriptor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneDescriptor").field("wait", &self.wait).finish_non_exhaustive()
    }
}
