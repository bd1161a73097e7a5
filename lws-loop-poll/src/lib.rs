//! The built-in loop: hosts services on epoll or kqueue, through mio.
//!
//! A wait is one system call. A connection is registered once, edge-triggered; the clock is read once per turn.
//! [`Threads`] runs a loop on each of several threads. Knows no sockets and no protocols, only the [`Service`] seam.
//!
//! ```no_run
//! use lws_loop_external::{Application, Driver};
//! use lws_loop_poll::PollLoop;
//!
//! fn serve<A: Application>(service: Driver<A>) -> std::io::Result<()> {
//!     let mut poll_loop = PollLoop::new()?;
//!     poll_loop.add(service)?;
//!     poll_loop.run()?;
//!     Ok(())
//! }
//! ```
#![forbid(unsafe_code)]

#[cfg(feature = "signals")]
mod signals;
#[cfg(not(feature = "signals"))]
#[path = "no_signals.rs"]
mod signals;
mod threads;

#[cfg(feature = "signals")]
pub use signals::Signals;
pub use threads::{Threads, ThreadsStopper};

use lws_loop_external::hosts::OnMio;
use lws_loop_external::{Clock, Service, Wait};
use lws_proto::Time;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A loop for services of one type, or for boxed services of several types.
///
/// It belongs to one thread. Other threads use a [`Stopper`], and the handles of services.
pub struct PollLoop<S: Service = Box<dyn Service>> {
    poll: mio::Poll,
    events: mio::Events,
    services: Vec<Option<OnMio<S>>>,
    stop: Arc<Stop>,
    signals: Option<signals::Signals>,
    /// A caught signal that was not reported yet.
    signalled: Option<i32>,
    clock: Clock,
    /// The time that is passed to the services in this turn.
    turn_begins: Time,
    /// How long the loop may sleep, if its services were settled and not used since.
    settled: Option<Wait>,
}

/// Names one service of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServiceId(u8);

/// Why a run of the loop has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// [`Stopper::stop`] was called. The services are as they were; the loop can run again.
    Stopped,
    /// Every service was drained and is done, or there is none.
    Done,
    /// A signal of `PollLoop::watch_signals` (feature `signals`) was caught. The services are not informed; the loop
    /// can run again.
    Signal(i32),
}

/// Stops a loop, from inside a handler or from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Stop>);

#[derive(Debug)]
struct Stop {
    asked: AtomicBool,
    waker: mio::Waker,
}

impl Stopper {
    /// Ends [`PollLoop::run`] after its turn, or the next run at once if the loop does not run now.
    pub fn stop(&self) {
        self.0.asked.store(true, Ordering::Release);
        // Waking fails only if the loop's descriptors are closed, and then the loop is gone.
        let _ = self.0.waker.wake();
    }
}

/// The most descriptors that one wait reports.
const EVENTS: usize = 1_024;
/// The longest sleep, so that no system has to convert a larger number.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The tag of the loop's own tokens, which no service has.
const OWN: usize = 0xff << (usize::BITS - 8);

impl<S: Service> PollLoop<S> {
    /// A loop with no services.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let waker = mio::Waker::new(poll.registry(), mio::Token(OWN))?;
        Ok(Self {
            poll,
            events: mio::Events::with_capacity(EVENTS),
            services: Vec::new(),
            stop: Arc::new(Stop { asked: AtomicBool::new(false), waker }),
            signals: None,
            signalled: None,
            clock: Clock::new(),
            turn_begins: Time::ZERO,
            settled: None,
        })
    }

    /// Hosts a service.
    ///
    /// # Errors
    /// The loop has 255 services already.
    pub fn add(&mut self, service: S) -> io::Result<ServiceId> {
        let free = self.services.iter().position(Option::is_none);
        let index = free.unwrap_or(self.services.len());
        let id = u8::try_from(index).ok().filter(|id| *id != u8::MAX);
        let id =
            id.ok_or_else(|| io::Error::new(io::ErrorKind::QuotaExceeded, "255 services are the most"))?;
        if free.is_none() {
            self.services.push(None);
        }
        self.services[index] = Some(OnMio::new(service, id));
        self.settled = None;
        Ok(ServiceId(id))
    }

    /// Removes a service and all its descriptors from the loop. Another loop can host it.
    pub fn remove(&mut self, id: ServiceId) -> Option<S> {
        self.settled = None;
        let service = self.services.get_mut(usize::from(id.0))?.take()?;
        Some(service.detach(self.poll.registry()))
    }

    /// A service of this loop.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&S> {
        self.services.get(usize::from(id.0))?.as_ref().map(OnMio::service)
    }

    /// A service of this loop. The next turn carries out what it was asked for.
    #[must_use]
    pub fn service_mut(&mut self, id: ServiceId) -> Option<&mut S> {
        self.settled = None;
        self.services.get_mut(usize::from(id.0))?.as_mut().map(OnMio::service_mut)
    }

    /// A handle that stops this loop.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stop))
    }

    /// Makes `run` end with [`Outcome::Signal`] when one of these signals is caught. Replaces the signals of the
    /// last call.
    ///
    /// # Errors
    /// The descriptors cannot be watched.
    #[cfg(feature = "signals")]
    pub fn watch_signals(&mut self, signals: Signals) -> io::Result<()> {
        for (index, fd) in signals.descriptors().enumerate() {
            let token = mio::Token(OWN | (index + 1));
            self.poll.registry().register(&mut mio::unix::SourceFd(&fd), token, mio::Interest::READABLE)?;
        }
        self.signals = Some(signals);
        Ok(())
    }

    /// Takes the signals of [`watch_signals`](Self::watch_signals) back. One that comes from here on does what it does by default, so that
    /// a second Ctrl-C ends a program that is draining.
    #[cfg(feature = "signals")]
    pub fn unwatch_signals(&mut self) {
        // Their descriptors close, and with that the system forgets them.
        self.signals = None;
    }

    /// The current time of this loop, and not that of the beginning of its turn.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.now()
    }

    /// Runs until one of the reasons in [`Outcome`]. Sleeps when there is nothing to do.
    ///
    /// # Errors
    /// The wait fails. The services are as they were.
    pub fn run(&mut self) -> io::Result<Outcome> {
        self.turn_begins = self.now();
        loop {
            if let Some(outcome) = self.turn(None)? {
                return Ok(outcome);
            }
        }
    }

    /// Runs one turn, which sleeps for at most `timeout`; with `None` it sleeps until there is something to do.
    ///
    /// # Errors
    /// The wait fails. The services are as they were.
    pub fn run_once(&mut self, timeout: Option<Duration>) -> io::Result<Option<Outcome>> {
        self.turn_begins = self.now();
        let outcome = self.turn(timeout)?;
        if outcome.is_none() {
            // A program that embeds this loop in another one may sleep there for long after this turn, so the
            // services are settled now.
            self.settled = Some(self.settle_services());
        }
        Ok(outcome)
    }

    /// Dispatches for at most about `time`, whatever the options of the services say; the services share that time. For
    /// the rest of a frame, in a program that draws.
    ///
    /// # Errors
    /// As [`dispatch`](Self::dispatch).
    pub fn dispatch_within(&mut self, time: Duration) -> io::Result<Option<Outcome>> {
        let count = u32::try_from(self.services.iter().flatten().count()).unwrap_or(u32::MAX).max(1);
        self.limit_turns(Some(time / count));
        let outcome = self.dispatch();
        self.limit_turns(None);
        outcome
    }

    fn limit_turns(&mut self, time: Option<Duration>) {
        for service in self.services.iter_mut().flatten() {
            service.service_mut().limit_turn(time);
        }
    }

    /// Runs one turn without sleeping.
    ///
    /// # Errors
    /// Polling the descriptors fails. The services are as they were.
    pub fn dispatch(&mut self) -> io::Result<Option<Outcome>> {
        self.run_once(Some(Duration::ZERO))
    }

    /// Settles the services, waits, and reports readiness to them. The clock is read once, after the wait, so a
    /// deadline can be late by the length of the last turn.
    fn turn(&mut self, limit: Option<Duration>) -> io::Result<Option<Outcome>> {
        // Services that were settled at the end of the last turn are not settled again.
        let wait = match self.settled.take() {
            Some(wait) => wait,
            None => self.settle_services(),
        };
        if self.stop.asked.swap(false, Ordering::AcqRel) {
            return Ok(Some(Outcome::Stopped));
        }
        if let Some(signal) = self.signalled.take() {
            return Ok(Some(Outcome::Signal(signal)));
        }
        if self.services.iter().flatten().all(|service| service.service().is_done()) {
            return Ok(Some(Outcome::Done));
        }
        let timeout = [wait.timeout(self.turn_begins), limit].into_iter().flatten().min();
        match self.poll.poll(&mut self.events, timeout.map(|timeout| timeout.min(SLEEP_MAX))) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        self.turn_begins = self.now();
        self.hand_out();
        Ok(None)
    }

    /// Settles every service, and registers what they want watched. Returns how long this loop may sleep.
    ///
    /// For a loop that embeds this one: it waits until the descriptor of this loop is readable or that time has passed,
    /// and then calls [`dispatch`](Self::dispatch).
    pub fn settle(&mut self) -> Wait {
        self.turn_begins = self.now();
        self.settle_services()
    }

    fn settle_services(&mut self) -> Wait {
        let registry = self.poll.registry();
        let mut wait = Wait::Forever;
        for service in self.services.iter_mut().flatten() {
            wait = wait.earliest(service.settle(registry, self.turn_begins));
        }
        wait
    }

    fn hand_out(&mut self) {
        for event in &self.events {
            let token = event.token();
            let index = usize::from(OnMio::<S>::tag_of(token));
            if let Some(Some(service)) = self.services.get_mut(index) {
                service.handle(event, self.turn_begins);
            } else if let (Some(signals), Some(index)) =
                (&self.signals, (token.0 & !OWN).checked_sub(1).filter(|_| token.0 & OWN == OWN))
            {
                self.signalled = signals.take(index).or(self.signalled);
            }
        }
    }
}

impl<S: Service> AsFd for PollLoop<S> {
    /// Readable when [`dispatch`](PollLoop::dispatch) has something to do. See [`PollLoop::settle`].
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.poll.registry().as_fd()
    }
}

impl<S: Service> AsRawFd for PollLoop<S> {
    /// As [`as_fd`](AsFd::as_fd).
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl<S: Service> fmt::Debug for PollLoop<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.services.iter().flatten().count();
        f.debug_struct("PollLoop")
            .field("now", &self.now())
            .field("services", &services)
            .finish_non_exhaustive()
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
