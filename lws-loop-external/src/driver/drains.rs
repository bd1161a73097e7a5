//! The drain of a service: waiting connections are accepted and answered, connections are closed, and those left at
//! the deadline are cut off.

use super::Driver;
use crate::application::Application;
use crate::command::Command;
use crate::drain::Drain;
use crate::flags::Flags;
use crate::slot::Body;
use crate::token::ConnectionId;
use std::time::Duration;

/// The most connections that are still accepted when a drain begins: Linux's default for one accept queue. A bound is
/// needed because new ones keep arriving.
const ACCEPT_QUEUE_MAX: u64 = 4_096;
/// The most connections that one call of `settle` closes or cuts off.
const CLOSE_MAX: usize = 256;
/// How often the connections of a service that retires are visited: those whose protocol was not known the last time.
const RETIRE_PERIOD: Duration = Duration::from_secs(1);
/// The most turns in which a closing connection reads what lies in its socket. With the default budget that is more
/// than the system's receive buffer holds.
const LOOKS_MAX: u8 = 32;

impl<A: Application> Driver<A> {
    /// Takes the next steps of a drain.
    pub(super) fn see_to_drain(&mut self) {
        self.see_to_retirement();
        if !self.core.is_draining() {
            return;
        }
        if let Drain::Asked(timeout) = self.core.drain {
            self.core.drain = Drain::Accepting { until: self.core.now() + timeout, left: ACCEPT_QUEUE_MAX };
            for id in self.core.listeners.ids() {
                // Accept without waiting for a report of the host: connections may have arrived since the last one.
                self.core.listeners.get(id).into_iter().for_each(|listener| listener.expect());
            }
        }
        if matches!(self.core.drain, Drain::Accepting { .. }) {
            self.empty_accept_queues();
        }
        if let Drain::Closing { until, from } = self.core.drain {
            let close = |driver: &mut Self, id| driver.drain_connection(id, LOOKS_MAX);
            self.core.drain = match self.walk(from, close) {
                Some(from) => Drain::Closing { until, from },
                None => Drain::Until(until),
            };
        }
        if matches!(self.core.drain, Drain::Until(at) if at <= self.core.now()) {
            self.core.drain = Drain::Cutting { from: 0 };
        }
        if let Drain::Cutting { from } = self.core.drain {
            let cut = |driver: &mut Self, id| {
                driver.look(id);
                driver.do_command(Command::Abort(id));
            };
            self.core.drain = self.walk(from, cut).map_or(Drain::Over, |from| Drain::Cutting { from });
        }
    }

    /// Has connections end by themselves: those that were not visited yet, and from time to time all again, as the protocol of some is
    /// known by then.
    fn see_to_retirement(&mut self) {
        let Drain::Retiring { until, timeout, next, from } = self.core.drain else { return };
        let now = self.core.now();
        if until <= now {
            self.core.drain = Drain::Asked(timeout);
        } else if next <= now {
            let retire = |driver: &mut Self, id| driver.do_command(Command::Retire(id));
            self.core.drain = match self.walk_table(from, retire) {
                Ok(_) => Drain::Retiring { until, timeout, next: now + RETIRE_PERIOD, from: 0 },
                Err(from) => Drain::Retiring { until, timeout, next, from },
            };
        }
    }

    /// Accepts the connections that peers believe to be established, and then closes the listeners.
    fn empty_accept_queues(&mut self) {
        let accepted_before = self.core.stats.accepted_total;
        let ids = self.core.listeners.ids();
        ids.iter().for_each(|id| self.accept(*id));
        let now = self.core.now();
        let is_waiting = |id| self.core.listeners.get(id).is_some_and(|listener| listener.is_waiting(now));
        let more = ids.iter().copied().any(is_waiting);
        let accepted = self.core.stats.accepted_total - accepted_before;
        let Drain::Accepting { until, left } = self.core.drain else { return };
        let left = left.saturating_sub(accepted);
        if more && left > 0 {
            self.core.drain = Drain::Accepting { until, left };
            return;
        }
        if let Some(member) = &self.core.member {
            member.close();
        }
        for id in ids {
            self.core.unlisten(id);
        }
        self.core.drain = Drain::Closing { until, from: 0 };
    }

    /// Visits the entries of the table, from an index on. Returns how many more may be visited in this turn.
    ///
    /// # Errors
    /// The index at which to go on in the next turn.
    fn walk_table(
        &mut self,
        from: u32,
        mut visit: impl FnMut(&mut Self, ConnectionId),
    ) -> Result<usize, u32> {
        let mut left = CLOSE_MAX;
        for index in from..self.table.end() {
            let Some(slot) = self.table.at(index) else { continue };
            if left == 0 || self.core.turn.is_half_spent() {
                return Err(index);
            }
            left -= 1;
            let id = ConnectionId { index, generation: slot.generation };
            visit(self, id);
        }
        Ok(left)
    }

    /// Visits the entries of the table, from an index on, and then the connections that are being made. Returns the
    /// index at which to go on, if the pass is not finished.
    fn walk(&mut self, from: u32, visit: impl FnMut(&mut Self, ConnectionId)) -> Option<u32> {
        let left = match self.walk_table(from, visit) {
            Ok(left) => left,
            Err(from) => return Some(from),
        };
        let making = self.connects.ids();
        for id in making.iter().copied().take(left) {
            self.give_up(id);
        }
        (making.len() > left).then(|| self.table.end())
    }

    /// Ends a connection in an orderly way after its input has been read, which gets at most `looks` more turns.
    pub(super) fn drain_connection(&mut self, id: ConnectionId, looks: u8) {
        self.look(id);
        let slot = self.table.get(id);
        if slot.is_some_and(|slot| matches!(&slot.body, Body::Watched(it) if it.watch.outlasts_drain)) {
            return;
        }
        let has_more = self.table.get(id).is_some_and(|slot| slot.flags.has(Flags::LISTED));
        match looks.checked_sub(1) {
            Some(looks) if has_more => self.core.commands.push_back(Command::Drain(id, looks)),
            _ => self.do_command(Command::Close(id)),
        }
    }

    /// Whether nothing is left of the service except messages.
    pub(super) fn has_ended(&self) -> bool {
        self.core.drain.ends()
            && self.core.stats.connections == 0
            && self.connects.is_empty()
            && self.core.listeners.is_empty()
    }

    /// Closes the mailbox of a service that has ended. The messages that it has accepted are still delivered.
    pub(super) fn see_to_end(&mut self) {
        if self.has_ended() {
            self.core.messages.close();
            self.look_into_mailbox();
            self.do_commands();
        }
    }

    /// Whether the service has ended and every message has been delivered.
    pub(super) fn is_over(&self) -> bool {
        self.has_ended() && self.core.commands.is_empty() && self.core.messages.is_over()
    }
}
