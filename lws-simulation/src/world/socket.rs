//! A socket of the world: the kernel's state of it.

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
    /// The other end. `None` while the connection is being made.
    pub(super) peer: Option<SocketId>,
    pub(super) phase: Phase,
    /// The send buffer: octets that the peer's kernel does not have.
    pub(super) queue: VecDeque<u8>,
    pub(super) send_max: usize,
    pub(super) inbox: VecDeque<u8>,
    pub(super) receive_max: usize,
    /// Whether this end has ended its sending direction.
    pub(super) finished: bool,
    /// Whether the peer's kernel has received that end.
    pub(super) fin_sent: bool,
    pub(super) fin_received: bool,
    pub(super) error: Option<Errno>,
    pub(super) closed: bool,
    /// Whether closing it resets the connection.
    pub(super) resets: bool,
    /// Whether a service has accepted it.
    pub(super) accepted: bool,
    /// The octets that its owner has ever written.
    pub(super) sent: u64,
    /// Whether its machine has vanished, so that nothing leaves it and nothing reaches it.
    pub(super) vanished: bool,
    pub(super) read_held: Time,
    pub(super) write_held: Time,
    pub(super) wants_room: bool,
    pub(super) transfer_due: bool,
    /// Readiness that has come up since the last report, for edge-triggered hosts.
    pub(super) edges: Readiness,
    /// The observer of the connection, which is kept at the connecting end.
    pub(super) tap: Option<Box<Tap>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Connecting,
    Open,
    /// It was reset, or never established.
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
