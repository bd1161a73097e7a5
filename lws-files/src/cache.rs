//! What was found lately: small contents and open files, within a budget.
//!
//! Keeps nothing longer than it may be believed. It knows no files: values come with what they cost.

use lws_proto::Time;
use std::collections::{BTreeMap, HashMap};
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

/// An entry without its value: the key twice, the two maps, the fields.
pub(crate) const ENTRY_BYTES: usize = 256;

pub(crate) struct Cache<K, V> {
    limits: CacheLimits,
    state: Mutex<CacheState<K, V>>,
}

struct CacheState<K, V> {
    entries: HashMap<K, CacheSlot<V>>,
    /// Keys by the number of their last use: the first is the least recently used one.
    by_use: BTreeMap<u64, K>,
    uses: u64,
    /// Invariant: the sum over the entries.
    held: Cost,
}

struct CacheSlot<V> {
    value: V,
    cost: Cost,
    /// When it was looked at.
    since: Time,
    used: Time,
    use_number: u64,
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub(crate) fn new(limits: CacheLimits) -> Self {
        let (entries, by_use, held) = Default::default();
        Self { limits, state: Mutex::new(CacheState { entries, by_use, uses: 0, held }) }
    }

    /// Nothing that can panic runs while this is held.
    fn lock(&self) -> MutexGuard<'_, CacheState<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of `key`, if it is still believed.
    pub(crate) fn get(&self, key: &K, now: Time) -> Option<V> {
        let mut state = self.lock();
        let CacheState { entries, by_use, uses, .. } = &mut *state;
        let slot = entries.get_mut(key)?;
        if now - slot.since >= self.limits.fresh {
            return None;
        }
        slot.used = now;
        *uses += 1;
        if let Some(key) = by_use.remove(&slot.use_number) {
            by_use.insert(*uses, key);
            slot.use_number = *uses;
        }
        Some(slot.value.clone())
    }

    /// Keeps a value in the place of the one before. What is larger than an eighth of the budget is not kept: it would take the
    /// place of many.
    pub(crate) fn put(&self, key: K, value: V, cost: Cost, now: Time) {
        let cost = Cost { bytes: cost.bytes + ENTRY_BYTES, ..cost };
        let mut state = self.lock();
        state.remove(&key);
        if cost.bytes <= self.limits.bytes_max / 8 && cost.descriptors <= self.limits.descriptors_max {
            state.uses += 1;
            let use_number = state.uses;
            state.by_use.insert(use_number, key.clone());
            state.held.bytes += cost.bytes;
            state.held.descriptors += cost.descriptors;
            state.entries.insert(key, CacheSlot { value, cost, since: now, used: now, use_number });
        }
        state.shrink(&self.limits, now);
    }

    /// Drops entries that were not used for [`CacheLimits::idle`]. Returns whether anything is left.
    pub(crate) fn sweep(&self, now: Time) -> bool {
        let mut state = self.lock();
        state.shrink(&self.limits, now);
        !state.entries.is_empty()
    }

    /// Drops everything: descriptors have run out.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.entries.clear();
        state.by_use.clear();
        state.held = Cost::default();
    }

    #[cfg(test)]
    fn held(&self) -> Cost {
        self.lock().held
    }
}

impl<K: Hash + Eq, V> CacheState<K, V> {
    fn remove(&mut self, key: &K) {
        if let Some(slot) = self.entries.remove(key) {
            self.by_use.remove(&slot.use_number);
            self.held.bytes -= slot.cost.bytes;
            self.held.descriptors -= slot.cost.descriptors;
        }
        debug_assert_eq!(self.entries.len(), self.by_use.len());
    }

    /// Drops the least recently used ones until all is within the limits, and none has been idle for too long.
    fn shrink(&mut self, limits: &CacheLimits, now: Time) {
        while let Some((_, key)) = self.by_use.first_key_value() {
            let idle = self.entries.get(key).is_none_or(|slot| now - slot.used >= limits.idle);
            let over = self.held.bytes > limits.bytes_max || self.held.descriptors > limits.descriptors_max;
            if !idle && !over {
                return;
            }
            let Some((_, key)) = self.by_use.pop_first() else { return };
            if let Some(slot) = self.entries.remove(&key) {
                self.held.bytes -= slot.cost.bytes;
                self.held.descriptors -= slot.cost.descriptors;
            }
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
