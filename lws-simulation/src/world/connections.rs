//! Simulated connections: their beginning, the transfer of octets between kernels, and their end.

use super::socket::{Phase, Socket, Stream};
use super::{Due, SocketId, World};
use crate::tap::Side;
use lws_loop_external::Readiness;
use lws_proto::Time;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

impl World {
    fn new_stream(&mut self, own: SocketAddr, remote: SocketAddr, phase: Phase) -> SocketId {
        let stream = Stream {
            own,
            remote,
            peer: None,
            phase,
            queue: VecDeque::new(),
            send_max: self.weather.send_bytes.max(1) as usize,
            inbox: VecDeque::new(),
            receive_max: self.weather.receive_bytes.max(1) as usize,
            finished: false,
            fin_sent: false,
            fin_received: false,
            error: None,
            closed: false,
            resets: false,
            accepted: false,
            sent: 0,
            vanished: false,
            read_held: Time::ZERO,
            write_held: Time::ZERO,
            wants_room: false,
            transfer_due: false,
            edges: Readiness::NONE,
            tap: None,
        };
        self.sockets.push(Socket::Stream(Box::new(stream)));
        SocketId(self.sockets.len() - 1)
    }

    pub(super) fn listener_at(&self, address: SocketAddr) -> Option<SocketId> {
        let listens = |socket: &Socket| matches!(socket, Socket::Listener { address: own, closed: false, .. } if *own == address);
        self.sockets.iter().position(listens).map(SocketId)
    }

    /// Begins a connection.
    pub(super) fn begin(&mut self, address: SocketAddr) -> SocketId {
        self.ports = self.ports.checked_add(1).unwrap_or(32_768);
        let own = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), self.ports);
        let id = self.new_stream(own, address, Phase::Connecting);
        self.schedule(self.weather.latency.into(), Due::Arrive(id));
        self.note("begin", id, 0);
        id
    }

    pub(super) fn arrive(&mut self, id: SocketId) {
        let Some(Stream { own, remote, closed: false, vanished: false, .. }) = self.peek(id) else { return };
        let (own, remote) = (*own, *remote);
        let Some(listener) =
            self.listener_at(remote).filter(|_| !self.random.chance(self.weather.unreachable))
        else {
            return self.schedule(self.weather.latency.into(), Due::Refuse(id));
        };
        let accepted = self.new_stream(remote, own, Phase::Open);
        if let Some(stream) = self.stream(accepted) {
            stream.accepted = true;
            stream.peer = Some(id);
        }
        if let Some(stream) = self.stream(id) {
            stream.peer = Some(accepted);
            stream.tap = Some(Box::default());
        }
        if let Some(Socket::Listener { backlog, edges, .. }) = self.sockets.get_mut(listener.0) {
            backlog.push_back(accepted);
            *edges = true;
        }
        self.schedule(self.weather.latency.into(), Due::Establish(id));
    }

    pub(super) fn establish(&mut self, id: SocketId) {
        let Some(stream) = self.stream(id) else { return };
        if stream.phase == Phase::Connecting {
            stream.phase = Phase::Open;
            stream.edges |= Readiness::WRITABLE;
            self.note("established", id, 0);
            self.go_on(id, 0);
        }
    }

    /// Ends the connection for this end.
    pub(super) fn fail(&mut self, id: SocketId, errno: Errno) {
        let Some(stream) = self.stream(id) else { return };
        if stream.phase == Phase::Gone || stream.vanished {
            return;
        }
        stream.phase = Phase::Gone;
        stream.error = Some(errno);
        stream.queue.clear();
        stream.edges |= Readiness::READABLE | Readiness::WRITABLE | Readiness::HANG_UP | Readiness::ERROR;
        self.note("reset", id, 0);
    }

    /// Makes this end reset the other one.
    pub(super) fn reset_peer_of(&mut self, id: SocketId) {
        if let Some(Stream { peer: Some(peer), vanished: false, .. }) = self.peek(id) {
            let peer = *peer;
            self.schedule(self.weather.latency.into(), Due::Reset(peer));
        }
    }

    /// Schedules the transfer of octets that this end has sent.
    pub(super) fn go_on(&mut self, id: SocketId, more: u64) {
        let delay = u64::from(self.weather.latency) + more;
        if let Some(stream) = self.stream(id)
            && !std::mem::replace(&mut stream.transfer_due, true)
        {
            self.schedule(delay, Due::Transfer(id));
        }
    }

    /// Moves octets that this end has sent to the other end, as far as that has room.
    pub(super) fn transfer(&mut self, id: SocketId) {
        let Some(stream) = self.stream(id) else { return };
        stream.transfer_due = false;
        let (Some(peer), false, Phase::Open) = (stream.peer, stream.vanished, stream.phase) else { return };
        let (left, finished) = (stream.queue.len(), stream.finished && !stream.fin_sent);
        let Some(other) = self.peek(peer) else { return };
        if other.vanished || left == 0 && !finished {
            return;
        }
        let closed = other.closed;
        let lost = left > 0 && self.random.chance(self.weather.resets);
        if lost || left > 0 && closed {
            self.fail(id, Errno::CONNRESET);
            if lost {
                self.schedule(self.weather.latency.into(), Due::Reset(peer));
            }
            return;
        }
        let Some(other) = self.peek(peer) else { return };
        let room = other.receive_max.saturating_sub(other.inbox.len());
        let n = left.min(room).min(self.weather.segment_bytes.max(1) as usize);
        let Some(stream) = self.stream(id) else { return };
        let octets: Vec<u8> = stream.queue.drain(..n).collect();
        let free = stream.send_max.saturating_sub(stream.queue.len());
        if stream.wants_room && free * 3 >= stream.send_max {
            stream.wants_room = false;
            stream.edges |= Readiness::WRITABLE;
        }
        let ends = stream.queue.is_empty() && finished;
        stream.fin_sent |= ends;
        let more = !stream.queue.is_empty();
        if let Some(other) = self.stream(peer) {
            other.inbox.extend(&octets);
            other.fin_received |= ends;
            if n > 0 {
                other.edges |= Readiness::READABLE;
            }
            if ends {
                other.edges |= Readiness::READABLE | Readiness::HANG_UP;
            }
        }
        self.note("transfer", id, n as u64);
        if more && n > 0 {
            let rate = u64::from(self.weather.rate);
            let takes = (n as u64 * 1_000_000).checked_div(rate).unwrap_or(0).max(1);
            let Some(stream) = self.stream(id) else { return };
            stream.transfer_due = true;
            self.schedule(takes, Due::Transfer(id));
        }
    }

    /// Passes octets of one end to the observer of the connection.
    pub(super) fn observe(&mut self, id: SocketId, octets: &[u8]) {
        let Some(stream) = self.peek(id) else { return };
        let (at, side) = match stream.tap {
            Some(_) => (id, Side::Client),
            None => (stream.peer.unwrap_or(id), Side::Server),
        };
        let now = self.now;
        let Some(stream) = self.stream(at) else { return };
        if stream.vanished {
            // The last octets of a vanished end may never have arrived.
            return;
        }
        if let Some(tap) = &mut stream.tap
            && let Some(complaint) = tap.said(now, side, octets)
        {
            self.complaints.push(format!("{complaint}: at {} µs, socket {}", now.as_micros(), at.0));
        }
    }

    /// Closes a socket, which its owner has given up.
    pub(super) fn shut(&mut self, id: SocketId) {
        let Some(stream) = self.stream(id) else { return };
        if std::mem::replace(&mut stream.closed, true) {
            return;
        }
        let unread = !stream.inbox.is_empty() || stream.resets;
        stream.inbox.clear();
        if stream.phase == Phase::Open && unread {
            // tcp(7): unread data is answered by a reset.
            stream.phase = Phase::Gone;
            stream.queue.clear();
            self.reset_peer_of(id);
        } else if stream.phase == Phase::Open {
            stream.finished = true;
            self.go_on(id, 0);
        } else {
            stream.phase = Phase::Gone;
        }
    }

    /// Notes that something was read, so that the peer may have room again.
    pub(super) fn freed(&mut self, id: SocketId, n: usize) {
        if n == 0 {
            return;
        }
        if let Some(Stream { peer: Some(peer), .. }) = self.peek(id) {
            let peer = *peer;
            if self.peek(peer).is_some_and(|stream| !stream.queue.is_empty()) {
                self.go_on(peer, 0);
            }
        }
    }
}
