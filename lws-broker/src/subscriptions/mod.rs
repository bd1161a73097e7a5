//! The subscriptions of a process at its broker: one per topic, whatever the protocol.
//!
//! Decides what to subscribe to and when, which messages are delivered, and where a gap is. Knows no connection and no session:
//! what it wants of them it puts into an [`Outbox`].

mod place;
mod recovery;
#[cfg(test)]
mod tests;

use crate::options::{Limits, Options};
use crate::session::History;
use crate::{Bytes, Cause, Event, Position, Time, Topic};
pub(crate) use place::Place;
use recovery::Recovery;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// After this time at the earliest, whether a topic whose linger is over was confirmed is looked at again.
const LINGER_RETRY: Duration = Duration::from_millis(100);

/// What becomes of calls: events for the application, and histories to ask the broker for.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) events: VecDeque<Event>,
    pub(crate) recoveries: Vec<(Topic, Option<Position>)>,
}

/// The subscriptions of a process.
pub(crate) struct Subscriptions {
    topics: HashMap<Topic, Upstream>,
    /// Topics in [`Phase::Queued`], by their number: first come, first served.
    queued: BTreeMap<u64, Topic>,
    /// Topics without subscribers, by the end of their linger.
    lingering: BTreeMap<(Time, u64), Topic>,
    next_number: u64,
    /// Topics in [`Phase::Asked`] or [`Phase::Recovering`].
    pending: usize,
    /// Octets of the messages that wait for history.
    held_bytes: usize,
    /// Topics whose positions are still to be compared in this sweep.
    unchecked: Vec<Topic>,
    linger: Duration,
    limits: Limits,
}

/// The subscription of one topic.
struct Upstream {
    phase: Phase,
    /// Its key in `lingering`. `None` while there are subscribers.
    lingers: Option<(Time, u64)>,
    /// That of the last message that was delivered, or after which the subscription began.
    position: Option<Position>,
    /// A message may have been missed since then.
    missed: bool,
    /// A message has come, or the position was compared, since the last sweep.
    is_fresh: bool,
    /// Whether its history is read for the application.
    reads: HistoryRead,
}

/// How far the reading of a topic's history is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HistoryRead {
    Unwanted,
    /// With the next question.
    Wanted,
    /// The question that is on its way is for earlier messages, too.
    Asked,
}

/// How far a subscription is.
enum Phase {
    /// To be asked for, with this number in the queue.
    Queued(u64),
    /// Asked for, and not confirmed. What comes is of an earlier subscription.
    Asked,
    /// Confirmed; messages wait until history has filled in what is before them.
    Recovering(Box<Recovery>),
    /// Messages are delivered.
    Live,
}

impl Subscriptions {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            topics: HashMap::new(),
            queued: BTreeMap::new(),
            lingering: BTreeMap::new(),
            next_number: 0,
            pending: 0,
            held_bytes: 0,
            unchecked: Vec::new(),
            linger: options.linger,
            limits: options.limits.clone(),
        }
    }

    /// All topics, in an order that is the same in every run.
    fn sorted(&self) -> Vec<Topic> {
        let mut topics: Vec<_> = self.topics.keys().cloned().collect();
        topics.sort_unstable();
        topics
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    /// Whether messages to a topic are delivered: it is wanted, and the broker has confirmed it on this connection.
    pub(crate) fn is_delivered(&self, topic: &Topic) -> bool {
        let delivers = |it: &Upstream| it.is_wanted() && matches!(it.phase, Phase::Live);
        self.topics.get(topic).is_some_and(delivers)
    }

    /// The first subscriber of a topic is there.
    pub(crate) fn subscribe(&mut self, topic: &Topic, out: &mut Outbox) {
        if let Some(upstream) = self.topics.get_mut(topic) {
            let Some(key) = upstream.lingers.take() else { return };
            self.lingering.remove(&key);
            // It subscribes now: what was before is no loss of its.
            upstream.missed = false;
            match &mut upstream.phase {
                Phase::Live => out.events.push_back(Event::Subscribed { topic: topic.clone() }),
                // It is confirmed with the history, as after a subscription.
                Phase::Recovering(recovery) => recovery.begins_again(),
                Phase::Queued(_) | Phase::Asked => {}
            }
            return;
        }
        if self.topics.len() >= self.limits.topics_max {
            let cause = Cause::Limit("topics_max");
            out.events.push_back(Event::Refused { topic: topic.clone(), receipt: None, cause });
            return;
        }
        let number = self.number();
        self.queued.insert(number, topic.clone());
        let upstream = Upstream {
            phase: Phase::Queued(number),
            lingers: None,
            position: None,
            missed: false,
            is_fresh: true,
            reads: HistoryRead::Unwanted,
        };
        self.topics.insert(topic.clone(), upstream);
    }

    /// The last subscriber of a topic has gone.
    pub(crate) fn unsubscribe(&mut self, now: Time, topic: &Topic) {
        let key = (now + self.linger, self.number());
        if let Some(upstream) = self.topics.get_mut(topic).filter(|upstream| upstream.is_wanted()) {
            upstream.lingers = Some(key);
            upstream.reads = HistoryRead::Unwanted;
            self.lingering.insert(key, topic.clone());
        }
    }

    /// When the next linger ends.
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        self.lingering.first_key_value().map(|((at, _), _)| *at)
    }

    /// Ends lingers that are over, and returns up to `max` topics whose subscriptions are to be ended at the broker.
    pub(crate) fn expire(&mut self, now: Time, max: usize) -> Vec<Topic> {
        let mut ended = Vec::new();
        while ended.len() < max
            && let Some(entry) = self.lingering.first_entry()
            && entry.key().0 <= now
        {
            let topic = entry.remove();
            let again = (now + self.linger.max(LINGER_RETRY), self.number());
            let Some(upstream) = self.topics.get_mut(&topic) else { continue };
            match upstream.phase {
                Phase::Live => {
                    self.topics.remove(&topic);
                    ended.push(topic);
                }
                Phase::Queued(number) => {
                    self.queued.remove(&number);
                    self.topics.remove(&topic);
                }
                // Its confirmation could be taken for that of a later subscription: it ends when it is confirmed.
                Phase::Asked | Phase::Recovering(_) => {
                    upstream.lingers = Some(again);
                    self.lingering.insert(again, topic);
                }
            }
        }
        ended
    }

    /// The next topics to subscribe to, at most `max`. None while some of those before are pending: so the broker sets the pace, and a
    /// replay of many leaves room for messages between.
    pub(crate) fn next_batch(&mut self, max: usize) -> Vec<Topic> {
        let mut batch = Vec::new();
        while self.pending == 0
            && batch.len() < max
            && let Some((_, topic)) = self.queued.pop_first()
        {
            let Some(upstream) = self.topics.get_mut(&topic) else { continue };
            match upstream.lingers {
                None => {
                    upstream.phase = Phase::Asked;
                    batch.push(topic);
                }
                Some(key) => {
                    self.lingering.remove(&key);
                    self.topics.remove(&topic);
                }
            }
        }
        self.pending += batch.len();
        batch
    }

    /// Whether the broker owes an answer.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending > 0
    }

    /// The broker has confirmed a subscription.
    pub(crate) fn confirmed(&mut self, topic: &Topic, history: bool, out: &mut Outbox) {
        let Some(upstream) = self.topics.get_mut(topic).filter(|it| matches!(it.phase, Phase::Asked)) else {
            return;
        };
        if history {
            upstream.phase = Phase::Recovering(Box::default());
            out.recoveries.push((topic.clone(), upstream.asks_from(&self.limits)));
            return;
        }
        self.pending -= 1;
        upstream.phase = Phase::Live;
        upstream.position = None;
        upstream.begin(topic, out);
        if upstream.reads != HistoryRead::Unwanted {
            upstream.report_history(topic, None, (Vec::new(), 0), out);
        }
    }

    /// Reads the history of a topic for the application. Answers whether somebody is subscribed to it.
    pub(crate) fn read_history(&mut self, topic: &Topic, out: &mut Outbox) -> bool {
        let Some(upstream) = self.topics.get_mut(topic).filter(|upstream| upstream.is_wanted()) else {
            return false;
        };
        if upstream.reads == HistoryRead::Unwanted {
            upstream.reads = HistoryRead::Wanted;
            if matches!(upstream.phase, Phase::Live) {
                self.fetch(topic, out);
            }
        }
        true
    }

    /// The broker does not accept a subscription.
    pub(crate) fn refused(&mut self, topic: &Topic, cause: Cause, out: &mut Outbox) {
        let Some(upstream) = self.topics.remove(topic) else { return };
        self.release(&upstream.phase);
        match upstream.lingers {
            Some(key) => drop(self.lingering.remove(&key)),
            None => out.events.push_back(Event::Refused { topic: topic.clone(), receipt: None, cause }),
        }
    }

    /// A topic was removed: it waits for nothing any more.
    fn release(&mut self, phase: &Phase) {
        match phase {
            Phase::Queued(number) => drop(self.queued.remove(number)),
            Phase::Asked => self.pending -= 1,
            Phase::Recovering(recovery) => {
                self.pending -= 1;
                self.held_bytes -= recovery.bytes();
            }
            Phase::Live => {}
        }
    }

    /// The broker has ended a subscription by itself.
    pub(crate) fn ended_by_broker(&mut self, topic: &Topic) {
        if self.topics.get(topic).is_some_and(|upstream| !matches!(upstream.phase, Phase::Queued(_))) {
            self.queue_again(topic);
        }
    }

    /// The connection has ended, and all subscriptions with it.
    pub(crate) fn connection_lost(&mut self) {
        for topic in self.sorted() {
            match self.topics.get(&topic).map(|upstream| upstream.lingers) {
                Some(Some(key)) => {
                    self.lingering.remove(&key);
                    if let Some(upstream) = self.topics.remove(&topic) {
                        self.release(&upstream.phase);
                    }
                }
                Some(None) => self.queue_again(&topic),
                None => {}
            }
        }
        debug_assert_eq!((self.pending, self.held_bytes), (0, 0), "what waited belonged to topics");
        self.unchecked.clear();
    }

    fn queue_again(&mut self, topic: &Topic) {
        let number = self.number();
        let Some(upstream) = self.topics.get_mut(topic) else { return };
        if upstream.reads == HistoryRead::Asked {
            upstream.reads = HistoryRead::Wanted;
        }
        match std::mem::replace(&mut upstream.phase, Phase::Queued(number)) {
            Phase::Queued(before) => {
                upstream.phase = Phase::Queued(before);
                return;
            }
            // It was not confirmed yet: nothing that it could have missed.
            Phase::Asked => self.pending -= 1,
            Phase::Recovering(recovery) => {
                self.pending -= 1;
                self.held_bytes -= recovery.bytes();
                upstream.missed = true;
            }
            Phase::Live => upstream.missed = true,
        }
        self.queued.insert(number, topic.clone());
    }

    /// The broker may have left out messages to one topic, or to all.
    pub(crate) fn lost(&mut self, topic: Option<&Topic>, history: bool, out: &mut Outbox) {
        let concerned: Vec<_> = match topic {
            Some(topic) => vec![topic.clone()],
            None => self.sorted(),
        };
        for topic in concerned {
            let Some(upstream) = self.topics.get_mut(&topic) else { continue };
            match upstream.phase {
                Phase::Live if history => self.recover(&topic, out),
                Phase::Live => upstream.gap(&topic, out),
                Phase::Recovering(ref mut recovery) => {
                    self.held_bytes -= recovery.bytes();
                    recovery.overflow();
                }
                Phase::Queued(_) | Phase::Asked => {}
            }
        }
    }

    /// Compares the positions of up to `max` topics that were quiet since the last sweep, and answers whether others are left in this one.
    pub(crate) fn check_positions(&mut self, max: usize, out: &mut Outbox) -> bool {
        if self.unchecked.is_empty() {
            self.unchecked = self.sorted();
        }
        let from = self.unchecked.len().saturating_sub(max);
        for topic in self.unchecked.split_off(from) {
            let Some(upstream) = self.topics.get_mut(&topic) else { continue };
            let was_fresh = std::mem::replace(&mut upstream.is_fresh, false);
            let is_live = matches!(upstream.phase, Phase::Live) && upstream.is_wanted();
            if is_live && !was_fresh && upstream.position.is_some() {
                self.fetch(&topic, out);
            }
        }
        !self.unchecked.is_empty()
    }

    /// Fills a hole.
    fn recover(&mut self, topic: &Topic, out: &mut Outbox) {
        if let Some(upstream) = self.topics.get_mut(topic) {
            upstream.missed = true;
            self.fetch(topic, out);
        }
    }

    /// Asks for what comes behind the last message.
    fn fetch(&mut self, topic: &Topic, out: &mut Outbox) {
        let Some(upstream) = self.topics.get_mut(topic) else { return };
        upstream.phase = Phase::Recovering(Box::new(Recovery::continued()));
        self.pending += 1;
        out.recoveries.push((topic.clone(), upstream.asks_from(&self.limits)));
    }

    /// A message has come.
    pub(crate) fn message(&mut self, topic: &Topic, payload: Bytes, place: Option<Place>, out: &mut Outbox) {
        let Some(upstream) = self.topics.get_mut(topic) else { return };
        match &mut upstream.phase {
            Phase::Queued(_) | Phase::Asked => {}
            Phase::Recovering(_) => self.hold(topic, payload, place),
            Phase::Live => match (place, upstream.position) {
                // "drop <= last", and a message that is not the next one shows that some before it were lost.
                (Some(new), Some(last)) if new.is_known(last) => {}
                (Some(new), Some(last)) if new.position.epoch == last.epoch && !new.follows(last) => {
                    self.recover(topic, out);
                    self.hold(topic, payload, place);
                }
                _ => upstream.deliver(topic, payload, place, out),
            },
        }
    }

    /// Keeps a message until history is there.
    fn hold(&mut self, topic: &Topic, payload: Bytes, place: Option<Place>) {
        let Some(Upstream { phase: Phase::Recovering(recovery), .. }) = self.topics.get_mut(topic) else {
            return;
        };
        let before = recovery.bytes();
        let bytes_left = self.limits.recovery_bytes_max - (self.held_bytes - before);
        recovery.hold(payload, place, self.limits.recovery_messages_max, bytes_left);
        self.held_bytes = self.held_bytes - before + recovery.bytes();
        debug_assert!(self.held_bytes <= self.limits.recovery_bytes_max);
    }

    /// The history of a topic is there.
    pub(crate) fn history(&mut self, history: History, out: &mut Outbox) {
        let topic = &history.topic;
        let Some(upstream) = self.topics.get_mut(topic) else { return };
        if !matches!(upstream.phase, Phase::Recovering(_)) {
            return;
        }
        let Phase::Recovering(recovery) = std::mem::replace(&mut upstream.phase, Phase::Live) else { return };
        self.pending -= 1;
        self.held_bytes -= recovery.bytes();
        let first_time = upstream.position.is_none() && !upstream.missed;
        let before = upstream.position;
        if !recovery.has_overflowed() && (first_time || recovery::is_complete(upstream.position, &history)) {
            upstream.missed = false;
        } else {
            // Positions begin again, the epoch and the offset together.
            (upstream.missed, upstream.position) = (true, None);
        }
        if recovery.continues() {
            upstream.report_missed(topic, out);
        } else {
            upstream.begin(topic, out);
        }
        if let (Some(from), Some(newest)) = (upstream.position, history.newest) {
            for (offset, payload) in history.entries.iter().filter(|(offset, _)| *offset > from.offset) {
                // The history is whole: there is none between one entry and the next.
                let position = Position { epoch: newest.epoch, offset: *offset };
                let place = Place { position, previous: from.offset };
                upstream.deliver(topic, payload.clone(), Some(place), out);
            }
        }
        let (newest_held, has_lost) = (recovery.newest(), recovery.has_overflowed());
        let reads_behind = recovery.reads_behind;
        let mut entries = history.entries;
        let mut held = recovery.into_iter();
        while let Some((place, payload)) = held.next() {
            // Brokers may send messages in another order than they have stored them. Where one that has waited is not the next one, the one
            // before it is asked for, too, as long as that leads anywhere.
            let is_behind_hole = |last: Position| {
                place.is_some_and(|new| {
                    new.position.epoch == last.epoch && !new.is_known(last) && !new.follows(last)
                })
            };
            if upstream.position.is_some_and(is_behind_hole) && upstream.position != before && !has_lost {
                if upstream.reads == HistoryRead::Asked {
                    upstream.reads = HistoryRead::Wanted;
                }
                let topic = history.topic.clone();
                self.recover(&topic, out);
                self.hold(&topic, payload, place);
                held.for_each(|(place, payload)| self.hold(&topic, payload, place));
                return;
            }
            if let Some(Place { position, .. }) = place
                && upstream.reads == HistoryRead::Asked
                && history.newest.is_some_and(|it| it.epoch == position.epoch && it.offset < position.offset)
            {
                entries.push((position.offset, payload.clone()));
            }
            upstream.deliver(topic, payload, place, out);
        }
        upstream.advance(history.newest);
        upstream.advance(newest_held);
        match upstream.reads {
            HistoryRead::Unwanted => {}
            HistoryRead::Asked => {
                // Behind all messages that it may contain, so that what follows is behind it.
                let newest = upstream.position;
                let is_of_it = newest.map(|it| it.epoch) == history.newest.map(|it| it.epoch) && !has_lost;
                let newest_offset = newest.map_or(0, |newest| newest.offset);
                let whole = if is_of_it {
                    let whole_after = recovery::whole_after(&entries, newest_offset, history.whole_after);
                    (entries, whole_after.max(reads_behind))
                } else {
                    (Vec::new(), newest_offset)
                };
                upstream.report_history(&history.topic, newest, whole, out);
            }
            HistoryRead::Wanted if upstream.position.is_some() => self.fetch(&history.topic, out),
            // The broker could not find out what is the newest.
            HistoryRead::Wanted => upstream.report_history(&history.topic, None, (Vec::new(), 0), out),
        }
    }
}

impl Upstream {
    fn is_wanted(&self) -> bool {
        self.lingers.is_none()
    }

    /// Behind which position the broker is asked for messages: earlier ones, too, if the application reads history, but no more than may
    /// come at once together with those that were missed.
    fn asks_from(&mut self, limits: &Limits) -> Option<Position> {
        let position = self.position?;
        if self.reads == HistoryRead::Unwanted {
            return Some(position);
        }
        let back = u64::try_from(limits.recovery_messages_max / 2).unwrap_or(u64::MAX);
        let behind = position.offset.saturating_sub(back);
        self.reads = HistoryRead::Asked;
        if let Phase::Recovering(recovery) = &mut self.phase {
            recovery.reads_behind = behind;
        }
        Some(Position { offset: behind, ..position })
    }

    fn report_history(
        &mut self,
        topic: &Topic,
        newest: Option<Position>,
        (entries, whole_after): (Vec<(u64, Bytes)>, u64),
        out: &mut Outbox,
    ) {
        self.reads = HistoryRead::Unwanted;
        if self.is_wanted() {
            out.events.push_back(Event::History { topic: topic.clone(), newest, entries, whole_after });
        }
    }

    fn gap(&mut self, topic: &Topic, out: &mut Outbox) {
        self.missed = false;
        if self.is_wanted() {
            out.events.push_back(Event::Gap { topic: topic.clone() });
        }
    }

    fn report_missed(&mut self, topic: &Topic, out: &mut Outbox) {
        if self.missed {
            self.gap(topic, out);
        }
    }

    /// Messages are delivered from now on; a gap before them is reported first.
    fn begin(&mut self, topic: &Topic, out: &mut Outbox) {
        self.report_missed(topic, out);
        if self.is_wanted() {
            out.events.push_back(Event::Subscribed { topic: topic.clone() });
        }
    }

    /// Delivers a message unless it was delivered before; a gap where one is before it.
    fn deliver(&mut self, topic: &Topic, payload: Bytes, place: Option<Place>, out: &mut Outbox) {
        if let (Some(new), Some(last)) = (place, self.position) {
            if new.is_known(last) {
                return;
            }
            // The stream of another epoch begins anew: what was at the end of the one before is not known.
            if !new.follows(last) {
                self.gap(topic, out);
            }
        }
        let position = place.map(|place| place.position);
        self.position = position.or(self.position);
        self.is_fresh = true;
        if self.is_wanted() {
            out.events.push_back(Event::Message { topic: topic.clone(), payload, position });
        }
    }

    /// A position is known although its message is not delivered.
    fn advance(&mut self, newest: Option<Position>) {
        let Some(newest) = newest else { return };
        match self.position {
            Some(last) if last.epoch != newest.epoch || last.offset >= newest.offset => {}
            _ => self.position = Some(newest),
        }
    }
}
