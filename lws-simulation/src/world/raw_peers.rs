//! The calls of scripted peers: they write and read octets, and leave in various ways.

use super::socket::{Phase, Socket};
use super::{SocketId, World};
use std::net::SocketAddr;

impl World {
    pub(crate) fn open(&mut self, address: SocketAddr) -> SocketId {
        self.begin(address)
    }

    /// Writes octets of a raw peer. Returns how many were taken, or `None` if it can send nothing any more.
    pub(crate) fn write(&mut self, id: SocketId, octets: &[u8]) -> Option<usize> {
        let stream = self.stream(id)?;
        match stream.phase {
            Phase::Connecting => return Some(0),
            Phase::Gone => return None,
            Phase::Open => {}
        }
        if stream.finished || stream.vanished {
            return None;
        }
        // The send buffer of a raw peer is large, so that it does not wait for long.
        let n = octets.len().min((64_usize << 10).saturating_sub(stream.queue.len()));
        stream.queue.extend(&octets[..n]);
        self.observe(id, &octets[..n]);
        self.note("peer writes", id, n as u64);
        self.go_on(id, 0);
        Some(n)
    }

    /// Reads up to `max` octets for a raw peer. `None` when there will be no more.
    pub(crate) fn read(&mut self, id: SocketId, max: usize) -> Option<Vec<u8>> {
        let stream = self.stream(id)?;
        let n = stream.inbox.len().min(max);
        if n == 0 && (stream.fin_received || stream.phase == Phase::Gone) {
            return None;
        }
        let octets = stream.inbox.drain(..n).collect();
        self.freed(id, n);
        Some(octets)
    }

    pub(crate) fn is_connecting(&self, id: SocketId) -> bool {
        self.peek(id).is_some_and(|stream| stream.phase == Phase::Connecting)
    }

    /// Ends the sending direction of a raw peer.
    pub(crate) fn end(&mut self, id: SocketId) {
        if let Some(stream) = self.stream(id) {
            stream.finished = true;
            self.note("peer ends", id, 0);
            self.go_on(id, 0);
        }
    }

    /// Closes the socket of a raw peer, by a reset or in order.
    pub(crate) fn leave(&mut self, id: SocketId, by_reset: bool) {
        self.note("peer leaves", id, by_reset.into());
        if by_reset {
            self.reset_peer_of(id);
            if let Some(stream) = self.stream(id) {
                stream.queue.clear();
                stream.phase = Phase::Gone;
            }
        }
        self.shut(id);
    }

    /// Makes the machine of a raw peer vanish.
    pub(crate) fn vanish(&mut self, id: SocketId) {
        if let Some(stream) = self.stream(id) {
            stream.vanished = true;
            self.note("peer vanishes", id, 0);
        }
    }

    /// Makes the machine of the end with this address vanish.
    pub(crate) fn vanish_at(&mut self, own: SocketAddr) {
        let is_it =
            |socket: &Socket| matches!(socket, Socket::Stream(stream) if stream.own == own && !stream.closed);
        if let Some(index) = self.sockets.iter().position(is_it) {
            self.vanish(SocketId(index));
        }
    }
}
