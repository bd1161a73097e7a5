//! What both headers share: texts, fields, keys, flags.

use crate::error::Error;
use crate::sys::In;
use lws_proto::http::Status;
use lws_proto::ws::CloseCode;
use lws_proto::{Cause, Control, MessageKind, StreamKey};
use std::ffi::c_char;

/// Names a stream. Zero is none. It carries a generation, so that the key of something that has gone finds nothing.
pub type Key = u64;

/// The last bytes: of content, of a message, of a direction.
pub const END: u32 = 1;
/// The first bytes of a message.
pub const FIRST: u32 = 2;
/// A text message; otherwise it is binary.
pub const TEXT: u32 = 4;
/// A Ping, instead of a message.
pub const PING: u32 = 8;

/// A text or bytes that the library lends. Not terminated.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Str {
    /// The first byte. Never NULL if the size is not zero.
    pub data: *const c_char,
    /// Bytes.
    pub size: usize,
}

impl Str {
    /// Nothing.
    pub const EMPTY: Self = Self { data: c"".as_ptr(), size: 0 };

    /// Lends bytes.
    #[must_use]
    pub fn lend(bytes: &[u8]) -> Self {
        Self { data: bytes.as_ptr().cast(), size: bytes.len() }
    }
}

/// A field line.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The name.
    pub name: Str,
    /// The value.
    pub value: Str,
}

/// Bytes that the program lends with a call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct InStr<'a> {
    /// The first byte.
    pub data: In<'a, u8>,
    /// Bytes.
    pub size: usize,
}

impl<'a> From<&'a str> for InStr<'a> {
    fn from(text: &'a str) -> Self {
        Self { data: In::start(text.as_bytes()), size: text.len() }
    }
}

/// A field line that the program lends with a call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct InField<'a> {
    /// The name.
    pub name: InStr<'a>,
    /// The value.
    pub value: InStr<'a>,
}

/// A name and a value.
pub(crate) type Line<'a, T> = (&'a T, &'a T);

/// Field lines of a call.
pub(crate) fn field_lines<'a>(
    fields: In<'a, InField<'a>>,
    count: usize,
) -> Result<Vec<Line<'a, [u8]>>, Error> {
    let lent = |text: InStr<'a>| text.data.slice(text.size);
    fields.slice(count)?.iter().map(|field| Ok((lent(field.name)?, lent(field.value)?))).collect()
}

/// Field lines of a handshake, which are text.
pub(crate) fn text_lines<'a>(lines: &[Line<'a, [u8]>]) -> Result<Vec<Line<'a, str>>, Error> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Error::Field);
    lines.iter().map(|(name, value)| Ok((text(name)?, text(value)?))).collect()
}

/// What C calls a stream of the engine.
#[must_use]
pub(crate) fn key_of(key: StreamKey) -> Key {
    key.to_bits().wrapping_add(1)
}

/// The stream of the engine that C calls so.
pub(crate) fn stream_key(key: Key) -> Result<StreamKey, Error> {
    if key == 0 { Err(Error::Stale) } else { Ok(StreamKey::from_bits(key - 1)) }
}

/// Refuses flags that this library does not know.
pub(crate) fn known_flags(flags: u32, known: u32) -> Result<(), Error> {
    if flags & !known == 0 { Ok(()) } else { Err(Error::Argument) }
}

pub(crate) fn message_kind(flags: u32) -> MessageKind {
    if flags & TEXT == 0 { MessageKind::Binary } else { MessageKind::Text }
}

/// The flags of a message, or of a part of one.
pub(crate) fn message_flags(kind: MessageKind, first: bool, end: bool) -> u32 {
    let text = if kind == MessageKind::Text { TEXT } else { 0 };
    text | if first { FIRST } else { 0 } | end_flag(end)
}

pub(crate) fn end_flag(end: bool) -> u32 {
    if end { END } else { 0 }
}

/// A status code that a response can have.
pub(crate) fn status(code: u32) -> Result<Status, Error> {
    u16::try_from(code).ok().and_then(Status::new).ok_or(Error::Field)
}

/// Text that is sent is UTF-8, which the engine leaves to its caller: RFC 6455 §5.6. A part of a message may end inside a character.
pub(crate) fn check_text(kind: MessageKind, bytes: &[u8], whole: bool) -> Result<(), Error> {
    if kind == MessageKind::Binary {
        return Ok(());
    }
    match std::str::from_utf8(bytes) {
        Err(error) if whole || error.error_len().is_some() => Err(Error::Field),
        _ => Ok(()),
    }
}

/// A code for a Close frame; zero is 1000.
fn sent_close_code(code: u32) -> Result<CloseCode, Error> {
    let code = if code == 0 { 1000 } else { code };
    u16::try_from(code).ok().and_then(CloseCode::new).ok_or(Error::Field)
}

/// The kind of a control frame, and its payload or reason.
pub(crate) fn control_frame<'a>(control: &'a Control<'_>) -> Option<(i32, &'a [u8])> {
    match control {
        Control::Ping(payload) => Some((crate::event::kind::PING, *payload)),
        Control::Pong(payload) => Some((crate::event::kind::PONG, *payload)),
        Control::Close { reason, .. } => Some((crate::event::kind::CLOSE, reason.as_bytes())),
        _ => None,
    }
}

/// A peer met a limit.
pub(crate) const CAUSE_LIMIT: i32 = 4;
/// A peer broke a rule.
pub(crate) const CAUSE_VIOLATION: i32 = 3;
/// A deadline has passed.
pub(crate) const CAUSE_TIMEOUT: i32 = 5;
/// This side gave up.
pub(crate) const CAUSE_ABORTED: i32 = 11;
/// Something that has no number of its own.
pub(crate) const CAUSE_OTHER: i32 = 12;
/// No connection could be made.
pub(crate) const CAUSE_UNREACHABLE: i32 = 13;

/// What a Close frame says, checked: 1005 is a frame without a code, and the reason is what RFC 6455 §5.5 leaves room for.
pub(crate) fn sent_close(code: u32, reason: &[u8]) -> Result<(CloseCode, &str), Error> {
    let (code, reason) = (sent_close_code(code)?, std::str::from_utf8(reason).map_err(|_| Error::Field)?);
    if reason.len() > 123 || !code.may_be_sent() && code != CloseCode::NO_STATUS {
        return Err(Error::Field);
    }
    Ok((code, reason))
}

/// How C tells apart why a stream ended.
#[must_use]
pub(crate) fn cause_number(cause: Cause) -> i32 {
    match cause {
        Cause::Complete => 1,
        Cause::Closed { .. } => 2,
        Cause::Violation(_) => CAUSE_VIOLATION,
        Cause::Limit(_) => CAUSE_LIMIT,
        Cause::Timeout(_) => CAUSE_TIMEOUT,
        Cause::Handshake(_) => 6,
        Cause::Reset(_) => 7,
        Cause::Refused => 8,
        Cause::Disconnected => 9,
        Cause::Truncated => 10,
        Cause::Aborted => CAUSE_ABORTED,
        // What later versions of the engine may add.
        _ => CAUSE_OTHER,
    }
}

/// The code of the Close frame, 1006 where there was none, and 0 where none was due.
#[must_use]
pub(crate) fn close_code(cause: Cause) -> u32 {
    match cause {
        Cause::Closed { code, .. } => u32::from(code.get()),
        Cause::Disconnected | Cause::Truncated => 1006,
        _ => 0,
    }
}

/// Versions of HTTP as C has them: 10, 11, 20.
#[must_use]
pub(crate) fn version_number(version: lws_proto::http::Version) -> u32 {
    match version {
        lws_proto::http::Version::Http10 => 10,
        lws_proto::http::Version::Http11 => 11,
        lws_proto::http::Version::Http2 => 20,
    }
}
