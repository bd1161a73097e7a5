//! The conduct of a peer: how many cheap frames its traffic explains, and how many more it may send. RFC 9113 §10.5.
//!
//! Knows no frame and no stream.

use super::bucket::Bucket;
use crate::{Limit, Limits, Time};

/// Frames that a DATA frame of the peer explains, if it is no short one: another one with what a window, or a piece of what its application
/// sends, has beyond it.
const PER_RECEIVED: u32 = 1;

/// Frames of the peer that a DATA frame of ours explains: a WINDOW_UPDATE for the stream and one for the connection, which may come
/// after the stream has ended, and a PING that measures how fast they come.
const PER_DATA: u32 = 3;

/// Frames that a request explains: its priority and a change of that, a frame of an unknown type, as browsers send some,
/// and a reset of what has been answered.
const PER_REQUEST: u32 = 4;

/// Frames that a reset by this side explains: those that were in flight, at most a window full of one-kilobyte frames.
const PER_RESET: u32 = 64;

/// The most explained frames that are saved up: a peer answers each frame within a round trip, and this many small
/// frames fill a window of a megabyte.
const EXPLAINED_MAX: u32 = 1 << 16;

/// The explained frames of a new connection: windows and priorities are set up before any traffic.
const EXPLAINED_AT_FIRST: u32 = 100;

/// A DATA frame of fewer bytes that uses up a window is made by a peer that gives room in such pieces; one that the peer sends is short.
const DRIBBLE_BYTES: usize = 256;

/// Frames that it explains: the WINDOW_UPDATE that gives back its bytes.
const PER_DRIBBLE: u32 = 1;

/// Streams that have come to their end, as many as are remembered: a peer may give up as many as it lets complete.
const COMPLETED_MAX: u32 = 1_000;

/// The conduct of a peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conduct {
    explained: u32,
    completed: u32,
    resets: Bucket,
    glitches: Bucket,
}

impl Conduct {
    pub(crate) fn new(limits: &Limits, now: Time) -> Self {
        Self {
            explained: EXPLAINED_AT_FIRST,
            completed: 0,
            resets: Bucket::full(limits.h2_resets, now),
            glitches: Bucket::full(limits.h2_glitches, now),
        }
    }

    // Traffic, which explains frames.

    /// A DATA frame of `len` bytes was sent. `used_up` is whether a window has no room left behind it.
    #[inline]
    pub(crate) fn sent_data(&mut self, len: usize, used_up: bool) {
        let dribbles = used_up && len < DRIBBLE_BYTES;
        self.explain(if dribbles { PER_DRIBBLE } else { PER_DATA });
    }

    /// A DATA frame with `len` bytes of content has come.
    #[inline]
    pub(crate) fn received_data(&mut self, len: u32) {
        if len as usize >= DRIBBLE_BYTES {
            self.explain(PER_RECEIVED);
        }
    }

    /// A request has begun.
    #[inline]
    pub(crate) fn began(&mut self) {
        self.explain(PER_REQUEST);
    }

    /// A stream has come to its end in order.
    #[inline]
    pub(crate) fn completed(&mut self) {
        self.completed = (self.completed + 1).min(COMPLETED_MAX);
    }

    /// This side has reset a stream.
    pub(crate) fn sent_reset(&mut self) {
        self.explain(PER_RESET);
    }

    #[inline]
    fn explain(&mut self, frames: u32) {
        self.explained = (self.explained + frames).min(EXPLAINED_MAX);
        debug_assert!(self.explained > 0);
    }

    // Behaviour of the peer.

    /// Counts a frame that traffic may explain; otherwise it is a glitch.
    ///
    /// # Errors
    /// The limit that the peer has reached.
    #[inline]
    pub(crate) fn frame(&mut self, limits: &Limits, now: Time) -> Result<(), Limit> {
        match self.explained.checked_sub(1) {
            Some(left) => {
                self.explained = left;
                Ok(())
            }
            None => self.glitch(limits, now),
        }
    }

    /// Counts a glitch: a frame without use that no traffic explains.
    ///
    /// # Errors
    /// The limit that the peer has reached.
    pub(crate) fn glitch(&mut self, limits: &Limits, now: Time) -> Result<(), Limit> {
        if self.glitches.take(limits.h2_glitches, now) { Ok(()) } else { Err(Limit::Glitches) }
    }

    /// Counts a stream that the peer has reset before its end, or that this side had to reset because of a fault of
    /// the peer.
    ///
    /// # Errors
    /// The limit that the peer has reached.
    pub(crate) fn reset(&mut self, limits: &Limits, now: Time) -> Result<(), Limit> {
        if let Some(left) = self.completed.checked_sub(1) {
            self.completed = left;
            return Ok(());
        }
        if self.resets.take(limits.h2_resets, now) { Ok(()) } else { Err(Limit::Resets) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Allowance;
    use core::time::Duration;

    fn limits() -> Limits {
        let few = Allowance { burst: 2, per_second: 1 };
        Limits { h2_glitches: few, h2_resets: few, ..Limits::default() }
    }

    /// How many frames are free of charge, and how many more there may be at once.
    fn frames(mut conduct: Conduct) -> u32 {
        (0..).take_while(|_| conduct.frame(&limits(), Time::ZERO).is_ok()).count() as u32
    }

    #[test]
    fn what_traffic_explains_is_no_glitch() {
        let check = |act: fn(&mut Conduct), more: u32| {
            let mut conduct = Conduct::new(&limits(), Time::ZERO);
            act(&mut conduct);
            assert_eq!(frames(conduct), EXPLAINED_AT_FIRST + 2 + more);
        };
        check(|_| {}, 0);
        check(|conduct| conduct.sent_data(13, false), PER_DATA);
        check(|conduct| conduct.sent_data(1, true), PER_DRIBBLE);
        check(|conduct| conduct.sent_data(DRIBBLE_BYTES - 1, true), PER_DRIBBLE);
        check(|conduct| conduct.sent_data(DRIBBLE_BYTES, true), PER_DATA);
        check(Conduct::began, PER_REQUEST);
        check(Conduct::sent_reset, PER_RESET);
        let saved = EXPLAINED_MAX - EXPLAINED_AT_FIRST;
        check(|conduct| (0..EXPLAINED_MAX).for_each(|_| conduct.sent_data(13, false)), saved);
    }

    #[test]
    fn as_many_streams_may_be_given_up_as_come_to_their_end() {
        let mut conduct = Conduct::new(&limits(), Time::ZERO);
        for _ in 0..10_000 {
            conduct.completed();
            assert_eq!(conduct.reset(&limits(), Time::ZERO), Ok(()));
        }
        assert!(conduct.reset(&limits(), Time::ZERO).is_ok() && conduct.reset(&limits(), Time::ZERO).is_ok());
        assert_eq!(conduct.reset(&limits(), Time::ZERO), Err(Limit::Resets));
        assert_eq!(conduct.reset(&limits(), Time::ZERO + Duration::from_secs(1)), Ok(()));
    }
}
