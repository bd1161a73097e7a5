//! Redis, by RESP3: publish and subscribe on one connection, and streams for history.
//!
//! Redis 6 or later is needed, 7 for sharded topics. A topic is the channel of its name behind a prefix, so that others can publish to it:
//! `redis-cli PUBLISH lws/room/a hello`. With history a topic has a stream and a hash beside it, `lws/history:room/a` and
//! `lws/epoch:room/a`, and one script appends and publishes, so that both have one order.
//!
//! The server is named, or is found: by sentinels, or by nodes of a cluster ([`RedisServers`]). What is asked is asked on a connection of
//! its own, before each one that topics are on.

mod advice;
mod command;
mod lineage;
mod lookup;
mod parser;
mod scripts;
mod session;
mod slot;
mod url;
mod value;

use crate::servers::ServerList;
use crate::{Endpoint, Protocol, Session, Time};
use lookup::LookupSession;
pub use parser::{RespError, RespLimits, RespParser};
use session::RedisSession;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;
pub use url::RedisUrlError;
pub use value::RespValue;

/// Where Redis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisServers {
    /// One server, or the node of a cluster that has the slot of the topics; if it has moved, that one is followed.
    One(Endpoint),
    /// The master that sentinels name, asked for before each connection: so a failover is followed.
    Sentinel(Sentinels),
    /// Nodes of a cluster, of which one has to answer: it says which has the slot of the topics. All topics are in one slot if
    /// [`RedisOptions::prefix`] has a hash tag, which they have to be for [`RedisOptions::sharded`] and for history.
    Cluster(ServerList),
}

/// Sentinels, and what they watch.
#[derive(Clone, PartialEq, Eq)]
pub struct Sentinels {
    /// Where they are. They are asked in turn, until one knows the master.
    pub endpoints: ServerList,
    /// What they call the master: `mymaster` in their own documentation. The master has to be named by an address that is reached from
    /// here, or by a name if TLS is spoken (`sentinel announce-hostnames`).
    pub master: String,
    /// The user of their own ACL. `None` is the default user.
    pub user: Option<String>,
    /// Their own password: that of the server is [`RedisOptions::password`].
    pub password: Option<String>,
}

/// Shows no password.
impl fmt::Debug for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { endpoints, master, user, .. } = self;
        let mut shown = f.debug_struct("Sentinels");
        shown
            .field("endpoints", endpoints)
            .field("master", master)
            .field("user", user)
            .finish_non_exhaustive()
    }
}

/// How a Redis server is used.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// Where it is, or how it is found.
    pub servers: RedisServers,
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
        Self::at(RedisServers::One(endpoint))
    }

    /// A server that is perhaps to be found, with the defaults for everything else.
    #[must_use]
    pub fn at(servers: RedisServers) -> Self {
        Self {
            servers,
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
            .field("servers", &self.servers)
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
    target: Target,
    /// Where topics are, as a server has said. For one attempt: then it is asked again.
    directed_to: Option<Endpoint>,
    attempt: RedisAttempt,
    /// Attempts to ask that have failed since one has not.
    failed_lookups: usize,
}

/// Where topics are if no server has said it.
enum Target {
    Known(Endpoint),
    /// These servers are asked.
    Asked(ServerList),
}

/// Where the connection of the moment goes.
#[derive(Clone, Debug)]
struct RedisAttempt {
    here: Endpoint,
    /// It asks where the topics are.
    is_lookup: bool,
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
        let (here, target) = match &options.servers {
            RedisServers::One(endpoint) => (endpoint, Target::Known(endpoint.clone())),
            RedisServers::Sentinel(Sentinels { endpoints, .. }) | RedisServers::Cluster(endpoints) => {
                (&endpoints.named()[0], Target::Asked(endpoints.clone()))
            }
        };
        let attempt = RedisAttempt { here: here.clone(), is_lookup: false };
        Self { options: Rc::new(options), recovery, target, directed_to: None, attempt, failed_lookups: 0 }
    }
}

impl Protocol for Redis {
    fn endpoint(&mut self) -> Endpoint {
        self.attempt = match (self.directed_to.take(), &mut self.target) {
            (Some(here), _) => RedisAttempt { here, is_lookup: false },
            (None, Target::Known(here)) => RedisAttempt { here: here.clone(), is_lookup: false },
            (None, Target::Asked(servers)) => RedisAttempt { here: servers.next(), is_lookup: true },
        };
        self.attempt.here.clone()
    }

    fn session(&mut self, _now: Time) -> Box<dyn Session> {
        let (options, here) = (Rc::clone(&self.options), self.attempt.here.clone());
        if self.attempt.is_lookup {
            Box::new(LookupSession::new(options, here))
        } else {
            Box::new(RedisSession::new(options, here, self.recovery))
        }
    }

    fn learn(&mut self, endpoints: Vec<Endpoint>) {
        if let Target::Asked(servers) = &mut self.target {
            servers.learn(endpoints);
        }
    }

    fn directed(&mut self, endpoint: Endpoint) {
        self.failed_lookups = 0;
        self.directed_to = Some(endpoint);
    }

    fn attempt_failed(&mut self) -> bool {
        match &self.target {
            Target::Asked(servers) if self.attempt.is_lookup => {
                self.failed_lookups += 1;
                // All of them are asked before there is a pause.
                !self.failed_lookups.is_multiple_of(servers.count())
            }
            _ => false,
        }
    }
}
