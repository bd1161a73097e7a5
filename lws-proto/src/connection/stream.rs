//! What is kept of every stream, be it the only one of its connection or one of many of HTTP/2.
//!
//! Knows no protocol.

use crate::key::StreamKey;
use crate::{Cause, Time};

/// What a stream has to say, or keeps it from taking input. Nothing of it is true of most streams at most times, so that one test finds
/// a stream that only has input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notices(u16);

impl Notices {
    /// It has ended, which is to be delivered.
    pub(crate) const CLOSED: Self = Self(1);
    /// It has become a WebSocket or a raw stream, and its receiver is to be replaced.
    pub(crate) const SWITCH: Self = Self(2);
    /// A permit is wanted.
    pub(crate) const WANTED: Self = Self(4);
    /// The moment that the application has set has come, which is to be delivered.
    pub(crate) const TIMEOUT: Self = Self(8);
    /// The application does not want input.
    pub(crate) const PAUSED: Self = Self(16);
    /// No input is taken until a permit could be given.
    pub(crate) const THROTTLED: Self = Self(32);
    /// The receiver has more to deliver, without more input.
    pub(crate) const MORE: Self = Self(64);
    /// The end of the peer's direction is still to be delivered.
    pub(crate) const PEER_ENDED: Self = Self(128);
    /// A permit is out as a ticket.
    pub(crate) const TICKET: Self = Self(256);
    /// No stream is open where there is one at a time.
    pub(crate) const ABSENT: Self = Self(512);

    /// What ends with the stream.
    pub(crate) const OF_STREAM: Self = Self(
        Self::PAUSED.0
            | Self::THROTTLED.0
            | Self::WANTED.0
            | Self::TIMEOUT.0
            | Self::MORE.0
            | Self::PEER_ENDED.0
            | Self::TICKET.0,
    );
    /// What is to be delivered before any input.
    pub(crate) const BEFORE_INPUT: Self =
        Self(Self::CLOSED.0 | Self::SWITCH.0 | Self::WANTED.0 | Self::TIMEOUT.0 | Self::PEER_ENDED.0);
    /// What has to be looked at apart from input.
    pub(crate) const DISTURBING: Self = Self(!Self::ABSENT.0);

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[inline]
    pub(crate) fn has(self, any_of: Self) -> bool {
        self.0 & any_of.0 != 0
    }

    #[inline]
    pub(crate) fn set(&mut self, notices: Self) {
        self.0 |= notices.0;
    }

    /// Clears what is named. Returns whether any of it was set.
    #[inline]
    pub(crate) fn take(&mut self, notices: Self) -> bool {
        let was = self.has(notices);
        self.0 &= !notices.0;
        was
    }
}

/// What every stream has.
#[derive(Debug)]
pub(crate) struct StreamCore {
    pub(crate) key: StreamKey,
    pub(crate) notices: Notices,
    /// When the application wants to learn that time has passed; [`Time::NEVER`] if it does not.
    pub(crate) timeout: Time,
    /// Why it has ended, or will.
    pub(crate) cause: Cause,
    /// Bytes that the application holds for it. They count until its end has been delivered.
    pub(crate) held: u32,
}

impl StreamCore {
    pub(crate) fn new(key: StreamKey) -> Self {
        Self { key, notices: Notices::default(), timeout: Time::NEVER, cause: Cause::Complete, held: 0 }
    }

    /// The next stream in the place of this one.
    pub(crate) fn renew(&mut self) {
        let mut notices = self.notices;
        notices.take(Notices::OF_STREAM.or(Notices::ABSENT));
        let StreamKey { index, generation } = self.key;
        let key = StreamKey { index, generation: generation.wrapping_add(1) };
        *self = Self { notices, ..Self::new(key) };
    }

    /// It has ended: nothing else is to be delivered of it.
    pub(crate) fn close(&mut self, cause: Cause) {
        self.timeout = Time::NEVER;
        self.notices.take(Notices::OF_STREAM);
        self.notices.set(Notices::CLOSED);
        self.cause = cause;
    }

    pub(crate) fn set_timeout(&mut self, at: Option<Time>) {
        self.timeout = at.unwrap_or(Time::NEVER);
    }

    /// The application holds so many bytes more.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.held = self.held.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// The application holds so many bytes less. Returns how many it did hold of them.
    pub(crate) fn release(&mut self, bytes: usize) -> usize {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.held);
        self.held -= bytes;
        bytes as usize
    }
}
