//! What a program makes of its connections. Knows no protocol and no loop.

use crate::tls::{Failure, Info};
use crate::{
    ConnectError, ConnectionId, Descriptor, DescriptorEvent, DriverContext, ListenerId, Peer, UdpEvent,
};
use lws_proto::{Cause, Config, Connection, Event};
use std::sync::Arc;

/// A program with connections. A [`Driver`](crate::Driver) owns it, on one thread.
///
/// Every call lends a [`DriverContext`]. What is asked for through it, of another connection too, is done before the service
/// sleeps, and never inside the call.
pub trait Application: Sized + 'static {
    /// Kept for each connection, in the connection table: ten thousand idle ones cost this each, so box what is big.
    type State: 'static;
    /// What other threads may send through a [`DriverHandle`](crate::DriverHandle).
    type Message: Send + 'static;

    /// A listener has a new connection, which [`DriverContext::connection`] names. `None` refuses it: it is closed at once.
    ///
    /// In a shard the listener may be another's, which has handed the connection over: `listener` is then the name
    /// that it has there.
    fn accepted(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        listener: ListenerId,
        peer: &Peer,
    ) -> Option<Accepted<Self>>;

    /// The engine of an accepted connection has been made, and nothing has happened to it yet: over TLS that is when the handshake is
    /// done. The place where a record of it begins.
    fn opened(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        state: &mut Self::State,
        connection: &mut Connection,
    ) {
        let _ = (cx, state, connection);
    }

    /// An outgoing connection is there: a request can be made on `connection`.
    fn connected(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        state: &mut Self::State,
        connection: &mut Connection,
    ) {
        let _ = (cx, state, connection);
    }

    /// An outgoing connection could not be made: `error` tells how far it came, which addresses were tried, and what
    /// came of each. Nothing more is said about it.
    #[doc(alias = "LWS_CALLBACK_CLIENT_CONNECTION_ERROR")]
    fn connect_failed(&mut self, cx: &mut DriverContext<'_, Self>, state: Self::State, error: ConnectError) {
        let _ = (cx, state, error);
    }

    /// The TLS handshake of a connection is done, and nothing above it has been said yet. `false` refuses the peer: an
    /// accepted connection is then [`closed`](Self::closed), an outgoing one [`connect_failed`](Self::connect_failed).
    #[doc(alias = "SSL_INFO")]
    fn tls_established(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        state: &mut Self::State,
        info: &Info,
    ) -> bool {
        let _ = (cx, state, info);
        true
    }

    /// The TLS handshake of an accepted connection failed, or later a session of either kind: the alert that was sent or
    /// received is in `failure`. [`closed`](Self::closed) follows. Of an outgoing connection in its handshake
    /// [`connect_failed`](Self::connect_failed) tells the same.
    fn tls_failed(&mut self, cx: &mut DriverContext<'_, Self>, state: &mut Self::State, failure: &Failure) {
        let _ = (cx, state, failure);
    }

    /// The peer of a listener with TLS and [`Plain::Accept`](crate::tls::Plain::Accept) speaks none.
    fn plain(&mut self, cx: &mut DriverContext<'_, Self>, state: &mut Self::State) {
        let _ = (cx, state);
    }

    /// One event of a connection: called in the turn that received the bytes.
    fn event(&mut self, cx: &mut DriverContext<'_, Self>, state: &mut Self::State, event: Event<'_>);

    /// One event of a descriptor that was adopted with [`DriverContext::adopt_descriptor`]: the application itself reads and
    /// writes it.
    fn descriptor(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        state: &mut Self::State,
        event: DescriptorEvent,
        descriptor: &mut Descriptor<'_>,
    ) {
        let _ = (cx, state, event, descriptor);
    }

    /// One event of a UDP socket.
    fn udp(&mut self, cx: &mut DriverContext<'_, Self>, state: &mut Self::State, event: UdpEvent<'_>) {
        let _ = (cx, state, event);
    }

    /// An HTTP/2 peer was sent GOAWAY for something that it did, or did not do in time: once at most, when the connection
    /// has ended. [`closed`](Self::closed) follows. Streams may have run to their end in spite of it. See
    /// [`Connection::sent_away`].
    fn sent_away(&mut self, cx: &mut DriverContext<'_, Self>, state: &mut Self::State, cause: Cause) {
        let _ = (cx, state, cause);
    }

    /// The connection, descriptor or UDP socket has ended: exactly once for each one that was accepted, adopted,
    /// connected or bound, and nothing is said about it afterwards. A driver that is dropped closes what it has and tells nothing.
    #[doc(alias = "LWS_CALLBACK_RAW_CLOSE_FILE")]
    fn closed(&mut self, cx: &mut DriverContext<'_, Self>, state: Self::State) {
        let _ = (cx, state);
    }

    /// [`DriverContext::wake`] was called for the connection, by whatever handler: it is lent to look at.
    fn woken(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        state: &mut Self::State,
        connection: &mut Connection,
    ) {
        let _ = (cx, state, connection);
    }

    /// Another thread has sent a message.
    fn message(&mut self, cx: &mut DriverContext<'_, Self>, message: Self::Message) {
        let _ = (cx, message);
    }

    /// A message about one connection, from [`DriverHandle::send_to`](crate::DriverHandle::send_to) or [`DriverContext::send_to`]: the
    /// connection is lent to look at. Messages that were sent while it was being made follow [`connected`](Self::connected).
    fn message_to(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        state: &mut Self::State,
        connection: &mut Connection,
        message: Self::Message,
    ) {
        let _ = (cx, state, connection, message);
    }

    /// A message about a connection that cannot get it: it has gone or never came about, it is a descriptor or a UDP
    /// socket, or as many as [`waiting_messages_max`](crate::DriverOptions::waiting_messages_max) wait for connections that
    /// are being made. `id` is whom it was for.
    fn undelivered(&mut self, cx: &mut DriverContext<'_, Self>, id: ConnectionId, message: Self::Message) {
        let _ = (cx, id, message);
    }

    /// Another thread has called [`DriverHandle::wake`](crate::DriverHandle::wake), once or several times.
    fn notified(&mut self, cx: &mut DriverContext<'_, Self>) {
        let _ = cx;
    }

    /// A connection waits to be accepted, and the process or the system has no descriptor or memory left for it: what the application can
    /// close without loss it closes now. The listener tries again a moment later.
    fn exhausted(&mut self, cx: &mut DriverContext<'_, Self>) {
        let _ = cx;
    }

    /// The moment asked for with [`DriverContext::set_timer`] has come.
    fn timer(&mut self, cx: &mut DriverContext<'_, Self>) {
        let _ = cx;
    }

    /// A new second of the wall clock has begun: whole seconds since the first of January 1970, UTC. Called before
    /// anything else that happens in it, and not at all while nothing happens. This is the place to set the
    /// [`WallClock`](lws_proto::WallClock) of every [`Config`] in use.
    fn clock(&mut self, unix_seconds: u32) {
        let _ = unix_seconds;
    }
}

/// What becomes of a connection that was accepted.
pub struct Accepted<A: Application> {
    /// The rules for this connection: the driver makes a server's [`Connection`] of it.
    pub config: Arc<Config>,
    /// The application's own.
    pub state: A::State,
}
