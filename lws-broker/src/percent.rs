//! Percent encoding of URLs. RFC 3986 §2.1.

/// A text without its percent encoding. `None` if a `%` is not followed by two hexadecimal digits, or they make no UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            octets.push(first);
            continue;
        }
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        octets.push((digit(0)? * 16 + digit(1)?) as u8);
        rest = after.get(2..).unwrap_or_default();
    }
    String::from_utf8(octets).ok()
}
