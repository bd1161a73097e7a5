//! What protocols that send again and again have in common: how often, by an option, and when the next time is.

use lws_plugin::{OptionError, Options};
use lws_server::Time;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The option that says how often a protocol sends, in milliseconds.
pub(super) const PERIOD_OPTION: &str = "update-ms";
/// The longest period, in milliseconds: an hour.
const MILLIS_MAX: u64 = 3_600_000;

/// A period, and when it is over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    period: Duration,
    due: Time,
}

impl Pace {
    pub(super) fn new(period: Duration) -> Self {
        Self { period, due: Time::ZERO }
    }

    /// The pace that the options of a site ask for, of this many milliseconds at least and an hour at most, or else `usual`.
    ///
    /// # Errors
    /// The option is no number within these bounds.
    pub(super) fn of_options(
        options: &Options,
        millis_min: u64,
        usual: Duration,
    ) -> Result<Self, OptionError> {
        let bounds: RangeInclusive<u64> = millis_min..=MILLIS_MAX;
        let millis = options.number(PERIOD_OPTION, bounds)?;
        Ok(Self::new(millis.map_or(usual, Duration::from_millis)))
    }

    pub(super) fn period(&self) -> Duration {
        self.period
    }

    /// The next time: a period after the last one, or after now if that is long past.
    pub(super) fn next(&mut self, now: Time) -> Time {
        let next = self.due + self.period;
        self.due = if next > now { next } else { now + self.period };
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_was_late_does_not_delay_those_behind_it_and_one_long_past_is_given_up() {
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        let mut pace = Pace::new(Duration::from_millis(50));
        for (now, next) in [(1_000, 1_050), (1_050, 1_100), (1_120, 1_150), (1_400, 1_450)] {
            assert_eq!(pace.next(at(now)), at(next), "{now}");
        }
    }
}
