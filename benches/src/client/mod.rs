//! The load generator: one process, one epoll, any number of connections, a fixed number of
//! requests in flight on each.
//!
//! Closed loop: every reply that arrives sends the next request. What is sent and how replies are
//! read is known by [`deck`], [`raw`], [`ws`] and [`http`]; [`fleet`] moves the bytes.

pub mod connection;
pub mod deck;
pub mod fleet;
pub mod http;
pub mod raw;
pub mod run;
pub mod ws;

pub use fleet::{Fleet, MAX_EVENTS};
pub use run::{Outcome, Span};

use crate::Result;

/// What the connections speak.
#[derive(Clone, Debug, PartialEq)]
pub enum Traffic {
    /// Bytes that come back as they are, without any protocol.
    Raw,
    /// Binary WebSocket messages that come back, from `path`.
    WebSocket {
        /// Where the server echoes.
        path: String,
    },
    /// `GET path`, keep-alive, answered with `content`.
    Http {
        /// What is asked for.
        path: String,
        /// What must come back, byte for byte.
        content: String,
    },
}

/// The shape of a load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server's port on 127.0.0.1.
    pub port: u16,
    /// What the connections speak.
    pub traffic: Traffic,
    /// How many of them.
    pub connections: usize,
    /// Payload bytes of a message; HTTP requests have none.
    pub size: usize,
    /// Requests in flight on each connection.
    pub depth: usize,
    /// Source addresses to spread over, from 127.0.0.2 on; 1 leaves the choice to the kernel. One
    /// address has some 28,000 ports.
    pub sources: u8,
}

/// What the replies said, counted over a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Replies that were complete.
    pub replies: u64,
    /// Connections whose first reply was compared byte by byte and was right.
    pub verified: u64,
    /// Replies with the wrong bytes or the wrong length.
    pub bad: u64,
    /// Frames that did not end a message: the server has cut what it echoed.
    pub fragments: u64,
    /// Connections that the server ended in good order and that were opened again.
    pub reopened: u64,
}

/// Reads replies from the bytes of one connection.
pub(crate) enum Replies {
    Raw(raw::Replies),
    WebSocket(ws::Replies),
    Http(http::Replies),
}

impl Replies {
    pub(crate) fn of(plan: &Plan) -> Self {
        match &plan.traffic {
            Traffic::Raw => Self::Raw(raw::Replies::default()),
            Traffic::WebSocket { .. } => Self::WebSocket(ws::Replies::default()),
            Traffic::Http { content, .. } => Self::Http(http::Replies::new(content)),
        }
    }

    /// Counts the replies in `bytes` and returns how many bytes were used. The rest is the start of
    /// something that is not complete, and must come again with more behind it.
    ///
    /// # Errors
    /// When the server ends the conversation or breaks its rules so that no reply can follow.
    pub(crate) fn read(&mut self, bytes: &[u8], echoed: &[u8], tally: &mut Tally) -> Result<usize> {
        match self {
            Self::Raw(replies) => Ok(replies.read(bytes, echoed, tally)),
            Self::WebSocket(replies) => replies.read(bytes, echoed, tally),
            Self::Http(replies) => replies.read(bytes, tally),
        }
    }

    /// Whether the server has said that no more replies follow on this connection.
    pub(crate) fn ended(&self) -> bool {
        matches!(self, Self::Http(replies) if replies.ended())
    }
}
