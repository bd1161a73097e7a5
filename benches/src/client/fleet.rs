//! All connections of a load on one epoll. Knows neither protocols nor when to stop.

use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, Event, EventFlags};
use rustix::io::Errno;

use super::connection::{Calls, Connection};
use super::deck::Deck;
use super::{Plan, Tally};
use crate::Result;

/// Events that one wait may return, as many as the measured servers take.
pub const MAX_EVENTS: usize = 1024;
/// Large enough that a message of 1 MiB needs few reads.
const READ_BYTES: usize = 1 << 20;
const TICK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Open connections that are ready to send.
pub struct Fleet {
    epoll: OwnedFd,
    plan: Plan,
    pub(crate) connections: Vec<Connection>,
    deck: Deck,
    buffer: Box<[u8]>,
    pub(crate) tally: Tally,
    pub(crate) calls: Calls,
}

impl Fleet {
    /// Opens all connections of `plan`, one after the other, WebSocket handshakes included.
    ///
    /// # Errors
    /// When a connection is refused or a handshake fails.
    pub fn open(plan: &Plan) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let connections = (0..plan.connections)
            .map(|index| Connection::open(plan, index, &epoll))
            .collect::<Result<_>>()
            .map_err(|error| format!("port {}: {error}", plan.port))?;
        Ok(Self {
            epoll,
            plan: plan.clone(),
            connections,
            deck: Deck::of(plan),
            buffer: vec![0; READ_BYTES].into(),
            tally: Tally::default(),
            calls: Calls::default(),
        })
    }

    /// Replies so far that were wrong.
    pub fn bad(&self) -> u64 {
        self.tally.bad
    }

    pub(crate) fn depth(&self) -> usize {
        self.plan.depth
    }

    /// Opens connection `index` again if the server has ended it in good order.
    pub(crate) fn reopen_if_ended(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        if !connection.ended() {
            return Ok(());
        }
        connection.reopen(&self.plan, index, &self.deck, &self.epoll, &mut self.calls)?;
        self.tally.reopened += 1;
        Ok(())
    }

    /// Sends `count` requests on connection `index`.
    pub(crate) fn send(&mut self, index: usize, count: usize, now: u64) -> Result<()> {
        self.connections[index].send(count, now, &self.deck, &self.epoll, &mut self.calls)
    }

    /// Waits for readiness, at most a second.
    pub(crate) fn wait(&self, events: &mut Vec<Event>) -> Result<()> {
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&TICK)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Does what `event` allows; returns the connection's index and how many replies came.
    pub(crate) fn serve(&mut self, event: Event) -> Result<(usize, u64)> {
        let index = event.data.u64() as usize;
        let flags = event.flags;
        let connection = &mut self.connections[index];
        if flags.contains(EventFlags::OUT) {
            connection.flush(&self.deck, &self.epoll, &mut self.calls)?;
        }
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return Ok((index, 0));
        }
        let replies = connection.receive(&mut self.buffer, &self.deck, &mut self.tally, &mut self.calls)?;
        Ok((index, replies))
    }
}
