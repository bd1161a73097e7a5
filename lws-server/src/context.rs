//! What every call of a handler lends: the time, the other streams, the counters.

use crate::shared::Shared;
use crate::tls::Info;
use crate::{Peer, Stats};
use lws_loop_external::ConnectionId;
use lws_proto::{StreamKey, Time};
use std::fmt;
use std::time::Duration;

/// Names one stream of a server: an exchange, WebSocket or raw stream. It may be sent to other threads, and that of a
/// stream which has ended finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId {
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

    /// Who is at the other end. Asks the operating system.
    #[doc(alias = "lws_get_peer_simple")]
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.driver.peer()
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
        Some(StreamId { connection: self.driver.connection()?, key: self.place.key? })
    }

    /// Has another handler's `wake` called, before the server sleeps. Several calls before that are one.
    pub fn wake(&mut self, id: StreamId) {
        self.driver.wake(id.connection);
    }

    /// Asks for a permit on behalf of another handler, whose `writable` gets it.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self, id: StreamId) {
        self.driver.want_write(id.connection, id.key);
    }

    /// Asks for a permit for every open WebSocket of the route that the call is about, the caller's own too.
    #[doc(alias = "lws_callback_on_writable_all_protocol")]
    pub fn want_write_all(&mut self) {
        self.want_write_route(self.place.route);
    }

    /// Asks for a permit for every open WebSocket of the route called `path`.
    #[doc(alias = "lws_callback_on_writable_all_protocol_vhost")]
    pub fn want_write_all_of(&mut self, path: &str) {
        if let Some(route) = self.shared.route_named(path) {
            self.want_write_route(route);
        }
    }

    fn want_write_route(&mut self, route: u32) {
        for id in self.shared.members(route) {
            self.driver.want_write(id.connection, id.key);
        }
    }

    /// How many WebSockets are open on the route that the call is about.
    #[must_use]
    pub fn route_websockets(&self) -> usize {
        self.shared.members(self.place.route).count()
    }

    /// What is counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let driver = self.driver.stats();
        let counters = &self.shared.counters;
        Stats {
            websockets: counters.websockets,
            requests: counters.requests,
            messages: counters.messages,
            ..driver
        }
    }

    /// Lets the server end in an orderly way: see [`Handle::drain`](crate::Handle::drain).
    pub fn drain(&mut self) {
        self.driver.drain(self.shared.drain_timeout);
    }

    /// Ends the server at once.
    pub fn stop(&mut self) {
        self.driver.stop();
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
    fn peer(&self) -> Peer;
    fn tls(&self) -> Option<&Info>;
    fn connection(&self) -> Option<ConnectionId>;
    fn wake(&mut self, id: ConnectionId);
    fn want_write(&mut self, id: ConnectionId, key: StreamKey);
    fn stats(&self) -> Stats;
    fn drain(&mut self, timeout: Duration);
    fn stop(&mut self);
}
