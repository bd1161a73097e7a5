//! What every call of a handler lends: the time, the peer, the other streams, the counters.
//!
//! Further calls stand with what they are about: `publish/`, `link/connections.rs`, `link/open.rs`, `link/child.rs`, `site/install.rs`.

use crate::id::{LinkId, RouteId, StreamId, TimerId};
use crate::link::Link;
use crate::publish::topics::{Subscription, Subscriptions};
use crate::thread::ThreadState;
use crate::tls::Info;
use crate::upstream::{ConnectOptions, Target};
use crate::{Peer, Stats};
use lws_loop_external::tls::Provider;
use lws_loop_external::{
    ConnectionId, DriverStats, Histogram, Interest, ListenOptions, ListenerId, ListeningSocket, UdpOptions,
};
use lws_proto::{Config, Connection, StreamKey, Time};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// Lent to a handler with every call: what it may know and ask for beside its own stream.
///
/// What is asked for is done after the call, and before the server sleeps.
pub struct Context<'a> {
    pub(crate) driver: &'a mut (dyn DriverAccess + 'a),
    pub(crate) state: &'a mut ThreadState,
    pub(crate) subject: Subject,
    /// Those of the WebSocket that the call is about.
    pub(crate) subscriptions: Option<&'a mut Subscriptions>,
}

/// What a call is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) route: RouteId,
    pub(crate) key: Option<StreamKey>,
}

impl Subject {
    /// No stream and no route in particular.
    pub(crate) const NONE: Self = Self { route: RouteId::NONE, key: None };
}

impl<'a> Context<'a> {
    /// The context of a call about `subject`. A panic from now on is reported for its route.
    #[inline]
    pub(crate) fn new(
        driver: &'a mut (dyn DriverAccess + 'a),
        state: &'a mut ThreadState,
        subject: Subject,
        subscriptions: Option<&'a mut Subscriptions>,
    ) -> Self {
        state.calling = subject.route;
        Self { driver, state, subject, subscriptions }
    }
}

impl Context<'_> {
    /// The time of the loop, as of the beginning of its turn.
    #[must_use]
    pub fn now(&self) -> Time {
        self.driver.now()
    }

    /// Whole seconds since the first of January 1970, UTC; zero before the first turn of the loop.
    #[must_use]
    pub fn unix_seconds(&self) -> u32 {
        self.state.unix_seconds
    }

    /// How long the server has been there.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.state.started.elapsed()
    }

    /// Who is at the other end. Asks the operating system, which forgets a peer that resets: that is [`Peer::Unknown`] then, unless the
    /// server keeps addresses, as it does for an access log and for who watches TLS, or was asked a short while before.
    #[doc(alias = "lws_get_peer_simple")]
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.state.peers.get(self.driver.connection(), || self.driver.peer())
    }

    /// The address of this side of the connection. Asks the operating system. `None` of a Unix socket, and of a call that is about no
    /// connection.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.driver.local_address()
    }

    /// What TLS has agreed on with the peer: version, name, protocol, certificate. `None` without TLS.
    #[doc(alias = "lws_tls_peer_cert_info")]
    #[must_use]
    pub fn tls(&self) -> Option<&Info> {
        self.driver.tls()
    }

    /// The name of the stream that the call is about. `None` of a call that is about none.
    #[must_use]
    pub fn id(&self) -> Option<StreamId> {
        let connection = self.driver.connection()?;
        Some(StreamId { shard: self.state.shard, connection, key: self.subject.key? })
    }

    /// The number of the thread that the call is on, from zero on.
    #[must_use]
    #[doc(alias = "lws_get_tsi")]
    pub fn thread(&self) -> usize {
        self.state.shard.into()
    }

    /// How many WebSockets are open on the route that the call is about, on this thread.
    #[must_use]
    pub fn route_websockets(&self) -> usize {
        self.state.topics.members(self.subject.route).count()
    }

    // Timers.

    /// Calls `call` once, `delay` from now, on this thread. Its context belongs to no stream.
    ///
    /// A timer of one stream is rather [`Stream::set_timeout`](crate::Stream::set_timeout), which ends with the stream.
    #[doc(alias = "lws_sul_schedule")]
    pub fn after(&mut self, delay: Duration, call: impl FnOnce(&mut Context<'_>) + 'static) -> TimerId {
        let id = self.state.timers.once(self.driver.now() + delay, Box::new(call));
        self.driver.set_timer(self.state.next_timer());
        id
    }

    /// Calls `call` after each `period`, of a millisecond at least, on this thread. Periods that pass while the thread is at work
    /// are left out. Its context belongs to no stream.
    pub fn every(&mut self, period: Duration, call: impl FnMut(&mut Context<'_>) + 'static) -> TimerId {
        let id = self.state.timers.every(self.driver.now(), period, Box::new(call));
        self.driver.set_timer(self.state.next_timer());
        id
    }

    /// Forgets a timer of this thread. Answers whether it was still to be called.
    pub fn cancel(&mut self, timer: TimerId) -> bool {
        let cancelled = self.state.timers.cancel(timer);
        self.driver.set_timer(self.state.next_timer());
        cancelled
    }

    // Counters.

    /// The counters of all threads: of the others as of their last report, which each makes when a connection begins or ends there
    /// and when another thread calls this.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = self.state.group.counted_elsewhere(self.state.shard);
        stats.add(self.thread_stats().to_array());
        stats
    }

    /// What this thread has counted.
    #[must_use]
    pub fn thread_stats(&self) -> Stats {
        let driver = self.driver.stats();
        let counters = &self.state.counters;
        Stats {
            websockets: counters.websockets,
            requests: counters.requests,
            messages: counters.messages,
            lost: counters.lost,
            panics: counters.panics,
            ..driver
        }
    }

    /// What turns of the loop of this thread took, if [`DriverOptions::measures_turns`](crate::DriverOptions::measures_turns) says so, and how late
    /// they began.
    #[must_use]
    pub fn loop_times(&self) -> [Histogram; 2] {
        let stats = self.driver.driver_stats();
        [stats.turn_time, stats.lag]
    }

    // The end.

    /// Lets the server end in an orderly way: see [`Handle::drain`](crate::Handle::drain).
    pub fn drain(&mut self) {
        self.state.group.drain();
    }

    /// Ends the server at once.
    pub fn stop(&mut self) {
        self.state.group.stop();
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// What handlers may ask of the driver, without its type.
pub(crate) trait DriverAccess {
    fn now(&self) -> Time;
    fn peer(&self) -> Option<Peer>;
    fn local_address(&self) -> Option<SocketAddr>;
    fn tls(&self) -> Option<&Info>;
    fn connection(&self) -> Option<ConnectionId>;
    fn stats(&self) -> Stats;
    fn driver_stats(&self) -> &DriverStats;
    // Other connections.
    fn want_write(&mut self, id: ConnectionId, key: StreamKey);
    fn wake_stream(&mut self, id: ConnectionId, key: StreamKey);
    fn wake_link(&mut self, id: ConnectionId);
    fn close_link(&mut self, id: ConnectionId);
    fn start_tls(&mut self, id: ConnectionId, provider: Arc<dyn Provider>, timeout: Duration);
    fn deliver(&mut self, id: ConnectionId, key: StreamKey, subscription: Subscription);
    #[cfg(feature = "broker")]
    fn recovered(
        &mut self,
        id: ConnectionId,
        key: StreamKey,
        recovery: Box<crate::publish::broker::StreamRecovery>,
    );
    fn send_away(&mut self, id: ConnectionId, key: StreamKey);
    fn pace_messages(&mut self);
    fn set_timer(&mut self, at: Option<Time>);
    // Listeners.
    fn listen_on(&mut self, socket: ListeningSocket, options: &ListenOptions) -> io::Result<ListenerId>;
    fn duplicate_listener(&mut self, id: ListenerId) -> io::Result<OwnedFd>;
    fn leave_listener_files(&mut self);
    fn take_listener_files(&mut self);
    fn unlisten(&mut self, id: ListenerId);
    // Links.
    fn connect(
        &mut self,
        target: Target,
        config: Arc<Config>,
        options: &ConnectOptions,
        link: Link,
    ) -> io::Result<ConnectionId>;
    fn adopt(&mut self, descriptor: OwnedFd, engine: Connection, link: Link) -> io::Result<ConnectionId>;
    fn adopt_pair(
        &mut self,
        input: OwnedFd,
        output: OwnedFd,
        engine: Connection,
        link: Link,
    ) -> io::Result<ConnectionId>;
    fn adopt_descriptor(
        &mut self,
        descriptor: OwnedFd,
        interest: Interest,
        link: Link,
    ) -> io::Result<ConnectionId>;
    fn bind_udp(
        &mut self,
        local: SocketAddr,
        options: &UdpOptions,
        link: Link,
    ) -> io::Result<(ConnectionId, SocketAddr)>;
}

impl Context<'_> {
    /// What a connection of this thread is called.
    pub(crate) fn link_id(&self, connection: ConnectionId) -> LinkId {
        LinkId { shard: self.state.shard, connection }
    }
}
