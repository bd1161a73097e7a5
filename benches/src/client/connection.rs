//! One connection of a load: what it still has to write, and what it waits for.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::deck::Deck;
use super::{Plan, Replies, Tally, Traffic, ws};
use crate::Result;

/// How long an opening handshake may take; a server under valgrind is slow.
const HANDSHAKE: Duration = Duration::from_secs(20);

/// System calls of the client, to tell how many messages shared one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Calls {
    /// Reads, also those that found nothing.
    pub reads: u64,
    /// Writes, also those that were cut short.
    pub writes: u64,
}

pub(crate) struct Connection {
    socket: TcpStream,
    slot: EventData,
    /// The next request of the deck.
    next: usize,
    /// Where in the deck's bytes the next write starts.
    offset: usize,
    /// Bytes of requests that are due and not yet written.
    pending: usize,
    waits_to_write: bool,
    /// When each request in flight was sent, oldest first, in the run's nanoseconds.
    sent_at: VecDeque<u64>,
    replies: Replies,
    /// Received bytes that are not yet enough to be read.
    kept: Vec<u8>,
}

impl Connection {
    /// Connects, opens a WebSocket if the plan says so, and watches for replies as event `index`.
    pub(crate) fn open(plan: &Plan, index: usize, epoll: &OwnedFd) -> Result<Self> {
        let slot = EventData::new_u64(index as u64);
        Ok(Self {
            socket: ready(plan, index, epoll, slot)?,
            slot,
            next: 0,
            offset: 0,
            pending: 0,
            waits_to_write: false,
            sent_at: VecDeque::with_capacity(plan.depth),
            replies: Replies::of(plan),
            kept: Vec::new(),
        })
    }

    /// Whether the server has said that no more replies follow, so that it must be opened again.
    pub(crate) fn ended(&self) -> bool {
        self.replies.ended()
    }

    /// Opens it again. What was in flight is sent again, and has been waiting since it was sent first.
    pub(crate) fn reopen(
        &mut self,
        plan: &Plan,
        index: usize,
        deck: &Deck,
        epoll: &OwnedFd,
        calls: &mut Calls,
    ) -> Result<()> {
        let fresh = Self::open(plan, index, epoll)?;
        let waiting = std::mem::replace(self, fresh).sent_at;
        for sent_at in waiting {
            self.queue(deck, sent_at);
        }
        self.flush(deck, epoll, calls)
    }

    /// Sends the next `count` requests of the deck.
    pub(crate) fn send(
        &mut self,
        count: usize,
        now: u64,
        deck: &Deck,
        epoll: &OwnedFd,
        calls: &mut Calls,
    ) -> Result<()> {
        for _ in 0..count {
            self.queue(deck, now);
        }
        self.flush(deck, epoll, calls)
    }

    fn queue(&mut self, deck: &Deck, sent_at: u64) {
        let (len, next) = deck.step(self.next);
        self.pending += len;
        self.next = next;
        self.sent_at.push_back(sent_at);
    }

    /// Writes what is pending, or as much as the socket takes.
    pub(crate) fn flush(&mut self, deck: &Deck, epoll: &OwnedFd, calls: &mut Calls) -> Result<()> {
        let bytes = deck.bytes();
        while self.pending > 0 {
            let straight = &bytes[self.offset..bytes.len().min(self.offset + self.pending)];
            let around = &bytes[..(self.pending - straight.len()).min(self.offset)];
            calls.writes += 1;
            let result = if around.is_empty() {
                self.socket.write(straight)
            } else {
                self.socket.write_vectored(&[IoSlice::new(straight), IoSlice::new(around)])
            };
            let due = straight.len() + around.len();
            let written = match result {
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                other => other?,
            };
            self.pending -= written;
            self.offset = (self.offset + written) % bytes.len();
            if written < due {
                return Ok(self.wait_to_write(true, epoll)?);
            }
        }
        Ok(self.wait_to_write(false, epoll)?)
    }

    /// Reads until the socket is empty and returns how many replies were complete.
    pub(crate) fn receive(
        &mut self,
        buffer: &mut [u8],
        deck: &Deck,
        tally: &mut Tally,
        calls: &mut Calls,
    ) -> Result<u64> {
        let before = tally.replies;
        loop {
            let kept = self.kept.len();
            buffer[..kept].copy_from_slice(&self.kept);
            calls.reads += 1;
            let received = match self.socket.read(&mut buffer[kept..]) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            };
            let bytes = &buffer[..kept + received];
            let used = self.replies.read(bytes, deck.first(), tally)?;
            self.kept.clear();
            self.kept.extend_from_slice(&bytes[used..]);
            // A short read has emptied the socket: asking again would cost a system call.
            if kept + received < buffer.len() || self.replies.ended() {
                break;
            }
        }
        Ok(tally.replies - before)
    }

    /// When the oldest request in flight was sent; its reply has come. `None` when none was in
    /// flight: the server has sent an unrequested reply.
    pub(crate) fn answered(&mut self) -> Option<u64> {
        self.sent_at.pop_front()
    }

    fn wait_to_write(&mut self, wait: bool, epoll: &OwnedFd) -> io::Result<()> {
        if wait != self.waits_to_write {
            self.waits_to_write = wait;
            let flags = if wait { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(epoll, &self.socket, self.slot, flags)?;
        }
        Ok(())
    }
}

/// A connection that can be used without blocking, and is watched.
fn ready(plan: &Plan, index: usize, epoll: &OwnedFd, slot: EventData) -> Result<TcpStream> {
    let mut socket = connected(plan, index)?;
    socket.set_nodelay(true)?;
    if let Traffic::WebSocket { path } = &plan.traffic {
        socket.set_read_timeout(Some(HANDSHAKE))?;
        ws::open(&mut socket, path, plan.port)?;
    }
    socket.set_nonblocking(true)?;
    epoll::add(epoll, &socket, slot, EventFlags::IN)?;
    Ok(socket)
}

/// A blocking connection from one of the plan's source addresses.
fn connected(plan: &Plan, index: usize) -> io::Result<TcpStream> {
    let server = SocketAddrV4::new(Ipv4Addr::LOCALHOST, plan.port);
    if plan.sources <= 1 {
        return TcpStream::connect(server);
    }
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    let last = 2 + (index % usize::from(plan.sources)) as u8;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), 0))?;
    connect(&socket, &server)?;
    Ok(socket.into())
}
