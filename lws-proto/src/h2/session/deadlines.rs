//! The deadlines of a connection and its streams.
//!
//! Streams keep their own deadlines; the connection keeps a time before which none is due, so that asking is cheap.

use super::super::code::ErrorCode;
use super::super::flow::Pace;
use super::super::frame;
use super::super::shutdown::ShutdownPhase;
use super::super::slot::Slot;
use super::super::streams::{self, Message, Stalled};
use super::super::tunnel::Tunnel;
use super::Session;
use crate::connection::link::Link;
use crate::connection::resources::Resources;
use crate::liveness::Liveness;
use crate::time::{earliest, unless_never};
use crate::{Cause, Deadline, Limits, Time};
use alloc::vec::Vec;
use core::time::Duration;

/// The idle time after which a connection frees memory that it does not need.
const TRIM_AFTER: Duration = Duration::from_secs(1);

/// The shortest time between two scans of all streams for due ones, per stream: so scans take less than a hundredth of
/// the time, and a timeout is late by at most 0.1 ms with a hundred streams.
const LOOK_AFTER_PER_STREAM: Duration = Duration::from_micros(1);

/// The payload of the PING that probes the peer.
const ALIVE: [u8; 8] = *b"alive?\0\0";

impl Session {
    /// The next deadline.
    pub(in crate::h2) fn next_timeout(&self, link: &Link) -> Option<Time> {
        if self.shutdown.finished {
            return None;
        }
        let limits = &link.config.limits;
        let announced = match self.shutdown.phase {
            ShutdownPhase::Announced { until } => Some(until),
            ShutdownPhase::Running | ShutdownPhase::Away { .. } => None,
        };
        let attached = self.attached().and_then(Tunnel::next_timeout);
        let streams = unless_never(self.next_due);
        let quiet = if self.streams.is_empty() {
            let after = if self.idle.trimmed { limits.keep_alive_timeout } else { TRIM_AFTER };
            Some(self.idle.since + after.min(limits.keep_alive_timeout))
        } else {
            // A peer that has ended its direction cannot answer.
            (!self.is_half_closed()).then(|| self.silence_ends(link))
        };
        let settings = self.settings.ack_due;
        earliest(earliest(settings, announced), earliest(earliest(streams, attached), quiet))
    }

    /// When the silence of the peer requires a PING, or ends the connection if one was sent.
    fn silence_ends(&self, link: &Link) -> Time {
        let policy = Liveness::of(&link.config.limits);
        match self.idle.pinged {
            Some(pinged) if pinged > link.last_received => pinged + policy.patience(),
            _ => policy.asks_at(link.last_received, link.spread),
        }
    }

    /// Handles deadlines at the link's time.
    pub(in crate::h2) fn handle_timeout(&mut self, link: &mut Link, resources: &mut Resources) {
        if self.shutdown.finished {
            return;
        }
        let now = link.now;
        self.detach(link, resources);
        if self.settings.ack_due.is_some_and(|due| due <= now) {
            return self.fail(link, Cause::Timeout(Deadline::Settings));
        }
        if let Some(cause) = self.handle_quiet(link) {
            return self.fail(link, cause);
        }
        if let ShutdownPhase::Announced { until } = self.shutdown.phase
            && until <= now
        {
            self.go_away(link);
        }
        if self.next_due <= now {
            self.handle_streams(link, resources);
        }
        self.end_if_over(link);
    }

    /// Whether memory has been given back, and no stream has begun since.
    pub(in crate::h2) fn is_trimmed(&self) -> bool {
        self.idle.trimmed && self.streams.is_empty()
    }

    /// Probes a silent peer. Returns the cause of the connection's end if it was silent for too long.
    fn handle_quiet(&mut self, link: &mut Link) -> Option<Cause> {
        let now = link.now;
        if self.streams.is_empty() {
            if !self.idle.trimmed && self.idle.since + TRIM_AFTER <= now {
                self.idle.trimmed = true;
                self.streams.shrink();
            }
            let over = self.idle.since + link.config.limits.keep_alive_timeout <= now;
            return over.then_some(Cause::Timeout(Deadline::Idle));
        }
        if self.is_half_closed() || self.silence_ends(link) > now {
            return None;
        }
        let Link { config, delivery, out, last_received, spread, .. } = link;
        let limits = &config.limits;
        let policy = Liveness::of(limits);
        let asked = self.idle.pinged.is_some_and(|pinged| pinged > *last_received);
        if asked && delivery.answer_is_overdue(limits, now, policy.patience(), out.len()) {
            return Some(Cause::Timeout(Deadline::DeadPeer));
        }
        if !asked && let Some(counted) = policy.received_after_stall(*last_received, now, *spread) {
            // The driver was away, so the silence does not count against the peer.
            *last_received = counted;
            return None;
        }
        self.idle.pinged = Some(now);
        if !asked {
            let before = out.len();
            frame::ping(out.buffer(), false, ALIVE);
            delivery.ask(now, out.len() - before, out.len());
        }
        None
    }

    fn handle_streams(&mut self, link: &mut Link, resources: &mut Resources) {
        let taken = self.streams.taken();
        self.handle_shared_window(link);
        for slot in taken {
            self.handle_stream(link, resources, slot);
        }
        self.handle_slow_peer(link);
        let stalled_timeout = link.config.limits.stalled_timeout;
        let streams = self.streams.all().map(|stream| stream.next_due(stalled_timeout)).min();
        let common = self.flow.stalled.map_or(Time::NEVER, |stalled| stalled.since + stalled_timeout);
        let pace = self.flow.pace.map_or(Time::NEVER, |pace| pace.since + stalled_timeout);
        // Streams that are due shortly after each other are handled in one scan.
        let streams_open = u32::try_from(self.streams.len()).unwrap_or(u32::MAX);
        let look = link.now + LOOK_AFTER_PER_STREAM * streams_open;
        self.next_due = streams.unwrap_or(Time::NEVER).min(common).min(pace).max(look);
    }

    /// Handles a peer that opens the windows of many waiting streams by a little, so that none of them has stalled:
    /// ends the connection if all of them together get too little for their number.
    fn handle_slow_peer(&mut self, link: &mut Link) {
        let (limits, now) = (&link.config.limits, link.now);
        let waiting = self.streams.taken().filter(|slot| self.waits_for_window(*slot)).count();
        let Some(others) = waiting.checked_sub(1).filter(|others| *others > 0) else {
            self.flow.pace = None;
            return;
        };
        let sent = self.flow.content_sent;
        let pace = *self.flow.pace.get_or_insert(Pace { since: now, sent });
        if now < pace.since + limits.stalled_timeout {
            return;
        }
        let needed = (others as u64).saturating_mul(limits.h2_waiting_bytes_min as u64);
        if sent - pace.sent < needed && !link.delivery.is_arriving(limits, now) {
            return self.fail(link, Cause::Timeout(Deadline::Stalled));
        }
        self.flow.pace = Some(Pace { since: now, sent });
    }

    /// Handles a used-up connection window: ends the streams that wait for it, if it has allowed too little content for
    /// too long, whichever stream sent it. A stream that waits behind others that make progress is not stalled.
    fn handle_shared_window(&mut self, link: &mut Link) {
        let (limits, now) = (&link.config.limits, link.now);
        let period = limits.stalled_timeout;
        let Some(stalled) = self.flow.stalled.filter(|stalled| stalled.since + period <= now) else {
            return;
        };
        let waits = !self.flow.send.is_open() && !self.streams.contents.is_empty();
        if waits && stalled.left < limits.stalled_bytes_min && !link.delivery.is_arriving(limits, now) {
            let cause = Cause::Timeout(Deadline::Stalled);
            let waiting: Vec<Slot> = self.streams.contents.slots().collect();
            waiting.into_iter().for_each(|slot| self.give_up(link, slot, cause));
            self.flow.stalled = None;
            return;
        }
        self.flow.stalled = waits.then_some(Stalled { since: now, left: 0 });
    }

    fn handle_stream(&mut self, link: &mut Link, resources: &mut Resources, slot: Slot) {
        let now = link.now;
        let stream = self.streams.at(slot);
        if stream.core.timeout <= now {
            stream.core.timeout = Time::NEVER;
            self.streams.time_out(slot);
        }
        if self.has_stalled(link, slot) {
            return self.give_up(link, slot, Cause::Timeout(Deadline::Stalled));
        }
        let stream = self.streams.peek(slot);
        if stream.due <= now {
            return self.handle_due(link, resources, slot);
        }
        let tunnel = stream.tunnel().and_then(Tunnel::next_timeout);
        if tunnel.is_some_and(|at| at <= now) {
            self.attach(slot, link);
            let backlog = link.out.len() + link.delivery.under_way(now);
            if let Some(tunnel) = self.attached_tunnel() {
                let carrier = &mut tunnel.channel.link;
                carrier.delivery.report_carried(now, backlog, carrier.out.len(), link.delivery.moved());
                tunnel.handle_timeout(resources, now);
            }
            self.detach(link, resources);
        }
    }

    /// Whether a stream has stalled on its own window. Otherwise its stall time begins again if it has passed.
    fn has_stalled(&mut self, link: &mut Link, slot: Slot) -> bool {
        let (limits, now) = (&link.config.limits, link.now);
        let waits = self.waits_for_window(slot);
        let stream = self.streams.at(slot);
        let Some(stalled) = stream.stalled.filter(|stalled| stalled.since + limits.stalled_timeout <= now)
        else {
            return false;
        };
        // The peer cannot open the window before the content has arrived.
        if waits && stalled.left < limits.stalled_bytes_min && !link.delivery.is_arriving(limits, now) {
            return true;
        }
        stream.stalled = waits.then_some(Stalled { since: now, left: 0 });
        false
    }

    /// Handles a missed deadline of a stream.
    fn handle_due(&mut self, link: &mut Link, resources: &mut Resources, slot: Slot) {
        if self.streams.peek(slot).has(streams::LINGERS) {
            // The peer does not end its direction before this side's end has arrived.
            if link.delivery.waits() || link.delivery.is_arriving(&link.config.limits, link.now) {
                return self.linger(link, slot);
            }
            return self.reset(link, slot, ErrorCode::CANCEL, Cause::Aborted);
        }
        if self.is_half_closed() {
            return self.end_half_closed(link, slot);
        }
        let holds = self.holds_input(slot);
        if self.client {
            self.handle_response_due(link, slot, holds);
        } else {
            self.handle_content_due(link, resources, slot, holds);
        }
    }

    /// Handles the deadline of a server's response or its content. `holds` is whether this side holds input back.
    fn handle_response_due(&mut self, link: &mut Link, slot: Slot, holds: bool) {
        let (limits, now) = (&link.config.limits, link.now);
        let stream = self.streams.at(slot);
        let answered = stream.has(streams::ANSWERED);
        if answered && holds {
            stream.due = now + limits.between_bytes_timeout;
            return;
        }
        // A queued request has a deadline that counts from the last request that could begin.
        let waits = stream.is_queued().then(|| self.requests.began + limits.response_timeout);
        if let Some(due) = waits.filter(|due| *due > now) {
            stream.due = due;
            return;
        }
        // The request has not arrived at the server yet, so the response is not late.
        if !answered && link.delivery.is_arriving(limits, now) {
            stream.due = now + limits.response_timeout;
            return;
        }
        let deadline = if answered { Deadline::BetweenBytes } else { Deadline::Response };
        self.give_up(link, slot, Cause::Timeout(deadline));
    }

    /// Handles a client that sends the content of its request too slowly, unless this side `holds` it back.
    fn handle_content_due(&mut self, link: &mut Link, resources: &mut Resources, slot: Slot, holds: bool) {
        let limits: &Limits = &link.config.limits;
        let stream = self.streams.at(slot);
        // The rest of a request that has been answered is not waited for.
        let own = stream.content_bytes_min.filter(|_| !stream.has(streams::UNWANTED));
        let bytes_min = own.map_or(limits.content_bytes_min, |bytes| bytes as usize);
        if holds || stream.period_bytes >= bytes_min {
            stream.period_bytes = 0;
            stream.due = link.now + limits.content_period;
            return;
        }
        if stream.has(streams::UNWANTED) {
            let cause = stream.core.cause;
            return self.reset(link, slot, ErrorCode::NO_ERROR, cause);
        }
        let cause = Cause::Timeout(Deadline::Content);
        if stream.message() == Message::Head {
            self.refuse(link, resources, slot, cause);
        } else {
            self.give_up(link, slot, cause);
        }
    }
}
