//! Masking of credentials in the field blocks of HTTP/2.
//!
//! Octets are changed in place: values keep their encoded and decoded lengths, so that frames, field blocks and table
//! sizes do not change. The names of the dynamic table are tracked, as fields may refer to them.

use super::Unredactable;
use super::mask::{Kind, masked};
use lws_proto::record::strings::{decode, encode, static_name};
use std::collections::VecDeque;
use std::ops::Range;

/// The longest field block, including its frame headers.
const BLOCK_BYTES_MAX: usize = 256 << 10;
const HEADER_BYTES: usize = 9;
/// The overhead of each entry of the dynamic table. RFC 7541 §4.1.
const ENTRY_OVERHEAD: usize = 32;
const STATIC_ENTRIES: usize = 61;

/// The state of masking one direction of HTTP/2.
#[derive(Default)]
pub(super) struct Frames {
    /// Held octets: frames of a field block, or an incomplete frame header.
    held: Vec<u8>,
    /// The octets of another frame that are still to come.
    passes: usize,
    /// The position in `held` of the incomplete frame.
    frame: usize,
    /// The ranges of `held` that form the field block.
    block: Vec<Range<usize>>,
    names: Names,
}

impl Frames {
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty()
    }

    /// Appends an incomplete frame header to `out`, as it contains no fields.
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

    /// The number of octets that are missing from the held frame header, or from the frame.
    fn wanted(&self) -> usize {
        let frame = &self.held[self.frame..];
        match frame.first_chunk::<HEADER_BYTES>() {
            None => HEADER_BYTES - frame.len(),
            Some(header) => HEADER_BYTES + length(header) - frame.len(),
        }
    }

    /// Handles a complete frame header, or a complete frame of a field block.
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

/// The range of a field block fragment in the payload of a frame. RFC 9113 §6.2, §6.6 and §6.10.
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

    /// Masks values in place. `None` if the block cannot be decoded.
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
                    // A field of a table, whose value was masked when it was added.
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

/// Decodes an integer with a prefix of this many bits. RFC 7541 §5.1.
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

/// A string literal: its range, and whether it is Huffman-coded. RFC 7541 §5.2.
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

    /// Replaces the literal's content. `None` if the new content has another length.
    fn replace(&self, block: &mut [u8], string: &[u8]) -> Option<()> {
        let octets = if self.coded { encode(string) } else { string.to_vec() };
        let place = block.get_mut(self.range.clone())?;
        (place.len() == octets.len()).then(|| place.copy_from_slice(&octets))
    }
}
