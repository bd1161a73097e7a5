//! Clients of one process that leave topics and come back with the position that they have got to.
//!
//! Each checks what it gets: of one stream every message, in order and once, or it has learnt of a gap.

use lws_broker::{Asked, Broker, Position, Recent, RecentLimits, Remote, Replay, Time, Topic};
use std::collections::BTreeMap;

/// The clients of a process, one for each topic.
pub(crate) struct Clients {
    /// A message is its position.
    recent: Recent<(), Position>,
    clients: BTreeMap<Topic, Client>,
    /// Messages that were missed, and got all the same.
    pub(crate) recovered: u64,
    pub(crate) reads: u64,
}

#[derive(Default)]
struct Client {
    place: Place,
    /// That of the last message.
    position: Option<Position>,
    /// It has learnt that messages may be missing.
    has_gap: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Away,
    /// It has come, and was not answered.
    Waiting,
    There,
}

impl Clients {
    pub(crate) fn new(messages_max: usize) -> Self {
        let limits = RecentLimits { messages_max, ..RecentLimits::default() };
        Self { recent: Recent::new(limits), clients: BTreeMap::new(), recovered: 0, reads: 0 }
    }

    /// The client of a topic leaves, or comes back.
    pub(crate) fn act(&mut self, now: Time, topic: &Topic, remote: &mut Remote) {
        let client = self.clients.entry(topic.clone()).or_default();
        match client.place {
            Place::There => client.place = Place::Away,
            Place::Waiting => {}
            Place::Away => {
                client.place = Place::Waiting;
                match self.recent.ask(topic, client.position, ()) {
                    Asked::Now((), replay) => self.answer(topic, &replay),
                    Asked::Later { read } => {
                        assert!(read, "nobody else waits");
                        self.reads += 1;
                        if !remote.read_history(now, topic) {
                            self.history(topic, None, &[]);
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn message(&mut self, topic: &Topic, position: Option<Position>) {
        let Some(position) = position else { return };
        self.recent.message(topic, position, 8, Some(position));
        if let Some(client) = self.clients.get_mut(topic)
            && client.place == Place::There
        {
            client.receive(topic, position);
        }
    }

    pub(crate) fn gap(&mut self, topic: &Topic) {
        self.recent.gap(topic);
        if let Some(client) = self.clients.get_mut(topic) {
            client.has_gap |= client.place == Place::There;
        }
    }

    pub(crate) fn history(&mut self, topic: &Topic, newest: Option<Position>, offsets: &[u64]) {
        let epoch = newest.map_or(0, |newest| newest.epoch);
        let entry = |offset: &u64| (*offset, Position { epoch, offset: *offset }, 8);
        let answers = self.recent.history(topic, newest, offsets.iter().map(entry).collect());
        answers.iter().for_each(|((), replay)| self.answer(topic, replay));
    }

    /// The process is not subscribed any more.
    pub(crate) fn forget(&mut self, topic: &Topic) {
        let answers = self.recent.forget(topic);
        answers.iter().for_each(|((), replay)| self.answer(topic, replay));
        if let Some(client) = self.clients.get_mut(topic) {
            client.place = Place::Away;
        }
    }

    fn answer(&mut self, topic: &Topic, replay: &Replay<Position>) {
        let client = self.clients.get_mut(topic).expect("it has asked");
        assert_eq!(client.place, Place::Waiting, "{topic}");
        client.place = Place::There;
        if !replay.is_complete {
            assert!(replay.messages().is_empty());
            (client.has_gap, client.position) = (true, replay.newest);
            return;
        }
        let is_first = client.position.is_none();
        replay.messages().iter().for_each(|position| client.receive(topic, *position));
        self.recovered += replay.messages().len() as u64;
        if is_first {
            client.position = replay.newest;
        }
        assert_eq!(client.position, replay.newest, "{topic}: it has everything");
    }

    /// In the end none waits.
    pub(crate) fn judge(&self) {
        for (topic, client) in &self.clients {
            assert_ne!(client.place, Place::Waiting, "{topic}");
        }
    }
}

impl Client {
    fn receive(&mut self, topic: &Topic, position: Position) {
        let has_gap = std::mem::take(&mut self.has_gap);
        if let Some(last) = self.position
            && !has_gap
        {
            let follows = last.epoch == position.epoch && last.offset + 1 == position.offset;
            assert!(follows, "{topic}: {position:?} after {last:?} without a gap");
        } else if let Some(last) = self.position {
            let is_later = last.epoch != position.epoch || last.offset < position.offset;
            assert!(is_later, "{topic}: {position:?} after {last:?}");
        }
        self.position = Some(position);
    }
}
