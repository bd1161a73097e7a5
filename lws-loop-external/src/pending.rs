//! Messages for connections that are being made, kept until the connection exists or has failed. Knows no
//! connections.

use crate::token::ConnectionId;
use std::collections::BTreeMap;

/// Messages in the order of their arrival, each with the connection that it is for. There are few, since most
/// messages are sent to connections that exist.
pub(crate) struct PendingMessages<M> {
    kept: BTreeMap<ConnectionId, Vec<M>>,
    count: usize,
    count_max: usize,
}

impl<M> PendingMessages<M> {
    pub(crate) fn new(count_max: usize) -> Self {
        Self { kept: BTreeMap::new(), count: 0, count_max }
    }

    /// Keeps a message, or gives it back if the limit is reached.
    pub(crate) fn keep(&mut self, id: ConnectionId, message: M) -> Option<M> {
        if self.count >= self.count_max {
            return Some(message);
        }
        self.count += 1;
        self.kept.entry(id).or_default().push(message);
        self.check();
        None
    }

    /// Takes the messages that were kept for a connection.
    pub(crate) fn take(&mut self, id: ConnectionId) -> Vec<M> {
        let messages = self.kept.remove(&id).unwrap_or_default();
        self.count -= messages.len();
        self.check();
        messages
    }

    fn check(&self) {
        debug_assert_eq!(self.count, self.kept.values().map(Vec::len).sum::<usize>());
        debug_assert!(self.count <= self.count_max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: u32, generation: u32) -> ConnectionId {
        ConnectionId { index, generation }
    }

    #[test]
    fn each_connection_gets_its_own_in_order_and_once() {
        let mut pending = PendingMessages::new(4);
        for (to, message) in [(id(1, 0), "a"), (id(2, 0), "b"), (id(1, 0), "c"), (id(1, 1), "d")] {
            assert_eq!(pending.keep(to, message), None);
        }
        assert_eq!(pending.take(id(1, 0)), ["a", "c"]);
        assert_eq!(pending.take(id(1, 0)), [""; 0]);
        assert_eq!(pending.take(id(1, 1)), ["d"], "another of the same place");
    }

    #[test]
    fn no_more_are_kept_than_may_be() {
        let mut pending = PendingMessages::new(2);
        assert_eq!([1, 2, 3].map(|n| pending.keep(id(n, 0), n)), [None, None, Some(3)]);
        pending.take(id(1, 0));
        assert_eq!(pending.keep(id(3, 0), 3), None);
        assert_eq!(PendingMessages::new(0).keep(id(0, 0), 7), Some(7));
    }
}
