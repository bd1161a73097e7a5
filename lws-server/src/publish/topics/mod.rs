//! Topics: names that streams subscribe to, and messages that are published to them.
//!
//! Each thread has its own logs ([`TopicLog`]); a publication is sent to every thread once. A route is a topic without a name, to
//! which all of its WebSockets belong. Knows no event and no connection: what is published is delivered by `app/delivery.rs`.

pub(crate) mod log;

use crate::id::{RouteId, StreamId};
#[cfg(feature = "broker")]
use crate::publish::broker::TopicChange;
#[cfg(feature = "broker")]
use crate::server::group::Group;
#[cfg(feature = "broker")]
use crate::thread::command::Command;
use crate::ws::{Broadcast, Prepared};
#[cfg(feature = "broker")]
pub(crate) use log::UnreadReplay;
pub use log::{Backlog, LagPolicy};
pub(crate) use log::{NewMessage, TopicLog};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

/// Bytes of the name of a topic. Names come from peers in many applications, and are kept as long as the topic has a subscriber.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// Which topic of a thread.
pub(crate) type TopicIndex = u32;

/// One stream in the log of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) topic: TopicIndex,
    /// The index of the subscriber in the log.
    pub(crate) subscriber: u32,
}

/// The subscriptions of one stream. That to its route, if it has one, is among them.
#[derive(Debug, Default)]
pub(crate) enum Subscriptions {
    #[default]
    None,
    /// Almost every stream has one or two: its route and a topic.
    One(Subscription),
    Two([Subscription; 2]),
    Many(Vec<Subscription>),
}

impl Subscriptions {
    pub(crate) fn as_slice(&self) -> &[Subscription] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Two(two) => two,
            Self::Many(many) => many,
        }
    }

    pub(crate) fn contains(&self, subscription: Subscription) -> bool {
        self.as_slice().contains(&subscription)
    }

    fn of(&self, topic: TopicIndex) -> Option<Subscription> {
        self.as_slice().iter().find(|subscription| subscription.topic == topic).copied()
    }

    pub(crate) fn push(&mut self, subscription: Subscription) {
        debug_assert!(self.of(subscription.topic).is_none());
        *self = match std::mem::take(self) {
            Self::None => Self::One(subscription),
            Self::One(one) => Self::Two([one, subscription]),
            Self::Two([one, two]) => Self::Many(vec![one, two, subscription]),
            Self::Many(mut many) => {
                many.push(subscription);
                Self::Many(many)
            }
        };
    }

    fn remove(&mut self, subscription: Subscription) {
        *self = match std::mem::take(self) {
            Self::One(one) if one == subscription => Self::None,
            Self::Two([one, two]) if one == subscription => Self::One(two),
            Self::Two([one, two]) if two == subscription => Self::One(one),
            Self::Many(mut many) => {
                many.retain(|known| *known != subscription);
                match *many {
                    [one, two] => Self::Two([one, two]),
                    _ => Self::Many(many),
                }
            }
            other => other,
        };
    }

    /// Puts the first one last, so that all of them have their turn.
    pub(crate) fn rotate(&mut self) {
        match self {
            Self::None | Self::One(_) => {}
            Self::Two(two) => two.swap(0, 1),
            Self::Many(many) => many.rotate_left(1),
        }
    }
}

/// Why a stream could not subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The name is empty or longer than 256 bytes, or `+` or `#` stands in it otherwise than as a whole segment, or `#` before its
    /// end.
    Name,
    /// The stream has as many subscriptions as [`Builder::subscriptions_max`](crate::Builder::subscriptions_max) allows.
    TooMany,
    /// The call is not about a WebSocket.
    NoWebSocket,
    /// The pattern may stand for topics that a broker has: only whole names can be subscribed to there.
    Pattern,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "no topic can have this name",
            Self::TooMany => "the stream has as many subscriptions as it may have",
            Self::Pattern => "topics of a broker have no patterns",
            Self::NoWebSocket => "only a WebSocket can subscribe",
        })
    }
}

impl std::error::Error for SubscribeError {}

/// A message to a topic or a route, as all threads see it.
#[derive(Clone, Debug)]
pub(crate) struct Publication<I = StreamId> {
    pub(crate) to: Destination,
    pub(crate) message: Broadcast,
    /// The stream that does not get it: its sender.
    pub(crate) except: Option<I>,
    /// It takes the place of an earlier message with the same key, for those who have not read that.
    pub(crate) key: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// The WebSockets of a route.
    Route(RouteId),
    /// The subscribers of a topic, by its name.
    Topic(Arc<str>),
}

/// The topics of one thread.
pub(crate) struct Topics<I = StreamId> {
    topics: Vec<Option<Topic<I>>>,
    free: Vec<TopicIndex>,
    names: HashMap<Rc<str>, TopicIndex>,
    routes: HashMap<RouteId, TopicIndex>,
    /// Those whose names have wildcards: each publication is compared with them.
    patterns: Vec<TopicIndex>,
    backlog: BacklogOf,
    subscriptions_max: usize,
    #[cfg(feature = "broker")]
    shared: SharedTopics,
}

/// Which topics a broker has, and which of them have changed.
#[cfg(feature = "broker")]
#[derive(Default)]
struct SharedTopics {
    /// Whether it has topics of this name or pattern. `None` without a broker.
    has: Option<Rc<HasTopic>>,
    changes: Vec<TopicChange>,
}

#[cfg(feature = "broker")]
type HasTopic = dyn Fn(&str, NameKind) -> bool;

#[cfg(feature = "broker")]
impl SharedTopics {
    fn has(&self, name: &str, kind: NameKind) -> bool {
        self.has.as_ref().is_some_and(|has| has(name, kind))
    }

    fn note(&mut self, name: &str, is_subscribed: bool) {
        if self.has(name, NameKind::Literal) {
            self.changes.push(TopicChange { name: name.into(), is_subscribed });
        }
    }
}

/// The backlog of a topic, by its name.
pub(crate) type BacklogOf = Rc<dyn Fn(&str) -> Backlog>;

struct Topic<I> {
    name: TopicName,
    log: TopicLog<I>,
    /// It stays although it may have no subscriber: so many want that.
    keepers: u32,
}

impl<I: Copy + PartialEq> Topic<I> {
    fn new(name: TopicName, backlog: Backlog) -> Self {
        Self { name, log: TopicLog::new(backlog), keepers: 0 }
    }
}

/// What keeps a topic.
enum TopicName {
    /// Its subscribers alone.
    Named(Rc<str>),
    /// The route that it belongs to.
    Route,
    /// Its subscribers alone, as its route has been removed.
    RemovedRoute,
}

/// The subscribers to notify of a publication.
#[derive(Debug)]
pub(crate) struct Notified<I = StreamId> {
    pub(crate) subscribers: Vec<(I, Subscription)>,
    /// The log has taken so much at once that subscribers should look before more is published.
    pub(crate) rushed: bool,
}

impl<I: Copy + PartialEq> Topics<I> {
    /// No topics. `backlog` says what waits for the subscribers of one, by its name.
    pub(crate) fn new(backlog: Option<BacklogOf>, subscriptions_max: usize) -> Self {
        Self {
            topics: Vec::new(),
            free: Vec::new(),
            names: HashMap::new(),
            routes: HashMap::new(),
            patterns: Vec::new(),
            backlog: backlog.unwrap_or_else(|| Rc::new(|_| Backlog::default())),
            subscriptions_max,
            #[cfg(feature = "broker")]
            shared: SharedTopics::default(),
        }
    }

    /// Notes the changes of topics that the broker has, if there is one.
    #[cfg(feature = "broker")]
    pub(crate) fn shared_by(mut self, group: Arc<Group<Command>>) -> Self {
        if group.broker.is_some() {
            self.shared.has = Some(Rc::new(move |name, kind| {
                group.broker.as_ref().is_some_and(|broker| match kind {
                    NameKind::Literal => broker.covers(name),
                    NameKind::Pattern => broker.meets(name),
                })
            }));
        }
        self
    }

    /// Takes the topics of the broker that have got their first subscriber or lost their last.
    #[cfg(feature = "broker")]
    pub(crate) fn take_changes(&mut self) -> Vec<TopicChange> {
        std::mem::take(&mut self.shared.changes)
    }

    /// Adds a route, to whose topic its WebSockets will belong.
    pub(crate) fn add_route(&mut self, route: RouteId, backlog: Backlog) {
        let topic = self.insert(Topic::new(TopicName::Route, backlog));
        self.routes.insert(route, topic);
    }

    /// Removes a route. Its topic stays until its last WebSocket has gone, but nothing is published there any more.
    pub(crate) fn remove_route(&mut self, route: RouteId) {
        let Some(index) = self.routes.remove(&route) else { return };
        if let Some(Some(topic)) = self.topics.get_mut(index as usize) {
            topic.name = TopicName::RemovedRoute;
        }
        self.free_unused(index);
    }

    pub(crate) fn log(&mut self, topic: TopicIndex) -> Option<&mut TopicLog<I>> {
        self.topics.get_mut(topic as usize)?.as_mut().map(|topic| &mut topic.log)
    }

    /// The WebSockets of a route.
    pub(crate) fn members(&self, route: RouteId) -> impl Iterator<Item = I> {
        let topic = self.routes.get(&route).and_then(|topic| self.topics.get(*topic as usize)?.as_ref());
        topic.into_iter().flat_map(|topic| topic.log.ids())
    }

    /// How many streams have subscribed to the topic of this name.
    pub(crate) fn count(&self, name: &str) -> usize {
        let topic = self.names.get(name).and_then(|topic| self.topics.get(*topic as usize)?.as_ref());
        topic.map_or(0, |topic| topic.log.len())
    }

    /// The WebSocket of a route is established. Answers whether the route is still there.
    #[must_use]
    pub(crate) fn join(&mut self, route: RouteId, id: I, subscriptions: &mut Subscriptions) -> bool {
        let Some(topic) = self.routes.get(&route).copied() else { return false };
        if let Some(log) = self.log(topic) {
            let subscriber = log.join(id);
            subscriptions.push(Subscription { topic, subscriber });
        }
        true
    }

    /// # Errors
    /// The name is none, or there are too many subscriptions.
    pub(crate) fn subscribe(
        &mut self,
        name: &str,
        id: I,
        subscriptions: &mut Subscriptions,
    ) -> Result<(), SubscribeError> {
        let kind = NameKind::of(name).ok_or(SubscribeError::Name)?;
        #[cfg(feature = "broker")]
        if kind == NameKind::Pattern && self.shared.has(name, kind) {
            return Err(SubscribeError::Pattern);
        }
        if self.names.get(name).is_some_and(|topic| subscriptions.of(*topic).is_some()) {
            return Ok(());
        }
        // That to the route counts too, but is not the application's.
        if subscriptions.as_slice().len() > self.subscriptions_max {
            return Err(SubscribeError::TooMany);
        }
        let topic = match self.names.get(name) {
            Some(topic) => *topic,
            None => self.create(name, kind),
        };
        if let Some(log) = self.log(topic) {
            let subscriber = log.join(id);
            subscriptions.push(Subscription { topic, subscriber });
        }
        Ok(())
    }

    /// Has the topic of this name stay, with and without subscribers, until [`release`](Self::release).
    ///
    /// # Errors
    /// The name is none, or a pattern.
    pub(crate) fn keep(&mut self, name: &str) -> Result<(), SubscribeError> {
        if NameKind::of(name) != Some(NameKind::Literal) {
            return Err(SubscribeError::Name);
        }
        let index = match self.names.get(name) {
            Some(index) => *index,
            None => self.create(name, NameKind::Literal),
        };
        if let Some(Some(topic)) = self.topics.get_mut(index as usize) {
            topic.keepers += 1;
        }
        Ok(())
    }

    /// One that has had a topic stay does not need it any more.
    pub(crate) fn release(&mut self, name: &str) {
        let Some(index) = self.names.get(name).copied() else { return };
        if let Some(Some(topic)) = self.topics.get_mut(index as usize) {
            debug_assert!(topic.keepers > 0, "it was kept");
            topic.keepers -= 1;
            self.free_unused(index);
        }
    }

    fn create(&mut self, name: &str, kind: NameKind) -> TopicIndex {
        let key: Rc<str> = name.into();
        let index = self.insert(Topic::new(TopicName::Named(Rc::clone(&key)), (self.backlog)(name)));
        self.names.insert(key, index);
        match kind {
            NameKind::Pattern => self.patterns.push(index),
            #[cfg(feature = "broker")]
            NameKind::Literal => self.shared.note(name, true),
            #[cfg(not(feature = "broker"))]
            NameKind::Literal => {}
        }
        index
    }

    fn insert(&mut self, topic: Topic<I>) -> TopicIndex {
        match self.free.pop() {
            Some(index) => {
                self.topics[index as usize] = Some(topic);
                index
            }
            None => {
                self.topics.push(Some(topic));
                // There are no more than routes and subscriptions.
                (self.topics.len() - 1) as TopicIndex
            }
        }
    }

    /// Has a stream read some earlier messages of a topic that is kept, and then what is published from now on. It gets the subscription
    /// later: [`accept`](Self::accept).
    #[cfg(feature = "broker")]
    pub(crate) fn join_behind(&mut self, name: &str, id: I, replay: UnreadReplay) -> Option<Subscription> {
        let topic = self.names.get(name).copied()?;
        let subscriber = self.log(topic)?.join_behind(id, replay);
        Some(Subscription { topic, subscriber })
    }

    /// The stream takes a subscription that was made for it. One that it has already, or has no room for, ends. Answers whether it has it now.
    #[cfg(feature = "broker")]
    pub(crate) fn accept(&mut self, subscription: Subscription, subscriptions: &mut Subscriptions) -> bool {
        let is_there = subscriptions.of(subscription.topic).is_some();
        if is_there || subscriptions.as_slice().len() > self.subscriptions_max {
            self.leave(subscription);
            return false;
        }
        subscriptions.push(subscription);
        true
    }

    /// Whether a stream may have one subscription more.
    #[cfg(feature = "broker")]
    pub(crate) fn has_room(&self, subscriptions: &Subscriptions) -> bool {
        subscriptions.as_slice().len() <= self.subscriptions_max
    }

    /// Ends a subscription. Answers whether there was one.
    pub(crate) fn unsubscribe(&mut self, name: &str, subscriptions: &mut Subscriptions) -> bool {
        let subscription = self.names.get(name).and_then(|topic| subscriptions.of(*topic));
        if let Some(subscription) = subscription {
            subscriptions.remove(subscription);
            self.leave(subscription);
        }
        subscription.is_some()
    }

    /// A stream has ended.
    pub(crate) fn leave_all(&mut self, subscriptions: &Subscriptions) {
        for subscription in subscriptions.as_slice() {
            self.leave(*subscription);
        }
    }

    pub(crate) fn leave(&mut self, Subscription { topic: index, subscriber }: Subscription) {
        if let Some(log) = self.log(index) {
            log.leave(subscriber);
            self.free_unused(index);
        }
    }

    /// Removes a topic that nothing keeps any more.
    fn free_unused(&mut self, index: TopicIndex) {
        let Some(Some(topic)) = self.topics.get(index as usize) else { return };
        if topic.log.len() > 0 || topic.keepers > 0 {
            return;
        }
        match &topic.name {
            TopicName::Route => return,
            TopicName::RemovedRoute => {}
            TopicName::Named(name) => {
                self.names.remove(name);
                self.patterns.retain(|pattern| *pattern != index);
                #[cfg(feature = "broker")]
                self.shared.note(name, false);
            }
        }
        self.topics[index as usize] = None;
        self.free.push(index);
    }

    /// Puts a message where its subscribers on this thread find it.
    pub(crate) fn publish(&mut self, publication: &Publication<I>) -> Notified<I> {
        let mut notified = Notified { subscribers: Vec::new(), rushed: false };
        match &publication.to {
            Destination::Route(route) => {
                if let Some(topic) = self.routes.get(route).copied() {
                    self.publish_at(topic, publication, &mut None, &mut notified);
                }
            }
            Destination::Topic(name) => {
                // Encoded for the first log that has a subscriber, and shared by the others.
                let mut prepared = None;
                if let Some(topic) = self.names.get(&**name).copied() {
                    self.publish_at(topic, publication, &mut prepared, &mut notified);
                }
                for at in 0..self.patterns.len() {
                    let pattern = self.patterns[at];
                    if self.matches(pattern, name) {
                        self.publish_at(pattern, publication, &mut prepared, &mut notified);
                    }
                }
            }
        }
        notified
    }

    fn matches(&self, pattern: TopicIndex, name: &str) -> bool {
        let topic = self.topics.get(pattern as usize).and_then(Option::as_ref);
        topic.is_some_and(|topic| matches!(&topic.name, TopicName::Named(pattern) if matches(pattern, name)))
    }

    fn publish_at(
        &mut self,
        index: TopicIndex,
        publication: &Publication<I>,
        prepared: &mut Option<Rc<Prepared>>,
        notified: &mut Notified<I>,
    ) {
        let Some(log) = self.log(index).filter(|log| log.len() > 0) else { return };
        let message = Rc::clone(prepared.get_or_insert_with(|| Rc::new(publication.message.prepare())));
        let entry = NewMessage { message, except: publication.except, key: publication.key.clone() };
        let subscription = |(id, subscriber)| (id, Subscription { topic: index, subscriber });
        notified.subscribers.extend(log.publish(entry).into_iter().map(subscription));
        notified.rushed |= log.is_rushed();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameKind {
    Literal,
    Pattern,
}

impl NameKind {
    /// `None` if no topic can have this name.
    fn of(name: &str) -> Option<Self> {
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return None;
        }
        let mut kind = Self::Literal;
        let mut segments = name.split('/').peekable();
        while let Some(segment) = segments.next() {
            match segment {
                "+" => kind = Self::Pattern,
                "#" if segments.peek().is_none() => kind = Self::Pattern,
                _ if segment.contains(['+', '#']) => return None,
                _ => {}
            }
        }
        Some(kind)
    }
}

/// Whether a message may be published to a topic of this name: one without wildcards.
pub(crate) fn is_destination(name: &str) -> bool {
    NameKind::of(name) == Some(NameKind::Literal)
}

/// Whether a pattern stands for a name: `+` for one segment, and `#` at its end for all that follow.
fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.split('/'), name.split('/'));
    loop {
        match (pattern.next(), name.next()) {
            (Some("#"), Some(_)) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(expected), Some(segment)) if expected == segment => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lws_proto::MessageKind;

    #[test]
    fn a_subscription_costs_at_most_48_bytes() {
        // The entry in the log, and the stream's own note of it where it has more than two.
        assert!(TopicLog::<StreamId>::SUBSCRIBER_BYTES + size_of::<Subscription>() <= 48);
        assert!(size_of::<Subscriptions>() <= 24);
    }

    #[test]
    fn wildcards_are_whole_segments() {
        for (name, kind) in [
            ("a", Some(NameKind::Literal)),
            ("room/a", Some(NameKind::Literal)),
            ("room//a", Some(NameKind::Literal)),
            ("room/+", Some(NameKind::Pattern)),
            ("+/a", Some(NameKind::Pattern)),
            ("room/#", Some(NameKind::Pattern)),
            ("#", Some(NameKind::Pattern)),
            ("", None),
            ("room/#/a", None),
            ("room/a+", None),
            ("c#", None),
        ] {
            assert_eq!(NameKind::of(name), kind, "{name}");
        }
        assert_eq!(NameKind::of(&"x".repeat(NAME_BYTES_MAX)), Some(NameKind::Literal));
        assert_eq!(NameKind::of(&"x".repeat(NAME_BYTES_MAX + 1)), None);
    }

    #[test]
    fn a_pattern_stands_for_names_segment_by_segment() {
        for (pattern, name, expected) in [
            ("room/+", "room/a", true),
            ("room/+", "room/a/b", false),
            ("room/+", "room", false),
            ("+/a", "room/a", true),
            ("room/#", "room/a", true),
            ("room/#", "room/a/b", true),
            ("room/#", "room", false),
            ("#", "room/a", true),
            ("room/+/x", "room/a/x", true),
            ("room/+/x", "room/a/y", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    fn topics(subscriptions_max: usize) -> Topics<u32> {
        let mut topics = Topics::new(None, subscriptions_max);
        topics.add_route(RouteId(7), Backlog::default());
        topics
    }

    /// The subscribers that a message to the topic of this name notifies.
    fn notified(topics: &mut Topics<u32>, name: &str, except: Option<u32>) -> Vec<u32> {
        let message = Broadcast::new(MessageKind::Text, "x");
        let publication = Publication { to: Destination::Topic(name.into()), message, except, key: None };
        topics.publish(&publication).subscribers.into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn a_topic_is_there_as_long_as_somebody_subscribes() {
        let mut topics = topics(8);
        let (mut one, mut two) = (Subscriptions::default(), Subscriptions::default());
        assert_eq!(topics.subscribe("a", 1, &mut one), Ok(()));
        assert_eq!(topics.subscribe("a", 1, &mut one), Ok(()), "again is once");
        assert_eq!(topics.subscribe("a", 2, &mut two), Ok(()));
        assert_eq!(topics.subscribe("b", 2, &mut two), Ok(()));
        assert_eq!((topics.count("a"), topics.count("b"), topics.count("c")), (2, 1, 0));
        assert_eq!(notified(&mut topics, "a", None), [1, 2]);
        assert_eq!(notified(&mut topics, "b", None), [2]);
        assert!(notified(&mut topics, "c", None).is_empty());
        assert!(topics.unsubscribe("a", &mut one));
        assert!(!topics.unsubscribe("a", &mut one));
        assert_eq!(one.as_slice(), []);
        topics.leave_all(&two);
        assert_eq!((topics.names.len(), topics.free.len(), topics.topics.len()), (0, 2, 3));
        assert_eq!(topics.subscribe("d", 3, &mut one), Ok(()));
        assert_eq!((topics.free.len(), topics.topics.len()), (1, 3), "an index is used again");
    }

    #[test]
    fn a_topic_that_is_kept_is_there_without_subscribers() {
        let mut topics = topics(8);
        let mut one = Subscriptions::default();
        for name in ["", "room/+", "#"] {
            assert_eq!(topics.keep(name), Err(SubscribeError::Name), "{name:?}");
        }
        assert_eq!((topics.keep("a"), topics.keep("a")), (Ok(()), Ok(())));
        assert_eq!(topics.subscribe("a", 1, &mut one), Ok(()));
        topics.leave_all(&one);
        topics.release("a");
        assert_eq!(topics.names.len(), 1);
        topics.release("a");
        assert_eq!((topics.names.len(), topics.free.len()), (0, 1));
    }

    #[test]
    fn a_pattern_gets_what_is_published_to_each_name_that_it_stands_for() {
        let mut topics = topics(8);
        let (mut one, mut two) = (Subscriptions::default(), Subscriptions::default());
        assert_eq!(topics.subscribe("room/+", 1, &mut one), Ok(()));
        assert_eq!(topics.subscribe("room/a", 2, &mut two), Ok(()));
        assert_eq!(notified(&mut topics, "room/a", None), [2, 1]);
        assert!(notified(&mut topics, "room/b", None).is_empty(), "it is notified once until it looks");
        topics.leave_all(&one);
        assert!(topics.patterns.is_empty());
    }

    #[test]
    fn at_the_limit_a_stream_subscribes_and_one_past_it_not() {
        let mut topics = topics(2);
        let mut subscriptions = Subscriptions::default();
        assert!(topics.join(RouteId(7), 1, &mut subscriptions));
        for (name, expected) in
            [("a", Ok(())), ("b", Ok(())), ("c", Err(SubscribeError::TooMany)), ("a", Ok(()))]
        {
            assert_eq!(topics.subscribe(name, 1, &mut subscriptions), expected, "{name}");
        }
        assert!(topics.unsubscribe("a", &mut subscriptions));
        assert_eq!(topics.subscribe("c", 1, &mut subscriptions), Ok(()));
        assert_eq!(topics.subscribe("", 1, &mut subscriptions), Err(SubscribeError::Name));
    }

    #[test]
    fn the_topic_of_a_route_that_was_removed_stays_for_its_last_websocket() {
        let mut topics = topics(8);
        let mut subscriptions = Subscriptions::default();
        assert!(topics.join(RouteId(7), 1, &mut subscriptions));
        assert_eq!(topics.members(RouteId(7)).collect::<Vec<_>>(), [1]);
        topics.remove_route(RouteId(7));
        assert_eq!(topics.members(RouteId(7)).count(), 0);
        assert_eq!(topics.topics.iter().flatten().count(), 1);
        topics.leave_all(&subscriptions);
        assert_eq!(topics.topics.iter().flatten().count(), 0);
        let mut late = Subscriptions::default();
        assert!(!topics.join(RouteId(7), 2, &mut late));
    }

    #[test]
    fn subscriptions_come_and_go_and_take_turns() {
        let subscription = |topic| Subscription { topic, subscriber: 0 };
        for count in 0..6 {
            let mut subscriptions = Subscriptions::default();
            (0..count).for_each(|topic| subscriptions.push(subscription(topic)));
            let mut topics: Vec<_> = (0..count).collect();
            for gone in 0..count {
                subscriptions.rotate();
                if !topics.is_empty() {
                    topics.rotate_left(1);
                }
                let left: Vec<_> = subscriptions.as_slice().iter().map(|known| known.topic).collect();
                assert_eq!(left, topics);
                assert!(subscriptions.contains(subscription(gone)));
                subscriptions.remove(subscription(gone));
                topics.retain(|topic| *topic != gone);
            }
            assert_eq!(subscriptions.as_slice(), []);
        }
    }
}
