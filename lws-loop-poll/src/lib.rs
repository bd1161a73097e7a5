//! The built-in loop: hosts services on epoll or kqueue, through mio.
//!
//! One system call per wait. A connection is registered once, edge-triggered, and never again; the clock is read once
//! per turn. [`Threads`] runs a loop on each of several threads. Knows no sockets and no protocols, only the [`Service`] seam.
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

#[cfg(not(target_pointer_width = "64"))]
compile_error!("a token of this loop is a 64-bit number");

mod signals;
mod threads;

pub use signals::Signals;
pub use threads::{Threads, ThreadsStopper};

use lws_loop_external::{Change, Interest, Readiness, Service, Token, Trigger, Wait};
use lws_proto::Time;
use mio::event::Event;
use mio::unix::SourceFd;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A loop for one kind of service, or for several kinds in boxes.
///
/// It belongs to one thread. What other threads may touch is a [`Stopper`], and the handle of a service.
pub struct PollLoop<S: Service = Box<dyn Service>> {
    poll: mio::Poll,
    events: mio::Events,
    services: Vec<Option<S>>,
    stop: Arc<Stop>,
    signals: Option<Signals>,
    /// A signal that came and was not reported yet.
    signalled: Option<i32>,
    epoch: Instant,
    /// What the services are told in this turn.
    turn_begins: Time,
}

/// Names one service of a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServiceId(u8);

/// Why a loop has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// [`Stopper::stop`] was called. The services are as they were; the loop can run again.
    Stopped,
    /// Every service was drained and is done, or there is none.
    Done,
    /// This signal of [`PollLoop::watch_signals`] came. The services do not know of it; the loop can run again.
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
    /// Ends [`PollLoop::run`] after its turn, or the next one at once if it does not run now.
    pub fn stop(&self) {
        self.0.asked.store(true, Ordering::Release);
        // It fails only if the loop's own descriptors are gone, and the loop with them.
        let _ = self.0.waker.wake();
    }
}

/// Descriptors that one wait reports at most.
const EVENTS: usize = 1_024;
/// A sleep is no longer than a day, whatever the system makes of larger numbers.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Where the number of a service stands in a token.
const SERVICE_SHIFT: u32 = Token::BITS;
/// The number that no service has: tokens of the loop itself.
const OWN: usize = 0xff << SERVICE_SHIFT;

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
            epoch: Instant::now(),
            turn_begins: Time::ZERO,
        })
    }

    /// Hosts a service.
    ///
    /// # Errors
    /// There are 255 already.
    pub fn add(&mut self, mut service: S) -> io::Result<ServiceId> {
        let free = self.services.iter().position(Option::is_none);
        let index = free.unwrap_or(self.services.len());
        let id = u8::try_from(index).ok().filter(|id| *id != u8::MAX);
        let id =
            id.ok_or_else(|| io::Error::new(io::ErrorKind::QuotaExceeded, "255 services are the most"))?;
        service.attach(Trigger::Edge);
        if free.is_none() {
            self.services.push(None);
        }
        self.services[index] = Some(service);
        Ok(ServiceId(id))
    }

    /// Hosts a service no longer, and leaves none of its descriptors behind. Another loop can host it.
    pub fn remove(&mut self, id: ServiceId) -> Option<S> {
        let mut service = self.services.get_mut(usize::from(id.0))?.take()?;
        // What it announces to a new host is what this one has.
        service.attach(Trigger::Edge);
        while let Some(change) = service.poll_change() {
            match change {
                Change::Add { fd, .. } | Change::Modify { fd, .. } => {
                    // It fails for what was never flushed to this loop.
                    let _ = self.poll.registry().deregister(&mut SourceFd(&fd));
                }
                Change::Remove { token, .. } => service.removed(token),
            }
        }
        Some(service)
    }

    /// A service of this loop.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&S> {
        self.services.get(usize::from(id.0))?.as_ref()
    }

    /// A service of this loop. What it is given to do is done in the next turn.
    #[must_use]
    pub fn service_mut(&mut self, id: ServiceId) -> Option<&mut S> {
        self.services.get_mut(usize::from(id.0))?.as_mut()
    }

    /// What stops this loop.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stop))
    }

    /// Lets `run` end with [`Outcome::Signal`] when one of these comes, in place of those watched before.
    ///
    /// # Errors
    /// The descriptors cannot be watched.
    pub fn watch_signals(&mut self, signals: Signals) -> io::Result<()> {
        for (index, fd) in signals.descriptors().enumerate() {
            let token = mio::Token(OWN | (index + 1));
            self.poll.registry().register(&mut SourceFd(&fd), token, mio::Interest::READABLE)?;
        }
        self.signals = Some(signals);
        Ok(())
    }

    /// The time of this loop: now, and not when its turn began.
    #[must_use]
    pub fn now(&self) -> Time {
        let elapsed = self.epoch.elapsed();
        Time::from_micros(elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros()))
    }

    /// Runs until there is a reason not to. Sleeps when there is nothing to do.
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

    /// Runs one turn, which sleeps for `timeout` at most; `None` is as long as there is nothing to do.
    ///
    /// # Errors
    /// The wait fails. The services are as they were.
    pub fn run_once(&mut self, timeout: Option<Duration>) -> io::Result<Option<Outcome>> {
        self.turn_begins = self.now();
        let outcome = self.turn(timeout)?;
        if outcome.is_none() {
            // Whoever runs another loop around this one may sleep there for long.
            self.settle_services();
        }
        Ok(outcome)
    }

    /// Does what can be done now, and never sleeps.
    ///
    /// # Errors
    /// The look at the descriptors fails. The services are as they were.
    pub fn dispatch(&mut self) -> io::Result<Option<Outcome>> {
        self.run_once(Some(Duration::ZERO))
    }

    /// Settles, waits, and hands out what is ready. The clock is read once, after the wait: a deadline can be late by as
    /// long as the turn before it took.
    fn turn(&mut self, limit: Option<Duration>) -> io::Result<Option<Outcome>> {
        let wait = self.settle_services();
        if self.stop.asked.swap(false, Ordering::AcqRel) {
            return Ok(Some(Outcome::Stopped));
        }
        if let Some(signal) = self.signalled.take() {
            return Ok(Some(Outcome::Signal(signal)));
        }
        if self.services.iter().flatten().all(Service::is_done) {
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

    /// Lets every service do what is due, and tells the system what they want watched. Answers how long this loop may
    /// sleep.
    ///
    /// For a loop around this one: it waits until the descriptor of this loop is readable or that time is over, and then
    /// calls [`dispatch`](Self::dispatch).
    pub fn settle(&mut self) -> Wait {
        self.turn_begins = self.now();
        self.settle_services()
    }

    fn settle_services(&mut self) -> Wait {
        let mut wait = Wait::Forever;
        let registry = self.poll.registry();
        for (index, service) in self.services.iter_mut().enumerate() {
            let Some(service) = service else { continue };
            let mut own = service.settle(self.turn_begins);
            if flush(registry, service, index) {
                own = service.settle(self.turn_begins);
                if flush(registry, service, index) {
                    own = Wait::Now;
                }
            }
            wait = wait.earliest(own);
        }
        wait
    }

    fn hand_out(&mut self) {
        for event in &self.events {
            let token = event.token().0;
            let index = token >> SERVICE_SHIFT;
            if let Some(Some(service)) = self.services.get_mut(index) {
                service.handle_ready(self.turn_begins, Token::from_u64(token as u64), readiness(event));
            } else if let (Some(signals), Some(index)) =
                (&self.signals, (token & !OWN).checked_sub(1).filter(|_| token & OWN == OWN))
            {
                self.signalled = signals.take(index).or(self.signalled);
            }
        }
    }
}

/// Does what the changes of a service say. True if the service may have more to do because of them.
fn flush<S: Service>(registry: &mio::Registry, service: &mut S, index: usize) -> bool {
    let number = |token: Token| mio::Token(index << SERVICE_SHIFT | token.as_u64() as usize);
    let mut again = false;
    while let Some(change) = service.poll_change() {
        let (token, result) = match change {
            Change::Add { token, fd, interest } => {
                let add = |interests| registry.register(&mut SourceFd(&fd), number(token), interests);
                (token, interests(interest).map_or(Ok(()), add))
            }
            Change::Modify { token, fd, interest } => {
                let modify = |interests| registry.reregister(&mut SourceFd(&fd), number(token), interests);
                (token, interests(interest).map_or(Ok(()), modify))
            }
            Change::Remove { token, fd } => {
                // It fails for what was refused.
                let _ = registry.deregister(&mut SourceFd(&fd));
                service.removed(token);
                again = true;
                continue;
            }
        };
        if let Err(error) = result {
            service.refused(token, error);
            again = true;
        }
    }
    again
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
