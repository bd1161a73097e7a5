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
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.number(micros / 1_000, 1)?;
        self.push(b".");
        self.number(micros % 1_000, 3)
    }

    /// Appends the octets of a text as they are, in one piece from one to the next that `special` finds, and each of these as
    /// `escape` says. What is not ASCII has to be text, or special.
    pub(super) fn escaped(
        &mut self,
        octets: &[u8],
        special: impl Fn(u8) -> bool,
        mut escape: impl FnMut(&mut Self, u8) -> fmt::Result,
    ) -> fmt::Result {
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
}
