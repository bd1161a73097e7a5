//! A socket of the world: what its kernel keeps of it.

use super::SocketId;
use crate::tap::Tap;
use lws_loop_external::Readiness;
use lws_proto::Time;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::net::SocketAddr;

pub(super) enum Socket {
    Listener { address: SocketAddr, backlog: VecDeque<SocketId>, edges: bool, closed: bool },
    Stream(Box<Stream>),
}

/// One end of a connection.
pub(super) struct Stream {
    pub(super) own: SocketAddr,
    pub(super) remote: SocketAddr,
    /// There is none yet while a connection is being made.
    pub(super) peer: Option<SocketId>,
    pub(super) phase: Phase,
    /// The send buffer: octets that the peer's kernel does not have.
    pub(super) queue: VecDeque<u8>,
    pub(super) send_max: usize,
    pub(super) inbox: VecDeque<u8>,
    pub(super) receive_max: usize,
    /// This end has said that it sends no more.
    pub(super) finished: bool,
    /// The peer's kernel knows.
    pub(super) fin_sent: bool,
    pub(super) fin_received: bool,
    pub(super) error: Option<Errno>,
    pub(super) closed: bool,
    /// Its close resets the connection.
    pub(super) resets: bool,
    /// It was accepted by a service.
    pub(super) accepted: bool,
    /// Octets that it has ever taken of its owner.
    pub(super) sent: u64,
    /// Its machine is gone: nothing leaves it and nothing reaches it.
    pub(super) vanished: bool,
    pub(super) read_held: Time,
    pub(super) write_held: Time,
    pub(super) wants_room: bool,
    pub(super) transfer_due: bool,
    /// What has begun to hold since it was last reported: for hosts of edges.
    pub(super) edges: Readiness,
    /// What both ends have said, seen from outside; at the connecting end.
    pub(super) tap: Option<Box<Tap>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    Open,
    /// It was reset, or never came about.
    Gone,
}

impl Stream {
    pub(super) fn level(&self, now: Time) -> Readiness {
        if self.phase == Phase::Connecting {
            return Readiness::NONE;
        }
        let gone = self.phase == Phase::Gone;
        let input = !self.inbox.is_empty() || self.fin_received || gone;
        let room = self.send_max.saturating_sub(self.queue.len()) * 3 >= self.send_max;
        Readiness::READABLE.when(input && now >= self.read_held)
            | Readiness::WRITABLE.when((room || gone) && now >= self.write_held)
            | Readiness::HANG_UP.when(self.fin_received || gone)
            | Readiness::ERROR.when(self.error.is_some())
    }
}
