//! Ends: of streams, in order or by reset, and of the connection. RFC 9113 §5.4, §6.4 and §6.8.

use super::super::conduct::Conduct;
use super::super::error::{ErrorCode, Fault, code_of};
use super::super::frame;
use super::super::state::{Frame, State, Step};
use super::super::streams::{self, Message, NEVER, Place};
use super::{GOING, Going, RESET_REMEMBERED, Sender};
use crate::http::Scheme;
use crate::transmit::Output;
use crate::{Cause, Config, Deadline, Entropy, Limit, Time};
use alloc::boxed::Box;

impl Sender {
    /// Ends a stream: its end is told, and its place freed after that.
    pub(in crate::h2) fn close(&mut self, slot: u32, cause: Cause) {
        let stream = self.streams.at(slot);
        if stream.place == Place::Closed && stream.state == State::Closed {
            return;
        }
        let active = stream.queued.is_none();
        stream.state = State::Closed;
        let told = stream.place == Place::Closed;
        let gone = stream.has(streams::GONE);
        let held = core::mem::take(&mut stream.held);
        stream.pending = None;
        stream.stalled = None;
        stream.due = NEVER;
        stream.timeout = NEVER;
        if cause == Cause::Complete {
            self.conduct.completed();
        }
        if !stream.has(streams::COUNTED_OUT) {
            stream.set(streams::COUNTED_OUT);
            if active {
                self.active = self.active.saturating_sub(1);
            }
        }
        self.drop_held(held);
        self.streams.unresume(slot);
        self.streams.untime(slot);
        if gone {
            self.streams.place(slot, Place::Nowhere);
            return self.free(slot);
        }
        if !told {
            let stream = self.streams.at(slot);
            stream.cause = if stream.is_refused() && cause != Cause::Aborted { stream.cause } else { cause };
            self.streams.place(slot, Place::Closed);
        }
    }

    /// Forgets a stream whose end has been told.
    pub(in crate::h2) fn free(&mut self, slot: u32) {
        let stream = self.streams.at(slot);
        if let (true, Some(tunnel)) = (self.entered && self.current == slot, &mut stream.tunnel) {
            self.entered = false;
            self.returned = tunnel.entropy.take();
        }
        stream.tunnel = None;
        stream.handshake = None;
        stream.queued = None;
        self.streams.free(slot);
    }

    /// Resets a stream for a reason of this side or a fault of the peer.
    pub(in crate::h2) fn reset(&mut self, out: &mut Output, slot: u32, code: ErrorCode, cause: Cause) {
        let stream = self.streams.at(slot);
        if stream.state != State::Closed && stream.state.on(Step::Send(Frame::Reset)).is_ok() {
            let id = stream.id;
            self.send_reset(out, id, code);
        }
        self.queue.retain(|queued| *queued != slot);
        self.close(slot, cause);
    }

    /// Ends a stream that cannot come to its end, with the code that says so.
    pub(in crate::h2) fn give_up(&mut self, out: &mut Output, slot: u32, cause: Cause) {
        let code = self.code_of_end(slot, cause);
        self.reset(out, slot, code, cause);
    }

    /// The code with which a stream ends over `cause`. Clients take NO_ERROR and CANCEL for an end that was meant, so that behind
    /// a response which has begun they may stand only if it is complete.
    fn code_of_end(&self, slot: u32, cause: Cause) -> ErrorCode {
        let stream = self.streams.peek(slot);
        let code = code_of(cause);
        if let Some(tunnel) = &stream.tunnel {
            // RFC 9113 §8.5: "A proxy treats any error in the TCP connection ... as a stream error of type CONNECT_ERROR." RFC 8441
            // §5: "RST exceptions are represented with the RST_STREAM frame ... with the CANCEL error code".
            let cut = cause == Cause::Aborted && !self.client && !tunnel.carries_websocket();
            return if cut { ErrorCode::CONNECT_ERROR } else { code };
        }
        let ours = matches!(cause, Cause::Timeout(_) | Cause::Aborted | Cause::Disconnected);
        match stream.message {
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

    pub(in crate::h2) fn send_reset(&mut self, out: &mut Output, id: u32, code: ErrorCode) {
        frame::rst_stream(out.buffer(), id, code);
        self.control_frames += 1;
        self.conduct.sent_reset();
        if self.reset.len() == RESET_REMEMBERED
            && let Some(oldest) = self.reset.pop_front()
        {
            self.reset_before = self.reset_before.max(oldest);
        }
        self.reset.push_back(id);
    }

    /// Whether frames for a stream that is not there are to be dropped, as the peer may have sent them before it heard: this side
    /// has reset the stream, or one of the two does not process it. RFC 9113 §5.1 and §6.8.
    pub(in crate::h2) fn drops(&self, id: u32) -> bool {
        id <= self.reset_before
            || self.reset.contains(&id)
            || self.is_past_the_end(id)
            || self.is_refused_by_peer(id)
    }

    /// Whether a request of this side is behind the last one that the peer processes. It has been told as refused, and what the peer
    /// had said about it before counts no more.
    fn is_refused_by_peer(&self, id: u32) -> bool {
        self.client && self.peer_last.is_some_and(|last| id > last)
    }

    /// Whether a stream of the peer would come behind the last one that is processed. RFC 9113 §6.8.
    pub(in crate::h2) fn is_past_the_end(&self, id: u32) -> bool {
        matches!(self.going, Going::Away { last } if !self.client && id > last && !id.is_multiple_of(2))
    }

    /// Counts a stream that the peer has given up before its end, or made this side reset. RFC 9113 §10.5.
    pub(in crate::h2) fn count_reset(
        &mut self,
        out: &mut Output,
        config: &Config,
        now: Time,
    ) -> Result<(), Fault> {
        let counted = self.conduct.reset(&config.limits, now);
        counted.or_else(|limit| self.calm(out, config, now, limit))
    }

    /// Counts a frame that is of no use, unless the traffic explains it. RFC 9113 §10.5.
    pub(in crate::h2) fn count_frame(
        &mut self,
        out: &mut Output,
        config: &Config,
        now: Time,
    ) -> Result<(), Fault> {
        let counted = self.conduct.frame(&config.limits, now);
        counted.or_else(|limit| self.calm(out, config, now, limit))
    }

    /// Counts a frame that is of no use, whatever the traffic. RFC 9113 §10.5.
    pub(in crate::h2) fn count_glitch(
        &mut self,
        out: &mut Output,
        config: &Config,
        now: Time,
    ) -> Result<(), Fault> {
        let counted = self.conduct.glitch(&config.limits, now);
        counted.or_else(|limit| self.calm(out, config, now, limit))
    }

    /// The peer has used up an allowance. The first time it is told which streams are the last, and those go on: the requests of
    /// many clients may share a connection with one that misbehaves. The second time is the end.
    #[cold]
    fn calm(&mut self, out: &mut Output, config: &Config, now: Time, limit: Limit) -> Result<(), Fault> {
        if let Some(Cause::Limit(before)) = self.sent_away {
            return Err(Fault::limit(before));
        }
        self.say_go_away(out, Cause::Limit(limit));
        self.conduct = Conduct::new(&config.limits, now);
        Ok(())
    }

    /// The application gives the stream up.
    pub(crate) fn abort_stream(&mut self, out: &mut Output) {
        let slot = self.current;
        self.give_up(out, slot, Cause::Aborted);
    }

    /// Whether a response or a tunnel of a server has not come to its end.
    pub(crate) fn is_incomplete(&self) -> bool {
        !self.client && self.streams.iter().any(|stream| stream.state.sends())
    }

    /// What is queued does not reach the peer: ends that have not been told yet are not complete.
    pub(crate) fn lose(&mut self, cause: Cause) {
        let untold = self.streams.all().filter(|stream| stream.place == Place::Closed);
        untold.filter(|stream| stream.cause == Cause::Complete).for_each(|stream| stream.cause = cause);
    }

    /// Ends every stream, and the protocol with them.
    pub(crate) fn finish(&mut self, cause: Cause) {
        if self.finished {
            return;
        }
        self.finished = true;
        for slot in self.streams.taken() {
            self.close(slot, cause);
        }
        self.queue.clear();
    }

    /// Tells the peer why the connection ends. RFC 9113 §6.8.
    pub(crate) fn say_go_away(&mut self, out: &mut Output, cause: Cause) {
        let message = match cause {
            Cause::Violation(violation) => violation.message(),
            Cause::Limit(limit) => limit.message(),
            Cause::Timeout(deadline) => deadline.message(),
            _ => "",
        };
        let last = match self.going {
            Going::Away { last } => last,
            Going::No | Going::Announced { .. } => self.last_peer_id,
        };
        frame::go_away(out.buffer(), last, code_of(cause), message);
        self.going = Going::Away { last };
        if cause != Cause::Complete && cause != Cause::Timeout(Deadline::Idle) {
            self.sent_away.get_or_insert(cause);
        }
    }

    /// Begins the orderly end: WebSockets are closed with 1001, what runs goes on, and a server takes what is on its way before it
    /// says which stream was the last. Returns whether nothing runs, so that the end has come. RFC 9113 §6.8.
    pub(crate) fn drain(
        &mut self,
        out: &mut Output,
        config: &Config,
        keys: &mut Option<Box<dyn Entropy>>,
        now: Time,
    ) -> bool {
        for slot in self.streams.taken() {
            self.enter(slot, keys, now);
            if let Some(tunnel) = self.tunnel() {
                tunnel.drain(now);
            }
            self.settle(keys, now);
        }
        self.announce_end(out, config, now);
        self.streams.is_empty()
    }

    /// Asks the peer to begin no more streams.
    pub(crate) fn announce_end(&mut self, out: &mut Output, config: &Config, now: Time) {
        if self.going != Going::No {
            return;
        }
        if self.client || self.streams.is_empty() {
            frame::go_away(out.buffer(), self.last_peer_id, ErrorCode::NO_ERROR, "");
            self.going = Going::Away { last: self.last_peer_id };
            return;
        }
        frame::go_away(out.buffer(), frame::MAX_31_BITS, ErrorCode::NO_ERROR, "");
        frame::ping(out.buffer(), false, GOING);
        self.going = Going::Announced { until: now + config.limits.close_timeout };
    }

    /// The peer has heard of the orderly end, or had the time for it.
    pub(in crate::h2) fn go_away(&mut self, out: &mut Output) {
        if let Going::Announced { .. } = self.going {
            frame::go_away(out.buffer(), self.last_peer_id, ErrorCode::NO_ERROR, "");
            self.going = Going::Away { last: self.last_peer_id };
        }
    }

    /// Whether the orderly end has come: nothing is open, and nothing more will be.
    pub(crate) fn is_over(&self) -> bool {
        let going = matches!(self.going, Going::Away { .. }) || self.client && self.peer_last.is_some();
        going && !self.finished && self.streams.is_empty()
    }

    /// Says that nothing more will be, if that has not been said: "a receiver of a GOAWAY that has no more use for the connection SHOULD
    /// still send a GOAWAY frame before terminating the connection". RFC 9113 §6.8.
    pub(crate) fn say_over(&mut self, out: &mut Output) {
        if self.going == Going::No {
            self.say_go_away(out, Cause::Complete);
        }
    }

    /// Why the peer was told to go away, unless the connection is to end in order.
    pub(crate) fn sent_away(&self) -> Option<Cause> {
        self.sent_away
    }

    pub(crate) fn set_scheme(&mut self, scheme: Scheme) {
        self.scheme = scheme;
    }

    /// The transport has everything that was queued.
    #[inline]
    pub(crate) fn all_sent(&mut self) {
        self.control_frames = 0;
    }

    /// Whether the peer has more answers to take before more is asked of us.
    #[inline]
    pub(crate) fn is_choked(&self, config: &Config) -> bool {
        self.control_frames >= config.limits.h2_control_frames_max
    }

    /// Whether a client's request can be made on this connection.
    pub(crate) fn takes_requests(&self) -> bool {
        self.client
            && !self.finished
            && self.going == Going::No
            && self.peer_last.is_none()
            && self.next_id < frame::MAX_31_BITS
    }
}
