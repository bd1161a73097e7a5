//! Everything of one run in memory: time, chance, a folder, processes and their connections.

use crate::subscriber::Subscriber;
use lws_broker::mesh::{ConnectError, LinkId, Mesh, MeshOptions, MeshRequest, SocketName};
use lws_broker::{Broker, Bytes, Event, Limits, Time, Topic};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Numbers by a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).expect("a number") % bound
    }
}

struct Process {
    name: SocketName,
    mesh: Mesh,
    is_alive: bool,
    /// Its socket is in the folder.
    is_listed: bool,
    /// It reads nothing.
    is_stalled: bool,
    subscribers: BTreeMap<Topic, Subscriber>,
    published: BTreeMap<Topic, u64>,
}

/// One end of a connection.
struct End {
    process: usize,
    link: LinkId,
    /// Octets that have come for it.
    incoming: VecDeque<u8>,
    is_open: bool,
}

pub(crate) struct World {
    chance: Chance,
    now: Time,
    processes: Vec<Process>,
    connections: Vec<[End; 2]>,
    topics: Vec<Topic>,
    octets: u64,
    /// Those of processes that have ended.
    ended: (u64, u64, u64),
}

/// Octets that the system takes for one direction.
const PIPE_BYTES_MAX: usize = 250;

fn options() -> MeshOptions {
    // Small, so that a process that reads nothing is noticed.
    MeshOptions {
        peer_bytes_max: 250,
        limits: Limits { payload_bytes_max: 64, ..Limits::default() },
        ..MeshOptions::default()
    }
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            chance: Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            now: Time::ZERO,
            processes: Vec::new(),
            connections: Vec::new(),
            topics: ["a", "b", "c/d"].map(|name| Topic::new(name).expect("a name")).to_vec(),
            octets: 0,
            ended: (0, 0, 0),
        }
    }

    /// Faults of all kinds, and then none any more: in the end everything works.
    pub(crate) fn run(&mut self, steps: usize) {
        self.start_and_settle(2);
        for _ in 0..steps {
            self.act();
        }
        self.heal();
        self.judge();
    }

    pub(crate) fn start_and_settle(&mut self, count: usize) {
        (0..count).for_each(|_| self.start());
        self.heal();
    }

    fn act(&mut self) {
        let process = self.any();
        match self.chance.below(1_000) {
            0..=3 if self.alive().count() < 6 => self.start(),
            4..=5 if self.alive().count() > 1 => self.crash(process),
            6..=8 if self.alive().count() > 1 => self.leave(process),
            9..=11 => self.break_connection(),
            12..=24 => self.processes[process].is_stalled ^= true,
            25..=44 => self.toggle(process),
            45..=299 => self.publish(process),
            300..=339 => self.now = self.now + Duration::from_millis(self.chance.below(300) as u64),
            _ => drop(self.carry(process)),
        }
        self.drain(process);
    }

    fn alive(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.processes.len()).filter(|index| self.processes[*index].is_alive)
    }

    fn any(&mut self) -> usize {
        let alive: Vec<_> = self.alive().collect();
        alive[self.chance.below(alive.len())]
    }

    pub(crate) fn oldest(&self) -> usize {
        self.alive().next().expect("a process")
    }

    pub(crate) fn start(&mut self) {
        let index = self.processes.len();
        let number = u64::try_from(index).expect("a number");
        for process in self.processes.iter_mut().filter(|process| process.is_alive) {
            process.subscribers.values_mut().for_each(|subscriber| subscriber.born(number));
        }
        let name = SocketName::of_process(u32::try_from(index).expect("a number"), number);
        self.processes.push(Process {
            mesh: Mesh::new(self.now, name.clone(), options()),
            name,
            is_alive: true,
            is_listed: true,
            is_stalled: false,
            subscribers: BTreeMap::new(),
            published: BTreeMap::new(),
        });
        self.drain(index);
    }

    /// Its socket stays in the folder, and what it has sent is still delivered.
    fn crash(&mut self, index: usize) {
        let process = &mut self.processes[index];
        process.is_alive = false;
        for subscriber in process.subscribers.values() {
            self.ended.0 += subscriber.oracle.messages();
            self.ended.1 += subscriber.oracle.gaps();
        }
        self.ended.2 += process.mesh.dropped();
        process.subscribers.clear();
        for end in self.connections.iter_mut().flatten().filter(|end| end.process == index) {
            end.is_open = false;
        }
    }

    pub(crate) fn leave(&mut self, index: usize) {
        self.processes[index].is_listed = false;
        self.processes[index].mesh.leave(self.now);
        let mut rounds = 0;
        while !self.processes[index].mesh.is_drained() && rounds < 1_000 {
            // Others may read nothing: then there is an end to it, too.
            self.carry_all();
            rounds += 1;
        }
        self.crash(index);
    }

    fn break_connection(&mut self) {
        if !self.connections.is_empty() {
            let index = self.chance.below(self.connections.len());
            self.connections[index].iter_mut().for_each(|end| end.incoming.clear());
            for side in 0..2 {
                self.close_end(index, side);
            }
        }
    }

    fn toggle(&mut self, index: usize) {
        let topic = self.topics[self.chance.below(self.topics.len())].clone();
        let process = &mut self.processes[index];
        match process.subscribers.remove(&topic) {
            Some(subscriber) => {
                self.ended.0 += subscriber.oracle.messages();
                self.ended.1 += subscriber.oracle.gaps();
                process.mesh.unsubscribe(self.now, &topic);
                // What was reported already is of no concern any more.
                self.drain(index);
            }
            None => self.subscribe(index, &topic),
        }
    }

    fn subscribe(&mut self, index: usize, topic: &Topic) {
        let process = &mut self.processes[index];
        if !process.subscribers.contains_key(topic) {
            process.subscribers.insert(topic.clone(), Subscriber::default());
            process.mesh.subscribe(self.now, topic);
        }
    }

    pub(crate) fn subscribe_all(&mut self) {
        for index in self.alive().collect::<Vec<_>>() {
            for topic in self.topics.clone() {
                self.subscribe(index, &topic);
            }
            self.drain(index);
        }
    }

    fn publish(&mut self, index: usize) {
        let topic = self.topics[self.chance.below(self.topics.len())].clone();
        self.publish_to(index, &topic);
    }

    fn publish_to(&mut self, index: usize, topic: &Topic) {
        let process = &mut self.processes[index];
        let number = process.published.get(topic).copied().unwrap_or(0) + 1;
        let payload = Bytes::from(format!("{index} {number}"));
        if process.mesh.publish(self.now, topic, payload).is_ok() {
            process.published.insert(topic.clone(), number);
        }
    }

    /// Publications of all, with little between.
    pub(crate) fn exchange(&mut self, count: usize) {
        for _ in 0..count {
            let process = self.any();
            self.publish(process);
            for _ in 0..8 {
                self.carry_all();
            }
            self.now = self.now + Duration::from_millis(1);
        }
    }

    fn carry_all(&mut self) {
        for process in self.alive().collect::<Vec<_>>() {
            self.carry(process);
            self.processes[process].mesh.handle_timeout(self.now);
            self.drain(process);
        }
    }

    /// Moves some octets of one process, in both directions. Gives whether there were any.
    fn carry(&mut self, index: usize) -> bool {
        let mut busy = false;
        for connection in 0..self.connections.len() {
            for side in 0..2 {
                let [end, other] = {
                    let [a, b] = &mut self.connections[connection];
                    if side == 0 { [a, b] } else { [b, a] }
                };
                if end.process != index || !end.is_open {
                    continue;
                }
                let mesh = &mut self.processes[index].mesh;
                let room = PIPE_BYTES_MAX.saturating_sub(other.incoming.len());
                let count = mesh.transmit(end.link).len().min(room).min(1 + self.chance.below(200));
                if other.is_open && count > 0 {
                    other.incoming.extend(&mesh.transmit(end.link)[..count]);
                    mesh.transmitted(end.link, count);
                    self.octets += u64::try_from(count).expect("a number");
                    busy = true;
                }
                if self.processes[index].is_stalled {
                    continue;
                }
                let mesh = &mut self.processes[index].mesh;
                let (link, other_is_open) = (end.link, other.is_open);
                let count = end.incoming.len().min(1 + self.chance.below(200));
                if count > 0 && mesh.wants_read(link) {
                    let part: Vec<_> = end.incoming.drain(..count).collect();
                    mesh.receive(self.now, link, &part);
                    busy = true;
                } else if end.incoming.is_empty() && !other_is_open {
                    self.close_end(connection, side);
                    busy = true;
                }
            }
        }
        self.drain(index);
        self.connections.retain(|ends| ends.iter().any(|end| end.is_open));
        busy
    }

    /// A process learns that a connection has ended.
    fn close_end(&mut self, connection: usize, side: usize) {
        let end = &mut self.connections[connection][side];
        if std::mem::replace(&mut end.is_open, false) {
            let (process, link) = (end.process, end.link);
            self.processes[process].mesh.closed(self.now, link);
            self.drain(process);
        }
    }

    /// Does what a process asks for, and takes what it reports.
    fn drain(&mut self, index: usize) {
        while let Some(request) = self.processes[index].mesh.poll_request() {
            match request {
                MeshRequest::Scan => {
                    let listed = self.processes.iter().filter(|process| process.is_listed);
                    let names: Vec<_> = listed.map(|process| process.name.clone()).collect();
                    self.processes[index].mesh.found(self.now, names.iter().map(SocketName::as_str));
                }
                MeshRequest::Connect { link, name } => self.connect(index, link, &name),
                MeshRequest::Close(link) => {
                    let mut ends = self.connections.iter_mut().flatten();
                    if let Some(end) = ends.find(|end| end.process == index && end.link == link) {
                        end.is_open = false;
                    }
                }
                MeshRequest::Remove(name) => {
                    let mut processes = self.processes.iter_mut();
                    let process =
                        processes.find(|process| process.name == name).expect("a name of the folder");
                    assert!(!process.is_alive, "it listens");
                    process.is_listed = false;
                }
                other => panic!("{other:?}"),
            }
        }
        while let Some(event) = self.processes[index].mesh.poll() {
            self.on_event(index, event);
        }
    }

    fn connect(&mut self, index: usize, link: LinkId, name: &SocketName) {
        let other =
            self.processes.iter().position(|process| process.name == *name).expect("a name of the folder");
        if !self.processes[other].is_listed {
            return self.processes[index].mesh.connect_failed(self.now, link, ConnectError::Other);
        }
        if !self.processes[other].is_alive {
            return self.processes[index].mesh.connect_failed(self.now, link, ConnectError::NoListener);
        }
        let Some(accepted) = self.processes[other].mesh.accepted(self.now) else {
            return self.processes[index].mesh.connect_failed(self.now, link, ConnectError::Other);
        };
        let end = |process, link| End { process, link, incoming: VecDeque::new(), is_open: true };
        self.connections.push([end(index, link), end(other, accepted)]);
        self.processes[index].mesh.connected(self.now, link);
        self.drain(other);
    }

    fn on_event(&mut self, index: usize, event: Event) {
        let process = &mut self.processes[index];
        match event {
            Event::Up => {}
            Event::Subscribed { topic } => {
                // It may have ended meanwhile.
                if let Some(subscriber) = process.subscribers.get_mut(&topic) {
                    subscriber.is_subscribed = true;
                    subscriber.oracle.subscribed(&[]);
                }
            }
            Event::Gap { topic } => {
                if let Some(subscriber) = process.subscribers.get_mut(&topic) {
                    subscriber.oracle.gap();
                }
            }
            Event::Message { topic, payload, .. } => {
                let text = String::from_utf8(payload.to_vec()).expect("text");
                let (publisher, number) = text.split_once(' ').expect("two numbers");
                let subscriber = process.subscribers.get_mut(&topic).expect("it is subscribed");
                subscriber.message(publisher.parse().expect("a number"), number.parse().expect("a number"));
            }
            other => panic!("{other:?}"),
        }
    }

    /// Nothing fails any more: everything is delivered, and all are subscribed where they want to be.
    pub(crate) fn heal(&mut self) {
        self.processes.iter_mut().for_each(|process| process.is_stalled = false);
        let until = self.now + Duration::from_secs(5);
        while self.now < until {
            loop {
                let mut busy = false;
                for index in self.alive().collect::<Vec<_>>() {
                    self.processes[index].mesh.handle_timeout(self.now);
                    self.drain(index);
                    busy |= self.carry(index);
                }
                if !busy {
                    break;
                }
            }
            self.now = self.now + Duration::from_millis(50);
        }
        let alive = self.alive().count();
        for index in self.alive() {
            let process = &self.processes[index];
            assert_eq!(process.mesh.peers(), alive - 1, "all are connected");
            assert_eq!(process.mesh.links().count(), (alive - 1) * 2, "and no more");
            for (topic, subscriber) in &process.subscribers {
                assert!(subscriber.is_subscribed, "{index} is not subscribed to {topic}");
            }
        }
    }

    /// Everything that was published from now on comes, and what did not come before has its gap.
    pub(crate) fn judge(&mut self) {
        for index in self.alive().collect::<Vec<_>>() {
            for topic in self.topics.clone() {
                self.publish_to(index, &topic);
                self.drain(index);
            }
        }
        self.heal();
        for index in self.alive() {
            for (topic, subscriber) in &self.processes[index].subscribers {
                for publisher in self.alive() {
                    let number = u64::try_from(publisher).expect("a number");
                    let count = self.processes[publisher].published[topic];
                    assert_eq!(
                        subscriber.last.get(&number),
                        Some(&count),
                        "{topic}: of {publisher} at {index}"
                    );
                }
            }
        }
    }

    fn sum(&self, of: impl Fn(&Subscriber) -> u64) -> u64 {
        self.processes.iter().flat_map(|process| process.subscribers.values()).map(of).sum()
    }

    pub(crate) fn messages(&self) -> u64 {
        self.ended.0 + self.sum(|subscriber| subscriber.oracle.messages())
    }

    pub(crate) fn gaps(&self) -> u64 {
        self.ended.1 + self.sum(|subscriber| subscriber.oracle.gaps())
    }

    pub(crate) fn dropped(&self) -> u64 {
        let alive = self.processes.iter().filter(|process| process.is_alive);
        self.ended.2 + alive.map(|process| process.mesh.dropped()).sum::<u64>()
    }

    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }
}
