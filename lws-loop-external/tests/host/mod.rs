//! An auditing host for any application, with each trigger: poll(2), and epoll's three modes, on a clock that a test
//! can move forward.

use lws_loop_external::{
    Application, Change, ConnectionId, Driver, DriverContext, DriverOptions, Interest, Readiness, Service,
    Token, Trigger, Wait,
};
use lws_proto::Time;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::HashMap;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// The way in which a host polls and reports readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Poll,
    Level,
    Edge,
    OneShot,
}

impl Delivery {
    pub(crate) const ALL: [Self; 4] = [Self::Poll, Self::Level, Self::Edge, Self::OneShot];

    fn trigger(self) -> Trigger {
        match self {
            Self::Poll | Self::Level => Trigger::Level,
            Self::Edge => Trigger::Edge,
            Self::OneShot => Trigger::OneShot,
        }
    }
}

impl From<Trigger> for Delivery {
    fn from(trigger: Trigger) -> Self {
        match trigger {
            Trigger::Level => Self::Level,
            Trigger::Edge => Self::Edge,
            Trigger::OneShot => Self::OneShot,
        }
    }
}

/// An application that counts its calls.
pub(crate) trait Counted: Application {
    /// The number of calls so far.
    fn calls(&self) -> u64;

    /// Whether other threads send messages to the application, which may arrive while its host audits.
    fn receives_from_threads(&self) -> bool {
        false
    }

    /// The log of the application, for the message of a failing test.
    fn describe(&self) -> String {
        format!("after {} calls", self.calls())
    }
}

pub(crate) struct Host<A: Counted> {
    pub(crate) driver: Driver<A>,
    delivery: Delivery,
    epoll: OwnedFd,
    entries: HashMap<Token, (RawFd, Interest)>,
    epoch: Instant,
    skipped: Duration,
    /// Whether time passes only by [`skip`](Self::skip).
    frozen: bool,
    /// Whether audits are off, because answers of a resolver's thread may arrive at any moment and would look like
    /// work that was left.
    pub(crate) unaudited: bool,
    /// Every change that the service has made.
    pub(crate) changes: Vec<Change>,
}

impl<A: Counted> Host<A> {
    pub(crate) fn new(delivery: impl Into<Delivery>, application: A, options: DriverOptions) -> Self {
        Self::of(Driver::new(application, options).expect("a driver"), delivery)
    }

    /// Takes over a driver from another host, with a new clock.
    pub(crate) fn of(mut driver: Driver<A>, delivery: impl Into<Delivery>) -> Self {
        let delivery = delivery.into();
        driver.attach(delivery.trigger());
        Self {
            driver,
            delivery,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll descriptor"),
            entries: HashMap::new(),
            epoch: Instant::now(),
            skipped: Duration::ZERO,
            frozen: false,
            unaudited: false,
            changes: Vec::new(),
        }
    }

    /// Moves the service to another host, with the same clock.
    pub(crate) fn moved_to(self, delivery: Delivery) -> Self {
        let Self { driver, epoch, skipped, frozen, .. } = self;
        Self { epoch, skipped, frozen, ..Self::of(driver, delivery) }
    }

    pub(crate) fn app(&self) -> &A {
        self.driver.application()
    }

    pub(crate) fn with<R>(&mut self, call: impl FnOnce(&mut A, &mut DriverContext<'_, A>) -> R) -> R {
        let now = self.now();
        self.driver.with(now, call)
    }

    pub(crate) fn now(&self) -> Time {
        let elapsed = if self.frozen { Duration::ZERO } else { self.epoch.elapsed() };
        Time::ZERO + elapsed + self.skipped
    }

    /// Time passes only by [`skip`](Self::skip) from now on.
    pub(crate) fn freeze(&mut self) {
        self.skipped += self.epoch.elapsed();
        self.frozen = true;
    }

    /// Lets time pass.
    pub(crate) fn skip(&mut self, duration: Duration) {
        self.skipped += duration;
    }

    /// Descriptors that are watched, without the waker's.
    pub(crate) fn watched(&self) -> usize {
        self.entries.len() - 1
    }

    /// Runs turns until `done`, and fails if that takes too long.
    #[track_caller]
    pub(crate) fn until(&mut self, done: impl FnMut(&mut Self) -> bool) {
        let turn = |host: &mut Self| host.turn(Duration::from_millis(20));
        test_kit::turn_until(self, done, turn, |host| host.app().describe());
    }

    /// Runs turns until the service sleeps and nothing is ready. Returns the number of turns.
    pub(crate) fn rest(&mut self) -> usize {
        let mut turns = 1;
        while self.turn_is_busy(Duration::from_millis(10)) {
            turns += 1;
        }
        turns
    }

    /// Runs one turn, which waits no longer than `longest`.
    pub(crate) fn turn(&mut self, longest: Duration) {
        self.turn_is_busy(longest);
    }

    /// Runs one turn: settle, apply changes, audit, wait, report. Returns whether anything was ready, or is left to
    /// do.
    fn turn_is_busy(&mut self, longest: Duration) -> bool {
        let now = self.now();
        let wait = self.driver.settle(now);
        let wait = if self.flush() { self.driver.settle(now) } else { wait };
        self.flush();
        if wait != Wait::Now && !self.unaudited {
            self.audit(now, wait);
        }
        let timeout = wait.timeout(self.now()).map_or(longest, |timeout| timeout.min(longest));
        let ready = self.wait(timeout);
        for (token, ready) in &ready {
            let now = self.now();
            self.driver.handle_ready(now, *token, *ready);
        }
        !ready.is_empty() || wait == Wait::Now
    }

    /// Checks that a service that lets its host sleep has nothing more to do at that moment.
    fn audit(&mut self, now: Time, wait: Wait) {
        let calls = self.app().calls();
        let again = self.driver.settle(now);
        assert!(!self.flush(), "a change was left when the host went to sleep");
        if self.app().calls() == calls {
            assert_eq!(again, wait, "the service was not done when the host went to sleep");
        } else {
            assert!(self.app().receives_from_threads(), "an event was left when the host went to sleep");
        }
        if let Wait::Until(at) = wait {
            assert!(at > now, "a due timer was left when the host went to sleep");
        }
    }

    pub(crate) fn flush(&mut self) -> bool {
        let mut any = false;
        while let Some(change) = self.driver.poll_change() {
            any = true;
            self.apply(change);
        }
        any
    }

    fn apply(&mut self, change: Change) {
        self.changes.push(change);
        match change {
            Change::Add { token, fd, interest } => {
                assert!(self.entries.values().all(|(other, _)| *other != fd), "{fd} was watched already");
                assert_eq!(self.entries.insert(token, (fd, interest)), None, "added twice");
                self.watch(token, interest);
            }
            Change::Modify { token, fd, interest } => {
                let before = self.entries.insert(token, (fd, interest));
                assert_eq!(before.map(|(fd, _)| fd), Some(fd), "modified before it was added");
                assert_ne!(self.delivery, Delivery::Edge, "an edge is registered once");
                self.watch(token, interest);
            }
            Change::Remove { token, fd } => {
                let before = self.entries.remove(&token);
                assert_eq!(before.map(|(fd, _)| fd), Some(fd), "removed before it was added");
                let descriptor = self.driver.descriptor(token).expect("open until the host has let go");
                let _ = epoll::delete(&self.epoll, descriptor);
                self.driver.removed(token);
                assert!(self.driver.descriptor(token).is_none(), "closed once the host has let go");
            }
        }
    }

    fn watch(&mut self, token: Token, interest: Interest) {
        if self.delivery == Delivery::Poll {
            return;
        }
        let descriptor = self.driver.descriptor(token).expect("a descriptor");
        let _ = epoll::delete(&self.epoll, descriptor);
        let mut flags = match self.delivery {
            Delivery::Poll | Delivery::Level => EventFlags::empty(),
            Delivery::Edge => EventFlags::ET,
            Delivery::OneShot => EventFlags::ONESHOT,
        };
        flags.set(EventFlags::IN | EventFlags::RDHUP, interest.contains(Interest::READ));
        flags.set(EventFlags::OUT, interest.contains(Interest::WRITE));
        let data = EventData::new_u64(token.as_u64());
        if !interest.is_empty()
            && let Err(error) = epoll::add(&self.epoll, descriptor, data, flags)
        {
            assert_eq!(error, rustix::io::Errno::PERM, "only what cannot be watched is refused");
            self.entries.remove(&token);
            self.driver.refused(token, error.into());
        }
    }

    /// Refuses to watch a descriptor any more.
    pub(crate) fn refuse(&mut self, id: ConnectionId) {
        let token = Token::from_u64(id.as_u64());
        assert!(self.entries.remove(&token).is_some(), "it was watched");
        let _ = epoll::delete(&self.epoll, self.driver.descriptor(token).expect("a descriptor"));
        self.driver.refused(token, io::ErrorKind::PermissionDenied.into());
    }

    /// Waits as a loop does.
    pub(crate) fn wait(&self, timeout: Duration) -> Vec<(Token, Readiness)> {
        if self.delivery == Delivery::Poll { self.poll(timeout) } else { self.epoll(timeout) }
    }

    fn poll(&self, timeout: Duration) -> Vec<(Token, Readiness)> {
        let wanted: Vec<_> = self.entries.iter().filter(|(_, (_, interest))| !interest.is_empty()).collect();
        let mut descriptors: Vec<_> = wanted
            .iter()
            .map(|(token, (_, interest))| {
                let mut flags = PollFlags::empty();
                flags.set(PollFlags::IN, interest.contains(Interest::READ));
                flags.set(PollFlags::OUT, interest.contains(Interest::WRITE));
                PollFd::from_borrowed_fd(self.driver.descriptor(**token).expect("a descriptor"), flags)
            })
            .collect();
        let timeout = timeout.try_into().expect("a short time");
        poll(&mut descriptors, Some(&timeout)).expect("a wait");
        let reported = |(descriptor, (token, _)): (&PollFd<'_>, &(&Token, _))| {
            let flags = descriptor.revents();
            let ready = Readiness::READABLE.when(flags.contains(PollFlags::IN))
                | Readiness::WRITABLE.when(flags.contains(PollFlags::OUT))
                | Readiness::HANG_UP.when(flags.contains(PollFlags::HUP))
                | Readiness::ERROR.when(flags.intersects(PollFlags::ERR | PollFlags::NVAL));
            (!ready.is_empty()).then_some((**token, ready))
        };
        descriptors.iter().zip(&wanted).filter_map(reported).collect()
    }

    fn epoll(&self, timeout: Duration) -> Vec<(Token, Readiness)> {
        let mut events = Vec::with_capacity(256);
        let timeout = timeout.try_into().expect("a short time");
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) => {}
            Err(error) => assert_eq!(error, rustix::io::Errno::INTR),
        }
        let reported = |event: &epoll::Event| {
            let flags = event.flags;
            let ready = Readiness::READABLE.when(flags.contains(EventFlags::IN))
                | Readiness::WRITABLE.when(flags.contains(EventFlags::OUT))
                | Readiness::HANG_UP.when(flags.intersects(EventFlags::RDHUP | EventFlags::HUP))
                | Readiness::ERROR.when(flags.contains(EventFlags::ERR));
            (Token::from_u64(event.data.u64()), ready)
        };
        events.iter().map(reported).collect()
    }
}
