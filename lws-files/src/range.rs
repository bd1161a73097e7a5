//! Byte ranges. RFC 9110 §14.

use crate::list;

/// Ranges in one request. Past them the whole is sent, which costs no more than the file.
pub const RANGES_MAX: usize = 16;

/// Two ranges with so many bytes between them or fewer are sent as one: to say where a part begins costs more. RFC 9110 §15.3.7.2.
const GAP_MAX: u64 = 80;

/// A part of a representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The position of the first byte.
    pub first: u64,
    /// Bytes. Zero only for an empty whole.
    pub len: u64,
}

impl Part {
    /// The position of the last byte.
    #[must_use]
    pub fn last(self) -> u64 {
        self.end().saturating_sub(1)
    }

    /// The position behind the last byte.
    #[must_use]
    pub fn end(self) -> u64 {
        self.first + self.len
    }

    fn is_near(self, other: Self) -> bool {
        self.first <= other.end().saturating_add(GAP_MAX) && other.first <= self.end().saturating_add(GAP_MAX)
    }

    fn joined(self, other: Self) -> Self {
        let first = self.first.min(other.first);
        Self { first, len: self.end().max(other.end()) - first }
    }
}

/// A range as it was asked for. RFC 9110 §14.1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    /// `int-range`. What is too large for any file is the largest number.
    Positions { first: u64, last: u64 },
    /// `suffix-range`
    Suffix(u64),
}

/// The ranges that a `Range` field asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeSet(Vec<Spec>);

/// What of a representation ranges select.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Satisfied {
    /// All of it is to be sent: parts would be as long, or an empty one has none.
    Whole,
    /// Parts that do not touch, in the order in which they were asked for. One at least.
    Parts(Vec<Part>),
    /// Nothing: every range begins behind the end.
    Nothing,
}

impl RangeSet {
    /// Reads a `Range` field. `None` for what is to be ignored: another unit, more than [`RANGES_MAX`] ranges, or no
    /// ranges at all. RFC 9110 §14.2: "MAY ignore the Range header field".
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let equals = value.iter().position(|&byte| byte == b'=')?;
        if !value[..equals].eq_ignore_ascii_case(b"bytes") {
            return None;
        }
        let members = list::members(&value[equals + 1..]);
        let specs: Vec<Spec> = members.take(RANGES_MAX + 1).map(Spec::parse).collect::<Option<_>>()?;
        (1..=RANGES_MAX).contains(&specs.len()).then_some(Self(specs))
    }

    /// The parts of a representation of `len` bytes. Those that overlap, or nearly so, have become one.
    ///
    /// ```
    /// use lws_files::{Part, RangeSet, Satisfied};
    ///
    /// let ranges = RangeSet::parse(b"bytes=5000-5999, 0-99, 50-149").expect("it is one");
    /// let parts = vec![Part { first: 5000, len: 1000 }, Part { first: 0, len: 150 }];
    /// assert_eq!(ranges.satisfy(10_000), Satisfied::Parts(parts));
    /// assert_eq!(ranges.satisfy(0), Satisfied::Whole);
    /// ```
    #[must_use]
    pub fn satisfy(&self, len: u64) -> Satisfied {
        if len == 0 {
            return Satisfied::Whole;
        }
        let mut parts: Vec<Part> = Vec::new();
        for part in self.0.iter().filter_map(|spec| spec.within(len)) {
            add(&mut parts, part);
        }
        match parts.len() {
            0 => Satisfied::Nothing,
            1 => Satisfied::Parts(parts),
            _ => {
                // What frames a part counts as well: 300 bytes cover a boundary and two field lines.
                let sum =
                    parts.iter().fold(0_u64, |sum, part| sum.saturating_add(part.len).saturating_add(300));
                if sum > len { Satisfied::Whole } else { Satisfied::Parts(parts) }
            }
        }
    }
}

/// Adds a part, joined with all that are near it, in the place of the first of those.
fn add(parts: &mut Vec<Part>, mut part: Part) {
    let mut place = parts.len();
    // A part that has grown may have come near another one. There are `RANGES_MAX` at most.
    while let Some(at) = parts.iter().position(|other| other.is_near(part)) {
        part = part.joined(parts.remove(at));
        place = place.min(at);
    }
    parts.insert(place.min(parts.len()), part);
}

impl Spec {
    fn parse(member: &[u8]) -> Option<Self> {
        let dash = member.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (&member[..dash], &member[dash + 1..]);
        if first.is_empty() {
            return Some(Self::Suffix(position(last)?));
        }
        let first = position(first)?;
        let last = if last.is_empty() { u64::MAX } else { position(last)? };
        // RFC 9110 §14.1.1: "invalid if the last-pos value is present and less than first-pos".
        (first <= last).then_some(Self::Positions { first, last })
    }

    /// The part of `len` bytes, which are not none.
    fn within(self, len: u64) -> Option<Part> {
        match self {
            Self::Suffix(0) => None,
            Self::Suffix(suffix) => Some(Part { first: len - suffix.min(len), len: suffix.min(len) }),
            Self::Positions { first, .. } if first >= len => None,
            Self::Positions { first, last } => Some(Part { first, len: last.min(len - 1) - first + 1 }),
        }
    }
}

/// `1*DIGIT`; what is too large for any file is the largest number.
fn position(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        digit.is_ascii_digit().then(|| number.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn satisfied(value: &str, len: u64) -> Option<Satisfied> {
        Some(RangeSet::parse(value.as_bytes())?.satisfy(len))
    }

    fn parts(parts: &[(u64, u64)]) -> Option<Satisfied> {
        Some(Satisfied::Parts(parts.iter().map(|&(first, len)| Part { first, len }).collect()))
    }

    #[test]
    fn one_range_of_bytes_is_clamped_to_what_is_there() {
        for (value, first, len) in [
            ("bytes=0-0", 0, 1),
            ("bytes=0-99", 0, 10),
            ("bytes=3-", 3, 7),
            ("BYTES= 9-9 ", 9, 1),
            ("bytes=-3", 7, 3),
            ("bytes=-30", 0, 10),
            ("bytes=2-99999999999999999999999", 2, 8),
            ("bytes=,0-0,", 0, 1),
            ("bytes=0-0,10-", 0, 1),
        ] {
            assert_eq!(satisfied(value, 10), parts(&[(first, len)]), "{value}");
        }
        assert_eq!(satisfied("bytes=0-18446744073709551615", u64::MAX), parts(&[(0, u64::MAX)]));
    }

    #[test]
    fn a_range_that_begins_past_the_end_cannot_be_satisfied() {
        for value in
            ["bytes=10-", "bytes=10-11", "bytes=99999999999999999999999-", "bytes=-0", "bytes=10-,11-12"]
        {
            assert_eq!(satisfied(value, 10), Some(Satisfied::Nothing), "{value}");
        }
    }

    #[test]
    fn other_units_and_nonsense_are_ignored() {
        for value in [
            "lines=0-1",
            "bytes=2-1",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1",
            "bytes",
            "",
            "bytes=1-2-3",
            "bytes=0x1-2",
            "bytes 0-1/10",
            "bytes=0-1,x",
        ] {
            assert_eq!(satisfied(value, 10), None, "{value}");
        }
        assert_eq!(satisfied("bytes=0-", 0), Some(Satisfied::Whole));
        assert_eq!(satisfied("bytes=-1", 0), Some(Satisfied::Whole));
    }

    #[test]
    fn ranges_that_are_near_become_one_and_the_order_stays() {
        for (value, expected) in [
            ("bytes=0-99,50-149", &[(0, 150)][..]),
            ("bytes=0-99,100-149", &[(0, 150)]),
            ("bytes=0-99,180-199", &[(0, 200)]),
            ("bytes=0-99,181-200", &[(0, 100), (181, 20)]),
            ("bytes=5000-5999,0-99", &[(5000, 1000), (0, 100)]),
            ("bytes=0-9,1000-1009,5-1004", &[(0, 1010)]),
            ("bytes=-1,0-0", &[(9999, 1), (0, 1)]),
        ] {
            assert_eq!(satisfied(value, 10_000), parts(expected), "{value}");
        }
    }

    #[test]
    fn parts_that_would_cost_more_than_the_file_are_the_file() {
        assert_eq!(satisfied("bytes=0-0,500-500,900-900", 1000), parts(&[(0, 1), (500, 1), (900, 1)]));
        assert_eq!(satisfied("bytes=0-99,500-500,900-900", 1000), Some(Satisfied::Whole));
    }

    #[test]
    fn sixteen_ranges_are_read_and_seventeen_ignored() {
        let ranges = |n: usize| {
            let all: Vec<_> = (0..n).map(|at| format!("{0}-{0}", at * 1000)).collect();
            satisfied(&format!("bytes={}", all.join(",")), 1 << 20)
        };
        let Some(Satisfied::Parts(parts)) = ranges(RANGES_MAX) else { panic!("at the limit they are parts") };
        assert_eq!(parts.len(), RANGES_MAX);
        assert_eq!(ranges(RANGES_MAX + 1), None);
    }
}
