//! What a server still does for a peer that has ended its direction. RFC 9113 knows no half-closed connection: windows grow no
//! more, so that what waits for one waits for ever, and nobody says any more whether it listens.

use super::super::error::ErrorCode;
use super::super::streams::{Message, NEVER, PEER_ENDED, Place};
use super::Sender;
use crate::item::Item;
use crate::transmit::Output;
use crate::{Cause, Deadline, Entropy, Limits, Time};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// What is kept once the peer has ended its direction.
pub(in crate::h2) struct HalfClosed {
    /// How long an exchange may send nothing.
    timeout: Duration,
    /// Exchanges that are still to hear of it: their places and identifiers.
    untold: Vec<(u32, u32)>,
    /// Whether a stream may have come to wait for a window.
    pub(super) starves: bool,
}

impl Sender {
    /// The peer will send no more. What has not been asked whole ends, and what waits for a window; the exchanges that are
    /// still to be answered hear of it.
    pub(in crate::h2) fn note_peer_end(&mut self, out: &mut Output, limits: &Limits, now: Time) {
        let mut untold = Vec::new();
        for slot in self.streams.taken() {
            let stream = self.streams.at(slot);
            // One whose end waits until the application takes what came before it has been asked whole.
            if stream.state.receives() && !stream.has(PEER_ENDED) {
                // The peer may still read, and is not to take what it has got for the whole.
                self.give_up(out, slot, Cause::Disconnected);
            } else if stream.tunnel.is_none() && stream.message != Message::Ended {
                untold.push((slot, stream.id));
            }
        }
        let timeout = limits.half_closed_timeout;
        self.half_closed = Some(Box::new(HalfClosed { timeout, untold, starves: true }));
        for slot in self.streams.taken() {
            self.note_progress(slot, now);
        }
    }

    /// An exchange has sent something, or has just lost its peer's direction: its time begins anew.
    #[inline]
    pub(in crate::h2) fn note_progress(&mut self, slot: u32, now: Time) {
        if self.half_closed.is_some() {
            self.arm_half_closed(slot, now);
        }
    }

    #[cold]
    fn arm_half_closed(&mut self, slot: u32, now: Time) {
        let Some(half_closed) = &self.half_closed else { return };
        let due = now + half_closed.timeout;
        let stream = self.streams.at(slot);
        let waits = stream.tunnel.is_none() && stream.message != Message::Ended;
        if stream.place == Place::Closed || !waits {
            return;
        }
        stream.due = if stream.keeps_half_closed { NEVER } else { due };
        self.next_due = self.next_due.min(stream.due);
    }

    /// Lets the exchange that is lent go on without its peer's direction, however little it sends, or not.
    pub(crate) fn keep_half_closed(&mut self, keep: bool, now: Time) {
        let slot = self.current;
        self.lent().keeps_half_closed = keep;
        self.note_progress(slot, now);
    }

    /// Whether a server's peer has ended its direction.
    pub(in crate::h2) fn is_half_closed(&self) -> bool {
        self.half_closed.is_some()
    }

    /// Whether something is to be said or done because of it.
    pub(super) fn has_half_closed_notice(&self) -> bool {
        let due = |half_closed: &HalfClosed| half_closed.starves || !half_closed.untold.is_empty();
        !self.finished && self.half_closed.as_deref().is_some_and(due)
    }

    /// Ends what waits for a window that nobody will give, and tells an exchange that its peer has ended its direction.
    #[cold]
    pub(super) fn half_closed_notice(
        &mut self,
        out: &mut Output,
        keys: &mut Option<Box<dyn Entropy>>,
        now: Time,
    ) -> Option<Item> {
        if self.half_closed.as_mut().is_some_and(|half_closed| core::mem::take(&mut half_closed.starves)) {
            for slot in self.streams.taken() {
                let stream = self.streams.peek(slot);
                if stream.place != Place::Closed && self.starves(slot) {
                    // It may still read what has been sent, and is not to take that for the whole.
                    self.reset(out, slot, ErrorCode::INTERNAL_ERROR, Cause::Disconnected);
                }
            }
        }
        while let Some((slot, id)) = self.half_closed.as_mut()?.untold.pop() {
            let Some(stream) = self.streams.still(slot, id) else { continue };
            if stream.place != Place::Closed && stream.message != Message::Ended {
                self.enter(slot, keys, now);
                return Some(Item::PeerEnded);
            }
        }
        None
    }

    /// Ends an exchange that has sent its peer nothing for too long.
    pub(in crate::h2) fn end_half_closed(&mut self, out: &mut Output, slot: u32) {
        self.reset(out, slot, ErrorCode::INTERNAL_ERROR, Cause::Timeout(Deadline::HalfClosed));
    }
}
