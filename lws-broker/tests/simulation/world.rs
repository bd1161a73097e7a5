//! Everything of one run: time, chance, processes, links.

use crate::clients::{Clients, Numbered};
use crate::server::{Pipe, Server};
use crate::session::SimProtocol;
use lws_broker::oracle::{Oracle, Wrong};
use lws_broker::{Broker, Bytes, Event, Limits, Options, Position, Remote, Time, Topic, TransportRequest};
use std::collections::BTreeMap;
use std::time::Duration;
use test_kit::Chance;

/// What the broker of a run offers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mode {
    pub(crate) history: bool,
    pub(crate) echo: bool,
    /// Topics share a stream, so that the offsets of each have holes.
    pub(crate) linked: bool,
}

struct Process {
    remote: Remote,
    connecting: bool,
    stalled_until: Time,
    /// What the one subscriber of a topic has received in this process.
    subscribers: BTreeMap<Topic, Subscriber>,
    clients: Clients,
    published: u64,
}

#[derive(Default)]
struct Subscriber {
    oracle: Oracle,
    confirmed: bool,
    last_own: u64,
}

pub(crate) struct World {
    mode: Mode,
    chance: Chance,
    now: Time,
    server: Server,
    processes: Vec<Process>,
    topics: Vec<Topic>,
    pub(crate) lose_streams: bool,
    pub(crate) clients_come_back: bool,
    ended: Vec<Oracle>,
}

/// A message with the number that the broker has given it.
fn numbered(position: Position, payload: &[u8]) -> Numbered {
    let text = String::from_utf8_lossy(payload);
    let number = text.split('#').nth(1).and_then(|number| number.parse().ok()).expect("a number");
    Numbered { position, number }
}

const STEP: Duration = Duration::from_millis(10);
const STORM_STEPS: u64 = 3_000;
const CALM_STEPS: u64 = 6_000;

impl World {
    pub(crate) fn new(mode: Mode, seed: u64) -> Self {
        let mut chance = Chance::of_seed(seed);
        let limits = Limits {
            publish_messages_max: 1 + chance.below(20) as usize,
            recovery_messages_max: 1 + chance.below(20) as usize,
            recovery_bytes_max: 50 + chance.below(2_000) as usize,
            ..Limits::default()
        };
        let options = Options {
            linger: Duration::from_millis(chance.below(3_000)),
            batch_topics_max: 1 + chance.below(4) as usize,
            retry_max: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(3),
            position_check: Some(Duration::from_secs(2)),
            limits,
            ..Options::default()
        };
        let process = |seed| Process {
            remote: Remote::new(Time::ZERO, options.clone(), Box::new(SimProtocol(mode)), seed),
            connecting: false,
            stalled_until: Time::ZERO,
            subscribers: BTreeMap::new(),
            clients: Clients::new(1 + seed as usize % 30, mode.linked),
            published: 0,
        };
        let topics = ["a", "b/1", "b/2", "c"].map(|name| Topic::new(name).expect("a name"));
        Self {
            mode,
            now: Time::ZERO,
            server: Server::new(mode),
            processes: (0..3).map(process).collect(),
            topics: topics.into(),
            lose_streams: true,
            clients_come_back: false,
            ended: Vec::new(),
            chance,
        }
    }

    pub(crate) fn run(&mut self) -> Result<(), Wrong> {
        for _ in 0..STORM_STEPS {
            self.act()?;
            self.fault();
            self.step()?;
        }
        self.processes.iter_mut().for_each(|process| process.stalled_until = self.now);
        if self.mode.history {
            self.lose_the_last();
        }
        for _ in 0..CALM_STEPS {
            self.step()?;
        }
        self.judge()
    }

    /// The last messages of all topics are lost without a word, and no other comes that would show it.
    fn lose_the_last(&mut self) {
        for topic in &self.topics {
            (0..2).for_each(|_| self.server.publish(7, topic.as_str(), "last"));
            (0..self.processes.len() as u64)
                .for_each(|process| self.server.lose(process, topic.as_str(), true));
        }
    }

    /// In the end everything is there, and what was lost has been reported.
    fn judge(&self) -> Result<(), Wrong> {
        for (index, process) in (0..).zip(&self.processes) {
            assert!(process.remote.is_up(), "process {index} has come back");
            process.clients.judge();
            for (topic, subscriber) in &process.subscribers {
                assert!(subscriber.confirmed, "process {index} has subscribed to {topic}");
                subscriber.oracle.end(&self.server.published(topic.as_str(), index))?;
            }
        }
        Ok(())
    }

    pub(crate) fn messages(&self) -> u64 {
        self.oracles().map(Oracle::messages).sum()
    }

    pub(crate) fn gaps(&self) -> u64 {
        self.oracles().map(Oracle::gaps).sum()
    }

    /// Messages that clients had missed, and got when they came back.
    pub(crate) fn recovered(&self) -> u64 {
        self.processes.iter().map(|process| process.clients.recovered).sum()
    }

    /// Histories that were read for them.
    pub(crate) fn reads(&self) -> u64 {
        self.processes.iter().map(|process| process.clients.reads).sum()
    }

    pub(crate) fn seconds(&self) -> u64 {
        self.now.as_micros() / 1_000_000
    }

    fn oracles(&self) -> impl Iterator<Item = &Oracle> {
        let open = self.processes.iter().flat_map(|process| process.subscribers.values());
        open.map(|subscriber| &subscriber.oracle).chain(&self.ended)
    }

    /// What the program does.
    fn act(&mut self) -> Result<(), Wrong> {
        let now = self.now;
        for index in 0..self.processes.len() {
            let topic = self.topics[self.chance.below(self.topics.len() as u64) as usize].clone();
            let process = &mut self.processes[index];
            if self.chance.one_in(12) {
                process.published += 1;
                let payload = process.published.to_string();
                // What is not accepted was not published.
                let _ = process.remote.publish(now, &topic, Bytes::from(payload));
                self.drain(index)?;
            }
            if self.chance.one_in(60) {
                let process = &mut self.processes[index];
                if let Some(subscriber) = process.subscribers.remove(&topic) {
                    process.remote.unsubscribe(now, &topic);
                    process.clients.forget(&topic);
                    self.ended.push(subscriber.oracle);
                } else {
                    process.subscribers.insert(topic.clone(), Subscriber::default());
                    process.remote.subscribe(now, &topic);
                }
                self.drain(index)?;
            }
            let process = &mut self.processes[index];
            if self.clients_come_back && process.subscribers.contains_key(&topic) && self.chance.one_in(10) {
                process.clients.act(now, &topic, &mut process.remote);
                self.drain(index)?;
            }
        }
        Ok(())
    }

    fn drain(&mut self, index: usize) -> Result<(), Wrong> {
        while let Some(event) = self.processes[index].remote.poll() {
            self.on_event(index, event)?;
        }
        Ok(())
    }

    /// What goes wrong.
    fn fault(&mut self) {
        let process = self.chance.below(self.processes.len() as u64);
        let topic = self.topics[self.chance.below(self.topics.len() as u64) as usize].clone();
        if self.chance.one_in(300) {
            self.server.pipes.remove(&process);
        }
        if self.chance.one_in(1_500) {
            let lose_streams = self.lose_streams && self.chance.one_in(2);
            self.server.crash(lose_streams);
        }
        if self.chance.one_in(400) {
            let stall = Duration::from_millis(self.chance.below(6_000));
            self.processes[process as usize].stalled_until = self.now + stall;
        }
        if self.chance.one_in(500) {
            self.server.end_subscription(process, topic.as_str());
        }
        if self.chance.one_in(200) {
            // With history also without a word of the broker.
            let silently = self.mode.history && self.chance.one_in(2);
            self.server.lose(process, topic.as_str(), silently);
        }
    }

    fn step(&mut self) -> Result<(), Wrong> {
        self.now = self.now + STEP;
        for index in 0..self.processes.len() {
            self.transport(index);
            self.carry(index);
            let process = &mut self.processes[index];
            if process.remote.next_timeout().is_some_and(|at| at <= self.now) {
                process.remote.handle_timeout(self.now);
            }
            self.drain(index)?;
            self.transport(index);
        }
        Ok(())
    }

    fn transport(&mut self, index: usize) {
        let (process, id) = (&mut self.processes[index], index as u64);
        while let Some(request) = process.remote.poll_transport() {
            match request {
                TransportRequest::Connect(_) => process.connecting = true,
                TransportRequest::Close => {
                    process.connecting = false;
                    self.server.pipes.remove(&id);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Moves octets in pieces of any length.
    fn carry(&mut self, index: usize) {
        let (process, id, now) = (&mut self.processes[index], index as u64, self.now);
        if process.stalled_until > now || self.chance.one_in(3) {
            return;
        }
        if process.connecting {
            process.connecting = false;
            if self.chance.one_in(4) {
                process.remote.connect_failed(now, "refused");
            } else {
                self.server.pipes.insert(id, Pipe::default());
                process.remote.connected(now);
            }
        }
        let Some(pipe) = self.server.pipes.get_mut(&id) else {
            process.remote.closed(now, "");
            return;
        };
        let taken = (self.chance.below(400) as usize).min(process.remote.transmit().len());
        pipe.to_server.extend_from_slice(&process.remote.transmit()[..taken]);
        process.remote.transmitted(now, taken);
        let given = (self.chance.below(600) as usize).min(pipe.to_client.len());
        let octets: Vec<u8> = pipe.to_client.drain(..given).collect();
        process.remote.receive(now, &octets);
        let arrived: Vec<u8> = std::mem::take(&mut pipe.to_server);
        self.server.serve(id, &arrived);
    }

    fn on_event(&mut self, index: usize, event: Event) -> Result<(), Wrong> {
        let process = &mut self.processes[index];
        match event {
            Event::Message { topic, payload, position } => {
                if let Some(position) = position {
                    process.clients.message(&topic, numbered(position, &payload));
                }
                let Some(subscriber) = process.subscribers.get_mut(&topic) else {
                    panic!("process {index} has no subscriber of {topic}");
                };
                let text = String::from_utf8_lossy(&payload);
                let mut parts = text.split('#').map(|part| part.parse::<u64>().unwrap_or(0));
                match (parts.next(), parts.next()) {
                    (Some(publisher), Some(number)) => subscriber.oracle.message(publisher, number)?,
                    // Its own, of a broker that does not send it back.
                    (Some(own), None) => {
                        assert!(own > subscriber.last_own);
                        subscriber.last_own = own;
                    }
                    _ => {}
                }
            }
            Event::Subscribed { topic } => {
                if let Some(subscriber) = process.subscribers.get_mut(&topic) {
                    // Messages of the broker may be on their way here: the first one that comes is the beginning.
                    subscriber.oracle.subscribed(&[]);
                    subscriber.confirmed = true;
                }
            }
            Event::History { topic, newest, entries, whole_after } => {
                let epoch = newest.map_or(0, |newest| newest.epoch);
                let entry =
                    |(offset, payload): &(u64, Bytes)| numbered(Position { epoch, offset: *offset }, payload);
                let entries: Vec<_> = entries.iter().map(entry).collect();
                process.clients.history(&topic, newest, whole_after, &entries);
            }
            Event::Gap { topic } => {
                process.clients.gap(&topic);
                let subscriber = process.subscribers.get_mut(&topic);
                subscriber.into_iter().for_each(|subscriber| subscriber.oracle.gap());
            }
            Event::Up | Event::Down { .. } => {}
            other => panic!("{other:?}"),
        }
        Ok(())
    }
}
