//! Composing heads: which fields of the application are allowed, and how its content is framed. RFC 9112 §6.
//!
//! Small functions of the fields; the state of the exchange is with `writer`.

use super::encode;
use crate::Misuse;
use crate::http::{BodyFraming, ExplicitFields, Method, Request, frame_request};
use alloc::vec::Vec;

/// Writes the fields of the application.
///
/// # Errors
/// [`Misuse`] if one cannot be written, or is written here: what frames messages and manages connections.
#[inline]
pub(crate) fn write_fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    buffer: &mut Vec<u8>,
    fields: impl IntoIterator<Item = (N, V)>,
) -> Result<ExplicitFields, Misuse> {
    let mut explicit = ExplicitFields::default();
    write_more_fields(buffer, &mut explicit, fields)?;
    Ok(explicit)
}

/// Writes fields of the application behind others, of which `explicit` is known.
///
/// # Errors
/// Those of [`write_fields`].
#[inline]
pub(crate) fn write_more_fields<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    buffer: &mut Vec<u8>,
    explicit: &mut ExplicitFields,
    fields: impl IntoIterator<Item = (N, V)>,
) -> Result<(), Misuse> {
    for (name, value) in fields {
        encode::field(buffer, name.as_ref(), value.as_ref())?;
        explicit.note(name.as_ref(), value.as_ref())?;
    }
    Ok(())
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

/// Writes the field that frames the content of a request. RFC 9112 §6.
pub(crate) fn write_framing(
    buffer: &mut Vec<u8>,
    method: Method,
    explicit: ExplicitFields,
    len: u64,
    end: bool,
) -> Result<BodyFraming, Misuse> {
    let (framing, length) = frame_request(method, explicit, len, end)?;
    if framing == BodyFraming::Streamed {
        buffer.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if let Some(length) = length {
        encode::content_length(buffer, length);
    }
    Ok(framing)
}
