//! What lies between the two sides of an exchange: a bounded piece of content each way, heads, and how each side has ended.
//!
//! Knows neither side. Each puts in what it has received and takes what it can send; who has to be woken is theirs to say.

use lws_server::Bytes;
use lws_server::client::{Failure, Fields, ResponseHead};
use std::collections::VecDeque;

/// Content of one exchange and direction that lies between the two sides before the side that sends is no longer read: 64 KiB. What that
/// side's connection had received in the same turn comes on top.
pub const RELAYED_BYTES_MAX: usize = 64 << 10;
/// Interim responses that wait for a client, of which an upstream may send any number.
const INTERIMS_MAX: usize = 8;

/// Content on its way in one direction.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    /// What is being sent, from its beginning on.
    sending: Bytes,
    received: Vec<u8>,
    pub(crate) trailers: Option<Fields>,
    /// Nothing follows.
    pub(crate) ended: bool,
}

impl Flow {
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.received.extend_from_slice(chunk);
    }

    fn len(&self) -> usize {
        self.sending.len() + self.received.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the side that sends is to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= RELAYED_BYTES_MAX
    }

    /// Whether a side that waits may go on. Not at the first byte of room, so that it does not stop and go for each.
    pub(crate) fn has_room(&self) -> bool {
        self.len() <= RELAYED_BYTES_MAX / 2
    }

    /// Takes up to `max` bytes, without a copy.
    pub(crate) fn take(&mut self, max: usize) -> Bytes {
        if self.sending.is_empty() {
            self.sending = Bytes::from(std::mem::take(&mut self.received));
        }
        self.sending.split_to(self.sending.len().min(max))
    }

    /// Whether everything has been taken but the trailers.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.is_empty()
    }
}

/// From the client to the upstream.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    pub(crate) flow: Flow,
    /// The upstream takes content, or has taken some.
    pub(crate) wanted: bool,
    /// Some of it has been taken, if only its end: it cannot be sent a second time.
    pub(crate) begun: bool,
}

/// From the upstream to the client.
#[derive(Debug, Default)]
pub(crate) struct Download {
    pub(crate) interims: VecDeque<ResponseHead>,
    pub(crate) head: Option<ResponseHead>,
    pub(crate) flow: Flow,
    /// The upstream is not read until the client has taken something.
    pub(crate) paused: bool,
    pub(crate) failure: Option<Box<Failure>>,
}

impl Download {
    /// An interim response has come. One too many is dropped: the final response says everything.
    pub(crate) fn push_interim(&mut self, head: &ResponseHead) {
        if self.interims.len() < INTERIMS_MAX {
            self.interims.push_back(head.clone());
        }
    }
}

/// Both directions of one exchange.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    pub(crate) up: Upload,
    pub(crate) down: Download,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_taken_in_order_and_whole() {
        let mut flow = Flow::default();
        flow.push(b"hello ");
        assert_eq!(flow.take(3), "hel");
        flow.push(b"you");
        flow.ended = true;
        assert_eq!((flow.take(99), flow.is_over()), (Bytes::from("lo "), false));
        assert_eq!((flow.take(99), flow.is_over()), (Bytes::from("you"), true));
        assert!(flow.take(99).is_empty());
    }

    #[test]
    fn a_side_waits_from_the_bound_until_half_of_it_has_gone() {
        let mut flow = Flow::default();
        flow.push(&vec![0; RELAYED_BYTES_MAX - 1]);
        assert!(!flow.is_full());
        flow.push(b"x");
        assert!(flow.is_full());
        flow.take(RELAYED_BYTES_MAX / 2 - 1);
        assert!(!flow.has_room());
        flow.take(1);
        assert!(flow.has_room());
    }
}
