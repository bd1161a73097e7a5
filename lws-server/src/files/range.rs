//! Byte ranges. RFC 9110 §14.

/// A part of a representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) first: u64,
    /// Bytes. Zero only for an empty whole.
    pub(super) len: u64,
}

impl Part {
    /// The position of the last byte.
    pub(super) fn last(self) -> u64 {
        (self.first + self.len).saturating_sub(1)
    }

    /// The same part of bytes in memory.
    pub(super) fn of(self, bytes: &'static [u8]) -> &'static [u8] {
        let position = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        &bytes[position(self.first)..position(self.first + self.len)]
    }
}

/// What a `Range` field asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing that we serve: another unit, several ranges, or no range at all. The whole is sent then, as "a server MAY
    /// ignore the Range header field". RFC 9110 §14.2.
    Ignored,
    /// One range that is there.
    Part(Part),
    /// One range that is not.
    Unsatisfiable,
}

/// The range of a representation of `len` bytes that `value` asks for. RFC 9110 §14.1.2.
pub(super) fn parse(value: &[u8], len: u64) -> Asked {
    let parsed = split(value, b'=')
        .filter(|(unit, _)| unit.eq_ignore_ascii_case(b"bytes"))
        .and_then(|(_, set)| split(trim(set), b'-'));
    // An empty representation has no range, and none of it is missing from the whole.
    match parsed {
        Some((first, last)) if len > 0 => of_positions(first, last, len).unwrap_or(Asked::Ignored),
        _ => Asked::Ignored,
    }
}

fn of_positions(first: &[u8], last: &[u8], len: u64) -> Option<Asked> {
    if first.is_empty() {
        let suffix = position(last)?.min(len);
        let part = Part { first: len - suffix, len: suffix };
        return Some(if suffix == 0 { Asked::Unsatisfiable } else { Asked::Part(part) });
    }
    let first = position(first)?;
    let last = if last.is_empty() { u64::MAX } else { position(last)? };
    // RFC 9110 §14.1.1: "invalid if the last-pos value is present and less than first-pos".
    if last < first {
        return None;
    }
    let part = Part { first, len: last.min(len - 1).wrapping_sub(first).wrapping_add(1) };
    Some(if first < len { Asked::Part(part) } else { Asked::Unsatisfiable })
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

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|&byte| byte == at)?;
    Some((&bytes[..position], &bytes[position + 1..]))
}

fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert_eq!(parse(value.as_bytes(), 10), Asked::Part(Part { first, len }), "{value}");
        }
    }

    #[test]
    fn a_range_that_begins_past_the_end_cannot_be_satisfied() {
        for value in ["bytes=10-", "bytes=10-11", "bytes=99999999999999999999999-", "bytes=-0"] {
            assert_eq!(parse(value.as_bytes(), 10), Asked::Unsatisfiable, "{value}");
        }
    }

    #[test]
    fn several_ranges_other_units_and_nonsense_are_ignored() {
        for value in [
            "bytes=0-1,3-4",
            "lines=0-1",
            "bytes=2-1",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1",
            "bytes",
            "",
            "bytes=1-2-3",
            "bytes=0x1-2",
            "bytes 0-1/10",
        ] {
            assert_eq!(parse(value.as_bytes(), 10), Asked::Ignored, "{value}");
        }
        assert_eq!(parse(b"bytes=0-", 0), Asked::Ignored);
        assert_eq!(parse(b"bytes=-1", 0), Asked::Ignored);
    }
}
