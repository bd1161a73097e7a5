//! Topics over a message broker, so that several processes share them. Does no I/O.
//!
//! A [`Broker`] takes subscriptions and publications and reports [`Event`]s. [`Local`] is that of one process alone, so that a
//! program is written once; [`Remote`] is one behind a connection, whose octets the program's own loop carries. It is the same for
//! all protocols: one subscription per topic, with linger; reconnection with full jitter and paced resubscription; an
//! [`Event::Gap`] wherever a message may be missing, or recovery from the broker's history. A protocol is a [`Session`]: octets in and
//! out of one connection.
//!
//! [`redis`] and [`nats`] are protocols of brokers. A [`mesh::Mesh`] needs no broker: processes on one machine, connected to each other.
//!
//! What is promised: each subscriber's messages are a subsequence of the topic's, without repeats, and each hole is covered by a
//! gap. Nothing is kept without a bound: see [`Limits`].

#![forbid(unsafe_code)]

mod backoff;
mod event;
mod local;
#[cfg(feature = "mesh")]
pub mod mesh;
#[cfg(feature = "nats")]
pub mod nats;
mod options;
#[cfg(feature = "testing")]
pub mod oracle;
mod outgoing;
#[cfg(any(feature = "nats", feature = "redis"))]
mod percent;
pub mod presence;
mod recent;
#[cfg(feature = "redis")]
pub mod redis;
mod remote;
#[cfg(any(feature = "nats", feature = "redis"))]
mod servers;
mod session;
mod subscriptions;
mod topic;
#[cfg(any(feature = "mesh", feature = "nats"))]
mod transmit;

pub use bytes::Bytes;
pub use event::{Cause, Event, Full, Position, Receipt};
pub use local::Local;
pub use lws_proto::Time;
pub use options::{Limits, Options};
pub use recent::{Asked, Recent, RecentLimits, Replay};
pub use remote::{Remote, TransportRequest};
#[cfg(any(feature = "nats", feature = "redis"))]
pub use servers::{NotAServerList, ServerList};
pub use session::{Endpoint, Features, History, Protocol, Security, Session, SessionEvent};
pub use topic::{TOPIC_BYTES_MAX, Topic, TopicName};

/// Topics that processes share. Does no I/O and never waits.
pub trait Broker {
    /// Subscribes to a topic. Idempotent: the caller counts who is interested. Confirmed by [`Event::Subscribed`].
    fn subscribe(&mut self, now: Time, topic: &Topic);

    /// The last subscriber of a topic has gone. The subscription lingers for a while before it ends; no messages to it are reported from
    /// now on.
    fn unsubscribe(&mut self, now: Time, topic: &Topic);

    /// Publishes to a topic. If it is subscribed to here, the message comes back once as an [`Event::Message`], in the order of the topic:
    /// so the publisher's own process needs no path of its own.
    ///
    /// # Errors
    /// A limit is reached. Nothing of the publication is kept.
    fn publish(&mut self, now: Time, topic: &Topic, payload: Bytes) -> Result<Receipt, Full>;

    /// Reads the history of a topic that is subscribed to, for those who come to it with a position of before. Answers whether an
    /// [`Event::History`] comes of it, in its place among the messages, unless the subscription ends or is refused. Asked again while one is
    /// to come, it is that one: the broker is asked once.
    fn read_history(&mut self, now: Time, topic: &Topic) -> bool {
        let _ = (now, topic);
        false
    }

    /// What has happened. To be called until it is `None`, after every other call.
    fn poll(&mut self) -> Option<Event>;
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
