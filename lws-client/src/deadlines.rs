//! Moments at which something is due, each with a name. Knows no clock.

use lws_proto::Time;
use std::collections::{BTreeMap, BTreeSet};

/// One moment for each name at most.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    by_time: BTreeSet<(Time, K)>,
    by_name: BTreeMap<K, Time>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_name: BTreeMap::new() }
    }
}

impl<K: Ord + Copy> Deadlines<K> {
    /// Puts a moment in place of the one before.
    pub(crate) fn set(&mut self, name: K, at: Time) {
        if let Some(before) = self.by_name.insert(name, at) {
            self.by_time.remove(&(before, name));
        }
        self.by_time.insert((at, name));
    }

    /// Takes a moment back.
    pub(crate) fn cancel(&mut self, name: K) {
        if let Some(at) = self.by_name.remove(&name) {
            self.by_time.remove(&(at, name));
        }
    }

    /// The first moment.
    pub(crate) fn next(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out one that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<K> {
        let (at, name) = *self.by_time.first()?;
        if at > now {
            return None;
        }
        self.cancel(name);
        Some(name)
    }
}

/// The earlier of two moments, where `None` is never.
pub(crate) fn earliest(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_due_once_and_in_order() {
        let at = Time::from_micros;
        let mut deadlines = Deadlines::default();
        deadlines.set('a', at(5));
        deadlines.set('b', at(3));
        deadlines.set('a', at(1));
        deadlines.set('c', at(9));
        deadlines.cancel('c');
        assert_eq!(deadlines.next(), Some(at(1)));
        assert_eq!(deadlines.pop_due(at(0)), None);
        assert_eq!([deadlines.pop_due(at(4)), deadlines.pop_due(at(4))], [Some('a'), Some('b')]);
        assert_eq!((deadlines.pop_due(at(99)), deadlines.next()), (None, None));
    }
}
