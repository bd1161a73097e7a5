//! A loop on io_uring: hosts services on Linux 6.1 and later, on processors of 64 bits.
//!
//! Each descriptor has one request in the ring, a poll that goes on until it is cancelled. One system call per turn hands the requests
//! over that the turn has caused, waits, and fetches what has completed; its timeout is the next deadline. Reading, writing and
//! accepting are the service's own system calls, as on every loop: the seam reports readiness.
//!
//! * A request keeps its descriptor open in the kernel. A service is allowed to close it when the request has completed for the last
//!   time, and a completion that was under way names something that has ended.
//! * A request that the kernel ends, because its queue of completions was full, is made anew, and then reports what the descriptor is
//!   ready for at that moment.
//! * Where there is no io_uring, [`UringLoop::new`] says why ([`Unavailable`]), and another loop can take the service.
//!
//! ```no_run
//! use lws_loop_external::{Application, Driver};
//! use lws_loop_uring::UringLoop;
//!
//! fn serve<A: Application>(service: Driver<A>) -> std::io::Result<()> {
//!     let mut uring_loop = UringLoop::new()?;
//!     uring_loop.add(service)?;
//!     uring_loop.run()?;
//!     Ok(())
//! }
//! ```

#[cfg(not(target_os = "linux"))]
compile_error!("io_uring is Linux's");

mod hosted;
mod sys;
mod unavailable;
mod watch;

pub use unavailable::{Reason, Unavailable};

use hosted::Hosted;
use lws_loop_external::{Clock, Interest, Service, Token, Wait};
use lws_proto::Time;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use sys::{Completion, Key, Request, Ring};

/// A loop for services of one type, or for boxed services of several types.
///
/// It belongs to one thread, on which it was made: the kernel accepts the requests of no other. Other threads use a [`Stopper`], and
/// the handles of services.
pub struct UringLoop<S: Service = Box<dyn Service>> {
    ring: Ring,
    /// What has completed, and was not handled yet.
    completed: VecDeque<Completion>,
    services: Vec<Option<Hosted<S>>>,
    stop: Arc<Stop>,
    clock: Clock,
    /// The time that is passed to the services in this turn.
    turn_begins: Time,
    /// How long the loop may sleep, if its services were settled and not used since.
    settled: Option<Wait>,
    /// A loop is not `Send`.
    thread: PhantomData<*const ()>,
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
}

/// Stops a loop, from inside a handler or from another thread.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<Stop>);

#[derive(Debug)]
struct Stop {
    asked: AtomicBool,
    /// Readable from the first call on, so that the wait ends.
    eventfd: OwnedFd,
}

impl Stopper {
    /// Ends [`UringLoop::run`] after its turn, or the next run at once if the loop does not run now.
    pub fn stop(&self) {
        self.0.asked.store(true, Ordering::Release);
        // The write fails only if the counter is full, and then the descriptor is readable already.
        while rustix::io::write(&self.0.eventfd, &1_u64.to_ne_bytes()) == Err(Errno::INTR) {}
    }
}

/// The completions that a ring has room for, 16 octets each.
const COMPLETIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4_095);
/// The longest sleep, so that the kernel has to convert no larger number.
const SLEEP_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The key of the request that watches [`Stop::eventfd`]: its tag is that of no service.
const STOP: Key = Key { tag: u8::MAX, token: Token::from_u64(0) };

impl<S: Service> UringLoop<S> {
    /// A loop with no services.
    ///
    /// # Errors
    /// The system has no io_uring, has one that is older than that of Linux 6.1, or forbids it; or it has no descriptor left.
    pub fn new() -> Result<Self, Unavailable> {
        Self::with_completions(COMPLETIONS)
    }

    /// A loop with no services, whose ring has room for this many completions, 4,096 unless one says otherwise; the kernel rounds it up to
    /// a power of two. The kernel keeps what finds no room, and it takes requests that are made anew: a small ring costs time and loses
    /// nothing.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn with_completions(completions: NonZeroU32) -> Result<Self, Unavailable> {
        let mut ring = Ring::new(completions.get())?;
        let eventfd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let eventfd = eventfd.map_err(|error| Unavailable::of(error.into()))?;
        ring.request(Request::Watch { fd: eventfd.as_raw_fd(), interest: Interest::READ, key: STOP });
        // A filter may allow io_uring_setup(2), and not this one.
        ring.enter(Some(Duration::ZERO)).map_err(Unavailable::of)?;
        Ok(Self {
            ring,
            completed: VecDeque::new(),
            services: Vec::new(),
            stop: Arc::new(Stop { asked: AtomicBool::new(false), eventfd }),
            clock: Clock::new(),
            turn_begins: Time::ZERO,
            settled: None,
            thread: PhantomData,
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
        self.services[index] = Some(Hosted::new(service, id));
        self.settled = None;
        Ok(ServiceId(id))
    }

    /// Removes a service and all its descriptors from the loop. Another loop can host it.
    pub fn remove(&mut self, id: ServiceId) -> Option<S> {
        self.settled = None;
        let service = self.services.get_mut(usize::from(id.0))?.take()?;
        Some(service.detach(&mut self.ring, &mut self.completed))
    }

    /// A service of this loop.
    #[must_use]
    pub fn service(&self, id: ServiceId) -> Option<&S> {
        self.services.get(usize::from(id.0))?.as_ref().map(Hosted::service)
    }

    /// A service of this loop. The next turn carries out what it was asked for.
    #[must_use]
    pub fn service_mut(&mut self, id: ServiceId) -> Option<&mut S> {
        self.settled = None;
        self.services.get_mut(usize::from(id.0))?.as_mut().map(Hosted::service_mut)
    }

    /// A handle that stops this loop.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stop))
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
            // The program may do something else for long after this turn, so the services are settled now.
            self.settled = Some(self.settle_services());
        }
        Ok(outcome)
    }

    /// Runs one turn without sleeping.
    ///
    /// # Errors
    /// Fetching completions fails. The services are as they were.
    pub fn dispatch(&mut self) -> io::Result<Option<Outcome>> {
        self.run_once(Some(Duration::ZERO))
    }

    /// Dispatches for at most about `time`, whatever the options of the services say; the services share that time. For the rest of a
    /// frame, in a program that draws.
    ///
    /// # Errors
    /// Those of [`dispatch`](Self::dispatch).
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

    /// Settles the services, waits, and handles completions. The clock is read once, after the wait, so a deadline can be late by the
    /// length of the last turn.
    fn turn(&mut self, limit: Option<Duration>) -> io::Result<Option<Outcome>> {
        // Services that were settled at the end of the last turn are not settled again.
        let wait = match self.settled.take() {
            Some(wait) => wait,
            None => self.settle_services(),
        };
        if self.stop.asked.swap(false, Ordering::AcqRel) {
            return Ok(Some(Outcome::Stopped));
        }
        // A service that finds itself in the child of a fork(2) is done, so such a child never gets to the ring, which is its parent's.
        if self.services.iter().flatten().all(|service| service.service().is_done()) {
            return Ok(Some(Outcome::Done));
        }
        // What completed while another service was removed is here already.
        let at_once = (!self.completed.is_empty()).then_some(Duration::ZERO);
        let timeout = [wait.timeout(self.turn_begins), limit, at_once].into_iter().flatten().min();
        self.ring.enter(timeout.map(|timeout| timeout.min(SLEEP_MAX)))?;
        self.ring.collect(&mut self.completed);
        self.turn_begins = self.now();
        self.hand_out();
        Ok(None)
    }

    fn settle_services(&mut self) -> Wait {
        let mut wait = Wait::Forever;
        for service in self.services.iter_mut().flatten() {
            wait = wait.earliest(service.settle(&mut self.ring, self.turn_begins));
        }
        wait
    }

    fn hand_out(&mut self) {
        while let Some(completion) = self.completed.pop_front() {
            if let Some(Some(service)) = self.services.get_mut(usize::from(completion.key.tag)) {
                service.complete(&mut self.ring, completion, self.turn_begins);
            } else if completion.key == STOP {
                self.acknowledge_stop(completion);
            }
        }
    }

    /// Handles a completion of the request that watches the eventfd of the stop.
    #[cold]
    fn acknowledge_stop(&mut self, completion: Completion) {
        let eventfd = &self.stop.eventfd;
        // Nothing is in it if two completions report one stop.
        while rustix::io::read(eventfd, &mut [0; 8]) == Err(Errno::INTR) {}
        if !completion.more {
            let fd = eventfd.as_raw_fd();
            self.ring.request(Request::Watch { fd, interest: Interest::READ, key: STOP });
        }
    }
}

impl<S: Service> Drop for UringLoop<S> {
    /// Detaches the services: requests of a ring that is closed end some time later, and keep their descriptors open until then.
    fn drop(&mut self) {
        for service in self.services.drain(..).flatten() {
            drop(service.detach(&mut self.ring, &mut self.completed));
        }
    }
}

impl<S: Service> fmt::Debug for UringLoop<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.services.iter().flatten().count();
        f.debug_struct("UringLoop")
            .field("now", &self.now())
            .field("services", &services)
            .finish_non_exhaustive()
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
