//! What the threads of a server have in common: their mailboxes, the numbers of sites and routes, and what each has counted.
//!
//! Everything else belongs to one thread. Knows no handler and no event: what is sent is the caller's.

use crate::id::{RouteId, SiteId, StreamId};
use crate::metrics::SiteRegistry;
use crate::server::options::ServerOptions;
use crate::server::peers::Peers;
use crate::server::pools::Pools;
use crate::server::stats::Stats;
use lws_loop_external::{GlobalId, SendError, Shards};
use lws_proto::HeldBytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
#[cfg(feature = "broker")]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// The threads of one server.
pub(crate) struct Group<M> {
    pub(crate) shards: Shards<M>,
    drain_timeout: Duration,
    /// What all threads together may hold for their peers.
    pub(crate) held: HeldBytes,
    registry: RwLock<Registry>,
    inboxes: Box<[Inbox<M>]>,
    /// The threads that wait where no loop may.
    pub(crate) pools: Pools,
    /// What each peer has, if that is limited.
    pub(crate) peers: Option<Arc<Peers>>,
    /// What the threads count of each site.
    pub(crate) site_counters: SiteRegistry,
    /// The server retires: [`Handle::retire`](crate::Handle::retire).
    #[cfg(feature = "broker")]
    retires: AtomicBool,
    /// The broker that some topics are shared by.
    #[cfg(feature = "broker")]
    pub(crate) broker: Option<crate::publish::broker::BrokerShared>,
}

/// The sites and routes by their numbers, which are the same everywhere and are not used again.
#[derive(Default)]
struct Registry {
    sites: BTreeMap<SiteId, Registered>,
    next_site: u32,
    next_route: u32,
}

struct Registered {
    routes: Arc<[RouteId]>,
    /// Of its routes, in their order.
    paths: Box<[Arc<str>]>,
}

/// Where one thread finds what the others want of it without a message, on cache lines of its own.
#[repr(align(128))]
struct Inbox<M> {
    /// Messages that may not be lost, and for which the mailbox had no room.
    overflow: Mutex<Vec<M>>,
    /// The routes whose WebSockets are to get permits.
    wanted: Mutex<BTreeSet<RouteId>>,
    /// Sites that it is to remove.
    removed: Mutex<BTreeSet<SiteId>>,
    /// Streams for which another thread has completed something. Each waits for one result at a time.
    woken: Mutex<Vec<StreamId>>,
    /// Bytes of what was published and has not been taken yet.
    publishing_bytes: AtomicUsize,
    /// What it has counted, as of the last report.
    counted: [AtomicU64; Stats::FIELDS],
}

impl<M> Default for Inbox<M> {
    fn default() -> Self {
        Self {
            overflow: Mutex::default(),
            wanted: Mutex::default(),
            removed: Mutex::default(),
            woken: Mutex::default(),
            publishing_bytes: AtomicUsize::default(),
            counted: Default::default(),
        }
    }
}

impl Registry {
    /// A route number that was not used before; one stands for no route.
    fn new_route(&mut self) -> Option<RouteId> {
        let route = RouteId(self.next_route);
        self.next_route = self.next_route.checked_add(1)?;
        Some(route)
    }
}

/// Why nothing will be called on a thread of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostError {
    /// [`DriverOptions::mailbox_messages_max`](lws_loop_external::DriverOptions::mailbox_messages_max) messages wait there: later there may be room.
    Full,
    /// The server has gone.
    Gone,
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many messages wait for the server already",
            Self::Gone => "the server has gone",
        })
    }
}

impl std::error::Error for PostError {}

/// Bytes that may be on their way to one thread of what is published.
const PUBLISHING_BYTES_MAX: usize = 64 << 20;

/// What became of a message on its way to one thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    Sent,
    /// Too much is on its way already.
    Full,
    /// The thread has ended.
    Gone,
}

impl<M> Group<M> {
    pub(crate) fn new(shards: Shards<M>, options: &ServerOptions, held: HeldBytes) -> Self {
        let inboxes = (0..shards.count()).map(|_| Inbox::default()).collect();
        let (pools, peers) = (Pools::new(options), Peers::new(&options.peers));
        let drain_timeout = options.drain_timeout;
        let (registry, site_counters) = (RwLock::default(), SiteRegistry::default());
        Self {
            shards,
            drain_timeout,
            held,
            registry,
            inboxes,
            pools,
            peers,
            site_counters,
            #[cfg(feature = "broker")]
            retires: AtomicBool::new(false),
            #[cfg(feature = "broker")]
            broker: options.broker.as_ref().map(crate::publish::broker::BrokerShared::new),
        }
    }

    fn inbox(&self, shard: u16) -> Option<&Inbox<M>> {
        self.inboxes.get(usize::from(shard))
    }

    // Sites and routes.

    /// Gives a site and its routes their numbers. `None` if there are none left.
    pub(crate) fn register<'p>(
        &self,
        paths: impl Iterator<Item = &'p str>,
    ) -> Option<(SiteId, Arc<[RouteId]>)> {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        let id = SiteId(registry.next_site);
        let paths: Box<[Arc<str>]> = paths.map(Into::into).collect();
        let routes: Arc<[RouteId]> = paths.iter().map(|_| registry.new_route()).collect::<Option<_>>()?;
        registry.next_site = registry.next_site.checked_add(1)?;
        registry.sites.insert(id, Registered { routes: Arc::clone(&routes), paths });
        Some((id, routes))
    }

    /// Numbers for the routes of what is to take the place of a site: those of paths that it has already stay. `None` if there are
    /// none left, or no such site is there.
    pub(crate) fn renumber<'p>(
        &self,
        id: SiteId,
        paths: impl Iterator<Item = &'p str>,
    ) -> Option<Arc<[RouteId]>> {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        let Registry { sites, .. } = &*registry;
        let site = sites.get(&id)?;
        let known: HashMap<Arc<str>, RouteId> =
            site.paths.iter().cloned().zip(site.routes.iter().copied()).collect();
        paths.map(|path| known.get(path).copied().or_else(|| registry.new_route())).collect()
    }

    /// Names the routes of a site that is served now in place of another. Nothing of one that was removed meanwhile: every thread is
    /// about to remove it, or has done so.
    pub(crate) fn serve(&self, id: SiteId, routes: &Arc<[RouteId]>, paths: &[Arc<str>]) {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(site) = registry.sites.get_mut(&id) {
            *site = Registered { routes: Arc::clone(routes), paths: paths.into() };
        }
    }

    /// Whether a site is there.
    pub(crate) fn has_site(&self, id: SiteId) -> bool {
        self.look_up(|registry| registry.sites.contains_key(&id))
    }

    /// Forgets a site. Answers whether it was there.
    pub(crate) fn unregister(&self, id: SiteId) -> bool {
        self.site_counters.remove(id);
        self.registry.write().unwrap_or_else(PoisonError::into_inner).sites.remove(&id).is_some()
    }

    fn look_up<R>(&self, look: impl FnOnce(&Registry) -> R) -> R {
        look(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of the route called `path`: that of the oldest site that has one.
    pub(crate) fn route_named(&self, path: &str) -> Option<RouteId> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let index_in = |site: &Registered| {
            let index = site.paths.iter().position(|known| **known == *path)?;
            site.routes.get(index).copied()
        };
        self.look_up(|registry| registry.sites.values().find_map(index_in))
    }

    /// The path of a route, as it was described but for a `/` at its end.
    pub(crate) fn path(&self, route: RouteId) -> Option<Arc<str>> {
        let path_in = |site: &Registered| {
            let index = site.routes.iter().position(|known| *known == route)?;
            site.paths.get(index).cloned()
        };
        self.look_up(|registry| registry.sites.values().find_map(path_in))
    }

    // Messages.

    pub(crate) fn send(&self, shard: u16, message: M) -> bool {
        self.try_send(shard, message).is_ok()
    }

    pub(crate) fn try_send(&self, shard: u16, message: M) -> Result<(), PostError> {
        let handle = self.shards.handle(shard).ok_or(PostError::Gone)?;
        handle.send(message).map_err(|error| match error {
            SendError::Full(_) => PostError::Full,
            SendError::Closed(_) => PostError::Gone,
        })
    }

    /// Sends a message that must not be lost: where the mailbox is full it waits beside it, so only few messages may be such.
    /// False if the thread has ended.
    pub(crate) fn send_surely(&self, shard: u16, message: M) -> bool {
        let (Some(inbox), Some(handle)) = (self.inbox(shard), self.shards.handle(shard)) else {
            return false;
        };
        match handle.send(message) {
            Ok(()) => true,
            Err(SendError::Closed(_)) => false,
            Err(SendError::Full(message)) => {
                inbox.overflow.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                handle.wake();
                true
            }
        }
    }

    /// Sends a message that must not be lost. Messages of this call arrive in the order in which they were sent; those of
    /// [`send`](Self::send) may overtake them. They wait beside the mailbox, which no limit bounds: the receiver takes all of them in each
    /// turn of its loop.
    #[cfg(feature = "broker")]
    pub(crate) fn send_in_order(&self, shard: u16, message: M) {
        if let (Some(inbox), Some(handle)) = (self.inbox(shard), self.shards.handle(shard)) {
            inbox.overflow.lock().unwrap_or_else(PoisonError::into_inner).push(message);
            handle.wake();
        }
    }

    /// Takes the messages of a thread that its mailbox had no room for.
    pub(crate) fn take_overflow(&self, shard: u16) -> Vec<M> {
        let taken = |inbox: &Inbox<M>| {
            std::mem::take(&mut *inbox.overflow.lock().unwrap_or_else(PoisonError::into_inner))
        };
        self.inbox(shard).map(taken).unwrap_or_default()
    }

    /// Sends a message about one connection of any thread.
    pub(crate) fn send_to(&self, id: GlobalId, message: M) -> bool {
        self.shards.send_to(id, message).is_ok()
    }

    /// The numbers of all threads but `here`.
    pub(crate) fn others(&self, here: Option<u16>) -> impl Iterator<Item = u16> {
        (0..self.shards.count()).filter(move |shard| Some(*shard) != here)
    }

    /// Wants permits for the WebSockets of a route, on all threads but `here`. Never fails, and wanting twice is wanting
    /// once.
    pub(crate) fn want_write_all(&self, route: RouteId, here: Option<u16>) {
        for shard in self.others(here) {
            if let (Some(inbox), Some(handle)) = (self.inbox(shard), self.shards.handle(shard)) {
                inbox.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(route);
                handle.wake();
            }
        }
    }

    /// Takes the routes whose WebSockets are to get permits on a thread.
    pub(crate) fn take_wanted(&self, shard: u16) -> BTreeSet<RouteId> {
        let taken = |inbox: &Inbox<M>| {
            std::mem::take(&mut *inbox.wanted.lock().unwrap_or_else(PoisonError::into_inner))
        };
        self.inbox(shard).map(taken).unwrap_or_default()
    }

    /// Has a stream woken. Never fails, as what was made for it is there and must be taken.
    pub(crate) fn wake(&self, stream: StreamId) {
        if let (Some(inbox), Some(handle)) = (self.inbox(stream.shard), self.shards.handle(stream.shard)) {
            inbox.woken.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
            handle.wake();
        }
    }

    /// Takes the streams of a thread that are to be woken.
    pub(crate) fn take_woken(&self, shard: u16) -> Vec<StreamId> {
        let taken = |inbox: &Inbox<M>| {
            std::mem::take(&mut *inbox.woken.lock().unwrap_or_else(PoisonError::into_inner))
        };
        self.inbox(shard).map(taken).unwrap_or_default()
    }

    /// Has a site removed on all threads but `here`. Never fails.
    pub(crate) fn remove_site(&self, id: SiteId, here: Option<u16>) {
        for shard in self.others(here) {
            if let (Some(inbox), Some(handle)) = (self.inbox(shard), self.shards.handle(shard)) {
                inbox.removed.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
                handle.wake();
            }
        }
    }

    /// Takes the sites that a thread is to remove.
    pub(crate) fn take_removed(&self, shard: u16) -> BTreeSet<SiteId> {
        let taken = |inbox: &Inbox<M>| {
            std::mem::take(&mut *inbox.removed.lock().unwrap_or_else(PoisonError::into_inner))
        };
        self.inbox(shard).map(taken).unwrap_or_default()
    }

    /// Sends what is published, of so many bytes, to one thread.
    pub(crate) fn publish_at(&self, shard: u16, bytes: usize, message: M) -> Published {
        let (Some(inbox), Some(handle)) = (self.inbox(shard), self.shards.handle(shard)) else {
            return Published::Gone;
        };
        // Counted before it is sent, as it may be taken at once.
        let before = inbox.publishing_bytes.fetch_add(bytes, Ordering::Relaxed);
        let published = if before > PUBLISHING_BYTES_MAX {
            Published::Full
        } else {
            match handle.send(message) {
                Ok(()) => Published::Sent,
                Err(SendError::Full(_)) => Published::Full,
                Err(SendError::Closed(_)) => Published::Gone,
            }
        };
        if published != Published::Sent {
            inbox.publishing_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        published
    }

    /// A thread has taken what was published.
    pub(crate) fn published(&self, shard: u16, bytes: usize) {
        if let Some(inbox) = self.inbox(shard) {
            inbox.publishing_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    // Counters.

    /// Notes what a thread has counted.
    pub(crate) fn report(&self, shard: u16, stats: Stats) {
        if let Some(inbox) = self.inbox(shard) {
            for (reported, counted) in inbox.counted.iter().zip(stats.to_array()) {
                reported.store(counted, Ordering::Relaxed);
            }
        }
    }

    /// What the threads but `here` have reported last; they are asked to report again.
    pub(crate) fn counted_elsewhere(&self, here: u16) -> Stats {
        let mut sum = Stats::default();
        for shard in self.others(Some(here)) {
            if let Some(inbox) = self.inbox(shard) {
                sum.add(inbox.counted.each_ref().map(|reported| reported.load(Ordering::Relaxed)));
            }
            if let Some(handle) = self.shards.handle(shard) {
                handle.wake();
            }
        }
        sum
    }

    // The end.

    pub(crate) fn drain(&self) {
        self.shards.drain(self.drain_timeout);
        // Each has streams to wake that would never end: `thread/drain.rs`.
        self.shards.handles().for_each(lws_loop_external::DriverHandle::wake);
    }

    pub(crate) fn retire(&self, patience: Duration) {
        // Before the threads look.
        #[cfg(feature = "broker")]
        self.retires.store(true, Ordering::Release);
        self.shards.retire(patience, self.drain_timeout);
        // The first has a broker to leave perhaps.
        #[cfg(feature = "broker")]
        self.shards.handles().for_each(lws_loop_external::DriverHandle::wake);
    }

    /// Whether the server retires or drains: it ends when its last connection has gone.
    #[cfg(feature = "broker")]
    pub(crate) fn is_ending(&self) -> bool {
        self.retires.load(Ordering::Acquire) || self.shards.draining().is_some()
    }

    pub(crate) fn stop(&self) {
        self.shards.drain(Duration::ZERO);
    }

    /// Whether a thread is there.
    pub(crate) fn is_there(&self) -> bool {
        self.shards.handles().any(|handle| !handle.is_closed())
    }
}
