//! What a handler is lent, and what the driver shares with it.

use crate::address::{Address, Peer};
use crate::application::Application;
use crate::budget::TurnBudget;
use crate::connect::{Attempt, Target};
use crate::drain::Drain;
use crate::entropy::SystemEntropy;
use crate::letters::Letters;
use crate::listener::{Listeners, Paused};
use crate::net::{self, Owned};
use crate::options::{self, ConnectOptions, DriverOptions, ListenOptions, Speak};
use crate::registration::{Changes, Registration};
use crate::service::{Interest, Token, Trigger, Wait};
use crate::shards::{GlobalId, Seated, Shard, Shards};
use crate::socket;
use crate::stats::Stats;
use crate::table::{Body, Flags, Ids, Slot};
use crate::timers::Timers;
use crate::tls::Info;
use crate::token::{ConnectionId, ListenerId};
use crate::waker::{Bell, Handle, Mailbox};
use lws_proto::{Config, StreamKey, Time};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// Everything of a driver that a handler may reach: all but the application and the connection table.
pub(crate) struct Core<A: Application> {
    pub(crate) options: DriverOptions,
    pub(crate) connections_max: usize,
    pub(crate) trigger: Trigger,
    /// The time of this service. It goes on from where it stood when another host takes over, as each host counts from
    /// a moment of its own.
    pub(crate) now: Time,
    /// What the host's time lacks of it, in microseconds; wraps around.
    ahead: u64,
    /// Another host has taken over, whose time is not known yet.
    handed_over: bool,
    /// The process whose host has taken over.
    pub(crate) process: Option<u32>,
    /// This is found to be another one.
    pub(crate) forked: bool,
    unix_seconds: u32,
    /// When the wall clock is read again.
    next_second: Time,
    /// What this turn may still take.
    pub(crate) turn: TurnBudget,
    pub(crate) stats: Stats,
    pub(crate) ids: Ids,
    pub(crate) changes: Changes,
    pub(crate) timers: Timers,
    pub(crate) commands: VecDeque<Command<A::State, A::Message>>,
    /// Messages about connections that are being made.
    pub(crate) letters: Letters<A::Message>,
    /// Connections that have more to do than their budget allowed.
    pub(crate) ready: VecDeque<ConnectionId>,
    pub(crate) listeners: Listeners,
    pub(crate) mailbox: Mailbox<A::Message>,
    /// [`Command::Posts`] stands in the queue.
    pub(crate) posts_queued: bool,
    /// A handler wants what was asked for so far done before the next message of another thread.
    pub(crate) posts_wait: bool,
    pub(crate) waker: Registration,
    pub(crate) timer: Option<Time>,
    pub(crate) drain: Drain,
    /// Its place among the shards, if it is one.
    pub(crate) seat: Option<Seated<A::Message>>,
}

/// What a handler has asked for, or the service itself will do in its turn.
pub(crate) enum Command<S, M> {
    /// Opens messages of other threads: they wait until what was asked for before has been done.
    Posts,
    /// Ends a connection in an orderly way once what lies in its socket was read: so many more looks at most.
    Drain(ConnectionId, u8),
    /// A descriptor, and what somebody has received from it already.
    Insert(ConnectionId, Box<Slot<S>>, Box<[u8]>),
    Message(ConnectionId, M),
    Connect(Box<Attempt<S>>),
    Wake(ConnectionId),
    WantWrite(ConnectionId, StreamKey),
    Close(ConnectionId),
    Abort(ConnectionId),
}

impl<A: Application> Core<A> {
    pub(crate) fn new(options: DriverOptions) -> io::Result<Self> {
        options.validate().map_err(options::invalid)?;
        let mailbox = Mailbox::new(Bell::new()?, options.mailbox_messages_max);
        Ok(Self::with_mailbox(options, mailbox, None))
    }

    pub(crate) fn sharded(shard: Shard<A::Message>) -> Self {
        Self::with_mailbox(shard.options, shard.mailbox, Some(shard.seat))
    }

    fn with_mailbox(
        options: DriverOptions,
        mailbox: Mailbox<A::Message>,
        seat: Option<Seated<A::Message>>,
    ) -> Self {
        let connections_max = options.connections_max.unwrap_or_else(default_connections_max);
        let mut core = Self {
            connections_max,
            trigger: Trigger::default(),
            now: Time::ZERO,
            ahead: 0,
            handed_over: false,
            process: None,
            forked: false,
            unix_seconds: 0,
            next_second: Time::ZERO,
            turn: TurnBudget::new(options.turn),
            stats: Stats::default(),
            ids: Ids::default(),
            changes: Changes::new(),
            timers: Timers::default(),
            commands: VecDeque::new(),
            letters: Letters::new(options.waiting_messages_max),
            ready: VecDeque::new(),
            listeners: Listeners::default(),
            mailbox,
            posts_queued: false,
            posts_wait: false,
            waker: Registration::default(),
            timer: None,
            drain: Drain::No,
            seat,
            options,
        };
        core.waker.want(Interest::READ, Token::WAKER, &mut core.changes);
        core
    }

    /// Another host takes over.
    pub(crate) fn hand_over(&mut self, trigger: Trigger) {
        self.trigger = trigger;
        self.handed_over = true;
        (self.process, self.forked) = (Some(std::process::id()), false);
        // So that the next look at the time is a thorough one.
        self.next_second = Time::ZERO;
    }

    /// The host says what time it is. Some if a new second of the wall clock has begun.
    #[inline]
    pub(crate) fn tick(&mut self, host: Time) -> Option<u32> {
        let now = Time::from_micros(host.as_micros().wrapping_add(self.ahead));
        if now < self.next_second {
            // No host may turn time back.
            self.now = self.now.max(now);
            return None;
        }
        self.look_at_clocks(host)
    }

    /// Whether this process is a child of the one whose host has the service.
    pub(crate) fn is_forked(&self) -> bool {
        self.process.is_some_and(|process| process != std::process::id())
    }

    #[cold]
    fn look_at_clocks(&mut self, host: Time) -> Option<u32> {
        self.forked = self.is_forked();
        if std::mem::take(&mut self.handed_over) {
            self.ahead = self.now.as_micros().wrapping_sub(host.as_micros());
        }
        self.now = self.now.max(Time::from_micros(host.as_micros().wrapping_add(self.ahead)));
        let since_1970 = net::wall_clock();
        let left =
            Duration::from_secs(1).saturating_sub(Duration::from_nanos(since_1970.subsec_nanos().into()));
        self.next_second = self.now + left;
        let seconds = u32::try_from(since_1970.as_secs()).unwrap_or(u32::MAX);
        (std::mem::replace(&mut self.unix_seconds, seconds) != seconds).then_some(seconds)
    }

    /// A moment as the host counts it.
    pub(crate) fn host_time(&self, at: Time) -> Time {
        Time::from_micros(self.now.as_micros().wrapping_sub(self.ahead)) + (at - self.now)
    }

    /// A turn begins.
    #[inline]
    pub(crate) fn work(&self) {
        if let Some(seat) = &self.seat {
            seat.work();
        }
    }

    /// A turn ends.
    #[inline]
    pub(crate) fn end_turn(&mut self, wait: Wait) {
        self.turn.end(self.now, wait == Wait::Now);
        if let Some(seat) = &self.seat
            && wait != Wait::Now
        {
            seat.rest();
        }
    }

    /// Puts what has a place in the table on the ready list, unless it stands there.
    #[inline]
    pub(crate) fn list(&mut self, id: ConnectionId, flags: &mut Flags) {
        if !flags.has(Flags::LISTED) {
            flags.insert(Flags::LISTED);
            self.ready.push_back(id);
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        match &self.seat {
            None => self.stats.connections >= self.connections_max,
            Some(seat) => seat.is_full(),
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.has_begun()
    }

    /// Takes a place in the table.
    pub(crate) fn allocate(&mut self) -> ConnectionId {
        if let Some(seat) = &self.seat {
            seat.take();
        }
        self.allocate_reserved()
    }

    /// The same, of which the other shards know already.
    pub(crate) fn allocate_reserved(&mut self) -> ConnectionId {
        self.stats.connections += 1;
        self.ids.allocate()
    }

    /// Gives it back.
    pub(crate) fn release(&mut self, id: ConnectionId) {
        let was_full = self.is_full();
        self.stats.connections -= 1;
        self.ids.release(id);
        if let Some(seat) = &self.seat {
            seat.give_back();
        } else if was_full {
            self.listeners.room(Paused::Full);
        }
    }

    pub(crate) fn unlisten(&mut self, id: ListenerId) {
        if let Some(listener) = self.listeners.get(id) {
            listener.registration.remove(id.token(), &mut self.changes);
        }
    }

    fn serves(&self) -> io::Result<()> {
        if self.is_draining() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the service is ending"));
        }
        Ok(())
    }

    pub(crate) fn admit(&self) -> io::Result<()> {
        self.admit_several(1)
    }

    pub(crate) fn admit_several(&self, count: usize) -> io::Result<()> {
        self.serves()?;
        if self.stats.connections.saturating_add(count) > self.connections_max {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "as many connections as there may be"));
        }
        Ok(())
    }

    pub(crate) fn insert(
        &mut self,
        socket: Owned,
        flags: Flags,
        body: Body<A::State>,
        received: Box<[u8]>,
    ) -> ConnectionId {
        let id = self.allocate();
        self.insert_at(id, socket, flags, body, received);
        id
    }

    pub(crate) fn insert_at(
        &mut self,
        id: ConnectionId,
        socket: Owned,
        flags: Flags,
        body: Body<A::State>,
        received: Box<[u8]>,
    ) {
        let slot = Slot {
            body,
            scheduled: NEVER,
            generation: id.generation,
            socket,
            flags,
            registration: Registration::default(),
        };
        self.commands.push_back(Command::Insert(id, Box::new(slot), received));
    }
}

impl<A: Application> Drop for Core<A> {
    fn drop(&mut self) {
        if self.is_forked() {
            // Its files are the parent's.
            self.listeners.forget_files();
        }
    }
}

/// A moment that does not come.
pub(crate) const NEVER: Time = Time::from_micros(u64::MAX);

/// The limit of open files, less some for listeners, files and the rest of the program.
pub(crate) fn default_connections_max() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX).saturating_sub(32).max(1)
}

/// Lent to a handler with every call.
///
/// What is asked for is done after the call, and before the service sleeps. Names of connections that have gone are
/// ignored.
pub struct Context<'a, A: Application> {
    pub(crate) core: &'a mut Core<A>,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) socket: Option<BorrowedFd<'a>>,
    pub(crate) tls: Option<&'a Info>,
}

impl<'a, A: Application> Context<'a, A> {
    /// What time it is: the moment that the host told last. It counts from when the first host took the service over, and
    /// stands still between one host and the next.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Time {
        self.core.now
    }

    /// Whole seconds since the first of January 1970, UTC.
    #[must_use]
    pub fn unix_seconds(&self) -> u32 {
        self.core.unix_seconds
    }

    /// The connection that the call is about, if it is about one.
    #[must_use]
    #[inline]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.connection
    }

    /// Who is at the other end of that connection: asked of the system, as nothing is kept for it. `None` if there is no connection,
    /// or if the system has forgotten, as it does when a peer resets.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        self.socket.and_then(|socket| net::peer_address(socket).ok()).map(Peer::new)
    }

    /// What TLS has agreed on, if that connection has TLS.
    #[must_use]
    pub fn tls(&self) -> Option<&'a Info> {
        self.tls
    }

    /// The address of this side of that connection: asked of the system. `None` of a Unix socket.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.socket.and_then(|socket| SocketAddr::try_from(net::own_address(socket).ok()?).ok())
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
        self.core.admit()?;
        let target = target.into();
        target.check()?;
        socket::supports(options)?;
        if options.speak != Speak::Raw {
            SystemEntropy::new()?;
        }
        let id = self.core.allocate();
        let attempt = Attempt::new(self.core.now, id, target, config, options.clone(), state);
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
        self.core.listeners.listen(address, options, &mut self.core.changes)
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
        self.core.listeners.get(id).ok_or(io::ErrorKind::NotFound)?.local_address()
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
    pub fn handle(&self) -> Handle<A::Message> {
        Handle::of(&self.core.mailbox)
    }

    /// Lets the next message of another thread wait until everything is done that handlers have asked for so far, and the
    /// host has looked at the descriptors: for one that makes much to do of each message.
    pub fn pace_messages(&mut self) {
        self.core.posts_wait = true;
    }

    /// All shards, if the service is one.
    #[must_use]
    pub fn shards(&self) -> Option<&Shards<A::Message>> {
        self.core.seat.as_ref().map(|seat| &seat.shards)
    }

    /// What a connection of this service is called in all shards. That of a service alone is shard 0.
    #[must_use]
    pub fn global(&self, connection: ConnectionId) -> GlobalId {
        GlobalId { shard: self.core.seat.as_ref().map_or(0, |seat| seat.index), connection }
    }

    /// What the service has done so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.core.stats
    }

    /// Ends the service in an orderly way: what waits in the accept queues is accepted and the listeners close, what lies in
    /// the sockets of connections is read and answered, they end as [`close`](Self::close) ends them, and what is left
    /// after `timeout` is cut off. Messages that were accepted are delivered before the service is done. Asking again can
    /// only shorten the time.
    ///
    /// Nothing in a child of the process whose host has the service: the peers are the parent's.
    pub fn drain(&mut self, timeout: Duration) {
        if self.core.is_forked() {
            return;
        }
        self.core.drain = self.core.drain.asked(self.core.now, timeout);
    }

    /// Whether [`drain`](Self::drain) was called.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.core.is_draining()
    }
}

impl<A: Application> fmt::Debug for Context<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("now", &self.now())
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}
