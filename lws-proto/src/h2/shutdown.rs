//! How far a connection is on its way to its end. RFC 9113 §6.8.

use super::slot::Slot;
use crate::{Cause, Time};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// The payload of the PING that finds out when the peer has received the announcement of the orderly end.
pub(in crate::h2) const GOING_AWAY: [u8; 8] = *b"go away\0";

/// How far the connection is on its way to its end.
pub(in crate::h2) struct Shutdown {
    pub(in crate::h2) phase: ShutdownPhase,
    /// The last stream that the peer processes, if it has sent GOAWAY.
    pub(in crate::h2) peer_last: Option<u32>,
    /// Why the peer was sent GOAWAY, unless the connection is to end in order.
    pub(in crate::h2) reason: Option<Cause>,
    /// The peer of a server has ended its direction.
    pub(in crate::h2) half_closed: Option<Box<HalfClosed>>,
    /// Nothing is sent or understood any more; ends are still delivered.
    pub(in crate::h2) finished: bool,
}

/// What this side has said of the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::h2) enum ShutdownPhase {
    /// Nothing.
    Running,
    /// The peer has been asked to send no more requests; those on their way are still taken, until it has received that.
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

/// What is kept once the peer has ended its direction.
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
