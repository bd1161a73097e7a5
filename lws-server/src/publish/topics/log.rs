//! The log of one topic on one thread: messages that not all of its subscribers have read, and the position of each.
//!
//! One log for all and a number for each subscriber, so that a slow one costs nothing but its entry. Knows no connection and no
//! other thread.

use crate::id::StreamId;
use lws_proto::ws::Prepared;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

/// How much of what was published to a route or topic waits for slow WebSockets, and what becomes of one that is further behind.
///
/// It holds for each route and topic, on each thread. What waits here comes on top of
/// [`Limits::send_queue_bytes_max`](lws_proto::Limits::send_queue_bytes_max) of each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that wait at most. Default 1,024.
    pub messages_max: usize,
    /// Bytes of them at most. Default 4 MiB; the newest message waits whatever its size.
    pub bytes_max: usize,
    /// What becomes of a WebSocket that has not read what has to make room. Default [`LagPolicy::DropOldest`].
    pub lag: LagPolicy,
}

impl Default for Backlog {
    fn default() -> Self {
        Self { messages_max: 1_024, bytes_max: 4 << 20, lag: LagPolicy::DropOldest }
    }
}

/// What becomes of a subscriber that lags too far behind what is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LagPolicy {
    /// It loses the oldest messages, and goes on with those that still wait.
    #[default]
    DropOldest,
    /// It is closed with code 1013, "try again later".
    Close,
}

/// The subscribers of one topic, at indices that do not move, and the messages that some of them have still to read.
pub(crate) struct TopicLog<I = StreamId> {
    subscribers: Vec<Option<LogReader<I>>>,
    free: Vec<u32>,
    backlog: Backlog,
    /// The number of the oldest message that waits.
    first: u64,
    waiting: VecDeque<Item<I>>,
    bytes: usize,
    /// What was published since a subscriber looked.
    unseen: Unseen,
    /// The number of the newest message with each key, of those that wait.
    newest: HashMap<Arc<str>, u64>,
    /// What some subscribers read before: messages from before they came. Almost always none.
    replays: BTreeMap<u32, UnreadReplay>,
}

/// Messages that many may read, each in its own time.
pub(crate) struct UnreadReplay {
    pub(crate) messages: Rc<[Rc<Prepared>]>,
    /// The index of the next.
    pub(crate) next: usize,
}

/// Messages that no subscriber has looked at yet.
#[derive(Clone, Copy, Debug, Default)]
struct Unseen {
    messages: usize,
    bytes: usize,
}

struct LogReader<I> {
    id: I,
    /// The number of the first message that it has not read.
    next: u64,
    /// It has been notified, and has not looked yet.
    notified: bool,
}

struct Item<I> {
    /// `None` once a newer message with the same key has taken its place.
    message: Option<Rc<Prepared>>,
    /// The subscriber that does not get it.
    except: Option<I>,
    key: Option<Arc<str>>,
    /// How many have not read it.
    unread: usize,
}

/// A message on its way into a log.
pub(crate) struct NewMessage<I> {
    pub(crate) message: Rc<Prepared>,
    /// The subscriber that does not get it: its sender.
    pub(crate) except: Option<I>,
    /// It takes the place of an earlier message with the same key, for those who have not read that.
    pub(crate) key: Option<Arc<str>>,
}

/// What a subscriber reads next.
pub(crate) enum Next {
    Nothing,
    Message(Rc<Prepared>),
    /// So many messages have gone that it has not read.
    Lost(u64),
}

impl<I: Copy + PartialEq> TopicLog<I> {
    /// What one subscriber costs.
    #[cfg(test)]
    pub(crate) const SUBSCRIBER_BYTES: usize = size_of::<Option<LogReader<I>>>() + size_of::<u32>();

    pub(crate) fn new(backlog: Backlog) -> Self {
        Self {
            subscribers: Vec::new(),
            free: Vec::new(),
            backlog,
            first: 0,
            waiting: VecDeque::new(),
            bytes: 0,
            unseen: Unseen::default(),
            newest: HashMap::new(),
            replays: BTreeMap::new(),
        }
    }

    pub(crate) fn lag(&self) -> LagPolicy {
        self.backlog.lag
    }

    /// The streams of its subscribers.
    pub(crate) fn ids(&self) -> impl Iterator<Item = I> {
        self.subscribers.iter().flatten().map(|subscriber| subscriber.id)
    }

    /// How many subscribers it has.
    pub(crate) fn len(&self) -> usize {
        self.subscribers.len() - self.free.len()
    }

    /// Adds a subscriber, which reads what is published from now on. Answers its index.
    pub(crate) fn join(&mut self, id: I) -> u32 {
        let subscriber = LogReader { id, next: self.end(), notified: false };
        match self.free.pop() {
            Some(index) => {
                self.subscribers[index as usize] = Some(subscriber);
                index
            }
            None => {
                self.subscribers.push(Some(subscriber));
                // There are no more than streams.
                (self.subscribers.len() - 1) as u32
            }
        }
    }

    /// Adds a subscriber that reads some earlier messages before. Answers its index.
    #[cfg(any(feature = "broker", test))]
    pub(crate) fn join_behind(&mut self, id: I, replay: UnreadReplay) -> u32 {
        let index = self.join(id);
        if replay.next < replay.messages.len() {
            self.replays.insert(index, replay);
        }
        index
    }

    /// Removes the subscriber at `index`.
    pub(crate) fn leave(&mut self, index: u32) {
        self.replays.remove(&index);
        let Some(subscriber) = self.subscribers.get_mut(index as usize).and_then(Option::take) else {
            return;
        };
        self.free.push(index);
        let read = usize::try_from(subscriber.next.saturating_sub(self.first)).unwrap_or(usize::MAX);
        for item in self.waiting.iter_mut().skip(read) {
            item.unread -= 1;
        }
        self.forget_read();
    }

    /// Keeps a message until all subscribers have read it, and returns those to notify: each one once until it
    /// reads.
    pub(crate) fn publish(&mut self, entry: NewMessage<I>) -> Vec<(I, u32)> {
        let unread = self.len();
        if unread == 0 {
            return Vec::new();
        }
        let NewMessage { message, except, key } = entry;
        let bytes = message.bytes().len();
        if let Some(key) = &key
            && let Some(older) = self.newest.insert(Arc::clone(key), self.end())
        {
            self.supersede(older);
        }
        self.bytes += bytes;
        self.unseen.messages += 1;
        self.unseen.bytes += bytes;
        self.waiting.push_back(Item { message: Some(message), except, key, unread });
        while self.waiting.len() > 1
            && (self.waiting.len() > self.backlog.messages_max || self.bytes > self.backlog.bytes_max)
        {
            self.forget_first();
        }
        let subscribers = self.subscribers.iter_mut().zip(0..);
        let notified = subscribers.filter_map(|(subscriber, index)| {
            let subscriber = subscriber.as_mut()?;
            (!std::mem::replace(&mut subscriber.notified, true)).then_some((subscriber.id, index))
        });
        notified.collect()
    }

    /// Drops the content of a message whose place a newer one takes; its number stays, so that positions keep their meaning.
    fn supersede(&mut self, number: u64) {
        let index = number.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let item = index.and_then(|index| self.waiting.get_mut(index));
        if let Some(message) = item.and_then(|item| item.message.take()) {
            self.bytes -= message.bytes().len();
        }
    }

    /// Whether subscribers should look before more is published, so that those who keep up lose nothing: a quarter of what may
    /// wait was published at once.
    pub(crate) fn is_rushed(&self) -> bool {
        self.unseen.messages > self.backlog.messages_max / 4 || self.unseen.bytes > self.backlog.bytes_max / 4
    }

    /// The subscriber at `index` looks.
    pub(crate) fn look(&mut self, index: u32) {
        self.unseen = Unseen::default();
        if let Some(subscriber) = self.subscriber(index) {
            subscriber.notified = false;
        }
    }

    /// Whether there is something to read for the subscriber at `index`.
    pub(crate) fn has_unread(&self, index: u32) -> bool {
        let subscriber = self.subscribers.get(index as usize).and_then(Option::as_ref);
        subscriber.is_some_and(|subscriber| subscriber.next < self.end()) || self.replays.contains_key(&index)
    }

    /// What the subscriber at `index` reads next. A loss is answered once.
    pub(crate) fn next(&mut self, index: u32) -> Next {
        if let Some(message) = self.replays.get(&index).and_then(|replay| replay.messages.get(replay.next)) {
            return Next::Message(Rc::clone(message));
        }
        loop {
            let first = self.first;
            let Some(subscriber) = self.subscriber(index) else { return Next::Nothing };
            if subscriber.next < first {
                let lost = first - subscriber.next;
                subscriber.next = first;
                return Next::Lost(lost);
            }
            let (id, at) = (subscriber.id, subscriber.next - first);
            let item = usize::try_from(at).ok().and_then(|at| self.waiting.get(at));
            match item {
                None => return Next::Nothing,
                Some(Item { message: Some(message), except, .. }) if *except != Some(id) => {
                    return Next::Message(Rc::clone(message));
                }
                // It is the sender of this one, or a newer one has taken its place.
                Some(_) => {
                    self.advance(index);
                }
            }
        }
    }

    /// The subscriber at `index` has read a message. Answers whether there is another one.
    pub(crate) fn advance(&mut self, index: u32) -> bool {
        let (first, end) = (self.first, self.end());
        if let Some(replay) = self.replays.get_mut(&index) {
            replay.next += 1;
            if replay.next < replay.messages.len() {
                return true;
            }
            self.replays.remove(&index);
            return self.subscriber(index).is_some_and(|subscriber| subscriber.next < end);
        }
        let Some(subscriber) = self.subscriber(index) else { return false };
        let read = subscriber.next;
        subscriber.next += 1;
        let more = subscriber.next < end;
        let at = read.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        if let Some(item) = at.and_then(|at| self.waiting.get_mut(at)) {
            item.unread -= 1;
            // Messages are read in their order, so that those in front of it have all been read before.
            if item.unread == 0 {
                self.forget_read();
            }
        }
        more
    }

    fn subscriber(&mut self, index: u32) -> Option<&mut LogReader<I>> {
        self.subscribers.get_mut(index as usize)?.as_mut()
    }

    fn end(&self) -> u64 {
        self.first + self.waiting.len() as u64
    }

    fn forget_read(&mut self) {
        while self.waiting.front().is_some_and(|item| item.unread == 0) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        let Some(item) = self.waiting.pop_front() else { return };
        self.bytes -= item.message.map_or(0, |message| message.bytes().len());
        if let Some(key) = item.key
            && self.newest.get(&key) == Some(&self.first)
        {
            self.newest.remove(&key);
        }
        self.first += 1;
        debug_assert!(self.newest.len() <= self.waiting.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lws_proto::MessageKind;

    fn message(len: usize) -> Prepared {
        Prepared::new(MessageKind::Binary, vec![0; len])
    }

    fn entry(len: usize) -> NewMessage<u32> {
        NewMessage { message: Rc::new(message(len)), except: None, key: None }
    }

    /// A log with subscribers, whose streams are called by their indices.
    fn log(backlog: Backlog, subscribers: u32) -> TopicLog<u32> {
        let mut log = TopicLog::new(backlog);
        for index in 0..subscribers {
            assert_eq!(log.join(index), index);
        }
        log
    }

    /// The lengths of all messages that the subscriber at `index` reads.
    fn lengths(log: &mut TopicLog<u32>, index: u32) -> Vec<usize> {
        let mut lengths = Vec::new();
        while let Next::Message(message) = log.next(index) {
            lengths.push(message.bytes().len());
            log.advance(index);
        }
        lengths
    }

    fn read_all(log: &mut TopicLog<u32>, index: u32) -> (u64, u64) {
        let (mut read, mut lost) = (0, 0);
        loop {
            match log.next(index) {
                Next::Nothing => return (read, lost),
                Next::Lost(count) => lost += count,
                Next::Message(_) => {
                    log.advance(index);
                    read += 1;
                }
            }
        }
    }

    #[test]
    fn a_message_is_kept_until_the_last_has_read_it_or_has_gone() {
        let mut log = log(Backlog::default(), 3);
        for notified in [3, 0] {
            assert_eq!(log.publish(entry(10)).len(), notified, "each is notified once until it looks");
        }
        assert_eq!(read_all(&mut log, 0), (2, 0));
        assert_eq!(read_all(&mut log, 2), (2, 0));
        assert_eq!((log.waiting.len(), log.bytes), (2, 20));
        log.leave(1);
        assert_eq!((log.waiting.len(), log.bytes), (0, 0));
        assert_eq!(log.join(1), 1, "its index is used again");
        assert_eq!(read_all(&mut log, 1), (0, 0), "who comes later has not missed anything");
    }

    #[test]
    fn nothing_is_kept_without_subscribers() {
        let mut log = log(Backlog::default(), 0);
        assert!(log.publish(entry(10)).is_empty());
        assert_eq!(log.waiting.len(), 0);
    }

    #[test]
    fn at_the_limit_nothing_is_lost_and_one_past_it_the_oldest_is() {
        let backlog = |messages_max, bytes_max| Backlog { messages_max, bytes_max, ..Backlog::default() };
        for (backlog, messages, lost) in [
            (backlog(4, 1_000), 4, 0),
            (backlog(4, 1_000), 5, 1),
            (backlog(100, 40), 4, 0),
            (backlog(100, 40), 5, 1),
            (backlog(0, 0), 3, 2),
        ] {
            let mut log = log(backlog, 1);
            (0..messages).for_each(|_| drop(log.publish(entry(10))));
            assert_eq!(read_all(&mut log, 0), (messages - lost, lost), "{backlog:?}");
            assert_eq!(log.bytes, 0);
        }
    }

    #[test]
    fn a_rush_is_what_no_member_has_looked_at() {
        let backlog = Backlog { messages_max: 8, bytes_max: 400, ..Backlog::default() };
        for (len, calm) in [(10, 2), (50, 2), (100, 1), (101, 0)] {
            let mut log = log(backlog, 1);
            for _ in 0..calm {
                log.publish(entry(len));
                assert!(!log.is_rushed(), "{len} bytes");
            }
            log.publish(entry(len));
            assert!(log.is_rushed(), "{len} bytes");
            log.look(0);
            assert!(!log.is_rushed(), "{len} bytes");
        }
    }

    #[test]
    fn one_that_is_behind_neither_stops_nor_costs_the_others() {
        let mut log = log(Backlog { messages_max: 2, ..Backlog::default() }, 2);
        for _ in 0..10 {
            log.publish(entry(10));
            assert_eq!(read_all(&mut log, 0), (1, 0));
        }
        assert_eq!(log.waiting.len(), 2);
        log.leave(1);
        assert_eq!(log.waiting.len(), 0);
    }

    #[test]
    fn the_sender_does_not_get_its_own_message() {
        let mut log = log(Backlog::default(), 3);
        log.publish(entry(1));
        log.publish(NewMessage { except: Some(1), ..entry(2) });
        log.publish(entry(3));
        for (index, read) in [(0, vec![1, 2, 3]), (1, vec![1, 3]), (2, vec![1, 2, 3])] {
            assert_eq!(lengths(&mut log, index), read, "{index}");
        }
        assert_eq!((log.waiting.len(), log.bytes), (0, 0));
        // It is the only one that could have kept the message waiting.
        log.publish(NewMessage { except: Some(1), ..entry(2) });
        assert_eq!((lengths(&mut log, 0), lengths(&mut log, 2)), (vec![2], vec![2]));
        assert!(lengths(&mut log, 1).is_empty());
        assert_eq!((log.waiting.len(), log.bytes), (0, 0));
    }

    #[test]
    fn of_messages_with_one_key_a_slow_subscriber_gets_the_newest() {
        let keyed = |len, key: &str| NewMessage { key: Some(key.into()), ..entry(len) };
        let mut log = log(Backlog::default(), 2);
        for (len, key) in [(1, "a"), (2, "b"), (3, "a"), (4, "a")] {
            log.publish(keyed(len, key));
            assert_eq!(lengths(&mut log, 0), [len]);
        }
        assert_eq!((log.bytes, log.newest.len()), (6, 2));
        assert_eq!(lengths(&mut log, 1), [2, 4]);
        assert_eq!((log.bytes, log.newest.len(), log.waiting.len()), (0, 0, 0));
        // What was read by all is no longer there to be replaced.
        log.publish(keyed(5, "a"));
        assert_eq!((lengths(&mut log, 0), lengths(&mut log, 1)), (vec![5], vec![5]));
    }

    #[test]
    fn one_that_comes_back_reads_what_it_has_missed_before_everything_else() {
        let mut log = log(Backlog { messages_max: 2, ..Backlog::default() }, 1);
        let messages: Rc<[_]> = [1, 2, 3].map(|len| Rc::new(message(len))).into();
        let behind = |next| UnreadReplay { messages: Rc::clone(&messages), next };
        assert_eq!((log.join_behind(1, behind(1)), log.join_behind(2, behind(3))), (1, 2));
        assert!(log.has_unread(1) && !log.has_unread(2));
        log.publish(entry(4));
        assert_eq!(
            (lengths(&mut log, 0), lengths(&mut log, 1), lengths(&mut log, 2)),
            (vec![4], vec![2, 3, 4], vec![4])
        );
        // One that leaves in the middle leaves nothing to the next at its index; and what is lost behind it is lost.
        log.leave(1);
        assert_eq!(log.join_behind(1, behind(0)), 1);
        log.leave(1);
        assert_eq!((log.join(1), log.replays.len()), (1, 0));
        log.leave(1);
        log.join_behind(1, behind(2));
        (0..3).for_each(|_| drop(log.publish(entry(5))));
        assert_eq!(read_all(&mut log, 1), (3, 1), "one of before, and two of three");
    }

    #[test]
    fn keys_are_forgotten_with_their_messages() {
        let mut log = log(Backlog { messages_max: 3, ..Backlog::default() }, 1);
        for number in 0..100 {
            log.publish(NewMessage { key: Some(number.to_string().into()), ..entry(1) });
        }
        assert_eq!((log.waiting.len(), log.newest.len()), (3, 3));
    }
}
