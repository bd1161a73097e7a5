//! The character classes of HTTP: tokens, field values, white space. RFC 9110 §5.
//!
//! Tables and words of eight bytes, as every field of every message passes here.

/// `tchar`, RFC 9110 §5.6.2.
static TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric()
            || matches!(
                byte as u8,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            );
        byte += 1;
    }
    table
};

/// Whether `byte` may stand in a token. RFC 9110 §5.6.2.
#[inline]
pub(crate) fn is_tchar(byte: u8) -> bool {
    TCHAR[usize::from(byte)]
}

/// Whether `bytes` are a token: at least one `tchar`, and nothing else. RFC 9110 §5.6.2.
#[inline]
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    // The loop has no early exit: names are short and almost always valid, so one would only add a branch.
    !bytes.is_empty() && bytes.iter().fold(true, |good, &byte| good & is_tchar(byte))
}

/// Whether `bytes` may be sent as a field value: visible ASCII, `obs-text`, spaces and tabs. RFC 9110 §5.5.
///
/// More than CR, LF and NUL is refused: "Field values containing other CTL characters are also invalid".
#[inline]
pub(crate) fn is_field_value(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| {
        !may_have_control(u64::from_ne_bytes(*word)) || word.iter().all(|&byte| is_field_byte(byte))
    }) && rest.iter().all(|&byte| is_field_byte(byte))
}

/// Whether `byte` may stand in a field value. RFC 9110 §5.5.
#[inline]
pub(crate) fn is_field_byte(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
}

/// Whether every byte is visible ASCII. RFC 5234 §B.1, `VCHAR`.
#[inline]
pub(crate) fn is_visible_ascii(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, b'!'..=b'~'))
}

/// Whether one of eight bytes is below 0x20 or is 0x7f. False positives are possible, as borrows carry into the
/// next byte.
#[inline]
pub(crate) fn may_have_control(word: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let below = word.wrapping_sub(ONES * 0x20) & !word;
    let delete = word ^ (ONES * 0x7f);
    let delete = delete.wrapping_sub(ONES) & !delete;
    (below | delete) & TOPS != 0
}

/// `bytes` without the optional white space around it. RFC 9110 §5.6.3.
#[inline]
pub(crate) fn trim_ows(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_no_delimiters_controls_or_spaces() {
        for token in ["a", "Content-Type", "!#$%&'*+-.^_`|~09azAZ"] {
            assert!(is_token(token.as_bytes()), "{token:?}");
        }
        for other in
            ["", "a b", "a:", "(a)", "a\"", "a\0", "\u{e9}", "a\x7f", "a/b", "a,b", "[", "]", "{", "}", "@"]
        {
            assert!(!is_token(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn a_field_value_has_no_controls_but_tabs_wherever_they_stand() {
        for byte in 0..=u8::MAX {
            let allowed = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
            for len in 1..20 {
                for at in 0..len {
                    let mut value = [b'x'; 20];
                    value[at] = byte;
                    assert_eq!(is_field_value(&value[..len]), allowed, "{byte:#x} at {at} of {len}");
                }
            }
        }
        assert!(is_field_value(b""));
    }

    #[test]
    fn white_space_around_a_value_is_spaces_and_tabs_only() {
        for (value, trimmed) in
            [(&b" \t a b\t "[..], &b"a b"[..]), (b"", b""), (b" ", b""), (b"\x0ba", b"\x0ba")]
        {
            assert_eq!(trim_ows(value), trimmed);
        }
    }
}
