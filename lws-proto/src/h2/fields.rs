//! Outgoing field sections: the encoder with its table, and the frames of a block. RFC 9113 §4.3.

use super::frame::{self, FrameKind, flag};
use crate::Misuse;
use crate::connection::transmit::Output;
use crate::hpack::{Encoder, Indexing, NameId, ReadyLines};
use crate::http::HttpDate;
use alloc::vec::Vec;

/// Writes field sections of this side.
pub(crate) struct FieldWriter {
    encoder: Encoder,
    /// The peer's limit of the encoder's table size.
    table_size_max: usize,
    /// The peer's SETTINGS_MAX_FRAME_SIZE.
    pub(super) frame_size_max: usize,
    /// The value of the date field in the second that was last asked for.
    date: (u32, [u8; 29]),
    /// Room for a number.
    digits: Vec<u8>,
}

impl FieldWriter {
    pub(super) fn new(table_size_max: u32, frame_size_max: u32) -> Self {
        Self {
            encoder: Encoder::new(),
            table_size_max: table_size_max as usize,
            frame_size_max: frame_size_max as usize,
            date: (0, [0; 29]),
            digits: Vec::new(),
        }
    }

    pub(super) fn held(&self) -> usize {
        self.encoder.held()
    }

    /// Applies the peer's SETTINGS for the table: the smallest size among them, and the last one. RFC 7541 §4.2.
    pub(super) fn apply_settings(&mut self, smallest_table: u32, last_table: u32, frame_size_max: u32) {
        self.encoder.set_table_size_max(smallest_table as usize);
        self.encoder.set_table_size_max(last_table as usize);
        self.table_size_max = last_table as usize;
        self.frame_size_max = frame_size_max as usize;
    }

    /// Writes a field section as a HEADERS frame, and CONTINUATION frames if it is long. `write` says with its value whether the stream
    /// ends with it; if it fails nothing has been written.
    pub(super) fn headers<T>(
        &mut self,
        out: &mut Output,
        id: u32,
        write: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<(T, bool), Misuse>,
    ) -> Result<T, Misuse> {
        let start = frame::begin(out.buffer(), FrameKind::Headers, flag::END_HEADERS, id);
        let mut section = SectionDraft { fields: self, out, start, kept: false };
        let (value, end) = write(section.fields, section.out.buffer())?;
        section.kept = true;
        drop(section);
        let buffer = out.buffer();
        if end && let Some(flags) = buffer.get_mut(start + 4) {
            *flags |= flag::END_STREAM;
        }
        if buffer.len() - start - frame::HEADER_BYTES <= self.frame_size_max {
            frame::end(buffer, start);
        } else {
            self.split_headers(buffer, start, id);
        }
        Ok(value)
    }

    #[cold]
    fn split_headers(&self, buffer: &mut Vec<u8>, start: usize, id: u32) {
        let block = buffer.split_off(start + frame::HEADER_BYTES);
        let mut parts = block.chunks(self.frame_size_max).peekable();
        if let Some(first) = parts.next() {
            buffer.extend_from_slice(first);
        }
        if let Some(flags) = buffer.get_mut(start + 4) {
            *flags &= !flag::END_HEADERS;
        }
        frame::end(buffer, start);
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_some() { 0 } else { flag::END_HEADERS };
            let start = frame::begin(buffer, FrameKind::Continuation, flags, id);
            buffer.extend_from_slice(part);
            frame::end(buffer, start);
        }
    }

    #[inline]
    pub(super) fn status(&mut self, buffer: &mut Vec<u8>, code: u16) {
        self.encoder.encode_status(buffer, code);
    }

    #[inline]
    pub(super) fn field(&mut self, buffer: &mut Vec<u8>, name: &[u8], value: &[u8]) {
        self.encoder.encode(buffer, name, value, Indexing::Auto);
    }

    /// A field whose name is looked up already.
    #[inline]
    pub(super) fn field_as(&mut self, buffer: &mut Vec<u8>, id: NameId, name: &[u8], value: &[u8]) {
        self.encoder.encode_as(buffer, id, name, value, Indexing::Auto);
    }

    /// Fields that were made ready.
    #[inline]
    pub(super) fn ready_fields(&mut self, buffer: &mut Vec<u8>, lines: &ReadyLines) {
        self.encoder.encode_ready(buffer, lines);
    }

    /// A field whose name is in the static table, pseudo-header fields among them.
    pub(super) fn known_field(&mut self, buffer: &mut Vec<u8>, name: NameId, value: &[u8]) {
        self.encoder.encode_known(buffer, name, value, Indexing::Auto);
    }

    /// Encodes `Content-Length`.
    pub(super) fn length(&mut self, buffer: &mut Vec<u8>, length: u64) {
        self.digits.clear();
        crate::http::write_decimal(&mut self.digits, length);
        self.encoder.encode_known(buffer, NameId::CONTENT_LENGTH, &self.digits, Indexing::Auto);
    }

    /// Encodes `Date`, which is made once per second. RFC 9110 §6.6.1.
    pub(super) fn date(&mut self, buffer: &mut Vec<u8>, seconds: u32) {
        if self.date.0 != seconds {
            self.date = (seconds, HttpDate::from_unix(seconds.into()).to_bytes());
        }
        self.encoder.encode_known(buffer, NameId::DATE, &self.date.1, Indexing::Auto);
    }
}

/// A draft of a field section, which is removed again unless it is kept: also when the application, which is called for
/// its fields while it is encoded, panics.
struct SectionDraft<'a> {
    fields: &'a mut FieldWriter,
    out: &'a mut Output,
    start: usize,
    kept: bool,
}

impl Drop for SectionDraft<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.kept {
            self.undo();
        }
    }
}

impl SectionDraft<'_> {
    #[cold]
    fn undo(&mut self) {
        self.out.buffer().truncate(self.start);
        // The dropped section has changed the encoder's table, so both tables are emptied.
        self.fields.encoder.set_table_size_max(0);
        self.fields.encoder.set_table_size_max(self.fields.table_size_max);
    }
}

/// Queued fields that are not encoded yet, since blocks must be encoded in the order in which they are sent. RFC
/// 7541 §2.2.
#[derive(Debug, Default)]
pub(crate) struct FieldBuffer {
    bytes: Vec<u8>,
    /// Lengths of name and value.
    lengths: Vec<(usize, usize)>,
}

impl FieldBuffer {
    /// Adds a field that has been checked.
    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.lengths.push((name.len(), value.len()));
        debug_assert_eq!(
            self.lengths.iter().map(|(name, value)| name + value).sum::<usize>(),
            self.bytes.len()
        );
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    pub(super) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut at = 0;
        self.lengths.iter().map(move |(name, value)| {
            let pair = (&self.bytes[at..at + name], &self.bytes[at + name..at + name + value]);
            at += name + value;
            pair
        })
    }
}
