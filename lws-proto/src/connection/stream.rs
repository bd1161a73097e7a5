//! The common state of streams: of the only stream of a connection, and of each stream of HTTP/2.
//!
//! Knows no protocol.

use crate::key::StreamKey;
use crate::{Cause, Time};

/// Notices of a stream, and conditions that hold its input back. Usually none is set, so that one test finds a stream
/// that only reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notices(u16);

impl Notices {
    /// The stream has ended, which is still to be delivered.
    pub(crate) const CLOSED: Self = Self(1);
    /// The stream has become a WebSocket or a raw stream, and its receiver has to be replaced.
    pub(crate) const SWITCH: Self = Self(2);
    /// The application has asked for a permit.
    pub(crate) const WANTED: Self = Self(4);
    /// The application's timeout is due, and is still to be delivered.
    pub(crate) const TIMEOUT: Self = Self(8);
    /// The application has paused input.
    pub(crate) const PAUSED: Self = Self(16);
    /// Input is held back until a permit could be given.
    pub(crate) const THROTTLED: Self = Self(32);
    /// The receiver has more to deliver, without more input.
    pub(crate) const MORE: Self = Self(64);
    /// The end of the peer's direction is still to be delivered.
    pub(crate) const PEER_ENDED: Self = Self(128);
    /// A permit is out as a ticket.
    pub(crate) const TICKET: Self = Self(256);
    /// No stream is open, on a connection that has one at a time.
    pub(crate) const ABSENT: Self = Self(512);

    /// The notices that end with the stream.
    pub(crate) const OF_STREAM: Self = Self(
        Self::PAUSED.0
            | Self::THROTTLED.0
            | Self::WANTED.0
            | Self::TIMEOUT.0
            | Self::MORE.0
            | Self::PEER_ENDED.0
            | Self::TICKET.0,
    );
    /// The notices that are delivered before input.
    pub(crate) const BEFORE_INPUT: Self =
        Self(Self::CLOSED.0 | Self::SWITCH.0 | Self::WANTED.0 | Self::TIMEOUT.0 | Self::PEER_ENDED.0);
    /// Everything that keeps input off the fast path.
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

    /// Clears these notices. Returns whether any of them was set.
    #[inline]
    pub(crate) fn take(&mut self, notices: Self) -> bool {
        let was = self.has(notices);
        self.0 &= !notices.0;
        was
    }
}

/// The common state of a stream.
#[derive(Debug)]
pub(crate) struct StreamCore {
    pub(crate) key: StreamKey,
    pub(crate) notices: Notices,
    /// The application's timeout; [`Time::NEVER`] if there is none.
    pub(crate) timeout: Time,
    /// The cause of its end.
    pub(crate) cause: Cause,
    /// The bytes that the application holds for it, which count until its end has been delivered.
    pub(crate) held: u32,
}

impl StreamCore {
    pub(crate) fn new(key: StreamKey) -> Self {
        Self { key, notices: Notices::default(), timeout: Time::NEVER, cause: Cause::Complete, held: 0 }
    }

    /// Begins the next stream, with the next generation of the key.
    pub(crate) fn renew(&mut self) {
        let mut notices = self.notices;
        notices.take(Notices::OF_STREAM.or(Notices::ABSENT));
        *self = Self { notices, ..Self::new(self.key.renewed()) };
    }

    /// Ends it: only its end is still to be delivered.
    pub(crate) fn close(&mut self, cause: Cause) {
        self.timeout = Time::NEVER;
        self.notices.take(Notices::OF_STREAM);
        self.notices.set(Notices::CLOSED);
        self.cause = cause;
    }

    pub(crate) fn set_timeout(&mut self, at: Option<Time>) {
        self.timeout = at.unwrap_or(Time::NEVER);
    }

    /// Adds bytes that the application holds.
    pub(crate) fn hold(&mut self, bytes: usize) {
        self.held = self.held.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Removes bytes that the application holds. Returns how many of them it did hold.
    pub(crate) fn release(&mut self, bytes: usize) -> usize {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(self.held);
        self.held -= bytes;
        bytes as usize
    }
}
