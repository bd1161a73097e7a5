//! The ends of streams, in order or by reset. RFC 9113 §5.4 and §6.4.

use super::super::code::ErrorCode;
use super::super::error::code_of;
use super::super::slot::Slot;
use super::super::state::{Frame, State, Transition};
use super::super::streams::{self, Message, WaitsFor};
use super::Session;
use crate::connection::link::Link;
use crate::connection::stream::Notices;
use crate::{Cause, Time};

impl Session {
    /// Ends a stream: its end is delivered, and its slot is freed after that.
    pub(in crate::h2) fn close(&mut self, slot: Slot, cause: Cause) {
        let stream = self.streams.at(slot);
        if stream.waits_for == WaitsFor::Closed && stream.state == State::Closed {
            return;
        }
        let active = !stream.is_queued();
        stream.state = State::Closed;
        let closed = stream.waits_for == WaitsFor::Closed;
        let gone = stream.has(streams::LINGERS);
        let held = core::mem::take(&mut stream.held_input);
        stream.take_pending();
        stream.stalled = None;
        stream.due = Time::NEVER;
        stream.core.timeout = Time::NEVER;
        if cause == Cause::Complete {
            self.abuse.conduct.completed();
        }
        if !stream.has(streams::COUNTED_OUT) {
            stream.set(streams::COUNTED_OUT);
            if active {
                self.requests.active = self.requests.active.saturating_sub(1);
            }
        }
        // The connection's window is shared, so room for this stream's held content is given back.
        self.flow.drop_held(held);
        self.streams.unresume(slot);
        self.streams.untime(slot);
        if gone {
            self.streams.move_to(slot, WaitsFor::Nothing);
            return self.free(slot);
        }
        if !closed {
            let stream = self.streams.at(slot);
            stream.core.cause =
                if stream.is_refused() && cause != Cause::Aborted { stream.core.cause } else { cause };
            self.streams.move_to(slot, WaitsFor::Closed);
        }
        debug_assert!(self.requests.active as usize <= self.streams.len(), "each counts once");
    }

    /// Forgets a stream whose end has been delivered.
    pub(in crate::h2) fn free(&mut self, slot: Slot) {
        if self.lent.slot == slot {
            self.lent.attached = false;
        }
        let stream = self.streams.at(slot);
        stream.clear();
        self.streams.free(slot);
    }

    /// Resets a stream for a reason of this side or a fault of the peer.
    pub(in crate::h2) fn reset(&mut self, link: &mut Link, slot: Slot, code: ErrorCode, cause: Cause) {
        let stream = self.streams.at(slot);
        if stream.state != State::Closed && stream.state.on(Transition::Send(Frame::Reset)).is_ok() {
            let id = stream.id;
            self.send_reset(link, id, code);
        }
        self.requests.queue.retain(|queued| *queued != slot);
        self.close(slot, cause);
    }

    /// Ends a stream that cannot be completed, with a fitting error code.
    pub(in crate::h2) fn give_up(&mut self, link: &mut Link, slot: Slot, cause: Cause) {
        let code = self.code_of_end(slot, cause);
        self.reset(link, slot, code, cause);
    }

    /// The error code of a stream's end with `cause`. Clients take NO_ERROR and CANCEL for an intended end, so after
    /// the beginning of a response they are used only if it is complete.
    fn code_of_end(&self, slot: Slot, cause: Cause) -> ErrorCode {
        let stream = self.streams.peek(slot);
        let code = code_of(cause);
        if let Some(tunnel) = stream.tunnel() {
            // RFC 9113 §8.5: "A proxy treats any error in the TCP connection ... as a stream error of type CONNECT_ERROR." RFC 8441
            // §5: "RST exceptions are represented with the RST_STREAM frame ... with the CANCEL error code".
            let cut = cause == Cause::Aborted && !self.client && !tunnel.carries_websocket();
            return if cut { ErrorCode::CONNECT_ERROR } else { code };
        }
        let ours = matches!(cause, Cause::Timeout(_) | Cause::Aborted | Cause::Disconnected);
        match stream.message() {
            _ if self.client => {
                if ours {
                    ErrorCode::CANCEL
                } else {
                    code
                }
            }
            Message::Head => code,
            Message::Content(_) | Message::Ended if ours && stream.is_answered() => ErrorCode::NO_ERROR,
            Message::Content(_) | Message::Ended if ours => ErrorCode::INTERNAL_ERROR,
            Message::Content(_) | Message::Ended => code,
        }
    }

    /// Aborts the lent stream for the application.
    pub(crate) fn abort_stream(&mut self, link: &mut Link) {
        let slot = self.lent.slot;
        self.give_up(link, slot, Cause::Aborted);
    }

    /// Notes that the end of the peer's message was delivered, or is delivered now.
    pub(crate) fn peer_ended(&mut self, slot: Slot) {
        let stream = self.streams.at(slot);
        stream.core.notices.take(Notices::PEER_ENDED);
        stream.due = Time::NEVER;
        stream.state = stream.state.peer_ended();
        if stream.state == State::Closed {
            let cause = stream.core.cause;
            self.close(slot, cause);
        }
    }
}
