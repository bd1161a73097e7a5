//! What the threads of a server have in common: how each reaches the others, and what may wait on the way.
//!
//! Everything else belongs to one thread. Knows no handler and no event.

use crate::context::{Context, StreamId};
use crate::stats::Stats;
use crate::ws::Broadcast;
use lws_loop_external::{GlobalId, SendError, Shards};
use lws_proto::{HeldBytes, Stream, StreamKey};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The threads of one server.
pub(crate) struct Group {
    pub(crate) shards: Shards<Command>,
    drain_timeout: Duration,
    /// What all threads together may hold for their peers.
    pub(crate) held: HeldBytes,
    /// The routes by their numbers, which are the same everywhere.
    paths: Box<[Box<str>]>,
    desks: Box<[Desk]>,
}

/// Where one thread finds what the others want of it, on cache lines of its own.
#[repr(align(128))]
struct Desk {
    /// The routes whose WebSockets are to get permits.
    wanted: Box<[AtomicBool]>,
    /// Bytes of what was published and has not been taken yet.
    publishing_bytes: AtomicUsize,
    /// What it has counted, as of the last time it said so.
    counted: [AtomicU64; Stats::FIELDS],
}

/// Bytes that may be on their way to one thread of what is published.
const PUBLISHING_BYTES_MAX: usize = 64 << 20;

/// What became of a message on its way to one thread.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Published {
    Sent,
    /// Too much is on its way already.
    Full,
    /// The thread has ended.
    Gone,
}

/// Why a message was not published everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// There is no route of that path.
    NoRoute,
    /// Some threads of the server have too much on its way already: their WebSockets do not get the message, and those of
    /// all others do. [`Handle::publish_again`] tries the former only, so that no WebSocket gets it twice.
    Missed(Missed),
    /// The server has gone.
    Gone,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoute => f.write_str("there is no such route"),
            Self::Missed(missed) => {
                write!(f, "{} threads have too much on its way already", missed.threads.len())
            }
            Self::Gone => f.write_str("the server has gone"),
        }
    }
}

impl std::error::Error for PublishError {}

/// The threads that have not got a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    route: u32,
    threads: Vec<u16>,
}

impl Missed {
    /// Their numbers: see [`Context::thread`].
    pub fn threads(&self) -> impl ExactSizeIterator<Item = usize> {
        self.threads.iter().map(|thread| usize::from(*thread))
    }
}

/// What a thread is told.
pub(crate) enum Command {
    Wake(StreamId),
    WantWrite(StreamId),
    WakeAll(u32),
    Publish(u32, Broadcast),
    /// To the WebSocket at this place of a route: there is something to read.
    News {
        key: StreamKey,
        route: u32,
        place: u32,
    },
    Post(Box<dyn FnOnce(&mut Context<'_>) + Send>),
    PostTo(StreamKey, PostTo),
}

pub(crate) type PostTo = Box<dyn FnOnce(&mut Context<'_>, Stream<'_>) + Send>;

impl Group {
    pub(crate) fn new(
        shards: Shards<Command>,
        drain_timeout: Duration,
        held: HeldBytes,
        paths: Box<[Box<str>]>,
    ) -> Self {
        let desk = |_| Desk {
            wanted: paths.iter().map(|_| AtomicBool::new(false)).collect(),
            publishing_bytes: AtomicUsize::new(0),
            counted: std::array::from_fn(|_| AtomicU64::new(0)),
        };
        let desks = (0..shards.count()).map(desk).collect();
        Self { shards, drain_timeout, held, paths, desks }
    }

    /// The number of the route called `path`.
    pub(crate) fn route_named(&self, path: &str) -> Option<u32> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let index = self.paths.iter().position(|known| **known == *path)?;
        u32::try_from(index).ok()
    }

    /// The path of a route, as it was described but for a `/` at its end.
    pub(crate) fn path(&self, route: u32) -> Option<&str> {
        self.paths.get(route as usize).map(|path| &**path)
    }

    /// Whether the routes of a thread are those of the others.
    pub(crate) fn has_routes<'a>(&self, paths: impl Iterator<Item = &'a str>) -> bool {
        self.paths.iter().map(|path| &**path).eq(paths)
    }

    fn send(&self, shard: u16, command: Command) -> bool {
        self.shards.handle(shard).is_some_and(|handle| handle.send(command).is_ok())
    }

    fn others(&self, here: Option<u16>) -> impl Iterator<Item = u16> {
        (0..self.shards.count()).filter(move |shard| Some(*shard) != here)
    }

    pub(crate) fn wake(&self, id: StreamId) -> bool {
        self.send(id.shard, Command::Wake(id))
    }

    pub(crate) fn want_write(&self, id: StreamId) -> bool {
        self.send(id.shard, Command::WantWrite(id))
    }

    /// Wants permits for the WebSockets of a route, on all threads but `here`. Never fails, and wanting twice is wanting
    /// once.
    pub(crate) fn want_write_all(&self, route: u32, here: Option<u16>) {
        for shard in self.others(here) {
            let wanted = self.desks.get(usize::from(shard)).and_then(|desk| desk.wanted.get(route as usize));
            if let (Some(wanted), Some(handle)) = (wanted, self.shards.handle(shard)) {
                wanted.store(true, Ordering::Release);
                handle.wake();
            }
        }
    }

    /// The routes whose WebSockets are to get permits on a thread, which has seen to them from here on.
    pub(crate) fn take_wanted(&self, shard: u16) -> impl Iterator<Item = u32> {
        let wanted = self.desks.get(usize::from(shard)).map_or(&[][..], |desk| &desk.wanted);
        let taken =
            |(wanted, route): (&AtomicBool, u32)| wanted.swap(false, Ordering::AcqRel).then_some(route);
        wanted.iter().zip(0..).filter_map(taken)
    }

    /// Publishes on all threads but `here`.
    pub(crate) fn publish(
        &self,
        route: u32,
        message: &Broadcast,
        here: Option<u16>,
    ) -> Result<(), PublishError> {
        self.publish_on(route, message, self.others(here))
    }

    fn publish_on(
        &self,
        route: u32,
        message: &Broadcast,
        threads: impl Iterator<Item = u16>,
    ) -> Result<(), PublishError> {
        let (mut asked, mut gone, mut missed) = (0, 0, Vec::new());
        for shard in threads {
            asked += 1;
            match self.publish_at(shard, route, message) {
                Published::Sent => {}
                Published::Full => missed.push(shard),
                Published::Gone => gone += 1,
            }
        }
        if !missed.is_empty() {
            return Err(PublishError::Missed(Missed { route, threads: missed }));
        }
        // What has gone has no WebSockets any more.
        if asked > 0 && gone == asked { Err(PublishError::Gone) } else { Ok(()) }
    }

    fn publish_at(&self, shard: u16, route: u32, message: &Broadcast) -> Published {
        let at = usize::from(shard);
        let (Some(desk), Some(handle)) = (self.desks.get(at), self.shards.handle(shard)) else {
            return Published::Gone;
        };
        let bytes = message.bytes().len();
        let before = desk.publishing_bytes.fetch_add(bytes, Ordering::Relaxed);
        let published = if before > PUBLISHING_BYTES_MAX {
            Published::Full
        } else {
            match handle.send(Command::Publish(route, message.clone())) {
                Ok(()) => Published::Sent,
                Err(SendError::Full(_)) => Published::Full,
                Err(SendError::Closed(_)) => Published::Gone,
            }
        };
        if published != Published::Sent {
            desk.publishing_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        published
    }

    /// A thread has taken what was published.
    pub(crate) fn published(&self, shard: u16, message: &Broadcast) {
        if let Some(desk) = self.desks.get(usize::from(shard)) {
            desk.publishing_bytes.fetch_sub(message.bytes().len(), Ordering::Relaxed);
        }
    }

    /// Says what a thread has counted.
    pub(crate) fn report(&self, shard: u16, stats: Stats) {
        if let Some(desk) = self.desks.get(usize::from(shard)) {
            for (said, counted) in desk.counted.iter().zip(stats.to_array()) {
                said.store(counted, Ordering::Relaxed);
            }
        }
    }

    /// What the threads but `here` have said, who are asked to say it again.
    pub(crate) fn counted_elsewhere(&self, here: u16) -> Stats {
        let mut sum = Stats::default();
        for shard in self.others(Some(here)) {
            if let Some(desk) = self.desks.get(usize::from(shard)) {
                sum.add(desk.counted.each_ref().map(|said| said.load(Ordering::Relaxed)));
            }
            if let Some(handle) = self.shards.handle(shard) {
                handle.wake();
            }
        }
        sum
    }

    pub(crate) fn drain(&self) {
        self.shards.drain(self.drain_timeout);
    }
}

/// What other threads may hold of a server: to wake its handlers, to publish, to run something on its threads, and to end
/// it.
///
/// Every call takes effect soon, and none waits. After the server has gone they do nothing and answer `false`.
#[doc(alias = "lws_cancel_service")]
#[derive(Clone)]
pub struct Handle(pub(crate) Arc<Group>);

impl Handle {
    /// Ends the server in an orderly way: listeners close, WebSockets get close code 1001, exchanges that run are the last
    /// of their connections, and what is left after [`Builder::drain_timeout`](crate::Builder::drain_timeout) is cut off.
    pub fn drain(&self) -> bool {
        // Asked before: a server with nothing to do can be gone at once.
        let there = self.is_there();
        self.0.drain();
        there
    }

    /// Ends the server at once: connections are cut off.
    pub fn stop(&self) -> bool {
        let there = self.is_there();
        self.0.shards.drain(Duration::ZERO);
        there
    }

    fn is_there(&self) -> bool {
        self.0.shards.handles().any(|handle| !handle.is_closed())
    }

    /// Has the `wake` of one handler called.
    pub fn wake(&self, id: StreamId) -> bool {
        self.0.wake(id)
    }

    /// Has the `wake` of every WebSocket of the route called `path` called. False if there is no such route, or a
    /// thread of the server has too many messages waiting.
    pub fn wake_all(&self, path: &str) -> bool {
        // Every thread, also after one that has not got it.
        let woken = |route| {
            let got = self.0.others(None).filter(|shard| self.0.send(*shard, Command::WakeAll(route)));
            got.count() == self.threads()
        };
        self.0.route_named(path).is_some_and(woken)
    }

    /// Asks for a permit for every open WebSocket of the route called `path`. False if there is no such route.
    #[doc(alias = "lws_callback_on_writable_all_protocol")]
    pub fn want_write_all(&self, path: &str) -> bool {
        let route = self.0.route_named(path);
        route.iter().for_each(|route| self.0.want_write_all(*route, None));
        route.is_some() && self.is_there()
    }

    /// Sends a message to every open WebSocket of the route called `path`, on all threads. It is made once for all, and
    /// once compressed for all that agreed on the same parameters. What waits for slow ones has the bounds of
    /// [`Builder::backlog`](crate::Builder::backlog).
    ///
    /// # Errors
    /// There is no such route, the server has gone, or a thread of the server has 64 MiB or
    /// [`DriverOptions::mailbox_messages_max`](lws_loop_external::DriverOptions::mailbox_messages_max) messages on their
    /// way already: the error says which.
    #[doc(alias = "lws_callback_on_writable_all_protocol")]
    pub fn publish(&self, path: &str, message: &Broadcast) -> Result<(), PublishError> {
        let route = self.0.route_named(path).ok_or(PublishError::NoRoute)?;
        self.0.publish(route, message, None)
    }

    /// Sends a message on the threads that have missed it when it was published.
    ///
    /// # Errors
    /// As [`publish`](Self::publish): some may have missed it again.
    pub fn publish_again(&self, missed: &Missed, message: &Broadcast) -> Result<(), PublishError> {
        self.0.publish_on(missed.route, message, missed.threads.iter().copied())
    }

    /// Calls `call` on the first thread of the server. Its context belongs to no stream.
    pub fn post(&self, call: impl FnOnce(&mut Context<'_>) + Send + 'static) -> bool {
        self.0.send(0, Command::Post(Box::new(call)))
    }

    /// Calls `call` with a WebSocket or raw stream, on the thread that it belongs to. Nothing is called if the stream has
    /// gone by then.
    pub fn post_to(
        &self,
        id: StreamId,
        call: impl FnOnce(&mut Context<'_>, Stream<'_>) + Send + 'static,
    ) -> bool {
        let there = GlobalId { shard: id.shard, connection: id.connection };
        self.0.shards.send_to(there, Command::PostTo(id.key, Box::new(call))).is_ok()
    }

    /// How many threads the server has.
    #[must_use]
    #[doc(alias = "lws_get_count_threads")]
    pub fn threads(&self) -> usize {
        self.0.shards.count().into()
    }

    /// How many connections a thread of the server has: those of all are within one of each other after a rush, unless
    /// connections ended or each thread has a listener of its own.
    #[must_use]
    pub fn thread_connections(&self, thread: usize) -> usize {
        u16::try_from(thread).map_or(0, |thread| self.0.shards.connections(thread))
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("threads", &self.threads()).finish_non_exhaustive()
    }
}
