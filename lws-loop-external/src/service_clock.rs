//! The time of a service, derived from that of its hosts, and the seconds of the wall clock.

use crate::net;
use lws_proto::Time;
use std::time::Duration;

/// The clock of a service. It goes on without a jump when another host takes over, although each host counts from a
/// moment of its own.
#[derive(Debug, Default)]
pub(crate) struct ServiceClock {
    now: Time,
    /// The difference between the service's time and the host's, in microseconds; wraps around.
    offset: u64,
    /// Whether another host has taken over, whose time is not known yet.
    is_new_host: bool,
    /// Whole seconds since the first of January 1970, UTC.
    unix_seconds: u32,
    /// The time at which the wall clock is read again.
    next_second: Time,
}

impl ServiceClock {
    #[inline]
    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn unix_seconds(&self) -> u32 {
        self.unix_seconds
    }

    /// Milliseconds of that second, as of the beginning of the turn.
    pub(crate) fn millis(&self) -> u16 {
        let left = self.next_second.as_micros().saturating_sub(self.now.as_micros()).div_ceil(1_000);
        u16::try_from(1_000_u64.saturating_sub(left)).unwrap_or_default().min(999)
    }

    /// Another host takes over.
    pub(crate) fn change_host(&mut self) {
        self.is_new_host = true;
        // Forces the next tick to read the clocks, whatever the new host counts from.
        self.next_second = Time::ZERO;
    }

    /// Takes the time of the host. Returns false if the caller has to [`look`](Self::look), too.
    #[inline]
    pub(crate) fn tick(&mut self, host: Time) -> bool {
        let now = self.of_host(host);
        let same_second = now < self.next_second;
        if same_second {
            // Time never goes back, whatever the host passes.
            self.now = self.now.max(now);
        }
        same_second
    }

    /// Reads the wall clock. Returns it if a new second has begun.
    #[cold]
    pub(crate) fn look(&mut self, host: Time) -> Option<u32> {
        if std::mem::take(&mut self.is_new_host) {
            self.offset = self.now.as_micros().wrapping_sub(host.as_micros());
        }
        self.now = self.now.max(self.of_host(host));
        let since_1970 = net::wall_clock();
        let left =
            Duration::from_secs(1).saturating_sub(Duration::from_nanos(since_1970.subsec_nanos().into()));
        self.next_second = self.now + left;
        let seconds = u32::try_from(since_1970.as_secs()).unwrap_or(u32::MAX);
        (std::mem::replace(&mut self.unix_seconds, seconds) != seconds).then_some(seconds)
    }

    /// A moment of the host as the service counts it.
    #[inline]
    pub(crate) fn of_host(&self, host: Time) -> Time {
        let micros = host.as_micros().wrapping_add(self.offset);
        // A host may read its clock, call into the service, and pass the older time afterwards. A time before the
        // beginning of the service would wrap around to a huge one, at which every deadline is due; it counts as zero.
        if micros > u64::MAX / 2 { Time::ZERO } else { Time::from_micros(micros) }
    }

    /// Converts a time of the service to the host's.
    pub(crate) fn host_time(&self, at: Time) -> Time {
        Time::from_micros(self.now.as_micros().wrapping_sub(self.offset)) + (at - self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    fn tell(clock: &mut ServiceClock, host: Time) {
        if !clock.tick(host) {
            clock.look(host);
        }
    }

    #[test]
    fn a_host_that_passes_an_older_time_first_does_not_end_time() {
        let mut clock = ServiceClock::default();
        clock.change_host();
        tell(&mut clock, at(5_000_000));
        let first = clock.now();
        tell(&mut clock, at(4_999_998));
        assert_eq!(clock.now(), first);
        tell(&mut clock, at(5_000_001));
        assert_eq!(clock.now() - first, Duration::from_micros(1));
    }

    #[test]
    fn time_goes_on_at_the_next_host_and_never_back() {
        let mut clock = ServiceClock::default();
        clock.change_host();
        tell(&mut clock, at(5_000_000));
        let first = clock.now();
        tell(&mut clock, at(5_000_007));
        assert_eq!(clock.now() - first, Duration::from_micros(7));
        tell(&mut clock, at(5_000_003));
        assert_eq!(clock.now() - first, Duration::from_micros(7), "time is not turned back");
        clock.change_host();
        tell(&mut clock, at(90));
        assert_eq!(clock.now() - first, Duration::from_micros(7), "no time passes between two hosts");
        tell(&mut clock, at(91));
        assert_eq!(clock.now() - first, Duration::from_micros(8));
        assert_eq!(clock.host_time(clock.now() + Duration::from_micros(9)), at(100));
    }
}
