//! The base framing. RFC 6455 §5.2.
//!
//! Decodes and encodes frame headers. This module knows no connection, no role and no message.

use super::mask::MaskingKey;
use crate::Violation;
use alloc::vec::Vec;

/// The longest header: two bytes, eight of length, four of masking key.
pub(crate) const HEADER_BYTES_MAX: usize = 14;

/// The longest payload of a control frame. RFC 6455 §5.5.
pub(crate) const CONTROL_BYTES_MAX: usize = 125;

const FIN: u8 = 0x80;
pub(crate) const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASK: u8 = 0x80;

/// The opcode of a frame. RFC 6455 §5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0x0,
    Text = 0x1,
    Binary = 0x2,
    Close = 0x8,
    Ping = 0x9,
    Pong = 0xa,
}

impl Opcode {
    #[inline]
    fn new(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it is the first frame of a message.
    #[inline]
    pub(crate) fn begins_message(self) -> bool {
        matches!(self, Self::Text | Self::Binary)
    }

    #[inline]
    pub(crate) fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) fin: bool,
    /// RSV1, RSV2 and RSV3 at their places in the first byte: 0x40, 0x20, 0x10.
    pub(crate) reserved: u8,
    pub(crate) opcode: Opcode,
    pub(crate) mask: Option<MaskingKey>,
    pub(crate) payload_len: u64,
}

impl FrameHeader {
    /// Decodes the header at the front of `bytes`: the header and its length, or `None` if it is not complete.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let (payload_len, rest) = match second & !MASK {
            126 => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from_be_bytes(*len), rest),
                None => return Ok(None),
            },
            len => (u64::from(len), rest),
        };
        let (mask, rest) = if second & MASK == 0 {
            (None, rest)
        } else {
            match rest.split_first_chunk() {
                Some((key, rest)) => (Some(MaskingKey::new(*key)), rest),
                None => return Ok(None),
            }
        };
        // "the minimal number of bytes MUST be used to encode the length"; in the longest form "the most significant
        // bit MUST be 0".
        let minimal = match second & !MASK {
            126 => payload_len > 125,
            127 => (0x1_0000..=i64::MAX as u64).contains(&payload_len),
            _ => true,
        };
        if !minimal {
            return Err(Violation::PayloadLength);
        }
        let opcode = Opcode::new(first & OPCODE).ok_or(Violation::Opcode)?;
        let header = Self { fin: first & FIN != 0, reserved: first & RESERVED, opcode, mask, payload_len };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// The length of the header of a payload.
    pub(crate) fn len_for(payload_len: u64, masked: bool) -> usize {
        let len = match payload_len {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        };
        len + if masked { 4 } else { 0 }
    }

    /// Writes the header to `out`, which has its length.
    pub(crate) fn write_at(&self, key: Option<[u8; 4]>, out: &mut [u8]) {
        let (header, masking_key) = out.split_at_mut(Self::len_for(self.payload_len, false));
        if let [first, second, len @ ..] = header {
            *first = u8::from(self.fin) << 7 | self.reserved | self.opcode as u8;
            let bytes = self.payload_len.to_be_bytes();
            let form = match len.len() {
                0 => self.payload_len as u8,
                2 => 126,
                _ => 127,
            };
            *second = u8::from(key.is_some()) << 7 | form;
            len.copy_from_slice(&bytes[bytes.len() - len.len()..]);
        }
        masking_key.copy_from_slice(key.as_ref().map_or(&[], |key| key));
    }

    /// Appends the header to `out`, with `key` as its masking key.
    #[inline(always)]
    pub(crate) fn write(&self, key: Option<[u8; 4]>, out: &mut Vec<u8>) {
        let first = u8::from(self.fin) << 7 | self.reserved | self.opcode as u8;
        let mask = u8::from(key.is_some()) << 7;
        match self.payload_len {
            len @ 0..=125 => out.extend_from_slice(&[first, mask | len as u8]),
            len @ 126..=0xffff => {
                let [a, b] = (len as u16).to_be_bytes();
                out.extend_from_slice(&[first, mask | 126, a, b]);
            }
            len => {
                let [a, b, c, d, e, f, g, h] = len.to_be_bytes();
                out.extend_from_slice(&[first, mask | 127, a, b, c, d, e, f, g, h]);
            }
        }
        if let Some(key) = key {
            out.extend_from_slice(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written_however_it_is_cut() {
        for payload_len in [0, 1, 125, 126, 127, 0xffff, 0x1_0000, i64::MAX as u64] {
            for opcode in [Opcode::Continuation, Opcode::Text, Opcode::Binary, Opcode::Ping] {
                for key in [None, Some([1, 2, 3, 4])] {
                    let mask = key.map(MaskingKey::new);
                    let header = FrameHeader { fin: true, reserved: 0x40, opcode, mask, payload_len };
                    let mut bytes = Vec::new();
                    header.write(key, &mut bytes);
                    let len = bytes.len();
                    for cut in 0..len {
                        assert_eq!(FrameHeader::parse(&bytes[..cut]), Ok(None));
                    }
                    bytes.extend_from_slice(b"next");
                    assert_eq!(FrameHeader::parse(&bytes), Ok(Some((header, len))));
                    let mut at = alloc::vec![0xff; FrameHeader::len_for(payload_len, key.is_some())];
                    header.write_at(key, &mut at);
                    assert_eq!(at, bytes[..len]);
                }
            }
        }
    }

    #[test]
    fn a_length_not_in_its_shortest_form_is_refused() {
        let check =
            |bytes: &[u8], violation| assert_eq!(FrameHeader::parse(bytes), Err(violation), "{bytes:x?}");
        check(&[0x82, 126, 0, 125], Violation::PayloadLength);
        check(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], Violation::PayloadLength);
        check(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0], Violation::PayloadLength);
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            check(&[0x80 | opcode, 0], Violation::Opcode);
        }
    }
}
