//! The name of a topic.

use std::fmt;
use std::sync::Arc;

/// Octets of the name of a topic, at most.
pub const TOPIC_BYTES_MAX: usize = 256;

/// The name of a topic: 1 to [`TOPIC_BYTES_MAX`] octets of UTF-8 without control characters. Cheap to clone.
///
/// How a broker calls it (a channel, a subject) is the matter of the session with that broker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(
    /// Invariant: not empty, not longer than `TOPIC_BYTES_MAX`, no control characters.
    Arc<str>,
);

/// No topic can have this name: it is empty, too long, or contains a control character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicName;

impl Topic {
    /// Checks a name.
    ///
    /// # Errors
    /// No topic can have this name.
    pub fn new(name: &str) -> Result<Self, TopicName> {
        let valid = !name.is_empty() && name.len() <= TOPIC_BYTES_MAX && !name.contains(char::is_control);
        if valid { Ok(Self(name.into())) } else { Err(TopicName) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a topic has a name of 1 to {TOPIC_BYTES_MAX} octets without control characters")
    }
}

impl std::error::Error for TopicName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_length_and_no_control_characters() {
        let longest = "x".repeat(TOPIC_BYTES_MAX);
        for name in ["a", "room/a", "chat:1", "ä b", &longest] {
            assert_eq!(Topic::new(name).as_ref().map(Topic::as_str), Ok(name));
        }
        for name in ["", "a\r\nb", "\0", &format!("{longest}x")] {
            assert_eq!(Topic::new(name), Err(TopicName), "{name:?}");
        }
    }
}
