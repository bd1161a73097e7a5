//! The date formats of HTTP. RFC 9110 §5.6.7.
//!
//! Calendar arithmetic only: the time is an argument.

use core::fmt;

/// A moment in whole seconds, in the years 0 to 9999.
///
/// ```
/// use lws_proto::http::HttpDate;
///
/// let date = HttpDate::from_unix(784_111_777);
/// assert_eq!(&date.to_bytes(), b"Sun, 06 Nov 1994 08:49:37 GMT");
/// assert_eq!(HttpDate::parse(b"Sun, 06 Nov 1994 08:49:37 GMT", date), Some(date));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpDate {
    /// Since the first of January 1970, UTC.
    unix_seconds: i64,
}

const DAY_SECONDS: i64 = 86_400;
const DAYS: [&[u8; 3]; 7] = [b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun"];
const LONG_DAYS: [&[u8]; 7] =
    [b"Monday", b"Tuesday", b"Wednesday", b"Thursday", b"Friday", b"Saturday", b"Sunday"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// A day of the Gregorian calendar.
struct Civil {
    year: i64,
    /// 1 to 12.
    month: i64,
    /// 1 to 31.
    day: i64,
}

impl Civil {
    /// Counts in eras of 400 years that begin in March, so that the leap day is the last of its year.
    fn from_days(days: i64) -> Self {
        let days = days + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month, day: day_of_year - (153 * shifted + 2) / 5 + 1 }
    }

    /// Days since the first of January 1970.
    fn to_days(&self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let shifted = if self.month > 2 { self.month - 3 } else { self.month + 9 };
        let day_of_year = (153 * shifted + 2) / 5 + self.day - 1;
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// Whether the calendar has this day.
    fn is_real(&self) -> bool {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => 31,
        };
        (1..=12).contains(&self.month) && (1..=days).contains(&self.day)
    }
}

impl HttpDate {
    /// The first second of the year 0.
    const MIN: i64 = -62_167_219_200;
    /// The last second of the year 9999.
    const MAX: i64 = 253_402_300_799;

    /// The moment `unix_seconds` after the first of January 1970, UTC; clamped to the years that have four digits.
    #[must_use]
    pub fn from_unix(unix_seconds: i64) -> Self {
        Self { unix_seconds: unix_seconds.clamp(Self::MIN, Self::MAX) }
    }

    /// A day of the Gregorian calendar and a time of that day, UTC: `day` as `[year, month, day]`, months and days from 1 on, and `time` as
    /// `[hour, minute, second]`. A leap second, 60, counts as the second after it. `None` if the calendar has no such day or the day no such
    /// time, and beyond the year 9999.
    ///
    /// ```
    /// use lws_proto::http::HttpDate;
    ///
    /// let date = HttpDate::from_utc([1994, 11, 6], [8, 49, 37]);
    /// assert_eq!(date, Some(HttpDate::from_unix(784_111_777)));
    /// assert_eq!(HttpDate::from_utc([2023, 2, 29], [0, 0, 0]), None);
    /// ```
    #[must_use]
    pub fn from_utc(day: [u16; 3], time: [u8; 3]) -> Option<Self> {
        let ([year, month, day], [hour, minute, second]) = (day.map(i64::from), time.map(i64::from));
        let civil = Civil { year, month, day };
        let is_real = civil.is_real() && year <= 9_999 && hour < 24 && minute < 60 && second <= 60;
        is_real.then(|| Self::from_unix(civil.to_days() * DAY_SECONDS + hour * 3_600 + minute * 60 + second))
    }

    /// Whole seconds since the first of January 1970, UTC.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.unix_seconds
    }

    /// The moment as `IMF-fixdate`, the one form that is sent.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 29] {
        let days = self.unix_seconds.div_euclid(DAY_SECONDS);
        let seconds = self.unix_seconds.rem_euclid(DAY_SECONDS);
        let civil = Civil::from_days(days);
        let mut out = *b"___, __ ___ ____ __:__:__ GMT";
        out[..3].copy_from_slice(pick(&DAYS, (days + 3).rem_euclid(7)));
        out[5..7].copy_from_slice(&two_digits(civil.day));
        out[8..11].copy_from_slice(pick(&MONTHS, civil.month - 1));
        out[12..14].copy_from_slice(&two_digits(civil.year / 100));
        out[14..16].copy_from_slice(&two_digits(civil.year % 100));
        out[17..19].copy_from_slice(&two_digits(seconds / 3_600));
        out[20..22].copy_from_slice(&two_digits(seconds / 60 % 60));
        out[23..25].copy_from_slice(&two_digits(seconds % 60));
        out
    }

    /// The moment that `bytes` name, in any of the three forms; `None` if they have none of them.
    ///
    /// `now` says which century a year of two digits belongs to: "a timestamp that appears to be more than 50
    /// years in the future" is one of the past. The name of the day is not compared with the date.
    #[must_use]
    pub fn parse(bytes: &[u8], now: Self) -> Option<Self> {
        match bytes.iter().position(|&byte| byte == b',') {
            Some(3) => Self::parse_imf_fixdate(bytes),
            Some(at) => Self::parse_rfc850(&bytes[..at], &bytes[at + 1..], now),
            None => Self::parse_asctime(bytes),
        }
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    fn parse_imf_fixdate(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 29] = bytes.try_into().ok()?;
        let shape = bytes[3..5] == *b", " && bytes[7] == b' ' && bytes[11] == b' ' && bytes[25..] == *b" GMT";
        if !shape || bytes[16] != b' ' || index(&DAYS, &bytes[..3]).is_none() {
            return None;
        }
        let year = number(&bytes[12..16])?;
        let civil = Civil { year, month: month(&bytes[8..11])?, day: number(&bytes[5..7])? };
        Self::from_parts(&civil, &bytes[17..25])
    }

    /// `Sunday, 06-Nov-94 08:49:37 GMT`
    fn parse_rfc850(day: &[u8], rest: &[u8], now: Self) -> Option<Self> {
        let rest: &[u8; 23] = rest.try_into().ok()?;
        let shape = rest[0] == b' ' && rest[3] == b'-' && rest[7] == b'-' && rest[10] == b' ';
        if !shape || rest[19..] != *b" GMT" || !LONG_DAYS.contains(&day) {
            return None;
        }
        let this_year = Civil::from_days(now.unix_seconds.div_euclid(DAY_SECONDS)).year;
        let mut year = number(&rest[8..10])? + this_year / 100 * 100;
        if year > this_year + 50 {
            year -= 100;
        }
        let civil = Civil { year, month: month(&rest[4..7])?, day: number(&rest[1..3])? };
        Self::from_parts(&civil, &rest[11..19])
    }

    /// `Sun Nov  6 08:49:37 1994`
    fn parse_asctime(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 24] = bytes.try_into().ok()?;
        let shape = bytes[3] == b' ' && bytes[7] == b' ' && bytes[10] == b' ' && bytes[19] == b' ';
        if !shape || index(&DAYS, &bytes[..3]).is_none() {
            return None;
        }
        let day = if bytes[8] == b' ' { number(&bytes[9..10])? } else { number(&bytes[8..10])? };
        let civil = Civil { year: number(&bytes[20..])?, month: month(&bytes[4..7])?, day };
        Self::from_parts(&civil, &bytes[11..19])
    }

    /// A day and `08:49:37`. A leap second is counted as the first of the next minute.
    fn from_parts(civil: &Civil, time: &[u8]) -> Option<Self> {
        let (hours, minutes, seconds) = (number(&time[..2])?, number(&time[3..5])?, number(&time[6..])?);
        let real = civil.is_real() && hours < 24 && minutes < 60 && seconds <= 60;
        let shape = time[2] == b':' && time[5] == b':';
        (real && shape)
            .then(|| Self::from_unix(civil.to_days() * DAY_SECONDS + hours * 3_600 + minutes * 60 + seconds))
    }
}

impl fmt::Display for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(core::str::from_utf8(&self.to_bytes()).unwrap_or_default())
    }
}

/// The name at `index`, which is always in range; three spaces keep the function total.
fn pick(names: &[&'static [u8; 3]], index: i64) -> &'static [u8; 3] {
    usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or(b"   ")
}

fn index(names: &[&[u8; 3]], name: &[u8]) -> Option<usize> {
    names.iter().position(|known| known[..] == *name)
}

fn month(name: &[u8]) -> Option<i64> {
    index(&MONTHS, name).and_then(|index| i64::try_from(index + 1).ok())
}

fn two_digits(number: i64) -> [u8; 2] {
    let digit = |number: i64| b'0' + u8::try_from(number % 10).unwrap_or_default();
    [digit(number / 10), digit(number)]
}

/// `1*DIGIT`, at most four of them.
fn number(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// The first of January 2026.
    const NOW: HttpDate = HttpDate { unix_seconds: 1_767_225_600 };

    fn check(text: &str, unix_seconds: Option<i64>) {
        assert_eq!(
            HttpDate::parse(text.as_bytes(), NOW).map(HttpDate::unix_seconds),
            unix_seconds,
            "{text:?}"
        );
    }

    #[test]
    fn the_three_forms_name_the_same_moment() {
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777));
        check("Sun Nov  6 08:49:37 1994", Some(784_111_777));
        check("Sun Nov 06 08:49:37 1994", Some(784_111_777));
    }

    #[test]
    fn a_year_of_two_digits_is_at_most_fifty_years_ahead() {
        check("Thursday, 01-Jan-76 00:00:00 GMT", Some(3_345_062_400));
        check("Saturday, 01-Jan-77 00:00:00 GMT", Some(220_924_800));
    }

    #[test]
    fn only_days_and_times_that_exist_are_dates() {
        check("Thu, 29 Feb 2024 00:00:00 GMT", Some(1_709_164_800));
        check("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_800));
        for text in [
            "",
            "0",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 2023 00:00:00 GMT",
            "Sun, 29 Feb 1900 00:00:00 GMT",
            "Sun, 31 Apr 2023 00:00:00 GMT",
            "Sun, 00 Apr 2023 00:00:00 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:60:00 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08 49 37 GMT",
            "Sun, 06 Nov 199\u{e9} 8:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Foo, 06 Nov 1994 08:49:37 GMT",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn every_day_comes_back_as_it_was_written() {
        for day in -719_528..2_932_897 {
            let civil = Civil::from_days(day);
            assert!(civil.is_real() && civil.to_days() == day, "day {day}");
        }
        for seconds in [HttpDate::MIN, -1, 0, 1, 951_782_399, 951_782_400, 1_709_251_199, HttpDate::MAX] {
            check(&HttpDate::from_unix(seconds).to_string(), Some(seconds));
        }
        assert_eq!(HttpDate::from_unix(0).to_string(), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(HttpDate::from_unix(i64::MAX).to_string(), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn no_cut_of_a_date_is_a_date() {
        let text = "Sun, 06 Nov 1994 08:49:37 GMT";
        for cut in 0..text.len() {
            check(&text[..cut], None);
        }
    }
}
