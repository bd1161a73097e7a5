//! A scripted peer without an engine: it takes the steps of its script in order, and reads meanwhile.

use crate::hostile::{frame, request};
use crate::plan::{Peer, Step};
use crate::tap::{DATA, Frames};
use crate::world::{SocketId, World};
use lws_proto::Time;
use std::net::SocketAddr;
use std::time::Duration;

/// A scripted peer in a world.
pub(crate) struct Actor {
    script: Peer,
    address: SocketAddr,
    socket: Option<SocketId>,
    /// The index of its current step.
    at: usize,
    /// The progress of that step: octets, or repetitions.
    done: usize,
    /// The time at which it goes on.
    wakes: Option<Time>,
    /// The octets that it reads per second; `None` is no limit.
    rate: Option<u32>,
    reads: Time,
    /// Whether it may still be slow.
    slow: bool,
    /// Whether it sends WINDOW_UPDATE for DATA that it reads: for the connection, and if true for the stream, too.
    grants: Option<bool>,
    frames: Frames,
    /// The next stream on which it sends a request.
    stream: u32,
    /// Octets for which there was no room.
    unsaid: Vec<u8>,
    over: bool,
    ended: bool,
}

/// The interval at which a peer that waits for room or reads slowly tries again.
const LOOK: Duration = Duration::from_millis(20);

impl Actor {
    pub(crate) fn new(script: Peer, address: SocketAddr) -> Self {
        let wakes = Some(Time::ZERO + Duration::from_millis(script.begins.into()));
        let (at, done) = (0, 0);
        Self {
            script,
            address,
            socket: None,
            at,
            done,
            wakes,
            rate: None,
            reads: Time::ZERO,
            slow: true,
            grants: None,
            frames: Frames::default(),
            stream: 1,
            unsaid: Vec::new(),
            over: false,
            ended: false,
        }
    }

    /// The next time at which it does something by itself.
    pub(crate) fn wakes(&self) -> Option<Time> {
        self.wakes.filter(|_| !self.over)
    }

    /// Its socket, if it is an honest peer.
    pub(crate) fn honest(&self) -> Option<SocketId> {
        self.socket.filter(|_| self.script.honest)
    }

    /// Whether it neither sends nor reads any more.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Ends its slowness. A peer that reads nothing at all stays as it is.
    pub(crate) fn calm(&mut self) {
        if self.rate.is_some_and(|rate| rate > 0) {
            self.rate = None;
        }
        self.slow = false;
    }

    /// Takes the steps that are due.
    pub(crate) fn step(&mut self, world: &mut World) {
        if self.over {
            return;
        }
        let now = world.now;
        let Some(socket) = self.socket else {
            if self.wakes.is_some_and(|at| at <= now) {
                self.socket = Some(world.open(self.address));
                self.wakes = Some(now + LOOK);
            }
            return;
        };
        if world.is_connecting(socket) {
            self.wakes = Some(now + LOOK);
            return;
        }
        self.read(world, socket);
        if !self.flush(world, socket) {
            return;
        }
        while !self.over && self.wakes.is_none_or(|at| at <= now) {
            self.wakes = None;
            let Some(step) = self.script.steps.get(self.at).cloned() else {
                world.leave(socket, false);
                self.over = true;
                return;
            };
            if self.act(world, socket, &step) {
                self.at += 1;
                self.done = 0;
            } else {
                return;
            }
        }
    }

    /// Works on a step. Returns true if the step is done.
    fn act(&mut self, world: &mut World, socket: SocketId, step: &Step) -> bool {
        let now = world.now;
        match step {
            Step::Says(octets) => self.say(world, socket, octets, octets.len()),
            Step::Trickles(octets, piece, pause) => {
                let done = self.say(world, socket, octets, (*piece).max(1) as usize);
                if !done {
                    self.wakes = Some(now + Duration::from_millis((*pause).max(1).into()));
                }
                done
            }
            Step::Repeats(octets, times) => {
                while self.done < *times as usize {
                    match world.write(socket, octets) {
                        Some(n) if n == octets.len() => self.done += 1,
                        // A cut piece is not completed: this peer need not send valid input.
                        Some(n) => {
                            self.done += usize::from(n > 0);
                            self.wakes = Some(now + LOOK);
                            return false;
                        }
                        None => return true,
                    }
                }
                true
            }
            Step::Requests(target, count, at_once, pause) => {
                let target = String::from_utf8_lossy(target).into_owned();
                for _ in 0..(*at_once).max(1) {
                    if self.done == *count as usize {
                        break;
                    }
                    self.done += 1;
                    self.unsaid.extend(request(self.stream, &target, 2, 1));
                    self.stream += 2;
                }
                self.flush(world, socket);
                let done = self.done == *count as usize;
                if !done {
                    self.wakes = Some(now + Duration::from_millis((*pause).max(1).into()));
                }
                done
            }
            Step::Grants(streams) => {
                self.grants = Some(*streams);
                true
            }
            Step::Waits(millis) => {
                if self.done > 0 {
                    return true;
                }
                self.done = 1;
                self.wakes = Some(now + Duration::from_millis((*millis).max(1).into()));
                false
            }
            Step::Reads(rate) => {
                self.rate = Some(*rate).filter(|rate| self.slow || *rate == 0);
                self.reads = now;
                true
            }
            Step::Finishes => {
                world.end(socket);
                true
            }
            // The end is found by reading, which happens whenever something has changed.
            Step::Stays => self.ended,
            Step::Resets => {
                world.leave(socket, true);
                self.over = true;
                true
            }
            Step::Vanishes => {
                world.vanish(socket);
                self.over = true;
                true
            }
        }
    }

    /// Sends the next `piece` octets. Returns true if everything was sent, or nothing can be sent any more.
    fn say(&mut self, world: &mut World, socket: SocketId, octets: &[u8], piece: usize) -> bool {
        let rest = &octets[self.done.min(octets.len())..];
        match world.write(socket, &rest[..piece.min(rest.len())]) {
            None => true,
            Some(n) => {
                self.done += n;
                if self.done < octets.len() {
                    self.wakes = Some(world.now + LOOK);
                }
                self.done >= octets.len()
            }
        }
    }

    fn give_back(&mut self, mut octets: &[u8]) {
        let Some(streams) = self.grants else { return };
        while !octets.is_empty() {
            let Some(taken) = self.frames.take(&mut octets) else { continue };
            if taken.kind == DATA && taken.octets > 0 {
                let increment = (taken.octets as u32).to_be_bytes();
                self.unsaid.extend(frame(8, 0, 0, &increment));
                if streams {
                    self.unsaid.extend(frame(8, 0, taken.stream, &increment));
                }
            }
        }
    }

    /// Sends octets that waited for room. Returns false if some still wait.
    fn flush(&mut self, world: &mut World, socket: SocketId) -> bool {
        if self.unsaid.is_empty() {
            return true;
        }
        match world.write(socket, &self.unsaid) {
            Some(n) => drop(self.unsaid.drain(..n)),
            None => self.unsaid.clear(),
        }
        self.unsaid.is_empty()
    }

    fn read(&mut self, world: &mut World, socket: SocketId) {
        let max = match self.rate {
            None => usize::MAX,
            Some(rate) => {
                let micros = (world.now - self.reads).as_micros() as u64;
                (micros * u64::from(rate) / 1_000_000) as usize
            }
        };
        if max == 0 {
            if self.rate.is_some_and(|rate| rate > 0) {
                let again = world.now + LOOK * 10;
                self.wakes = Some(self.wakes.map_or(again, |at| at.min(again)));
            }
            return;
        }
        self.reads = world.now;
        match world.read(socket, max) {
            None => self.ended = true,
            Some(octets) => self.give_back(&octets),
        }
    }
}
