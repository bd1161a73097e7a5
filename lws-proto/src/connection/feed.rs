//! Bytes of the peer that are lent to a connection for a while.

use crate::connection::carried::CarriedReceiver;
use crate::connection::dispatch::{Receiving, advance, is_settled, lend, lend_in_one, message_in_one};
use crate::{Connection, Event, Time, Transmit};
use core::fmt;

/// Bytes of the peer, lent for a while. See [`Connection::receive`].
pub struct Feed<'c, 'b> {
    connection: &'c mut Connection,
    bytes: &'b mut [u8],
    /// Where the part begins that has not been looked at.
    at: usize,
}

impl<'c, 'b> Feed<'c, 'b> {
    pub(super) fn new(connection: &'c mut Connection, bytes: &'b mut [u8]) -> Self {
        Self { connection, bytes, at: 0 }
    }

    /// The next thing that happened. `None` when everything has been looked at, or the application holds the input.
    #[inline(always)]
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        note!(self.connection.outbound, Note::Event);
        let Connection { inbound, outbound } = &mut *self.connection;
        if inbound.is_bare() {
            if self.at == self.bytes.len() {
                if outbound.channel.is_undisturbed() && is_settled(&inbound.receiver, outbound) {
                    return None;
                }
            } else if outbound.channel.only_reads()
                && let Receiving::Carried(CarriedReceiver::WebSocket(receiver)) = &mut inbound.receiver
                && let Some(found) = message_in_one(receiver, outbound, self.bytes, &mut self.at)
            {
                return Some(lend_in_one(found, &mut self.connection.outbound, self.bytes));
            }
        }
        self.next_item()
    }

    /// The next thing that is not a whole message in the input of an undisturbed WebSocket, nor the end of the input.
    fn next_item(&mut self) -> Option<Event<'_>> {
        let Connection { inbound, outbound } = &mut *self.connection;
        inbound.release(outbound);
        // What was kept came first.
        if self.connection.inbound.kept.is_some() {
            if let Some(found) = self.connection.advance_kept() {
                return Some(self.connection.lend_kept(found));
            }
            if self.connection.inbound.kept.is_some() {
                return None;
            }
        }
        let Connection { inbound, outbound } = &mut *self.connection;
        let found = advance(&mut inbound.receiver, outbound, self.bytes, &mut self.at);
        if found.is_none() && inbound.replay(outbound) {
            return self.connection.next_kept();
        }
        let (item, base) = found?;
        let Connection { inbound, outbound } = &mut *self.connection;
        inbound.assembled = item.is_assembled();
        Some(lend(item, base, self.bytes, &mut inbound.receiver, outbound))
    }

    /// What the transport should take now: when the application holds the input until its answers have gone.
    pub fn transmit(&mut self, now: Time) -> Option<Transmit<'_>> {
        self.connection.transmit(now)
    }

    /// Bytes that have not been looked at.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }
}

impl Feed<'_, '_> {
    /// Keeps what has not been looked at, and counts what is held.
    #[cold]
    fn take_back(&mut self) {
        let Connection { inbound, outbound } = &mut *self.connection;
        if self.at < self.bytes.len() {
            outbound.resources.account.charge(self.bytes.len() - self.at);
            inbound.keep(&self.bytes[self.at..]);
        }
        inbound.release(outbound);
        if outbound.link().is_multiplexed() {
            self.connection.count_held();
        }
    }
}

impl Drop for Feed<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        note!(self.connection.outbound, Note::FeedEnd);
        // Almost always everything has been looked at, and nothing was put together for the last event.
        let connection = &*self.connection;
        let rest = self.at < self.bytes.len();
        if rest || connection.inbound.assembled || connection.outbound.link().is_multiplexed() {
            self.take_back();
        }
    }
}

impl fmt::Debug for Feed<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("remaining", &self.remaining()).finish_non_exhaustive()
    }
}
