//! Strings of a field block by themselves, for a program that has to find one in a record.

use super::{huffman, static_table};
use alloc::vec::Vec;

/// What Huffman-coded octets stand for. RFC 7541 §5.2.
#[must_use]
pub fn decode(octets: &[u8]) -> Option<Vec<u8>> {
    let mut string = Vec::new();
    huffman::decode(octets, &mut string).ok().map(|()| string)
}

/// A string, Huffman-coded. RFC 7541 §5.2.
#[must_use]
pub fn encode(string: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    huffman::encode(string, &mut octets);
    octets
}

/// How many bits the code of an octet has. RFC 7541 Appendix B.
#[must_use]
pub fn code_length(octet: u8) -> u8 {
    huffman::code_length(octet)
}

/// The name at an index of the static table, which begins with 1. RFC 7541 Appendix A.
#[must_use]
pub fn static_name(index: usize) -> Option<&'static [u8]> {
    let entry = static_table::get(index)?;
    entry.octets().get(..usize::from(entry.name_len))
}
