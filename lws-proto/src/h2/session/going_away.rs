//! The end of a connection: GOAWAY from either side, in order or not. RFC 9113 §6.8.

use super::super::code::ErrorCode;
use super::super::error::code_of;
use super::super::frame;
use super::super::shutdown::{GOING_AWAY, ShutdownPhase};
use super::super::streams::WaitsFor;
use super::Session;
use crate::connection::link::{LastWord, Link};
use crate::connection::resources::Resources;
use crate::{Cause, Deadline};

impl Session {
    /// Whether a request of this side is beyond the last one that the peer processes. It has ended as refused, and
    /// earlier frames about it are ignored.
    pub(super) fn is_refused_by_peer(&self, id: u32) -> bool {
        self.client && self.shutdown.peer_last.is_some_and(|last| id > last)
    }

    /// Whether a stream of the peer is beyond the last one that this side processes.
    pub(in crate::h2) fn is_past_the_end(&self, id: u32) -> bool {
        let past = matches!(self.shutdown.phase, ShutdownPhase::Away { last } if id > last);
        past && !self.client && !id.is_multiple_of(2)
    }

    /// Whether a response or a tunnel of a server has not come to its end.
    fn is_incomplete(&self) -> bool {
        !self.client && self.streams.iter().any(|stream| stream.state.sends())
    }

    /// Corrects ends that have not been delivered yet, as the queued output will not reach the peer: they are not
    /// complete.
    fn lose(&mut self, cause: Cause) {
        let pending = self.streams.all().filter(|stream| stream.waits_for == WaitsFor::Closed);
        pending
            .filter(|stream| stream.core.cause == Cause::Complete)
            .for_each(|stream| stream.core.cause = cause);
    }

    /// Ends every stream, and the protocol with them.
    fn finish(&mut self, cause: Cause) {
        if core::mem::replace(&mut self.shutdown.finished, true) {
            return;
        }
        for slot in self.streams.taken() {
            self.close(slot, cause);
        }
        // Queued requests have ended with the others, and must not begin any more.
        self.requests.queue.clear();
    }

    /// Ends every stream and the connection after the queued output.
    pub(crate) fn end_all(&mut self, link: &mut Link, cause: Cause) {
        self.finish(cause);
        link.finish(LastWord::Fin);
    }

    /// Ends every stream and the connection at once.
    pub(crate) fn abort_all(&mut self, link: &mut Link, cause: Cause) {
        let lost = !link.out.is_empty();
        let reset = lost || self.is_incomplete();
        // This comes before the streams are closed: only ends that happened before can have been complete.
        if lost {
            self.lose(cause);
        }
        self.finish(cause);
        link.abort(reset);
    }

    /// Ends the connection with GOAWAY. RFC 9113 §5.4.1.
    #[cold]
    pub(in crate::h2) fn fail(&mut self, link: &mut Link, cause: Cause) {
        self.say_go_away(link, cause);
        self.end_all(link, cause);
    }

    /// Sends GOAWAY with the cause of the connection's end.
    pub(super) fn say_go_away(&mut self, link: &mut Link, cause: Cause) {
        let last = match self.shutdown.phase {
            ShutdownPhase::Away { last } => last,
            ShutdownPhase::Running | ShutdownPhase::Announced { .. } => self.incoming.last_id,
        };
        frame::go_away(link.out.buffer(), last, code_of(cause), cause.message());
        self.shutdown.phase = ShutdownPhase::Away { last };
        if cause != Cause::Complete && cause != Cause::Timeout(Deadline::Idle) {
            self.shutdown.reason.get_or_insert(cause);
        }
    }

    /// Begins the graceful shutdown: WebSockets are closed with 1001, exchanges go on, and a server takes requests in
    /// flight before it names the last stream.
    pub(crate) fn drain(&mut self, link: &mut Link, resources: &mut Resources) {
        self.detach(link, resources);
        for slot in self.streams.taken() {
            self.attach(slot, link);
            if let Some(tunnel) = self.attached_tunnel() {
                tunnel.drain(resources);
            }
            self.detach(link, resources);
        }
        self.announce_end(link);
        if self.streams.is_empty() {
            // After an announcement the last stream is still to be named, so that the peer sends what is on its way elsewhere.
            self.go_away(link);
            self.end_all(link, Cause::Complete);
        }
    }

    /// Lets what runs, and what is on its way, come to its end, WebSockets as well.
    pub(crate) fn retire(&mut self, link: &mut Link) {
        if self.shutdown.phase != ShutdownPhase::Running {
            return;
        }
        if !self.client {
            return self.announce(link);
        }
        self.send_last(link);
        self.end_if_over(link);
    }

    /// Asks the peer to begin no more streams.
    pub(crate) fn announce_end(&mut self, link: &mut Link) {
        if self.shutdown.phase != ShutdownPhase::Running {
            return;
        }
        if self.client || self.streams.is_empty() {
            return self.send_last(link);
        }
        self.announce(link);
    }

    fn announce(&mut self, link: &mut Link) {
        // Requests may be in flight. The last stream is named when the answer to the PING shows that there are none any
        // more.
        frame::go_away(link.out.buffer(), frame::MAX_31_BITS, ErrorCode::NO_ERROR, "");
        frame::ping(link.out.buffer(), false, GOING_AWAY);
        self.shutdown.phase = ShutdownPhase::Announced { until: link.now + link.config.limits.close_timeout };
    }

    /// Names the last stream, as the peer has received the announcement, or had enough time for it.
    pub(in crate::h2) fn go_away(&mut self, link: &mut Link) {
        if let ShutdownPhase::Announced { .. } = self.shutdown.phase {
            self.send_last(link);
        }
    }

    fn send_last(&mut self, link: &mut Link) {
        let last = self.incoming.last_id;
        frame::go_away(link.out.buffer(), last, ErrorCode::NO_ERROR, "");
        self.shutdown.phase = ShutdownPhase::Away { last };
    }

    /// Whether the graceful shutdown is complete: no stream is open, and none will be.
    fn is_over(&self) -> bool {
        let ending = matches!(self.shutdown.phase, ShutdownPhase::Away { .. })
            || self.client && self.shutdown.peer_last.is_some();
        ending && !self.shutdown.finished && self.streams.is_empty()
    }

    /// Ends the connection if its graceful shutdown is complete. "A receiver of a GOAWAY that has no more use for the
    /// connection SHOULD still send a GOAWAY frame before terminating the connection."
    pub(super) fn end_if_over(&mut self, link: &mut Link) {
        if !self.is_over() {
            return;
        }
        if self.shutdown.phase == ShutdownPhase::Running {
            self.say_go_away(link, Cause::Complete);
        }
        self.end_all(link, Cause::Complete);
    }

    /// Why the peer was sent GOAWAY with an error, if it was.
    pub(crate) fn sent_away(&self) -> Option<Cause> {
        self.shutdown.reason
    }
}
