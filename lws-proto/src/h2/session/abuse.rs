//! What a peer does that costs this side more than it costs the peer, and what this side has made of it. RFC 9113 §10.5.

use super::super::conduct::Conduct;
use super::super::error::{ErrorCode, Fault};
use super::super::frame;
use super::Session;
use crate::connection::link::Link;
use crate::{Cause, Limit, Limits, Time};
use alloc::collections::VecDeque;

/// Streams that this side has reset, for which frames of the peer may still be on their way.
const RESET_REMEMBERED: usize = 128;

/// The conduct of the peer, and what it has been sent for it.
pub(in crate::h2) struct Abuse {
    pub(super) conduct: Conduct,
    /// Streams that this side has reset, the last ones.
    reset: VecDeque<u32>,
    /// The highest stream that was reset and is no longer among those.
    reset_before: u32,
    /// Answers to control frames that have not gone.
    control_frames: u32,
}

impl Abuse {
    pub(super) fn new(limits: &Limits, now: Time) -> Self {
        Self {
            conduct: Conduct::new(limits, now),
            reset: VecDeque::new(),
            reset_before: 0,
            control_frames: 0,
        }
    }

    /// A stream of the peer has begun.
    #[inline]
    pub(in crate::h2) fn began(&mut self) {
        self.conduct.began();
    }

    /// An answer to a control frame has been queued.
    pub(in crate::h2) fn answered(&mut self) {
        self.control_frames += 1;
    }

    /// Whether the peer has more answers to take before more is asked of us.
    #[inline]
    pub(super) fn is_choked(&self, limits: &Limits) -> bool {
        self.control_frames >= limits.h2_control_frames_max
    }

    /// Whether this side has reset a stream, so that the peer may have sent more before it heard.
    fn has_reset(&self, id: u32) -> bool {
        id <= self.reset_before || self.reset.contains(&id)
    }

    fn remember_reset(&mut self, id: u32) {
        if self.reset.len() == RESET_REMEMBERED
            && let Some(oldest) = self.reset.pop_front()
        {
            self.reset_before = self.reset_before.max(oldest);
        }
        self.reset.push_back(id);
        debug_assert!(self.reset.len() <= RESET_REMEMBERED);
    }
}

impl Session {
    pub(in crate::h2) fn send_reset(&mut self, link: &mut Link, id: u32, code: ErrorCode) {
        frame::rst_stream(link.out.buffer(), id, code);
        self.abuse.control_frames += 1;
        self.abuse.conduct.sent_reset();
        self.abuse.remember_reset(id);
    }

    /// Whether frames for a stream that is not there are to be dropped, as the peer may have sent them before it heard: this side
    /// has reset the stream, or one of the two does not process it. RFC 9113 §5.1 and §6.8.
    pub(in crate::h2) fn drops(&self, id: u32) -> bool {
        self.abuse.has_reset(id) || self.is_past_the_end(id) || self.is_refused_by_peer(id)
    }

    /// Counts a stream that the peer has given up before its end, or made this side reset.
    pub(in crate::h2) fn count_reset(&mut self, link: &mut Link) -> Result<(), Fault> {
        let counted = self.abuse.conduct.reset(&link.config.limits, link.now);
        counted.or_else(|limit| self.calm(link, limit))
    }

    /// Counts a frame that is of no use, unless the traffic explains it.
    pub(in crate::h2) fn count_frame(&mut self, link: &mut Link) -> Result<(), Fault> {
        let counted = self.abuse.conduct.frame(&link.config.limits, link.now);
        counted.or_else(|limit| self.calm(link, limit))
    }

    /// Counts a frame that is of no use, whatever the traffic.
    pub(in crate::h2) fn count_glitch(&mut self, link: &mut Link) -> Result<(), Fault> {
        let counted = self.abuse.conduct.glitch(&link.config.limits, link.now);
        counted.or_else(|limit| self.calm(link, limit))
    }

    /// The peer has used up an allowance. The first time it gets GOAWAY with the last stream, and those up to it go on: the requests of
    /// many clients may share a connection with one that misbehaves. The second time is the end.
    #[cold]
    fn calm(&mut self, link: &mut Link, limit: Limit) -> Result<(), Fault> {
        if let Some(Cause::Limit(before)) = self.shutdown.reason {
            return Err(Fault::limit(before));
        }
        self.say_go_away(link, Cause::Limit(limit));
        self.abuse.conduct = Conduct::new(&link.config.limits, link.now);
        Ok(())
    }

    /// The transport has everything that was queued.
    #[inline]
    pub(crate) fn all_sent(&mut self) {
        self.abuse.control_frames = 0;
    }
}
