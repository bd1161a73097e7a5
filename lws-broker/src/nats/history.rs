//! What is asked of a stream for the history of topics: message after message, each answer with the question for the next one.
//!
//! Knows no connection: a question is a subject with its body, and the number by which its answer is found.

use super::stream::{self, FoundStream};
use crate::session::History;
use crate::{Position, Topic};
use bytes::Bytes;
use lws_proto::Time;
use std::collections::HashMap;
use std::time::Duration;

/// How long a history may take, message after message, before it is given up: less than
/// [`Options::answer_timeout`](crate::Options::answer_timeout).
const FETCH_MAX: Duration = Duration::from_secs(4);

/// Octets that a message takes that is fetched, beside its payload.
const ENTRY_BYTES: usize = size_of::<(u64, Bytes)>();

/// The histories that are being fetched on a connection, and what is known of the stream.
#[derive(Debug)]
pub(super) struct Histories {
    stream: FoundStream,
    /// The newest offset that is known, of whatever topic.
    known: u64,
    fetches: HashMap<u64, Fetch>,
    next_number: u64,
    /// Octets of all that was fetched and not handed over.
    bytes: usize,
    bytes_max: usize,
}

/// The history of one topic.
#[derive(Debug)]
struct Fetch {
    topic: Topic,
    subject: String,
    /// The offset behind which messages are wanted. `None` if only the newest offset is.
    after: Option<u64>,
    /// The message at that offset is still there, and so is everything behind it.
    is_anchored: bool,
    entries: Vec<(u64, Bytes)>,
    bytes: usize,
    /// When the first answer came.
    begun: Option<Time>,
}

/// The question for a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) number: u64,
    pub(super) body: String,
}

/// What follows from an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FetchProgress {
    Next(Question),
    Done(History),
}

impl Histories {
    pub(super) fn new(stream: FoundStream, bytes_max: usize) -> Self {
        Self { stream, known: stream.last, fetches: HashMap::new(), next_number: 0, bytes: 0, bytes_max }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.stream.epoch
    }

    /// A message of the stream has come.
    pub(super) fn came(&mut self, offset: u64) {
        self.known = self.known.max(offset);
    }

    /// Begins with the history of a topic.
    pub(super) fn begin(&mut self, topic: &Topic, subject: String, after: Option<Position>) -> Question {
        // What is behind a position of another stream is of no use: where this one is, is all that can be found out.
        let after = after.filter(|after| after.epoch == self.stream.epoch).map(|after| after.offset);
        self.next_number += 1;
        let question = Question { number: self.next_number, body: stream::question(&subject, after) };
        let fetch = Fetch {
            topic: topic.clone(),
            subject,
            after,
            is_anchored: false,
            entries: Vec::new(),
            bytes: 0,
            begun: None,
        };
        self.fetches.insert(self.next_number, fetch);
        question
    }

    /// The next message of a topic is this one.
    pub(super) fn found(
        &mut self,
        now: Time,
        number: u64,
        offset: u64,
        payload: &[u8],
    ) -> Option<FetchProgress> {
        let fetch = self.fetches.get_mut(&number)?;
        let Some(after) = fetch.after else { return self.end(number, |_| Some(offset)) };
        if offset < fetch.entries.last().map_or(after, |(last, _)| last + 1) {
            // No answer to this question: nothing is known.
            return self.end(number, |_| None);
        }
        if offset == after {
            fetch.is_anchored = true;
        } else {
            let bytes = payload.len() + ENTRY_BYTES;
            let is_late = now - *fetch.begun.get_or_insert(now) > FETCH_MAX;
            let is_full =
                fetch.entries.len() as u64 >= self.stream.kept || self.bytes + bytes > self.bytes_max;
            if is_late || is_full {
                return self.end(number, |_| None);
            }
            (fetch.bytes, self.bytes) = (fetch.bytes + bytes, self.bytes + bytes);
            fetch.entries.push((offset, Bytes::copy_from_slice(payload)));
        }
        debug_assert!(self.bytes <= self.bytes_max);
        let body = stream::question(&fetch.subject, Some(offset.saturating_add(1)));
        Some(FetchProgress::Next(Question { number, body }))
    }

    /// A topic has no message behind the last one.
    pub(super) fn at_end(&mut self, number: u64) -> Option<FetchProgress> {
        let known = self.known;
        self.end(number, |fetch| match (fetch.entries.last(), fetch.after) {
            (Some((last, _)), _) => Some(*last),
            (None, Some(after)) if fetch.is_anchored => Some(after),
            _ => Some(known),
        })
    }

    /// A message could not be read.
    pub(super) fn failed(&mut self, number: u64) -> Option<FetchProgress> {
        self.end(number, |_| None)
    }

    /// Ends with the newest offset, or without one if it is not known: what was fetched is given up then.
    fn end(&mut self, number: u64, newest: impl FnOnce(&Fetch) -> Option<u64>) -> Option<FetchProgress> {
        let fetch = self.fetches.remove(&number)?;
        self.bytes -= fetch.bytes;
        let newest = newest(&fetch);
        // The server drops the oldest messages first, so that nothing is missing behind the oldest that is there.
        let oldest = fetch.entries.first().filter(|_| newest.is_some()).map(|(offset, _)| offset - 1);
        let whole_after = fetch.after.filter(|after| self.is_whole(&fetch, *after)).or(oldest);
        let Fetch { topic, mut entries, .. } = fetch;
        if newest.is_none() {
            entries.clear();
        }
        let newest = newest.map(|offset| Position { epoch: self.stream.epoch, offset });
        Some(FetchProgress::Done(History { topic, newest, entries, whole_after }))
    }

    /// Whether nothing behind an offset is lost: its own message is still there; or the stream reached back to it when the connection
    /// began, and no more messages came than are kept of a topic.
    fn is_whole(&self, fetch: &Fetch, after: u64) -> bool {
        let reaches_back = self.stream.first <= after.saturating_add(1) && after <= self.known;
        fetch.is_anchored || reaches_back && (fetch.entries.len() as u64) < self.stream.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: FoundStream = FoundStream { epoch: 7, first: 11, last: 50, kept: 3 };

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn history(newest: Option<u64>, offsets: &[u64], whole_after: Option<u64>) -> FetchProgress {
        let entries = offsets.iter().map(|offset| (*offset, Bytes::from("x"))).collect();
        let newest = newest.map(|offset| Position { epoch: 7, offset });
        FetchProgress::Done(History { topic: Topic::new("a").expect("a name"), newest, entries, whole_after })
    }

    /// Fetches behind a position from a topic that has messages at these offsets.
    fn fetch(after: Option<(u64, u64)>, stored: &[u64]) -> FetchProgress {
        let mut it = Histories::new(STREAM, 1_000);
        let after = after.map(|(epoch, offset)| Position { epoch, offset });
        let topic = Topic::new("a").expect("a name");
        let mut question = it.begin(&topic, "lws.a".into(), after);
        loop {
            let asked: serde_json::Value = serde_json::from_str(&question.body).expect("JSON");
            let found = match asked["seq"].as_u64() {
                Some(from) => stored.iter().find(|offset| **offset >= from),
                None => stored.last(),
            };
            let progress = match found {
                Some(offset) => it.found(at(0), question.number, *offset, b"x"),
                None => it.at_end(question.number),
            };
            match progress.expect("it was asked for") {
                FetchProgress::Next(next) => question = next,
                done => {
                    assert_eq!((it.bytes, it.fetches.len()), (0, 0));
                    return done;
                }
            }
        }
    }

    #[test]
    fn a_history_is_whole_if_it_begins_with_what_was_known() {
        for (after, stored, expected) in [
            // Only the newest is wanted.
            (None, &[20, 30][..], history(Some(30), &[], None)),
            (None, &[], history(Some(50), &[], None)),
            (Some((6, 20)), &[20, 30], history(Some(30), &[], None)),
            // The last one that was known is there.
            (Some((7, 20)), &[20], history(Some(20), &[], Some(20))),
            (Some((7, 20)), &[20, 25, 30], history(Some(30), &[25, 30], Some(20))),
            (Some((7, 5)), &[5, 20], history(Some(20), &[20], Some(5))),
            // It is not, and the stream reaches back to it.
            (Some((7, 20)), &[25, 30], history(Some(30), &[25, 30], Some(20))),
            (Some((7, 10)), &[], history(Some(50), &[], Some(10))),
            // As many as are kept: others may have been before them.
            (Some((7, 20)), &[25, 30, 35], history(Some(35), &[25, 30, 35], Some(24))),
            // The stream does not reach back.
            (Some((7, 9)), &[25], history(Some(25), &[25], Some(24))),
            (Some((7, 9)), &[], history(Some(50), &[], None)),
            // The end of the stream was lost.
            (Some((7, 51)), &[], history(Some(50), &[], None)),
            // More than are kept: the server has another configuration now.
            (Some((7, 20)), &[20, 25, 30, 35, 40], history(None, &[], Some(20))),
        ] {
            assert_eq!(fetch(after, stored), expected, "{after:?} {stored:?}");
        }
    }

    #[test]
    fn what_is_fetched_is_bounded_in_octets_and_in_time() {
        let mut it = Histories::new(STREAM, 200);
        let [a, b] = ["a", "b"].map(|name| Topic::new(name).expect("a name"));
        let behind = Some(Position { epoch: 7, offset: 20 });
        let (first, second) = (it.begin(&a, "lws.a".into(), behind), it.begin(&b, "lws.b".into(), behind));
        assert_eq!((first.number, second.number), (1, 2));
        assert!(matches!(it.found(at(0), 1, 21, &[0; 100]), Some(FetchProgress::Next(_))));
        let given_up = it.found(at(0), 2, 22, &[0; 100]);
        assert!(matches!(given_up, Some(FetchProgress::Done(History { newest: None, .. }))), "{given_up:?}");
        assert_eq!(it.bytes, 100 + ENTRY_BYTES);
        let given_up = it.found(at(5), 1, 23, b"");
        assert!(matches!(given_up, Some(FetchProgress::Done(History { newest: None, .. }))), "{given_up:?}");
        assert_eq!((it.bytes, it.found(at(5), 1, 24, b"")), (0, None));
    }

    #[test]
    fn an_answer_that_leads_backwards_or_to_nothing_is_the_end() {
        for (offset, expected) in [(19, history(None, &[], Some(5))), (20, history(None, &[], Some(5)))] {
            let mut it = Histories::new(FoundStream { first: 1, ..STREAM }, 1_000);
            let topic = Topic::new("a").expect("a name");
            it.begin(&topic, "lws.a".into(), Some(Position { epoch: 7, offset: 5 }));
            assert!(matches!(it.found(at(0), 1, 20, b"x"), Some(FetchProgress::Next(_))));
            assert_eq!(it.found(at(0), 1, offset, b"x"), Some(expected));
        }
        let mut it = Histories::new(STREAM, 1_000);
        assert_eq!((it.at_end(1), it.failed(2), it.found(at(0), 3, 1, b"")), (None, None, None));
    }
}
