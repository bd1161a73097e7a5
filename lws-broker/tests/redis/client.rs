//! Processes of ours, each with its connection, and the loop that carries their octets.

use crate::server::RedisServer;
use lws_broker::oracle::Oracle;
use lws_broker::redis::{HistoryOptions, Redis, RedisOptions};
use lws_broker::{
    Broker, Bytes, Cause, Endpoint, Event, Options, Remote, Security, Time, Topic, TransportRequest,
};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

pub(crate) fn topic(name: &str) -> Topic {
    Topic::new(name).expect("a name")
}

/// Options with deadlines that a test can wait for.
pub(crate) fn quick() -> Options {
    Options {
        retry_min: Duration::from_millis(20),
        retry_max: Duration::from_millis(100),
        connect_timeout: Duration::from_secs(2),
        answer_timeout: Duration::from_secs(5),
        ping_interval: Duration::from_millis(300),
        linger: Duration::from_millis(100),
        ..Options::default()
    }
}

pub(crate) fn plain(server: &RedisServer) -> RedisOptions {
    RedisOptions::new(Endpoint::Unix(server.socket()))
}

/// A port of the loopback address.
pub(crate) fn at(port: u16) -> Endpoint {
    Endpoint::Tcp { host: "127.0.0.1".into(), port, tls: Security::Plain }
}

pub(crate) fn with_history(server: &RedisServer) -> RedisOptions {
    let history = HistoryOptions { messages: 20_000, ..HistoryOptions::default() };
    RedisOptions { history: Some(history), ..RedisOptions::new(at(server.port())) }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    fn connect(endpoint: &Endpoint) -> std::io::Result<Self> {
        match endpoint {
            Endpoint::Tcp { host, port, .. } => {
                let stream = TcpStream::connect((host.as_str(), *port))?;
                stream.set_nonblocking(true)?;
                Ok(Self::Tcp(stream))
            }
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Self::Unix(stream))
            }
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }

    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(octets),
            Self::Unix(stream) => stream.write(octets),
        }
    }
}

pub(crate) struct Process {
    pub(crate) remote: Remote,
    socket: Option<Socket>,
    pub(crate) oracles: BTreeMap<Topic, Oracle>,
    pub(crate) confirmed: BTreeSet<Topic>,
    pub(crate) downs: Vec<Cause>,
    pub(crate) refusals: Vec<(Topic, Cause)>,
    /// It does not read what the server sends.
    pub(crate) is_slow: bool,
    pub(crate) numbers: Numbers,
}

pub(crate) struct World {
    started: Instant,
    pub(crate) processes: Vec<Process>,
    /// The last number of each publisher, which is the index of its process, by topic.
    published: BTreeMap<(Topic, u64), u64>,
    /// Octets that follow the numbers in a payload.
    pub(crate) filling: usize,
}

/// What the oracle takes for the number of a message.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Numbers {
    /// The publisher's own. What was accepted and lost on its way leaves a hole.
    OfPublisher,
    /// The offset in the stream of its epoch: of what the server has taken.
    OfServer,
}

impl World {
    pub(crate) fn new(count: u64, options: &Options, redis: &RedisOptions) -> Self {
        let process = |seed| Process {
            remote: Remote::new(
                Time::ZERO,
                options.clone(),
                Box::new(Redis::new(redis.clone(), &options.limits)),
                seed,
            ),
            socket: None,
            oracles: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            downs: Vec::new(),
            refusals: Vec::new(),
            is_slow: false,
            numbers: Numbers::OfPublisher,
        };
        let processes = (0..count).map(process).collect();
        Self { started: Instant::now(), processes, published: BTreeMap::new(), filling: 0 }
    }

    pub(crate) fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }

    pub(crate) fn subscribe(&mut self, process: usize, name: &str) {
        let now = self.now();
        let process = &mut self.processes[process];
        process.oracles.entry(topic(name)).or_default();
        process.remote.subscribe(now, &topic(name));
    }

    pub(crate) fn publish(&mut self, process: usize, name: &str) -> Result<(), lws_broker::Full> {
        let now = self.now();
        let number = self.published.entry((topic(name), process as u64)).or_default();
        let payload = format!("{process} {} {}", *number + 1, "x".repeat(self.filling));
        self.processes[process].remote.publish(now, &topic(name), Bytes::from(payload))?;
        *number += 1;
        Ok(())
    }

    /// Moves octets and events once.
    pub(crate) fn turn(&mut self) {
        let now = self.now();
        for process in &mut self.processes {
            process.turn(now);
        }
        // The server needs the processor, too.
        std::thread::yield_now();
    }

    /// Turns until something is so.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let patience = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(Instant::now() < patience, "in vain: {what}");
            self.turn();
        }
    }

    pub(crate) fn until_all_confirmed(&mut self) {
        self.until("all subscriptions are confirmed", |world| {
            world.processes.iter().all(|it| it.oracles.keys().all(|topic| it.confirmed.contains(topic)))
        });
    }

    /// Waits until all subscribers have what was published, or know of a gap behind their last message.
    pub(crate) fn judge(&mut self) {
        self.until("all have what was published, or a gap", |world| {
            world.processes.iter().all(|process| {
                let mut oracles = process.oracles.iter();
                oracles.all(|(topic, oracle)| oracle.end(&world.numbers(topic)).is_ok())
            })
        });
    }

    fn numbers(&self, topic: &Topic) -> Vec<(u64, u64)> {
        let of = self.published.iter().filter(|((known, _), _)| known == topic);
        of.map(|((_, publisher), number)| (*publisher, *number)).collect()
    }

    pub(crate) fn oracle(&self, process: usize, name: &str) -> &Oracle {
        &self.processes[process].oracles[&topic(name)]
    }
}

impl Process {
    fn turn(&mut self, now: Time) {
        if self.remote.next_timeout().is_some_and(|at| at <= now) {
            self.remote.handle_timeout(now);
        }
        while let Some(request) = self.remote.poll_transport() {
            match request {
                TransportRequest::Connect(endpoint) => match Socket::connect(&endpoint) {
                    Ok(socket) => {
                        self.socket = Some(socket);
                        self.remote.connected(now);
                    }
                    Err(error) => self.remote.connect_failed(now, &error.to_string()),
                },
                TransportRequest::Close => self.socket = None,
                other => panic!("{other:?}"),
            }
        }
        if let Err(error) = self.carry(now) {
            self.socket = None;
            self.remote.closed(now, &error);
        }
        while let Some(event) = self.remote.poll() {
            self.on_event(event);
        }
    }

    fn carry(&mut self, now: Time) -> Result<(), String> {
        let would_block = |error: std::io::Error| match error.kind() {
            ErrorKind::WouldBlock => Ok(0),
            _ => Err(error.to_string()),
        };
        while let Some(socket) = &mut self.socket
            && !self.remote.transmit().is_empty()
        {
            let count = socket.write(self.remote.transmit()).or_else(would_block)?;
            if count == 0 {
                break;
            }
            self.remote.transmitted(now, count);
        }
        let Some(socket) = self.socket.as_mut().filter(|_| !self.is_slow) else { return Ok(()) };
        let mut buffer = [0; 4_096];
        match socket.read(&mut buffer) {
            Ok(0) => Err(String::new()),
            Ok(count) => {
                self.remote.receive(now, &buffer[..count]);
                Ok(())
            }
            Err(error) => would_block(error).map(drop),
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Message { topic, payload, position } => {
                let text = String::from_utf8_lossy(&payload);
                let mut words = text.split(' ').map(|word| word.parse().unwrap_or(0));
                let own = (words.next().unwrap_or(0), words.next().unwrap_or(0));
                let (publisher, number) = match (self.numbers, position) {
                    (Numbers::OfServer, Some(position)) => (position.epoch, position.offset),
                    _ => own,
                };
                let oracle = self.oracles.get_mut(&topic).expect("a subscriber");
                oracle.message(publisher, number).unwrap_or_else(|wrong| panic!("{topic}: {wrong}"));
            }
            Event::Subscribed { topic } => {
                // Nothing is published before all have subscribed.
                let oracle = self.oracles.get_mut(&topic).expect("a subscriber");
                oracle.subscribed(&[0, 1, 2].map(|publisher| (publisher, 0)));
                self.confirmed.insert(topic);
            }
            Event::Gap { topic } => self.oracles.get_mut(&topic).expect("a subscriber").gap(),
            Event::Refused { topic, cause, .. } => self.refusals.push((topic, cause)),
            Event::Down { cause, .. } => self.downs.push(cause),
            _ => {}
        }
    }
}
