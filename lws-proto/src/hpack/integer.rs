//! Integers with a prefix. RFC 7541 §5.1.

use super::DecodeError;
use alloc::vec::Vec;

/// The most octets behind the prefix: five hold every value that fits 32 bits.
const OCTETS_MAX: u32 = 5;

/// Takes the rest of an integer from the front of `input`; `first` is the octet that has been taken already, and the
/// lowest `PREFIX` bits of it are the prefix.
///
/// Larger values than 32 bits hold are refused, and so are more octets than those need, even if they add nothing: "Integer
/// encodings that exceed implementation limits -- in value or octet length -- MUST be treated as decoding errors".
#[inline]
pub(super) fn decode<const PREFIX: u32>(first: u8, input: &mut &[u8]) -> Result<u32, DecodeError> {
    let mask = ((1u16 << PREFIX) - 1) as u8;
    if first & mask < mask {
        return Ok(u32::from(first & mask));
    }
    decode_long(u32::from(mask), input)
}

#[cold]
fn decode_long(prefix: u32, input: &mut &[u8]) -> Result<u32, DecodeError> {
    let mut value = u64::from(prefix);
    for at in 0..OCTETS_MAX {
        let Some((octet, rest)) = input.split_first() else { return Err(DecodeError::Truncated) };
        *input = rest;
        value += u64::from(octet & 0x7f) << (7 * at);
        if octet & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| DecodeError::Integer);
        }
    }
    Err(DecodeError::Integer)
}

/// Appends `value`, with the bits of `pattern` above its prefix.
#[inline]
pub(super) fn encode<const PREFIX: u32>(pattern: u8, value: usize, out: &mut Vec<u8>) {
    let mask = (1usize << PREFIX) - 1;
    if value < mask {
        out.push(pattern | value as u8);
        return;
    }
    out.push(pattern | mask as u8);
    let mut rest = value - mask;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn check<const PREFIX: u32>(value: usize, octets: &[u8]) {
        let mut out = vec![];
        encode::<PREFIX>(0, value, &mut out);
        assert_eq!(out, octets, "{value}");
        let mut input = &octets[1..];
        assert_eq!(decode::<PREFIX>(octets[0], &mut input), Ok(value as u32));
        assert!(input.is_empty());
        for cut in 1..octets.len() {
            let mut input = &octets[1..cut];
            assert_eq!(decode::<PREFIX>(octets[0], &mut input), Err(DecodeError::Truncated));
        }
    }

    #[test]
    fn the_examples_of_the_rfc_hold() {
        // RFC 7541 §C.1.
        check::<5>(10, &[10]);
        check::<5>(1337, &[0x1f, 0x9a, 0x0a]);
        check::<8>(42, &[42]);
    }

    #[test]
    fn every_prefix_has_its_edges() {
        check::<4>(14, &[14]);
        check::<4>(15, &[15, 0]);
        check::<6>(63 + 127, &[63, 127]);
        check::<6>(63 + 128, &[63, 0x80, 1]);
        check::<7>(u32::MAX as usize, &[127, 0x80, 0xff, 0xff, 0xff, 0x0f]);
    }

    #[test]
    fn what_32_bits_do_not_hold_is_refused() {
        for octets in [
            &[0x81, 0xff, 0xff, 0xff, 0x0f][..],
            &[0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0x00],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
        ] {
            assert_eq!(decode::<7>(0xff, &mut &octets[..]), Err(DecodeError::Integer), "{octets:x?}");
        }
        assert_eq!(decode::<7>(0xff, &mut &[0x80, 0x80, 0x00][..]), Ok(127), "zeros that add nothing");
    }
}
