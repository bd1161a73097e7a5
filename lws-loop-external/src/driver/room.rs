//! Room for new connections when the limit is reached: an idle connection is closed in favour of a new one.

use super::Driver;
use crate::application::Application;
use crate::listener::Accept;
use crate::slot::Body;
use crate::tls::{Failure, Reason};
use crate::token::{ConnectionId, ListenerId};
use crate::waker::Handover;
use std::time::Duration;

/// The time for which an idle connection is spared while others wait: one that was just opened is about to send a
/// request.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// The most entries that one search visits, so that a full table does not take a whole turn.
const LOOKED_AT_MAX: u32 = 1_024;

impl<A: Application> Driver<A> {
    /// Accepts a connection beyond the limit, and ends an idle one for it: the one with TLS that has been silent for
    /// the longest time, or one that has neither a request nor a stream. Until the host has let go of that one, the
    /// limit is exceeded by one and never by two. Returns false if no connection is idle.
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
            // The accept queue was empty after all, and the listener has noted that.
            Accept::None | Accept::Lost => true,
            Accept::Exhausted => false,
        }
    }

    /// Finds the next idle connection. The search begins where the last one ended.
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
