//! Heads and trailer sections: lines of bytes in, positions of their parts out. RFC 9112 §2 to §5.
//!
//! A section that lies whole in the input is parsed in place. A cut section is collected: each byte is scanned once, as
//! it arrives, and the section is parsed once, when its last line is complete. Both paths accept the same grammar: a
//! section that the parser rejects takes the second path, which finds the violation and its position.

use super::facts::{Facts, Host};
use crate::http::{
    FieldSpan, Head, Method, StartLine, Status, Target, Version, is_field_byte, is_token, is_visible_ascii,
};
use crate::{Cause, Limit, Limits, Violation};
use alloc::vec::Vec;
use core::mem::MaybeUninit;
use httparse::Status::{Complete, Partial};

/// The most that [`Limits::field_lines_max`] can be.
const FIELD_LINES_MAX: usize = 256;

/// The longest request head that is kept to recognise copies of it: longer than those of programs and most proxies, and
/// shorter than those of browsers.
const KNOWN_BYTES_MAX: usize = 512;

/// The kind of section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadKind {
    Request,
    Response,
    Trailers,
}

/// Reads one section after the other.
#[derive(Debug)]
pub(crate) struct HeadReader {
    /// The location of the last section.
    place: Position,
    start: StartLine,
    fields: Vec<FieldSpan>,
    facts: Facts,
    known: KnownHead,
    /// The bytes of a section that was cut.
    collected: Vec<u8>,
    scan: Scan,
}

#[derive(Clone, Copy, Debug)]
enum Position {
    /// In the input, from this position on.
    Input(usize),
    Collected,
}

/// The result of reading some input.
#[derive(Debug)]
pub(crate) struct Read {
    /// Bytes taken from the front of the input.
    pub(crate) consumed: usize,
    /// Whether the section is complete.
    pub(crate) complete: bool,
}

impl HeadReader {
    pub(crate) fn new() -> Self {
        Self {
            place: Position::Collected,
            start: StartLine::Trailers,
            fields: Vec::new(),
            facts: Facts::default(),
            known: KnownHead::None,
            collected: Vec::new(),
            scan: Scan::default(),
        }
    }

    /// The memory that a collected section holds, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.collected.capacity() + self.known.held()
    }

    /// Takes a section, or a part of one, from the front of `input`.
    #[inline]
    pub(crate) fn read(&mut self, kind: HeadKind, input: &[u8], limits: &Limits) -> Result<Read, Cause> {
        if self.scan.taken == 0
            && let Some(consumed) = self.read_whole(kind, input, limits)
        {
            return Ok(Read { consumed, complete: true });
        }
        self.collect(kind, input, limits)
    }

    /// Takes a section that lies whole in `input`, if it is valid.
    #[inline]
    fn read_whole(&mut self, kind: HeadKind, input: &[u8], limits: &Limits) -> Option<usize> {
        if kind == HeadKind::Trailers {
            // Trailers are delivered after the end of the content, when the input is gone, so this path handles only
            // an empty section.
            self.start = StartLine::Trailers;
            self.fields.clear();
            self.known.forget();
            return input.starts_with(b"\r\n").then_some(2);
        }
        let skipped = if kind == HeadKind::Request { empty_lines(input) } else { 0 };
        // The parser would skip empty lines of its own kind.
        if matches!(input.get(skipped), None | Some(b'\r' | b'\n')) {
            return None;
        }
        let section = &input[skipped..];
        let len = match self.known.begins(section) {
            Some(len) => len,
            None => {
                let len = self.parse(kind, section, limits).ok()??;
                if kind == HeadKind::Request {
                    self.known.note(&section[..len]);
                }
                len
            }
        };
        self.place = Position::Input(skipped);
        (skipped + len <= bytes_max(kind, limits)).then_some(skipped + len)
    }

    /// Reads a section that is cut, or invalid.
    #[cold]
    fn collect(&mut self, kind: HeadKind, input: &[u8], limits: &Limits) -> Result<Read, Cause> {
        let mut consumed = 0;
        if self.scan.taken == 0 {
            self.collected.clear();
            self.known.forget();
        }
        while consumed < input.len() {
            let line = self.scan.line(kind, &input[consumed..], limits)?;
            self.collected.extend_from_slice(&input[consumed..consumed + line.len]);
            consumed += line.len;
            if line.complete && self.end_line(kind, limits)? {
                self.scan = Scan::default();
                let collected = core::mem::take(&mut self.collected);
                let parsed = self.parse(kind, &collected, limits);
                self.place = Position::Collected;
                self.collected = collected;
                // The scan has found the last line, so the parser must find it too.
                return match parsed? {
                    Some(_) => Ok(Read { consumed, complete: true }),
                    None => Err(Cause::Violation(Violation::FieldLine)),
                };
            }
        }
        Ok(Read { consumed, complete: false })
    }

    /// Handles the end of a collected line. Returns whether it is the last line of the section.
    fn end_line(&mut self, kind: HeadKind, limits: &Limits) -> Result<bool, Cause> {
        let empty = self.scan.line_bytes == 0;
        self.scan.line_bytes = 0;
        if kind == HeadKind::Trailers || self.scan.lines > 0 {
            self.scan.lines += 1;
            if empty {
                return Ok(true);
            }
            let fields = self.scan.lines - usize::from(kind != HeadKind::Trailers);
            return if fields > lines_max(limits) { Err(Cause::Limit(Limit::FieldLines)) } else { Ok(false) };
        }
        match kind {
            // RFC 9112 §2.2: "a server ... SHOULD ignore at least one empty line (CRLF) received prior to the request-line".
            HeadKind::Request if empty => self.collected.clear(),
            HeadKind::Request => {
                check_request_line(&mut self.collected).map_err(Cause::Violation)?;
                self.scan.lines = 1;
            }
            HeadKind::Response | HeadKind::Trailers => {
                check_status_line(&mut self.collected).map_err(Cause::Violation)?;
                self.scan.lines = 1;
            }
        }
        Ok(false)
    }

    /// Whether a part of a section was received. Empty lines before it do not count.
    pub(crate) fn has_begun(&self) -> bool {
        self.scan.taken > 0 && !self.collected.is_empty()
    }

    /// The last section, if `input` is the input that it was read from.
    #[inline]
    pub(crate) fn head<'a>(&'a self, input: &'a [u8]) -> Head<'a> {
        let bytes = match self.place {
            Position::Input(at) => input.get(at..).unwrap_or_default(),
            Position::Collected => &self.collected,
        };
        Head { bytes, start: &self.start, fields: &self.fields }
    }

    /// Removes the fields of the last section, which was read from `input`, for whose names `keeps` returns false.
    pub(crate) fn retain(&mut self, input: &[u8], keeps: impl Fn(&str) -> bool) {
        let kept: Vec<bool> = self.head(input).fields().map(|(name, _)| keeps(name)).collect();
        let mut kept = kept.into_iter();
        self.known.forget();
        self.fields.retain(|_| kept.next().unwrap_or(false));
    }

    /// The first line of the last section.
    #[inline]
    pub(crate) fn start(&self) -> &StartLine {
        &self.start
    }

    /// The facts of the last section's fields.
    #[inline]
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Frees the bytes of a collected section, which is not needed any more.
    #[inline]
    pub(crate) fn release(&mut self) {
        if self.collected.capacity() > 0 {
            self.collected = Vec::new();
        }
    }

    /// Parses the section that `bytes` begin with. Returns its length, or `None` if it is cut.
    #[inline]
    fn parse(&mut self, kind: HeadKind, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Cause> {
        let mut lines = [const { MaybeUninit::uninit() }; FIELD_LINES_MAX];
        let lines = &mut lines[..lines_max(limits)];
        match kind {
            HeadKind::Request => self.parse_request(bytes, lines, limits),
            HeadKind::Response => self.parse_response(bytes, lines),
            HeadKind::Trailers => self.parse_trailers(bytes, limits),
        }
    }

    #[inline]
    fn parse_request<'b>(
        &mut self,
        bytes: &'b [u8],
        lines: &mut [MaybeUninit<httparse::Header<'b>>],
        limits: &Limits,
    ) -> Result<Option<usize>, Cause> {
        let mut request = httparse::Request::new(&mut []);
        let Complete(len) = request
            .parse_with_uninit_headers(bytes, lines)
            .map_err(|error| malformed(error, Violation::RequestLine))?
        else {
            return Ok(None);
        };
        let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version)
        else {
            return Ok(None);
        };
        if target.len() > limits.target_bytes_max {
            return Err(Cause::Limit(Limit::TargetBytes));
        }
        // The parser takes UTF-8, RFC 9112 §3.2 does not.
        if !target.is_ascii() {
            return Err(Cause::Violation(Violation::RequestLine));
        }
        let base = Base(bytes);
        let known = Method::from_token(method);
        self.start = StartLine::Request {
            protocol: (0, 0),
            host: None,
            upgrade: false,
            method: known,
            method_span: base.span(method.as_bytes()),
            target: base.span(target.as_bytes()),
            version: version(minor),
        };
        self.set_fields(bytes, request.headers, len)?;
        self.facts.target_is_valid = Target::is_valid(known, target.as_bytes());
        if let StartLine::Request { host, upgrade, .. } = &mut self.start {
            if self.facts.host != Host::Absent {
                *host = self.fields.get(self.facts.host_line).map(|line| (line.value, line.value_len));
            }
            *upgrade = self.facts.upgrade_field;
        }
        Ok(Some(len))
    }

    fn parse_response<'b>(
        &mut self,
        bytes: &'b [u8],
        lines: &mut [MaybeUninit<httparse::Header<'b>>],
    ) -> Result<Option<usize>, Cause> {
        let mut response = httparse::Response::new(&mut []);
        let parsed =
            httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, lines);
        let Complete(len) = parsed.map_err(|error| malformed(error, Violation::StatusLine))? else {
            return Ok(None);
        };
        let (Some(code), Some(reason), Some(minor)) = (response.code, response.reason, response.version)
        else {
            return Ok(None);
        };
        let status = Status::new(code).ok_or(Cause::Violation(Violation::StatusLine))?;
        // A reason that is not ASCII is reported as empty, and from elsewhere.
        let reason = if reason.is_empty() { (0, 0) } else { Base(bytes).span(reason.as_bytes()) };
        self.start = StartLine::Response { status, reason, version: version(minor) };
        self.set_fields(bytes, response.headers, len)?;
        Ok(Some(len))
    }

    fn parse_trailers(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Cause> {
        let mut lines = [httparse::EMPTY_HEADER; FIELD_LINES_MAX];
        let parsed = httparse::parse_headers(bytes, &mut lines[..lines_max(limits)]);
        match parsed.map_err(|error| malformed(error, Violation::Trailer))? {
            Complete((len, lines)) => {
                self.start = StartLine::Trailers;
                self.set_fields(bytes, lines, len)?;
                Ok(Some(len))
            }
            Partial => Ok(None),
        }
    }

    /// Records the positions of the field lines, and their facts. `len` is the length of the section.
    ///
    /// The parser takes a bare LF for the end of a line, we do not: RFC 9112 §2.2 allows either.
    #[inline]
    fn set_fields(&mut self, bytes: &[u8], lines: &[httparse::Header<'_>], len: usize) -> Result<(), Cause> {
        let base = Base(bytes);
        let mut facts = Facts::default();
        let mut bare = 0;
        self.fields.clear();
        self.fields.extend(lines.iter().enumerate().map(|(number, line)| {
            let (name, name_len) = base.span(line.name.as_bytes());
            let (value, value_len) = base.span(line.value);
            let before = bytes.get((name as usize).wrapping_sub(2));
            bare |= usize::from(name > 0 && before != Some(&b'\r'));
            facts.note(number, line.name.as_bytes(), line.value);
            FieldSpan { name, name_len, value, value_len }
        }));
        self.facts = facts;
        let ends_well = bytes[..len].ends_with(b"\r\n\r\n") || bytes[..len] == *b"\r\n";
        if bare == 0 && ends_well { Ok(()) } else { Err(Cause::Violation(Violation::BareLineEnd)) }
    }
}

/// The last request head, while its parsed parts are still valid: programs and proxies repeat requests, and a copy of a
/// head need not be parsed again.
#[derive(Debug)]
enum KnownHead {
    /// There has been none.
    None,
    /// There has been one, which was not kept: most heads that are never repeated are the only ones of their
    /// connection.
    Unknown,
    Known(Vec<u8>),
}

impl KnownHead {
    /// The length of the known head, if `input` begins with it.
    #[inline]
    fn begins(&self, input: &[u8]) -> Option<usize> {
        match self {
            Self::Known(head) if !head.is_empty() && input.starts_with(head) => Some(head.len()),
            _ => None,
        }
    }

    /// Notes that a head was read.
    fn note(&mut self, head: &[u8]) {
        match self {
            Self::None => *self = Self::Unknown,
            Self::Unknown | Self::Known(_) if head.len() > KNOWN_BYTES_MAX => *self = Self::Unknown,
            Self::Unknown => *self = Self::Known(head.to_vec()),
            Self::Known(known) => {
                known.clear();
                known.extend_from_slice(head);
            }
        }
    }

    /// Forgets the known head, as something else was read.
    #[inline]
    fn forget(&mut self) {
        if let Self::Known(head) = self {
            head.clear();
        }
    }

    /// Bytes that it holds.
    fn held(&self) -> usize {
        match self {
            Self::Known(head) => head.capacity(),
            Self::None | Self::Unknown => 0,
        }
    }
}

/// Bytes in which the positions of parts are found.
#[derive(Clone, Copy)]
struct Base<'a>(&'a [u8]);

impl Base<'_> {
    /// The position of `part`. A limit keeps sections far below 4 GiB.
    #[inline]
    fn span(self, part: &[u8]) -> (u32, u32) {
        let at = part.as_ptr().addr().wrapping_sub(self.0.as_ptr().addr());
        (at as u32, part.len() as u32)
    }
}

/// The scanner's state in a cut section.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    /// Bytes of the section, with empty lines before it.
    taken: usize,
    /// Lines that are complete, without empty ones before the section.
    lines: usize,
    /// Bytes of the line so far, without its end.
    line_bytes: usize,
    after_cr: bool,
    /// In a request line: the spaces, and the bytes behind the first.
    spaces: u32,
    target_bytes: usize,
}

/// The scanned bytes, up to the end of a line or of the input.
struct HeadLine {
    len: usize,
    complete: bool,
}

impl Scan {
    /// Scans the rest of a line. Fails at the first byte that is not allowed there.
    fn line(&mut self, kind: HeadKind, input: &[u8], limits: &Limits) -> Result<HeadLine, Cause> {
        let in_request_line = kind == HeadKind::Request && self.lines == 0;
        for (at, &byte) in input.iter().enumerate() {
            if self.taken == bytes_max(kind, limits) {
                return Err(Cause::Limit(if kind == HeadKind::Trailers {
                    Limit::TrailerBytes
                } else {
                    Limit::HeadBytes
                }));
            }
            self.taken += 1;
            match byte {
                b'\n' if self.after_cr => {
                    self.after_cr = false;
                    return Ok(HeadLine { len: at + 1, complete: true });
                }
                b'\n' => return Err(Cause::Violation(Violation::BareLineEnd)),
                _ if self.after_cr => return Err(Cause::Violation(Violation::BareLineEnd)),
                b'\r' => self.after_cr = true,
                _ if !is_field_byte(byte) => return Err(Cause::Violation(self.malformed(kind))),
                b' ' if in_request_line => self.spaces += 1,
                _ if in_request_line && self.spaces == 1 => {
                    self.target_bytes += 1;
                    if self.target_bytes > limits.target_bytes_max {
                        return Err(Cause::Limit(Limit::TargetBytes));
                    }
                }
                _ => {}
            }
            self.line_bytes += usize::from(byte != b'\r');
        }
        Ok(HeadLine { len: input.len(), complete: false })
    }

    /// The violation of a line with a byte that is not allowed.
    fn malformed(&self, kind: HeadKind) -> Violation {
        match kind {
            HeadKind::Request if self.lines == 0 => Violation::RequestLine,
            HeadKind::Response if self.lines == 0 => Violation::StatusLine,
            HeadKind::Request | HeadKind::Response => Violation::FieldLine,
            HeadKind::Trailers => Violation::Trailer,
        }
    }
}

fn bytes_max(kind: HeadKind, limits: &Limits) -> usize {
    if kind == HeadKind::Trailers { limits.trailer_bytes_max } else { limits.head_bytes_max }
}

fn lines_max(limits: &Limits) -> usize {
    limits.field_lines_max.min(FIELD_LINES_MAX)
}

fn version(minor: u8) -> Version {
    if minor == 0 { Version::Http10 } else { Version::Http11 }
}

/// How many bytes are empty lines.
#[inline]
fn empty_lines(input: &[u8]) -> usize {
    let mut at = 0;
    while input[at..].starts_with(b"\r\n") {
        at += 2;
    }
    at
}

/// The violation for an error of the parser.
fn malformed(error: httparse::Error, in_first_line: Violation) -> Cause {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => Cause::Limit(Limit::FieldLines),
        Error::NewLine => Cause::Violation(Violation::BareLineEnd),
        Error::HeaderName | Error::HeaderValue if in_first_line == Violation::Trailer => {
            Cause::Violation(Violation::Trailer)
        }
        Error::HeaderName | Error::HeaderValue => Cause::Violation(Violation::FieldLine),
        Error::Status | Error::Token | Error::Version => Cause::Violation(in_first_line),
    }
}

/// `method SP request-target SP HTTP-version CRLF`. RFC 9112 §3.
fn check_request_line(line: &mut [u8]) -> Result<(), Violation> {
    let text = line.strip_suffix(b"\r\n").unwrap_or(line);
    let mut parts = text.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(protocol), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Violation::RequestLine);
    };
    if !is_token(method) || target.is_empty() || !is_visible_ascii(target) {
        return Err(Violation::RequestLine);
    }
    if text == b"PRI * HTTP/2.0" {
        return Err(Violation::Http2Preface);
    }
    let end = text.len();
    let at = end - protocol.len();
    check_version(&mut line[at..end], Violation::RequestLine)
}

/// `HTTP-version SP status-code SP [ reason-phrase ] CRLF`. RFC 9112 §4.
fn check_status_line(line: &mut [u8]) -> Result<(), Violation> {
    if line.get(8).is_none_or(|&byte| byte != b' ') {
        return Err(Violation::StatusLine);
    }
    check_version(&mut line[..8], Violation::StatusLine)
}

/// `HTTP-name "/" DIGIT "." DIGIT`. RFC 9112 §2.3.
///
/// A later minor version is read as HTTP/1.1, "the highest minor version to which the recipient is conformant", and becomes
/// it in place for the parser, which knows no other.
fn check_version(bytes: &mut [u8], malformed: Violation) -> Result<(), Violation> {
    match bytes {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] if minor.is_ascii_digit() => {
            *minor = (*minor).min(b'1');
            Ok(())
        }
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(Violation::Version)
        }
        _ => Err(malformed),
    }
}

#[cfg(test)]
mod tests;
