//! One service on one loop: what libuv calls, the service's turns, and the end.
//!
//! Knows the [`Service`] seam and the handles of `sys`, and no sockets and no protocols.

use crate::Liveness;
use crate::sys::{Entered, Hook, Hosted, Idle, LoopRef, Name, Owner, Poll, Tick, Timer, events};
use lws_loop_external::{Change, Interest, Readiness, Service, Token, Trigger, Wait};
use lws_proto::Time;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::ffi::c_int;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// A service and its handles. The handles keep it until libuv has closed the last of them.
pub(crate) struct Host<S: Service + 'static> {
    at: LoopRef,
    /// Taken out when it is handed over in the end.
    service: RefCell<Option<S>>,
    watches: RefCell<HashMap<Token, Watch<S>>>,
    /// None of them while the service is on its way out.
    ticks: RefCell<Option<Ticks<S>>>,
    phase: Cell<Phase>,
    /// Handles that libuv knows.
    handles: Cell<usize>,
    /// Descriptors that are worth waiting for.
    worth: Cell<usize>,
    liveness: Cell<Liveness>,
    /// Readiness was reported since the last turn.
    reported: Cell<bool>,
    /// What libuv has stopped to watch for the sake of an error.
    faulty: RefCell<Vec<Token>>,
    /// Why the loop cannot host the service.
    failure: RefCell<Option<io::Error>>,
    /// What is called with the service in the end.
    then: RefCell<Option<Then<S>>>,
}

type Then<S> = Box<dyn FnOnce(S)>;

/// How far a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The loop serves it.
    Attached,
    /// Its handles are being closed.
    Leaving,
    /// The loop knows none of its handles.
    Gone,
}

/// A descriptor that the loop watches.
struct Watch<S: Service + 'static> {
    poll: Poll<Host<S>>,
    interest: Interest,
    worth: bool,
}

/// The handles without a descriptor. None of them keeps the loop running but `prepare`, which is always active, and does so
/// on behalf of all others.
struct Ticks<S: Service + 'static> {
    prepare: Hook<Host<S>>,
    _check: Hook<Host<S>>,
    idle: Idle<Host<S>>,
    is_idle_active: Cell<bool>,
    timer: Timer<Host<S>>,
    due: Cell<Option<Time>>,
    counted: Cell<bool>,
}

impl<S: Service + 'static> Ticks<S> {
    fn new(host: &Rc<Host<S>>) -> io::Result<Self> {
        let at = &host.at;
        let prepare = host.count(Hook::prepare(at, host))?;
        let check = host.count(Hook::check(at, host))?;
        let idle = host.count(Idle::new(at, host))?;
        let timer = host.count(Timer::new(at, host))?;
        check.set_counted(false);
        idle.set_counted(false);
        timer.set_counted(false);
        prepare.start();
        check.start();
        Ok(Self {
            prepare,
            _check: check,
            idle,
            is_idle_active: Cell::new(false),
            timer,
            due: Cell::new(None),
            counted: Cell::new(true),
        })
    }

    /// Whether the loop goes on because of the service.
    fn set_counted(&self, counted: bool) {
        if self.counted.replace(counted) != counted {
            self.prepare.set_counted(counted);
        }
    }

    /// Keeps the loop from sleeping, or not.
    fn set_forced(&self, forced: bool) {
        if self.is_idle_active.replace(forced) == forced {
            return;
        }
        if forced {
            self.idle.start();
        } else {
            self.idle.stop();
        }
    }

    fn set_due(&self, due: Option<Time>) {
        if self.due.replace(due) == due {
            return;
        }
        match due {
            Some(due) => self.timer.start(due),
            None => self.timer.stop(),
        }
    }
}

impl<S: Service + 'static> Host<S> {
    /// Brings a service to a loop. It may have failed: see [`failure`](Self::failure).
    pub(crate) fn attach(at: &LoopRef, mut service: S) -> Rc<Self> {
        service.attach(Trigger::Level);
        let host = Rc::new(Self {
            at: at.clone(),
            service: RefCell::new(Some(service)),
            watches: RefCell::default(),
            ticks: RefCell::default(),
            phase: Cell::new(Phase::Attached),
            handles: Cell::new(0),
            worth: Cell::new(0),
            liveness: Cell::default(),
            reported: Cell::new(false),
            faulty: RefCell::default(),
            failure: RefCell::default(),
            then: RefCell::default(),
        });
        match Ticks::new(&host) {
            Ok(ticks) => {
                host.ticks.replace(Some(ticks));
                let hosted: Weak<dyn Hosted> = Rc::downgrade(&host) as Weak<dyn Hosted>;
                at.register(hosted);
                host.turn();
            }
            Err(error) => {
                host.failure.replace(Some(error));
            }
        }
        if host.failure.borrow().is_some() {
            host.leave();
        }
        host
    }

    /// Why the loop cannot host the service after all. It is on its way out then.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Counts a handle that was made.
    fn count<H>(&self, handle: io::Result<H>) -> io::Result<H> {
        self.handles.set(self.handles.get() + usize::from(handle.is_ok()));
        handle
    }

    /// The service, if it is in no call and was not handed over.
    pub(crate) fn enter(&self) -> Option<(RefMut<'_, S>, Entered<'_>)> {
        let service = RefMut::filter_map(self.service.try_borrow_mut().ok()?, Option::as_mut).ok()?;
        Some((service, self.at.enter()))
    }

    pub(crate) fn set_liveness(self: &Rc<Self>, liveness: Liveness) {
        self.liveness.set(liveness);
        self.turn();
    }

    /// The time that services are told.
    pub(crate) fn now(&self) -> Time {
        self.at.clock()
    }

    /// Settles, tells the loop what has changed, and says how long it may sleep.
    pub(crate) fn turn(self: &Rc<Self>) {
        if self.phase.get() != Phase::Attached {
            return;
        }
        let Some((mut service, _entered)) = self.enter() else {
            // A handler runs the loop. The turn that it is in says how long to sleep when it returns.
            return self.ticks.borrow().iter().for_each(|ticks| ticks.set_forced(false));
        };
        self.reported.set(false);
        let now = self.now();
        let mut wait = service.settle(now);
        if self.flush(&mut service) {
            wait = service.settle(now);
            if self.flush(&mut service) {
                wait = Wait::Now;
            }
        }
        if matches!(wait, Wait::Until(at) if at <= now) {
            // A timer that is due when its own call starts it would go off within that turn of libuv, again and again.
            wait = Wait::Now;
        }
        self.arm(if service.is_done() { None } else { Some(wait) });
    }

    /// Does what the changes of the service say. True if it may have more to do because of them.
    fn flush(self: &Rc<Self>, service: &mut S) -> bool {
        let mut again = false;
        // In any of these calls a handler may detach the service.
        while self.phase.get() == Phase::Attached
            && let Some(change) = service.poll_change()
        {
            let (token, result) = match change {
                Change::Add { token, fd, interest } => {
                    (token, self.add(token, fd, interest, service.keeps_alive(token)))
                }
                Change::Modify { token, interest, .. } => (token, self.modify(token, interest)),
                Change::Remove { token, .. } => {
                    again |= self.remove(service, token);
                    continue;
                }
            };
            if let Err(error) = result {
                self.refuse(service, token, error);
                again = true;
            }
        }
        for token in self.faulty.take() {
            if let Err(error) = self.watch_again(token) {
                self.refuse(service, token, error);
                again = true;
            }
        }
        again
    }

    fn add(self: &Rc<Self>, token: Token, fd: c_int, interest: Interest, worth: bool) -> io::Result<()> {
        let poll = self.count(Poll::new(&self.at, self, token, fd))?;
        self.worth.set(self.worth.get() + usize::from(worth));
        self.watches.borrow_mut().insert(token, Watch { poll, interest, worth });
        self.watch_again(token)
    }

    fn modify(&self, token: Token, interest: Interest) -> io::Result<()> {
        if let Some(watch) = self.watches.borrow_mut().get_mut(&token) {
            watch.interest = interest;
        }
        self.watch_again(token)
    }

    /// Lets libuv watch a descriptor for what it should be watched for.
    fn watch_again(&self, token: Token) -> io::Result<()> {
        let watches = self.watches.borrow();
        let Some(Watch { poll, interest, .. }) = watches.get(&token) else { return Ok(()) };
        if interest.is_empty() {
            poll.stop();
            return Ok(());
        }
        // With the end of the peer reported at once, no further look at the descriptor is needed to find it.
        let read = if interest.contains(Interest::READ) { events::READABLE | events::DISCONNECT } else { 0 };
        let write = if interest.contains(Interest::WRITE) { events::WRITABLE } else { 0 };
        // Without any event libuv would not watch the descriptor at all.
        let failure = if *interest == Interest::FAILURE { events::PRIORITIZED } else { 0 };
        poll.start(read | write | failure)
    }

    /// Watches a descriptor no more until the next turn: a handler runs the loop, which would report it all the time for what
    /// cannot be done now.
    #[cold]
    fn silence(&self, token: Token) {
        if let Some(Watch { poll, .. }) = self.watches.borrow().get(&token) {
            poll.stop();
        }
        self.faulty.borrow_mut().push(token);
        // The call that the handler is in may be one that no turn follows.
        self.reported.set(true);
    }

    /// Forgets a descriptor, whose handle is then to be closed.
    fn forget(&self, token: Token) -> Option<Poll<Self>> {
        let Watch { poll, worth, .. } = self.watches.borrow_mut().remove(&token)?;
        self.worth.set(self.worth.get() - usize::from(worth));
        Some(poll)
    }

    /// Lets go of a descriptor. The service is notified when libuv has closed the handle; true if it was already.
    fn remove(&self, service: &mut S, token: Token) -> bool {
        match self.forget(token) {
            Some(poll) => {
                poll.remove(token);
                false
            }
            None => {
                service.removed(token);
                true
            }
        }
    }

    /// Tells the service that a descriptor cannot be watched.
    fn refuse(&self, service: &mut S, token: Token, error: io::Error) {
        drop(self.forget(token));
        let reported = match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => error.kind().into(),
        };
        if !service.keeps_alive(token) {
            // Other threads could never reach the service.
            self.failure.borrow_mut().get_or_insert(error);
        }
        service.refused(token, reported);
    }

    /// How long the loop may sleep, and whether it should go on. `None` is the wait of a service that is done.
    fn arm(&self, wait: Option<Wait>) {
        let ticks = self.ticks.borrow();
        let Some(ticks) = ticks.as_ref() else { return };
        ticks.set_forced(wait == Some(Wait::Now));
        ticks.set_due(match wait {
            Some(Wait::Until(at)) => Some(at),
            Some(Wait::Now | Wait::Forever) | None => None,
        });
        ticks.set_counted(match self.liveness.get() {
            Liveness::Never => false,
            Liveness::WhileWaiting => self.worth.get() > 0 || !matches!(wait, Some(Wait::Forever) | None),
            Liveness::UntilDone => wait.is_some(),
        });
    }

    /// Asks for a turn before the loop sleeps or ends.
    fn force(&self) {
        let ticks = self.ticks.borrow();
        let Some(ticks) = ticks.as_ref() else { return };
        ticks.set_forced(true);
        ticks.set_counted(self.liveness.get() != Liveness::Never);
    }

    // The end.

    /// Closes every handle. The loop lets go of them in its own time.
    pub(crate) fn leave(&self) {
        if self.phase.get() != Phase::Attached {
            return;
        }
        self.phase.set(Phase::Leaving);
        drop(self.ticks.take());
        drop(self.watches.take());
        self.worth.set(0);
        self.go_if_left();
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.phase.get() == Phase::Gone
    }

    /// The service, when the loop knows none of its handles any more.
    pub(crate) fn take(&self) -> Option<S> {
        if self.is_gone() { self.service.try_borrow_mut().ok()?.take() } else { None }
    }

    /// Hands the service over when the loop knows none of its handles any more.
    pub(crate) fn then(&self, then: Then<S>) {
        match self.take() {
            Some(service) => then(service),
            None => drop(self.then.replace(Some(then))),
        }
    }

    fn go_if_left(&self) {
        if self.phase.get() != Phase::Leaving || self.handles.get() > 0 {
            return;
        }
        self.phase.set(Phase::Gone);
        let then = self.then.take();
        if let Some(then) = then
            && let Some(service) = self.take()
        {
            then(service);
        }
    }
}

impl<S: Service + 'static> Owner for Host<S> {
    #[inline]
    fn ready(self: &Rc<Self>, token: Token, ready: Option<c_int>) {
        let Some((mut service, _entered)) = self.enter() else { return self.silence(token) };
        self.reported.set(true);
        let readiness = match ready {
            Some(ready) => readiness(ready),
            None => {
                self.faulty.borrow_mut().push(token);
                Readiness::READABLE | Readiness::WRITABLE | Readiness::HANG_UP | Readiness::ERROR
            }
        };
        service.handle_ready(self.now(), token, readiness);
    }

    fn tick(self: &Rc<Self>, tick: Tick) {
        match tick {
            Tick::Prepare => self.turn(),
            // A program that runs another loop around this one may sleep there for long.
            Tick::Check if self.reported.get() => self.turn(),
            Tick::Timer => {
                if let Some(ticks) = self.ticks.borrow().as_ref() {
                    ticks.due.set(None);
                }
                self.turn();
            }
            Tick::Check | Tick::Idle => {}
        }
    }

    fn closed(self: &Rc<Self>, name: Name) {
        self.handles.set(self.handles.get() - 1);
        if let Name::Removed(token) = name
            && let Some((mut service, _entered)) = self.enter()
        {
            service.removed(token);
        }
        self.force();
        self.go_if_left();
    }
}

impl<S: Service + 'static> Hosted for Host<S> {
    fn leave(&self) {
        Host::leave(self);
    }

    fn limit_turn(&self, time: Option<Duration>) {
        if let Some((mut service, _entered)) = self.enter() {
            service.limit_turn(time);
        }
    }
}

#[inline]
fn readiness(ready: c_int) -> Readiness {
    let is = |event| ready & event != 0;
    Readiness::READABLE.when(is(events::READABLE) || is(events::DISCONNECT))
        | Readiness::WRITABLE.when(is(events::WRITABLE))
        | Readiness::HANG_UP.when(is(events::DISCONNECT) || is(events::PRIORITIZED))
}
