//! When a connection is tried again. Pure: time and chance are arguments.

use std::time::Duration;

/// Full jitter: each delay is uniform between a least one and a bound that doubles.
#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
    random: SplitMix,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration, seed: u64) -> Self {
        Self { min, max: max.max(min), failures: 0, random: SplitMix(seed) }
    }

    /// A connection has lasted: delays begin again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The delay after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let bound = self.min.saturating_mul(factor).min(self.max);
        let span = u64::try_from((bound - self.min).as_micros()).unwrap_or(u64::MAX);
        self.min + Duration::from_micros(self.random.next() % span.saturating_add(1))
    }
}

/// Numbers for jitter. Not for secrets.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_spread_over_a_range_that_grows_to_its_bound() {
        let (min, max) = (Duration::from_millis(500), Duration::from_secs(20));
        for (failures, bound) in [(1, 1_000), (2, 2_000), (5, 16_000), (6, 20_000), (99, 20_000)] {
            let delays: Vec<_> = (0..200)
                .map(|seed| {
                    let mut backoff = Backoff::new(min, max, seed);
                    for _ in 1..failures {
                        backoff.next();
                    }
                    backoff.next()
                })
                .collect();
            let bound = Duration::from_millis(bound);
            assert!(delays.iter().all(|delay| (min..=bound).contains(delay)), "{failures}");
            let (low, high) = (delays.iter().min(), delays.iter().max());
            assert!(low < Some(&(min + bound / 8)) && high > Some(&(bound - bound / 8)), "{failures}");
        }
        let mut backoff = Backoff::new(min, max, 7);
        for _ in 0..10 {
            backoff.next();
        }
        backoff.reset();
        assert!(backoff.next() <= min * 2);
    }
}
