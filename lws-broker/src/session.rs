//! The seam of a broker's protocol: one connection, octets in and octets out.
//!
//! A session knows the protocol of its broker and nothing else. What all protocols need is above it, in
//! [`Remote`](crate::Remote): reconnection, back-off, resubscription and its pace, linger, positions, gaps, recovery, heartbeats.

use crate::{Cause, Position, Receipt, Topic};
use bytes::Bytes;
use lws_proto::Time;
use std::path::PathBuf;

/// The protocol of a broker: where its connections go, and what speaks on them. Lives as long as the broker's client, across
/// connections.
pub trait Protocol {
    /// Where the next connection goes. Called once for each attempt, so that an attempt may go to another server of a cluster.
    fn endpoint(&mut self) -> Endpoint;

    /// What speaks on a connection that has just been made. It may have something to [transmit](Session::transmit) at once.
    fn session(&mut self, now: Time) -> Box<dyn Session>;

    /// A session has reported other servers of the cluster.
    fn learn(&mut self, endpoints: Vec<Endpoint>) {
        let _ = endpoints;
    }

    /// A session has reported where the next connection has to go.
    fn directed(&mut self, endpoint: Endpoint) {
        let _ = endpoint;
    }

    /// A connection could not be made, or has ended. Whether the next one is made at once, as it goes to another server that may do
    /// better. Otherwise there is a pause, and there has to be one after some attempts.
    fn attempt_failed(&mut self) -> bool {
        false
    }
}

/// Where a broker is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// By TCP, perhaps with TLS.
    Tcp {
        /// A name or an address.
        host: String,
        /// The port.
        port: u16,
        /// Whether TLS is spoken, and from when on.
        tls: Security,
    },
    /// By a Unix socket at this path.
    Unix(PathBuf),
}

/// Whether a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// It is not.
    Plain,
    /// By TLS, from the first octet on.
    Tls,
    /// By TLS, from the moment that the session asks for it: [`SessionEvent::StartTls`].
    TlsLater,
}

/// One connection to a broker. Reads and writes octets, and reports what they mean; owns no socket and no clock.
///
/// The driver calls [`receive`](Self::receive) with what has come, in whatever pieces; drains [`poll`](Self::poll) after each
/// call; and sends what [`transmit`](Self::transmit) shows. After [`SessionEvent::Failed`] nothing more is asked of it.
pub trait Session {
    /// What the broker offers. Final once [`SessionEvent::Ready`] was reported, but for
    /// [`Features::payload_bytes_max`], which the broker may change.
    fn features(&self) -> Features;

    /// Octets have come. However they are cut, the events are the same.
    fn receive(&mut self, now: Time, octets: &[u8]);

    /// Octets to send, as many as lie together. Empty if there are none.
    fn transmit(&self) -> &[u8];

    /// The transport has taken the first `count` octets of [`transmit`](Self::transmit).
    fn transmitted(&mut self, count: usize);

    /// When [`handle_timeout`](Self::handle_timeout) has to be called, if the session has a deadline of its own. That the greeting and
    /// answers come in time is watched by [`Remote`](crate::Remote).
    fn deadline(&self) -> Option<Time> {
        None
    }

    /// A deadline may have passed. A spurious call does nothing.
    fn handle_timeout(&mut self, now: Time) {
        let _ = now;
    }

    /// Subscribes to topics, at most [`Options::batch_topics_max`](crate::Options::batch_topics_max) in one call. Each is answered by one
    /// [`SessionEvent::Subscribed`] or [`SessionEvent::Refused`], before any message to it. Called after `Ready` only, and not twice for a
    /// topic without [`unsubscribe`](Self::unsubscribe) between.
    fn subscribe(&mut self, topics: &[Topic]);

    /// Ends subscriptions that were confirmed. No answer is reported.
    fn unsubscribe(&mut self, topics: &[Topic]);

    /// Whether another publication may be handed over: output is short and not too many answers are awaited. Changes with
    /// [`receive`](Self::receive) and [`transmitted`](Self::transmitted) only.
    fn can_publish(&self) -> bool;

    /// Publishes. Called after `Ready`, and while [`can_publish`](Self::can_publish). A publication that the broker does not accept
    /// is reported by [`SessionEvent::Refused`].
    fn publish(&mut self, receipt: Receipt, topic: &Topic, payload: &Bytes);

    /// Asks for the history of a topic that is subscribed to: what comes after a position, or only the newest position if there is
    /// none to begin from. Answered by one [`SessionEvent::History`]. Called if [`Features::history`].
    fn recover(&mut self, topic: &Topic, after: Option<Position>) {
        let _ = (topic, after);
    }

    /// Makes the broker send something, so that a dead connection is noticed.
    fn ping(&mut self);

    /// What has happened. To be called until it is `None`.
    fn poll(&mut self) -> Option<SessionEvent>;
}

/// What a broker offers on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features {
    /// Publications of a connection come back on it if it subscribes to their topic. Otherwise [`Remote`](crate::Remote) delivers them
    /// here.
    pub echo: bool,
    /// Messages have positions, and [`Session::recover`] finds earlier ones.
    pub history: bool,
    /// Octets of a payload that the broker takes, at most.
    pub payload_bytes_max: usize,
}

/// What a session reports.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionEvent {
    /// The driver has to begin TLS before it sends and receives more.
    StartTls,
    /// The greeting is over.
    Ready,
    /// Other servers of the cluster.
    Endpoints(Vec<Endpoint>),
    /// The next connection has to go there.
    Directed(Endpoint),
    /// This connection has done what it was for, and the next one is made at once. In the greeting only, and once in an attempt: its
    /// deadline goes on.
    Over,
    /// The broker has confirmed a subscription.
    Subscribed(Topic),
    /// The broker has ended a subscription by itself: messages may be lost until it is subscribed to again.
    Unsubscribed(Topic),
    /// A message. Of a topic that is not subscribed to it is ignored.
    Message {
        /// The topic.
        topic: Topic,
        /// The content.
        payload: Bytes,
        /// Its place, with [`Features::history`].
        position: Option<Position>,
    },
    /// A message of a stream that topics share, so that the offsets of one topic have holes.
    Linked {
        /// The topic.
        topic: Topic,
        /// The content.
        payload: Bytes,
        /// Its place.
        position: Position,
        /// The topic has no message between this offset and its own. 0 if there is none before it.
        previous: u64,
    },
    /// The broker may have left out messages: to this topic, or to all.
    Lost(Option<Topic>),
    /// The answer to [`Session::recover`].
    History(History),
    /// The broker does not accept a subscription, or a publication if there is a receipt.
    Refused {
        /// The topic.
        topic: Topic,
        /// The publication.
        receipt: Option<Receipt>,
        /// Why.
        cause: Cause,
    },
    /// The connection cannot be used any more, and has to be closed.
    Failed(Cause),
}

/// A part of the history of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// The topic.
    pub topic: Topic,
    /// The newest position. `None` if the broker could not find it out: what was asked for is lost then.
    pub newest: Option<Position>,
    /// Offsets and payloads after the position that was asked for, in their order. Incomplete if too many were there or some are
    /// lost, which [`Remote`](crate::Remote) notices by the offsets, unless they have holes.
    pub entries: Vec<(u64, Bytes)>,
    /// Of a topic whose offsets have holes: behind this offset nothing is missing among the entries. `None` if something may be, as far as
    /// the offsets do not show themselves that nothing is.
    pub whole_after: Option<u64>,
}
