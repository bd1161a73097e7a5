//! UTF-8, checked as it comes. RFC 6455 §8.1, RFC 3629 §4.
//!
//! Knows no messages. It fails at the first byte that no valid text can have there.

/// Below this the start of the vector code costs more than it saves.
#[cfg(feature = "std")]
const SIMD_BYTES_MIN: usize = 64;

/// Where a text stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utf8 {
    /// The beginning of a character that is not complete.
    partial: [u8; 3],
    len: u8,
}

/// The text is not UTF-8, whatever follows: how many of the bytes come before the first impossible one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Invalid(pub(crate) usize);

impl Utf8 {
    /// Looks at the next bytes of the text.
    pub(crate) fn check(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        let mut completed = 0;
        while self.len > 0 {
            let Some(&byte) = bytes.get(completed) else { return Ok(()) };
            self.push(byte).map_err(|_| Invalid(completed))?;
            completed += 1;
        }
        let rest = &bytes[completed..];
        let at = tail(rest).map_err(|Invalid(at)| Invalid(completed + at))?;
        let tail = &rest[at..];
        self.partial[..tail.len()].copy_from_slice(tail);
        self.len = tail.len() as u8;
        Ok(())
    }

    /// Whether the text may end here.
    pub(crate) fn is_complete(self) -> bool {
        self.len == 0
    }

    /// Adds one byte to the character that is not complete.
    fn push(&mut self, byte: u8) -> Result<(), Invalid> {
        let mut character = [0; 4];
        let len = usize::from(self.len);
        character[..len].copy_from_slice(&self.partial[..len]);
        character[len] = byte;
        let rest = tail(&character[..=len])?;
        if rest > len {
            self.len = 0;
        } else {
            self.partial[len] = byte;
            self.len += 1;
        }
        Ok(())
    }
}

/// Where the last, incomplete character of `bytes` begins; their length if there is none.
fn tail(bytes: &[u8]) -> Result<usize, Invalid> {
    #[cfg(feature = "std")]
    if bytes.len() >= SIMD_BYTES_MIN {
        return match simdutf8::compat::from_utf8(bytes) {
            Ok(_) => Ok(bytes.len()),
            Err(error) => incomplete(bytes, error.valid_up_to(), error.error_len()),
        };
    }
    match core::str::from_utf8(bytes) {
        Ok(_) => Ok(bytes.len()),
        Err(error) => incomplete(bytes, error.valid_up_to(), error.error_len()),
    }
}

/// What is wrong with the character at `at`: nothing yet if `len` is `None`, as it is only not complete. Otherwise `len` is
/// how many bytes could begin a character, or 1 if not even the first one could.
fn incomplete(bytes: &[u8], at: usize, len: Option<usize>) -> Result<usize, Invalid> {
    let possible = |first: &u8| matches!(first, 0xc2..=0xf4);
    match len {
        None => Ok(at),
        Some(len) if bytes.get(at).is_some_and(possible) => Err(Invalid(at + len)),
        Some(_) => Err(Invalid(at)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in every two parts, and one by one.
    fn check(bytes: &[u8], expected: Option<usize>) {
        for cut in 0..=bytes.len() {
            let mut utf8 = Utf8::default();
            let front = utf8.check(&bytes[..cut]);
            let outcome =
                front.and_then(|()| utf8.check(&bytes[cut..]).map_err(|Invalid(at)| Invalid(cut + at)));
            let valid = outcome.is_ok() && utf8.is_complete();
            assert_eq!(valid, expected.is_none(), "{} cut at {cut}", bytes.escape_ascii());
            if let Err(Invalid(at)) = outcome {
                assert_eq!(Some(at), expected, "{} cut at {cut}", bytes.escape_ascii());
            }
        }
        let mut utf8 = Utf8::default();
        let first_bad = bytes.iter().position(|byte| utf8.check(core::slice::from_ref(byte)).is_err());
        match expected {
            Some(at) if at < bytes.len() => assert_eq!(first_bad, Some(at), "{}", bytes.escape_ascii()),
            Some(_) => assert!(!utf8.is_complete()),
            None => assert_eq!(first_bad, None),
        }
    }

    #[test]
    fn text_fails_at_its_first_impossible_byte() {
        check(b"", None);
        check("κόσμε 𐍈 plain".as_bytes(), None);
        check("\u{10ffff}\u{d7ff}\u{e000}".as_bytes(), None);
        check(b"\xce", Some(1));
        check(b"ab\xff", Some(2));
        check(b"\xc0\x80", Some(0));
        check(b"\xe0\x80\x80", Some(1));
        check(b"\xed\xa0\x80", Some(1));
        check(b"\xf4\x90\x80\x80", Some(1));
        check(b"\xf8", Some(0));
        check(b"\xe2\x82x", Some(2));
        check(&[&[b'x'; 100][..], b"\xe2\x82\xac\xe2\x82"].concat(), Some(105));
    }
}
