//! What a connection without streams, or with a silent peer, keeps in mind.

use crate::Time;

/// Since when nothing happens.
#[derive(Clone, Copy, Debug)]
pub(in crate::h2) struct Idle {
    /// Since when there is no stream.
    pub(in crate::h2) since: Time,
    /// Whether memory has been given back since.
    pub(in crate::h2) trimmed: bool,
    /// When a PING of ours was sent that has not been answered.
    pub(in crate::h2) pinged: Option<Time>,
}

impl Idle {
    pub(in crate::h2) fn new(now: Time) -> Self {
        Self { since: now, trimmed: false, pinged: None }
    }
}
