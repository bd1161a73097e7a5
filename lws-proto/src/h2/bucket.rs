//! A token bucket for behaviour that is allowed but not useful.

use crate::Time;
use crate::config::Allowance;

/// A token bucket for an [`Allowance`]: it refills at the allowed rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    left: u32,
    since: Time,
}

impl Bucket {
    pub(crate) fn full(allowance: Allowance, now: Time) -> Self {
        Self { left: allowance.burst, since: now }
    }

    /// Takes a token. Returns whether there was one.
    #[must_use]
    pub(crate) fn take(&mut self, allowance: Allowance, now: Time) -> bool {
        if self.left == 0 {
            self.refill(allowance, now);
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    fn refill(&mut self, allowance: Allowance, now: Time) {
        let passed = (now - self.since).as_micros();
        let earned = passed.saturating_mul(u128::from(allowance.per_second)) / 1_000_000;
        if earned > 0 {
            self.left = u32::try_from(earned).unwrap_or(u32::MAX).min(allowance.burst);
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn a_burst_is_allowed_and_then_so_many_a_second() {
        let allowance = Allowance { burst: 3, per_second: 2 };
        let mut bucket = Bucket::full(allowance, Time::ZERO);
        let mut taken = |after: Duration| bucket.take(allowance, Time::ZERO + after);
        let millis = Duration::from_millis;
        assert!(taken(millis(0)) && taken(millis(0)) && taken(millis(0)));
        assert!(!taken(millis(0)));
        assert!(!taken(millis(499)));
        assert!(taken(millis(500)) && !taken(millis(500)));
        // A peer that is quiet earns the burst again, and no more.
        let later = Duration::from_secs(100);
        assert!(taken(later) && taken(later) && taken(later) && !taken(later));
    }
}
