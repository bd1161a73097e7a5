//! What is due on a connection and its streams.
//!
//! Streams keep their own moments; the connection knows one before which nothing is due, so that asking is cheap.

use super::error::ErrorCode;
use super::frame;
use super::receiver::end_connection;
use super::sender::{Going, Pace, Sender};
use super::streams::{self, Message, NEVER, Stalled};
use crate::http::Status;
use crate::time::earliest;
use crate::tx::{self, Tx};
use crate::validity::Validity;
use crate::{Cause, Deadline, Limits, Time};
use alloc::vec::Vec;
use core::time::Duration;

/// After so much quiet an idle connection gives back what it does not need.
const RELAX_AFTER: Duration = Duration::from_secs(1);

/// A look at all streams because some are due comes so long after the one before, for each that there is: it then takes less than a
/// hundredth of the time, and a stream is told late by no more than 0.1 ms where there are a hundred.
const LOOK_AFTER_PER_STREAM: Duration = Duration::from_micros(1);

/// What the PING carries that asks whether the peer is there.
const ALIVE: [u8; 8] = *b"alive?\0\0";

impl Sender {
    /// When the next thing is due.
    pub(crate) fn next_timeout(&self, tx: &Tx) -> Option<Time> {
        if self.finished {
            return None;
        }
        let limits = &tx.config.limits;
        let going = match self.going {
            Going::Announced { until } => Some(until),
            Going::No | Going::Away { .. } => None,
        };
        let entered = if self.entered { self.tunnel_timeout() } else { None };
        let streams = (self.next_due != NEVER).then_some(self.next_due);
        let quiet = if self.streams.is_empty() {
            let after = if self.relaxed { limits.keep_alive_timeout } else { RELAX_AFTER };
            Some(self.idle_since + after.min(limits.keep_alive_timeout))
        } else {
            // A peer that has ended its direction cannot answer.
            (!self.is_half_closed()).then(|| self.silence(tx.heard, tx.spread, limits))
        };
        earliest(earliest(self.settings_due, going), earliest(earliest(streams, entered), quiet))
    }

    fn tunnel_timeout(&self) -> Option<Time> {
        self.streams.peek(self.current).tunnel.as_ref().and_then(|tunnel| tunnel.next_timeout())
    }

    /// When the silence of the peer calls for a PING, or for giving up if one was sent.
    fn silence(&self, heard: Time, spread: u8, limits: &Limits) -> Time {
        match self.pinged {
            Some(pinged) if pinged > heard => pinged + Validity::of(limits).patience(),
            _ => Validity::of(limits).asks_at(heard, spread),
        }
    }
}

/// Does what is due at `now`.
pub(super) fn handle(tx: &mut Tx, now: Time) {
    let Tx { sender: tx::Sender::Http2(sender), entropy, .. } = tx else { return };
    if sender.finished {
        return;
    }
    sender.settle(entropy, now);
    if sender.settings_due.is_some_and(|due| due <= now) {
        return end_connection(tx, Cause::Timeout(Deadline::Settings));
    }
    if let Some(cause) = handle_quiet(tx, now) {
        return end_connection(tx, cause);
    }
    let Tx { sender: tx::Sender::Http2(sender), out, .. } = tx else { return };
    if let Going::Announced { until } = sender.going
        && until <= now
    {
        sender.go_away(out);
    }
    if sender.next_due <= now {
        handle_streams(tx, now);
    }
    if let Tx { sender: tx::Sender::Http2(sender), out, .. } = tx
        && sender.is_over()
    {
        sender.say_over(out);
        tx.finish(Cause::Complete);
    }
}

/// The peer is silent: asks whether it is there, and tells when it has been so for too long.
fn handle_quiet(tx: &mut Tx, now: Time) -> Option<Cause> {
    let (heard, spread) = (tx.heard, tx.spread);
    let Tx { sender: tx::Sender::Http2(sender), out, config, delivery, .. } = tx else { return None };
    let limits = &config.limits;
    if sender.streams.is_empty() {
        if !sender.relaxed && sender.idle_since + RELAX_AFTER <= now {
            sender.relaxed = true;
            sender.streams.shrink();
        }
        let over = sender.idle_since + limits.keep_alive_timeout <= now;
        return over.then_some(Cause::Timeout(Deadline::Idle));
    }
    if sender.is_half_closed() || sender.silence(heard, spread, limits) > now {
        return None;
    }
    let asked = sender.pinged.is_some_and(|pinged| pinged > heard);
    if asked && delivery.answer_is_overdue(limits, now, Validity::of(limits).patience(), out.len()) {
        return Some(Cause::Timeout(Deadline::DeadPeer));
    }
    if !asked && let Some(heard) = Validity::of(limits).heard_after_stall(heard, now, spread) {
        tx.heard = heard;
        return None;
    }
    sender.pinged = Some(now);
    if !asked {
        let before = out.len();
        frame::ping(out.buffer(), false, ALIVE);
        delivery.ask(now, out.len() - before, out.len());
    }
    None
}

fn handle_streams(tx: &mut Tx, now: Time) {
    let Some(taken) = (match &tx.sender {
        tx::Sender::Http2(sender) => Some(sender.streams.taken()),
        _ => None,
    }) else {
        return;
    };
    handle_shared_window(tx, now);
    for slot in taken {
        handle_stream(tx, slot, now);
    }
    handle_slow_peer(tx, now);
    let stalled_timeout = tx.config.limits.stalled_timeout;
    if let tx::Sender::Http2(sender) = &mut tx.sender {
        let streams = sender.streams.all().map(|stream| stream.next_due(stalled_timeout)).min();
        let shared = sender.stalled.map_or(NEVER, |stalled| stalled.since + stalled_timeout);
        let pace = sender.pace.map_or(NEVER, |pace| pace.since + stalled_timeout);
        // Not for each stream apart: those that are due soon after each other are looked at together.
        let look = now + LOOK_AFTER_PER_STREAM * u32::try_from(sender.streams.len()).unwrap_or(u32::MAX);
        sender.next_due = streams.unwrap_or(NEVER).min(shared).min(pace).max(look);
    }
}

/// Several streams wait, each for its own window, and each is given so much that it has not stalled. Together they are one slow
/// peer, which holds them all: ends the connection if they get too little for as many as they are.
fn handle_slow_peer(tx: &mut Tx, now: Time) {
    let Tx { sender: tx::Sender::Http2(sender), config, delivery, .. } = tx else { return };
    let limits = &config.limits;
    let waiting = sender.streams.taken().filter(|slot| sender.waits_for_window(*slot)).count();
    let Some(others) = waiting.checked_sub(1).filter(|others| *others > 0) else {
        sender.pace = None;
        return;
    };
    let sent = sender.content_sent;
    let pace = *sender.pace.get_or_insert(Pace { since: now, sent });
    if now < pace.since + limits.stalled_timeout {
        return;
    }
    let needed = (others as u64).saturating_mul(limits.h2_waiting_bytes_min as u64);
    if sent - pace.sent < needed && !delivery.is_arriving(limits, now) {
        return end_connection(tx, Cause::Timeout(Deadline::Stalled));
    }
    sender.pace = Some(Pace { since: now, sent });
}

/// The window of the connection is used up: ends those that wait for it if it has let too little out for too long, whosever
/// turn it was. One that waits behind others which do go on is not stalled.
fn handle_shared_window(tx: &mut Tx, now: Time) {
    let Tx { sender: tx::Sender::Http2(sender), out, config, delivery, .. } = tx else { return };
    let limits = &config.limits;
    let Some(stalled) = sender.stalled.filter(|stalled| stalled.since + limits.stalled_timeout <= now) else {
        return;
    };
    let waits = !sender.send.is_open() && !sender.streams.contents.is_empty();
    if waits && stalled.left < limits.stalled_bytes_min && !delivery.is_arriving(limits, now) {
        let cause = Cause::Timeout(Deadline::Stalled);
        let waiting: Vec<u32> = sender.streams.contents.slots().collect();
        waiting.into_iter().for_each(|slot| sender.give_up(out, slot, cause));
        sender.stalled = None;
        return;
    }
    sender.stalled = waits.then_some(Stalled { since: now, left: 0 });
}

fn handle_stream(tx: &mut Tx, slot: u32, now: Time) {
    let Tx { sender: tx::Sender::Http2(sender), out, config, entropy, delivery, .. } = tx else { return };
    let limits = &config.limits;
    let stream = sender.streams.at(slot);
    if stream.timeout <= now {
        stream.timeout = NEVER;
        sender.streams.time_out(slot);
    }
    let waits = sender.waits_for_window(slot);
    let stream = sender.streams.at(slot);
    if let Some(stalled) = &mut stream.stalled
        && stalled.since + limits.stalled_timeout <= now
    {
        // A peer gives no window for what has not come to it.
        let stalls = waits && stalled.left < limits.stalled_bytes_min && !delivery.is_arriving(limits, now);
        if stalls {
            let cause = Cause::Timeout(Deadline::Stalled);
            return sender.give_up(out, slot, cause);
        }
        stream.stalled = waits.then_some(Stalled { since: now, left: 0 });
    }
    if stream.due <= now {
        return handle_due(tx, slot, now);
    }
    if stream.tunnel.as_ref().is_some_and(|tunnel| tunnel.next_timeout().is_some_and(|at| at <= now)) {
        sender.enter(slot, entropy, now);
        let backlog = out.len() + delivery.under_way(now);
        if let Some(tunnel) = sender.tunnel() {
            tunnel.delivery.report_carried(now, backlog, tunnel.out.len(), delivery.moved());
            tunnel.handle_timeout(now);
        }
        sender.settle(entropy, now);
    }
}

/// What was waited for has not come in time.
fn handle_due(tx: &mut Tx, slot: u32, now: Time) {
    let Tx { sender: tx::Sender::Http2(sender), out, config, delivery, .. } = tx else { return };
    let limits = &config.limits;
    let half_closed = sender.is_half_closed();
    let stream = sender.streams.at(slot);
    if stream.has(streams::GONE) {
        return sender.reset(out, slot, ErrorCode::CANCEL, Cause::Aborted);
    }
    if half_closed {
        return sender.end_half_closed(out, slot);
    }
    let holds = sender.holds_input(slot);
    let stream = sender.streams.at(slot);
    if sender.client {
        let answered = stream.has(streams::ANSWERED);
        if answered && holds {
            stream.due = now + limits.between_bytes_timeout;
            return;
        }
        // The server cannot answer what has not come to it.
        if !answered && delivery.is_arriving(limits, now) {
            stream.due = now + limits.response_timeout;
            return;
        }
        let deadline = if answered { Deadline::BetweenBytes } else { Deadline::Response };
        return sender.give_up(out, slot, Cause::Timeout(deadline));
    }
    // The rest of a request that has been answered is nobody's to wait for.
    let own = stream.content_bytes_min.filter(|_| !stream.has(streams::UNWANTED));
    let bytes_min = own.map_or(limits.content_bytes_min, |bytes| bytes as usize);
    if holds || stream.period_bytes >= bytes_min {
        stream.period_bytes = 0;
        stream.due = now + limits.content_period;
        return;
    }
    if stream.has(streams::UNWANTED) {
        let cause = stream.cause;
        return sender.reset(out, slot, ErrorCode::NO_ERROR, cause);
    }
    let deadline = Deadline::Content;
    let cause = Cause::Timeout(deadline);
    if stream.message == Message::Head {
        let status = Status::new(deadline.status()).unwrap_or(Status::BAD_REQUEST);
        sender.refuse(out, config, now, slot, status, (cause, deadline.message()));
    } else {
        sender.give_up(out, slot, cause);
    }
}
