//! The valid ranges of limits. They are checked when a service or configuration is built, so no connection has to
//! handle a limit that makes no sense.

use crate::config::{Allowance, Limits};
use core::error::Error;
use core::fmt;
use core::ops::RangeInclusive;
use core::time::Duration;

/// A limit or option that is outside of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    field: &'static str,
    value: u64,
    min: u64,
    max: u64,
    unit: &'static str,
}

impl OutOfRange {
    /// Checks the number that is called `field`.
    ///
    /// # Errors
    /// It is outside of `range`.
    pub fn check(field: &'static str, value: u64, range: RangeInclusive<u64>) -> Result<(), Self> {
        Self::check_unit(field, value, range, "")
    }

    /// Checks a duration, in whole milliseconds.
    ///
    /// # Errors
    /// It is shorter than the range allows, or longer.
    pub fn check_duration(
        field: &'static str,
        value: Duration,
        millis: RangeInclusive<u64>,
    ) -> Result<(), Self> {
        let value = u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
        Self::check_unit(field, value, millis, " ms")
    }

    fn check_unit(
        field: &'static str,
        value: u64,
        range: RangeInclusive<u64>,
        unit: &'static str,
    ) -> Result<(), Self> {
        let (min, max) = range.into_inner();
        if (min..=max).contains(&value) { Ok(()) } else { Err(Self { field, value, min, max, unit }) }
    }

    /// The name of the field, as in [`Limits`].
    #[must_use]
    pub fn field(&self) -> &'static str {
        self.field
    }

    /// The smallest and the largest value that it may have; of a duration in milliseconds.
    #[must_use]
    pub fn range(&self) -> RangeInclusive<u64> {
        self.min..=self.max
    }
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, min, max, unit } = self;
        write!(f, "{field} is {value}{unit}, but has to be at least {min}{unit}")?;
        if *max == u64::MAX { Ok(()) } else { write!(f, " and at most {max}{unit}") }
    }
}

impl Error for OutOfRange {}

/// A type that a limit can have.
trait Bounded {
    fn check(self, field: &'static str, range: RangeInclusive<u64>) -> Result<(), OutOfRange>;
}

impl Bounded for u64 {
    fn check(self, field: &'static str, range: RangeInclusive<u64>) -> Result<(), OutOfRange> {
        OutOfRange::check(field, self, range)
    }
}

impl Bounded for u32 {
    fn check(self, field: &'static str, range: RangeInclusive<u64>) -> Result<(), OutOfRange> {
        u64::from(self).check(field, range)
    }
}

impl Bounded for usize {
    fn check(self, field: &'static str, range: RangeInclusive<u64>) -> Result<(), OutOfRange> {
        u64::try_from(self).unwrap_or(u64::MAX).check(field, range)
    }
}

impl Bounded for Duration {
    fn check(self, field: &'static str, range: RangeInclusive<u64>) -> Result<(), OutOfRange> {
        OutOfRange::check_duration(field, self, range)
    }
}

impl<T: Bounded> Bounded for Option<T> {
    fn check(self, field: &'static str, range: RangeInclusive<u64>) -> Result<(), OutOfRange> {
        self.map_or(Ok(()), |limit| limit.check(field, range))
    }
}

impl Bounded for Allowance {
    /// Of what is allowed at once: without any, the first one would be one too many.
    fn check(self, field: &'static str, range: RangeInclusive<u64>) -> Result<(), OutOfRange> {
        self.burst.check(field, range)
    }
}

/// Checks every field. A field without a range does not compile.
macro_rules! check_all {
    ($limits:expr, $($field:ident: $range:expr,)*) => {{
        let Limits { $($field),* } = $limits;
        $($field.check(stringify!($field), $range)?;)*
    }};
}

/// Positions in a section are numbers of 32 bits, and no message, queue or window needs more.
const BYTES: u64 = 1 << 30;
/// Where something has to be let through, or nothing ever is.
const SOME: RangeInclusive<u64> = 1..=u64::MAX;
const ANY: RangeInclusive<u64> = 0..=u64::MAX;
/// RFC 9113 §6.9.1.
const WINDOW_MAX: u64 = (1 << 31) - 1;

impl Limits {
    /// Checks every limit against its range. What builds a service calls it; a program that makes a
    /// [`Connection`](crate::Connection) with limits of its own should.
    ///
    /// # Errors
    /// The first limit that is outside of its range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        check_all!(self.clone(),
            head_bytes_max: 1..=BYTES,
            target_bytes_max: 1..=BYTES,
            field_lines_max: 1..=256,
            head_timeout: SOME,
            content_bytes_min: ANY,
            content_period: SOME,
            content_bytes_max: ANY,
            chunk_extension_bytes_max: 0..=BYTES,
            trailer_bytes_max: 2..=BYTES,
            discard_bytes_max: ANY,
            keep_alive_timeout: SOME,
            keep_alive_requests_max: SOME,
            response_timeout: SOME,
            held_bytes_max: SOME,
            look_ahead_bytes_max: 0..=BYTES,
            send_queue_bytes_max: 1..=BYTES,
            stalled_timeout: SOME,
            stalled_bytes_min: ANY,
            stalled_grace_max: ANY,
            message_bytes_max: ANY,
            message_fragments_max: SOME,
            inflate_ratio_max: SOME,
            ping_interval: SOME,
            // Silence has to be asked about before it is a reason to give up.
            dead_peer_timeout: u64::try_from(self.ping_interval.as_millis()).unwrap_or(u64::MAX)..=u64::MAX,
            // RFC 6455 §5.5.2: a Ping has to be answered.
            pongs_per_second_max: SOME,
            close_timeout: SOME,
            linger_timeout: ANY,
            half_closed_timeout: SOME,
            between_bytes_timeout: SOME,
            h2_streams_max: 1..=WINDOW_MAX,
            h2_stream_window: 1..=WINDOW_MAX,
            h2_stream_window_max: 1..=WINDOW_MAX,
            // RFC 9113 §6.9.2: it begins with 65,535 octets, and cannot be made smaller.
            h2_connection_window: 65_535..=WINDOW_MAX,
            h2_table_bytes_max: 0..=BYTES,
            h2_continuations_max: ANY,
            h2_resets: SOME,
            h2_glitches: SOME,
            h2_settings_entries_max: SOME,
            h2_control_frames_max: SOME,
            h2_settings_timeout: SOME,
            h2_waiting_bytes_min: ANY,
            h2_requests_queued_max: ANY,
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn refused(change: impl FnOnce(&mut Limits)) -> Option<OutOfRange> {
        let mut limits = Limits::default();
        change(&mut limits);
        limits.validate().err()
    }

    #[test]
    fn the_defaults_are_in_range() {
        assert_eq!(Limits::default().validate(), Ok(()));
    }

    #[test]
    fn a_limit_out_of_range_is_named_with_its_range() {
        type Change = fn(&mut Limits);
        let rows: [(&str, &str, Change, Change); 10] = [
            (
                "h2_connection_window",
                "h2_connection_window is 65534, but has to be at least 65535 and at most 2147483647",
                |limits| limits.h2_connection_window = 65_534,
                |limits| limits.h2_connection_window = 65_535,
            ),
            (
                "h2_connection_window",
                "h2_connection_window is 2147483648, but has to be at least 65535 and at most 2147483647",
                |limits| limits.h2_connection_window = 1 << 31,
                |limits| limits.h2_connection_window = (1 << 31) - 1,
            ),
            (
                "h2_stream_window",
                "h2_stream_window is 2147483648, but has to be at least 1 and at most 2147483647",
                |limits| limits.h2_stream_window = 1 << 31,
                |limits| limits.h2_stream_window = (1 << 31) - 1,
            ),
            (
                "field_lines_max",
                "field_lines_max is 257, but has to be at least 1 and at most 256",
                |limits| limits.field_lines_max = 257,
                |limits| limits.field_lines_max = 256,
            ),
            (
                "head_timeout",
                "head_timeout is 0 ms, but has to be at least 1 ms",
                |limits| limits.head_timeout = Duration::ZERO,
                |limits| limits.head_timeout = Duration::from_millis(1),
            ),
            (
                "dead_peer_timeout",
                "dead_peer_timeout is 29999 ms, but has to be at least 30000 ms",
                |limits| limits.dead_peer_timeout = Duration::from_millis(29_999),
                |limits| limits.dead_peer_timeout = Duration::from_secs(30),
            ),
            (
                "keep_alive_requests_max",
                "keep_alive_requests_max is 0, but has to be at least 1",
                |limits| limits.keep_alive_requests_max = 0,
                |limits| limits.keep_alive_requests_max = 1,
            ),
            (
                "inflate_ratio_max",
                "inflate_ratio_max is 0, but has to be at least 1",
                |limits| limits.inflate_ratio_max = Some(0),
                |limits| limits.inflate_ratio_max = None,
            ),
            (
                "h2_glitches",
                "h2_glitches is 0, but has to be at least 1",
                |limits| limits.h2_glitches.burst = 0,
                |limits| limits.h2_glitches = Allowance { burst: 1, per_second: 0 },
            ),
            (
                "send_queue_bytes_max",
                "send_queue_bytes_max is 0, but has to be at least 1 and at most 1073741824",
                |limits| limits.send_queue_bytes_max = 0,
                |limits| limits.send_queue_bytes_max = 1,
            ),
        ];
        for (field, text, wrong, right) in rows {
            let refused_as = refused(wrong).expect(field);
            assert_eq!((refused_as.field(), refused_as.to_string().as_str()), (field, text));
            assert_eq!(refused(right), None, "{field}");
        }
        assert_eq!(refused(|limits| limits.close_timeout = Duration::MAX), None);
    }
}
