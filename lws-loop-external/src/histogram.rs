//! How often something took how long. Knows no clock.

use std::time::Duration;

/// Times, counted by their length: one count for each of [`Histogram::BOUNDS`], one for what is longer, and the sum of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; Self::BOUNDS.len() + 1],
    sum_nanos: u64,
}

impl Histogram {
    /// The longest time of each count but the last: a turn is meant to take a millisecond, and what takes a second is a
    /// handler that waits.
    pub const BOUNDS: [Duration; 11] = [
        Duration::from_micros(50),
        Duration::from_micros(100),
        Duration::from_micros(500),
        Duration::from_millis(1),
        Duration::from_millis(2),
        Duration::from_millis(5),
        Duration::from_millis(25),
        Duration::from_millis(100),
        Duration::from_millis(250),
        Duration::from_secs(1),
        Duration::from_secs(5),
    ];

    /// Counts a time, in nanoseconds.
    #[inline]
    pub(crate) fn count(&mut self, nanos: u64) {
        let is_within = |bound: &Duration| u128::from(nanos) <= bound.as_nanos();
        let index = Self::BOUNDS.iter().position(is_within).unwrap_or(Self::BOUNDS.len());
        self.counts[index] += 1;
        self.sum_nanos = self.sum_nanos.saturating_add(nanos);
    }

    /// How many times there were of each length: the last number is that of times beyond all bounds.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// All times together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_nanos)
    }

    /// A bound that so many of a thousand times do not exceed: the smallest of [`BOUNDS`](Self::BOUNDS) that is one. `None` if there was no
    /// time, or too many are beyond all bounds.
    #[must_use]
    pub fn bound(&self, per_mille: u16) -> Option<Duration> {
        let all: u128 = self.counts.iter().map(|count| u128::from(*count)).sum();
        let wanted = (all * u128::from(per_mille)).div_ceil(1_000);
        let mut within = 0;
        let mut bounds = self.counts.iter().zip(Self::BOUNDS).filter_map(|(count, bound)| {
            within += u128::from(*count);
            (within >= wanted).then_some(bound)
        });
        bounds.next().filter(|_| all > 0)
    }

    /// Adds what another one has counted.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.sum_nanos = self.sum_nanos.saturating_add(other.sum_nanos);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_counts_within_its_bound_and_one_beyond_all_counts_last() {
        let mut histogram = Histogram::default();
        for nanos in [0, 50_000, 50_001, 5_000_000_000, 5_000_000_001] {
            histogram.count(nanos);
        }
        let mut twice = histogram;
        twice.add(&histogram);
        assert_eq!(histogram.counts(), [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(histogram.sum(), Duration::from_nanos(10_000_100_002));
        assert_eq!(twice.counts()[0], 4);
    }

    #[test]
    fn a_bound_holds_for_as_many_as_it_says() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.bound(500), None);
        (0..99).for_each(|_| histogram.count(60_000));
        histogram.count(30_000_000);
        let micros = |per_mille| histogram.bound(per_mille).map(|bound| bound.as_micros());
        assert_eq!([0, 500, 990, 991, 1_000].map(micros), [50, 100, 100, 100_000, 100_000].map(Some));
        histogram.count(u64::MAX);
        assert_eq!(histogram.bound(1_000), None);
    }
}
