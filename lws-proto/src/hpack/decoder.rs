//! Decodes field blocks into field sections. RFC 7541 §3 and §6.

use super::dynamic_table::DynamicTable;
use super::section::{FieldFlags, FieldMark, Section, SectionLimits};
use super::{NameId, huffman, integer, static_table, words};
use crate::http::{is_field_byte, is_tchar};
use alloc::vec::Vec;
use core::fmt;

/// The error of a field block. Each ends the connection with COMPRESSION_ERROR (RFC 9113 §4.3), except
/// [`DecodeError::TooLarge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// The block ends within a field line. RFC 7541 §6.
    Truncated,
    /// An integer that 32 bits do not hold, or that has more octets than those need. RFC 7541 §5.1.
    Integer,
    /// An index that is 0, or greater than those of both tables. RFC 7541 §2.3.3.
    Index,
    /// A string literal that holds the symbol EOS. RFC 7541 §5.2.
    HuffmanEos,
    /// A string literal whose padding is no beginning of EOS, or has more than seven bits. RFC 7541 §5.2.
    HuffmanPadding,
    /// A dynamic table size update that follows a field line. RFC 7541 §4.2.
    SizeUpdateLate,
    /// A dynamic table size update beyond what the settings allow. RFC 7541 §6.3.
    SizeUpdateTooLarge,
    /// No dynamic table size update where the settings have made the table smaller. RFC 9113 §4.3.1.
    SizeUpdateMissing,
    /// The section is larger than [`SectionLimits::hard_bytes_max`]: a decompression bomb, to be ended with
    /// ENHANCE_YOUR_CALM.
    TooLarge,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the field block ends within a field line",
            Self::Integer => "an integer is too large",
            Self::Index => "an index is in no table",
            Self::HuffmanEos => "a string literal holds EOS",
            Self::HuffmanPadding => "the padding of a string literal is wrong",
            Self::SizeUpdateLate => "a dynamic table size update behind a field line",
            Self::SizeUpdateTooLarge => "a dynamic table size update beyond the settings",
            Self::SizeUpdateMissing => "the dynamic table size update is missing",
            Self::TooLarge => "the field section is too large",
        })
    }
}

impl core::error::Error for DecodeError {}

/// The decoder of one connection.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable<FieldMark>,
    /// The size that our settings allow, which the peer's encoder may not have used yet.
    settings_size_max: usize,
    /// The next block has to begin with a dynamic table size update to this or less.
    must_update: Option<usize>,
}

impl Decoder {
    /// The bytes of memory that its table holds.
    pub(crate) fn held(&self) -> usize {
        self.table.held()
    }

    /// A decoder whose table may have `table_size_max` octets: 4,096 for HTTP/2, until other settings of ours are
    /// acknowledged. RFC 9113 §6.5.2.
    #[must_use]
    pub fn new(table_size_max: usize) -> Self {
        Self {
            table: DynamicTable::new(table_size_max),
            settings_size_max: table_size_max,
            must_update: None,
        }
    }

    /// Our SETTINGS_HEADER_TABLE_SIZE has been acknowledged. If the table has more, the next block must begin with a
    /// dynamic table size update. RFC 7541 §4.2, RFC 9113 §4.3.1.
    pub fn set_table_size_max(&mut self, table_size_max: usize) {
        self.settings_size_max = table_size_max;
        let now = self.must_update.unwrap_or(self.table.size_max());
        if table_size_max < now {
            self.must_update = Some(table_size_max);
        }
    }

    /// The size of the dynamic table now, octets. RFC 7541 §4.1.
    #[must_use]
    pub fn table_size(&self) -> usize {
        self.table.size()
    }

    /// Decodes a whole field block, the fragments of HEADERS and CONTINUATION joined, and appends it to `section`.
    ///
    /// Field lines beyond the limits are not kept, but the rest of the block is decoded nevertheless, as the
    /// dynamic table has to stay equal to the encoder's: see [`Section::overflow`].
    ///
    /// # Errors
    /// With the error that ends the connection. Neither the table nor the section is usable then.
    pub fn decode(
        &mut self,
        block: &[u8],
        section: &mut Section,
        limits: SectionLimits,
    ) -> Result<(), DecodeError> {
        let mut input = block;
        self.size_updates(&mut input)?;
        while let Some((&first, rest)) = input.split_first() {
            input = rest;
            if first & 0x80 != 0 {
                let index = integer::decode::<7>(first, &mut input)?;
                self.indexed(index as usize, section, &limits)?;
            } else if first & 0x40 != 0 {
                let index = integer::decode::<6>(first, &mut input)?;
                self.literal(index as usize, Representation::Indexing, &mut input, section, &limits)?;
            } else if first & 0x20 != 0 {
                return Err(DecodeError::SizeUpdateLate);
            } else {
                let index = integer::decode::<4>(first, &mut input)?;
                let kind = if first & 0x10 != 0 {
                    Representation::NeverIndexed
                } else {
                    Representation::WithoutIndexing
                };
                self.literal(index as usize, kind, &mut input, section, &limits)?;
            }
            if section.size() > limits.hard_bytes_max as usize {
                return Err(DecodeError::TooLarge);
            }
        }
        Ok(())
    }

    /// Takes the dynamic table size updates, which come before all field lines of a block. RFC 7541 §4.2 and §6.3.
    #[inline]
    fn size_updates(&mut self, input: &mut &[u8]) -> Result<(), DecodeError> {
        while let Some((&first, rest)) = input.split_first()
            && first & 0xe0 == 0x20
        {
            *input = rest;
            let size_max = integer::decode::<5>(first, input)? as usize;
            if size_max > self.settings_size_max {
                return Err(DecodeError::SizeUpdateTooLarge);
            }
            // Of several changes between two blocks the smallest is written first.
            if self.must_update.take().is_some_and(|required| size_max > required) {
                return Err(DecodeError::SizeUpdateMissing);
            }
            self.table.set_size_max(size_max);
        }
        if self.must_update.is_some() { Err(DecodeError::SizeUpdateMissing) } else { Ok(()) }
    }

    /// RFC 7541 §6.1.
    #[inline]
    fn indexed(
        &self,
        index: usize,
        section: &mut Section,
        limits: &SectionLimits,
    ) -> Result<(), DecodeError> {
        let (octets, name_len, mark) = self.entry(index)?;
        if section.charge(octets.len(), limits) {
            section.bytes.extend_from_slice(octets);
            section.push(name_len, octets.len() - name_len, mark);
        }
        Ok(())
    }

    /// The entry of an index in the address space of both tables: its name and value as one slice, and the length
    /// of the name. RFC 7541 §2.3.3.
    #[inline]
    fn entry(&self, index: usize) -> Result<(&[u8], usize, FieldMark), DecodeError> {
        if let Some(entry) = static_table::get(index) {
            let mark = FieldMark { id: entry.name, flags: FieldFlags::VALID };
            return Ok((entry.octets(), usize::from(entry.name_len), mark));
        }
        let age = index.checked_sub(static_table::LEN + 1).ok_or(DecodeError::Index)?;
        let entry = self.table.get(age).ok_or(DecodeError::Index)?;
        Ok((self.table.octets(entry), entry.name_len as usize, entry.tag))
    }

    /// RFC 7541 §6.2.
    fn literal(
        &mut self,
        name_index: usize,
        kind: Representation,
        input: &mut &[u8],
        section: &mut Section,
        limits: &SectionLimits,
    ) -> Result<(), DecodeError> {
        // Octets go to the end of the section, and from there into the table.
        let start = section.bytes.len();
        let mut mark = if name_index == 0 {
            string(input, &mut section.bytes)?;
            FieldMark::of_name(section.bytes.get(start..).unwrap_or_default())
        } else {
            let (octets, name_len, mark) = self.entry(name_index)?;
            section.bytes.extend_from_slice(octets.get(..name_len).unwrap_or_default());
            FieldMark { id: mark.id, flags: mark.flags.only(FieldFlags::NAME_VALID) }
        };
        let name_end = section.bytes.len();
        string(input, &mut section.bytes)?;
        let (name, value) = section
            .bytes
            .get(start..)
            .unwrap_or_default()
            .split_at_checked(name_end - start)
            .unwrap_or_default();
        if is_valid_value(value) {
            mark.flags = mark.flags | FieldFlags::VALUE_VALID;
        }
        let (name_len, value_len) = (name.len(), value.len());
        match kind {
            Representation::Indexing => {
                self.table.insert(name, value, mark);
            }
            Representation::WithoutIndexing => {}
            Representation::NeverIndexed => mark.flags = mark.flags | FieldFlags::NEVER_INDEXED,
        }
        if section.charge(name_len + value_len, limits) {
            section.push(name_len, value_len, mark);
        } else {
            section.bytes.truncate(start);
        }
        Ok(())
    }
}

/// How a literal is represented. RFC 7541 §6.2.
#[derive(Clone, Copy)]
enum Representation {
    Indexing,
    WithoutIndexing,
    NeverIndexed,
}

/// Takes a string literal from the front of `input` and appends the decoded string. RFC 7541 §5.2.
#[inline]
fn string(input: &mut &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let (&first, rest) = input.split_first().ok_or(DecodeError::Truncated)?;
    *input = rest;
    let len = integer::decode::<7>(first, input)? as usize;
    let (string, rest) = input.split_at_checked(len).ok_or(DecodeError::Truncated)?;
    *input = rest;
    if first & 0x80 == 0 {
        out.extend_from_slice(string);
        Ok(())
    } else {
        huffman::decode(string, out)
    }
}

impl FieldMark {
    /// What is to be known of a name.
    fn of_name(name: &[u8]) -> Self {
        let id = NameId::of(name);
        let valid = id != NameId::OTHER || is_valid_name(name);
        Self { id, flags: if valid { FieldFlags::NAME_VALID } else { FieldFlags::default() } }
    }
}

/// A token without upper-case letters. RFC 9113 §8.2.1.
fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&octet| is_tchar(octet) && !octet.is_ascii_uppercase())
}

/// No control character but the tab, and no white space at either end. RFC 9113 §8.2.1 says so of NUL, CR and LF only; the others are
/// as invalid by RFC 9110 §5.5, and HTTP/1.1 takes none of them here either.
#[inline]
fn is_valid_value(value: &[u8]) -> bool {
    match value {
        [] => true,
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => false,
        // So short that a word of them would have zeros of its own.
        [_] | [_, _] | [_, _, _] => value.iter().all(|&octet| is_field_byte(octet)),
        _ => !words::fold(value, false, |found, word| found | words::has_control(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_name_is_a_token_in_lower_case() {
        for name in ["a", "x-request-id", "!#$%&'*+-.^_`|~09az", ":path", ":protocol"] {
            assert!(FieldMark::of_name(name.as_bytes()).flags.has(FieldFlags::NAME_VALID), "{name}");
        }
        for name in ["", "A", "x-Request", "a b", "a:", ":", ":paths", ":x", "a\0", "a\u{e9}", "a\x7f", "a\r"]
        {
            assert!(!FieldMark::of_name(name.as_bytes()).flags.has(FieldFlags::NAME_VALID), "{name:?}");
        }
    }

    #[test]
    fn a_valid_value_has_no_controls_wherever_they_could_stand() {
        for octet in 0..=u8::MAX {
            for len in 1..20 {
                for at in 0..len {
                    let mut value = [b'x'; 20];
                    value[at] = octet;
                    let inner = octet >= b' ' && octet != 0x7f || octet == b'\t';
                    let edge = matches!(octet, b' ' | b'\t') && (at == 0 || at + 1 == len);
                    assert_eq!(is_valid_value(&value[..len]), inner && !edge, "{octet:#x} at {at} of {len}");
                }
            }
        }
        assert!(is_valid_value(b""));
    }
}
