//! Connections that listeners accept: which shard gets them, and why a listener stops.

use super::Driver;
use crate::application::{Accepted, Application};
use crate::context::{DriverContext, Subject};
use crate::flags::Flags;
use crate::handshake::Handshaking;
use crate::listener::Accept;
use crate::open::Open;
use crate::registration::Registration;
use crate::shards::Reservation;
use crate::slot::{Body, Slot};
use crate::token::ListenerId;
use crate::waker::Handover;
use lws_proto::Connection;
use std::os::fd::AsFd;

/// What it costs to accept a connection, in steps of the service's turn.
const ACCEPT_STEPS: usize = 8;

/// Why a listener accepts no more connections in this turn.
enum Stop {
    /// It has none, it pauses already, or it is being closed.
    Empty,
    /// Nothing is left of its budget, or half of the service's turn is over: it goes on in the next turn.
    Spent,
    /// There are as many connections as there may be, here and at all other shards.
    Full,
    /// The process or the system has no descriptor or memory left.
    Exhausted,
}

impl<A: Application> Driver<A> {
    /// Accepts what waits at a listener, within a budget.
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
        // A service that ends answers what it has accepted itself.
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

    /// Sees to it that a listener goes on when the reason for its stop is gone.
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
                let stays = listener.stays();
                // A connection of another shard may have ended since the look, and no notice would come of it.
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

    /// Hands a connection to the shard where it is reserved.
    fn place(&mut self, reservation: Reservation, handover: Handover) {
        let (Reservation::At(shard), Some(member)) = (reservation, &self.core.member) else {
            return self.accepted(handover);
        };
        // A shard that has ended meanwhile gives the connection back. What is then too much for this one is closed.
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

    /// Begins a connection that is reserved here.
    pub(super) fn accepted(&mut self, handover: Handover) {
        let Handover { listener, socket, peer, tls } = handover;
        self.core.stats.accepted_total += 1;
        let id = self.core.allocate_reserved();
        let mut cx = DriverContext::new(&mut self.core, Subject::new(id, socket.as_fd()));
        let Some(Accepted { config, mut state }) = self.application.accepted(&mut cx, listener, &peer) else {
            return self.core.release(id);
        };
        let body = match tls {
            None => {
                let mut connection = Connection::server(cx.now(), config);
                self.application.opened(&mut cx, &mut state, &mut connection);
                Body::Open(Open { connection, state, secure: None })
            }
            Some(tls) => {
                let standing = self.admit_silent(id, &peer);
                let deadline = self.core.now() + tls.handshake_timeout;
                let shaking = Handshaking::accepted(tls, standing, config, deadline, state);
                Body::Handshaking(Box::new(shaking))
            }
        };
        // A socket that was just accepted has room to write.
        let slot = Slot::new(id, socket, Flags::WRITABLE, Registration::default(), body);
        self.insert(id, slot, Box::default());
    }
}
