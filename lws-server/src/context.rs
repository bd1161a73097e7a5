//! What every call of a handler lends: the time, the other streams, the counters.

use crate::shared::Shared;
use crate::tls::Info;
use crate::ws::Broadcast;
use crate::{Handle, Peer, PublishError, Stats};
use lws_loop_external::ConnectionId;
use lws_proto::{StreamKey, Time};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Names one stream of a server, on whichever of its threads: an exchange, WebSocket or raw stream. It may be sent to
/// other threads, and that of a stream which has ended finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
    pub(crate) shard: u16,
    pub(crate) connection: ConnectionId,
    pub(crate) key: StreamKey,
}

/// Lent to a handler with every call.
pub struct Context<'a> {
    pub(crate) driver: &'a mut (dyn Driver + 'a),
    pub(crate) shared: &'a mut Shared,
    pub(crate) place: Place,
}

/// What the call is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) route: u32,
    pub(crate) key: Option<StreamKey>,
}

impl Place {
    /// No stream in particular.
    pub(crate) const NOWHERE: Self = Self { route: u32::MAX, key: None };
}

impl Context<'_> {
    /// The time that the loop told last.
    #[must_use]
    pub fn now(&self) -> Time {
        self.driver.now()
    }

    /// Whole seconds since the first of January 1970, UTC; zero before the loop has told them.
    #[must_use]
    pub fn unix_seconds(&self) -> u32 {
        self.shared.unix_seconds
    }

    /// How long the server has been there.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Who is at the other end. Asks the operating system, which forgets a peer that resets: that is [`Peer::Unknown`] then, unless the
    /// server keeps addresses, as it does for an access log and for who watches TLS.
    #[doc(alias = "lws_get_peer_simple")]
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.shared.peer(self.driver.connection(), || self.driver.peer())
    }

    /// What TLS has agreed on with the peer: version, name, protocol, certificate. `None` without TLS.
    #[doc(alias = "lws_tls_peer_cert_info")]
    #[must_use]
    pub fn tls(&self) -> Option<&Info> {
        self.driver.tls()
    }

    /// The name of the stream that the call is about. `None` in a [`post`](crate::Handle::post).
    #[must_use]
    pub fn id(&self) -> Option<StreamId> {
        Some(StreamId {
            shard: self.shared.shard,
            connection: self.driver.connection()?,
            key: self.place.key?,
        })
    }

    /// Has another handler's `wake` called, before the server sleeps. Several calls before that are one. That of another
    /// thread is called soon, or not at all if too many messages wait there.
    pub fn wake(&mut self, id: StreamId) {
        if id.shard == self.shared.shard {
            if self.driver.wake(id.connection) {
                self.shared.wake(id.connection, id.key);
            }
        } else {
            self.shared.group.wake(id);
        }
    }

    /// Asks for a permit on behalf of another handler, whose `writable` gets it.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self, id: StreamId) {
        if id.shard == self.shared.shard {
            self.driver.want_write(id.connection, id.key);
        } else {
            self.shared.group.want_write(id);
        }
    }

    /// Asks for a permit for every open WebSocket of the route that the call is about, the caller's own too, on all
    /// threads.
    #[doc(alias = "lws_callback_on_writable_all_protocol")]
    pub fn want_write_all(&mut self) {
        self.want_write_route(self.place.route);
    }

    /// Asks for a permit for every open WebSocket of the route called `path`.
    #[doc(alias = "lws_callback_on_writable_all_protocol_vhost")]
    pub fn want_write_all_of(&mut self, path: &str) {
        if let Some(route) = self.shared.group.route_named(path) {
            self.want_write_route(route);
        }
    }

    fn want_write_route(&mut self, route: u32) {
        for id in self.shared.members(route) {
            self.driver.want_write(id.connection, id.key);
        }
        self.shared.group.want_write_all(route, Some(self.shared.shard));
    }

    /// The same for the WebSockets of this thread.
    pub(crate) fn want_write_here(&mut self, route: u32) {
        for id in self.shared.members(route) {
            self.driver.want_write(id.connection, id.key);
        }
    }

    /// Sends a message to every open WebSocket of the route that the call is about, the caller's own too, on all threads:
    /// see [`Handle::publish`].
    #[doc(alias = "lws_ring")]
    ///
    /// # Errors
    /// Those of [`Handle::publish`]. The WebSockets of this thread have got the message all the same.
    pub fn publish(&mut self, message: &Broadcast) -> Result<(), PublishError> {
        self.publish_at(self.place.route, message)
    }

    /// Sends a message to every open WebSocket of the route called `path`: see [`Handle::publish`].
    ///
    /// # Errors
    /// Those of [`Handle::publish`]. The WebSockets of this thread have got the message all the same, if there is such a
    /// route.
    pub fn publish_to(&mut self, path: &str, message: &Broadcast) -> Result<(), PublishError> {
        let route = self.shared.group.route_named(path).ok_or(PublishError::NoRoute)?;
        self.publish_at(route, message)
    }

    fn publish_at(&mut self, route: u32, message: &Broadcast) -> Result<(), PublishError> {
        self.publish_here(route, message);
        self.shared.group.publish(route, message, Some(self.shared.shard))
    }

    /// Puts a message where the WebSockets of this thread find it, and tells those that do not know yet.
    pub(crate) fn publish_here(&mut self, route: u32, message: &Broadcast) {
        let Some(audience) = self.shared.audience(route) else { return };
        for (id, place) in audience.publish(message.prepare()) {
            self.driver.tell(id.connection, id.key, route, place);
        }
        if self.shared.audience(route).is_some_and(|audience| audience.is_rushed()) {
            self.driver.pace_messages();
        }
    }

    /// What other threads may hold.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared.group))
    }

    /// The number of the thread that the call is on, from zero on.
    #[must_use]
    #[doc(alias = "lws_get_tsi")]
    pub fn thread(&self) -> usize {
        self.shared.shard.into()
    }

    /// How many WebSockets are open on the route that the call is about, on this thread.
    #[must_use]
    pub fn route_websockets(&self) -> usize {
        self.shared.members(self.place.route).count()
    }

    /// What is counted, on all threads: of the others as they said last, which is when a connection began or ended there or
    /// somebody asked this.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.shared.group.counted_elsewhere(self.shared.shard);
        stats.add(self.thread_stats().to_array());
        stats
    }

    /// What this thread has counted.
    #[must_use]
    pub fn thread_stats(&self) -> Stats {
        let driver = self.driver.stats();
        let counters = &self.shared.counters;
        Stats {
            websockets: counters.websockets,
            requests: counters.requests,
            messages: counters.messages,
            lost: counters.lost,
            panics: counters.panics,
            ..driver
        }
    }

    /// Lets the server end in an orderly way: see [`Handle::drain`](crate::Handle::drain).
    pub fn drain(&mut self) {
        self.shared.group.drain();
    }

    /// Ends the server at once.
    pub fn stop(&mut self) {
        self.shared.group.shards.drain(Duration::ZERO);
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What handlers may ask of the driver, without its type.
pub(crate) trait Driver {
    fn now(&self) -> Time;
    fn peer(&self) -> Option<Peer>;
    fn tls(&self) -> Option<&Info>;
    fn connection(&self) -> Option<ConnectionId>;
    fn wake(&mut self, id: ConnectionId) -> bool;
    fn want_write(&mut self, id: ConnectionId, key: StreamKey);
    fn stats(&self) -> Stats;
    fn tell(&mut self, id: ConnectionId, key: StreamKey, route: u32, place: u32);
    fn pace_messages(&mut self);
}
