//! A host that checks every rule of [`Service`], and makes full use of the freedom that hosts have.
//!
//! It reports readiness in random order, in pieces and late; some reports are spurious, and some are about descriptors
//! that have ended. Letting go of a descriptor takes several turns. When nothing else happens, time jumps to the next
//! deadline.

mod delivery;
mod register;

use crate::random::Random;
use crate::{Host, Nesting};
use delivery::Delivery;
use lws_loop_external::{Change, Readiness, Service, Token, Trigger, Wait};
use lws_proto::Time;
use register::Register;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// A host that panics with an explanation when the service breaks a rule of [`Service`]: above all when it lets its
/// host sleep while a change, a due timer or other work is pending.
///
/// Edges are those that epoll(7) reports.
#[derive(Clone, Debug)]
pub struct Auditor {
    trigger: Trigger,
    random: Random,
}

impl Auditor {
    /// An auditor that reports readiness by this trigger. The same seed makes the same choices.
    #[must_use]
    pub fn new(trigger: Trigger, seed: u64) -> Self {
        Self { trigger, random: Random::new(seed) }
    }
}

impl Host for Auditor {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        Audit::new(service, self.trigger, Random::new(self.random.next())).run()
    }

    fn nesting(&mut self) -> Nesting {
        Nesting::No("the auditor has the service borrowed while a handler runs")
    }

    fn name(&self) -> String {
        format!("the auditor, {:?}", self.trigger)
    }
}

thread_local! {
    static RECEIVED: Cell<u64> = const { Cell::new(0) };
}

/// Notes that a message of another thread was received. An application that an [`Auditor`] may host calls this in
/// [`message`](lws_loop_external::Application::message) and [`notified`](lws_loop_external::Application::notified):
/// such messages may arrive at any moment, and new work because of them is not a fault of the service.
pub fn received_from_another_thread() {
    RECEIVED.set(RECEIVED.get() + 1);
}

/// The time without any event after which the clock jumps to the next deadline: longer than TCP's delayed
/// acknowledgement, so that nothing is in flight any more.
const GRACE: Duration = Duration::from_millis(300);
/// How often in a row a service may answer [`Wait::Now`] while no descriptor is ready.
const TURNS_MAX: u32 = 100_000;
/// How often in a row removals may lead to further removals.
const ROUNDS_MAX: u32 = 10_000;

/// The audit of one service.
struct Audit<S> {
    service: S,
    random: Random,
    register: Register,
    delivery: Delivery,
    /// Readiness that was polled and not reported yet.
    found: Vec<(Token, Readiness)>,
    /// Descriptors that the service has removed, and that the host still holds.
    leaving: Vec<Token>,
    epoch: Instant,
    skipped: Duration,
    idle_turns: u32,
}

impl<S: Service> Audit<S> {
    fn new(mut service: S, trigger: Trigger, mut random: Random) -> Self {
        service.attach(trigger);
        Self {
            service,
            register: Register::new(trigger),
            delivery: Delivery::new(trigger),
            found: Vec::new(),
            leaving: Vec::new(),
            epoch: Instant::now(),
            // The clock of a host may begin anywhere.
            skipped: Duration::from_micros(random.next() >> 20),
            random,
            idle_turns: 0,
        }
    }

    fn run(mut self) -> S {
        loop {
            let now = self.now();
            let wait = self.settle(now);
            if self.service.is_done() {
                break;
            }
            let wait = if wait == Wait::Now { wait } else { self.audit(now, wait) };
            if self.service.is_done() {
                break;
            }
            self.wait(wait);
            self.hand_out();
            self.let_some_go();
        }
        while let Some(token) = self.leaving.pop() {
            self.let_go(token);
        }
        self.service
    }

    fn now(&self) -> Time {
        Time::ZERO + self.epoch.elapsed() + self.skipped
    }

    /// Settles until there is no change to apply.
    fn settle(&mut self, now: Time) -> Wait {
        for _ in 0..ROUNDS_MAX {
            let wait = self.service.settle(now);
            if !self.flush() {
                return wait;
            }
        }
        panic!("the service asks for changes without an end");
    }

    /// Checks that a service that lets its host sleep has nothing more to do at that moment.
    fn audit(&mut self, now: Time, wait: Wait) -> Wait {
        let received = RECEIVED.get();
        let again = self.service.settle(now);
        let change = self.service.poll_change();
        if received != RECEIVED.get() {
            if let Some(change) = change {
                self.apply(change);
            }
            self.flush();
            return Wait::Now;
        }
        assert_eq!(change, None, "the service let its host sleep ({wait:?}), and a change was pending");
        assert_eq!(again, wait, "the service let its host sleep, and there was more to do");
        if let Wait::Until(at) = wait {
            assert!(at > now, "the service let its host sleep until a moment that has passed");
        }
        wait
    }

    /// Applies the changes. Returns true if the service may have more to do because of them.
    fn flush(&mut self) -> bool {
        let mut again = false;
        self.register.begin_flush();
        while let Some(change) = self.service.poll_change() {
            if self.apply(change) {
                again = true;
                self.register.begin_flush();
            }
        }
        assert_eq!(self.service.poll_change(), None, "a change comes up without a call that makes one");
        again
    }

    fn apply(&mut self, change: Change) -> bool {
        self.register.apply(&self.service, change);
        let result = self.delivery.apply(&self.service, change);
        match (change, result) {
            (Change::Remove { token, .. }, _) => {
                // Like a loop whose handles close asynchronously.
                if self.random.once_in(2) {
                    self.leaving.push(token);
                    return false;
                }
                self.let_go(token);
                true
            }
            (Change::Add { token, .. } | Change::Modify { token, .. }, Err(error)) => {
                self.register.refused(token);
                self.service.refused(token, error);
                true
            }
            (Change::Add { .. } | Change::Modify { .. }, Ok(())) => false,
        }
    }

    fn let_go(&mut self, token: Token) {
        self.register.before_release(&self.service, token);
        self.service.removed(token);
        self.register.after_release(&self.service, token);
    }

    fn let_some_go(&mut self) {
        for token in std::mem::take(&mut self.leaving) {
            if self.random.once_in(2) {
                self.let_go(token);
            } else {
                self.leaving.push(token);
            }
        }
    }

    /// Sleeps, as long as the service allows and nothing is ready.
    fn wait(&mut self, wait: Wait) {
        let busy = !self.found.is_empty() || !self.leaving.is_empty();
        let timeout = match wait {
            _ if busy => Some(Duration::ZERO),
            Wait::Now => Some(Duration::ZERO),
            Wait::Until(at) => Some((at - self.now()).min(GRACE)),
            Wait::Forever => None,
        };
        let before = self.found.len();
        self.delivery.wait(&self.service, &mut self.register, timeout, &mut self.found);
        if self.found.len() > before || busy {
            self.idle_turns = 0;
        } else if wait == Wait::Now {
            self.idle_turns += 1;
            assert!(self.idle_turns < TURNS_MAX, "the service always has more to do, and never does it");
        } else if let Wait::Until(at) = wait {
            self.skipped += at - self.now();
        }
    }

    /// Reports readiness, in a random order and in pieces.
    fn hand_out(&mut self) {
        self.random.shuffle(&mut self.found);
        let most =
            if self.random.once_in(4) { 1 + self.random.below(self.found.len() + 1) } else { usize::MAX };
        for (token, ready) in self.found.split_off(self.found.len().saturating_sub(most)) {
            let now = self.now();
            if self.random.once_in(8) && ready.contains(Readiness::READABLE | Readiness::WRITABLE) {
                // Like hosts that watch each direction separately.
                let ends = Readiness::HANG_UP.when(ready.contains(Readiness::HANG_UP))
                    | Readiness::ERROR.when(ready.contains(Readiness::ERROR));
                self.service.handle_ready(now, token, Readiness::WRITABLE);
                self.service.handle_ready(now, token, Readiness::READABLE | ends);
            } else {
                self.service.handle_ready(now, token, ready);
            }
            if self.random.once_in(4) {
                self.flush();
            }
        }
        self.mislead();
    }

    /// Makes spurious reports.
    fn mislead(&mut self) {
        let everything = Readiness::READABLE | Readiness::WRITABLE | Readiness::HANG_UP | Readiness::ERROR;
        let now = self.now();
        if self.random.once_in(8)
            && let Some(token) = self.random.pick(self.register.gone())
        {
            self.service.handle_ready(now, token, everything);
            assert!(self.service.descriptor(token).is_none(), "a token that has gone has a descriptor again");
        }
        if self.random.once_in(8)
            && let Some(token) = self.random.pick(&self.register.live())
        {
            self.register.reported(token);
            self.service.handle_ready(now, token, everything);
        }
    }
}
