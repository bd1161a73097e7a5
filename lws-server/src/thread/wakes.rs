//! The streams of one thread that have been woken and have not noticed yet, so that waking one twice is waking it once.

use lws_loop_external::ConnectionId;
use lws_proto::StreamKey;
use std::collections::HashSet;

/// Wakes on their way.
#[derive(Debug, Default)]
pub(crate) struct PendingWakes(HashSet<(ConnectionId, StreamKey)>);

impl PendingWakes {
    /// Marks a stream as woken. Answers whether it needs a message, as none is on its way.
    pub(crate) fn begin(&mut self, connection: ConnectionId, key: StreamKey) -> bool {
        self.0.insert((connection, key))
    }

    /// Forgets the mark: the message has come, or cannot be delivered.
    pub(crate) fn end(&mut self, connection: ConnectionId, key: StreamKey) {
        self.0.remove(&(connection, key));
    }
}
