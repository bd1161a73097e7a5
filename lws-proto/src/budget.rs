//! Accounting of the memory that is held for peers: each connection against its own limit, and all connections of a
//! service against one budget.
//!
//! Knows no protocol. A connection counts what it holds at the end of a turn, and charges growth in between. Nothing
//! has to be given back where memory is freed, so no release can be forgotten.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

/// The default budget of a service for its peers. See [`HeldBytes`].
pub const SERVICE_BYTES_MAX: usize = 256 << 20;

/// The amount that a thread takes from the common budget at a time, so that most messages do not touch the shared
/// counter.
const CHUNK_BYTES: usize = 1 << 20;

/// The bytes that all connections of a service hold for their peers: content that is gathered, messages that are put together, look-ahead,
/// output that is queued, compression contexts.
///
/// Past the budget new work is refused: requests with 503, streams of HTTP/2 with REFUSED_STREAM, messages that would have to be
/// put together with close code 1013. Existing work goes on.
///
/// One value counts for the connections of one thread. [`share`](Self::share) makes another for another thread, with the same budget.
#[derive(Debug)]
pub struct HeldBytes {
    common: Arc<Common>,
    /// The bytes that the connections of this part hold.
    held: AtomicUsize,
    /// The bytes that were taken from the common budget for them.
    taken: AtomicUsize,
}

/// The part that all threads of a service share.
#[derive(Debug)]
struct Common {
    bytes_max: usize,
    chunk: usize,
    left: AtomicUsize,
}

impl HeldBytes {
    /// A budget of `bytes_max` bytes.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        // A small budget is shared in small chunks.
        let chunk = CHUNK_BYTES.min(bytes_max / 16).max(1);
        Self::of(Arc::new(Common { bytes_max, chunk, left: AtomicUsize::new(bytes_max) }))
    }

    fn of(common: Arc<Common>) -> Self {
        Self { common, held: AtomicUsize::new(0), taken: AtomicUsize::new(0) }
    }

    /// Another part of the same service.
    #[must_use]
    pub fn share(&self) -> Self {
        Self::of(Arc::clone(&self.common))
    }

    /// The budget.
    #[must_use]
    pub fn bytes_max(&self) -> usize {
        self.common.bytes_max
    }

    /// The bytes that this part holds.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether this part cannot get any more of the budget.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.held() >= self.taken.load(Ordering::Relaxed) && self.common.left.load(Ordering::Relaxed) == 0
    }

    /// Counts something that has grown or shrunk from `before` bytes to `after`: for what an application holds for its peers beside
    /// their connections, such as a log of messages. It is never refused; a caller that can wait asks [`is_full`](Self::is_full) first.
    pub fn adjust(&self, before: usize, after: usize) {
        let held = if after >= before {
            let grown = after - before;
            self.held.fetch_add(grown, Ordering::Relaxed).saturating_add(grown)
        } else {
            let shrunk = before - after;
            let was = self.held.fetch_sub(shrunk, Ordering::Relaxed);
            debug_assert!(was >= shrunk, "{shrunk} bytes are given back of {was}");
            was.saturating_sub(shrunk)
        };
        let taken = self.taken.load(Ordering::Relaxed);
        if held > taken {
            self.take(held - taken);
        } else if taken - held > 2 * self.common.chunk {
            self.give_back(taken - held - self.common.chunk);
        }
    }

    /// Takes missing bytes from the common budget, in whole chunks, or the rest of it.
    #[cold]
    fn take(&self, missing: usize) {
        let wanted = missing.next_multiple_of(self.common.chunk);
        let take = |left: usize| Some(left.saturating_sub(wanted));
        // The closure always returns a value, so the update cannot fail.
        let left = self.common.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
        self.taken.fetch_add(left.min(wanted), Ordering::Relaxed);
    }

    #[cold]
    fn give_back(&self, spare: usize) {
        let spare = spare - spare % self.common.chunk;
        self.taken.fetch_sub(spare, Ordering::Relaxed);
        self.common.left.fetch_add(spare, Ordering::Relaxed);
    }
}

impl Default for HeldBytes {
    /// A budget of 256 MiB.
    fn default() -> Self {
        Self::new(SERVICE_BYTES_MAX)
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.common.left.fetch_add(*self.taken.get_mut(), Ordering::Relaxed);
    }
}

/// The account of one connection.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The bytes of the last count, and the growth since. Never less than what is held, except for output that the
    /// current turn has queued.
    held: u32,
    /// The bytes that are charged to the service.
    charged: u32,
    /// The bytes that the driver holds for the connection.
    pub(crate) outside: u32,
}

fn saturated(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl Account {
    /// Whether there is something to count.
    #[inline]
    pub(crate) fn is_touched(&self) -> bool {
        self.held | self.charged != 0
    }

    /// Whether `max` is held, or more.
    pub(crate) fn is_full(&self, max: usize) -> bool {
        self.held as usize >= max
    }

    /// Charges growth that has happened already, and has another limit.
    pub(crate) fn charge(&mut self, bytes: usize) {
        self.held = self.held.saturating_add(saturated(bytes));
    }

    /// Charges growth in advance, unless more than `max` would be held.
    pub(crate) fn grow(&mut self, bytes: usize, max: usize) -> bool {
        let fits = (self.held as usize).saturating_add(bytes) <= max;
        if fits {
            self.charge(bytes);
        }
        fits
    }

    /// Gives back bytes that were charged since the last count.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(saturated(bytes));
    }

    /// Sets the bytes to the result of a count.
    pub(crate) fn count(&mut self, held: usize, service: &HeldBytes) {
        let held = saturated(held);
        if held != self.charged {
            service.adjust(self.charged as usize, held as usize);
        }
        (self.held, self.charged) = (held, held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_full_when_it_is_used_up_and_what_is_given_back_is_there_for_all() {
        let one = HeldBytes::new(1_600);
        let other = one.share();
        one.adjust(0, 1_500);
        assert!(!one.is_full() && !other.is_full(), "a chunk is left");
        other.adjust(0, 100);
        assert!(one.is_full() && other.is_full(), "at the limit");
        one.adjust(0, 5_000);
        assert_eq!(one.held(), 6_500, "what is there goes on");
        one.adjust(6_500, 1_000);
        assert!(!one.is_full() && !other.is_full());
        one.adjust(1_000, 0);
        other.adjust(100, 1_600);
        assert!(other.is_full());
        drop(other);
        assert!(!one.is_full());
        one.adjust(0, 1_600);
        assert!(one.is_full(), "nothing was lost and nothing counted twice");
    }

    #[test]
    fn an_account_takes_what_fits_and_is_corrected_by_a_count() {
        let service = HeldBytes::new(1_000);
        let mut account = Account::default();
        assert!(!account.is_touched());
        assert!(account.grow(100, 100) && !account.grow(1, 100));
        account.shrink(50);
        assert!(account.grow(50, 100));
        account.count(30, &service);
        assert_eq!((account.held, service.held()), (30, 30));
        assert!(account.grow(69, 100) && !account.is_full(100));
        account.charge(1);
        assert!(account.is_full(100));
        account.count(0, &service);
        assert_eq!((account.is_touched(), service.held()), (false, 0));
    }
}
