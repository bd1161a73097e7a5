//! Time as an argument.
//!
//! The engine owns no clock. Its driver says what time it is, and may jump ahead.

use core::ops::{Add, Sub};
use core::time::Duration;

/// A moment, in microseconds since an epoch that the caller chooses. It never goes backwards.
///
/// ```
/// use core::time::Duration;
/// use lws_proto::Time;
///
/// let start = Time::from_micros(5);
/// assert_eq!(start + Duration::from_millis(1), Time::from_micros(1_005));
/// assert_eq!(start - (start + Duration::from_secs(1)), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The caller's epoch.
    pub const ZERO: Self = Self(0);

    /// A moment that does not come.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// The moment `micros` microseconds after the epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    /// Saturates at the end of time, which is half a million years away.
    fn add(self, duration: Duration) -> Self {
        let micros = duration.as_secs().saturating_mul(1_000_000);
        Self(self.0.saturating_add(micros).saturating_add(u64::from(duration.subsec_micros())))
    }
}

impl Sub for Time {
    type Output = Duration;

    /// The time that has passed since `earlier`; zero if it has not come yet.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// A deadline that is kept as [`Time::NEVER`] where there is none.
#[inline]
pub(crate) fn unless_never(at: Time) -> Option<Time> {
    (at != Time::NEVER).then_some(at)
}

/// The earlier of two deadlines, where `None` is never.
pub(crate) fn earliest(a: Option<Time>, b: Option<Time>) -> Option<Time> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
