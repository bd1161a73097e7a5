//! Integers and string literals. RFC 7541 §5.

use super::check;
use lws_proto::hpack::DecodeError;

#[test]
fn a_block_that_ends_within_a_field_line_is_refused() {
    // A name with Huffman code, and a value whose length has two octets.
    let head = b"\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x7f\x03";
    let value = "v".repeat(130);
    let whole = [&head[..], value.as_bytes()].concat();
    check(&whole, Ok(&[("custom-key", &value)]));
    for cut in 1..whole.len() {
        check(&whole[..cut], Err(DecodeError::Truncated));
    }
}

#[test]
fn an_integer_beyond_32_bits_is_refused_wherever_it_stands() {
    const LONG: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x1f];
    for before in
        [&[0xff][..], &[0x7f], &[0x0f], &[0x1f], &[0x3f], &[0x40, 0x7f], &[0x41, 0x7f], &[0x41, 0xff]]
    {
        check(&[before, &LONG].concat(), Err(DecodeError::Integer));
    }
    check(&[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00], Err(DecodeError::Integer));
}

#[test]
fn a_long_length_without_its_octets_is_truncated() {
    check(&[0x41, 0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f], Err(DecodeError::Truncated));
    check(&[0x41, 0xff, 0x80, 0xff, 0xff, 0xff, 0x0f], Err(DecodeError::Truncated));
}

#[test]
fn huffman_padding_is_short_and_all_ones() {
    check(&[0x44, 0x81, 0b0000_0111], Ok(&[(":path", "0")]));
    check(&[0x44, 0x81, 0b0000_0110], Err(DecodeError::HuffmanPadding));
    check(&[0x44, 0x82, 0b0000_0111, 0xff], Err(DecodeError::HuffmanPadding));
    check(&[0x44, 0x80], Ok(&[(":path", "")]));
    check(&[0x40, 0x81, 0xff, 0x00], Err(DecodeError::HuffmanPadding));
}

#[test]
fn a_string_holds_no_eos() {
    check(&[0x44, 0x84, 0xff, 0xff, 0xff, 0xff], Err(DecodeError::HuffmanEos));
    check(&[0x44, 0x85, 0b0000_0111, 0xff, 0xff, 0xff, 0xff], Err(DecodeError::HuffmanEos));
}
