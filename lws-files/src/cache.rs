//! What was found lately: small contents and open files, within a budget.
//!
//! Keeps nothing longer than it may be believed. It knows no files: values come with what they cost.

use lws_proto::Time;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a cache may hold, and for how long it believes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// Bytes of contents, names and the entries themselves. Default 16 MiB.
    pub bytes_max: usize,
    /// Open descriptors. Default 256.
    #[doc(alias = "open_file_cache")]
    pub descriptors_max: usize,
    /// How long something is believed before it is looked at again: so long a file that was replaced is served as it was. Default
    /// one second.
    pub fresh: Duration,
    /// How long an entry is kept that is not used. Default one minute.
    pub idle: Duration,
}

impl Default for CacheLimits {
    fn default() -> Self {
        Self {
            bytes_max: 16 << 20,
            descriptors_max: 256,
            fresh: Duration::from_secs(1),
            idle: Duration::from_secs(60),
        }
    }
}

/// What a value costs while it is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) bytes: usize,
    pub(crate) descriptors: usize,
}

/// An entry without its value: the key twice, the map, the fields.
pub(crate) const ENTRY_BYTES: usize = 256;

pub(crate) struct Cache<K, V> {
    limits: CacheLimits,
    state: Mutex<CacheState<K, V>>,
}

struct CacheState<K, V> {
    /// Where the entry of each key stands.
    indices: HashMap<K, usize>,
    entries: Vec<Option<CacheEntry<K, V>>>,
    /// Places that are free.
    free: Vec<usize>,
    /// The most and the least recently used entry; `NONE` if there is none.
    newest: usize,
    oldest: usize,
    /// Invariant: the sum over the entries.
    held: Cost,
}

/// An entry, in the order of their last uses.
struct CacheEntry<K, V> {
    key: K,
    value: V,
    cost: Cost,
    /// When it was looked at.
    since: Time,
    used: Time,
    newer: usize,
    older: usize,
}

/// No entry.
const NONE: usize = usize::MAX;

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub(crate) fn new(limits: CacheLimits) -> Self {
        Self { limits, state: Mutex::new(CacheState::new()) }
    }

    /// Nothing that can panic runs while this is held.
    fn lock(&self) -> MutexGuard<'_, CacheState<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of `key`, if it is still believed.
    pub(crate) fn get(&self, key: &K, now: Time) -> Option<V> {
        let mut state = self.lock();
        let index = *state.indices.get(key)?;
        let entry = state.entry(index)?;
        if now - entry.since >= self.limits.fresh {
            return None;
        }
        entry.used = now;
        let value = entry.value.clone();
        state.use_again(index);
        Some(value)
    }

    /// Keeps a value in the place of the one before. What is larger than an eighth of the budget is not kept: it would take the
    /// place of many.
    pub(crate) fn put(&self, key: K, value: V, cost: Cost, now: Time) {
        let cost = Cost { bytes: cost.bytes + ENTRY_BYTES, ..cost };
        let mut state = self.lock();
        state.remove(&key);
        if cost.bytes <= self.limits.bytes_max / 8 && cost.descriptors <= self.limits.descriptors_max {
            state.insert(CacheEntry { key, value, cost, since: now, used: now, newer: NONE, older: NONE });
        }
        state.shrink(&self.limits, now);
    }

    /// Drops entries that were not used for [`CacheLimits::idle`]. Returns whether anything is left.
    pub(crate) fn sweep(&self, now: Time) -> bool {
        let mut state = self.lock();
        state.shrink(&self.limits, now);
        !state.indices.is_empty()
    }

    /// Drops everything: descriptors have run out.
    pub(crate) fn clear(&self) {
        *self.lock() = CacheState::new();
    }

    #[cfg(test)]
    fn held(&self) -> Cost {
        self.lock().held
    }
}

impl<K: Hash + Eq + Clone, V> CacheState<K, V> {
    fn new() -> Self {
        let (indices, entries, free, held) = Default::default();
        Self { indices, entries, free, newest: NONE, oldest: NONE, held }
    }

    fn entry(&mut self, index: usize) -> Option<&mut CacheEntry<K, V>> {
        self.entries.get_mut(index)?.as_mut()
    }

    /// Adds an entry for a key that has none.
    fn insert(&mut self, entry: CacheEntry<K, V>) {
        self.held.bytes += entry.cost.bytes;
        self.held.descriptors += entry.cost.descriptors;
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            self.entries.len() - 1
        });
        self.indices.insert(entry.key.clone(), index);
        self.entries[index] = Some(entry);
        self.link_newest(index);
        debug_assert_eq!(self.indices.len() + self.free.len(), self.entries.len());
    }

    fn remove(&mut self, key: &K) {
        if let Some(index) = self.indices.get(key).copied() {
            self.remove_at(index);
        }
    }

    fn remove_at(&mut self, index: usize) {
        self.unlink(index);
        let Some(entry) = self.entries.get_mut(index).and_then(Option::take) else { return };
        self.free.push(index);
        self.indices.remove(&entry.key);
        self.held.bytes -= entry.cost.bytes;
        self.held.descriptors -= entry.cost.descriptors;
    }

    /// Puts an entry in front of all others.
    fn use_again(&mut self, index: usize) {
        if self.newest != index {
            self.unlink(index);
            self.link_newest(index);
        }
    }

    fn link_newest(&mut self, index: usize) {
        let older = std::mem::replace(&mut self.newest, index);
        if let Some(entry) = self.entry(index) {
            (entry.newer, entry.older) = (NONE, older);
        }
        match self.entry(older) {
            Some(older) => older.newer = index,
            None => self.oldest = index,
        }
    }

    fn unlink(&mut self, index: usize) {
        let Some(&mut CacheEntry { newer, older, .. }) = self.entry(index) else { return };
        match self.entry(newer) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
        match self.entry(older) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Drops the least recently used ones until all is within the limits, and none has been idle for too long.
    fn shrink(&mut self, limits: &CacheLimits, now: Time) {
        loop {
            let oldest = self.oldest;
            let Some(entry) = self.entry(oldest) else { return };
            let idle = now - entry.used >= limits.idle;
            let over = self.held.bytes > limits.bytes_max || self.held.descriptors > limits.descriptors_max;
            if !idle && !over {
                return;
            }
            self.remove_at(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn cache(bytes_max: usize, descriptors_max: usize) -> Cache<u32, u32> {
        Cache::new(CacheLimits { bytes_max, descriptors_max, ..CacheLimits::default() })
    }

    fn cost(bytes: usize, descriptors: usize) -> Cost {
        Cost { bytes: bytes - ENTRY_BYTES, descriptors }
    }

    #[test]
    fn a_value_is_believed_for_a_second() {
        let cache = cache(1 << 20, 8);
        cache.put(1, 10, cost(1000, 0), Time::ZERO);
        assert_eq!(cache.get(&1, Time::from_micros(SECOND - 1)), Some(10));
        assert_eq!(cache.get(&1, Time::from_micros(SECOND)), None);
        cache.put(1, 11, cost(1000, 0), Time::from_micros(SECOND));
        assert_eq!(cache.get(&1, Time::from_micros(SECOND)), Some(11));
        assert_eq!(cache.held(), Cost { bytes: 1000, descriptors: 0 });
    }

    #[test]
    fn up_to_the_limits_all_stay_and_one_past_them_drops_the_least_recently_used() {
        for (each, limit) in [(cost(1000, 0), cache(8000, 8)), (cost(500, 1), cache(80_000, 8))] {
            for key in 0..8 {
                limit.put(key, key, each, Time::ZERO);
            }
            assert_eq!(limit.get(&0, Time::ZERO), Some(0), "at the limit");
            limit.put(8, 8, each, Time::ZERO);
            assert_eq!(limit.get(&1, Time::ZERO), None, "the least recently used");
            assert!([0, 2, 8].iter().all(|key| limit.get(key, Time::ZERO) == Some(*key)));
        }
    }

    #[test]
    fn entries_leave_in_the_order_of_their_last_uses_whatever_was_replaced_in_between() {
        let cache = cache(1 << 20, 6);
        let mut order: Vec<u32> = Vec::new();
        let mut seed = 1u32;
        for step in 0..2_000u32 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let key = seed >> 28;
            let known = order.contains(&key);
            order.retain(|other| *other != key);
            if seed & 1 << 20 == 0 {
                assert_eq!(cache.get(&key, Time::ZERO).is_some(), known, "{key} at {step}");
                if known {
                    order.push(key);
                }
            } else {
                cache.put(key, key, cost(1000, 1), Time::ZERO);
                order.push(key);
                if order.len() > 6 {
                    order.remove(0);
                }
            }
            assert_eq!(cache.held(), Cost { bytes: 1000 * order.len(), descriptors: order.len() }, "{step}");
        }
    }

    #[test]
    fn what_is_large_or_idle_is_not_kept() {
        let cache = cache(8000, 1);
        cache.put(1, 1, cost(1001, 0), Time::ZERO);
        cache.put(2, 2, cost(1000, 2), Time::ZERO);
        assert_eq!(cache.held(), Cost::default());
        cache.put(3, 3, cost(1000, 1), Time::ZERO);
        cache.sweep(Time::from_micros(59 * SECOND));
        assert_eq!(cache.held(), Cost { bytes: 1000, descriptors: 1 });
        cache.sweep(Time::from_micros(60 * SECOND));
        assert_eq!(cache.held(), Cost::default());
    }
}
