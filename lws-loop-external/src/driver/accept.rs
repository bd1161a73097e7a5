//! Accepting connections: which shard gets them, and when a listener stops.

use super::Driver;
use crate::address::Peer;
use crate::announced::Announced;
use crate::application::{Accepted, Application};
use crate::context::{DriverContext, Subject};
use crate::core::Core;
use crate::file_region;
use crate::flags::Flags;
use crate::handshake::Handshaking;
use crate::listener::Accept;
use crate::open::Open;
use crate::registration::Registration;
use crate::shards::Reservation;
use crate::slot::{Body, Slot};
use crate::tls::ListenTls;
use crate::token::{ConnectionId, ListenerId};
use crate::waker::Handover;
use lws_proto::{Config, Connection};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// The cost of accepting a connection, in steps of the service's turn.
const ACCEPT_STEPS: usize = 8;

/// Why a listener accepts no more connections in this turn.
enum Stop {
    /// The queue is empty, or the listener is paused or being closed.
    Empty,
    /// The listener's budget, or half of the service's turn, is used up: it goes on in the next turn.
    Spent,
    /// The limit of connections is reached, here and at all other shards.
    Full,
    /// The process or the system has no descriptor or memory left.
    Exhausted,
}

impl<A: Application> Driver<A> {
    /// Accepts the connections that wait at a listener, within a budget.
    pub(super) fn accept(&mut self, id: ListenerId) {
        let mut budget = self.core.options.accepts_per_turn;
        let stop = loop {
            match self.accept_one(id, budget > 0) {
                Ok(()) => budget -= 1,
                Err(stop) => break stop,
            }
        };
        self.stop_accepting(id, stop);
        let (trigger, core) = (self.core.trigger, &mut self.core);
        if let Some(listener) = core.listeners.get(id) {
            listener.update(trigger, id, &mut core.changes);
        }
    }

    /// Accepts one connection. `may_go_on` says whether the listener has a budget left for it.
    fn accept_one(&mut self, id: ListenerId, may_go_on: bool) -> Result<(), Stop> {
        let now = self.core.now();
        let listener = self.core.listeners.get(id).ok_or(Stop::Empty)?;
        if !listener.is_waiting(now) {
            return Err(Stop::Empty);
        }
        if !may_go_on || self.core.turn.is_half_spent() {
            return Err(Stop::Spent);
        }
        self.core.turn.use_steps(ACCEPT_STEPS);
        // A draining service serves the connections that it accepts itself: the other shards are draining too.
        let stays = listener.stays() || self.core.drain.has_begun();
        let Some(reservation) = self.core.reserve(stays) else {
            return if self.accept_for_another(id) { Ok(()) } else { Err(Stop::Full) };
        };
        let listener = self.core.listeners.get(id).ok_or(Stop::Empty)?;
        let stop = match listener.accept() {
            Accept::Connection(socket, peer) => {
                let tls = listener.tls.clone();
                self.place(reservation, Handover { listener: id, socket, peer, tls });
                return Ok(());
            }
            Accept::Lost => None,
            Accept::None => Some(Stop::Empty),
            Accept::Exhausted => Some(Stop::Exhausted),
        };
        self.core.unreserve(reservation);
        stop.map_or(Ok(()), Err)
    }

    /// Pauses a listener until the reason for its stop is gone.
    fn stop_accepting(&mut self, id: ListenerId, stop: Stop) {
        let now = self.core.now();
        let (listeners, stats) = (&mut self.core.listeners, &mut self.core.stats);
        match stop {
            Stop::Empty => {}
            Stop::Spent => listeners.waiting = true,
            Stop::Full => {
                let Some(listener) = listeners.get(id) else { return };
                listener.pause_while_full(now);
                stats.accept_pauses_total += 1;
                stats.accept_pauses_full_total += 1;
                let stays = listener.stays();
                // A connection of another shard may have ended between the failed reservation and this call, and
                // its notification would have been missed.
                if self.core.member.as_ref().is_some_and(|member| !member.wait_for_room(stays)) {
                    listeners.resume_full();
                }
            }
            Stop::Exhausted => {
                let Some(listener) = listeners.get(id) else { return };
                listener.pause_from(now);
                stats.accept_pauses_total += 1;
                self.application.exhausted(&mut DriverContext::new(&mut self.core, Subject::SERVICE));
            }
        }
    }

    /// Hands a connection over to the shard at which room is reserved.
    fn place(&mut self, reservation: Reservation, handover: Handover) {
        let (Reservation::At(shard), Some(member)) = (reservation, &self.core.member) else {
            return self.accepted(handover);
        };
        // The other shard may have ended in the meantime. Then the connection comes back, and is closed if there is
        // no room here.
        if let Err(handover) = member.hand_over(shard, handover)
            && member.reserve_here()
        {
            self.accepted(handover);
        }
    }

    /// Takes a connection that another shard has accepted.
    pub(super) fn handed_over(&mut self, handover: Handover) {
        if self.core.drain.cuts() {
            self.core.unreserve(Reservation::Here);
        } else {
            self.accepted(handover);
        }
    }

    /// Begins a connection for which room is reserved here.
    pub(super) fn accepted(&mut self, handover: Handover) {
        let Handover { listener, socket, peer, tls } = handover;
        self.core.stats.accepted_total += 1;
        let id = self.core.allocate_reserved();
        let mut cx = DriverContext::new(&mut self.core, Subject::new(id, socket.as_fd()));
        if let Some(timeout) = self.application.expects_proxy_header(&mut cx, listener, &peer) {
            let announced = Announced::new(listener, peer, tls, cx.now() + timeout);
            let body = Body::Announced(Box::new(announced));
            let slot = Slot::new(id, socket, Flags::WRITABLE, Registration::default(), body);
            return self.insert(id, slot, Box::default());
        }
        let plain = tls.is_none();
        let accepted = AcceptedAs { id, socket: socket.as_fd(), listener, peer: &peer, plain };
        let Some(begun) = accept_as(&mut self.application, &mut self.core, accepted) else {
            return self.core.release(id);
        };
        let body = self.body_of(id, begun, tls, &peer);
        // The send buffer of a new socket is empty.
        let slot = Slot::new(id, socket, Flags::WRITABLE, Registration::default(), body);
        self.insert(id, slot, Box::default());
    }

    /// What a connection is first that the application has accepted.
    pub(super) fn body_of(
        &mut self,
        id: ConnectionId,
        begun: Begun<A::State>,
        tls: Option<ListenTls>,
        peer: &Peer,
    ) -> Body<A::State> {
        match (begun, tls) {
            (Begun::Plain(open), _) => Body::Open(open),
            (Begun::Secure(config, state), Some(tls)) => {
                let standing = self.admit_silent(id, peer);
                let deadline = self.core.now() + tls.handshake_timeout;
                Body::Handshaking(Box::new(Handshaking::accepted(tls, standing, config, deadline, state)))
            }
            (Begun::Secure(..), None) => Body::Ended,
        }
    }
}

/// A connection that the application is asked about.
pub(super) struct AcceptedAs<'a> {
    pub(super) id: ConnectionId,
    pub(super) socket: BorrowedFd<'a>,
    pub(super) listener: ListenerId,
    pub(super) peer: &'a Peer,
    /// Without TLS.
    pub(super) plain: bool,
}

/// A connection that the application has accepted.
#[expect(clippy::large_enum_variant, reason = "it is taken apart at once")]
pub(super) enum Begun<S> {
    /// Its engine has been made.
    Plain(Open<S>),
    /// Its engine is made behind the handshake.
    Secure(Arc<Config>, S),
}

/// Asks the application about a connection. `None` if it refuses.
pub(super) fn accept_as<A: Application>(
    application: &mut A,
    core: &mut Core<A>,
    accepted: AcceptedAs<'_>,
) -> Option<Begun<A::State>> {
    let AcceptedAs { id, socket, listener, peer, plain } = accepted;
    let mut cx = DriverContext::new(core, Subject::new(id, socket));
    let Accepted { config, mut state } = application.accepted(&mut cx, listener, peer)?;
    if !plain {
        return Some(Begun::Secure(config, state));
    }
    let mut connection = Connection::server(cx.now(), config);
    if file_region::are_sent_through(socket) {
        connection.send_regions();
    }
    application.opened(&mut cx, &mut state, &mut connection);
    Some(Begun::Plain(Open { connection, state, secure: None }))
}
