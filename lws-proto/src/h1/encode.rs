//! Lines of heads and chunks, written into a buffer. RFC 9112 §3 to §7.
//!
//! Knows how a line is written, not which ones a message needs.

use crate::Misuse;
use crate::http::{Status, is_field_value, is_token, with_registered_statuses, write_decimal};
use alloc::vec::Vec;

/// Declares the status lines of the registered codes.
macro_rules! status_lines {
    ($($code:literal $name:ident $reason:literal $reference:literal;)*) => {
        fn registered_line(code: u16) -> Option<&'static str> {
            match code {
                $($code => Some(concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n")),)*
                _ => None,
            }
        }
    };
}

with_registered_statuses!(status_lines);

/// `HTTP-version SP status-code SP [ reason-phrase ] CRLF`. RFC 9112 §4.
#[inline]
pub(crate) fn status_line(out: &mut Vec<u8>, status: Status) {
    if let Some(line) = registered_line(status.code()) {
        out.extend_from_slice(line.as_bytes());
    } else {
        out.extend_from_slice(b"HTTP/1.1 ");
        write_decimal(out, status.code().into());
        out.extend_from_slice(b" \r\n");
    }
}

/// `field-name ":" OWS field-value OWS CRLF`. RFC 9112 §5.
///
/// # Errors
/// [`Misuse::Field`] if the name is no token or the value could be taken for more than a value.
#[inline]
pub(crate) fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), Misuse> {
    if !is_token(name) || !is_field_value(value) {
        return Err(Misuse::Field);
    }
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// `Content-Length: 1*DIGIT CRLF`. RFC 9110 §8.6.
#[inline]
pub(crate) fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    write_decimal(out, length);
    out.extend_from_slice(b"\r\n");
}

/// How many hexadecimal digits `number` has.
pub(crate) fn hex_len(number: usize) -> usize {
    (number.max(1).ilog2() / 4) as usize + 1
}

/// Writes `number` over `digits`, with zeros in front.
pub(crate) fn hex(digits: &mut [u8], mut number: usize) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[number & 0xf];
        number >>= 4;
    }
}

/// `chunk-size CRLF`. RFC 9112 §7.1. A chunk of no bytes would be the last one.
#[inline]
pub(crate) fn chunk_size(out: &mut Vec<u8>, size: usize) {
    let start = out.len();
    out.resize(start + hex_len(size), b'0');
    hex(&mut out[start..], size);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registered_codes_have_their_reasons_and_others_none() {
        for (code, line) in
            [(200, "HTTP/1.1 200 OK\r\n"), (404, "HTTP/1.1 404 Not Found\r\n"), (599, "HTTP/1.1 599 \r\n")]
        {
            let mut out = Vec::new();
            status_line(&mut out, Status::new(code).expect("three digits"));
            assert_eq!(out, line.as_bytes());
        }
    }

    #[test]
    fn a_field_that_could_be_taken_for_two_is_not_written() {
        let mut out = Vec::new();
        assert_eq!(field(&mut out, b"A-b", b"c \t\xe9"), Ok(()));
        assert_eq!(out, b"A-b: c \t\xe9\r\n");
        for (name, value) in [
            ("", "a"),
            ("a b", "a"),
            ("a:", "a"),
            ("a", "b\r\nc: d"),
            ("a", "b\nc"),
            ("a", "\0"),
            ("a\r\n", "b"),
        ] {
            assert_eq!(
                field(&mut out, name.as_bytes(), value.as_bytes()),
                Err(Misuse::Field),
                "{name:?} {value:?}"
            );
        }
    }

    #[test]
    fn numbers_are_written_without_zeros_in_front() {
        for (number, text) in [(0, "0"), (9, "9"), (10, "10"), (u64::MAX, "18446744073709551615")] {
            let mut out = Vec::new();
            write_decimal(&mut out, number);
            assert_eq!(out, text.as_bytes());
        }
        for (number, text) in
            [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (0xabcd, "abcd\r\n"), (0x1_0000, "10000\r\n")]
        {
            let mut out = Vec::new();
            chunk_size(&mut out, number);
            assert_eq!(out, text.as_bytes());
        }
    }
}
