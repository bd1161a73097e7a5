//! Room for new connections when there are as many as there may be: one that has nothing to do gives way.

use super::Driver;
use crate::application::Application;
use crate::listener::Accept;
use crate::slot::Body;
use crate::tls::{Failure, Reason};
use crate::token::{ConnectionId, ListenerId};
use crate::waker::Handover;
use std::time::Duration;

/// How long a connection may stand idle while others wait for its place: one that was just opened is about to ask.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// Places that are looked at in one go, so that a full table costs no turn of its own.
const LOOKED_AT_MAX: u32 = 1_024;

impl<A: Application> Driver<A> {
    /// Accepts a connection although there are as many as there may be, and ends an idle one for it: one with TLS that has sent
    /// nothing for the longest time, or one that has neither a request nor a stream. There is one too many until the host has
    /// let go of that, and no second one. False if none gives way.
    pub(super) fn accept_for_another(&mut self, listener: ListenerId) -> bool {
        if self.core.stats.connections > self.core.connections_max {
            return false;
        }
        let silent = self.handshakes.oldest_silent();
        let Some(victim) = silent.or_else(|| self.find_idle()) else { return false };
        let Some(accepting) = self.core.listeners.get(listener) else { return false };
        match accepting.accept() {
            Accept::Connection(socket, peer) => {
                let tls = accepting.tls.clone();
                if silent.is_some() {
                    self.handshake_failed(victim, Failure::silent(Reason::GaveWay));
                } else {
                    self.end_idle(victim);
                }
                if let Some(member) = &self.core.member {
                    member.take();
                }
                self.accepted(Handover { listener, socket, peer, tls });
                true
            }
            // There is none after all, which the listener knows now.
            Accept::None | Accept::Lost => true,
            Accept::Exhausted => false,
        }
    }

    /// The next connection that is idle. The search goes on where the one before it ended.
    fn find_idle(&mut self) -> Option<ConnectionId> {
        let end = self.table.end();
        let now = self.core.now();
        for _ in 0..end.min(LOOKED_AT_MAX) {
            let index = self.sweep;
            self.sweep = if index + 1 < end { index + 1 } else { 0 };
            let Some(slot) = self.table.at(index) else { continue };
            if let Body::Open(open) = &slot.body
                && open.connection.idle_since().is_some_and(|since| since + IDLE_GRACE <= now)
            {
                return Some(ConnectionId { index, generation: slot.generation });
            }
        }
        None
    }

    fn end_idle(&mut self, id: ConnectionId) {
        if let Some(open) = self.table.get(id).and_then(|slot| slot.body.open_mut()) {
            self.core.stats.idle_gave_way_total += 1;
            open.connection.abort();
        }
        self.take_turn(id);
    }
}
