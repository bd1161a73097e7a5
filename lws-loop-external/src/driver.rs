//! A service of connections: sockets on one side, the engine and an application on the other.

mod accept;
mod announcements;
mod drains;
mod ending;
pub(crate) mod handshakes;
mod kinds;
mod pending;
mod registrations;
mod room;
mod upgrades;
mod work;

use crate::application::Application;
use crate::buffers::Buffers;
use crate::command::Command;
use crate::connect::{Connects, Resolver};
use crate::context::{DriverContext, Subject};
use crate::core::Core;
use crate::listener::Listener;
use crate::options::DriverOptions;
use crate::registration::Next;
use crate::service::{Change, Interest, Readiness, Service, Token, Trigger, Wait};
use crate::shards::DriverShard;
use crate::slot::{Body, Slot};
use crate::stats::DriverStats;
use crate::table::Table;
use crate::token::{ConnectionId, ListenerId, TokenKind};
use crate::turn;
use crate::udp;
use crate::waker::DriverHandle;
use handshakes::Handshakes;
use lws_proto::Time;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

/// Owns an application and the sockets of its connections. A loop hosts it as a [`Service`].
pub struct Driver<A: Application> {
    pub(crate) application: A,
    pub(crate) core: Core<A>,
    pub(crate) table: Table<A::State>,
    pub(crate) connects: Connects<A::State>,
    handshakes: Handshakes,
    /// The index of the table at which the next search for an idle connection begins.
    sweep: u32,
    buffers: Buffers,
}

impl<A: Application> Driver<A> {
    /// A service with nothing to do yet.
    ///
    /// # Errors
    /// The system has no descriptor left for the waker.
    pub fn new(application: A, options: DriverOptions) -> io::Result<Self> {
        let buffers = Buffers::new(&options);
        let core = Core::new(options)?;
        Ok(Self::of(application, core, buffers))
    }

    /// Sets the resolver of outgoing connections, in place of [`SystemResolver`](crate::SystemResolver). Answers of
    /// the previous resolver are ignored from now on.
    #[doc(alias = "lws_async_dns_query")]
    pub fn set_resolver(&mut self, resolver: impl Resolver) {
        self.connects.set_resolver(Box::new(resolver));
    }

    /// The service of one shard: on the thread where it will be hosted.
    pub fn sharded(application: A, shard: DriverShard<A::Message>) -> Self {
        let buffers = Buffers::new(&shard.options);
        Self::of(application, Core::sharded(shard), buffers)
    }

    fn of(application: A, core: Core<A>, buffers: Buffers) -> Self {
        let connects = Connects::new(Arc::new(DriverHandle::of(core.messages.mailbox())));
        let handshakes = Handshakes::new(&core.options);
        Self { application, core, table: Table::new(), connects, handshakes, sweep: 0, buffers }
    }

    /// The application.
    #[must_use]
    pub fn application(&self) -> &A {
        &self.application
    }

    /// The application. Use [`with`](Self::with) for what needs a [`DriverContext`].
    #[must_use]
    pub fn application_mut(&mut self) -> &mut A {
        &mut self.application
    }

    /// Lends the application and a context, between the calls of a host: to listen, to connect, to set a timer, to drain.
    /// `now` is the host's.
    pub fn with<R>(&mut self, now: Time, call: impl FnOnce(&mut A, &mut DriverContext<'_, A>) -> R) -> R {
        self.tick(now);
        call(&mut self.application, &mut DriverContext::new(&mut self.core, Subject::SERVICE))
    }

    /// A handle by which other threads reach the service.
    #[must_use]
    pub fn handle(&self) -> DriverHandle<A::Message> {
        DriverHandle::of(self.core.messages.mailbox())
    }

    /// The counters of the service.
    #[must_use]
    pub fn stats(&self) -> &DriverStats {
        &self.core.stats
    }

    /// Drains the service: see [`DriverContext::drain`]. The time counts from the next turn.
    pub fn drain(&mut self, timeout: Duration) {
        self.core.drain(timeout);
    }

    /// Closes a service in the child of a fork(2) while the parent goes on to host it: closes the child's copies of the
    /// descriptors, and nothing else. Nothing is sent to peers, and files of Unix listeners stay. If dropping the host
    /// would deregister descriptors, forget the host instead, as the registrations are shared with the parent.
    ///
    /// Without this call the service notices within a second that it is in a child, does nothing any more, and is done;
    /// draining or detaching it there does nothing either.
    pub fn abandon_after_fork(mut self) {
        // Also if no host has ever taken the service over.
        self.core.listeners.forget_files();
    }

    fn tick(&mut self, now: Time) {
        if let Some(unix_seconds) = self.core.tick(now) {
            self.application.clock(unix_seconds);
        }
    }

    // Readiness.

    #[inline]
    fn connection_ready(&mut self, token: Token, ready: Readiness) {
        let id = ConnectionId::of(token);
        let Self { application, core, table, buffers, .. } = self;
        let Some(slot) = table.get(id) else { return self.attempt_ready(token, ready) };
        slot.registration.reported(core.trigger, token, &mut core.changes);
        slot.flags.note(ready);
        match &slot.body {
            Body::Open(_) if core.turn.defers() => core.list(id, &mut slot.flags),
            Body::Open(_) => {
                if turn::take(application, core, buffers, id, slot) {
                    self.end(id);
                }
            }
            Body::Ended => {}
            _ => self.ready_elsewhere(id, ready),
        }
    }

    /// Handles readiness of a socket that races, or has won its race. A function of its own keeps the hot path of all
    /// other descriptors small.
    #[cold]
    fn candidate_ready(&mut self, token: Token, ready: Readiness) {
        let Some(id) = self.connects.connection(token) else { return self.attempt_ready(token, ready) };
        let Some(slot) = self.table.get(id) else { return };
        slot.registration.reported(self.core.trigger, id.token(), &mut self.core.changes);
        slot.flags.note(ready);
        self.turn_in_line(id);
    }

    /// Gives a connection its turn now, or queues it behind others that wait.
    pub(crate) fn turn_in_line(&mut self, id: ConnectionId) {
        let Some(slot) = self.table.get(id) else { return };
        if self.core.turn.defers() {
            self.core.list(id, &mut slot.flags);
        } else {
            self.turn_now(id);
        }
    }

    /// Gives a connection its turn now, or in the next turn of the service if the budget of this one is used up.
    pub(crate) fn take_turn(&mut self, id: ConnectionId) {
        let Self { application, core, table, buffers, .. } = self;
        let Some(slot) = table.get(id) else { return };
        if core.turn.is_spent() && !matches!(slot.body, Body::Output(_) | Body::Ended) {
            core.list(id, &mut slot.flags);
        } else if !matches!(slot.body, Body::Open(_)) {
            self.turn_now(id);
        } else if turn::take(application, core, buffers, id, slot) {
            // Almost all are established connections, which are not looked up again.
            self.end(id);
        }
    }

    /// Gives a connection its turn now.
    pub(crate) fn turn_now(&mut self, id: ConnectionId) {
        let Self { application, core, table, buffers, .. } = self;
        let Some(slot) = table.get(id) else { return };
        let ended = match &slot.body {
            Body::Open(_) | Body::Piped(_) => turn::take(application, core, buffers, id, slot),
            Body::Watched(_) => turn::descriptor::take(application, core, id, slot),
            Body::Datagrams(_) => udp::turn::take(application, core, &mut buffers.datagrams, id, slot),
            Body::Handshaking(_) => return self.handshake_ready(id),
            Body::Announced(_) => return self.read_announcement(id),
            Body::Output(_) | Body::Ended => false,
        };
        if let Body::Piped(piped) = &slot.body
            && let Some((place, wanted)) = piped.output()
        {
            self.update_output(place, wanted.filter(|_| !ended));
        }
        if ended {
            self.end(id);
        }
    }

    /// Closes the descriptor, and frees its entry of the table.
    fn free(&mut self, id: ConnectionId) {
        if self.table.remove(id).is_some() {
            self.connects.gone(id);
            self.core.release(id);
        }
    }

    // Insertion of connections.

    fn insert(&mut self, id: ConnectionId, mut slot: Slot<A::State>, received: Box<[u8]>) {
        prepare(&mut self.core, id, &mut slot);
        // An edge-triggered registration is never modified, so it asks for everything at once.
        let wanted = match &slot.body {
            _ if self.core.trigger == Trigger::Edge => Interest::BOTH,
            Body::Watched(watched) => watched.watch.interest(),
            Body::Output(_) => Interest::NONE,
            _ => Interest::READ,
        };
        slot.registration.want(wanted, id.token(), &mut self.core.changes);
        self.table.insert(id, slot);
        // The application of a raw connection may have something to send before anything is received.
        self.take_turn(id);
        if !received.is_empty() {
            self.receive_first(id, received);
        }
        if self.core.drain.closes() {
            // The connection was under way before the service was asked to end, and the pass over the table may be
            // behind its entry.
            self.core.commands.push_back(Command::Drain(id, 0));
        }
    }
}

/// Sees to the deadline of what begins, and to its number.
fn prepare<A: Application>(core: &mut Core<A>, id: ConnectionId, slot: &mut Slot<A::State>) {
    let deadline = match &slot.body {
        Body::Handshaking(shaking) => Some(shaking.deadline),
        Body::Announced(announced) => Some(announced.deadline),
        _ => None,
    };
    if let Some(deadline) = deadline {
        slot.scheduled = deadline;
        core.timers.set(id.index, deadline);
    }
    if let Some(open) = slot.body.open_mut() {
        open.connection.set_spread(id.spread());
    }
}

impl<A: Application> Service for Driver<A> {
    fn attach(&mut self, trigger: Trigger) {
        self.core.attach(trigger);
        self.announce();
    }

    fn poll_change(&mut self) -> Option<Change> {
        loop {
            let token = self.core.changes.pop_front()?;
            let name = self.connects.outward(token);
            let Some((registration, fd)) = self.registration(token) else { continue };
            match registration.next(name, fd) {
                Next::Same => {}
                Next::Change(change) => return Some(change),
                Next::Free => self.let_go(token),
            }
        }
    }

    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        match token.kind() {
            TokenKind::Connection | TokenKind::Candidate => match self.in_table(token) {
                Some(id) => self.table.peek(id).map(|slot| slot.socket.as_fd()),
                None => self.connects.descriptor(token),
            },
            TokenKind::Listener => {
                let id = ListenerId::of(token);
                self.core.listeners.peek(id).map(Listener::socket)
            }
            TokenKind::Waker => Some(self.core.messages.descriptor()),
        }
    }

    #[inline]
    fn handle_ready(&mut self, now: Time, token: Token, ready: Readiness) {
        self.tick(now);
        if self.core.turn.enter() {
            self.core.begin_turn();
        }
        match token.kind() {
            TokenKind::Connection => self.connection_ready(token, ready),
            TokenKind::Candidate => self.candidate_ready(token, ready),
            TokenKind::Listener => {
                let id = ListenerId::of(token);
                let Core { listeners, changes, trigger, .. } = &mut self.core;
                if let Some(listener) = listeners.get(id) {
                    listener.reported(*trigger, id, changes);
                    if self.core.turn.defers() {
                        self.core.listeners.waiting = true;
                    } else {
                        self.accept(id);
                    }
                }
            }
            TokenKind::Waker => {
                let Core { messages, changes, trigger, .. } = &mut self.core;
                messages.reported(*trigger, changes);
            }
        }
    }

    fn removed(&mut self, token: Token) {
        let removing = self.registration(token).is_some_and(|(registration, _)| registration.is_removing());
        if removing {
            self.let_go(token);
        }
    }

    fn refused(&mut self, token: Token, error: io::Error) {
        let Some((registration, _)) = self.registration(token) else { return };
        registration.refused();
        match token.kind() {
            TokenKind::Connection | TokenKind::Candidate => match self.in_table(token) {
                Some(id) => self.refused_in_table(id, error),
                None => self.attempt_refused(token, error),
            },
            TokenKind::Listener => {
                self.core.unlisten(ListenerId::of(token));
            }
            // `settle` looks into the mailbox in every turn.
            TokenKind::Waker => {}
        }
    }

    fn settle(&mut self, now: Time) -> Wait {
        self.tick(now);
        if self.core.process.was_forked() {
            return Wait::Forever;
        }
        if self.core.turn.enter_to_settle(self.core.now()) {
            self.core.begin_turn();
        }
        self.look_into_mailbox();
        // All this work takes no more than half of the turn, so that neither it nor ready connections can starve
        // the other.
        self.handle_timeouts();
        self.accept_waiting();
        self.see_to_drain();
        self.do_commands();
        self.take_turns();
        // Handshakes come after the established connections, which they must not slow down.
        self.shake_hands();
        self.do_commands();
        self.see_to_end();
        let wait = self.wait();
        self.core.end_turn(wait);
        wait
    }

    fn limit_turn(&mut self, time: Option<Duration>) {
        self.core.turn.set_time(time);
    }

    fn is_done(&self) -> bool {
        self.core.process.was_forked() || self.is_over()
    }

    fn is_forked(&self) -> bool {
        self.core.process.is_forked()
    }

    fn keeps_alive(&self, token: Token) -> bool {
        token.kind() != TokenKind::Waker
    }
}

impl<A: Application> fmt::Debug for Driver<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("stats", &self.core.stats).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::{Address, Peer};
    use crate::application::Accepted;
    use crate::hosts;
    use crate::socket_options::ListenOptions;

    struct Quiet;

    impl Application for Quiet {
        type State = ();
        type Message = ();

        fn accepted(
            &mut self,
            _: &mut DriverContext<'_, Self>,
            _: ListenerId,
            _: &Peer,
        ) -> Option<Accepted<Self>> {
            None
        }

        fn event(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), _: lws_proto::Event<'_>) {}
    }

    #[test]
    fn a_turn_that_begins_late_is_counted_with_its_delay() {
        let mut driver = Driver::new(Quiet, DriverOptions::default()).expect("descriptors");
        driver.attach(Trigger::Level);
        let (due, late) = (Time::from_micros(10_000), Time::from_micros(17_000));
        driver.with(Time::ZERO, |_, cx| cx.set_timer(Some(due)));
        assert_eq!(driver.settle(Time::ZERO), Wait::Until(due));
        driver.settle(Time::from_micros(3_000));
        assert_eq!(driver.stats().lag.sum(), Duration::ZERO, "nothing was due");
        driver.settle(late);
        assert_eq!(driver.stats().lag.sum(), Duration::from_millis(7));
        assert_eq!(driver.stats().turn_time.bound(1_000), None, "turns are not measured");
    }

    #[test]
    fn a_service_that_finds_itself_in_a_child_touches_nothing_of_its_parent() {
        let path = std::env::temp_dir().join(format!("lws-forked-{}", std::process::id()));
        let mut driver = Driver::new(Quiet, DriverOptions::default()).expect("descriptors");
        driver.attach(Trigger::Level);
        let address = Address::Unix(path.clone());
        let listened = driver.with(Time::ZERO, |_, cx| cx.listen(&address, &ListenOptions::default()));
        listened.expect("a listener");
        assert!(!driver.is_forked());
        // Makes the service believe that its host is in another process.
        driver.core.process.id = Some(0);
        assert!(driver.is_forked());
        driver.drain(Duration::ZERO);
        assert!(!driver.core.is_draining());
        let mut forgotten = 0;
        hosts::detach(&mut driver, |_| forgotten += 1);
        assert_eq!(forgotten, 0);
        assert_eq!(driver.settle(Time::from_micros(2_000_000)), Wait::Forever);
        assert!(driver.is_done());
        drop(driver);
        assert!(path.exists(), "the file is the parent's");
        std::fs::remove_file(path).expect("it is there");
    }
}
