//! Bytes of the peer that are lent to a connection for a while.

use crate::connection::carried::CarriedReceiver;
use crate::connection::dispatch::{Receiving, advance, is_settled, lend, lend_in_one, message_in_one};
use crate::{Connection, Event, Time, Transmit};
use core::fmt;

/// Bytes of the peer, lent for a while. See [`Connection::receive`].
pub struct Feed<'c, 'b> {
    connection: &'c mut Connection,
    bytes: &'b mut [u8],
    /// The position of the first unprocessed byte.
    at: usize,
}

impl<'c, 'b> Feed<'c, 'b> {
    pub(super) fn new(connection: &'c mut Connection, bytes: &'b mut [u8]) -> Self {
        Self { connection, bytes, at: 0 }
    }

    /// The next event. `None` when all bytes are processed, or the application holds the input back.
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

    /// The next event, outside of the fast path for whole messages.
    fn next_item(&mut self) -> Option<Event<'_>> {
        let Connection { inbound, outbound } = &mut *self.connection;
        inbound.release(outbound);
        // Kept input was processed before.
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

    /// The bytes that the transport should take now, for an application that holds the input back until its answers
    /// are sent.
    pub fn transmit(&mut self, now: Time) -> Option<Transmit<'_>> {
        self.connection.transmit(now)
    }

    /// The number of unprocessed bytes.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }
}

impl Feed<'_, '_> {
    /// Keeps unprocessed bytes, and counts held memory.
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
        // Almost always all bytes are processed, and no message was assembled for the last event.
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
