//! What stands in the place of a value.

use lws_proto::record::strings::code_length;

/// What a field has that is masked.
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
    /// What a field of this name has, if anything.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, kind)| *kind)
    }
}

/// The least visible octet whose Huffman code is as long, which is a token character where there is one. RFC 7541 Appendix B.
fn stand_in(octet: u8) -> u8 {
    let len = code_length(octet);
    // Letters first, then what else is a token character, so that a token stays one.
    let token = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";
    let others = (0x21..=0x7e).chain(0x80..=0xff);
    token.iter().copied().chain(others).find(|candidate| code_length(*candidate) == len).unwrap_or(octet)
}

/// Octets that are as many, and as many when they are Huffman-coded, and say nothing of the order of these.
fn scrambled(octets: &[u8]) -> Vec<u8> {
    let mut masked: Vec<u8> = octets.iter().map(|octet| stand_in(*octet)).collect();
    masked.sort_unstable();
    masked
}

/// The value of a field, masked. White space at its ends, which is no part of it, stays.
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
