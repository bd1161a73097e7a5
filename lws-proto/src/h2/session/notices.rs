//! Notices: ends, timeouts, permits. RFC 9218 §10 gives the order of permits.

use super::super::streams::{self, Message, WaitsFor};
use super::super::tunnel::Tunnel;
use super::Session;
use crate::Time;
use crate::connection::item::Item;
use crate::connection::link::Link;
use crate::connection::resources::Resources;
use crate::connection::stream::Notices;

impl Session {
    /// Whether a permit can be given now, after streams before it have sent their output.
    fn permit_is_due(&self, room: bool) -> bool {
        room && !self.shutdown.finished
            && (!self.streams.heads.is_empty() || self.streams.any_asks() && self.flow.send.is_open())
    }

    /// Whether there is a notice. `room` is whether the queue of the connection has room.
    pub(crate) fn has_notice(&self, room: bool) -> bool {
        !self.streams.closed.is_empty()
            || !self.streams.timeouts.is_empty()
            || !self.incoming.continues.is_empty()
            || self.has_half_closed_notice()
            || self.permit_is_due(room)
            || self.attached().is_some_and(|tunnel| self.is_unsettled(tunnel))
    }

    /// Whether the attached tunnel has a notice.
    fn is_unsettled(&self, tunnel: &Tunnel) -> bool {
        let held = self.streams.peek(self.lent.slot).has_held();
        let reads = tunnel.channel.link.is_open() && !tunnel.would_hold_input();
        tunnel.notice_is_due() || reads && (held || tunnel.channel.has_more())
    }

    /// The next notice. If there is none and the graceful shutdown is complete, the connection ends.
    #[inline(never)]
    pub(crate) fn notice_or_end(&mut self, link: &mut Link, resources: &mut Resources) -> Option<Item> {
        let item = self.notice(link, resources);
        if item.is_none() {
            self.end_if_over(link);
        }
        item
    }

    fn notice(&mut self, link: &mut Link, resources: &mut Resources) -> Option<Item> {
        self.detach(link, resources);
        debug_assert!(self.streams.is_consistent());
        self.send_continues(link);
        if self.has_half_closed_notice()
            && let Some(item) = self.half_closed_notice(link)
        {
            return Some(item);
        }
        // An unused turn ends.
        self.flow.turn = None;
        loop {
            // Ends come first, because they free slots for queued requests.
            if let Some(slot) = self.streams.closed.pop_front() {
                let stream = self.streams.peek(slot);
                let (key, cause) = (stream.core.key, stream.core.cause);
                self.delivered_end(link, slot);
                self.freed(link);
                return Some(Item::Closed { key, cause });
            }
            if let Some(slot) = self.streams.timeouts.pop_front() {
                self.streams.at(slot).core.notices.take(Notices::TIMEOUT);
                self.attach(slot, link);
                return Some(Item::Timeout);
            }
            let room = link.has_room();
            self.flow.has_room = room;
            if !self.permit_is_due(room) {
                return None;
            }
            // Queued output of earlier streams is sent first, so that a permit never overtakes it.
            if !self.streams.heads.is_empty() || !self.flush_next(link, resources) {
                return self.give_turn(link);
            }
        }
    }

    /// Gives a permit to the next stream, or lets a throttled one read.
    fn give_turn(&mut self, link: &Link) -> Option<Item> {
        let slot = match self.streams.heads.first() {
            Some(slot) => slot,
            None => {
                let slot = self.streams.contents.first()?;
                self.flow.turn = Some(slot);
                slot
            }
        };
        debug_assert!(matches!(self.streams.peek(slot).waits_for, WaitsFor::Head | WaitsFor::Content));
        self.streams.move_to(slot, WaitsFor::Nothing);
        let wanted = self.streams.at(slot).core.notices.take(Notices::WANTED);
        self.release_held(slot, link.now);
        self.attach(slot, link);
        match self.attached_tunnel() {
            Some(tunnel) => tunnel.notice(),
            None => wanted.then_some(Item::Writable),
        }
    }

    /// Sends 100 responses that clients wait for, unless the request was answered or its content is not wanted.
    fn send_continues(&mut self, link: &mut Link) {
        while let Some(slot) = self.incoming.continues.pop() {
            let stream = self.streams.peek(slot);
            let waits = stream.has(streams::OWES_CONTINUE) && stream.message() == Message::Head;
            if waits && stream.id != 0 && !self.holds_input(slot) {
                self.send_continue(link, slot);
            }
        }
    }

    /// Handles the consequences of a freed stream for the others.
    fn freed(&mut self, link: &mut Link) {
        if self.client && !self.requests.queue.is_empty() {
            self.start_requests(link);
        }
        if self.streams.is_empty() {
            self.idle.since = link.now;
            self.idle.trimmed = false;
            self.next_due = Time::NEVER;
        }
    }
}
