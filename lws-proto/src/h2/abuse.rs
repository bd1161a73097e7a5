//! Bookkeeping against abuse: behaviour that costs this side more than it costs the peer. RFC 9113 §10.5.

use super::conduct::Conduct;
use crate::{Limits, Time};
use alloc::collections::VecDeque;

/// The number of remembered streams that this side has reset, for which frames of the peer may still be in flight.
const RESET_REMEMBERED: usize = 128;

/// The conduct of the peer, resets of this side, and unsent answers.
pub(in crate::h2) struct Abuse {
    pub(in crate::h2) conduct: Conduct,
    /// Streams that this side has reset, the last ones.
    reset: VecDeque<u32>,
    /// The highest stream that was reset and is no longer among those.
    reset_before: u32,
    /// Answers to control frames that are not sent yet.
    pub(in crate::h2) control_frames: u32,
}

impl Abuse {
    pub(in crate::h2) fn new(limits: &Limits, now: Time) -> Self {
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

    /// Whether so many answers are queued that no further input is read.
    #[inline]
    pub(in crate::h2) fn is_choked(&self, limits: &Limits) -> bool {
        self.control_frames >= limits.h2_control_frames_max
    }

    /// Whether this side has reset a stream, so that the peer may have sent frames before it learned of that.
    pub(in crate::h2) fn has_reset(&self, id: u32) -> bool {
        id <= self.reset_before || self.reset.contains(&id)
    }

    pub(in crate::h2) fn remember_reset(&mut self, id: u32) {
        if self.reset.len() == RESET_REMEMBERED
            && let Some(oldest) = self.reset.pop_front()
        {
            self.reset_before = self.reset_before.max(oldest);
        }
        self.reset.push_back(id);
        debug_assert!(self.reset.len() <= RESET_REMEMBERED);
    }
}
