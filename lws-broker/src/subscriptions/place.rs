//! Where a message stands in its topic, and whether it is the next one.

use crate::Position;

/// A position, and the offset behind which its message is the next one of its topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) position: Position,
    /// Between this offset and its own the topic has no message.
    pub(crate) previous: u64,
}

impl Place {
    /// That of a stream without holes.
    pub(crate) fn dense(position: Position) -> Self {
        Self { position, previous: position.offset.saturating_sub(1) }
    }

    /// Whether the message was known at this position already.
    pub(super) fn is_known(self, last: Position) -> bool {
        self.position.epoch == last.epoch && self.position.offset <= last.offset
    }

    /// Whether no message of the topic is between this position and the message. What is before another epoch is not known.
    pub(super) fn follows(self, last: Position) -> bool {
        self.position.epoch == last.epoch && self.previous <= last.offset
    }
}
