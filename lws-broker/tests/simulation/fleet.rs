//! A thousand processes at one broker of a stated capacity. What the model of `docs/scale.md` says of their queues is compared with what
//! happens: steady traffic, a restart of the broker under which all come back, and publications that wait meanwhile.

use crate::session::SimProtocol;
use crate::world::Mode;
use lws_broker::{Broker, Bytes, Event, Options, Remote, Time, Topic, TransportRequest};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The clock moves by this, and octets are as long on their way.
const STEP: Duration = Duration::from_millis(50);
const STEPS_PER_SECOND: usize = 20;

/// How large all is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) processes: usize,
    pub(crate) topics: usize,
    /// Topics that each process subscribes to.
    pub(crate) subscribed: usize,
    /// Messages that each process publishes in a second.
    pub(crate) published: usize,
    /// Commands and deliveries that the broker gets done in a second.
    pub(crate) capacity: usize,
    /// How long the broker is away.
    pub(crate) outage: Duration,
}

/// The model: what a broker and its processes have to do, from their size alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Model(pub(crate) Size);

impl Model {
    /// Processes that a message goes to.
    pub(crate) fn fan_out(self) -> f64 {
        (self.0.processes * self.0.subscribed) as f64 / self.0.topics as f64
    }

    /// Of the broker's capacity, what steady traffic takes: each publication, and each of its deliveries.
    pub(crate) fn load(self) -> f64 {
        let published = (self.0.processes * self.0.published) as f64;
        published * (1.0 + self.fan_out()) / self.0.capacity as f64
    }

    /// The last process comes back so long after the broker: the longest of their delays, whose bounds double, so that some have come to
    /// four times the outage; and then all topics and what has waited, for which there is what steady traffic leaves of the capacity.
    pub(crate) fn recovery(self) -> Duration {
        let topics = (self.0.processes * self.0.subscribed) as f64;
        let waited = self.waiting() as f64 * self.0.processes as f64 * (1.0 + self.fan_out());
        let work = (topics + waited) / (self.0.capacity as f64 * (1.0 - self.load()));
        self.delay() + Duration::from_secs_f64(work)
    }

    fn delay(self) -> Duration {
        let options = Options::default();
        options.retry_max.min(self.0.outage * 4 + options.retry_min * 2)
    }

    /// Publications that wait in each process when the broker comes back: those of the outage, and no more than the limit.
    pub(crate) fn waiting(self) -> usize {
        let of_outage = (self.0.published as f64 * self.0.outage.as_secs_f64()) as usize;
        of_outage.min(Options::default().limits.publish_messages_max)
    }

    /// Processes that come back in a second, at most: four times of what there would be if they came evenly within their delays, as many delays are short.
    pub(crate) fn connects(self) -> usize {
        let even = self.0.processes as f64 / self.delay().as_secs_f64();
        self.0.processes.min((4.0 * even) as usize)
    }

    /// Commands that wait at the broker, at most: a batch of each process, as the next one follows the confirmation of the one before, and
    /// what was published meanwhile.
    pub(crate) fn queue(self) -> usize {
        let batch = Options::default().batch_topics_max.min(self.0.subscribed);
        self.0.processes * (batch + self.waiting() + 4)
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    /// Commands that waited at the broker, at most: beside steady traffic, and behind its return.
    pub(crate) queue_steady: usize,
    pub(crate) queue: usize,
    /// Attempts to connect in the second that had the most, behind the return of the broker.
    pub(crate) connects: usize,
    /// Until all processes had all topics again.
    pub(crate) recovery: Duration,
    pub(crate) delivered: u64,
    /// Publications that a process did not accept.
    pub(crate) refused: u64,
    /// Gaps that were reported to subscribers.
    pub(crate) gaps: u64,
}

/// A broker that does so much in a step, in the order in which it came.
#[derive(Default)]
struct CappedBroker {
    links: BTreeMap<usize, Link>,
    subscribers: BTreeMap<String, Vec<usize>>,
    commands: VecDeque<(usize, u64, String)>,
    /// What was done ahead of its time: a message goes to all subscribers at once.
    debt: usize,
    generations: u64,
}

struct Link {
    generation: u64,
    line: Vec<u8>,
    to_client: Vec<u8>,
}

impl CappedBroker {
    fn open(&mut self, process: usize) {
        self.generations += 1;
        let link = Link { generation: self.generations, line: Vec::new(), to_client: Vec::new() };
        self.links.insert(process, link);
    }

    fn take(&mut self, process: usize, octets: &[u8]) {
        let Some(link) = self.links.get_mut(&process) else { return };
        link.line.extend_from_slice(octets);
        let Some(end) = link.line.iter().rposition(|octet| *octet == b'\n') else { return };
        let lines: Vec<u8> = link.line.drain(..=end).collect();
        for line in String::from_utf8_lossy(&lines).lines() {
            self.commands.push_back((process, link.generation, line.to_owned()));
        }
    }

    fn work(&mut self, capacity: usize) {
        let mut left = capacity.saturating_sub(self.debt);
        self.debt = self.debt.saturating_sub(capacity);
        while left > 0 {
            let Some((process, generation, line)) = self.commands.pop_front() else { return };
            // What a connection that has ended had asked for is dropped.
            let is_open = self.links.get(&process).is_some_and(|link| link.generation == generation);
            let done = if is_open { self.command(process, &line) } else { 1 };
            self.debt += done.saturating_sub(left);
            left = left.saturating_sub(done);
        }
    }

    fn answer(&mut self, process: usize, line: &str) {
        if let Some(link) = self.links.get_mut(&process) {
            link.to_client.extend_from_slice(line.as_bytes());
            link.to_client.push(b'\n');
        }
    }

    /// Does what a line asks for, and returns how much that was.
    fn command(&mut self, process: usize, line: &str) -> usize {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["HELLO"] => self.answer(process, "READY"),
            ["PING"] => self.answer(process, "PONG"),
            ["SUB", topic] => {
                self.subscribers.entry(topic.to_owned()).or_default().push(process);
                self.answer(process, &format!("SUBSCRIBED {topic}"));
            }
            ["PUB", topic, payload] => {
                let subscribers = self.subscribers.get(topic).cloned().unwrap_or_default();
                let message = format!("MESSAGE {topic} 0 0 0 {payload}");
                subscribers.iter().for_each(|of| self.answer(*of, &message));
                return 1 + subscribers.len();
            }
            _ => panic!("{line}"),
        }
        1
    }

    fn crash(&mut self) {
        *self = Self { generations: self.generations, ..Self::default() };
    }

    fn subscriptions(&self) -> usize {
        self.subscribers.values().map(Vec::len).sum()
    }
}

pub(crate) struct Fleet {
    size: Size,
    now: Time,
    broker: CappedBroker,
    away: bool,
    processes: Vec<(Remote, bool)>,
    topics: Vec<Topic>,
    connects: usize,
    seen: Seen,
}

impl Fleet {
    pub(crate) fn new(size: Size) -> Self {
        let mode = Mode { history: false, echo: true, linked: false };
        let remote =
            |seed| Remote::new(Time::ZERO, Options::default(), Box::new(SimProtocol(mode)), 1 + seed as u64);
        let topics = (0..size.topics).map(|topic| Topic::new(&format!("t/{topic}")).expect("a name"));
        let mut fleet = Self {
            size,
            now: Time::ZERO,
            broker: CappedBroker::default(),
            away: false,
            processes: (0..size.processes).map(|seed| (remote(seed), false)).collect(),
            topics: topics.collect(),
            connects: 0,
            seen: Seen::default(),
        };
        for (index, (remote, _)) in fleet.processes.iter_mut().enumerate() {
            for place in 0..size.subscribed {
                remote.subscribe(Time::ZERO, &fleet.topics[(index + place * 97) % size.topics]);
            }
        }
        fleet
    }

    /// Traffic, an outage, and the return.
    pub(crate) fn run(mut self) -> Seen {
        self.until_all_are_subscribed();
        for _ in 0..3 * STEPS_PER_SECOND {
            self.step();
            self.seen.queue_steady = self.seen.queue_steady.max(self.broker.commands.len());
        }
        let steady = self.seen.queue_steady;
        self.broker.crash();
        self.away = true;
        let back = self.now + self.size.outage;
        while self.now < back {
            self.step();
        }
        self.away = false;
        (self.seen.queue, self.seen.connects, self.connects) = (0, 0, 0);
        let recovered = self.until_all_are_subscribed();
        self.seen.recovery = recovered - back;
        // What has waited is worked off, and traffic is steady again.
        for _ in 0..5 * STEPS_PER_SECOND {
            self.step();
        }
        assert!(
            self.broker.commands.len() <= 2 * steady.max(self.size.processes),
            "the queue is short again"
        );
        self.seen
    }

    fn until_all_are_subscribed(&mut self) -> Time {
        let wanted = self.size.processes * self.size.subscribed;
        let give_up = self.now + Duration::from_secs(300);
        while self.broker.subscriptions() < wanted || !self.processes.iter().all(|(remote, _)| remote.is_up())
        {
            self.step();
            assert!(self.now < give_up, "{} of {wanted} after five minutes", self.broker.subscriptions());
        }
        self.now
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        let step = (self.now.as_micros() / STEP.as_micros() as u64) as usize;
        if step.is_multiple_of(STEPS_PER_SECOND) {
            self.seen.connects = self.seen.connects.max(std::mem::take(&mut self.connects));
        }
        for index in 0..self.processes.len() {
            self.publish(index, step);
            self.carry(index);
        }
        self.seen.queue = self.seen.queue.max(self.broker.commands.len());
        self.broker.work(self.size.capacity / STEPS_PER_SECOND);
    }

    /// Each process publishes evenly, and no two in step.
    fn publish(&mut self, index: usize, step: usize) {
        let at = |step: usize| (step + index) * self.size.published / STEPS_PER_SECOND;
        for _ in at(step)..at(step + 1) {
            let topic = &self.topics[(index * 31 + step) % self.size.topics];
            let (remote, _) = &mut self.processes[index];
            if remote.publish(self.now, topic, Bytes::from_static(b"1")).is_err() {
                self.seen.refused += 1;
            }
        }
    }

    fn carry(&mut self, index: usize) {
        let (remote, connecting) = &mut self.processes[index];
        if std::mem::take(connecting) {
            self.connects += 1;
            if self.away {
                remote.connect_failed(self.now, "refused");
            } else {
                self.broker.open(index);
                remote.connected(self.now);
            }
        }
        match self.broker.links.get_mut(&index) {
            Some(link) => remote.receive(self.now, &std::mem::take(&mut link.to_client)),
            None => remote.closed(self.now, ""),
        }
        if remote.next_timeout().is_some_and(|at| at <= self.now) {
            remote.handle_timeout(self.now);
        }
        while !remote.transmit().is_empty() {
            let octets = remote.transmit().to_vec();
            remote.transmitted(self.now, octets.len());
            self.broker.take(index, &octets);
        }
        while let Some(request) = remote.poll_transport() {
            match request {
                TransportRequest::Connect(_) => *connecting = true,
                TransportRequest::Close => drop(self.broker.links.remove(&index)),
                other => panic!("{other:?}"),
            }
        }
        while let Some(event) = remote.poll() {
            match event {
                Event::Message { .. } => self.seen.delivered += 1,
                Event::Gap { .. } => self.seen.gaps += 1,
                _ => {}
            }
        }
    }
}
