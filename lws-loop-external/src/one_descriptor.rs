//! Everything that a service waits for behind one descriptor, for loops that can watch one and know a deadline.
//!
//! An epoll or kqueue of its own. It costs one system call more per wake-up than a loop that watches each descriptor.

use crate::hosts::OnMio;
use crate::service::{Service, Wait};
use lws_proto::Time;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

/// A service that shows its host one descriptor to watch for reading, and one deadline.
///
/// The host calls [`dispatch`](Self::dispatch) when the descriptor is readable, and when the time that the call before
/// answered is over. Whatever it does with the service in between, it does through [`with`](Self::with).
///
/// While there is work that no socket announces the descriptor is readable too, so that a host that heeds no
/// [`Wait::Now`] loses nothing. Level-triggered, edge-triggered and one-shot hosts are all served: a dispatch takes
/// everything that was ready, or leaves the descriptor readable anew.
pub struct OneDescriptor<S> {
    poll: mio::Poll,
    events: mio::Events,
    bell: mio::Waker,
    on_mio: OnMio<S>,
    wait: Wait,
}

/// Descriptors that one dispatch hands out at most.
const EVENTS: usize = 1_024;
const TAG: u8 = 0;
/// A token that no service has.
const BELL: mio::Token = mio::Token(usize::MAX);

impl<S: Service> OneDescriptor<S> {
    /// Hosts a service. The descriptor is readable at once, for the first dispatch.
    ///
    /// # Errors
    /// The system has no descriptor left: two are needed.
    pub fn new(service: S) -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let bell = mio::Waker::new(poll.registry(), BELL)?;
        bell.wake()?;
        let events = mio::Events::with_capacity(EVENTS);
        Ok(Self { poll, events, bell, on_mio: OnMio::new(service, TAG), wait: Wait::Now })
    }

    /// Does what can be done now, and never sleeps. Answers how long the host may sleep if the descriptor does not
    /// become readable before.
    ///
    /// # Errors
    /// The look at the descriptors fails. The service is as it was.
    pub fn dispatch(&mut self, now: Time) -> io::Result<Wait> {
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Ok(()) => {}
            // Nothing was taken, so the descriptor is as readable as before: but an edge has gone by.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.bell.wake()?,
            Err(error) => return Err(error),
        }
        let mut count = 0;
        for event in &self.events {
            self.on_mio.handle(event, now);
            count += 1;
        }
        // A full list may not be the whole of it.
        self.settle(now, count >= EVENTS);
        Ok(self.wait)
    }

    /// Lends the service, does what it was given to do, and answers what the call answers. The host may have to sleep
    /// less than it was told before: see [`wait`](Self::wait).
    pub fn with<R>(&mut self, now: Time, call: impl FnOnce(&mut S) -> R) -> R {
        let result = call(self.on_mio.service_mut());
        self.settle(now, false);
        result
    }

    /// How long the host may sleep if the descriptor does not become readable before.
    #[must_use]
    pub fn wait(&self) -> Wait {
        self.wait
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &S {
        self.on_mio.service()
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

    fn settle(&mut self, now: Time, more: bool) {
        self.wait = self.on_mio.settle(self.poll.registry(), now);
        if more || self.wait == Wait::Now {
            self.wait = Wait::Now;
            // It cannot fail: a bell that was rung often is emptied by mio.
            let _ = self.bell.wake();
        }
    }
}

impl<S> AsFd for OneDescriptor<S> {
    /// To be watched for reading only.
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
