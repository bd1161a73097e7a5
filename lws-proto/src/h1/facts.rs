//! The facts that HTTP/1.1 itself needs from the field lines of a head, collected in one pass.
//!
//! Collects facts only; `framing` and the connection draw the conclusions.

use crate::http::{Authority, ContentLength, Expectation, is_called, trim_ows};

/// The facts about a message and its connection in the field lines of one head.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    /// Of a request: whether the target has a form that the method allows. RFC 9112 §3.2.
    pub(crate) target_is_valid: bool,
    pub(crate) host: Host,
    /// The field line that `host` is about.
    pub(crate) host_line: usize,
    pub(crate) content_length: ContentLength,
    pub(crate) transfer_encoding: TransferEncoding,
    /// `Connection: close`. RFC 9112 §9.6.
    pub(crate) close: bool,
    /// `Connection: keep-alive`, which HTTP/1.0 needs. RFC 9112 §9.3.
    pub(crate) keep_alive: bool,
    /// `Connection: upgrade`. RFC 9110 §7.8.
    pub(crate) upgrade: bool,
    /// There is an `Upgrade` field. RFC 9110 §7.8.
    pub(crate) upgrade_field: bool,
    pub(crate) expect: Expectation,
}

/// RFC 9112 §3.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Host {
    #[default]
    Absent,
    Valid,
    /// Malformed, or there more than once.
    Invalid,
}

/// RFC 9112 §6.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum TransferEncoding {
    #[default]
    Absent,
    Chunked,
    /// Chunked comes last and once, behind codings that are not known here.
    Unknown,
    /// So far only codings that do not frame the message.
    Unframed,
    /// Chunked is there twice, or something stands behind it.
    Misplaced,
}

impl Facts {
    /// Notes the field line with this number. Most are recognised by the length of their name.
    #[inline]
    pub(crate) fn note(&mut self, line: usize, name: &[u8], value: &[u8]) {
        match name.len() {
            4 if is_called(name, b"host") => self.note_host(line, value),
            6 if is_called(name, b"expect") => self.expect.note(value),
            7 if is_called(name, b"upgrade") => self.upgrade_field = true,
            10 if is_called(name, b"connection") => self.note_connection(value),
            14 if is_called(name, b"content-length") => self.content_length.note(value),
            17 if is_called(name, b"transfer-encoding") => self.note_transfer_encoding(value),
            _ => {}
        }
    }

    #[inline]
    fn note_host(&mut self, line: usize, value: &[u8]) {
        self.host_line = line;
        self.host = match self.host {
            Host::Absent if Authority::is_valid(value) => Host::Valid,
            _ => Host::Invalid,
        };
    }

    fn note_connection(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(trim_ows) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
        }
    }

    fn note_transfer_encoding(&mut self, value: &[u8]) {
        for coding in value.split(|&byte| byte == b',').map(trim_ows) {
            self.transfer_encoding = self.transfer_encoding.followed_by(coding);
        }
    }
}

impl TransferEncoding {
    /// The list with one more member: several lines are one list. RFC 9110 §5.3.
    ///
    /// Chunked has no parameters, so with one it is another coding. A list with an empty member never frames a message, as
    /// not every parser passes over it.
    fn followed_by(self, coding: &[u8]) -> Self {
        match (self, coding.eq_ignore_ascii_case(b"chunked")) {
            (Self::Absent, true) => Self::Chunked,
            (Self::Absent | Self::Unframed, false) => Self::Unframed,
            (Self::Unframed, true) => Self::Unknown,
            (Self::Chunked | Self::Unknown | Self::Misplaced, _) => Self::Misplaced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(lines: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::default();
        for (line, (name, value)) in lines.iter().enumerate() {
            facts.note(line, name.as_bytes(), value.as_bytes());
        }
        facts
    }

    #[test]
    fn a_content_length_is_digits_and_nothing_else() {
        for (values, expected) in [
            (&["0"][..], ContentLength::Is(0)),
            (&["0042"], ContentLength::Is(42)),
            (&["9999999999999999999"], ContentLength::Is(9_999_999_999_999_999_999)),
            (&["5", "5"], ContentLength::Repeated(5)),
            (&["5, 5"], ContentLength::Repeated(5)),
            (&["5,05"], ContentLength::Repeated(5)),
            (&["5", "6"], ContentLength::Invalid),
            (&["5, 6"], ContentLength::Invalid),
            (&["5, 5", "6"], ContentLength::Invalid),
            (&["x", "5"], ContentLength::Invalid),
            (&[""], ContentLength::Invalid),
            (&["5,"], ContentLength::Invalid),
            (&["+5"], ContentLength::Invalid),
            (&["-5"], ContentLength::Invalid),
            (&["0x5"], ContentLength::Invalid),
            (&["5 5"], ContentLength::Invalid),
            (&["5.0"], ContentLength::Invalid),
            (&["\u{665}"], ContentLength::Invalid),
            (&["18446744073709551616"], ContentLength::Invalid),
            (&["00000000000000000005"], ContentLength::Invalid),
        ] {
            let lines: alloc::vec::Vec<_> = values.iter().map(|value| ("Content-length", *value)).collect();
            assert_eq!(facts(&lines).content_length, expected, "{values:?}");
        }
    }

    #[test]
    fn chunked_frames_a_message_only_as_its_one_coding_in_one_line_or_several() {
        for (values, expected) in [
            (&["chunked"][..], TransferEncoding::Chunked),
            (&["CHUNKED"], TransferEncoding::Chunked),
            (&["gzip, chunked"], TransferEncoding::Unknown),
            (&["gzip,\tdeflate , chunked"], TransferEncoding::Unknown),
            (&["identity, chunked"], TransferEncoding::Unknown),
            (&[", chunked"], TransferEncoding::Unknown),
            (&["chunked, gzip"], TransferEncoding::Misplaced),
            (&["chunked, chunked"], TransferEncoding::Misplaced),
            (&["chunked, gzip, chunked"], TransferEncoding::Misplaced),
            (&["chunked;q=1"], TransferEncoding::Unframed),
            (&["xchunked"], TransferEncoding::Unframed),
            (&["\x0bchunked"], TransferEncoding::Unframed),
            (&["\"chunked\""], TransferEncoding::Unframed),
            (&["gzip"], TransferEncoding::Unframed),
            (&["identity"], TransferEncoding::Unframed),
            (&["chunked,"], TransferEncoding::Misplaced),
            (&[""], TransferEncoding::Unframed),
        ] {
            let encoding = |values: &[&str]| {
                let lines: alloc::vec::Vec<_> =
                    values.iter().map(|value| ("transfer-Encoding", *value)).collect();
                facts(&lines).transfer_encoding
            };
            assert_eq!(encoding(values), expected, "{values:?}");
            // Wherever the list is broken into lines, it is the same list.
            let apart: alloc::vec::Vec<_> = values[0].split(',').collect();
            assert_eq!(encoding(&apart), expected, "{apart:?}");
            if let [first, rest @ ..] = &apart[..]
                && !rest.is_empty()
            {
                let rest = rest.join(",");
                assert_eq!(encoding(&[first, &rest]), expected, "{first:?}, {rest:?}");
            }
        }
    }

    #[test]
    fn a_second_or_malformed_host_is_invalid() {
        for (values, expected) in [
            (&[][..], Host::Absent),
            (&["a"], Host::Valid),
            (&[""], Host::Valid),
            (&["[::1]:80"], Host::Valid),
            (&["a", "a"], Host::Invalid),
            (&["a b"], Host::Invalid),
            (&["a@b"], Host::Invalid),
            (&["a", "b c", "a"], Host::Invalid),
        ] {
            let lines: alloc::vec::Vec<_> = values.iter().map(|value| ("HOST", *value)).collect();
            assert_eq!(facts(&lines).host, expected, "{values:?}");
        }
    }

    #[test]
    fn connection_options_are_a_list_over_all_lines() {
        let read = facts(&[("Connection", "x, Keep-Alive"), ("connection", "CLOSE ,Upgrade")]);
        assert!(read.close && read.keep_alive && read.upgrade);
        let read = facts(&[("Connection", "closed, keepalive, up grade"), ("Connectio", "close")]);
        assert!(!read.close && !read.keep_alive && !read.upgrade);
    }

    #[test]
    fn the_only_known_expectation_is_100_continue() {
        for (values, expected) in [
            (&[][..], Expectation::Nothing),
            (&["100-Continue"], Expectation::Continue),
            (&["100-continue", "100-continue"], Expectation::Continue),
            (&["100-continue, x"], Expectation::Unknown),
            (&["x"], Expectation::Unknown),
            (&["x", "100-continue"], Expectation::Unknown),
            (&[""], Expectation::Unknown),
        ] {
            let lines: alloc::vec::Vec<_> = values.iter().map(|value| ("Expect", *value)).collect();
            assert_eq!(facts(&lines).expect, expected, "{values:?}");
        }
    }
}
