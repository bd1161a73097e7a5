//! How many connections each shard has, and which shard gets the next one.
//!
//! Counters, and the protocol by which an acceptor that found every place taken is notified of one that was given back.
//! Knows no socket and no thread; the synchronisation primitives are those of the parent module, so that the test
//! `interleavings` can try every order of events.

use super::sync::{AtomicBool, AtomicUsize, Ordering, fence};

/// How many connections each shard has and may have.
pub(crate) struct Quotas {
    shards: Box<[Quota]>,
    /// Whether some acceptor waits for a place.
    waiting: AtomicBool,
}

/// The counters of one shard, on two cache lines of their own, as processors fetch lines in pairs.
#[repr(align(128))]
struct Quota {
    /// The number of connections, including those that are being handed over to it.
    taken: AtomicUsize,
    max: usize,
    /// Whether the shard has ended.
    closed: AtomicBool,
    /// The time since which it has worked without a rest, in milliseconds of a clock that all shards share; zero while
    /// it rests. Wraps around.
    working_since: AtomicUsize,
}

/// The milliseconds of work without a rest after which a shard is busy: a handler does not return, or there is more
/// work than it can do. Far more than a thread waits for a processor.
pub(super) const BUSY_AFTER: usize = 1_000;

impl Quotas {
    /// Quotas of `max` places for each of `shards` shards.
    pub(crate) fn new(shards: usize, max: usize) -> Self {
        let quota = |_| Quota {
            taken: AtomicUsize::new(0),
            max,
            closed: AtomicBool::new(false),
            working_since: AtomicUsize::new(0),
        };
        Self { shards: (0..shards).map(quota).collect(), waiting: AtomicBool::new(false) }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    /// The number of places that are taken at a shard.
    pub(crate) fn taken(&self, shard: usize) -> usize {
        self.shards.get(shard).map_or(0, |quota| quota.taken.load(Ordering::Relaxed))
    }

    /// Whether a shard has no place left.
    pub(crate) fn is_full(&self, shard: usize) -> bool {
        self.shards.get(shard).is_none_or(|quota| !quota.has_room())
    }

    /// Whether any shard has a place left.
    pub(crate) fn has_room(&self) -> bool {
        self.shards.iter().any(Quota::has_room)
    }

    /// Takes a place at the shard that has the fewest taken; of several, at the first from `first` on. A shard that is
    /// busy at `now` is passed over, unless all that have room are busy. `None` if no shard has room.
    pub(crate) fn reserve(&self, first: usize, now: usize) -> Option<usize> {
        loop {
            let count = self.shards.len();
            let order = (0..count).map(|step| (first + step) % count);
            let open = order.filter(|shard| self.shards[*shard].has_room());
            let taken = |shard: usize| self.shards[shard].taken.load(Ordering::Relaxed);
            let least = open.min_by_key(|shard| (self.is_busy(*shard, now), taken(*shard)))?;
            if self.shards[least].reserve() {
                return Some(least);
            }
        }
    }

    /// Whether a shard is busy at `now`.
    pub(crate) fn is_busy(&self, shard: usize, now: usize) -> bool {
        let since = self.shards.get(shard).map_or(0, |quota| quota.working_since.load(Ordering::Relaxed));
        // The shard may have read the clock later than the caller. The difference is negative then, and it is not
        // busy.
        since != 0 && now.wrapping_sub(since) as isize >= BUSY_AFTER as isize
    }

    /// Notes that a shard begins to work at `now`, unless it works already.
    pub(crate) fn work(&self, shard: usize, now: usize) {
        if let Some(quota) = self.shards.get(shard)
            && quota.working_since.load(Ordering::Relaxed) == 0
        {
            quota.working_since.store(now.max(1), Ordering::Relaxed);
        }
    }

    /// Notes that a shard has nothing to do.
    pub(crate) fn rest(&self, shard: usize) {
        if let Some(quota) = self.shards.get(shard) {
            quota.working_since.store(0, Ordering::Relaxed);
        }
    }

    /// Takes a place at `shard`, if there is one.
    pub(crate) fn reserve_at(&self, shard: usize) -> bool {
        self.shards.get(shard).is_some_and(|quota| quota.has_room() && quota.reserve())
    }

    /// Takes a place at `shard`, whether or not there is one.
    pub(crate) fn take(&self, shard: usize) {
        if let Some(quota) = self.shards.get(shard) {
            quota.taken.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives a place back. Returns true if the caller has to notify the acceptors, because one waits for a place; only
    /// one caller gets true.
    pub(crate) fn give_back(&self, shard: usize) -> bool {
        if let Some(quota) = self.shards.get(shard) {
            quota.taken.fetch_sub(1, Ordering::Relaxed);
        }
        // Pairs with the fence in `wait`: either the free place is seen there, or `waiting` is seen here.
        fence(Ordering::SeqCst);
        self.waiting.load(Ordering::Relaxed) && self.waiting.swap(false, Ordering::AcqRel)
    }

    /// Asks for a notification of a free place, at one shard or at any. Returns false if there is one by now.
    pub(crate) fn wait(&self, shard: Option<usize>) -> bool {
        self.waiting.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        shard.map_or_else(|| !self.has_room(), |shard| self.is_full(shard))
    }

    /// Notes that a shard has ended, so that it gets no more connections.
    pub(crate) fn close(&self, shard: usize) {
        if let Some(quota) = self.shards.get(shard) {
            quota.closed.store(true, Ordering::Release);
        }
    }
}

impl Quota {
    fn has_room(&self) -> bool {
        self.taken.load(Ordering::Relaxed) < self.max && !self.closed.load(Ordering::Relaxed)
    }

    fn reserve(&self) -> bool {
        let more = |taken| (taken < self.max).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}
