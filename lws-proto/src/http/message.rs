//! Messages as an application writes them, independent of the version of HTTP: which of its fields are allowed, and how
//! its content is framed. RFC 9110 §6 and §8.
//!
//! Small functions of what is said; how it is written, and the state of an exchange, are the versions' own.

use super::{Authority, Method, Status, Target, Version, is_token, trim_ows};
use crate::{Misuse, Violation};
use alloc::vec::Vec;

/// The request line of a request that a client sends, and its `Host`. RFC 9112 §3.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// A token, such as `GET`.
    pub method: &'a str,
    /// In a form that the method allows: `/` and what follows, for most. RFC 9112 §3.2.
    pub target: &'a str,
    /// The value of `Host`: a name or address, and perhaps a port. RFC 9110 §7.2.
    pub host: &'a str,
}

impl<'a> Request<'a> {
    /// A GET of `target` from `host`.
    #[must_use]
    pub fn get(host: &'a str, target: &'a str) -> Self {
        Self { method: "GET", target, host }
    }
}

impl Request<'_> {
    /// Checks that the request can be written.
    pub(crate) fn check(&self, method: Method) -> Result<(), Misuse> {
        if !is_token(self.method.as_bytes()) || !Target::is_valid(method, self.target.as_bytes()) {
            return Err(Misuse::StartLine);
        }
        if Authority::is_valid(self.host.as_bytes()) { Ok(()) } else { Err(Misuse::Field) }
    }
}

/// The scheme of the requests of an HTTP/2 client. RFC 9113 §8.3.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// The scheme as it is written in a URI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What a client expects of the server before it sends content. RFC 9110 §10.1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Expectation {
    #[default]
    Nothing,
    Continue,
    /// An unknown expectation; a server answers 417.
    Unknown,
}

impl Expectation {
    /// Notes one `Expect` field.
    pub(crate) fn note(&mut self, value: &[u8]) {
        let known = *self != Self::Unknown && value.eq_ignore_ascii_case(b"100-continue");
        *self = if known { Self::Continue } else { Self::Unknown };
    }
}

/// The facts about the fields which an application has written itself: the engine does not add these again, and
/// frames the content by them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ExplicitFields {
    pub(crate) content_length: Option<u64>,
    pub(crate) date: bool,
    pub(crate) upgrade: bool,
}

/// How the end of the content that is being sent is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    /// By its length, of which this many bytes are left.
    Length(u64),
    /// The length is not known in advance: chunked in HTTP/1.1, END_STREAM in HTTP/2.
    Streamed,
    /// By the end of the connection.
    UntilClose,
    /// The response to a HEAD: its content determines the fields, but is not sent. RFC 9110 §9.3.2.
    Dropped,
    /// The message may have no content.
    Forbidden,
}

impl BodyFraming {
    /// Whether the message ends with its head, whatever the application would give.
    #[inline]
    pub(crate) fn ends_with_head(self) -> bool {
        matches!(self, Self::Dropped | Self::Forbidden)
    }
}

impl ExplicitFields {
    /// Adds what is known of other fields of the same message.
    #[inline]
    pub(crate) fn join(&mut self, other: Self) -> Result<(), Misuse> {
        match (self.content_length, other.content_length) {
            (Some(_), Some(_)) => return Err(Misuse::ContentLength),
            (known, said) => self.content_length = known.or(said),
        }
        self.date |= other.date;
        self.upgrade |= other.upgrade;
        Ok(())
    }

    #[inline]
    pub(crate) fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Misuse> {
        match name.len() {
            4 => {
                self.date |= is_called(name, b"date");
                managed(name, b"host")
            }
            7 => {
                self.upgrade |= is_called(name, b"upgrade");
                Ok(())
            }
            10 => managed(name, b"connection").and_then(|()| managed(name, b"keep-alive")),
            14 if is_called(name, b"content-length") => {
                let length = decimal(value).filter(|_| self.content_length.is_none());
                self.content_length = Some(length.ok_or(Misuse::ContentLength)?);
                Ok(())
            }
            17 => managed(name, b"transfer-encoding"),
            _ => Ok(()),
        }
    }
}

#[inline]
fn managed<const LEN: usize>(name: &[u8], managed: &[u8; LEN]) -> Result<(), Misuse> {
    if is_called(name, managed) { Err(Misuse::ManagedField) } else { Ok(()) }
}

/// Whether `len` bytes fit where `left` are expected; all of them at the end.
#[inline]
pub(crate) fn check_length(left: u64, len: u64, end: bool) -> Result<(), Misuse> {
    let fits = if end { len == left } else { len <= left };
    if fits { Ok(()) } else { Err(Misuse::ContentLength) }
}

/// How the content of a request ends, and the `Content-Length` to send if the application has not said it. RFC 9110 §8.6.
pub(crate) fn frame_request(
    method: Method,
    explicit: ExplicitFields,
    len: u64,
    end: bool,
) -> Result<(BodyFraming, Option<u64>), Misuse> {
    // RFC 9110 §9.3.6 and §9.3.8: these have no content.
    if matches!(method, Method::Connect | Method::Trace) {
        let without = end && len == 0 && explicit.content_length.is_none();
        return if without { Ok((BodyFraming::Forbidden, None)) } else { Err(Misuse::ContentLength) };
    }
    match explicit.content_length {
        Some(length) => check_length(length, len, end).map(|()| (BodyFraming::Length(length), None)),
        None if !end => Ok((BodyFraming::Streamed, None)),
        None => {
            // "A user agent SHOULD send Content-Length in a request when the method defines a meaning for enclosed
            // content", even if there is none.
            let tells =
                len > 0 || matches!(method, Method::Post | Method::Put | Method::Patch | Method::Query);
            Ok((BodyFraming::Length(len), tells.then_some(len)))
        }
    }
}

/// How a response ends. RFC 9112 §6.1 to §6.3.
#[inline]
pub(crate) fn frame_response(
    method: Method,
    version: Version,
    status: Status,
    explicit: ExplicitFields,
    len: u64,
    end: bool,
) -> Result<BodyFraming, Misuse> {
    let forbidden = status.is_without_content() || status == Status::RESET_CONTENT;
    match explicit.content_length {
        _ if forbidden && len > 0 => Err(Misuse::ContentLength),
        // RFC 9110 §8.6: "MUST NOT send a Content-Length header field in any response with a status code of ... 204".
        Some(_) if status == Status::NO_CONTENT => Err(Misuse::ContentLength),
        Some(1..) if status == Status::RESET_CONTENT => Err(Misuse::ContentLength),
        _ if forbidden => Ok(BodyFraming::Forbidden),
        _ if method == Method::Head => Ok(BodyFraming::Dropped),
        Some(length) => check_length(length, len, end).map(|_| BodyFraming::Length(length)),
        None if end => Ok(BodyFraming::Length(len)),
        // A client whose CONNECT is refused has no use for streamed content: a response without any ends with its
        // head.
        None if method == Method::Connect && len == 0 => Ok(BodyFraming::Forbidden),
        None if version == Version::Http10 => Ok(BodyFraming::UntilClose),
        None => Ok(BodyFraming::Streamed),
    }
}

/// Whether a token is `lower`, which is lower case, in whatever case. Where there is a letter or a hyphen, no two other
/// bytes of a token differ in this bit alone.
#[inline]
pub(crate) fn is_called<const LEN: usize>(name: &[u8], lower: &[u8; LEN]) -> bool {
    name.first_chunk::<LEN>().is_some_and(|name| name.map(|byte| byte | 0x20) == *lower) && name.len() == LEN
}

/// Appends `1*DIGIT`.
#[inline]
pub(crate) fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    if let (tens @ 1..=9, ones) = (number / 10, number % 10) {
        return out.extend_from_slice(&[b'0' + tens as u8, b'0' + ones as u8]);
    }
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break out.extend_from_slice(&digits[at..]);
        }
    }
}

/// `1*DIGIT` that fits a `u64`; nineteen digits always do. RFC 9110 §8.6.
#[inline]
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits
        .iter()
        .try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0')))
}

/// The combined value of the `Content-Length` lines of a head. RFC 9110 §8.6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ContentLength {
    #[default]
    Absent,
    Is(u64),
    /// The same number more than once, in one line or several.
    Repeated(u64),
    /// Not a number, or two that differ.
    Invalid,
}

impl ContentLength {
    /// Notes one line.
    pub(crate) fn note(&mut self, value: &[u8]) {
        for member in value.split(|&byte| byte == b',') {
            *self = match (*self, decimal(trim_ows(member))) {
                (Self::Absent, Some(length)) => Self::Is(length),
                (Self::Is(before) | Self::Repeated(before), Some(length)) if before == length => {
                    Self::Repeated(length)
                }
                _ => Self::Invalid,
            };
        }
    }

    /// The length of a request's content, if the head has one.
    ///
    /// RFC 9110 §8.6 lets a recipient accept a repeated number as one. For a request this is refused: an intermediary
    /// may have decided otherwise, and framed it differently.
    pub(crate) fn of_request(self) -> Result<Option<u64>, Violation> {
        match self {
            Self::Absent => Ok(None),
            Self::Is(length) => Ok(Some(length)),
            Self::Repeated(_) | Self::Invalid => Err(Violation::ContentLength),
        }
    }

    /// The length of a response's content, if the head has one. A repeated number is accepted as one.
    pub(crate) fn of_response(self) -> Result<Option<u64>, Violation> {
        match self {
            Self::Absent => Ok(None),
            Self::Is(length) | Self::Repeated(length) => Ok(Some(length)),
            Self::Invalid => Err(Violation::ContentLength),
        }
    }
}

/// How the recipient of a trailer section treats one of its fields. RFC 9110 §6.5.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TrailerField {
    /// The field is delivered.
    Allowed,
    /// The field has no meaning after the content, and is dropped: "A recipient ... MAY selectively retain or discard
    /// the received trailer fields". RFC 9112 §7.1.2.
    Discarded,
    /// The field frames or routes a message. A recipient that merges it into the head sees a different message
    /// (request smuggling), so the message is refused.
    Refused,
}

/// How a received field called `name` is treated in a trailer section.
pub(crate) fn received_trailer(name: &[u8]) -> TrailerField {
    const REFUSED: [&str; 3] = ["content-length", "host", "transfer-encoding"];
    if !is_forbidden_trailer(name) {
        TrailerField::Allowed
    } else if REFUSED.iter().any(|refused| name.eq_ignore_ascii_case(refused.as_bytes())) {
        TrailerField::Refused
    } else {
        TrailerField::Discarded
    }
}

/// Whether a field called `name` may not be sent in a trailer section: what frames, routes, authenticates or explains the
/// message must come before the content. RFC 9110 §6.5.1.
pub(crate) fn is_forbidden_trailer(name: &[u8]) -> bool {
    const FORBIDDEN: [&str; 32] = [
        "age",
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "date",
        "expect",
        "expires",
        "host",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "keep-alive",
        "location",
        "max-forwards",
        "pragma",
        "proxy-authenticate",
        "proxy-authorization",
        "range",
        "retry-after",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
    ];
    FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_frames_or_routes_a_message_is_no_trailer() {
        for name in
            ["Content-Length", "TRANSFER-ENCODING", "host", "Trailer", "Authorization", "content-type"]
        {
            assert!(is_forbidden_trailer(name.as_bytes()), "{name}");
        }
        for name in ["ETag", "Server-Timing", "X-Checksum", "Digest"] {
            assert!(!is_forbidden_trailer(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_received_trailer_is_kept_dropped_or_refused() {
        for (name, expected) in [
            ("ETag", TrailerField::Allowed),
            ("X-Checksum", TrailerField::Allowed),
            ("Set-Cookie", TrailerField::Discarded),
            ("authorization", TrailerField::Discarded),
            ("Connection", TrailerField::Discarded),
            ("Content-Length", TrailerField::Refused),
            ("transfer-encoding", TrailerField::Refused),
            ("HOST", TrailerField::Refused),
        ] {
            assert_eq!(received_trailer(name.as_bytes()), expected, "{name}");
        }
    }
}
