//! What is to be told apart from input: ends, timeouts, permits. RFC 9218 §10 says which permit comes first.

use super::super::streams::{self, Message, NEVER, Place};
use super::Sender;
use crate::item::Item;
use crate::transmit::Output;
use crate::{Config, Entropy, Time};
use alloc::boxed::Box;

impl Sender {
    /// Whether a permit can be given now, once those before it have sent what they have.
    pub(super) fn permit_is_due(&self, room: bool) -> bool {
        room && !self.finished
            && (!self.streams.heads.is_empty() || self.streams.any_asks() && self.send.is_open())
    }

    /// Whether something is to be told, apart from input. `room` is whether the queue of the connection takes more.
    pub(crate) fn has_notice(&self, room: bool) -> bool {
        !self.streams.closed.is_empty()
            || !self.streams.timeouts.is_empty()
            || !self.asked.is_empty()
            || self.has_half_closed_notice()
            || self.permit_is_due(room)
            || self.entered && self.has_unsettled()
    }

    /// Whether a look at the tunnel that was entered would find something to tell.
    pub(super) fn has_unsettled(&self) -> bool {
        let stream = self.streams.peek(self.current);
        let held = stream.held > 0 || stream.has(streams::PEER_ENDED);
        stream.tunnel.as_ref().is_some_and(|tunnel| {
            let reads = tunnel.is_open() && !tunnel.would_hold_input();
            tunnel.notice_is_due() || reads && (held || tunnel.has_more())
        })
    }

    /// The next notice.
    pub(crate) fn notice(
        &mut self,
        out: &mut Output,
        config: &Config,
        keys: &mut Option<Box<dyn Entropy>>,
        now: Time,
    ) -> Option<Item> {
        self.settle(keys, now);
        debug_assert!(self.streams.is_consistent());
        self.send_continues(out);
        let half_closed = match self.has_half_closed_notice() {
            true => self.half_closed_notice(out, keys, now),
            false => None,
        };
        if half_closed.is_some() {
            return half_closed;
        }
        // A turn that was not used is over.
        self.turn = None;
        loop {
            if let Some(&slot) = self.streams.closed.front() {
                self.streams.closed.pop_front();
                let (key, cause) = (self.streams.key(slot), self.streams.peek(slot).cause);
                self.told_end(out, slot, now, config);
                self.freed(out, config, now);
                return Some(Item::Closed { key, cause });
            }
            if let Some(slot) = self.streams.timeouts.pop_front() {
                self.streams.at(slot).take(streams::TIMEOUT);
                self.enter(slot, keys, now);
                return Some(Item::Timeout);
            }
            let room = out.len() < config.limits.send_queue_bytes_max;
            self.room = room;
            if !self.permit_is_due(room) {
                return None;
            }
            // Who comes before it sends first, so that a permit never overtakes what was given before.
            if !self.streams.heads.is_empty() || !self.flush_next(out, config, keys, now) {
                return self.give_turn(keys, now);
            }
        }
    }

    /// Gives a permit to the stream whose turn it is, or lets it take the input that it was to take with one.
    fn give_turn(&mut self, keys: &mut Option<Box<dyn Entropy>>, now: Time) -> Option<Item> {
        let slot = match self.streams.heads.first() {
            Some(slot) => slot,
            None => {
                let slot = self.streams.contents.first()?;
                self.turn = Some(slot);
                slot
            }
        };
        debug_assert!(matches!(self.streams.peek(slot).place, Place::Head | Place::Content));
        self.streams.place(slot, Place::Nowhere);
        let wanted = self.streams.at(slot).take(streams::WANTED);
        self.release_held(slot, now);
        self.enter(slot, keys, now);
        match self.streams.at(slot).tunnel.as_deref_mut() {
            Some(tunnel) => tunnel.notice(),
            None => wanted.then_some(Item::Writable),
        }
    }

    /// Sends what clients wait for before they send content, unless it was answered or is not wanted.
    pub(super) fn send_continues(&mut self, out: &mut Output) {
        while let Some(slot) = self.asked.pop() {
            let stream = self.streams.peek(slot);
            let waits = stream.has(streams::OWES_CONTINUE) && stream.message == Message::Head;
            if waits && stream.id != 0 && !self.holds_input(slot) {
                self.send_continue(out, slot);
            }
        }
    }

    /// A stream has gone: what follows for the others.
    pub(super) fn freed(&mut self, out: &mut Output, config: &Config, now: Time) {
        if self.client && !self.queue.is_empty() {
            self.start_requests(out, config, now);
        }
        if self.streams.is_empty() {
            self.idle_since = now;
            self.next_due = NEVER;
            self.relaxed = false;
        }
    }
}
