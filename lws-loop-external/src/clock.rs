//! The clock of a host. A service has none: its host passes the time.

use crate::sys;
use lws_proto::Time;

/// Counts from its creation on, and never goes backwards.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The system's clock when this one was made, in microseconds.
    begun: u64,
}

impl Clock {
    /// A clock that shows [`Time::ZERO`] now.
    #[must_use]
    pub fn new() -> Self {
        Self { begun: shown() }
    }

    /// The time since the clock was made.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Time {
        Time::from_micros(shown().saturating_sub(self.begun))
    }
}

/// The system's monotonic clock, in microseconds.
#[inline]
fn shown() -> u64 {
    // Seconds and nanoseconds are converted apart, as a division of 128 bits is slow.
    let shown = sys::monotonic();
    shown.as_secs() * 1_000_000 + u64::from(shown.subsec_micros())
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
