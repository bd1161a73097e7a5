//! The simulated world: network, kernel, clock and random numbers. Knows no protocol and no service.
//!
//! A connection is two streams of octets, each with a kernel's send buffer at one end and its receive buffer at the
//! other. Octets stay in the send buffer until they are in the peer's receive buffer, as TCP keeps unacknowledged data.

mod connections;
mod inspection;
mod raw_peers;
mod socket;
mod system_calls;

use crate::random::Random;
use crate::weather::Weather;
use lws_loop_external::Readiness;
use lws_proto::Time;
use rustix::io::Errno;
use socket::{Socket, Stream};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::os::fd::RawFd;
use std::time::Duration;

/// A socket of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SocketId(usize);

/// The network, the clock and the random numbers of one run.
pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) weather: Weather,
    random: Random,
    entropy: Random,
    sockets: Vec<Socket>,
    numbers: BTreeMap<RawFd, SocketId>,
    due: BinaryHeap<Reverse<(Time, u64, Due)>>,
    sequence: u64,
    ports: u16,
    /// The hash of all events.
    pub(crate) hash: u64,
    /// The log of events, if a trace is wanted.
    pub(crate) log: Option<VecDeque<String>>,
    /// The number of system calls that services have made.
    pub(crate) calls: u64,
    /// Violations that the observers of connections have found.
    pub(crate) complaints: Vec<String>,
    pub(crate) peak: Peak,
}

/// The largest amounts that were held at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peak {
    /// Descriptors of services.
    pub(crate) descriptors: usize,
    /// Octets in the send buffer of one socket of a service.
    pub(crate) unsent: usize,
}

/// A scheduled event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The connection of this socket reaches its listener.
    Arrive(SocketId),
    /// The connecting side learns that it is connected.
    Establish(SocketId),
    /// The connecting side learns that there is no listener.
    Refuse(SocketId),
    /// Octets that this socket has sent are transferred.
    Transfer(SocketId),
    /// This socket learns that its connection was reset.
    Reset(SocketId),
    /// This socket can be read and written again.
    Release(SocketId),
}

impl World {
    pub(crate) fn new(seed: u64, weather: Weather) -> Self {
        let mut random = Random::new(seed);
        Self {
            now: Time::ZERO,
            weather,
            entropy: random.fork(),
            random,
            sockets: Vec::new(),
            numbers: BTreeMap::new(),
            due: BinaryHeap::new(),
            sequence: 0,
            ports: 32_768,
            hash: 0xcbf2_9ce4_8422_2325,
            log: None,
            calls: 0,
            complaints: Vec::new(),
            peak: Peak::default(),
        }
    }

    /// Records an event in the hash and the log.
    pub(crate) fn note(&mut self, what: &'static str, socket: SocketId, number: u64) {
        for word in
            [what.len() as u64 ^ u64::from(what.as_bytes()[0]), socket.0 as u64, number, self.now.as_micros()]
        {
            self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
        }
        let now = self.now;
        self.say(|| format!("{:>12} {what} socket {} {number}", now.as_micros(), socket.0));
    }

    pub(crate) fn say(&mut self, text: impl FnOnce() -> String) {
        const LINES_MAX: usize = 4_000;
        if let Some(log) = &mut self.log {
            if log.len() == LINES_MAX {
                log.pop_front();
            }
            log.push_back(text());
        }
    }

    fn schedule(&mut self, delay: u64, due: Due) {
        self.sequence += 1;
        self.due.push(Reverse((self.now + Duration::from_micros(delay), self.sequence, due)));
    }

    /// The time of the next scheduled event.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// Runs the events that are due.
    pub(crate) fn run_due(&mut self) {
        while let Some(Reverse((at, _, due))) = self.due.peek().copied() {
            if at > self.now {
                break;
            }
            self.due.pop();
            match due {
                Due::Arrive(socket) => self.arrive(socket),
                Due::Establish(socket) => self.establish(socket),
                Due::Refuse(socket) => self.fail(socket, Errno::CONNREFUSED),
                Due::Transfer(socket) => self.transfer(socket),
                Due::Reset(socket) => self.fail(socket, Errno::CONNRESET),
                Due::Release(socket) => self.edge(socket, Readiness::READABLE | Readiness::WRITABLE),
            }
        }
    }

    fn stream(&mut self, id: SocketId) -> Option<&mut Stream> {
        match self.sockets.get_mut(id.0) {
            Some(Socket::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    fn peek(&self, id: SocketId) -> Option<&Stream> {
        match self.sockets.get(id.0) {
            Some(Socket::Stream(stream)) => Some(stream),
            _ => None,
        }
    }

    fn edge(&mut self, id: SocketId, ready: Readiness) {
        if let Some(stream) = self.stream(id) {
            stream.edges |= ready;
        }
    }

    /// Applies other weather to every connection.
    pub(crate) fn change_weather(&mut self, weather: Weather) {
        self.weather = weather;
        for index in 0..self.sockets.len() {
            if let Some(stream) = self.stream(SocketId(index)) {
                stream.send_max = stream.send_max.max(weather.send_bytes as usize);
                stream.receive_max = stream.receive_max.max(weather.receive_bytes as usize);
                if stream.wants_room {
                    stream.wants_room = false;
                    stream.edges |= Readiness::WRITABLE;
                }
                if !stream.queue.is_empty() {
                    self.go_on(SocketId(index), 0);
                }
            }
        }
    }
}
