//! What the threads of a server have in common: their mailboxes, the numbers of sites and routes, and what each has counted.
//!
//! Everything else belongs to one thread. Knows no handler and no event: what is sent is the caller's.

use crate::id::{RouteId, SiteId, StreamId};
use crate::server::options::ServerOptions;
use crate::server::peers::Peers;
use crate::server::pools::Pools;
use crate::server::stats::Stats;
use lws_loop_external::{GlobalId, SendError, Shards};
use lws_proto::HeldBytes;
use std::collections::{BTreeMap, BTreeSet};
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
    inboxes: Box<[Inbox]>,
    /// The threads that wait where no loop may.
    pub(crate) pools: Pools,
    /// What each peer has, if that is limited.
    pub(crate) peers: Option<Arc<Peers>>,
}

/// The sites and routes by their numbers, which are the same everywhere and are not used again.
#[derive(Default)]
struct Registry {
    sites: BTreeMap<SiteId, Registered>,
    next_site: u32,
    next_route: u32,
}

struct Registered {
    first_route: RouteId,
    /// Of its routes, in their order.
    paths: Box<[Arc<str>]>,
}

/// Where one thread finds what the others want of it without a message, on cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
struct Inbox {
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
        Self { shards, drain_timeout, held, registry: RwLock::default(), inboxes, pools, peers }
    }

    fn inbox(&self, shard: u16) -> Option<&Inbox> {
        self.inboxes.get(usize::from(shard))
    }

    // Sites and routes.

    /// Gives a site and its routes their numbers. `None` if there are none left.
    pub(crate) fn register<'p>(&self, paths: impl Iterator<Item = &'p str>) -> Option<(SiteId, RouteId)> {
        let mut registry = self.registry.write().unwrap_or_else(PoisonError::into_inner);
        let (id, first_route) = (SiteId(registry.next_site), RouteId(registry.next_route));
        let paths: Box<[Arc<str>]> = paths.map(Into::into).collect();
        // Below the number that stands for no route.
        let next_route = registry.next_route.checked_add(u32::try_from(paths.len()).ok()?)?;
        registry.next_site = registry.next_site.checked_add(1)?;
        registry.next_route = next_route;
        registry.sites.insert(id, Registered { first_route, paths });
        Some((id, first_route))
    }

    /// Forgets a site. Answers whether it was there.
    pub(crate) fn unregister(&self, id: SiteId) -> bool {
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
            Some(RouteId(site.first_route.0 + u32::try_from(index).ok()?))
        };
        self.look_up(|registry| registry.sites.values().find_map(index_in))
    }

    /// The path of a route, as it was described but for a `/` at its end.
    pub(crate) fn path(&self, route: RouteId) -> Option<Arc<str>> {
        let path_in = |site: &Registered| {
            let index = route.0.checked_sub(site.first_route.0)?;
            site.paths.get(index as usize).cloned()
        };
        self.look_up(|registry| registry.sites.values().find_map(path_in))
    }

    /// Whether the routes that a thread has for a site are those of the others.
    pub(crate) fn has_paths<'a>(&self, id: SiteId, paths: impl Iterator<Item = &'a str>) -> bool {
        self.look_up(|registry| {
            registry.sites.get(&id).is_some_and(|site| site.paths.iter().map(|path| &**path).eq(paths))
        })
    }

    // Messages.

    pub(crate) fn send(&self, shard: u16, message: M) -> bool {
        self.shards.handle(shard).is_some_and(|handle| handle.send(message).is_ok())
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
        let taken =
            |inbox: &Inbox| std::mem::take(&mut *inbox.wanted.lock().unwrap_or_else(PoisonError::into_inner));
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
        let taken =
            |inbox: &Inbox| std::mem::take(&mut *inbox.woken.lock().unwrap_or_else(PoisonError::into_inner));
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
        let taken = |inbox: &Inbox| {
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

    pub(crate) fn stop(&self) {
        self.shards.drain(Duration::ZERO);
    }

    /// Whether a thread is there.
    pub(crate) fn is_there(&self) -> bool {
        self.shards.handles().any(|handle| !handle.is_closed())
    }
}
