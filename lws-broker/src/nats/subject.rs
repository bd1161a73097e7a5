//! Names of topics as subjects of NATS, and back. Knows no connection.
//!
//! A topic is any text of up to [`TOPIC_BYTES_MAX`](crate::TOPIC_BYTES_MAX) octets, and `/` separates its segments; a subject is tokens of
//! visible ASCII, separated by `.`, of which `*` and `>` are wildcards. Every topic has one subject and no other topic has it:
//!
//! - the subject begins with a prefix and a `.`, so that no topic meets what others use the server for, `$SYS` or `_INBOX`;
//! - a segment becomes a token, with `%` and two uppercase hexadecimal digits for each octet that is not visible ASCII, and for `%`, `.`,
//!   `*` and `>`;
//! - an empty segment becomes the token `%`, as no token may be empty.
//!
//! `room/a` is `lws.room.a`, `/v1.2/ü` is `lws.%.v1%2E2.%C3%BC`. Segments stay tokens, so that permissions of a server can name a branch:
//! `lws.room.>`.

use crate::Topic;
use std::fmt;

/// The longest prefix in octets. With it the longest subject, where each octet of a topic is escaped, takes a quarter of a control line.
const PREFIX_BYTES_MAX: usize = 128;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// What stands before each subject of ours: tokens of NATS, without wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPrefix(
    /// Invariant: as [`parse`](Self::parse) says.
    Box<str>,
);

impl Default for SubjectPrefix {
    /// `lws`.
    fn default() -> Self {
        Self("lws".into())
    }
}

/// Why a text is no prefix of subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPrefix;

impl fmt::Display for NotAPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a prefix of subjects is 1 to 128 visible ASCII characters: tokens with `.` between them, without `*` and `>`")
    }
}

impl std::error::Error for NotAPrefix {}

impl SubjectPrefix {
    /// A prefix of one or more tokens, such as `app.production`.
    ///
    /// # Errors
    /// It is empty, longer than 128 octets, or has an empty token, a wildcard, or an octet that is not visible ASCII.
    pub fn parse(text: &str) -> Result<Self, NotAPrefix> {
        let is_token = |token: &str| {
            !token.is_empty()
                && token.bytes().all(|octet| octet.is_ascii_graphic() && !matches!(octet, b'*' | b'>'))
        };
        let valid = text.len() <= PREFIX_BYTES_MAX && text.split('.').all(is_token);
        if valid { Ok(Self(text.into())) } else { Err(NotAPrefix) }
    }

    /// What the subjects of messages that are stored begin with.
    pub(super) fn live(&self) -> Self {
        Self(format!("{}-live", self.0).into())
    }

    /// The prefix without the `.` behind it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The subject of a topic.
    ///
    /// ```
    /// use lws_broker::{Topic, nats::SubjectPrefix};
    ///
    /// let (prefix, topic) = (SubjectPrefix::default(), Topic::new("room/a")?);
    /// assert_eq!(prefix.subject(&topic), "lws.room.a");
    /// assert_eq!(prefix.topic("lws.room.a"), Some(topic));
    /// assert_eq!(prefix.topic("others.room.a"), None);
    /// # Ok::<(), lws_broker::TopicName>(())
    /// ```
    #[must_use]
    pub fn subject(&self, topic: &Topic) -> String {
        let topic = topic.as_str();
        let mut subject = String::with_capacity(self.0.len() + 1 + topic.len());
        subject.push_str(&self.0);
        for segment in topic.split('/') {
            subject.push('.');
            if segment.is_empty() {
                subject.push('%');
            }
            segment.bytes().for_each(|octet| push_escaped(&mut subject, octet));
        }
        subject
    }

    /// The topic that a subject stands for. `None` if [`subject`](Self::subject) gives it for no topic: it has another prefix, or is
    /// escaped in another manner.
    #[must_use]
    pub fn topic(&self, subject: &str) -> Option<Topic> {
        let tokens = subject.strip_prefix(&*self.0)?.strip_prefix('.')?;
        let mut topic = Vec::with_capacity(tokens.len());
        for (index, token) in tokens.split('.').enumerate() {
            if index > 0 {
                topic.push(b'/');
            }
            if token != "%" {
                unescape(token, &mut topic)?;
            }
        }
        let topic = Topic::new(&String::from_utf8(topic).ok()?).ok()?;
        // One subject for one topic: what could have been written in another manner is no subject of ours.
        (self.subject(&topic) == subject).then_some(topic)
    }
}

fn push_escaped(subject: &mut String, octet: u8) {
    if octet.is_ascii_graphic() && !matches!(octet, b'%' | b'.' | b'*' | b'>') {
        subject.push(char::from(octet));
    } else {
        subject.push('%');
        subject.push(char::from(HEX[usize::from(octet >> 4)]));
        subject.push(char::from(HEX[usize::from(octet & 15)]));
    }
}

fn unescape(token: &str, topic: &mut Vec<u8>) -> Option<()> {
    let mut octets = token.bytes();
    while let Some(octet) = octets.next() {
        if octet == b'%' {
            let mut digit =
                || char::from(octets.next()?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            topic.push(digit()? << 4 | digit()?);
        } else {
            topic.push(octet);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TOPIC_BYTES_MAX;

    #[test]
    fn a_topic_has_one_subject_and_no_other_topic_has_it() {
        let prefix = SubjectPrefix::default();
        let check = |name: &str, subject: &str| {
            let topic = Topic::new(name).expect("a name");
            assert_eq!(prefix.subject(&topic), subject, "{name:?}");
            assert_eq!(prefix.topic(subject), Some(topic), "{subject}");
        };
        check("room/a", "lws.room.a");
        check("room.a", "lws.room%2Ea");
        check("/", "lws.%.%");
        check("//a/", "lws.%.%.a.%");
        check("%", "lws.%25");
        check("/%/", "lws.%.%25.%");
        check("a b", "lws.a%20b");
        check("*/>", "lws.%2A.%3E");
        check("ü\u{a0}", "lws.%C3%BC%C2%A0");
        check("$SYS/#", "lws.$SYS.#");
        check("PUB x 3", "lws.PUB%20x%203");
    }

    #[test]
    fn what_no_topic_is_written_as_is_none() {
        let prefix = SubjectPrefix::default();
        for subject in [
            "", "lws", "lws.", "lwsx.a", "LWS.a", "lws.a..b", "lws.%2f", "lws.%61", "lws.%2", "lws.%%",
            "lws.%FF", "lws.a b", "lws.%0A", "lws.*",
        ] {
            assert_eq!(prefix.topic(subject), None, "{subject:?}");
        }
    }

    #[test]
    fn the_longest_topic_stays_below_the_bound_of_a_control_line() {
        let prefix = SubjectPrefix::parse(&"p".repeat(PREFIX_BYTES_MAX)).expect("a prefix");
        for segment in [" ", "/", "a/", "."] {
            let topic = Topic::new(&segment.repeat(TOPIC_BYTES_MAX / segment.len())).expect("a name");
            let subject = prefix.subject(&topic);
            assert!(subject.len() <= 1_024, "{segment:?}: {}", subject.len());
            assert_eq!(prefix.topic(&subject), Some(topic));
        }
    }

    #[test]
    fn a_prefix_is_tokens_without_wildcards() {
        for good in ["lws", "app.production", "a-b_c$", &"a".repeat(128)] {
            assert_eq!(SubjectPrefix::parse(good).map(|it| it.as_str().to_owned()), Ok(good.to_owned()));
        }
        for bad in ["", ".", "a.", ".a", "a..b", "a b", "a.*", ">", "ü", &"a".repeat(129)] {
            assert_eq!(SubjectPrefix::parse(bad), Err(NotAPrefix), "{bad:?}");
        }
    }
}
