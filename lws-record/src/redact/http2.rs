//! Credentials in the field blocks of HTTP/2.
//!
//! Octets are changed where they stand: string literals that are values keep their length and their length when decoded, so that frames, field
//! blocks and tables stay what they were. The names of the dynamic table are followed, as a value may have one of them.

use super::Unredactable;
use super::mask::{Kind, masked};
use lws_proto::record::strings::{decode, encode, static_name};
use std::collections::VecDeque;
use std::ops::Range;

/// The longest field block with all its frames.
const BLOCK_BYTES_MAX: usize = 256 << 10;
const HEADER_BYTES: usize = 9;
/// What each entry of the dynamic table counts besides its octets. RFC 7541 §4.1.
const ENTRY_OVERHEAD: usize = 32;
const STATIC_ENTRIES: usize = 61;

/// Where a direction of HTTP/2 stands.
#[derive(Default)]
pub(super) struct Frames {
    /// Frames of a field block, or the header of a frame, that wait.
    held: Vec<u8>,
    /// Octets of another frame that are still to come.
    passes: usize,
    /// Where in `held` the frame begins that is not complete.
    frame: usize,
    /// Where in `held` the field block lies.
    block: Vec<Range<usize>>,
    names: Names,
}

impl Frames {
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Appends to `out` the header of a frame that is not complete: there are no fields in it.
    pub(super) fn release(&mut self, out: &mut Vec<u8>) {
        if self.block.is_empty() && self.held.len() < HEADER_BYTES {
            out.append(&mut self.held);
            self.frame = 0;
        }
    }

    pub(super) fn redact(&mut self, octets: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Unredactable> {
        while !octets.is_empty() {
            if self.passes > 0 {
                let (now, later) = octets.split_at(self.passes.min(octets.len()));
                out.extend_from_slice(now);
                self.passes -= now.len();
                *octets = later;
                continue;
            }
            let wanted = self.wanted();
            let (now, later) = octets.split_at(wanted.min(octets.len()));
            self.held.extend_from_slice(now);
            *octets = later;
            if now.len() == wanted {
                self.advance(out)?;
            }
        }
        Ok(())
    }

    /// How many octets are missing of the header of the frame that is held, or of the frame.
    fn wanted(&self) -> usize {
        let frame = &self.held[self.frame..];
        match frame.first_chunk::<HEADER_BYTES>() {
            None => HEADER_BYTES - frame.len(),
            Some(header) => HEADER_BYTES + length(header) - frame.len(),
        }
    }

    /// A header has come, or a frame of a field block.
    fn advance(&mut self, out: &mut Vec<u8>) -> Result<(), Unredactable> {
        let frame = &self.held[self.frame..];
        let Some(header) = frame.first_chunk::<HEADER_BYTES>() else { return Ok(()) };
        let (kind, flags, length) = (header[3], header[4], length(header));
        // HEADERS, PUSH_PROMISE, CONTINUATION.
        if !matches!(kind, 1 | 5 | 9) {
            out.append(&mut self.held);
            self.block.clear();
            self.frame = 0;
            self.passes = length;
            return Ok(());
        }
        if self.held.len() > BLOCK_BYTES_MAX || length > BLOCK_BYTES_MAX {
            return Err(Unredactable::FieldBlock);
        }
        if frame.len() < HEADER_BYTES + length {
            return Ok(());
        }
        let payload = &frame[HEADER_BYTES..];
        let fragment = fragment(kind, flags, payload).ok_or(Unredactable::FieldBlock)?;
        let start = self.frame + HEADER_BYTES;
        self.block.push(start + fragment.start..start + fragment.end);
        self.frame = self.held.len();
        // END_HEADERS.
        if flags & 4 != 0 {
            self.redact_block()?;
            out.append(&mut self.held);
            self.block.clear();
            self.frame = 0;
        }
        Ok(())
    }

    fn redact_block(&mut self) -> Result<(), Unredactable> {
        let at: Vec<usize> = self.block.iter().cloned().flatten().collect();
        let mut block: Vec<u8> = at.iter().map(|at| self.held[*at]).collect();
        self.names.redact(&mut block).ok_or(Unredactable::FieldBlock)?;
        for (at, octet) in at.into_iter().zip(block) {
            self.held[at] = octet;
        }
        Ok(())
    }
}

fn length(header: &[u8; HEADER_BYTES]) -> usize {
    let [a, b, c, ..] = *header;
    usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)
}

/// Where in the payload of a frame its part of the field block lies. RFC 9113 §6.2, §6.6 and §6.10.
fn fragment(kind: u8, flags: u8, payload: &[u8]) -> Option<Range<usize>> {
    let padded = kind != 9 && flags & 8 != 0;
    let padding = if padded { usize::from(*payload.first()?) } else { 0 };
    let start = usize::from(padded)
        + match kind {
            1 if flags & 0x20 != 0 => 5,
            5 => 4,
            _ => 0,
        };
    let end = payload.len().checked_sub(padding)?;
    (start <= end).then_some(start..end)
}

/// The names of a dynamic table, the newest first, and the sizes of its entries. RFC 7541 §2.3.2.
struct Names {
    entries: VecDeque<(Vec<u8>, usize)>,
    size: usize,
    size_max: usize,
}

impl Default for Names {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, size_max: 4_096 }
    }
}

impl Names {
    fn name(&self, index: usize) -> Option<Vec<u8>> {
        match index.checked_sub(STATIC_ENTRIES + 1) {
            None => static_name(index).map(<[u8]>::to_vec),
            Some(at) => self.entries.get(at).map(|(name, _)| name.clone()),
        }
    }

    fn evict(&mut self) {
        while self.size > self.size_max
            && let Some((_, size)) = self.entries.pop_back()
        {
            self.size -= size;
        }
    }

    fn add(&mut self, name: Vec<u8>, value_len: usize) {
        let size = name.len() + value_len + ENTRY_OVERHEAD;
        self.entries.push_front((name, size));
        self.size += size;
        self.evict();
    }

    /// Masks values where they stand. `None` where the block cannot be decoded.
    fn redact(&mut self, block: &mut [u8]) -> Option<()> {
        let mut at = 0;
        while let Some(&first) = block.get(at) {
            // RFC 7541 §6.1, §6.2.1, §6.3, §6.2.2 with §6.2.3.
            let prefix = match first {
                0x80.. => 7,
                0x40.. => 6,
                0x20.. => 5,
                _ => 4,
            };
            let number = integer(block, &mut at, prefix)?;
            match prefix {
                7 => {
                    // A field of a table, whose value was masked when it came.
                    self.name(number)?;
                }
                5 => {
                    self.size_max = number;
                    self.evict();
                }
                _ => {
                    let name = if number == 0 {
                        string(block, &mut at)?.decoded(block)?
                    } else {
                        self.name(number)?
                    };
                    let value = string(block, &mut at)?;
                    let decoded = value.decoded(block)?;
                    if let Some(kind) = Kind::of(&name) {
                        value.replace(block, &masked(kind, &decoded))?;
                    }
                    if prefix == 6 {
                        self.add(name, decoded.len());
                    }
                }
            }
        }
        Some(())
    }
}

/// An integer with a prefix of so many bits. RFC 7541 §5.1.
fn integer(block: &[u8], at: &mut usize, prefix: u32) -> Option<usize> {
    let mask = (1usize << prefix) - 1;
    let mut value = usize::from(*block.get(*at)?) & mask;
    *at += 1;
    if value < mask {
        return Some(value);
    }
    for shift in [0, 7, 14, 21] {
        let octet = usize::from(*block.get(*at)?);
        *at += 1;
        value += (octet & 0x7f) << shift;
        if octet & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A string literal: where it lies, and whether it is Huffman-coded. RFC 7541 §5.2.
struct Literal {
    range: Range<usize>,
    coded: bool,
}

fn string(block: &[u8], at: &mut usize) -> Option<Literal> {
    let coded = block.get(*at)? & 0x80 != 0;
    let len = integer(block, at, 7)?;
    let range = *at..at.checked_add(len)?;
    block.get(range.clone())?;
    *at = range.end;
    Some(Literal { range, coded })
}

impl Literal {
    fn decoded(&self, block: &[u8]) -> Option<Vec<u8>> {
        let octets = block.get(self.range.clone())?;
        if self.coded { decode(octets) } else { Some(octets.to_vec()) }
    }

    /// `None` if what is to stand there has another length.
    fn replace(&self, block: &mut [u8], string: &[u8]) -> Option<()> {
        let octets = if self.coded { encode(string) } else { string.to_vec() };
        let place = block.get_mut(self.range.clone())?;
        (place.len() == octets.len()).then(|| place.copy_from_slice(&octets))
    }
}
