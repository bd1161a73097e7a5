//! The trait that a program implements to handle its connections. Knows no protocol and no loop.

use crate::tls::{Failure, Info};
use crate::{
    ConnectError, ConnectionId, Descriptor, DescriptorEvent, DriverContext, ListenerId, Peer, ProxyFailure,
    UdpEvent,
};
use lws_proto::{Cause, Config, Connection, Event};
use std::sync::Arc;
use std::time::Duration;

/// A program with connections. A [`Driver`](crate::Driver) owns it, on one thread.
///
/// Every call lends a [`DriverContext`]. Requests made through it, also about other connections, are carried out after
/// the call returns and before the service sleeps.
pub trait Application: Sized + 'static {
    /// The application's state of one connection, stored in the connection table: ten thousand idle connections hold
    /// ten thousand of these, so box large parts.
    type State: 'static;
    /// A message that other threads may send through a [`DriverHandle`](crate::DriverHandle).
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

    /// Whether the peer of a new connection is a proxy that is believed to say by the PROXY protocol whom it stands for, and how long it
    /// has for that. Asked before [`accepted`](Self::accepted), which gets the address that the proxy names; and the proxy's own where it
    /// names none. Default `None`: the peer is who it is.
    fn expects_proxy_header(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        listener: ListenerId,
        peer: &Peer,
    ) -> Option<Duration> {
        let _ = (cx, listener, peer);
        None
    }

    /// A proxy has not said in time, or not understandably, whom it stands for. Its connection is closed; it was never
    /// [`accepted`](Self::accepted).
    fn proxy_failed(
        &mut self,
        cx: &mut DriverContext<'_, Self>,
        listener: ListenerId,
        peer: &Peer,
        failure: ProxyFailure,
    ) {
        let _ = (cx, listener, peer, failure);
    }

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

    /// An outgoing connection could not be made. `error` has the phase that it reached, the addresses that were
    /// tried, and the error of each. No other call follows for it.
    #[doc(alias = "LWS_CALLBACK_CLIENT_CONNECTION_ERROR")]
    fn connect_failed(&mut self, cx: &mut DriverContext<'_, Self>, state: Self::State, error: ConnectError) {
        let _ = (cx, state, error);
    }

    /// The TLS handshake of a connection is done, and nothing above it has been said yet. `false` refuses the peer: an
    /// accepted connection is then [`closed`](Self::closed), as one is after [`DriverContext::start_tls`]; an outgoing one that begins
    /// with TLS is [`connect_failed`](Self::connect_failed).
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

    /// The TLS handshake of an accepted connection failed, or that of an outgoing one after [`DriverContext::start_tls`], or later a
    /// session of either kind: the alert that was sent or received is in `failure`. [`closed`](Self::closed) follows. For an outgoing
    /// connection that begins with TLS [`connect_failed`](Self::connect_failed) is called in place of this.
    fn tls_failed(&mut self, cx: &mut DriverContext<'_, Self>, state: &mut Self::State, failure: &Failure) {
        let _ = (cx, state, failure);
    }

    /// A peer has sent something other than TLS to a listener with TLS and
    /// [`Plain::Accept`](crate::tls::Plain::Accept).
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
    /// connected or bound, and no other call about it follows. Dropping a driver closes everything without these calls.
    #[doc(alias = "LWS_CALLBACK_RAW_CLOSE_FILE")]
    fn closed(&mut self, cx: &mut DriverContext<'_, Self>, state: Self::State) {
        let _ = (cx, state);
    }

    /// [`DriverContext::wake`] was called for the connection, by any handler. The connection is lent.
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
    /// connection is lent. Messages that were sent while it was being made follow [`connected`](Self::connected).
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
    /// are being made. `id` names that connection.
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

/// The application's answer to an accepted connection.
pub struct Accepted<A: Application> {
    /// The rules for this connection: the driver makes a server's [`Connection`] of it.
    pub config: Arc<Config>,
    /// The application's state of the connection.
    pub state: A::State,
}
