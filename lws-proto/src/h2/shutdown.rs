//! The shutdown state of a connection. RFC 9113 §6.8.

use super::slot::Slot;
use crate::{Cause, Time};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// The payload of the PING whose answer shows that the peer has received the announcement of the shutdown.
pub(in crate::h2) const GOING_AWAY: [u8; 8] = *b"go away\0";

/// The shutdown state of the connection.
pub(in crate::h2) struct Shutdown {
    pub(in crate::h2) phase: ShutdownPhase,
    /// The last stream that the peer processes, if it has sent GOAWAY.
    pub(in crate::h2) peer_last: Option<u32>,
    /// Why the peer was sent GOAWAY with an error, if it was.
    pub(in crate::h2) reason: Option<Cause>,
    /// Set once the peer of a server has ended its direction.
    pub(in crate::h2) half_closed: Option<Box<HalfClosed>>,
    /// Whether sending and receiving have ended; ends of streams are still delivered.
    pub(in crate::h2) finished: bool,
}

/// The phase of this side's shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::h2) enum ShutdownPhase {
    /// Nothing.
    Running,
    /// The peer has been asked to send no more requests. Requests in flight are still taken.
    Announced { until: Time },
    /// Streams above this one are not processed.
    Away { last: u32 },
}

impl Shutdown {
    pub(in crate::h2) fn new() -> Self {
        Self {
            phase: ShutdownPhase::Running,
            peer_last: None,
            reason: None,
            half_closed: None,
            finished: false,
        }
    }
}

/// The state after the peer has ended its direction.
pub(in crate::h2) struct HalfClosed {
    /// How long an exchange may send nothing.
    pub(in crate::h2) timeout: Duration,
    /// Exchanges that are still to be notified of it, with their identifiers.
    pub(in crate::h2) unnotified: Vec<(Slot, u32)>,
    /// Whether a stream may have come to wait for a window.
    pub(in crate::h2) starves: bool,
}

impl HalfClosed {
    pub(in crate::h2) fn is_due(&self) -> bool {
        self.starves || !self.unnotified.is_empty()
    }
}
