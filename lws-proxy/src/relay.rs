//! What lies between the two sides of an exchange: a bounded piece of content each way, heads, and how each side has ended.
//!
//! Knows neither side. Each puts in what it has received and takes what it can send; who has to be woken is theirs to say.

use lws_server::client::{Failure, Fields, ResponseHead};
use lws_server::{Bytes, HeldBytes};
use std::collections::VecDeque;
use std::rc::Rc;

/// Content of one exchange and direction that lies between the two sides before the side that sends is no longer read: 64 KiB. What that
/// side's connection had received in the same turn comes on top.
pub const RELAYED_BYTES_MAX: usize = 64 << 10;
/// Interim responses of one response that are passed on, of which an upstream may send any number.
const INTERIMS_MAX: usize = 8;

/// Counts what lies between two sides in the budget of the service, until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    held: Rc<HeldBytes>,
    bytes: usize,
}

impl Counted {
    pub(crate) fn new(held: Rc<HeldBytes>) -> Self {
        Self { held, bytes: 0 }
    }

    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes != self.bytes {
            self.held.adjust(self.bytes, bytes);
            self.bytes = bytes;
        }
    }

    /// Whether the service holds as much as it may: nothing more is taken in while something can be sent on.
    pub(crate) fn is_full(&self) -> bool {
        self.held.is_full()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Content on its way in one direction.
#[derive(Debug)]
pub(crate) struct Flow {
    counted: Counted,
    /// What is being sent, from its beginning on.
    sending: Bytes,
    received: Vec<u8>,
    pub(crate) trailers: Option<Fields>,
    /// Nothing follows.
    pub(crate) ended: bool,
}

impl Flow {
    fn new(held: Rc<HeldBytes>) -> Self {
        Self {
            counted: Counted::new(held),
            sending: Bytes::new(),
            received: Vec::new(),
            trailers: None,
            ended: false,
        }
    }

    pub(crate) fn push(&mut self, chunk: &[u8]) {
        self.received.extend_from_slice(chunk);
        self.counted.set(self.len());
    }

    fn len(&self) -> usize {
        self.sending.len() + self.received.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the side that sends is to wait.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= RELAYED_BYTES_MAX || !self.is_empty() && self.counted.is_full()
    }

    /// Whether a side that waits may go on. Not at the first byte of room, so that it does not stop and go for each.
    pub(crate) fn has_room(&self) -> bool {
        self.is_empty() || self.len() <= RELAYED_BYTES_MAX / 2 && !self.counted.is_full()
    }

    /// Takes up to `max` bytes, without a copy.
    pub(crate) fn take(&mut self, max: usize) -> Bytes {
        if self.sending.is_empty() {
            self.sending = Bytes::from(std::mem::take(&mut self.received));
        }
        let taken = self.sending.split_to(self.sending.len().min(max));
        self.counted.set(self.len());
        taken
    }

    /// Whether everything has been taken but the trailers.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.is_empty()
    }
}

/// From the client to the upstream.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) flow: Flow,
    /// The upstream takes content, or has taken some.
    pub(crate) wanted: bool,
    /// Some of it has been taken, if only its end: it cannot be sent a second time.
    pub(crate) begun: bool,
}

/// From the upstream to the client.
#[derive(Debug)]
pub(crate) struct Download {
    /// Interim responses that wait for the client.
    pub(crate) interims: VecDeque<ResponseHead>,
    /// Those that have come.
    interims_total: usize,
    pub(crate) head: Option<ResponseHead>,
    pub(crate) flow: Flow,
    /// The upstream is not read until the client has taken something.
    pub(crate) paused: bool,
    pub(crate) failure: Option<Box<Failure>>,
}

impl Download {
    fn new(held: Rc<HeldBytes>) -> Self {
        Self {
            interims: VecDeque::new(),
            interims_total: 0,
            head: None,
            flow: Flow::new(held),
            paused: false,
            failure: None,
        }
    }

    /// An interim response has come. One too many is dropped: the final response says everything.
    pub(crate) fn push_interim(&mut self, head: &ResponseHead) {
        if self.interims_total < INTERIMS_MAX {
            self.interims_total += 1;
            self.interims.push_back(head.clone());
        }
    }
}

/// Both directions of one exchange.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) up: Upload,
    pub(crate) down: Download,
    held: Rc<HeldBytes>,
}

impl Relay {
    /// Nothing in between; what will be is counted with `held`.
    pub(crate) fn new(held: Rc<HeldBytes>) -> Self {
        let up = Upload { flow: Flow::new(Rc::clone(&held)), wanted: false, begun: false };
        Self { up, down: Download::new(Rc::clone(&held)), held }
    }

    /// Forgets what has come of an upstream, as another one is asked.
    pub(crate) fn begin_again(&mut self) {
        self.down = Download::new(Rc::clone(&self.held));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_taken_in_order_and_whole() {
        let mut flow = Flow::new(Rc::default());
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
        let mut flow = Flow::new(Rc::default());
        flow.push(&vec![0; RELAYED_BYTES_MAX - 1]);
        assert!(!flow.is_full());
        flow.push(b"x");
        assert!(flow.is_full());
        flow.take(RELAYED_BYTES_MAX / 2 - 1);
        assert!(!flow.has_room());
        flow.take(1);
        assert!(flow.has_room());
    }

    #[test]
    fn what_lies_between_is_counted_and_a_spent_budget_lets_no_more_in() {
        let held = Rc::new(HeldBytes::new(1_000));
        let mut flow = Flow::new(Rc::clone(&held));
        flow.push(&[0; 600]);
        assert_eq!((held.held(), flow.is_full()), (600, false));
        let mut other = Flow::new(Rc::clone(&held));
        other.push(&[0; 600]);
        assert!(flow.is_full() && other.is_full() && !flow.has_room());
        flow.take(600);
        assert!(flow.has_room(), "what can be sent on is never in the way");
        assert_eq!(held.held(), 600);
        drop(other);
        assert_eq!(held.held(), 0);
    }
}
