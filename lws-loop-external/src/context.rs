//! The context that every call of a handler lends.

use crate::address::{Address, Peer};
use crate::application::Application;
use crate::command::Command;
use crate::connect::{Attempt, Target};
use crate::core::Core;
use crate::entropy::SystemEntropy;
use crate::listening::ListeningSocket;
use crate::net;
use crate::shards::{GlobalId, Shards};
use crate::socket;
use crate::socket_options::{ConnectOptions, ListenOptions, Speak};
use crate::stats::DriverStats;
use crate::tls::{Info, Provider};
use crate::token::{ConnectionId, ListenerId};
use crate::waker::DriverHandle;
use lws_proto::{Config, StreamKey, Time};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// The service, as each call of a handler lends it.
///
/// Requests are carried out after the call, and before the service sleeps. Names of connections that have ended are
/// ignored.
pub struct DriverContext<'a, A: Application> {
    pub(crate) core: &'a mut Core<A>,
    subject: Subject<'a>,
}

/// The connection, descriptor or socket that a call of a handler is about.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    connection: Option<ConnectionId>,
    socket: Option<BorrowedFd<'a>>,
    tls: Option<&'a Info>,
}

impl<'a> Subject<'a> {
    /// A call about the service as a whole.
    pub(crate) const SERVICE: Self = Self { connection: None, socket: None, tls: None };

    /// A call about a connection that has no descriptor yet.
    pub(crate) fn name(id: ConnectionId) -> Self {
        Self { connection: Some(id), socket: None, tls: None }
    }

    /// A call about a connection, a descriptor or a UDP socket.
    #[inline]
    pub(crate) fn new(id: ConnectionId, socket: BorrowedFd<'a>) -> Self {
        Self { connection: Some(id), socket: Some(socket), tls: None }
    }

    /// Adds what TLS has negotiated on that connection.
    #[inline]
    pub(crate) fn with_tls(self, tls: Option<&'a Info>) -> Self {
        Self { tls, ..self }
    }
}

impl<'a, A: Application> DriverContext<'a, A> {
    #[inline]
    pub(crate) fn new(core: &'a mut Core<A>, subject: Subject<'a>) -> Self {
        Self { core, subject }
    }

    /// The time of the service: the one that the host passed last. It counts from the moment at which the first host
    /// took the service over, and stands still between one host and the next.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Time {
        self.core.now()
    }

    /// The wall clock, in whole seconds since the first of January 1970, UTC.
    #[must_use]
    pub fn unix_seconds(&self) -> u32 {
        self.core.clock.unix_seconds()
    }

    /// Milliseconds of that second, as of the beginning of the turn: 0 to 999.
    #[must_use]
    pub fn millis(&self) -> u16 {
        self.core.clock.millis()
    }

    /// The connection that the call is about, if it is about one.
    #[must_use]
    #[inline]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.subject.connection
    }

    /// The peer of that connection. This is a system call, as no copy is kept. `None` if the call is about no
    /// connection, or if the system has forgotten the address, as it does when a peer resets.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        self.subject.socket.and_then(|socket| net::peer_address(socket).ok()).map(Peer::new)
    }

    /// What TLS has negotiated, if that connection has TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&'a Info> {
        self.subject.tls
    }

    /// The local address of that connection. This is a system call. `None` for a Unix socket.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.subject.socket.and_then(|socket| SocketAddr::try_from(net::own_address(socket).ok()?).ok())
    }

    /// Asks for one call of [`Application::woken`] for a connection; several requests before that call count as one.
    /// Returns whether the connection exists or is being made: in the second case it is woken when it exists, after
    /// the messages that were sent to it before.
    pub fn wake(&mut self, id: ConnectionId) -> bool {
        if self.core.ids.wake(id) {
            self.core.commands.push_back(Command::Wake(id));
        }
        self.core.ids.is_live(id)
    }

    /// Sends a message to a connection: [`Application::message_to`] follows before the service sleeps. To one that is being
    /// made it follows after [`Application::connected`]; what cannot be delivered comes back as
    /// [`Application::undelivered`].
    pub fn send_to(&mut self, id: ConnectionId, message: A::Message) {
        self.core.commands.push_back(Command::Message(id, message));
    }

    /// Asks for one [`Event::Writable`](lws_proto::Event::Writable) of a stream of any connection, as soon as the
    /// stream may write.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self, id: ConnectionId, key: StreamKey) {
        self.core.commands.push_back(Command::WantWrite(id, key));
    }

    /// Begins TLS on an outgoing connection that is established without it, after a protocol above has agreed on it: STARTTLS of RFC
    /// 3207, or the first line of NATS. [`Application::tls_established`] follows, and from then on everything is inside of TLS; or
    /// [`Application::tls_failed`], also if the handshake takes longer than `timeout`, and [`Application::closed`]. A connection that has
    /// TLS, or has no socket, is closed.
    ///
    /// To be called when everything that belongs before it has been sent: what is still queued in this moment, and what is written before
    /// TLS is established, is sent inside of it. What the peer has sent in clear behind its consent is received in clear: a protocol
    /// has to refuse it.
    pub fn start_tls(&mut self, id: ConnectionId, provider: Arc<dyn Provider>, timeout: Duration) {
        self.core.commands.push_back(Command::StartTls(id, Box::new((provider, timeout))));
    }

    /// Ends a connection in an orderly way: see [`Connection::drain`](lws_proto::Connection::drain).
    pub fn close(&mut self, id: ConnectionId) {
        self.core.commands.push_back(Command::Close(id));
    }

    /// Ends a connection at once: see [`Connection::abort`](lws_proto::Connection::abort).
    pub fn abort(&mut self, id: ConnectionId) {
        self.core.commands.push_back(Command::Abort(id));
    }

    /// Begins an outgoing connection to a [`Target`], or to a value that converts into one, such as an [`Address`]
    /// or `("example.org", 80)`. [`Application::connected`] or [`Application::connect_failed`] follows, once. Until
    /// then [`close`](Self::close) and [`abort`](Self::abort) give it up.
    ///
    /// A name is resolved, and its addresses race: RFC 8305. Nothing blocks.
    ///
    /// # Errors
    /// It cannot be begun: there are too many connections, the service is ending, the host name is invalid, or an
    /// option is not supported here. No call follows then, and `state` is dropped.
    #[doc(alias = "lws_client_connect_via_info")]
    pub fn connect(
        &mut self,
        target: impl Into<Target>,
        config: Arc<Config>,
        options: &ConnectOptions,
        state: A::State,
    ) -> io::Result<ConnectionId> {
        self.core.admit(1)?;
        let target = target.into();
        target.check()?;
        socket::supports(options)?;
        if options.speak != Speak::Raw {
            SystemEntropy::new()?;
        }
        let id = self.core.allocate();
        let attempt = Attempt::new(self.core.now(), id, target, config, options.clone(), state);
        self.core.commands.push_back(Command::Connect(Box::new(attempt)));
        Ok(id)
    }

    /// Listens on an address.
    ///
    /// # Errors
    /// What the system says: the address is in use, is not of this machine, may not be used, and so on. Or the service
    /// is ending.
    pub fn listen(&mut self, address: &Address, options: &ListenOptions) -> io::Result<ListenerId> {
        self.core.serves()?;
        self.listen_on(ListeningSocket::bind(address, options)?, options)
    }

    /// Accepts the connections of a socket that listens already. Only the options of accepted connections apply, as the
    /// socket is bound.
    ///
    /// # Errors
    /// The service is ending, or the system refuses an option.
    pub fn listen_on(&mut self, socket: ListeningSocket, options: &ListenOptions) -> io::Result<ListenerId> {
        self.core.serves()?;
        self.core.listeners.listen_on(socket, options, &mut self.core.changes)
    }

    /// Duplicates the descriptor of a listener's socket, for a process that takes it over: then no connection in the
    /// accept queue is lost. The duplicate is close-on-exec.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if the listener has gone; or no descriptor is left.
    pub fn duplicate_listener(&mut self, id: ListenerId) -> io::Result<OwnedFd> {
        self.core.listeners.get(id).ok_or(io::ErrorKind::NotFound)?.duplicate()
    }

    /// Has the files of Unix sockets that were adopted go with their listeners: the process that has handed them over has left them.
    pub fn take_listener_files(&mut self) {
        self.core.listeners.take_files();
    }

    /// Keeps the files of Unix listeners when the listeners close, because another process listens there now.
    pub fn leave_listener_files(&mut self) {
        self.core.listeners.forget_files();
    }

    /// Stops listening. Connections that were accepted stay.
    pub fn unlisten(&mut self, id: ListenerId) {
        self.core.unlisten(id);
    }

    /// The address of a listener, with the port that the system chose.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if it has gone.
    pub fn listening_on(&mut self, id: ListenerId) -> io::Result<Address> {
        let listener = self.core.listeners.get(id).ok_or(io::ErrorKind::NotFound)?;
        Ok(listener.local_address().clone())
    }

    /// Asks for one [`Application::timer`] at `at`, which replaces the last request; `None` cancels it. A time that has
    /// passed means now.
    ///
    /// Time is that of [`now`](Self::now), which need not be the host's: `cx.set_timer(Some(cx.now() + delay))`.
    pub fn set_timer(&mut self, at: Option<Time>) {
        self.core.timer = at;
    }

    /// A handle by which other threads reach this service.
    #[must_use]
    pub fn handle(&self) -> DriverHandle<A::Message> {
        DriverHandle::of(self.core.messages.mailbox())
    }

    /// Delays the next message of another thread until every request of handlers so far has been carried out and the
    /// host has polled the descriptors: for an application to which one message means much work.
    pub fn pace_messages(&mut self) {
        self.core.messages.pace();
    }

    /// The group of shards, if the service is one of them.
    #[must_use]
    pub fn shards(&self) -> Option<&Shards<A::Message>> {
        self.core.member.as_ref().map(|member| &member.shards)
    }

    /// The name of a connection of this service among all shards. A service that is alone is shard 0.
    #[must_use]
    pub fn global(&self, connection: ConnectionId) -> GlobalId {
        GlobalId { shard: self.core.member.as_ref().map_or(0, |member| member.index), connection }
    }

    /// The counters of the service.
    #[must_use]
    pub fn stats(&self) -> &DriverStats {
        &self.core.stats
    }

    /// Ends the service in an orderly way. Connections in the accept queues are accepted and the listeners close; input
    /// that lies in the sockets of connections is read and answered; then they end as [`close`](Self::close) ends them,
    /// and those that are left after `timeout` are cut off. Messages that were accepted are delivered before the
    /// service is done. Asking again can only shorten the time.
    ///
    /// Does nothing in a child, by fork(2), of the process whose host has the service: the connections belong to
    /// the parent.
    pub fn drain(&mut self, timeout: Duration) {
        self.core.drain(timeout);
    }

    /// Ends the service when its connections have ended by themselves, as another process serves at its listeners from now on: they close,
    /// and what waits in their queues is the other's. WebSockets and raw streams go on, the running exchange of a connection is its last,
    /// or the next if none is running or its response has begun; HTTP/2 peers are asked to begin no more streams. Nothing new is refused
    /// that handlers ask for. What is left after `patience` is [drained](Self::drain) within `timeout`.
    pub fn retire(&mut self, patience: Duration, timeout: Duration) {
        self.core.retire(patience, timeout);
    }

    /// Whether [`drain`](Self::drain) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.core.is_draining()
    }
}

impl<A: Application> fmt::Debug for DriverContext<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverContext")
            .field("now", &self.now())
            .field("connection", &self.connection())
            .finish_non_exhaustive()
    }
}
