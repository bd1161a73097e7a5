//! Inspection of sockets: by a host, as with poll(2), and by the oracles of a run.

use super::socket::{Phase, Socket};
use super::{SocketId, World};
use crate::tap::Given;
use lws_loop_external::Readiness;
use std::os::fd::RawFd;

impl World {
    /// The readiness of the descriptor with this number, as poll(2) would report it.
    pub(crate) fn level(&self, number: RawFd) -> Readiness {
        let Some(id) = self.numbers.get(&number) else { return Readiness::NONE };
        match &self.sockets[id.0] {
            Socket::Listener { backlog, .. } => Readiness::READABLE.when(!backlog.is_empty()),
            Socket::Stream(stream) => stream.level(self.now),
        }
    }

    /// Whether new readiness has come up since the last call, as epoll(7) with EPOLLET reports it.
    pub(crate) fn take_edge(&mut self, number: RawFd) -> bool {
        let Some(id) = self.numbers.get(&number) else { return false };
        match &mut self.sockets[id.0] {
            Socket::Listener { edges, .. } => std::mem::take(edges),
            Socket::Stream(stream) => !std::mem::replace(&mut stream.edges, Readiness::NONE).is_empty(),
        }
    }

    /// Whether the descriptor with this number is a socket of this world.
    pub(crate) fn is_socket(&self, number: RawFd) -> bool {
        self.numbers.contains_key(&number)
    }

    /// Whether both directions of a socket have ended.
    pub(crate) fn is_gone(&self, number: RawFd) -> bool {
        let stream = self.numbers.get(&number).and_then(|id| self.peek(*id));
        stream.is_some_and(|stream| stream.phase == Phase::Gone || stream.fin_received && stream.fin_sent)
    }

    /// The number of open sockets of services whose connection has ended: by a reset, or for an accepted one by the
    /// peer's end.
    pub(crate) fn orphans(&self) -> usize {
        let ids = self.numbers.values().filter_map(|id| self.peek(*id));
        ids.filter(|stream| !stream.vanished)
            .filter(|stream| stream.phase == Phase::Gone || stream.accepted && stream.fin_received)
            .count()
    }

    /// Accepted sockets with unread input of a live peer, on which nothing was ever sent.
    pub(crate) fn unanswered(&self) -> Vec<SocketId> {
        let fresh = |id: &SocketId| {
            self.peek(*id).is_some_and(|stream| {
                let asks = stream.inbox.iter().copied().take(4).eq(*b"GET ");
                asks && stream.accepted
                    && stream.sent == 0
                    && !stream.fin_received
                    && stream.phase == Phase::Open
            })
        };
        self.numbers.values().copied().filter(fresh).collect()
    }

    /// Whether something was sent on a socket, or its peer has gone.
    pub(crate) fn was_answered(&self, id: SocketId) -> bool {
        let gone =
            |id: SocketId| self.peek(id).is_none_or(|it| it.closed || it.vanished || it.phase == Phase::Gone);
        self.peek(id).is_none_or(|stream| stream.sent > 0 || stream.peer.is_none_or(gone))
    }

    /// The responses that the client of a connection has received.
    pub(crate) fn given(&self, id: SocketId) -> Option<Given> {
        self.peek(id)?.tap.as_ref().map(|tap| tap.given())
    }

    /// The number of open sockets and listeners of services.
    pub(crate) fn descriptors(&self) -> usize {
        self.numbers.len()
    }
}
