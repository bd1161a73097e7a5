//! Single flight: many who want the same thing at the same time have it made once.

use crate::pool::{Panicked, Pool, Refusal};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Those who wait for results of one kind, over all keys. Each costs a closure: some hundred bytes.
pub const WAITERS_MAX: usize = 4096;

/// Names one who waits, so that it can stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

type Deliver<V> = Box<dyn FnOnce(Result<V, Panicked>) + Send>;

/// Results that are being made, and who waits for them.
pub(crate) struct Flights<K, V>(Arc<Mutex<FlightState<K, V>>>);

struct FlightState<K, V> {
    /// Invariant: `waiting` is the sum of the lengths.
    by_key: HashMap<K, Vec<(Ticket, Deliver<V>)>>,
    waiting: usize,
    next: u64,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(FlightState { by_key: HashMap::new(), waiting: 0, next: 0 })))
    }
}

impl<K, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

impl<K, V> Flights<K, V> {
    /// Nothing that can panic runs while this is held.
    fn lock(&self) -> MutexGuard<'_, FlightState<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops waiting. What is being made is finished: others may wait for it, and a cache does.
    pub(crate) fn cancel(&self, ticket: Ticket) {
        let mut state = self.lock();
        let mut removed = 0;
        for waiters in state.by_key.values_mut() {
            let before = waiters.len();
            waiters.retain(|(other, _)| *other != ticket);
            removed += before - waiters.len();
        }
        state.waiting -= removed;
    }
}

impl<K: Hash + Eq + Clone + Send + 'static, V: Clone + Send + 'static> Flights<K, V> {
    /// Has `deliver` called with what `work` makes, or with what is being made for `key` already. Answers whether it is `work` that makes it.
    pub(crate) fn join(
        &self,
        key: K,
        pool: &Pool,
        work: impl FnOnce() -> V + Send + 'static,
        deliver: impl FnOnce(Result<V, Panicked>) + Send + 'static,
    ) -> Result<(Ticket, bool), Refusal> {
        let mut state = self.lock();
        if state.waiting >= WAITERS_MAX {
            return Err(Refusal::WaitersFull);
        }
        let slot = if state.by_key.contains_key(&key) { None } else { Some(pool.reserve()?) };
        state.next += 1;
        state.waiting += 1;
        let ticket = Ticket(state.next);
        state.by_key.entry(key.clone()).or_default().push((ticket, Box::new(deliver)));
        drop(state);
        let begins = slot.is_some();
        if let Some(slot) = slot {
            let flights = Self(Arc::clone(&self.0));
            slot.call(work, move |result| flights.land(&key, &result));
        }
        Ok((ticket, begins))
    }

    /// Hands the result to all who wait for it.
    fn land(&self, key: &K, result: &Result<V, Panicked>) {
        let mut state = self.lock();
        let waiters = state.by_key.remove(key).unwrap_or_default();
        state.waiting -= waiters.len();
        // Later requests make the value anew; and no closure runs under the lock.
        drop(state);
        for (_, deliver) in waiters {
            deliver(result.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::PoolOptions;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    #[test]
    fn many_who_want_the_same_have_it_made_once_and_one_may_stop_waiting() {
        let pool = Pool::new("test", PoolOptions::default());
        let flights: Flights<&str, usize> = Flights::default();
        let made = Arc::new(AtomicUsize::new(0));
        let (go, gone) = mpsc::channel::<()>();
        let (sender, results) = mpsc::channel();
        let gone = Arc::new(Mutex::new(gone));
        let mut tickets = Vec::new();
        for who in 0..10 {
            let (made, gone, sender) = (Arc::clone(&made), Arc::clone(&gone), sender.clone());
            let work = move || {
                let _ = gone.lock().map(|gone| gone.recv());
                made.fetch_add(1, Ordering::Relaxed) + 1
            };
            let deliver = move |result: Result<usize, Panicked>| {
                let _ = sender.send((who, result));
            };
            let (ticket, begins) = flights.join("a", &pool, work, deliver).expect("there is room");
            assert_eq!(begins, who == 0);
            tickets.push(ticket);
        }
        flights.cancel(tickets[3]);
        drop(go);
        drop(sender);
        let mut results: Vec<_> = results.iter().collect();
        results.sort_unstable_by_key(|(who, _)| *who);
        let who: Vec<_> = results.iter().map(|(who, _)| *who).collect();
        assert_eq!(who, [0, 1, 2, 4, 5, 6, 7, 8, 9]);
        assert!(results.iter().all(|(_, result)| *result == Ok(1)), "made once");
        assert_eq!(flights.lock().waiting, 0);
    }

    #[test]
    fn one_past_the_limit_is_refused() {
        let pool = Pool::new("test", PoolOptions::default());
        let flights: Flights<u8, ()> = Flights::default();
        let (go, gone) = mpsc::channel::<()>();
        flights.join(0, &pool, move || gone.recv().unwrap_or_default(), |_| ()).expect("the first");
        for _ in 1..WAITERS_MAX {
            flights.join(0, &pool, || (), |_| ()).expect("up to the limit");
        }
        assert_eq!(flights.join(0, &pool, || (), |_| ()), Err(Refusal::WaitersFull));
        drop(go);
    }
}
