//! Detects the protocol of a connection by its first bytes, with as few as possible.

use crate::h2::PREFACE;
use alloc::vec::Vec;

/// The longest method before the first space: longer than any registered one.
const METHOD_BYTES_MAX: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detected {
    Http1,
    Http2,
    Raw,
}

/// The first bytes of a connection while they are undecided.
#[derive(Debug, Default)]
pub(crate) struct FirstBytes {
    taken: Vec<u8>,
    /// The length of empty lines at the front, which are not examined again.
    empty: usize,
    decided: Option<Detected>,
}

/// The protocol of the first bytes, if these suffice. More bytes never change a decision. More than `bytes_max`
/// undecided bytes cannot be a head any more, so they are raw.
pub(crate) fn detect_at_once(bytes: &[u8], bytes_max: usize) -> Option<Detected> {
    decide(bytes, 0, bytes_max).0
}

/// The decision, and how many bytes of empty lines come before what decides. `empty` of them are known.
fn decide(bytes: &[u8], empty: usize, bytes_max: usize) -> (Option<Detected>, usize) {
    // The preface of HTTP/2 is not a head, so its length is always allowed.
    let bytes_max = bytes_max.max(PREFACE.len());
    let bytes = &bytes[..bytes.len().min(bytes_max)];
    let rest = skip_empty_lines(&bytes[empty..]);
    let decided = detect(rest).or((bytes.len() == bytes_max).then_some(Detected::Raw));
    // Undecided bytes are few, apart from empty lines before them, which bounds how often a byte is examined.
    debug_assert!(decided.is_some() || rest.len() <= METHOD_BYTES_MAX + 1);
    (decided, bytes.len() - rest.len())
}

impl FirstBytes {
    /// Takes all of `input`, and examines it while nothing is decided.
    pub(crate) fn take_in(&mut self, input: &[u8], bytes_max: usize) {
        self.taken.extend_from_slice(input);
        if self.decided.is_none() {
            (self.decided, self.empty) = decide(&self.taken, self.empty, bytes_max);
        }
    }

    /// The protocol, if it is decided.
    pub(crate) fn decided(&self) -> Option<Detected> {
        self.decided
    }

    /// The memory that they hold, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.taken.capacity()
    }

    /// Takes the bytes, for the detected protocol.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.taken)
    }
}

/// The protocol that `bytes` begin, or `None` if more than one is possible.
fn detect(bytes: &[u8]) -> Option<Detected> {
    if bytes.is_empty() || bytes == b"\r" {
        return None;
    }
    if bytes.starts_with(PREFACE) {
        return Some(Detected::Http2);
    }
    if PREFACE.starts_with(bytes) {
        return None;
    }
    // "method SP request-target", where a target begins with "/", "*", a letter, a digit or "[". RFC 9112 §3.
    let method = bytes.iter().take(METHOD_BYTES_MAX + 1).take_while(|byte| is_method_byte(**byte)).count();
    match bytes.get(method) {
        None if method < METHOD_BYTES_MAX => None,
        Some(b' ') if (1..=METHOD_BYTES_MAX).contains(&method) => match bytes.get(method + 1) {
            None => None,
            Some(b'/' | b'*' | b'[') => Some(Detected::Http1),
            Some(byte) if byte.is_ascii_alphanumeric() => Some(Detected::Http1),
            Some(_) => Some(Detected::Raw),
        },
        _ => Some(Detected::Raw),
    }
}

/// RFC 9112 §2.2: a server ignores an empty line before the request line.
fn skip_empty_lines(mut bytes: &[u8]) -> &[u8] {
    while let Some(rest) = bytes.strip_prefix(b"\r\n") {
        bytes = rest;
    }
    bytes
}

/// Registered methods are upper-case letters and hyphens; a token of other bytes is no sign of HTTP.
fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_decide_and_a_prefix_of_them_waits() {
        let check = |bytes: &[u8], expected: Option<Detected>| {
            assert_eq!(detect_at_once(bytes, 1 << 10), expected, "{}", bytes.escape_ascii());
            let mut first = FirstBytes::default();
            for byte in bytes {
                first.take_in(core::slice::from_ref(byte), 1 << 10);
            }
            assert_eq!(first.decided(), expected, "{}", bytes.escape_ascii());
            if expected.is_some() {
                let longer = [bytes, b"xyz \r\n"].concat();
                assert_eq!(detect_at_once(&longer, 1 << 10), expected, "{}", longer.escape_ascii());
            }
        };
        check(b"", None);
        check(b"\r\n", None);
        check(b"\r\n\r", None);
        check(b"G", None);
        check(b"GET", None);
        check(b"GET ", None);
        check(b"GET /", Some(Detected::Http1));
        check(b"\r\nOPTIONS *", Some(Detected::Http1));
        check(b"CONNECT [", Some(Detected::Http1));
        check(b"VERSION-CONTROL h", Some(Detected::Http1));
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n", None);
        check(PREFACE, Some(Detected::Http2));
        check(b"PRI * HTTP/1.1", Some(Detected::Http1));
        check(b"\x16\x03\x01", Some(Detected::Raw));
        check(b"SSH-2.0-x", Some(Detected::Raw));
        check(b"GET\t/", Some(Detected::Raw));
        check(b"GET  /", Some(Detected::Raw));
        check(&[b'A'; METHOD_BYTES_MAX], Some(Detected::Raw));
    }
    #[test]
    fn empty_lines_are_taken_up_to_the_limit_and_looked_at_once() {
        const MAX: usize = 1 << 10;
        let empty_lines: Vec<u8> = b"\r\n".iter().copied().cycle().take(MAX + 1).collect();
        let late = [&empty_lines[..MAX], b"GET / HTTP/1.1\r\n"].concat();
        // One byte below the limit more may come; at the limit it is decided, however the bytes are cut.
        for (bytes, expected) in [
            (&empty_lines[..MAX - 1], None),
            (&empty_lines[..MAX], Some(Detected::Raw)),
            (&empty_lines, Some(Detected::Raw)),
            (&late, Some(Detected::Raw)),
        ] {
            assert_eq!(detect_at_once(bytes, MAX), expected, "{} bytes", bytes.len());
            for step in [1, 3, 64] {
                let (mut first, mut looked_at) = (FirstBytes::default(), 0);
                for chunk in bytes.chunks(step) {
                    if first.decided().is_none() {
                        first.take_in(chunk, MAX);
                        looked_at += chunk.len() + METHOD_BYTES_MAX.min(first.taken.len() - first.empty);
                    }
                }
                assert_eq!(first.decided(), expected, "{} bytes, {step} at a time", bytes.len());
                assert!(looked_at <= 2 * bytes.len(), "{looked_at} of {} bytes", bytes.len());
                assert!(first.taken.len() <= MAX + step);
            }
        }
    }
}
