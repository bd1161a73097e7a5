//! The requests of a client. RFC 9113 §5.1.

use super::slot::Slot;
use crate::Time;
use crate::http::Scheme;
use alloc::collections::VecDeque;

/// The requests of a client: identifiers, counts and the queue.
pub(in crate::h2) struct Requests {
    /// The identifier of the next one.
    pub(in crate::h2) next_id: u32,
    /// Streams that count against the peer's SETTINGS_MAX_CONCURRENT_STREAMS.
    pub(in crate::h2) active: u32,
    /// Requests that wait until the server takes more streams, in order.
    pub(in crate::h2) queue: VecDeque<Slot>,
    /// The time at which the last one began.
    pub(in crate::h2) began: Time,
    pub(in crate::h2) scheme: Scheme,
}

impl Requests {
    pub(in crate::h2) fn new(now: Time) -> Self {
        Self { next_id: 1, active: 0, queue: VecDeque::new(), began: now, scheme: Scheme::Http }
    }
}
