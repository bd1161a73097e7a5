//! The host of one service: it reports readiness as difficultly as a host may, and holds the service to every word.
//!
//! Knows the seam and the world, and nothing of what the service does.

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

/// What a service did wrong.
pub(crate) type Fault = (Oracle, String);

/// The host of one service.
pub(crate) struct Host {
    name: &'static str,
    trigger: Trigger,
    lets_go_late: bool,
    watched: BTreeMap<Token, Watched>,
    /// What is being let go of, and since when it is gone.
    leaving: Vec<(Time, Token)>,
    /// Names that mean nothing any more.
    gone: Vec<Token>,
    random: Random,
    /// What the service has answered last.
    pub(crate) wait: Wait,
    /// Calls of the application in one call of the service that was about readiness, at most.
    pub(crate) busiest: u64,
    /// Likewise in one that was about everything else.
    pub(crate) busiest_settle: u64,
    /// Messages that were delivered, by whatever thread.
    posts: Arc<AtomicU64>,
}

struct Watched {
    number: RawFd,
    interest: Interest,
    /// A host of one shot reports it.
    armed: bool,
    /// A host of edges has not looked at it yet, or has something to report later.
    pending: bool,
    /// It is not reported before.
    not_before: Time,
}

/// Names that have gone and are still reported at times.
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

    /// Lets the service do what is due, and hears what it wants.
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

    /// A service that lets its host sleep has nothing to do: asked again, it does nothing.
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

    /// Counts what one call of the service has the application do.
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

    /// Does what the service asks for. True if it was let go of something, after which it may have more to do.
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

    /// When it has something to do by itself.
    pub(crate) fn wakes(&self) -> Option<Time> {
        let leaving = self.leaving.iter().map(|(at, _)| *at);
        let late = self.watched.values().filter(|it| it.pending || it.armed).map(|it| it.not_before);
        leaving.chain(late.filter(|at| *at > Time::ZERO)).min()
    }

    /// Reports what is ready. True if there was anything.
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
                // The waker, which is a real descriptor.
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
                // What was to be reported late has gone; otherwise the host would wake for it again and again.
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
