//! The masks of values.

use lws_proto::record::strings::code_length;

/// The part of a field that is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its whole value.
    Value,
    /// Each token of a list.
    Tokens,
}

/// Names in lower case, of fields that hold credentials.
pub(super) const NAMES: [(&[u8], Kind); 5] = [
    (b"authorization", Kind::Value),
    (b"proxy-authorization", Kind::Value),
    (b"cookie", Kind::Value),
    (b"set-cookie", Kind::Value),
    (b"sec-websocket-protocol", Kind::Tokens),
];

impl Kind {
    /// The part to mask of a field with this name, if any.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }
}

/// The first visible octet whose Huffman code has the same length: a token character if there is one. RFC 7541 Appendix
/// B.
fn stand_in(octet: u8) -> u8 {
    let len = code_length(octet);
    // Token characters come first, so that a token stays a token.
    let token = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
    let others = (0x21..=0x7e).chain(0x80..=0xff);
    token.iter().copied().chain(others).find(|candidate| code_length(*candidate) == len).unwrap_or(octet)
}

/// Stand-ins with the same length, also when Huffman-coded, that reveal nothing about the order of the octets.
fn scrambled(octets: &[u8]) -> Vec<u8> {
    let mut masked: Vec<u8> = octets.iter().map(|octet| stand_in(*octet)).collect();
    masked.sort_unstable();
    masked
}

/// Masks the value of a field. White space around it is kept.
pub(super) fn masked(kind: Kind, value: &[u8]) -> Vec<u8> {
    let begin = value.len() - value.trim_ascii_start().len();
    let (before, rest) = value.split_at(begin);
    let (inner, after) = rest.split_at(rest.trim_ascii_end().len());
    let inner = match kind {
        Kind::Value => scrambled(inner),
        Kind::Tokens => {
            let separates = |octet: &u8| matches!(octet, b',' | b' ' | b'\t');
            let parts = inner.chunk_by(|a, b| separates(a) == separates(b));
            let parts =
                parts.map(|part| if part.iter().any(separates) { part.to_vec() } else { scrambled(part) });
            parts.collect::<Vec<_>>().concat()
        }
    };
    [before, &inner, after].concat()
}
