//! A service of connections: sockets on one side, the engine and an application on the other.

pub(crate) mod handshakes;
mod kinds;
mod letters;
mod work;

use crate::application::{Accepted, Application};
use crate::connect::{ConnectCause, ConnectPhase, Connects, Resolver};
use crate::context::{Command, Context, Core, Drain, NEVER};
use crate::handshake::{Handshaking, Side};
use crate::listener::{Accept, Listener, Paused};
use crate::net::Owned;
use crate::options::DriverOptions;
use crate::registration::{Next, Registration};
use crate::service::{Change, Interest, Readiness, Service, Token, Trigger, Wait};
use crate::shards::{Place, Shard};
use crate::stats::Stats;
use crate::table::{Body, Flags, Open, Slot, Table};
use crate::tls::{Failure, ListenTls};
use crate::token::{ConnectionId, Kind, ListenerId};
use crate::turn::{self, Buffers};
use crate::udp;
use crate::waker::{Handle, Handover};
use crate::watch;
use lws_proto::{Connection, Time};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

/// Owns an application and the sockets of its connections. A loop hosts it as a [`Service`].
pub struct Driver<A: Application> {
    pub(crate) application: A,
    pub(crate) core: Core<A>,
    pub(crate) table: Table<A::State>,
    pub(crate) connects: Connects<A::State>,
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

    /// Names of outgoing connections are resolved by this one from now on, in place of
    /// [`SystemResolver`](crate::SystemResolver). What the one before it was asked for, it does not answer any more.
    #[doc(alias = "lws_async_dns_query")]
    pub fn set_resolver(&mut self, resolver: impl Resolver) {
        self.connects.set_resolver(Box::new(resolver));
    }

    /// The service of one shard: on the thread where it will be hosted.
    pub fn sharded(application: A, shard: Shard<A::Message>) -> Self {
        let buffers = Buffers::new(&shard.options);
        Self::of(application, Core::sharded(shard), buffers)
    }

    fn of(application: A, core: Core<A>, buffers: Buffers) -> Self {
        let connects = Connects::new(Arc::new(Handle::of(&core.mailbox)));
        Self { application, core, table: Table::new(), connects, buffers }
    }

    /// The application.
    #[must_use]
    pub fn application(&self) -> &A {
        &self.application
    }

    /// The application. Use [`with`](Self::with) for what needs a [`Context`].
    #[must_use]
    pub fn application_mut(&mut self) -> &mut A {
        &mut self.application
    }

    /// Lends the application and a context, between the calls of a host: to listen, to connect, to set a timer, to drain.
    /// `now` is the host's.
    pub fn with<R>(&mut self, now: Time, call: impl FnOnce(&mut A, &mut Context<'_, A>) -> R) -> R {
        self.tick(now);
        call(
            &mut self.application,
            &mut Context { core: &mut self.core, connection: None, socket: None, tls: None },
        )
    }

    /// What other threads reach the service through.
    #[must_use]
    pub fn handle(&self) -> Handle<A::Message> {
        Handle::of(&self.core.mailbox)
    }

    /// What the service has done so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.core.stats
    }

    /// See [`Context::drain`]. The service ends by the time of the next turns.
    pub fn drain(&mut self, timeout: Duration) {
        Context { core: &mut self.core, connection: None, socket: None, tls: None }.drain(timeout);
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
            Body::Open(_) => {
                if turn::take(application, core, buffers, id, slot) {
                    self.end(id);
                }
            }
            Body::Ended => {}
            _ => self.ready_elsewhere(id, ready),
        }
    }

    /// A socket that races, or has won its race. Apart, so that the way of all the others stays in one piece.
    #[cold]
    fn lane_ready(&mut self, token: Token, ready: Readiness) {
        let Some(id) = self.connects.connection(token) else { return self.attempt_ready(token, ready) };
        let Some(slot) = self.table.get(id) else { return };
        slot.registration.reported(self.core.trigger, id.token(), &mut self.core.changes);
        slot.flags.note(ready);
        self.take_turn(id);
    }

    /// Does what a connection has to do now.
    pub(crate) fn take_turn(&mut self, id: ConnectionId) {
        let Self { application, core, table, buffers, .. } = self;
        let Some(slot) = table.get(id) else { return };
        let ended = match &slot.body {
            Body::Open(_) | Body::Piped(_) => turn::take(application, core, buffers, id, slot),
            Body::Watched(_) => watch::take(application, core, id, slot),
            Body::Datagrams(_) => udp::turn::take(application, core, &mut buffers.datagrams, id, slot),
            Body::Handshaking(_) => return self.shake(id),
            Body::Output(_) | Body::Ended => false,
        };
        if let Body::Piped(piped) = &slot.body
            && let Some((place, wanted)) = piped.output()
        {
            self.see_to_output(place, wanted.filter(|_| !ended));
        }
        if ended {
            self.end(id);
        }
    }

    /// The end of a connection. The descriptor stays until the host lets go of it.
    #[cold]
    fn end(&mut self, id: ConnectionId) {
        self.end_with(id, ConnectCause::GivenUp { phase: ConnectPhase::Tls });
    }

    /// The same. An outgoing connection that was still in its handshake has never been one: `cause` is why.
    fn end_with(&mut self, id: ConnectionId, cause: ConnectCause) {
        let Some(slot) = self.table.get(id) else { return };
        let body = std::mem::replace(&mut slot.body, Body::Ended);
        let socket = Some(slot.socket.as_fd());
        let mut cx = Context { core: &mut self.core, connection: Some(id), socket, tls: None };
        let mut output = None;
        let mut accepted_handshake = false;
        match body {
            Body::Open(open) => self.application.closed(&mut cx, open.state),
            Body::Handshaking(shaking) => {
                let Handshaking { side, state, .. } = *shaking;
                match side {
                    Side::Server { .. } => {
                        accepted_handshake = true;
                        self.application.closed(&mut cx, state);
                    }
                    Side::Client { origin, .. } => {
                        cx.core.stats.connect_failed_total += 1;
                        self.application.connect_failed(&mut cx, state, origin.into_error(cause));
                    }
                }
            }
            Body::Piped(piped) => {
                output = piped.output();
                self.application.closed(&mut cx, piped.into_state());
            }
            Body::Watched(watched) => self.application.closed(&mut cx, watched.state),
            Body::Datagrams(datagrams) => self.application.closed(&mut cx, datagrams.state),
            Body::Output(_) => {}
            Body::Ended => return,
        }
        self.core.timers.cancel(id.index);
        slot.registration.remove(id.token(), &mut self.core.changes);
        if let Some((place, _)) = output {
            self.see_to_output(place, None);
        }
        if accepted_handshake {
            self.handshake_over();
        }
        self.return_letters(id);
    }

    /// Closes the descriptor, and frees its place.
    fn free(&mut self, id: ConnectionId) {
        if self.table.remove(id).is_some() {
            self.connects.gone(id);
            self.core.release(id);
        }
    }

    // Connections that begin.

    fn accept(&mut self, id: ListenerId) {
        let mut budget = self.core.options.accepts_per_turn.max(1);
        loop {
            let now = self.core.now;
            let Some(listener) = self.core.listeners.get(id) else { return };
            if !listener.is_waiting(now) {
                break;
            }
            if listener.tls.is_some()
                && self.core.stats.tls_handshakes >= self.core.options.tls_handshakes_max
            {
                listener.pause(Paused::Handshakes);
                self.core.stats.accept_pauses_total += 1;
                break;
            }
            if budget == 0 {
                self.core.listeners.waiting = true;
                break;
            }
            budget -= 1;
            let stays = listener.stays();
            let Some(place) = self.core.reserve(stays) else {
                self.pause_while_full(id);
                break;
            };
            let Some(listener) = self.core.listeners.get(id) else { return };
            match listener.accept() {
                Accept::Connection(socket, peer) => {
                    let tls = listener.tls.clone();
                    self.seat(place, Handover { listener: id, socket, peer, tls });
                    continue;
                }
                Accept::Lost => self.core.unreserve(place),
                Accept::None => {
                    self.core.unreserve(place);
                    break;
                }
                Accept::Exhausted => {
                    listener.pause_from(now);
                    self.core.stats.accept_pauses_total += 1;
                    self.core.unreserve(place);
                    break;
                }
            }
        }
        let Core { listeners, changes, trigger, .. } = &mut self.core;
        if let Some(listener) = listeners.get(id) {
            listener.update(*trigger, id, changes);
        }
    }

    /// There are as many connections as there may be, here and at all other shards.
    fn pause_while_full(&mut self, id: ListenerId) {
        let Core { listeners, seat, stats, .. } = &mut self.core;
        let Some(listener) = listeners.get(id) else { return };
        listener.pause(Paused::Full);
        stats.accept_pauses_total += 1;
        if seat.as_ref().is_some_and(|seat| !seat.wait_for_room(listener.stays())) {
            listeners.room(Paused::Full);
        }
    }

    /// Takes a connection for which a place is reserved, here or at another shard.
    fn seat(&mut self, place: Place, handover: Handover) {
        match (place, &self.core.seat) {
            (Place::At(shard), Some(seat)) => seat.hand_over(shard, handover),
            _ => self.accepted(handover),
        }
    }

    /// A connection that another shard has accepted.
    fn handed_over(&mut self, handover: Handover) {
        if self.core.is_draining() {
            self.core.unreserve(Place::Here);
        } else {
            self.accepted(handover);
        }
    }

    /// A place is reserved for it.
    fn accepted(&mut self, handover: Handover) {
        let Handover { listener, socket, peer, tls } = handover;
        self.core.stats.accepted_total += 1;
        let id = self.core.allocate_reserved();
        let lent = Some(socket.as_fd());
        let mut cx = Context { core: &mut self.core, connection: Some(id), socket: lent, tls: None };
        let Some(Accepted { config, mut state }) = self.application.accepted(&mut cx, listener, &peer) else {
            return self.core.release(id);
        };
        let body = match tls {
            None => {
                let mut connection = Connection::server(cx.core.now, config);
                self.application.opened(&mut cx, &mut state, &mut connection);
                Body::Open(Open { connection, state, secure: None })
            }
            Some(ListenTls { provider, plain, handshake_timeout }) => match provider.session() {
                Ok(session) => {
                    self.core.stats.tls_handshakes += 1;
                    let deadline = self.core.now + handshake_timeout;
                    let side = Side::Server { plain };
                    Body::Handshaking(Box::new(Handshaking::new(session, config, side, deadline, state)))
                }
                Err(failure) => return self.not_accepted(id, &socket, state, &failure),
            },
        };
        let mut flags = Flags::default();
        flags.insert(Flags::WRITABLE);
        let registration = Registration::default();
        let generation = id.generation;
        self.insert(
            id,
            Slot { body, scheduled: NEVER, generation, socket, flags, registration },
            Box::default(),
        );
    }

    /// Its listener cannot make a session.
    #[cold]
    fn not_accepted(&mut self, id: ConnectionId, socket: &Owned, mut state: A::State, failure: &Failure) {
        self.core.stats.count_tls_failure(failure);
        let socket = Some(socket.as_fd());
        let mut cx = Context { core: &mut self.core, connection: Some(id), socket, tls: None };
        self.application.tls_failed(&mut cx, &mut state, failure);
        self.application.closed(&mut cx, state);
        self.core.release(id);
    }

    fn insert(&mut self, id: ConnectionId, mut slot: Slot<A::State>, received: Box<[u8]>) {
        if let Body::Handshaking(shaking) = &slot.body {
            slot.scheduled = shaking.deadline;
            self.core.timers.set(id.index, shaking.deadline);
        }
        // An edge is never modified.
        let wanted = match &slot.body {
            _ if self.core.trigger == Trigger::Edge => Interest::BOTH,
            Body::Watched(watched) => watched.watch.interest(),
            Body::Output(_) => Interest::NONE,
            _ => Interest::READ,
        };
        slot.registration.want(wanted, id.token(), &mut self.core.changes);
        self.table.insert(id, slot);
        // A raw connection has something to say before it receives.
        self.take_turn(id);
        if !received.is_empty() {
            self.receive_first(id, received);
        }
        if matches!(self.core.drain, Drain::Until(_) | Drain::Over) {
            // It was asked for before the service was asked to end.
            self.do_command(Command::Close(id));
        }
    }

    // Registrations.

    /// Notes the end of a registration that the host does not have, or has no more.
    fn let_go(&mut self, token: Token) {
        match token.kind() {
            Kind::Connection | Kind::Lane => match self.in_table(token) {
                Some(id) => self.free(id),
                None => {
                    if let Some(id) = self.connects.let_go(token) {
                        self.core.release(id);
                    }
                }
            },
            Kind::Listener => {
                let id = ListenerId::of(token);
                self.core.listeners.free(id);
            }
            Kind::Waker => {}
        }
    }

    /// The connection in the table that a token is a name of.
    fn in_table(&self, token: Token) -> Option<ConnectionId> {
        self.connects.connection(token).filter(|id| self.table.peek(*id).is_some())
    }

    /// The registration behind a token, and its descriptor.
    fn registration(&mut self, token: Token) -> Option<(&mut Registration, i32)> {
        match token.kind() {
            Kind::Connection | Kind::Lane => {
                if let Some(id) = self.in_table(token) {
                    let slot = self.table.get(id)?;
                    return Some((&mut slot.registration, slot.socket.as_raw_fd()));
                }
                let (registration, socket) = self.connects.registration(token)?;
                Some((registration, socket.as_raw_fd()))
            }
            Kind::Listener => {
                let id = ListenerId::of(token);
                let listener = self.core.listeners.get(id)?;
                let fd = listener.fd();
                Some((&mut listener.registration, fd))
            }
            Kind::Waker => Some((&mut self.core.waker, self.core.mailbox.bell().descriptor().as_raw_fd())),
        }
    }
}

impl<A: Application> Service for Driver<A> {
    fn attach(&mut self, trigger: Trigger) {
        self.core.hand_over(trigger);
        let changes = &mut self.core.changes;
        self.core.waker.forget(Token::WAKER, changes);
        for id in self.core.listeners.ids() {
            if let Some(listener) = self.core.listeners.get(id) {
                listener.registration.forget(id.token(), changes);
                listener.update(trigger, id, changes);
            }
        }
        for index in 0..self.table.end() {
            let Some(slot) = self.table.at(index) else { continue };
            let id = ConnectionId { index, generation: slot.generation };
            slot.registration.forget(id.token(), changes);
            if !matches!(slot.body, Body::Ended) {
                slot.registration.want(Interest::BOTH, id.token(), changes);
            }
        }
        self.connects.forget(changes);
    }

    fn poll_change(&mut self) -> Option<Change> {
        loop {
            let token = self.core.changes.pop_front()?;
            let name = self.connects.outward(token);
            let Some((registration, fd)) = self.registration(token) else { continue };
            match registration.next(name, fd) {
                Next::Same => {}
                Next::Tell(change) => return Some(change),
                Next::Free => self.let_go(token),
            }
        }
    }

    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        match token.kind() {
            Kind::Connection | Kind::Lane => match self.in_table(token) {
                Some(id) => self.table.peek(id).map(|slot| slot.socket.as_fd()),
                None => self.connects.descriptor(token),
            },
            Kind::Listener => {
                let id = ListenerId::of(token);
                self.core.listeners.peek(id).map(Listener::socket)
            }
            Kind::Waker => Some(self.core.mailbox.bell().descriptor()),
        }
    }

    #[inline]
    fn handle_ready(&mut self, now: Time, token: Token, ready: Readiness) {
        self.tick(now);
        match token.kind() {
            Kind::Connection => self.connection_ready(token, ready),
            Kind::Lane => self.lane_ready(token, ready),
            Kind::Listener => {
                let id = ListenerId::of(token);
                let Core { listeners, changes, trigger, .. } = &mut self.core;
                if let Some(listener) = listeners.get(id) {
                    listener.reported(*trigger, id, changes);
                    self.accept(id);
                }
            }
            Kind::Waker => {
                self.core.waker.reported(self.core.trigger, token, &mut self.core.changes);
                self.look_into_mailbox();
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
            Kind::Connection | Kind::Lane => match self.in_table(token) {
                Some(id) => self.refused_in_table(id, error),
                None => self.attempt_refused(token, error),
            },
            Kind::Listener => {
                self.core.unlisten(ListenerId::of(token));
            }
            // It is looked at in each turn all the same.
            Kind::Waker => {}
        }
    }

    fn settle(&mut self, now: Time) -> Wait {
        self.tick(now);
        if self.core.mailbox.has_rung() {
            self.look_into_mailbox();
        }
        self.handle_timeouts();
        self.take_turns();
        self.accept_waiting();
        self.see_to_drain();
        self.do_commands();
        self.wait()
    }

    fn is_done(&self) -> bool {
        let connections = self.core.stats.connections;
        self.core.is_draining()
            && connections == 0
            && self.connects.is_empty()
            && self.core.listeners.is_empty()
    }

    fn keeps_alive(&self, token: Token) -> bool {
        token.kind() != Kind::Waker
    }
}

impl<A: Application> fmt::Debug for Driver<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("stats", &self.core.stats).finish_non_exhaustive()
    }
}
