//! When a certificate is renewed, and when the next attempt follows one that failed. Pure: the time and chance are arguments.

use std::time::{Duration, SystemTime};

/// The wait after the first failure. Four attempts in the first hour stay below the five failed validations of a name that Let's
/// Encrypt allows in one.
const FIRST_DELAY: Duration = Duration::from_secs(5 * 60);
/// The longest wait after failures that the authority has set no time for.
const DELAY_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// The longest wait that an authority is believed. Its limits are counted over a week.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The moment at which a certificate with this validity is renewed: at two thirds of its life, and up to a twentieth of it later
/// as `chance` says, so that those which were issued together are not renewed together.
#[must_use]
pub fn renewal(not_before: SystemTime, not_after: SystemTime, chance: u32) -> SystemTime {
    let life = not_after.duration_since(not_before).unwrap_or_default();
    let delay = life / 3 * 2 + part(life / 20, chance);
    not_before.checked_add(delay).unwrap_or(not_after)
}

/// The last moment at which a certificate with this validity is renewed, whatever its authority suggests: at nine tenths of its life,
/// so that a mistake there does not let it end.
#[must_use]
pub fn latest_renewal(not_before: SystemTime, not_after: SystemTime) -> SystemTime {
    let life = not_after.duration_since(not_before).unwrap_or_default();
    not_before.checked_add(life / 10 * 9).unwrap_or(not_after)
}

/// The part of a duration that a number is of all numbers.
pub(crate) fn part(duration: Duration, chance: u32) -> Duration {
    duration.mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

/// How long to wait after failures in a row: 5 minutes, then twice as long each time, 12 hours at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure, for which the authority may have asked for a wait of its own. Up to a quarter comes on
    /// top of it as `chance` says.
    pub fn failed(&mut self, retry_after: Option<Duration>, chance: u32) -> Duration {
        let doubled = FIRST_DELAY.saturating_mul(1 << self.failures.min(16)).min(DELAY_MAX);
        self.failures = self.failures.saturating_add(1);
        let delay = doubled.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        delay + part(delay / 4, chance)
    }

    /// An attempt went well: the next failure is a first one.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    #[test]
    fn a_certificate_is_renewed_behind_two_thirds_of_its_life() {
        let check = |life_days: u64, chance: u32, from_hours: u64, to_hours: u64| {
            let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 * DAY);
            let at = renewal(begin, begin + Duration::from_secs(life_days * DAY), chance);
            let hours = at.duration_since(begin).expect("a moment in its life").as_secs() / 3_600;
            assert!((from_hours..=to_hours).contains(&hours), "{life_days} d, {chance}: {hours} h");
        };
        check(90, 0, 60 * 24 - 1, 60 * 24);
        check(90, u32::MAX / 2, 62 * 24, 63 * 24);
        check(90, u32::MAX, 64 * 24, 65 * 24);
        check(6, 0, 4 * 24 - 1, 4 * 24);
        check(6, u32::MAX, 4 * 24 + 7, 4 * 24 + 8);
        let begin = SystemTime::UNIX_EPOCH;
        let latest = latest_renewal(begin, begin + Duration::from_secs(90 * DAY));
        assert_eq!(latest.duration_since(begin).expect("later").as_secs(), 81 * DAY);
        // One that ends before it begins is due at once.
        let later = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        assert_eq!(renewal(later, SystemTime::UNIX_EPOCH, 7), later);
    }

    #[test]
    fn waits_after_failures_grow_to_a_bound() {
        let mut backoff = Backoff::default();
        let minutes: Vec<_> = (0..10).map(|_| backoff.failed(None, 0).as_secs() / 60).collect();
        assert_eq!(minutes, [5, 10, 20, 40, 80, 160, 320, 640, 720, 720]);
        assert_eq!(backoff.failed(None, u32::MAX).as_secs() / 60, 900);
        backoff.succeeded();
        assert_eq!(backoff.failed(None, 0).as_secs() / 60, 5);
        // The authority may ask for more, but not for ever, and not for less.
        assert_eq!(backoff.failed(Some(Duration::from_secs(DAY)), 0).as_secs(), DAY);
        assert_eq!(backoff.failed(Some(Duration::MAX), 0), RETRY_AFTER_MAX);
        assert_eq!(backoff.failed(Some(Duration::ZERO), 0).as_secs() / 60, 40);
    }
}
