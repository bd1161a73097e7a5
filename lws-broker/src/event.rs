//! What a broker reports to the application, and how it answers a publication.

use crate::Topic;
use bytes::Bytes;
use lws_proto::Time;
use std::fmt;

/// A message's place in the stream of its topic.
///
/// Offsets of one epoch begin at 1 and have no holes. The epoch changes when the broker has lost the stream, so that
/// offsets of two streams are never compared. One is worth nothing without the other, and so they are one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which stream: chosen by the broker when it begins.
    pub epoch: u64,
    /// Which message of it; 0 is before the first.
    pub offset: u64,
}

/// The number of a publication that was accepted, counted by its broker from 1 on. 0 is that of one that was refused before it had a number.
///
/// Accepted is not delivered: a publication that was on its way when the connection ended may be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Receipt(pub u64);

/// A publication was not accepted, and nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Full {
    /// [`Limits::publish_messages_max`](crate::Limits::publish_messages_max) publications wait for the broker already.
    Messages,
    /// With it, more than [`Limits::publish_bytes_max`](crate::Limits::publish_bytes_max) octets would wait.
    Bytes,
    /// The payload alone is larger than [`Limits::payload_bytes_max`](crate::Limits::payload_bytes_max), or than what the
    /// broker takes: it would be refused later as well.
    Payload,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Messages => "as many publications as may wait for the broker are waiting",
            Self::Bytes => "as many octets as may wait for the broker are waiting",
            Self::Payload => "the payload is larger than a message may be",
        })
    }
}

impl std::error::Error for Full {}

/// What a broker reports.
///
/// For each topic: between [`Subscribed`](Self::Subscribed) and the end of the subscription messages come in the order of the
/// topic, each once. Wherever one may be missing, a [`Gap`](Self::Gap) stands in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message to a topic that is subscribed to: also one that was published here.
    Message {
        /// The topic.
        topic: Topic,
        /// Its content, as it was published.
        payload: Bytes,
        /// Its place, where the broker keeps history.
        position: Option<Position>,
    },
    /// From now on messages to the topic come, be it for the first time or again after the connection was lost.
    Subscribed {
        /// The topic.
        topic: Topic,
    },
    /// Messages to the topic may have been lost here, and cannot be recovered.
    Gap {
        /// The topic.
        topic: Topic,
    },
    /// The history of a topic, as [`Broker::read_history`](crate::Broker::read_history) has asked for it. Every message up to `newest` was
    /// reported before, but for those of `entries` that are older than the subscription; what follows is behind it.
    History {
        /// The topic.
        topic: Topic,
        /// The newest position. `None` if the broker has no history.
        newest: Option<Position>,
        /// Offsets and payloads, in their order: no more than half of
        /// [`Limits::recovery_messages_max`](crate::Limits::recovery_messages_max) before the newest that was known when it was read, and
        /// what has come meanwhile. None if they are larger than [`Limits::recovery_bytes_max`](crate::Limits::recovery_bytes_max).
        entries: Vec<(u64, Bytes)>,
        /// Behind this offset nothing is missing among the entries.
        whole_after: u64,
    },
    /// The broker does not accept something. It is not tried again.
    Refused {
        /// The topic that it is about.
        topic: Topic,
        /// The publication; `None` if a subscription was refused, which has ended then.
        receipt: Option<Receipt>,
        /// Why.
        cause: Cause,
    },
    /// The connection to the broker is there.
    Up,
    /// The connection to the broker has ended, or could not be made. Comes after each try that failed.
    Down {
        /// Why.
        cause: Cause,
        /// When it is tried again.
        retry_at: Time,
    },
}

/// Why a connection to a broker is not there, or why the broker does not accept something. Its text says what a person can do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// No connection could be made: what the system said.
    Connect(String),
    /// The connection was ended by the broker or the network, with what the system said if it said something.
    Closed(String),
    /// The broker refused, with the error of its protocol.
    Refused {
        /// The broker's own words, such as `NOAUTH Authentication required.`
        error: String,
        /// What a person can do.
        advice: &'static str,
    },
    /// An answer did not come in time: to what.
    Timeout(&'static str),
    /// The broker broke a rule of its protocol: which.
    Violation(&'static str),
    /// A limit of this side was reached: which.
    Limit(&'static str),
}

impl Cause {
    /// Octets of a broker's or a system's words that are kept.
    pub const WORDS_BYTES_MAX: usize = 256;

    /// The words of a broker: cut to [`WORDS_BYTES_MAX`](Self::WORDS_BYTES_MAX), without control characters, so that they can be
    /// logged as they are.
    #[must_use]
    pub fn words(octets: &[u8]) -> String {
        let mut words = String::from_utf8_lossy(octets).replace(char::is_control, " ");
        let mut ends = (0..=words.len().min(Self::WORDS_BYTES_MAX)).rev();
        words.truncate(ends.find(|end| words.is_char_boundary(*end)).unwrap_or_default());
        words
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(words) => write!(f, "no connection to the broker could be made: {words}"),
            Self::Closed(words) if words.is_empty() => f.write_str("the broker has ended the connection"),
            Self::Closed(words) => write!(f, "the connection to the broker has ended: {words}"),
            Self::Refused { error, advice } => write!(f, "the broker refuses ({error}): {advice}"),
            Self::Timeout(what) => write!(f, "the broker did not answer in time: {what}"),
            Self::Violation(rule) => write!(f, "the broker broke a rule of its protocol: {rule}"),
            Self::Limit(which) => write!(f, "a limit was reached: {which}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_broker_are_short_and_printable() {
        assert_eq!(Cause::words(b"NOAUTH no\r\nway\x1b["), "NOAUTH no  way [");
        assert_eq!(Cause::words(&[b'x'; 1_000]).len(), Cause::WORDS_BYTES_MAX);
        // No half of a character, also where what is no UTF-8 takes three octets each.
        assert_eq!(Cause::words(format!("x{}", "é".repeat(200)).as_bytes()), format!("x{}", "é".repeat(127)));
        assert_eq!(Cause::words(&[0xFF; 1_000]), "\u{FFFD}".repeat(85));
    }
}
