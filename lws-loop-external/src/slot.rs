//! The entries of the connection table: a descriptor, its purpose, and its state.

use crate::announced::Announced;
use crate::flags::Flags;
use crate::handshake::Handshaking;
use crate::net::Owned;
use crate::open::Open;
use crate::piped::Piped;
use crate::registration::Registration;
use crate::token::ConnectionId;
use crate::udp::Datagrams;
use crate::watch::Watched;
use lws_proto::Time;

/// A time that never comes.
pub(crate) const NEVER: Time = Time::from_micros(u64::MAX);

/// An entry of the connection table: one descriptor.
pub(crate) struct Slot<S> {
    pub(crate) body: Body<S>,
    /// The time for which the entry's timer is set; the deadline itself may be later.
    pub(crate) scheduled: Time,
    pub(crate) generation: u32,
    pub(crate) socket: Owned,
    pub(crate) flags: Flags,
    pub(crate) registration: Registration,
}

/// The purpose of a slot.
#[expect(
    clippy::large_enum_variant,
    reason = "almost every slot is one: a box would cost a cache miss per turn"
)]
pub(crate) enum Body<S> {
    /// A connection.
    Open(Open<S>),
    /// A connection in its TLS handshake.
    Handshaking(Box<Handshaking<S>>),
    /// A connection of a proxy, which is to say first whom it stands for.
    Announced(Box<Announced>),
    /// A connection over pipes or a terminal.
    Piped(Box<Piped<S>>),
    /// The output of such a connection, if that is a descriptor of its own.
    Output(ConnectionId),
    /// A descriptor that the application reads and writes.
    Watched(Box<Watched<S>>),
    /// A UDP socket.
    Datagrams(Box<Datagrams<S>>),
    /// It has ended: the descriptor stays open until the host lets go of it.
    Ended,
}

impl<S> Body<S> {
    /// The next deadline.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match self {
            Self::Open(open) => open.connection.next_timeout(),
            Self::Piped(piped) => piped.open().connection.next_timeout(),
            Self::Handshaking(shaking) => Some(shaking.due),
            Self::Announced(announced) => Some(announced.deadline),
            Self::Output(_) | Self::Watched(_) | Self::Datagrams(_) | Self::Ended => None,
        }
    }

    /// Whether a deadline has come.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.deadline().is_some_and(|at| at <= now)
    }

    /// The connection, if it is one.
    pub(crate) fn open_mut(&mut self) -> Option<&mut Open<S>> {
        match self {
            Self::Open(open) => Some(open),
            Self::Piped(piped) => Some(piped.open_mut()),
            _ => None,
        }
    }
}

impl<S> Slot<S> {
    /// A slot for `body`, without a deadline.
    pub(crate) fn new(
        id: ConnectionId,
        socket: Owned,
        flags: Flags,
        registration: Registration,
        body: Body<S>,
    ) -> Self {
        Self { body, scheduled: NEVER, generation: id.generation, socket, flags, registration }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lws_proto::Connection;

    #[test]
    fn a_slot_costs_little_more_than_its_connection() {
        let (slot, connection) = (size_of::<Option<Slot<()>>>(), size_of::<Connection>());
        assert!(slot <= connection + 40, "{slot} bytes for a connection of {connection}");
    }
}
