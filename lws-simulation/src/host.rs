//! The host of one service: it uses the freedom that hosts have in reporting readiness, and checks every rule of
//! the seam.
//!
//! Knows the seam and the world, and not what the service does.

use crate::ledger::Shared;
use crate::plan::Delivery;
use crate::random::Random;
use crate::run::Oracle;
use crate::world::World;
use lws_loop_external::{Change, Interest, Readiness, Service, Token, Trigger, Wait};
use lws_proto::Time;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A violation by a service.
pub(crate) type Fault = (Oracle, String);

/// The host of one service.
pub(crate) struct Host {
    name: &'static str,
    trigger: Trigger,
    lets_go_late: bool,
    watched: BTreeMap<Token, Watched>,
    /// Descriptors that the service has removed, with the times at which the host lets go of them.
    leaving: Vec<(Time, Token)>,
    /// Tokens of released descriptors, for spurious reports.
    gone: Vec<Token>,
    random: Random,
    /// The last answer of `settle`.
    pub(crate) wait: Wait,
    /// The most calls of the application during one report of readiness.
    pub(crate) busiest: u64,
    /// The most calls of the application during any other call of the service.
    pub(crate) busiest_settle: u64,
    /// The number of messages of other threads that were delivered.
    posts: Arc<AtomicU64>,
}

struct Watched {
    number: RawFd,
    interest: Interest,
    /// Whether a one-shot host may report it.
    armed: bool,
    /// Whether an edge-triggered host still has to poll it, or has a delayed report.
    pending: bool,
    /// The time before which it is not reported.
    not_before: Time,
}

/// The number of released tokens that are kept for spurious reports.
const GONE_MAX: usize = 64;

impl Host {
    pub(crate) fn new(
        name: &'static str,
        delivery: Delivery,
        lets_go_late: bool,
        random: Random,
        posts: Arc<AtomicU64>,
        service: &mut dyn Service,
    ) -> Self {
        let trigger = match delivery {
            Delivery::Level => Trigger::Level,
            Delivery::Edge => Trigger::Edge,
            Delivery::OneShot => Trigger::OneShot,
        };
        service.attach(trigger);
        Self {
            name,
            trigger,
            lets_go_late,
            watched: BTreeMap::new(),
            leaving: Vec::new(),
            gone: Vec::new(),
            random,
            wait: Wait::Now,
            busiest: 0,
            busiest_settle: 0,
            posts,
        }
    }

    /// Settles the service, and applies its changes.
    pub(crate) fn settle(
        &mut self,
        service: &mut dyn Service,
        world: &Rc<RefCell<World>>,
        ledger: &Shared,
    ) -> Result<(), Fault> {
        let now = world.borrow().now;
        self.let_go(service, now);
        let before = self.callbacks(ledger);
        self.wait = service.settle(now);
        self.busiest_settle = self.busiest_settle.max(self.callbacks(ledger) - before);
        let let_go = self.flush(service, now)?;
        if let_go {
            self.wait = Wait::Now;
        }
        if self.wait != Wait::Now && self.random.chance(60) {
            self.audit(service, world, ledger)?;
        }
        Ok(())
    }

    /// Checks that a service that lets its host sleep has nothing to do: another `settle` must do nothing.
    fn audit(
        &mut self,
        service: &mut dyn Service,
        world: &Rc<RefCell<World>>,
        ledger: &Shared,
    ) -> Result<(), Fault> {
        let (now, calls) = (world.borrow().now, world.borrow().calls);
        let callbacks = self.callbacks(ledger);
        let again = service.settle(now);
        let change = service.poll_change();
        let idle = change.is_none()
            && world.borrow().calls == calls
            && self.callbacks(ledger) == callbacks
            && again == self.wait;
        if idle {
            return Ok(());
        }
        let text = format!(
            "the {} lets its host sleep ({:?}) and has work: {again:?}, {change:?}, {} system calls",
            self.name,
            self.wait,
            world.borrow().calls - calls
        );
        Err((Oracle::Order, text))
    }

    /// Counts the calls of the application during one call of the service.
    fn timed<R>(&mut self, ledger: &Shared, call: impl FnOnce() -> R) -> R {
        let before = self.callbacks(ledger);
        let result = call();
        self.busiest = self.busiest.max(self.callbacks(ledger) - before);
        result
    }

    fn callbacks(&self, ledger: &Shared) -> u64 {
        ledger.borrow().callbacks + self.posts.load(Ordering::Relaxed)
    }

    fn let_go(&mut self, service: &mut dyn Service, now: Time) {
        let due = self.leaving.iter().filter(|(at, _)| *at <= now).map(|(_, token)| *token);
        let due: Vec<Token> = due.collect();
        self.leaving.retain(|(at, _)| *at > now);
        for token in due {
            self.forget(token);
            service.removed(token);
        }
    }

    fn forget(&mut self, token: Token) {
        self.watched.remove(&token);
        if self.gone.len() == GONE_MAX {
            self.gone.remove(0);
        }
        self.gone.push(token);
    }

    /// Applies the changes of the service. Returns true if a descriptor was released, after which the service may
    /// have more to do.
    fn flush(&mut self, service: &mut dyn Service, now: Time) -> Result<bool, Fault> {
        let mut let_go = false;
        while let Some(change) = service.poll_change() {
            let name = self.name;
            let wrong = |what: &str| Err((Oracle::Order, format!("the {name} {what}: {change:?}")));
            match change {
                Change::Add { token, fd, interest } => {
                    let watched =
                        Watched { number: fd, interest, armed: true, pending: true, not_before: Time::ZERO };
                    if self.watched.insert(token, watched).is_some() {
                        return wrong("adds what is watched already");
                    }
                }
                Change::Modify { token, interest, .. } => match self.watched.get_mut(&token) {
                    Some(_) if self.trigger == Trigger::Edge => return wrong("modifies an edge"),
                    Some(watched) => {
                        watched.interest = interest;
                        watched.armed = true;
                    }
                    None => return wrong("modifies what is not watched"),
                },
                Change::Remove { token, .. } => {
                    if !self.watched.contains_key(&token) {
                        return wrong("removes what is not watched");
                    }
                    if self.leaving.iter().any(|(_, other)| *other == token) {
                        return wrong("removes twice");
                    }
                    if self.lets_go_late && self.random.chance(700) {
                        let delay = Duration::from_micros(self.random.magnitude(1, 5_000));
                        self.leaving.push((now + delay, token));
                    } else {
                        self.forget(token);
                        service.removed(token);
                        let_go = true;
                    }
                }
            }
        }
        Ok(let_go)
    }

    /// The next time at which the host has something to do by itself.
    pub(crate) fn wakes(&self) -> Option<Time> {
        let leaving = self.leaving.iter().map(|(at, _)| *at);
        let late = self.watched.values().filter(|it| it.pending || it.armed).map(|it| it.not_before);
        leaving.chain(late.filter(|at| *at > Time::ZERO)).min()
    }

    /// Reports ready descriptors. Returns true if there were any.
    pub(crate) fn report(
        &mut self,
        service: &mut dyn Service,
        world: &Rc<RefCell<World>>,
        ledger: &Shared,
    ) -> bool {
        let mut ready = self.ready(service, &mut world.borrow_mut());
        let spurious = world.borrow().weather.spurious;
        if !self.watched.is_empty() && self.random.chance(spurious) {
            let tokens: Vec<Token> = self.watched.keys().copied().chain(self.gone.iter().copied()).collect();
            if let Some(token) = self.random.pick(&tokens) {
                ready.push((*token, Readiness::READABLE | Readiness::WRITABLE));
            }
        }
        let any = !ready.is_empty();
        while !ready.is_empty() {
            let (token, readiness) = ready.swap_remove(self.random.below(ready.len() as u64) as usize);
            let now = world.borrow().now;
            self.timed(ledger, || service.handle_ready(now, token, readiness));
        }
        any
    }

    fn ready(&mut self, service: &dyn Service, world: &mut World) -> Vec<(Token, Readiness)> {
        let now = world.now;
        let mut ready = Vec::new();
        for (token, watched) in &mut self.watched {
            if !world.is_socket(watched.number) {
                // The waker is a real descriptor, which the world does not know.
                if service.descriptor(*token).is_some_and(is_readable) {
                    ready.push((*token, Readiness::READABLE));
                }
                continue;
            }
            if self.trigger == Trigger::Edge {
                watched.pending |= world.take_edge(watched.number);
            }
            let silent = match self.trigger {
                Trigger::Edge => !watched.pending,
                Trigger::OneShot => !watched.armed,
                Trigger::Level => false,
            };
            if silent || watched.interest.is_empty() {
                // The delayed report is done; otherwise the host would wake up for it for ever.
                watched.not_before = Time::ZERO;
                continue;
            }
            if watched.not_before > now {
                continue;
            }
            let level = world.level(watched.number);
            let reading = watched.interest.contains(Interest::READ);
            let wanted = Readiness::READABLE.when(reading && level.contains(Readiness::READABLE))
                | Readiness::WRITABLE
                    .when(watched.interest.contains(Interest::WRITE) && level.contains(Readiness::WRITABLE))
                | Readiness::HANG_UP
                    .when(level.contains(Readiness::HANG_UP) && (reading || world.is_gone(watched.number)))
                | Readiness::ERROR.when(level.contains(Readiness::ERROR));
            if wanted.is_empty() {
                watched.pending = false;
                watched.not_before = Time::ZERO;
                continue;
            }
            if self.random.chance(world.weather.late) {
                watched.not_before = now + Duration::from_micros(self.random.magnitude(1, 20_000));
                continue;
            }
            watched.pending = false;
            watched.armed = self.trigger != Trigger::OneShot;
            watched.not_before = Time::ZERO;
            ready.push((*token, wanted));
        }
        ready
    }
}

/// Whether a real descriptor can be read.
fn is_readable(descriptor: std::os::fd::BorrowedFd<'_>) -> bool {
    let mut descriptors = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut descriptors, Some(&at_once)).is_ok_and(|count| count > 0)
}
