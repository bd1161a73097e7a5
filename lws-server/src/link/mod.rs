//! What a connection is to the application: who began it, and who hears of it.

pub(crate) mod child;
pub(crate) mod connections;
pub mod datagrams;
pub mod descriptor;
pub(crate) mod open;
pub(crate) mod stream;
pub(crate) mod streams;
pub mod upstream;

use crate::link::streams::Streams;

/// Kept for each connection in the driver's table. Accepted ones are most of them, so that the others are boxed.
pub(crate) enum Link {
    /// A listener has accepted it: requests, WebSockets and raw streams, each with a handler of its own.
    Accepted(Streams),
    /// A handler has begun it towards some server.
    Upstream(Box<dyn upstream::Handler>),
    /// The thread's client has begun it.
    #[cfg(feature = "client")]
    Client(lws_client::Link),
    /// A handler has given it its descriptors, such as the pipes of a process: one raw stream.
    Child(Box<Streams>),
    /// A descriptor that its handler reads and writes by itself.
    Descriptor(Box<dyn descriptor::Handler>),
    /// A UDP socket.
    Datagrams(Box<dyn datagrams::Handler>),
    /// Its handler has panicked, and was dropped: the link is to be ended, or is on its way to its end.
    Panicked,
}

impl Link {
    /// The streams of an accepted or adopted connection.
    #[inline]
    pub(crate) fn streams(&mut self) -> Option<&mut Streams> {
        match self {
            Self::Accepted(streams) => Some(streams),
            Self::Child(streams) => Some(streams),
            Self::Upstream(_) | Self::Descriptor(_) | Self::Datagrams(_) | Self::Panicked => None,
            #[cfg(feature = "client")]
            Self::Client(_) => None,
        }
    }

    /// Whether this side has begun the connection, to some server.
    pub(crate) fn is_outgoing(&self) -> bool {
        match self {
            Self::Upstream(_) => true,
            #[cfg(feature = "client")]
            Self::Client(_) => true,
            _ => false,
        }
    }
}

#[cfg(feature = "client")]
impl From<lws_client::Link> for Link {
    fn from(link: lws_client::Link) -> Self {
        Self::Client(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_costs_an_accepted_connection_nothing() {
        assert_eq!(size_of::<Link>(), size_of::<Streams>());
    }
}
