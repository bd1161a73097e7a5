//! The clock of a host. A service has none: it is told the time.

use lws_proto::Time;
use std::time::Instant;

/// Counts from its creation on, and never goes backwards.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that shows [`Time::ZERO`] now.
    #[must_use]
    pub fn new() -> Self {
        Self(Instant::now())
    }

    /// The time since then.
    #[must_use]
    #[inline]
    pub fn now(&self) -> Time {
        // In two parts, as a division of 128 bits is slow.
        let elapsed = self.0.elapsed();
        Time::from_micros(elapsed.as_secs() * 1_000_000 + u64::from(elapsed.subsec_micros()))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
