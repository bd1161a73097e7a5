//! Decoded field sections: where the decoder writes, and the limits that it keeps while it does.

use super::{FIELD_OVERHEAD, NameId};
use crate::http::FieldSpan;
use alloc::vec::Vec;
use core::fmt;
use core::ops::BitOr;

/// How large a decoded section may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionLimits {
    /// The size up to which field lines are kept: octets of names and values, and 32 for each field line. What
    /// SETTINGS_MAX_HEADER_LIST_SIZE tells the peer. RFC 9113 §6.5.2.
    pub bytes_max: u32,
    /// How many field lines are kept, pseudo-header fields and cookie crumbs counted.
    pub fields_max: u32,
    /// The size from which on decoding ends with [`DecodeError::TooLarge`](super::DecodeError::TooLarge), which ends
    /// the connection: a few octets can stand for very many.
    pub hard_bytes_max: u32,
}

impl Default for SectionLimits {
    /// 16 KiB, 100 field lines; four times the size ends the connection.
    fn default() -> Self {
        Self { bytes_max: 16 << 10, fields_max: 100, hard_bytes_max: 64 << 10 }
    }
}

/// The limit that a section went past: what came behind is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// [`SectionLimits::bytes_max`].
    Bytes,
    /// [`SectionLimits::fields_max`].
    Fields,
}

/// What was learnt about a field line when its literal was decoded.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct FieldFlags(u8);

impl FieldFlags {
    /// Sent as a literal never to be indexed: a proxy that sends it on must do so, too. RFC 7541 §6.2.3.
    pub const NEVER_INDEXED: Self = Self(1);
    /// The name is a pseudo-header name that is well known, or a token without upper-case letters. RFC 9113 §8.2.1.
    pub const NAME_VALID: Self = Self(2);
    /// The value has no NUL, CR or LF, and no space or tab at either end. RFC 9113 §8.2.1.
    pub const VALUE_VALID: Self = Self(4);
    /// Name and value are valid.
    pub const VALID: Self = Self(2 | 4);

    /// Whether all of `other` are set.
    #[inline]
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These, as far as they are in `other`, too.
    #[inline]
    pub(super) const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for FieldFlags {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for FieldFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut set = f.debug_set();
        for (flag, name) in [
            (Self::NEVER_INDEXED, "NEVER_INDEXED"),
            (Self::NAME_VALID, "NAME_VALID"),
            (Self::VALUE_VALID, "VALUE_VALID"),
        ] {
            if self.has(flag) {
                set.entry(&format_args!("{name}"));
            }
        }
        set.finish()
    }
}

/// A field line of a [`Section`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodedField<'a> {
    /// The name, as it was sent.
    pub name: &'a [u8],
    /// The value, as it was sent.
    pub value: &'a [u8],
    /// The name by number.
    pub id: NameId,
    /// Whether name and value are valid, and whether the field line may be indexed.
    pub flags: FieldFlags,
}

/// What is known of a field line besides where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldMark {
    pub(crate) id: NameId,
    pub(crate) flags: FieldFlags,
}

/// A decoded field section: field lines in the order of their field block. RFC 9113 §8.2.
///
/// An arena that is used again and again: [`Decoder::decode`](super::Decoder::decode) appends to it, [`Section::clear`]
/// empties it and keeps its memory.
#[derive(Clone, Debug, Default)]
pub struct Section {
    /// Names and values.
    pub(crate) bytes: Vec<u8>,
    /// Where they stand, field line by field line: what a [`Head`](crate::http::Head) borrows.
    pub(crate) spans: Vec<FieldSpan>,
    /// What else is known of each, in the same order.
    pub(crate) marks: Vec<FieldMark>,
    /// RFC 9113 §6.5.2. Goes on being counted behind the limits.
    size: usize,
    overflow: Option<Overflow>,
}

impl Section {
    /// Bytes that it costs.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity()
            + self.spans.capacity() * size_of::<FieldSpan>()
            + self.marks.capacity() * size_of::<FieldMark>()
    }

    /// Makes it empty; the memory stays.
    #[inline]
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.marks.clear();
        self.size = 0;
        self.overflow = None;
    }

    /// Gives back memory beyond what `bytes` octets and `fields` field lines need, or what it holds if that is more.
    pub fn shrink_to(&mut self, bytes: usize, fields: usize) {
        self.bytes.shrink_to(bytes);
        self.spans.shrink_to(fields);
        self.marks.shrink_to(fields);
    }

    /// The field lines, in order.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = DecodedField<'_>> + Clone {
        let part =
            |at: u32, len: u32| self.bytes.get(at as usize..at as usize + len as usize).unwrap_or_default();
        self.spans.iter().zip(&self.marks).map(move |(span, mark)| DecodedField {
            name: part(span.name, span.name_len),
            value: part(span.value, span.value_len),
            id: mark.id,
            flags: mark.flags,
        })
    }

    /// How many field lines it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether it holds no field line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The size of all that was decoded: octets of names and values, and 32 for each field line, those included that
    /// were not kept. RFC 9113 §6.5.2.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// The limit that was passed, if one was. The field lines before are kept, those behind are not.
    #[must_use]
    pub fn overflow(&self) -> Option<Overflow> {
        self.overflow
    }

    /// Counts a field line with so many octets of name and value. Whether it is to be kept.
    #[inline]
    pub(super) fn charge(&mut self, octets: usize, limits: &SectionLimits) -> bool {
        self.size += octets + FIELD_OVERHEAD;
        let bytes = self.size > limits.bytes_max as usize;
        let fields = self.spans.len() >= limits.fields_max as usize;
        if (bytes || fields) && self.overflow.is_none() {
            self.overflow = Some(if bytes { Overflow::Bytes } else { Overflow::Fields });
        }
        self.overflow.is_none()
    }

    /// Drops the field lines with names that `keeps` does not want. Their octets stay in the arena.
    pub(crate) fn retain(&mut self, keeps: impl Fn(&[u8]) -> bool) {
        let Self { bytes, spans, marks, .. } = self;
        let kept = |span: &FieldSpan| {
            let name = bytes.get(span.name as usize..span.name as usize + span.name_len as usize);
            keeps(name.unwrap_or_default())
        };
        // The marks first, while the spans still stand beside them.
        let mut each = spans.iter();
        marks.retain(|_| each.next().is_some_and(kept));
        spans.retain(kept);
        debug_assert_eq!(spans.len(), marks.len());
    }

    /// Appends a field line, whose octets are the last ones of the arena.
    #[inline]
    pub(super) fn push(&mut self, name_len: usize, value_len: usize, mark: FieldMark) {
        let name = self.bytes.len() - name_len - value_len;
        self.spans.push(FieldSpan {
            name: name as u32,
            name_len: name_len as u32,
            value: (name + name_len) as u32,
            value_len: value_len as u32,
        });
        self.marks.push(mark);
    }
}
