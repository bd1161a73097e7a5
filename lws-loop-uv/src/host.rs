//! One service on one loop: the callbacks of its handles, its turns, and how it is detached.
//!
//! Knows the [`Service`] seam and the handles of `sys`, and no sockets and no protocols.

use crate::Liveness;
use crate::sys::{
    Entered, HandleKind, Hook, Hosted, Idle, LoopCallback, LoopRef, Owner, Poll, Timer, events,
};
use lws_loop_external::{Change, Interest, Readiness, Service, Token, Trigger, Wait};
use lws_proto::Time;
use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::ffi::c_int;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// A service and its handles. Each handle holds a reference to the host, so the host lives until
/// libuv has closed the last one.
pub(crate) struct Host<S: Service + 'static> {
    at: LoopRef,
    /// `None` once the service has been handed back to the program.
    service: RefCell<Option<S>>,
    watches: RefCell<HashMap<Token, Watch<S>>>,
    /// `None` once the service is being detached.
    loop_handles: RefCell<Option<LoopHandles<S>>>,
    phase: Cell<Phase>,
    /// The number of handles that libuv has not closed yet.
    handles: Cell<usize>,
    /// The number of watched descriptors for which [`Service::keeps_alive`] is true.
    awaited: Cell<usize>,
    liveness: Cell<Liveness>,
    /// Whether readiness was reported since the last turn.
    reported: Cell<bool>,
    /// Descriptors whose watch was stopped, by libuv after an error or by
    /// [`silence`](Self::silence). The next turn starts it again.
    faulty: RefCell<Vec<Token>>,
    /// The first error that makes hosting the service impossible.
    failure: RefCell<Option<io::Error>>,
    /// The callback that receives the service when all handles are closed.
    then: RefCell<Option<Then<S>>>,
}

type Then<S> = Box<dyn FnOnce(S)>;

/// The phase of a service's attachment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The loop serves the service.
    Attached,
    /// The handles are being closed.
    Closing,
    /// libuv has closed every handle.
    Closed,
}

/// A descriptor that the loop watches.
struct Watch<S: Service + 'static> {
    poll: Poll<Host<S>>,
    interest: Interest,
    keeps_alive: bool,
}

/// The handles that watch no descriptor. Only `prepare` is ever referenced (`uv_ref`): it is always active, and keeps
/// the loop running on behalf of all other handles.
struct LoopHandles<S: Service + 'static> {
    prepare: Hook<Host<S>>,
    _check: Hook<Host<S>>,
    idle: Idle<Host<S>>,
    is_idle_active: Cell<bool>,
    timer: Timer<Host<S>>,
    due: Cell<Option<Time>>,
    is_referenced: Cell<bool>,
}

impl<S: Service + 'static> LoopHandles<S> {
    fn new(host: &Rc<Host<S>>) -> io::Result<Self> {
        let at = &host.at;
        let prepare = host.count(Hook::prepare(at, host))?;
        let check = host.count(Hook::check(at, host))?;
        let idle = host.count(Idle::new(at, host))?;
        let timer = host.count(Timer::new(at, host))?;
        check.set_referenced(false);
        idle.set_referenced(false);
        timer.set_referenced(false);
        prepare.start();
        check.start();
        Ok(Self {
            prepare,
            _check: check,
            idle,
            is_idle_active: Cell::new(false),
            timer,
            due: Cell::new(None),
            is_referenced: Cell::new(true),
        })
    }

    /// Sets whether the service keeps the loop running.
    fn set_referenced(&self, is_referenced: bool) {
        if self.is_referenced.replace(is_referenced) != is_referenced {
            self.prepare.set_referenced(is_referenced);
        }
    }

    /// Sets whether the next turn of the loop polls without sleeping.
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
    /// Attaches a service to a loop. Check [`failure`](Self::failure) afterwards: if there is one,
    /// the service is being detached again.
    pub(crate) fn attach(at: &LoopRef, mut service: S) -> Rc<Self> {
        service.attach(Trigger::Level);
        let host = Rc::new(Self {
            at: at.clone(),
            service: RefCell::new(Some(service)),
            watches: RefCell::default(),
            loop_handles: RefCell::default(),
            phase: Cell::new(Phase::Attached),
            handles: Cell::new(0),
            awaited: Cell::new(0),
            liveness: Cell::default(),
            reported: Cell::new(false),
            faulty: RefCell::default(),
            failure: RefCell::default(),
            then: RefCell::default(),
        });
        match LoopHandles::new(&host) {
            Ok(loop_handles) => {
                host.loop_handles.replace(Some(loop_handles));
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

    /// Takes the error that makes hosting impossible, if there was one. The service is being
    /// detached then.
    pub(crate) fn failure(&self) -> Option<io::Error> {
        self.failure.take()
    }

    /// Counts a handle that libuv has initialised.
    fn count<H>(&self, handle: io::Result<H>) -> io::Result<H> {
        self.handles.set(self.handles.get() + usize::from(handle.is_ok()));
        handle
    }

    /// Borrows the service for a call, unless it is in a call already or was handed back.
    pub(crate) fn enter(&self) -> Option<(RefMut<'_, S>, Entered<'_>)> {
        let service = RefMut::filter_map(self.service.try_borrow_mut().ok()?, Option::as_mut).ok()?;
        Some((service, self.at.enter()))
    }

    pub(crate) fn set_liveness(self: &Rc<Self>, liveness: Liveness) {
        self.liveness.set(liveness);
        self.turn();
    }

    /// The time on libuv's clock, as it is passed to the service.
    pub(crate) fn now(&self) -> Time {
        self.at.clock()
    }

    /// Settles the service, applies its changes to libuv, and arms the handles that end the loop's
    /// next sleep.
    pub(crate) fn turn(self: &Rc<Self>) {
        if self.phase.get() != Phase::Attached {
            return;
        }
        let Some((mut service, _entered)) = self.enter() else {
            // A handler of the service runs the loop. The turn around that handler arms the handles
            // when it returns, so this one must not keep the nested loop awake.
            return self.loop_handles.borrow().iter().for_each(|loop_handles| loop_handles.set_forced(false));
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
            // libuv runs a timer that is started when it is already due within the same turn, so a due timer that
            // starts itself would never let that turn end. The idle handle gives the loop a new turn.
            wait = Wait::Now;
        }
        self.arm(if service.is_done() { None } else { Some(wait) });
    }

    /// Applies the changes of the service. Returns whether the service may have more to do because
    /// of them.
    fn flush(self: &Rc<Self>, service: &mut S) -> bool {
        let mut again = false;
        // Each of these calls may run a handler that detaches the service.
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

    fn add(
        self: &Rc<Self>,
        token: Token,
        fd: c_int,
        interest: Interest,
        keeps_alive: bool,
    ) -> io::Result<()> {
        let poll = self.count(Poll::new(&self.at, self, token, fd))?;
        self.awaited.set(self.awaited.get() + usize::from(keeps_alive));
        self.watches.borrow_mut().insert(token, Watch { poll, interest, keeps_alive });
        self.watch_again(token)
    }

    fn modify(&self, token: Token, interest: Interest) -> io::Result<()> {
        if let Some(watch) = self.watches.borrow_mut().get_mut(&token) {
            watch.interest = interest;
        }
        self.watch_again(token)
    }

    /// Starts or stops the poll handle of a descriptor according to its interest.
    fn watch_again(&self, token: Token) -> io::Result<()> {
        let watches = self.watches.borrow();
        let Some(Watch { poll, interest, .. }) = watches.get(&token) else { return Ok(()) };
        if interest.is_empty() {
            poll.stop();
            return Ok(());
        }
        // UV_DISCONNECT reports the end of the peer's direction at once, so that no extra read is needed to
        // find it.
        let read = if interest.contains(Interest::READ) { events::READABLE | events::DISCONNECT } else { 0 };
        let write = if interest.contains(Interest::WRITE) { events::WRITABLE } else { 0 };
        // libuv does not watch a descriptor for which no event is given. Urgent data never comes,
        // but errors and hang-ups are then reported.
        let failure = if *interest == Interest::FAILURE { events::PRIORITIZED } else { 0 };
        poll.start(read | write | failure)
    }

    /// Stops to watch a descriptor until the next turn. The service is in a call whose handler runs the loop: readiness
    /// cannot be handled now, and libuv, being level-triggered, would report it in every nested turn.
    #[cold]
    fn silence(&self, token: Token) {
        if let Some(Watch { poll, .. }) = self.watches.borrow().get(&token) {
            poll.stop();
        }
        self.faulty.borrow_mut().push(token);
        // The call that the handler was made from may not be followed by a turn, so the next check
        // callback has to give one.
        self.reported.set(true);
    }

    /// Takes a descriptor out of the table. The caller closes the poll handle.
    fn forget(&self, token: Token) -> Option<Poll<Self>> {
        let Watch { poll, keeps_alive, .. } = self.watches.borrow_mut().remove(&token)?;
        self.awaited.set(self.awaited.get() - usize::from(keeps_alive));
        Some(poll)
    }

    /// Removes a descriptor. The service is notified when libuv has closed the handle. Returns true if there was
    /// no handle, and the service has been notified already.
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

    /// Reports to the service that a descriptor cannot be watched.
    fn refuse(&self, service: &mut S, token: Token, error: io::Error) {
        drop(self.forget(token));
        let reported = match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => error.kind().into(),
        };
        if !service.keeps_alive(token) {
            // It is the descriptor of the waker: without it no other thread could end the wait.
            self.failure.borrow_mut().get_or_insert(error);
        }
        service.refused(token, reported);
    }

    /// Arms the handles that end the loop's next sleep, and references the one that keeps it running. `None`
    /// is the wait of a service that is done.
    fn arm(&self, wait: Option<Wait>) {
        let loop_handles = self.loop_handles.borrow();
        let Some(loop_handles) = loop_handles.as_ref() else { return };
        loop_handles.set_forced(wait == Some(Wait::Now));
        loop_handles.set_due(match wait {
            Some(Wait::Until(at)) => Some(at),
            Some(Wait::Now | Wait::Forever) | None => None,
        });
        loop_handles.set_referenced(match self.liveness.get() {
            Liveness::Never => false,
            Liveness::WhileWaiting => self.awaited.get() > 0 || !matches!(wait, Some(Wait::Forever) | None),
            Liveness::UntilDone => wait.is_some(),
        });
    }

    /// Requests a turn before the loop sleeps or ends.
    fn force(&self) {
        let loop_handles = self.loop_handles.borrow();
        let Some(loop_handles) = loop_handles.as_ref() else { return };
        loop_handles.set_forced(true);
        loop_handles.set_referenced(self.liveness.get() != Liveness::Never);
    }

    // Detaching.

    /// Starts to close every handle. libuv finishes that in the loop's next turn.
    pub(crate) fn leave(&self) {
        if self.phase.get() != Phase::Attached {
            return;
        }
        self.phase.set(Phase::Closing);
        drop(self.loop_handles.take());
        drop(self.watches.take());
        self.awaited.set(0);
        self.hand_over_if_closed();
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.phase.get() == Phase::Closed
    }

    /// Takes the service, if libuv has closed every handle.
    pub(crate) fn take(&self) -> Option<S> {
        if self.is_gone() { self.service.try_borrow_mut().ok()?.take() } else { None }
    }

    /// Calls `then` with the service when libuv has closed every handle: at once, or from the last
    /// close callback.
    pub(crate) fn then(&self, then: Then<S>) {
        match self.take() {
            Some(service) => then(service),
            None => drop(self.then.replace(Some(then))),
        }
    }

    fn hand_over_if_closed(&self) {
        if self.phase.get() != Phase::Closing || self.handles.get() > 0 {
            return;
        }
        self.phase.set(Phase::Closed);
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

    fn loop_callback(self: &Rc<Self>, callback: LoopCallback) {
        match callback {
            LoopCallback::Prepare => self.turn(),
            // A program that embeds this loop in another one may sleep there for long after this
            // callback, so the turn cannot wait for the next prepare callback.
            LoopCallback::Check if self.reported.get() => self.turn(),
            LoopCallback::Timer => {
                if let Some(loop_handles) = self.loop_handles.borrow().as_ref() {
                    loop_handles.due.set(None);
                }
                self.turn();
            }
            LoopCallback::Check | LoopCallback::Idle => {}
        }
    }

    fn closed(self: &Rc<Self>, kind: HandleKind) {
        self.handles.set(self.handles.get() - 1);
        if let HandleKind::Removed(token) = kind
            && let Some((mut service, _entered)) = self.enter()
        {
            service.removed(token);
        }
        self.force();
        self.hand_over_if_closed();
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
