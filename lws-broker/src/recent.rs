//! The newest messages of topics, for those who come to one with the position that they have got to. Does no I/O and knows no broker.
//!
//! A process that all clients come back to at once answers them from here. Where the newest messages do not reach back far enough, the history
//! of the topic is read *once* ([`Broker::read_history`](crate::Broker::read_history)), however many wait for it.

use crate::{Position, Topic};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// What is kept for those who come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentLimits {
    /// Messages of one topic. Default 512.
    pub messages_max: usize,
    /// Octets of the messages of all topics, at some 60 for each beside its payload. Default 64 MiB. With more, a topic keeps none that has
    /// new ones.
    pub bytes_max: usize,
    /// Those who wait for a history, of all topics. Default 100,000. Further ones have a gap.
    pub waiting_max: usize,
}

impl Default for RecentLimits {
    fn default() -> Self {
        Self { messages_max: 512, bytes_max: 64 << 20, waiting_max: 100_000 }
    }
}

/// What one gets who has come with a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay<M> {
    /// Where the topic is: what follows comes behind it. `None` if it has no positions.
    pub newest: Option<Position>,
    /// Nothing is missing between the position that was named and the newest.
    pub is_complete: bool,
    messages: Arc<[M]>,
    first: usize,
}

impl<M> Replay<M> {
    /// Messages may be missing.
    #[must_use]
    pub fn gap(newest: Option<Position>) -> Self {
        Self { newest, is_complete: false, messages: Arc::new([]), first: 0 }
    }

    /// All messages that are shared, and the index of the first that is behind the position that was named.
    #[must_use]
    pub fn shared(&self) -> (&Arc<[M]>, usize) {
        (&self.messages, self.first)
    }

    /// The messages behind the position that was named, in their order: shared with all others who get some of them.
    #[must_use]
    pub fn messages(&self) -> &[M] {
        self.messages.get(self.first..).unwrap_or_default()
    }
}

/// Octets that a message takes beside its payload.
const ENTRY_BYTES: usize = 60;

/// The newest messages of topics, and who waits for earlier ones. `W` is who waits, `M` a message as it is passed on.
pub struct Recent<W, M> {
    topics: HashMap<Topic, Ring<W, M>>,
    bytes: usize,
    waiting: usize,
    limits: RecentLimits,
}

/// The newest messages of one topic, without a hole.
struct Ring<W, M> {
    /// That of the last message that was reported.
    newest: Option<Position>,
    messages: VecDeque<Kept<M>>,
    /// Behind this offset every message is kept.
    whole_after: u64,
    bytes: usize,
    /// All messages, to be shared; until there is a new one.
    shared: Option<Arc<[M]>>,
    waiting: Vec<(W, Option<Position>)>,
    /// Its history is here already: what is older than the messages is found nowhere.
    is_read: bool,
}

/// A message with its place, and the octets that it takes.
struct Kept<M> {
    offset: u64,
    message: M,
    bytes: usize,
}

impl<W, M> Default for Ring<W, M> {
    fn default() -> Self {
        Self {
            newest: None,
            messages: VecDeque::new(),
            whole_after: 0,
            bytes: 0,
            shared: None,
            waiting: Vec::new(),
            is_read: false,
        }
    }
}

/// What comes of a question.
#[derive(Debug, PartialEq, Eq)]
pub enum Asked<W, M> {
    /// The answer.
    Now(W, Replay<M>),
    /// It comes with the [history](Recent::history), which is to be read if this says so: of those who wait for it, the first says it.
    Later {
        /// Whether the history is to be read.
        read: bool,
    },
}

impl<W, M: Clone> Recent<W, M> {
    /// With these limits.
    #[must_use]
    pub fn new(limits: RecentLimits) -> Self {
        Self { topics: HashMap::new(), bytes: 0, waiting: 0, limits }
    }

    /// A message was reported, with this many octets. Behind the one before it there is no hole, which would have been
    /// [reported](Self::gap).
    pub fn message(&mut self, topic: &Topic, message: M, bytes: usize, position: Option<Position>) {
        let Some(position) = position else { return };
        let ring = self.topics.entry(topic.clone()).or_default();
        let follows = |last: Position| last.epoch == position.epoch && last.offset < position.offset;
        if !ring.newest.is_some_and(follows) {
            self.bytes -= ring.clear();
            ring.whole_after = position.offset.saturating_sub(1);
        }
        ring.newest = Some(position);
        let bytes = bytes + ENTRY_BYTES;
        self.bytes += ring.push_back(Kept { offset: position.offset, message, bytes });
        while ring.messages.len() > self.limits.messages_max || self.bytes > self.limits.bytes_max {
            let Some(released) = ring.pop_front() else { break };
            self.bytes -= released;
        }
    }

    /// Messages to a topic may be missing.
    pub fn gap(&mut self, topic: &Topic) {
        if let Some(ring) = self.topics.get_mut(topic) {
            self.bytes -= ring.clear();
        }
    }

    /// Somebody comes to a topic behind a position; without one, to learn where the topic is.
    pub fn ask(&mut self, topic: &Topic, after: Option<Position>, who: W) -> Asked<W, M> {
        let ring = self.topics.entry(topic.clone()).or_default();
        if let Some(replay) = ring.replay(after) {
            return Asked::Now(who, replay);
        }
        if self.waiting >= self.limits.waiting_max {
            return Asked::Now(who, Replay::gap(ring.newest));
        }
        self.waiting += 1;
        ring.waiting.push((who, after));
        Asked::Later { read: ring.waiting.len() == 1 }
    }

    /// The history of a topic is here: its newest position, the offset behind which nothing is missing, and the messages up to the newest,
    /// with their octets. Gives the answers to all who have waited for it.
    pub fn history(
        &mut self,
        topic: &Topic,
        newest: Option<Position>,
        whole_after: u64,
        entries: Vec<(u64, M, usize)>,
    ) -> Vec<(W, Replay<M>)> {
        let ring = self.topics.entry(topic.clone()).or_default();
        if let Some(newest) = newest {
            if ring.newest != Some(newest) {
                self.bytes -= ring.clear();
                (ring.newest, ring.whole_after) = (Some(newest), newest.offset);
            }
            let kept_after = ring.whole_after;
            let mut reached = whole_after;
            let older = entries.into_iter().rev().filter(|(offset, ..)| *offset <= kept_after);
            for (offset, message, bytes) in older.take_while(|(offset, ..)| *offset > whole_after) {
                let bytes = bytes + ENTRY_BYTES;
                if ring.messages.len() >= self.limits.messages_max
                    || self.bytes + bytes > self.limits.bytes_max
                {
                    reached = offset;
                    break;
                }
                self.bytes += ring.push_front(Kept { offset, message, bytes });
            }
            ring.whole_after = kept_after.min(reached);
        }
        ring.is_read = true;
        let waiting = std::mem::take(&mut ring.waiting);
        self.waiting -= waiting.len();
        let answers = waiting.into_iter().map(|(who, after)| {
            let replay = ring.replay(after);
            (who, replay.unwrap_or_else(|| Replay::gap(ring.newest)))
        });
        answers.collect()
    }

    /// A topic is not subscribed to any more, or cannot be. Gives the answers to all who have waited.
    pub fn forget(&mut self, topic: &Topic) -> Vec<(W, Replay<M>)> {
        let Some(ring) = self.topics.remove(topic) else { return Vec::new() };
        self.bytes -= ring.bytes;
        self.waiting -= ring.waiting.len();
        ring.waiting.into_iter().map(|(who, _)| (who, Replay::gap(None))).collect()
    }

    /// Whether somebody waits for the history of a topic.
    #[must_use]
    pub fn is_awaited(&self, topic: &Topic) -> bool {
        self.topics.get(topic).is_some_and(|ring| !ring.waiting.is_empty())
    }
}

impl<W, M: Clone> Ring<W, M> {
    /// What comes behind a position. `None` if the history may know more.
    fn replay(&mut self, after: Option<Position>) -> Option<Replay<M>> {
        let newest = self.newest?;
        let Some(after) = after else {
            return Some(Replay {
                newest: Some(newest),
                is_complete: true,
                messages: Arc::new([]),
                first: 0,
            });
        };
        if after.epoch != newest.epoch || after.offset > newest.offset {
            // Of a stream that was lost.
            return Some(Replay::gap(Some(newest)));
        }
        if after.offset < self.whole_after {
            return self.is_read.then(|| Replay::gap(Some(newest)));
        }
        let all = || self.messages.iter().map(|kept| kept.message.clone()).collect();
        let messages = Arc::clone(self.shared.get_or_insert_with(all));
        let first = self.messages.partition_point(|kept| kept.offset <= after.offset);
        Some(Replay { newest: Some(newest), is_complete: true, messages, first })
    }

    fn push_back(&mut self, kept: Kept<M>) -> usize {
        let bytes = kept.bytes;
        self.shared = None;
        self.messages.push_back(kept);
        self.bytes += bytes;
        bytes
    }

    fn push_front(&mut self, kept: Kept<M>) -> usize {
        let bytes = kept.bytes;
        debug_assert!(self.messages.front().is_none_or(|first| kept.offset < first.offset));
        self.shared = None;
        self.messages.push_front(kept);
        self.bytes += bytes;
        bytes
    }

    fn pop_front(&mut self) -> Option<usize> {
        let Kept { offset, bytes, .. } = self.messages.pop_front()?;
        self.whole_after = offset;
        self.shared = None;
        self.bytes -= bytes;
        Some(bytes)
    }

    /// Forgets all messages, and gives how many octets that were. Who waits goes on waiting.
    fn clear(&mut self) -> usize {
        self.messages.clear();
        (self.newest, self.shared, self.is_read) = (None, None, false);
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> Topic {
        Topic::new("room").expect("a name")
    }

    fn position(epoch: u64, offset: u64) -> Option<Position> {
        Some(Position { epoch, offset })
    }

    fn recent(messages_max: usize) -> Recent<u32, u64> {
        Recent::new(RecentLimits { messages_max, bytes_max: 100 * ENTRY_BYTES, waiting_max: 3 })
    }

    /// Messages of epoch 1, each of which is its offset.
    fn receive(recent: &mut Recent<u32, u64>, offsets: std::ops::RangeInclusive<u64>) {
        offsets.for_each(|offset| recent.message(&topic(), offset, 0, position(1, offset)));
    }

    fn entries(offsets: impl IntoIterator<Item = u64>) -> Vec<(u64, u64, usize)> {
        offsets.into_iter().map(|offset| (offset, offset, 0)).collect()
    }

    /// An answer in short: the messages, `!` for a gap.
    fn short(replay: &Replay<u64>) -> String {
        let messages: Vec<_> = replay.messages().iter().map(u64::to_string).collect();
        format!("{}{}", messages.join(" "), if replay.is_complete { "" } else { "!" })
    }

    fn ask(recent: &mut Recent<u32, u64>, after: Option<Position>) -> String {
        match recent.ask(&topic(), after, 7) {
            Asked::Now(7, replay) => short(&replay),
            Asked::Now(..) => "another".to_owned(),
            Asked::Later { read } => format!("later {read}"),
        }
    }

    #[test]
    fn one_who_comes_back_gets_what_is_behind_the_position_or_has_a_gap() {
        let mut recent = recent(4);
        receive(&mut recent, 8..=12);
        for (after, expected) in [
            (position(1, 12), ""),
            (position(1, 11), "12"),
            (position(1, 8), "9 10 11 12"),
            (None, ""),
            // Of another stream, or one that was lost and came back shorter.
            (position(2, 12), "!"),
            (position(1, 13), "!"),
            (position(1, 7), "later true"),
            (position(1, 2), "later false"),
        ] {
            assert_eq!(ask(&mut recent, after), expected, "{after:?}");
        }
        let answers = recent.history(&topic(), position(1, 12), 4, entries(5..=12));
        let answers: Vec<_> = answers.iter().map(|(who, replay)| (*who, short(replay))).collect();
        // No more is kept than that.
        assert_eq!(answers, [(7, "!".to_owned()), (7, "!".to_owned())]);
        assert_eq!(ask(&mut recent, position(1, 7)), "!", "and it is not read again");
    }

    #[test]
    fn what_is_older_comes_with_the_history_once() {
        let mut recent = recent(50);
        assert_eq!(ask(&mut recent, position(1, 3)), "later true");
        receive(&mut recent, 8..=9);
        assert_eq!(ask(&mut recent, position(1, 5)), "later false");
        assert_eq!(ask(&mut recent, position(1, 7)), "8 9");
        assert!(recent.is_awaited(&topic()));
        // With a hole in it, what is before that is not passed on.
        let answers = recent.history(&topic(), position(1, 9), 3, entries([1, 2, 4, 5, 6, 7, 8, 9]));
        let answers: Vec<_> = answers.iter().map(|(_, replay)| short(replay)).collect();
        assert_eq!(answers, ["4 5 6 7 8 9", "6 7 8 9"]);
        assert_eq!(
            (ask(&mut recent, position(1, 3)), ask(&mut recent, position(1, 2))),
            ("4 5 6 7 8 9".into(), "!".into())
        );
        // A gap makes nothing of it, and the history is read again.
        recent.gap(&topic());
        assert_eq!((recent.bytes, ask(&mut recent, position(1, 8))), (0, "later true".into()));
        let answers = recent.history(&topic(), None, 0, Vec::new());
        assert_eq!(short(&answers[0].1), "!");
        // A stream that begins anew.
        receive(&mut recent, 10..=11);
        recent.message(&topic(), 1, 0, position(2, 1));
        assert_eq!(
            (ask(&mut recent, position(1, 11)), ask(&mut recent, position(2, 0))),
            ("!".into(), "1".into())
        );
    }

    #[test]
    fn offsets_may_have_holes() {
        let mut recent = recent(4);
        for offset in [20, 25, 31] {
            recent.message(&topic(), offset, 0, position(1, offset));
        }
        for (after, expected) in
            [(31, ""), (27, "31"), (25, "31"), (20, "25 31"), (19, "20 25 31"), (18, "later true")]
        {
            assert_eq!(ask(&mut recent, position(1, after)), expected, "{after}");
        }
        // What is behind 5 is whole, but only one more is kept.
        let answers = recent.history(&topic(), position(1, 31), 5, entries([7, 9, 20, 25, 31]));
        assert_eq!(short(&answers[0].1), "20 25 31");
        for (after, expected) in [(9, "20 25 31"), (8, "9 20 25 31"), (7, "9 20 25 31"), (6, "!")] {
            assert_eq!(ask(&mut recent, position(1, after)), expected, "{after}");
        }
        recent.message(&topic(), 40, 0, position(1, 40));
        assert_eq!(
            (ask(&mut recent, position(1, 9)), ask(&mut recent, position(1, 8))),
            ("20 25 31 40".into(), "!".into())
        );
    }

    #[test]
    fn limits_hold_and_nothing_is_left_of_a_topic_that_has_gone() {
        let mut recent = recent(1_000);
        receive(&mut recent, 1..=200);
        assert_eq!((recent.bytes, recent.topics[&topic()].messages.len()), (100 * ENTRY_BYTES, 100));
        for expected in ["later true", "later false", "later false", "!"] {
            assert_eq!(ask(&mut recent, position(1, 3)), expected);
        }
        let answers = recent.forget(&topic());
        assert_eq!((answers.len(), recent.bytes, recent.waiting, recent.topics.len()), (3, 0, 0, 0));
        // One that does not fit is not kept, and those before it are behind a hole then.
        recent.message(&topic(), 1, 0, position(1, 1));
        recent.message(&topic(), 2, 100 * ENTRY_BYTES, position(1, 2));
        assert_eq!(
            (recent.bytes, ask(&mut recent, position(1, 2)), ask(&mut recent, position(1, 1))),
            (0, String::new(), "later true".into())
        );
    }

    #[test]
    fn ten_thousand_who_come_back_cost_one_history_and_share_its_messages() {
        let mut recent: Recent<u32, u64> = Recent::new(RecentLimits::default());
        let mut reads = 0;
        for who in 0..10_000 {
            if let Asked::Later { read } = recent.ask(&topic(), position(1, u64::from(who) % 200), who) {
                reads += u32::from(read);
            }
        }
        assert_eq!(reads, 1);
        let answers = recent.history(&topic(), position(1, 256), 0, entries(1..=256));
        assert_eq!(answers.len(), 10_000);
        for (who, replay) in &answers {
            let after = u64::from(*who) % 200;
            assert!(replay.is_complete && replay.messages().len() as u64 == 256 - after);
            assert_eq!(replay.messages().first(), Some(&(after + 1)));
            assert!(Arc::ptr_eq(&replay.messages, &answers[0].1.messages));
        }
    }
}
