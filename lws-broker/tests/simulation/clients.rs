//! Clients of one process that leave topics and come back with the position that they have got to.
//!
//! Each checks what it gets: of one stream every message, in order and once, or it has learnt of a gap.

use lws_broker::{Asked, Broker, Position, Recent, RecentLimits, Remote, Replay, Time, Topic};
use std::collections::BTreeMap;

/// The clients of a process, one for each topic.
pub(crate) struct Clients {
    recent: Recent<(), Numbered>,
    /// Topics share a stream, so that their offsets have holes.
    linked: bool,
    clients: BTreeMap<Topic, Client>,
    /// Messages that were missed, and got all the same.
    pub(crate) recovered: u64,
    pub(crate) reads: u64,
}

/// A message as it is kept: where it is, and which one of its topic, of all that there ever were.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbered {
    pub(crate) position: Position,
    pub(crate) number: u64,
}

#[derive(Default)]
struct Client {
    place: Place,
    /// That of the last message.
    position: Option<Position>,
    /// Its number, if it was received.
    number: Option<u64>,
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
    pub(crate) fn new(messages_max: usize, linked: bool) -> Self {
        let limits = RecentLimits { messages_max, ..RecentLimits::default() };
        Self { recent: Recent::new(limits), linked, clients: BTreeMap::new(), recovered: 0, reads: 0 }
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
                            self.history(topic, None, 0, &[]);
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn message(&mut self, topic: &Topic, message: Numbered) {
        self.recent.message(topic, message, 8, Some(message.position));
        if let Some(client) = self.clients.get_mut(topic)
            && client.place == Place::There
        {
            client.receive(topic, message, self.linked);
        }
    }

    pub(crate) fn gap(&mut self, topic: &Topic) {
        self.recent.gap(topic);
        if let Some(client) = self.clients.get_mut(topic) {
            client.has_gap |= client.place == Place::There;
        }
    }

    pub(crate) fn history(
        &mut self,
        topic: &Topic,
        newest: Option<Position>,
        whole_after: u64,
        entries: &[Numbered],
    ) {
        let entries = entries.iter().map(|message| (message.position.offset, *message, 8)).collect();
        let answers = self.recent.history(topic, newest, whole_after, entries);
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

    fn answer(&mut self, topic: &Topic, replay: &Replay<Numbered>) {
        let client = self.clients.get_mut(topic).expect("it has asked");
        assert_eq!(client.place, Place::Waiting, "{topic}");
        client.place = Place::There;
        if !replay.is_complete {
            assert!(replay.messages().is_empty());
            (client.has_gap, client.position, client.number) = (true, replay.newest, None);
            return;
        }
        let is_first = client.position.is_none();
        replay.messages().iter().for_each(|message| client.receive(topic, *message, self.linked));
        self.recovered += replay.messages().len() as u64;
        if is_first {
            (client.position, client.number) = (replay.newest, None);
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
    fn receive(&mut self, topic: &Topic, message: Numbered, linked: bool) {
        let position = message.position;
        let has_gap = std::mem::take(&mut self.has_gap);
        if let Some(last) = self.position
            && !has_gap
        {
            let is_next = last.offset + 1 == position.offset || linked && last.offset < position.offset;
            let is_counted = self.number.is_none_or(|number| number + 1 == message.number);
            let follows = last.epoch == position.epoch && is_next && is_counted;
            assert!(follows, "{topic}: {message:?} after {last:?}, {:?}, without a gap", self.number);
        } else if let Some(last) = self.position {
            let is_later = last.epoch != position.epoch || last.offset < position.offset;
            assert!(is_later, "{topic}: {position:?} after {last:?}");
        }
        (self.position, self.number) = (Some(position), Some(message.number));
    }
}
