//! Counting abuse: behaviour that costs this side more than it costs the peer. RFC 9113 §10.5.

use super::super::code::ErrorCode;
use super::super::conduct::Conduct;
use super::super::error::Fault;
use super::super::frame;
use super::Session;
use crate::connection::link::Link;
use crate::{Cause, Limit};

impl Session {
    pub(in crate::h2) fn send_reset(&mut self, link: &mut Link, id: u32, code: ErrorCode) {
        frame::rst_stream(link.out.buffer(), id, code);
        self.abuse.control_frames += 1;
        self.abuse.conduct.sent_reset();
        self.abuse.remember_reset(id);
    }

    /// Whether frames for a missing stream are dropped, because the peer may have sent them before it knew that this
    /// side has reset the stream, or does not process it. RFC 9113 §5.1 and §6.8.
    pub(in crate::h2) fn drops(&self, id: u32) -> bool {
        self.abuse.has_reset(id) || self.is_past_the_end(id) || self.is_refused_by_peer(id)
    }

    /// Counts a stream that the peer has given up before its end, or made this side reset.
    pub(in crate::h2) fn count_reset(&mut self, link: &mut Link) -> Result<(), Fault> {
        let counted = self.abuse.conduct.reset(&link.config.limits, link.now);
        counted.or_else(|limit| self.calm(link, limit))
    }

    /// Counts a frame as a glitch, unless the traffic explains it.
    pub(in crate::h2) fn count_frame(&mut self, link: &mut Link) -> Result<(), Fault> {
        let counted = self.abuse.conduct.frame(&link.config.limits, link.now);
        counted.or_else(|limit| self.calm(link, limit))
    }

    /// Counts a frame as a glitch, whatever the traffic.
    pub(in crate::h2) fn count_glitch(&mut self, link: &mut Link) -> Result<(), Fault> {
        let counted = self.abuse.conduct.glitch(&link.config.limits, link.now);
        counted.or_else(|limit| self.calm(link, limit))
    }

    /// Handles a used-up allowance. The first time the peer gets GOAWAY with the last stream, and streams up to that go
    /// on, because a misbehaving client may share the connection with others. The second time ends the connection.
    #[cold]
    fn calm(&mut self, link: &mut Link, limit: Limit) -> Result<(), Fault> {
        if let Some(Cause::Limit(before)) = self.shutdown.reason {
            return Err(Fault::limit(before));
        }
        self.say_go_away(link, Cause::Limit(limit));
        self.abuse.conduct = Conduct::new(&link.config.limits, link.now);
        Ok(())
    }

    /// Notes that the transport has taken everything.
    #[inline]
    pub(crate) fn all_sent(&mut self) {
        self.abuse.control_frames = 0;
    }
}
