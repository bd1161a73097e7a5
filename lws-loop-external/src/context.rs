//! What a handler is lent with every call.

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
use crate::tls::Info;
use crate::token::{ConnectionId, ListenerId};
use crate::waker::DriverHandle;
use lws_proto::{Config, StreamKey, Time};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Lent to a handler with every call.
///
/// What is asked for is done after the call, and before the service sleeps. Names of connections that have gone are
/// ignored.
pub struct DriverContext<'a, A: Application> {
    pub(crate) core: &'a mut Core<A>,
    subject: Subject<'a>,
}

/// What the call of a handler is about.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    connection: Option<ConnectionId>,
    socket: Option<BorrowedFd<'a>>,
    tls: Option<&'a Info>,
}

impl<'a> Subject<'a> {
    /// The service as a whole.
    pub(crate) const SERVICE: Self = Self { connection: None, socket: None, tls: None };

    /// A connection that has no descriptor yet.
    pub(crate) fn name(id: ConnectionId) -> Self {
        Self { connection: Some(id), socket: None, tls: None }
    }

    /// A connection, a descriptor or a UDP socket.
    #[inline]
    pub(crate) fn new(id: ConnectionId, socket: BorrowedFd<'a>) -> Self {
        Self { connection: Some(id), socket: Some(socket), tls: None }
    }

    /// What TLS has agreed on for that connection.
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

    /// What time it is: the moment that the host passed last. It counts from when the first host took the service over, and
    /// stands still between one host and the next.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Time {
        self.core.now()
    }

    /// Whole seconds since the first of January 1970, UTC.
    #[must_use]
    pub fn unix_seconds(&self) -> u32 {
        self.core.clock.unix_seconds()
    }

    /// The connection that the call is about, if it is about one.
    #[must_use]
    #[inline]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.subject.connection
    }

    /// Who is at the other end of that connection: asked of the system, as nothing is kept for it. `None` if there is no connection,
    /// or if the system has forgotten, as it does when a peer resets.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        self.subject.socket.and_then(|socket| net::peer_address(socket).ok()).map(Peer::new)
    }

    /// What TLS has agreed on, if that connection has TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&'a Info> {
        self.subject.tls
    }

    /// The address of this side of that connection: asked of the system. `None` of a Unix socket.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.subject.socket.and_then(|socket| SocketAddr::try_from(net::own_address(socket).ok()?).ok())
    }

    /// Asks for [`Application::woken`] of a connection. Asking several times before it comes is asking once. Returns whether the
    /// connection is there, or being made: then it is woken when it is there.
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

    /// Asks for one [`Event::Writable`](lws_proto::Event::Writable) of a stream of any connection, when it may write.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self, id: ConnectionId, key: StreamKey) {
        self.core.commands.push_back(Command::WantWrite(id, key));
    }

    /// Ends a connection in an orderly way: see [`Connection::drain`](lws_proto::Connection::drain).
    pub fn close(&mut self, id: ConnectionId) {
        self.core.commands.push_back(Command::Close(id));
    }

    /// Ends a connection at once: see [`Connection::abort`](lws_proto::Connection::abort).
    pub fn abort(&mut self, id: ConnectionId) {
        self.core.commands.push_back(Command::Abort(id));
    }

    /// Begins an outgoing connection: to a [`Target`], or whatever becomes one, such as an
    /// [`Address`] or `("example.org", 80)`. [`Application::connected`] or [`Application::connect_failed`] follows,
    /// once. Until then [`close`](Self::close) and [`abort`](Self::abort) give it up.
    ///
    /// A name is resolved, and its addresses race: RFC 8305. Nothing blocks.
    ///
    /// # Errors
    /// It cannot be begun: there are too many connections, the service is ending, no such host name is possible, or an
    /// option is not supported here. Nothing follows then, and `state` is dropped.
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

    /// Accepts the connections of a socket that listens already. Of the options hold those of the connections: the socket is bound.
    ///
    /// # Errors
    /// The service is ending, or the system refuses an option.
    pub fn listen_on(&mut self, socket: ListeningSocket, options: &ListenOptions) -> io::Result<ListenerId> {
        self.core.serves()?;
        self.core.listeners.listen_on(socket, options, &mut self.core.changes)
    }

    /// Another descriptor of a listener's socket, for a process that is to take it over: what waits in its queue is lost to neither
    /// then. It is not passed on to programs that this one starts.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if the listener has gone; or no descriptor is left.
    pub fn duplicate_listener(&mut self, id: ListenerId) -> io::Result<OwnedFd> {
        self.core.listeners.get(id).ok_or(io::ErrorKind::NotFound)?.duplicate()
    }

    /// Leaves the files of Unix listeners where they are when those close: another process listens there now.
    pub fn leave_listener_files(&mut self) {
        self.core.listeners.forget_files();
    }

    /// Stops listening. Connections that were accepted stay.
    pub fn unlisten(&mut self, id: ListenerId) {
        self.core.unlisten(id);
    }

    /// Where a listener listens, with the port that the system chose.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] if it has gone.
    pub fn listening_on(&mut self, id: ListenerId) -> io::Result<Address> {
        let listener = self.core.listeners.get(id).ok_or(io::ErrorKind::NotFound)?;
        Ok(listener.local_address().clone())
    }

    /// Asks for one [`Application::timer`] at `at`, in place of the one asked for before; `None` takes it back. A moment that
    /// has passed is now.
    ///
    /// Time is that of [`now`](Self::now), which need not be the host's: `cx.set_timer(Some(cx.now() + delay))`.
    pub fn set_timer(&mut self, at: Option<Time>) {
        self.core.timer = at;
    }

    /// What other threads reach this service through.
    #[must_use]
    pub fn handle(&self) -> DriverHandle<A::Message> {
        DriverHandle::of(self.core.messages.mailbox())
    }

    /// Lets the next message of another thread wait until everything is done that handlers have asked for so far, and the
    /// host has looked at the descriptors: for one that makes much to do of each message.
    pub fn pace_messages(&mut self) {
        self.core.messages.pace();
    }

    /// All shards, if the service is one.
    #[must_use]
    pub fn shards(&self) -> Option<&Shards<A::Message>> {
        self.core.member.as_ref().map(|member| &member.shards)
    }

    /// What a connection of this service is called in all shards. That of a service alone is shard 0.
    #[must_use]
    pub fn global(&self, connection: ConnectionId) -> GlobalId {
        GlobalId { shard: self.core.member.as_ref().map_or(0, |member| member.index), connection }
    }

    /// What the service has done so far.
    #[must_use]
    pub fn stats(&self) -> &DriverStats {
        &self.core.stats
    }

    /// Ends the service in an orderly way: what waits in the accept queues is accepted and the listeners close, what lies in
    /// the sockets of connections is read and answered, they end as [`close`](Self::close) ends them, and what is left
    /// after `timeout` is cut off. Messages that were accepted are delivered before the service is done. Asking again can
    /// only shorten the time.
    ///
    /// Nothing in a child of the process whose host has the service: the peers are the parent's.
    pub fn drain(&mut self, timeout: Duration) {
        self.core.drain(timeout);
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
