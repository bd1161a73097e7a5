//! Redis, by RESP3: publish and subscribe on one connection, and streams for history.
//!
//! Redis 6 or later is needed, 7 for sharded topics. A topic is the channel of its name behind a prefix, so that others can publish to it:
//! `redis-cli PUBLISH lws/room/a hello`. With history a topic has a stream and a hash beside it, `lws/history:room/a` and
//! `lws/epoch:room/a`, and one script appends and publishes, so that both have one order.

mod advice;
mod command;
mod parser;
mod scripts;
mod session;
mod url;
mod value;

use crate::{Endpoint, Protocol, Session, Time};
pub use parser::{RespError, RespLimits, RespParser};
use session::RedisSession;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;
pub use url::RedisUrlError;
pub use value::RespValue;

/// How a Redis server is used.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The user of its ACL. `None` is the default user.
    pub user: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The database of history. Channels belong to none.
    pub database: u16,
    /// What `CLIENT LIST` calls the connection. Default `lws`. Printable ASCII without spaces.
    pub client_name: String,
    /// What stands before a topic in the name of its channel and its keys. Default `lws/`.
    pub prefix: String,
    /// Whether channels are those of sharded publish and subscribe (`SSUBSCRIBE`, `SPUBLISH`), which a cluster sends to the nodes of their
    /// slot only. All topics of a broker must be in one slot: give the prefix a hash tag, as in `{lws}/`. Default no.
    pub sharded: bool,
    /// Whether messages are kept for recovery. Default no: at most once. All processes of a topic have to agree.
    pub history: Option<HistoryOptions>,
    /// What the server can make the parser hold.
    pub limits: RespLimits,
}

/// What is kept of each topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryOptions {
    /// Messages. Default 256: what is published while a connection is away, at most.
    pub messages: u32,
    /// How long after the last message they are kept. Default 5 min.
    pub ttl: Duration,
    /// How long the epoch and the newest offset are kept, some 100 octets for each topic. Default 30 days, and not less than `ttl`: the
    /// first message after a longer silence has a gap before it.
    pub epoch_ttl: Duration,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self { messages: 256, ttl: Duration::from_secs(300), epoch_ttl: Duration::from_secs(30 * 86_400) }
    }
}

impl RedisOptions {
    /// A server, with the defaults for everything else.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            user: None,
            password: None,
            database: 0,
            client_name: "lws".to_owned(),
            prefix: "lws/".to_owned(),
            sharded: false,
            history: None,
            limits: RespLimits::default(),
        }
    }
}

/// Shows no password.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("endpoint", &self.endpoint)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("prefix", &self.prefix)
            .field("sharded", &self.sharded)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}

/// What the history of a topic may bring at once.
#[derive(Clone, Copy, Debug)]
struct RecoveryLimits {
    messages_max: usize,
    /// Octets of all payloads.
    bytes_max: usize,
}

/// The protocol of Redis for a [`Remote`](crate::Remote).
pub struct Redis {
    options: Rc<RedisOptions>,
    recovery: RecoveryLimits,
    /// Where a node of a cluster has said that topics are. For one attempt: behind it the node that was named is asked again.
    moved_to: Option<Endpoint>,
}

impl Redis {
    /// With the limits of what is recovered at once: those of the [`Remote`](crate::Remote) that it is for.
    #[must_use]
    pub fn new(options: RedisOptions, limits: &crate::Limits) -> Self {
        // The history of a topic is one value, in which a message is two.
        let RespLimits { value_bytes_max, elements_max, .. } = options.limits;
        let recovery = RecoveryLimits {
            messages_max: limits.recovery_messages_max.min(elements_max / 4),
            bytes_max: limits.recovery_bytes_max.min(value_bytes_max / 2),
        };
        Self { options: Rc::new(options), recovery, moved_to: None }
    }
}

impl Protocol for Redis {
    fn endpoint(&mut self) -> Endpoint {
        self.moved_to.take().unwrap_or_else(|| self.options.endpoint.clone())
    }

    fn learn(&mut self, endpoints: Vec<Endpoint>) {
        self.moved_to = endpoints.into_iter().next();
    }

    fn session(&mut self, _now: Time) -> Box<dyn Session> {
        Box::new(RedisSession::new(Rc::clone(&self.options), self.recovery))
    }
}
