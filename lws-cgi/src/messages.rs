//! Messages on the standard error of a script: lines, of which so many are logged.

use crate::failure::Notice;

/// The longest piece of a line.
const LINE_BYTES_MAX: usize = 4096;

/// Makes lines of octets.
#[derive(Debug)]
pub(crate) struct Lines {
    line: Vec<u8>,
    /// Octets that may still be logged.
    left: usize,
    /// What is behind the limit was reported as such.
    ended: bool,
}

impl Lines {
    pub(crate) fn new(message_bytes_max: usize) -> Self {
        Self { line: Vec::new(), left: message_bytes_max, ended: false }
    }

    /// Takes octets, and reports the lines that they complete.
    pub(crate) fn push(&mut self, octets: &[u8], report: &mut impl FnMut(&Notice<'_>)) {
        for &octet in octets {
            if self.left == 0 {
                break;
            }
            self.left -= 1;
            if octet != b'\n' {
                self.line.push(octet);
            }
            if octet == b'\n' || self.line.len() == LINE_BYTES_MAX {
                self.flush(report);
            }
        }
        if self.left == 0 && !octets.is_empty() && !self.ended {
            self.ended = true;
            self.flush(report);
            report(&Notice::MessagesEnd);
        }
    }

    /// There is no more: what has no end of its line is a line.
    pub(crate) fn flush(&mut self, report: &mut impl FnMut(&Notice<'_>)) {
        let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
        if !line.is_empty() {
            report(&Notice::Message(line));
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(max: usize, octets: &[u8], cut: usize) -> Vec<String> {
        let (mut lines, mut said) = (Lines::new(max), Vec::new());
        let mut report = |notice: &Notice<'_>| said.push(notice.to_string());
        for piece in octets.chunks(cut) {
            lines.push(piece, &mut report);
        }
        lines.flush(&mut report);
        said
    }

    #[test]
    fn messages_are_lines_however_they_are_cut() {
        for (octets, lines) in [
            ("a\nb\n", vec!["a", "b"]),
            ("a\r\n\n\nb", vec!["a", "b"]),
            ("\x1b[31mred\n", vec!["\\x1b[31mred"]),
            ("0123456789\n", vec!["0123456789"]),
            (
                "0123456789\n0123456789\n0123456789\n",
                vec!["0123456789", "01234", "further messages are dropped"],
            ),
        ] {
            for cut in 1..=octets.len() {
                assert_eq!(reported(16, octets.as_bytes(), cut), lines, "{octets:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        let long = vec![b'x'; LINE_BYTES_MAX + 5];
        let lines: Vec<_> = reported(1 << 20, &long, 1000).iter().map(String::len).collect();
        assert_eq!(lines, [LINE_BYTES_MAX, 5]);
    }
}
