//! The names of what a server has: streams, links, sites, routes. Each is a number that is not used again, or carries a
//! generation, so that the name of something that has gone finds nothing.

use lws_loop_external::ConnectionId;
use lws_proto::StreamKey;
use std::fmt;

/// Names one stream of a server, on whichever of its threads: an exchange, WebSocket or raw stream. It may be sent to
/// other threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    pub(crate) shard: u16,
    pub(crate) connection: ConnectionId,
    pub(crate) key: StreamKey,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = self.key.to_bits();
        write!(f, "{}-{}-{}.{}", self.shard, self.connection, key & u64::from(u32::MAX), key >> 32)
    }
}

impl StreamId {
    /// The name of the connection that it is on.
    #[must_use]
    pub fn link(&self) -> LinkId {
        LinkId { shard: self.shard, connection: self.connection }
    }
}

/// Names a connection of a server, or what a handler has opened on its thread: an outgoing connection, an adopted descriptor, a UDP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId {
    pub(crate) shard: u16,
    pub(crate) connection: ConnectionId,
}

/// Names one site of a server, on all of its threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(pub(crate) u32);

/// Names a timer of a server's thread: see [`Context::after`](crate::Context::after).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TimerId(pub(crate) u64);

/// The number of a route, which is the same on all threads of a server. Sites that are added get numbers of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RouteId(pub(crate) u32);

impl RouteId {
    /// What raw streams, unknown paths and calls about no stream have in place of a route.
    pub(crate) const NONE: Self = Self(u32::MAX);
}
