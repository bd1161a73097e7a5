//! The state of a connection without streams, or with a silent peer.

use crate::Time;

/// The times of inactivity.
#[derive(Clone, Copy, Debug)]
pub(in crate::h2) struct Idle {
    /// The time since which there is no stream.
    pub(in crate::h2) since: Time,
    /// Whether memory was trimmed since then.
    pub(in crate::h2) trimmed: bool,
    /// The time of an unanswered PING of this side.
    pub(in crate::h2) pinged: Option<Time>,
}

impl Idle {
    pub(in crate::h2) fn new(now: Time) -> Self {
        Self { since: now, trimmed: false, pinged: None }
    }
}
