//! A server's handling of a peer that has ended its direction. RFC 9113 has no half-closed connections: windows do not
//! grow any more, so output that waits for one waits for ever, and no frame shows whether the peer still reads.

use super::super::code::ErrorCode;
use super::super::shutdown::HalfClosed;
use super::super::slot::Slot;
use super::super::streams::{Message, WaitsFor};
use super::Session;
use crate::connection::item::Item;
use crate::connection::link::Link;
use crate::connection::stream::Notices;
use crate::{Cause, Deadline, Time};
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Session {
    /// Handles the end of the peer's direction: incomplete requests end, and so do responses that wait for a window;
    /// exchanges that are still to be answered are notified.
    pub(in crate::h2) fn note_peer_end(&mut self, link: &mut Link) {
        let mut unnotified = Vec::new();
        for slot in self.streams.taken() {
            let stream = self.streams.at(slot);
            // A request whose end waits behind held content is complete.
            if stream.state.receives() && !stream.core.notices.has(Notices::PEER_ENDED) {
                // The peer may still read, and must not take an incomplete response for a complete one.
                self.give_up(link, slot, Cause::Disconnected);
            } else if stream.tunnel().is_none() && stream.message() != Message::Ended {
                unnotified.push((slot, stream.id));
            }
        }
        let timeout = link.config.limits.half_closed_timeout;
        self.shutdown.half_closed = Some(Box::new(HalfClosed { timeout, unnotified, starves: true }));
        for slot in self.streams.taken() {
            self.note_progress(slot, link.now);
        }
    }

    /// Restarts the time of an exchange, which has sent something, or whose peer has just ended its direction.
    #[inline]
    pub(in crate::h2) fn note_progress(&mut self, slot: Slot, now: Time) {
        if let Some(half_closed) = &self.shutdown.half_closed {
            let due = now + half_closed.timeout;
            self.arm_half_closed(slot, due);
        }
    }

    #[cold]
    fn arm_half_closed(&mut self, slot: Slot, due: Time) {
        let stream = self.streams.at(slot);
        let waits = stream.tunnel().is_none() && stream.message() != Message::Ended;
        if stream.waits_for == WaitsFor::Closed || !waits {
            return;
        }
        let due = if stream.keeps_half_closed { Time::NEVER } else { due };
        stream.due = due;
        self.wake_at(due);
    }

    /// Sets whether the lent exchange goes on after its peer's end, however little it sends.
    pub(crate) fn keep_half_closed(&mut self, keep: bool, now: Time) {
        let slot = self.lent.slot;
        self.lent_stream().keeps_half_closed = keep;
        self.note_progress(slot, now);
    }

    /// Whether a server's peer has ended its direction.
    pub(in crate::h2) fn is_half_closed(&self) -> bool {
        self.shutdown.half_closed.is_some()
    }

    /// Whether there is a notification or an end to handle because of it.
    pub(super) fn has_half_closed_notice(&self) -> bool {
        !self.shutdown.finished && self.shutdown.half_closed.as_deref().is_some_and(HalfClosed::is_due)
    }

    /// Ends what waits for a window that will not come, and notifies an exchange that its peer has ended its direction.
    #[cold]
    pub(super) fn half_closed_notice(&mut self, link: &mut Link) -> Option<Item> {
        if core::mem::take(&mut self.shutdown.half_closed.as_mut()?.starves) {
            self.end_starving(link);
        }
        while let Some((slot, id)) = self.shutdown.half_closed.as_mut()?.unnotified.pop() {
            let Some(stream) = self.streams.still(slot, id) else { continue };
            if stream.waits_for != WaitsFor::Closed && stream.message() != Message::Ended {
                self.attach(slot, link);
                return Some(Item::PeerEnded);
            }
        }
        None
    }

    fn end_starving(&mut self, link: &mut Link) {
        for slot in self.streams.taken() {
            if self.streams.peek(slot).waits_for != WaitsFor::Closed && self.starves(slot) {
                // The peer may still read, and must not take an incomplete response for a complete one.
                self.reset(link, slot, ErrorCode::INTERNAL_ERROR, Cause::Disconnected);
            }
        }
    }

    /// Ends an exchange that has sent its peer nothing for too long.
    pub(in crate::h2) fn end_half_closed(&mut self, link: &mut Link, slot: Slot) {
        self.reset(link, slot, ErrorCode::INTERNAL_ERROR, Cause::Timeout(Deadline::HalfClosed));
    }
}
