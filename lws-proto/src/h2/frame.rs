//! Frames on the wire. RFC 9113 §4.1 and §6.
//!
//! Bytes to typed values and back. Knows no stream, no window and no setting but the size of a frame.

use super::code::ErrorCode;
use super::error::Fault;
use crate::Violation;
use alloc::vec::Vec;

/// Bytes of a frame header.
pub(crate) const HEADER_BYTES: usize = 9;

/// The client's connection preface. RFC 9113 §3.4.
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The largest stream identifier, window and window increment.
pub(crate) const MAX_31_BITS: u32 = (1 << 31) - 1;

/// The type of a frame. RFC 9113 §6, RFC 9218 §7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    PriorityUpdate,
    /// "Implementations MUST ignore and discard frames of unknown types." RFC 9113 §4.1.
    Unknown(u8),
}

impl FrameKind {
    #[inline]
    pub(crate) fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Data,
            1 => Self::Headers,
            2 => Self::Priority,
            3 => Self::RstStream,
            4 => Self::Settings,
            5 => Self::PushPromise,
            6 => Self::Ping,
            7 => Self::GoAway,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            16 => Self::PriorityUpdate,
            code => Self::Unknown(code),
        }
    }

    #[inline]
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Data => 0,
            Self::Headers => 1,
            Self::Priority => 2,
            Self::RstStream => 3,
            Self::Settings => 4,
            Self::PushPromise => 5,
            Self::Ping => 6,
            Self::GoAway => 7,
            Self::WindowUpdate => 8,
            Self::Continuation => 9,
            Self::PriorityUpdate => 16,
            Self::Unknown(code) => code,
        }
    }
}

/// The flags of a frame. The meaning of a bit depends on the frame type.
pub(crate) mod flag {
    /// Of DATA and HEADERS: the stream ends in this direction.
    pub(crate) const END_STREAM: u8 = 1;
    /// Of SETTINGS and PING: an answer.
    pub(crate) const ACK: u8 = 1;
    /// Of HEADERS and CONTINUATION: the field block ends.
    pub(crate) const END_HEADERS: u8 = 4;
    /// Of DATA and HEADERS: a pad length comes first, and padding last.
    pub(crate) const PADDED: u8 = 8;
    /// Of HEADERS: five bytes of a priority that is no longer used.
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// The first nine bytes of a frame. RFC 9113 §4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// Bytes of the payload.
    pub(crate) len: u32,
    pub(crate) kind: FrameKind,
    pub(crate) flags: u8,
    /// Zero is the connection.
    pub(crate) stream: u32,
}

impl FrameHeader {
    #[inline]
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        let [a, b, c, kind, flags, stream @ ..] = *bytes;
        Self {
            len: u32::from_be_bytes([0, a, b, c]),
            kind: FrameKind::from_code(kind),
            flags,
            stream: u32::from_be_bytes(stream) & MAX_31_BITS,
        }
    }

    #[inline]
    pub(crate) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let [_, a, b, c] = self.len.to_be_bytes();
        let [d, e, f, g] = self.stream.to_be_bytes();
        [a, b, c, self.kind.code(), self.flags, d, e, f, g]
    }

    #[inline]
    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Checks the header against the frame type: the size, and whether the frame is about a stream or the
    /// connection.
    ///
    /// `len_max` is our SETTINGS_MAX_FRAME_SIZE.
    #[inline]
    pub(crate) fn check(self, len_max: u32) -> Result<(), Fault> {
        if self.len > len_max {
            return Err(Fault::connection(Violation::FrameSize));
        }
        let (stream, size) = match self.kind {
            FrameKind::Data | FrameKind::Headers | FrameKind::Continuation | FrameKind::PushPromise => {
                (Some(true), true)
            }
            FrameKind::Priority => (Some(true), self.len == 5),
            FrameKind::RstStream => (Some(true), self.len == 4),
            FrameKind::Settings if self.has(flag::ACK) => (Some(false), self.len == 0),
            FrameKind::Settings => (Some(false), self.len.is_multiple_of(6)),
            FrameKind::Ping => (Some(false), self.len == 8),
            FrameKind::GoAway => (Some(false), self.len >= 8),
            FrameKind::WindowUpdate => (None, self.len == 4),
            FrameKind::PriorityUpdate => (Some(false), self.len >= 4),
            FrameKind::Unknown(_) => (None, true),
        };
        if stream.is_some_and(|stream| stream != (self.stream != 0)) {
            return Err(Fault::connection(Violation::FrameStream));
        }
        if size { Ok(()) } else { Err(self.wrong_size()) }
    }

    /// RFC 9113 §4.2: a stream error suffices, unless the frame could alter the state of the connection.
    #[cold]
    fn wrong_size(self) -> Fault {
        match self.kind {
            FrameKind::Priority => Fault::stream(Violation::FrameSize),
            _ => Fault::connection(Violation::FrameSize),
        }
    }
}

/// Begins a frame whose payload is appended next. [`end`] says how long it is.
#[inline]
pub(crate) fn begin(out: &mut Vec<u8>, kind: FrameKind, flags: u8, stream: u32) -> usize {
    let start = out.len();
    out.extend_from_slice(&FrameHeader { len: 0, kind, flags, stream }.to_bytes());
    start
}

/// Ends the frame that begins at `start`.
#[inline]
pub(crate) fn end(out: &mut [u8], start: usize) {
    let len = (out.len() - start - HEADER_BYTES) as u32;
    if let Some(place) = out.get_mut(start..start + 3) {
        place.copy_from_slice(&len.to_be_bytes()[1..]);
    }
}

/// A frame of four bytes: RST_STREAM and WINDOW_UPDATE.
#[inline]
fn word(out: &mut Vec<u8>, kind: FrameKind, stream: u32, word: u32) {
    let [a, b, c, d, e, f, g, h, i] = FrameHeader { len: 4, kind, flags: 0, stream }.to_bytes();
    let [w, x, y, z] = word.to_be_bytes();
    out.extend_from_slice(&[a, b, c, d, e, f, g, h, i, w, x, y, z]);
}

/// RFC 9113 §6.4.
pub(crate) fn rst_stream(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    word(out, FrameKind::RstStream, stream, code.code());
}

/// RFC 9113 §6.9.
pub(crate) fn window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    word(out, FrameKind::WindowUpdate, stream, increment);
}

/// RFC 9113 §6.7.
pub(crate) fn ping(out: &mut Vec<u8>, ack: bool, payload: [u8; 8]) {
    let flags = if ack { flag::ACK } else { 0 };
    out.extend_from_slice(&FrameHeader { len: 8, kind: FrameKind::Ping, flags, stream: 0 }.to_bytes());
    out.extend_from_slice(&payload);
}

/// RFC 9113 §6.8.
pub(crate) fn go_away(out: &mut Vec<u8>, last_stream: u32, code: ErrorCode, debug: &str) {
    let start = begin(out, FrameKind::GoAway, 0, 0);
    out.extend_from_slice(&last_stream.to_be_bytes());
    out.extend_from_slice(&code.code().to_be_bytes());
    out.extend_from_slice(debug.as_bytes());
    end(out, start);
}

/// RFC 9113 §6.5.3.
pub(crate) fn settings_ack(out: &mut Vec<u8>) {
    out.extend_from_slice(
        &FrameHeader { len: 0, kind: FrameKind::Settings, flags: flag::ACK, stream: 0 }.to_bytes(),
    );
}

/// The four bytes of RST_STREAM or WINDOW_UPDATE, or the first four of another payload.
#[inline]
pub(crate) fn first_word(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// A HEADERS payload without padding and priority: where the field block stands. RFC 9113 §6.2.
pub(crate) fn field_block(header: FrameHeader, payload: &[u8]) -> Result<core::ops::Range<usize>, Fault> {
    let mut start = 0;
    let mut padding = 0;
    if header.has(flag::PADDED) {
        padding = usize::from(*payload.first().ok_or(Fault::connection(Violation::FrameSize))?);
        start = 1;
    }
    if header.has(flag::PRIORITY) {
        let priority = payload.get(start..start + 5).ok_or(Fault::connection(Violation::FrameSize))?;
        if first_word(priority) & MAX_31_BITS == header.stream {
            return Err(Fault::stream(Violation::StreamDependency));
        }
        start += 5;
    }
    match payload.len().checked_sub(padding) {
        Some(end) if start <= end => Ok(start..end),
        _ => Err(Fault::connection(Violation::Padding)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_header_is_written_as_it_is_read() {
        for kind in (0..=255).map(FrameKind::from_code) {
            let header = FrameHeader { len: 0x01_0203, kind, flags: 0xa5, stream: 0x7fff_fffe };
            assert_eq!(FrameHeader::parse(&header.to_bytes()), header);
        }
        // "A reserved 1-bit field ... MUST be ignored when receiving."
        let bytes = [0, 0, 0, 0, 0, 0x80, 0, 0, 1];
        assert_eq!(FrameHeader::parse(&bytes).stream, 1);
    }

    #[test]
    fn size_and_stream_of_each_kind_are_checked() {
        let check = |kind, flags, len, stream, expected: Result<(), Fault>| {
            let header = FrameHeader { len, kind, flags, stream };
            assert_eq!(header.check(16_384), expected, "{header:?}");
        };
        let size = Err(Fault::connection(Violation::FrameSize));
        let stream_size = Err(Fault::stream(Violation::FrameSize));
        let wrong_stream = Err(Fault::connection(Violation::FrameStream));
        for kind in [FrameKind::Data, FrameKind::Headers, FrameKind::Continuation, FrameKind::PushPromise] {
            check(kind, 0, 0, 1, Ok(()));
            check(kind, 0, 16_384, 1, Ok(()));
            check(kind, 0, 0, 0, wrong_stream);
        }
        check(FrameKind::Data, 0, 16_385, 1, size);
        check(FrameKind::Headers, 0, 16_385, 1, size);
        check(FrameKind::Priority, 0, 5, 1, Ok(()));
        check(FrameKind::Priority, 0, 4, 1, stream_size);
        check(FrameKind::Priority, 0, 5, 0, wrong_stream);
        check(FrameKind::RstStream, 0, 4, 1, Ok(()));
        check(FrameKind::RstStream, 0, 5, 1, size);
        check(FrameKind::RstStream, 0, 4, 0, wrong_stream);
        check(FrameKind::Settings, 0, 12, 0, Ok(()));
        check(FrameKind::Settings, 0, 7, 0, size);
        check(FrameKind::Settings, flag::ACK, 0, 0, Ok(()));
        check(FrameKind::Settings, flag::ACK, 6, 0, size);
        check(FrameKind::Settings, 0, 0, 1, wrong_stream);
        check(FrameKind::Ping, 0, 8, 0, Ok(()));
        check(FrameKind::Ping, 0, 7, 0, size);
        check(FrameKind::Ping, 0, 8, 1, wrong_stream);
        check(FrameKind::GoAway, 0, 8, 0, Ok(()));
        check(FrameKind::GoAway, 0, 7, 0, size);
        check(FrameKind::GoAway, 0, 8, 1, wrong_stream);
        check(FrameKind::WindowUpdate, 0, 4, 0, Ok(()));
        check(FrameKind::WindowUpdate, 0, 4, 1, Ok(()));
        check(FrameKind::WindowUpdate, 0, 3, 0, size);
        check(FrameKind::Unknown(77), 0xff, 16_384, 5, Ok(()));
        check(FrameKind::Unknown(77), 0xff, 16_385, 5, size);
    }

    #[test]
    fn a_field_block_stands_between_priority_and_padding() {
        let check = |flags, payload: &[u8], expected| {
            let header =
                FrameHeader { len: payload.len() as u32, kind: FrameKind::Headers, flags, stream: 3 };
            assert_eq!(field_block(header, payload), expected, "{flags} {payload:?}");
        };
        check(0, b"abc", Ok(0..3));
        check(flag::PADDED, &[2, b'a', 0, 0], Ok(1..2));
        check(flag::PADDED, &[3, 0, 0, 0], Ok(1..1));
        check(flag::PADDED, &[4, 0, 0, 0], Err(Fault::connection(Violation::Padding)));
        check(flag::PADDED, &[], Err(Fault::connection(Violation::FrameSize)));
        check(flag::PRIORITY, &[0, 0, 0, 1, 9, b'a'], Ok(5..6));
        check(flag::PRIORITY, &[0x80, 0, 0, 3, 9, b'a'], Err(Fault::stream(Violation::StreamDependency)));
        check(flag::PRIORITY, &[0, 0, 0, 1], Err(Fault::connection(Violation::FrameSize)));
        check(flag::PRIORITY | flag::PADDED, &[1, 0, 0, 0, 1, 9, b'a', 0], Ok(6..7));
    }
}
