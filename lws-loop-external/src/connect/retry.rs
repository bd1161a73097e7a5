//! The delay before the next try. Knows no connection and no clock; chance is an argument.

use std::borrow::Cow;
use std::time::Duration;

/// When to try again after a failure, and how often.
///
/// ```
/// use lws_loop_external::{Backoff, RetryPolicy};
/// use std::time::Duration;
///
/// let policy = RetryPolicy { jitter_percent: 0, tries_max: Some(3), ..RetryPolicy::default() };
/// assert_eq!(policy.delay(1, 0), Some(Duration::from_secs(1)));
/// assert_eq!(policy.delay(2, 0), Some(Duration::from_secs(2)));
/// assert_eq!(policy.delay(3, 0), None, "three tries have failed");
/// // libwebsockets' way to say it:
/// let table = [1_000, 3_000, 9_000, 17_000].map(Duration::from_millis);
/// let policy = RetryPolicy { backoff: Backoff::Table(table.to_vec().into()), ..policy };
/// assert_eq!(policy.delay(2, 0), Some(Duration::from_secs(3)));
/// ```
#[doc(alias = "lws_retry_bo_t")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The delays. Default: 1 s, and twice as long each time, up to 1 min.
    pub backoff: Backoff,
    /// How many percent longer a delay may become by chance, so that many clients of one server do not all come back
    /// at the same moment. Default 30; at most 100 count.
    pub jitter_percent: u8,
    /// How many tries may fail in a row before no more follow; `None`, the default, is no limit.
    #[doc(alias = "conceal_count")]
    pub tries_max: Option<u32>,
    /// How long a connection must have lasted for the count to begin again. Default 10 s: a peer that accepts and hangs
    /// up at once is still failing.
    pub reset_after: Duration,
}

/// How delays grow.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backoff {
    /// A list of delays, the last of which repeats. An empty list is no delay.
    #[doc(alias = "retry_ms_table")]
    Table(Cow<'static, [Duration]>),
    /// Each delay is the one before times a factor.
    Exponential {
        /// The first delay.
        base: Duration,
        /// What each one is multiplied by, in percent: 200 doubles. Below 100 is 100.
        factor_percent: u32,
        /// No delay is longer than this, apart from jitter.
        max: Duration,
    },
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            backoff: Backoff::Exponential {
                base: Duration::from_secs(1),
                factor_percent: 200,
                max: Duration::from_secs(60),
            },
            jitter_percent: 30,
            tries_max: None,
            reset_after: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// The delay after `failures` tries in a row have failed, of which there is one at least, or `None` if that was the
    /// last one. `random` decides the jitter: a uniformly distributed number.
    #[doc(alias = "lws_retry_get_delay_ms")]
    #[must_use]
    pub fn delay(&self, failures: u32, random: u32) -> Option<Duration> {
        if self.tries_max.is_some_and(|max| failures >= max) {
            return None;
        }
        let delay = self.backoff.delay(failures.saturating_sub(1));
        Some(delay.saturating_add(self.jitter(delay, random)))
    }

    /// The jitter: between nothing and `jitter_percent` of the delay.
    fn jitter(&self, delay: Duration, random: u32) -> Duration {
        let most = delay.as_nanos() * u128::from(self.jitter_percent.min(100)) / 100;
        let jitter = most * u128::from(random) / u128::from(u32::MAX);
        Duration::from_nanos(u64::try_from(jitter).unwrap_or(u64::MAX))
    }
}

impl Backoff {
    /// The delay number `n`, from zero.
    fn delay(&self, n: u32) -> Duration {
        match self {
            Self::Table(delays) => {
                let place = usize::try_from(n).unwrap_or(usize::MAX);
                delays.get(place).or(delays.last()).copied().unwrap_or_default()
            }
            Self::Exponential { base, factor_percent, max } => {
                let factor = f64::from((*factor_percent).max(100)) / 100.0;
                let seconds = base.as_secs_f64() * factor.powf(f64::from(n));
                Duration::try_from_secs_f64(seconds).map_or(*max, |delay| delay.min(*max))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(backoff: Backoff) -> RetryPolicy {
        RetryPolicy { backoff, jitter_percent: 0, ..RetryPolicy::default() }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn delays_follow_the_table_and_its_last_entry_stays() {
        let policy = plain(Backoff::Table([1, 3, 9].map(Duration::from_secs).to_vec().into()));
        for (failures, seconds) in [(0, 1), (1, 1), (2, 3), (3, 9), (4, 9), (u32::MAX, 9)] {
            assert_eq!(policy.delay(failures, 7), Some(Duration::from_secs(seconds)), "{failures}");
        }
        assert_eq!(plain(Backoff::Table(Cow::Borrowed(&[]))).delay(1, 7), Some(Duration::ZERO));
    }

    #[test]
    fn delays_grow_by_the_factor_up_to_the_most() {
        let exponential = |factor_percent| {
            plain(Backoff::Exponential { base: millis(100), factor_percent, max: Duration::from_secs(2) })
        };
        for (failures, expected) in
            [(1, 100), (2, 200), (5, 1_600), (6, 2_000), (100, 2_000), (u32::MAX, 2_000)]
        {
            assert_eq!(exponential(200).delay(failures, 7), Some(millis(expected)), "{failures}");
        }
        assert_eq!(exponential(150).delay(3, 7), Some(millis(225)));
        assert_eq!(exponential(0).delay(9, 7), Some(millis(100)), "no delay gets shorter");
    }

    #[test]
    fn jitter_only_lengthens_and_stays_within_its_percentage() {
        let policy = |jitter_percent| RetryPolicy {
            backoff: Backoff::Table([millis(1_000)].to_vec().into()),
            jitter_percent,
            ..RetryPolicy::default()
        };
        for (percent, random, expected) in
            [(20, 0, 1_000), (20, u32::MAX, 1_200), (20, u32::MAX / 2, 1_099), (255, u32::MAX, 2_000)]
        {
            let delay = policy(percent).delay(1, random).expect("a delay");
            assert_eq!(delay.as_millis(), expected, "{percent} % of {random}");
        }
        let long = RetryPolicy {
            backoff: Backoff::Table([Duration::MAX].to_vec().into()),
            ..RetryPolicy::default()
        };
        assert_eq!(long.delay(1, u32::MAX), Some(Duration::MAX));
    }

    #[test]
    fn after_the_last_try_there_is_no_delay() {
        let policy = RetryPolicy { tries_max: Some(2), ..RetryPolicy::default() };
        assert!(policy.delay(1, 0).is_some());
        assert_eq!((policy.delay(2, 0), policy.delay(3, 0)), (None, None));
        let never = RetryPolicy { tries_max: Some(0), ..RetryPolicy::default() };
        assert_eq!(never.delay(1, 0), None);
    }
}
