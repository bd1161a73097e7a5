//! Heads as an application states them: which of its fields pass, and how its content will be framed. RFC 9112 §6.
//!
//! Small functions of what is said; the state of the exchange is with `sender`.

use super::encode;
use super::facts::{self, is_called};
use crate::Misuse;
use crate::http::{Authority, Method, Status, Target, Version, is_token};
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
    /// Whether it can be written.
    pub(crate) fn check(&self, method: Method) -> Result<(), Misuse> {
        if !is_token(self.method.as_bytes()) || !Target::is_valid(method, self.target) {
            return Err(Misuse::StartLine);
        }
        if Authority::is_valid(self.host.as_bytes()) { Ok(()) } else { Err(Misuse::Field) }
    }
}

/// What the fields of the application have said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    pub(crate) content_length: Option<u64>,
    pub(crate) date: bool,
    pub(crate) upgrade: bool,
}

/// How the content ends that is being sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    /// So many bytes are left.
    Length(u64),
    Chunked,
    /// With the connection.
    UntilClose,
    /// What is given to answer a HEAD: it counts for the fields, and is not sent. RFC 9110 §9.3.2.
    Dropped,
    /// There may be none.
    Forbidden,
}

/// Writes the fields of the application.
///
/// # Errors
/// [`Misuse`] if one cannot be written, or is written here: what frames messages and manages connections.
#[inline]
pub(crate) fn write_fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    buffer: &mut Vec<u8>,
    fields: impl IntoIterator<Item = (N, V)>,
) -> Result<Said, Misuse> {
    let mut said = Said::default();
    for (name, value) in fields {
        encode::field(buffer, name.as_ref(), value.as_ref())?;
        said.note(name.as_ref(), value.as_ref())?;
    }
    Ok(said)
}

impl Said {
    #[inline]
    fn note(&mut self, name: &[u8], value: &[u8]) -> Result<(), Misuse> {
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
                let length = facts::decimal(value).filter(|_| self.content_length.is_none());
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

/// `method SP request-target SP HTTP-version CRLF`, and `Host`, which "SHOULD" be the first field. RFC 9110 §7.2.
pub(crate) fn write_request_line(buffer: &mut Vec<u8>, request: &Request<'_>) {
    buffer.extend_from_slice(request.method.as_bytes());
    buffer.push(b' ');
    buffer.extend_from_slice(request.target.as_bytes());
    buffer.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    buffer.extend_from_slice(request.host.as_bytes());
    buffer.extend_from_slice(b"\r\n");
}

/// Writes the field that frames the content of a request. RFC 9110 §8.6.
pub(crate) fn frame_request(
    buffer: &mut Vec<u8>,
    method: Method,
    said: Said,
    len: u64,
    end: bool,
) -> Result<Outgoing, Misuse> {
    // RFC 9110 §9.3.6 and §9.3.8: these have no content.
    if matches!(method, Method::Connect | Method::Trace) {
        let without = end && len == 0 && said.content_length.is_none();
        return if without { Ok(Outgoing::Forbidden) } else { Err(Misuse::ContentLength) };
    }
    match said.content_length {
        Some(length) => check_length(length, len, end).map(|()| Outgoing::Length(length)),
        None if !end => {
            buffer.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            Ok(Outgoing::Chunked)
        }
        None => {
            // "A user agent SHOULD send Content-Length in a request when the method defines a meaning for enclosed
            // content and it is not sending Transfer-Encoding", even if there is none.
            if len > 0 || matches!(method, Method::Post | Method::Put | Method::Patch) {
                encode::content_length(buffer, len);
            }
            Ok(Outgoing::Length(len))
        }
    }
}

/// How a response ends. RFC 9112 §6.1 to §6.3.
#[inline]
pub(crate) fn frame_response(
    method: Method,
    version: Version,
    status: Status,
    said: Said,
    len: u64,
    end: bool,
) -> Result<Outgoing, Misuse> {
    let forbidden = status.is_without_content() || status == Status::RESET_CONTENT;
    match said.content_length {
        _ if forbidden && len > 0 => Err(Misuse::ContentLength),
        // RFC 9110 §8.6: "MUST NOT send a Content-Length header field in any response with a status code of ... 204".
        Some(_) if status == Status::NO_CONTENT => Err(Misuse::ContentLength),
        Some(1..) if status == Status::RESET_CONTENT => Err(Misuse::ContentLength),
        _ if forbidden => Ok(Outgoing::Forbidden),
        _ if method == Method::Head => Ok(Outgoing::Dropped),
        Some(length) => check_length(length, len, end).map(|_| Outgoing::Length(length)),
        None if end => Ok(Outgoing::Length(len)),
        None if version == Version::Http10 => Ok(Outgoing::UntilClose),
        None => Ok(Outgoing::Chunked),
    }
}
