//! A line of the access log in the making: octets are appended, and no formatter is asked.

use std::fmt;
use std::time::Duration;

/// The end of a line, to append to.
pub(super) struct Line<'a>(&'a mut Vec<u8>);

impl<'a> Line<'a> {
    pub(super) fn new(octets: &'a mut Vec<u8>) -> Self {
        Self(octets)
    }

    /// Writes a line for a formatter.
    pub(super) fn display(
        f: &mut fmt::Formatter<'_>,
        write: impl FnOnce(&mut Line<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let mut octets = Vec::new();
        write(&mut Line::new(&mut octets))?;
        f.write_str(std::str::from_utf8(&octets).map_err(|_| fmt::Error)?)
    }

    /// Appends octets that are text.
    #[inline]
    pub(super) fn push(&mut self, octets: &[u8]) {
        self.0.extend_from_slice(octets);
    }

    /// Appends a number in decimal.
    pub(super) fn number(&mut self, number: u64, digits_min: usize) -> fmt::Result {
        let (mut digits, mut at, mut left) = ([b'0'; 20], 20, number);
        while left > 0 || 20 - at < digits_min.max(1) {
            at -= 1;
            // The remainder is below ten.
            digits[at] = b'0' + (left % 10) as u8;
            left /= 10;
        }
        self.push(&digits[at..]);
        Ok(())
    }

    /// Appends milliseconds with three digits behind the point.
    pub(super) fn millis(&mut self, time: Duration) -> fmt::Result {
        // Half a million years and more are one number.
        let micros = time.as_secs().saturating_mul(1_000_000).saturating_add(time.subsec_micros().into());
        let part = (micros % 1_000) as u16;
        self.number(micros / 1_000, 1)?;
        // Each is below ten.
        self.push(&[
            b'.',
            b'0' + (part / 100) as u8,
            b'0' + (part / 10 % 10) as u8,
            b'0' + (part % 10) as u8,
        ]);
        Ok(())
    }

    /// Appends the octets of a text as they are, in one piece from one to the next that `special` finds, and each of these as
    /// `escape` says. What is not ASCII has to be text, or special.
    pub(super) fn escaped(
        &mut self,
        octets: &[u8],
        special: impl Fn(u8) -> bool,
        mut escape: impl FnMut(&mut Self, u8) -> fmt::Result,
    ) -> fmt::Result {
        if is_all_plain(octets) {
            self.push(octets);
            return Ok(());
        }
        let mut rest = octets;
        while let Some(at) = rest.iter().position(|octet| special(*octet)) {
            let (plain, tail) = rest.split_at(at);
            self.push(plain);
            let Some((octet, tail)) = tail.split_first() else { break };
            escape(self, *octet)?;
            rest = tail;
        }
        self.push(rest);
        Ok(())
    }
}

/// Whether all octets are text of ASCII without quotes and backslashes, which no format escapes. Nearly everything that is logged is.
fn is_all_plain(octets: &[u8]) -> bool {
    let (words, rest) = octets.as_chunks::<8>();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().chain([&last]).all(|word| is_plain(u64::from_le_bytes(*word)))
}

/// Whether each octet of a word is from space to tilde, and no quote or backslash. An octet that is none is never taken for one; a word
/// with one may be.
#[inline]
fn is_plain(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // The high bit of each octet that is zero, and perhaps of some above one that is.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let is = |octet: u8| zeros(word ^ (ONES * u64::from(octet)));
    let below_space = word.wrapping_sub(ONES * u64::from(b' ')) & !word;
    (word | below_space | is(b'"') | is(b'\\') | is(0x7f)) & HIGHS == 0
}

impl fmt::Write for Line<'_> {
    #[inline]
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write;

    #[test]
    fn numbers_are_written_in_decimal() {
        for (number, digits, text) in
            [(0, 1, "0"), (7, 3, "007"), (1_234, 3, "1234"), (u64::MAX, 1, "18446744073709551615")]
        {
            let mut octets = Vec::new();
            Line::new(&mut octets).number(number, digits).expect("it is appended");
            assert_eq!(octets, text.as_bytes());
        }
    }

    #[test]
    fn a_word_is_plain_if_each_of_its_octets_is() {
        for octet in 0..=u8::MAX {
            let plain = matches!(octet, b' '..=b'~') && !matches!(octet, b'"' | b'\\');
            for at in 0..8 {
                let mut word = *b" a~!#[]}";
                word[at] = octet;
                assert_eq!(is_plain(u64::from_le_bytes(word)), plain, "{octet:#x} at {at}");
            }
        }
    }

    #[test]
    fn what_is_special_is_found_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..length {
                let (mut octets, mut line) = (vec![b'a'; length], Vec::new());
                octets[at] = b'"';
                let special = |octet| octet == b'"';
                let written = Line::new(&mut line).escaped(&octets, special, |f, _| f.write_str("\\q"));
                written.expect("it is appended");
                let expected = format!("{}\\q{}", "a".repeat(at), "a".repeat(length - at - 1));
                assert_eq!(String::from_utf8(line), Ok(expected));
            }
        }
    }
}
