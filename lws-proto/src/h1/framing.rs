//! The framing of a message's content. RFC 9112 §6.3.
//!
//! Derived from the head alone; content is not read.

use super::facts::{Facts, TransferEncoding};
use crate::Violation;
use crate::http::{ContentLength, Method, Status, Version};

/// The framing of a message's content: how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is no content.
    Empty,
    /// After this many bytes, at least one.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

impl Framing {
    fn of_length(length: u64) -> Self {
        if length == 0 { Self::Empty } else { Self::Length(length) }
    }
}

/// The framing of a request.
#[inline]
pub(crate) fn of_request(version: Version, method: Method, facts: &Facts) -> Result<Framing, Violation> {
    match (facts.transfer_encoding, facts.content_length) {
        // RFC 9110 §9.3: content has no meaning here, and without a length there is none.
        (TransferEncoding::Absent, ContentLength::Absent) => {
            // RFC 1945 §8.3: "A valid Content-Length is required on all HTTP/1.0 POST requests."
            let required = version == Version::Http10 && method == Method::Post;
            if required { Err(Violation::LengthRequired) } else { Ok(Framing::Empty) }
        }
        (TransferEncoding::Absent, length) => {
            length.of_request().map(|length| Framing::of_length(length.unwrap_or(0)))
        }
        (coding, ContentLength::Absent) => chunked(version, coding),
        // RFC 9112 §6.1: "A server MAY reject a request that contains both". Nothing honest sends it.
        _ => Err(Violation::TwoFramings),
    }
}

/// The framing of a response to a request with `method`.
pub(crate) fn of_response(
    version: Version,
    status: Status,
    method: Method,
    facts: &Facts,
) -> Result<Framing, Violation> {
    // These end with their heads, "regardless of the header fields present in the message".
    if method == Method::Head
        || status.is_without_content()
        || method == Method::Connect && status.is_success()
    {
        return Ok(Framing::Empty);
    }
    match (facts.transfer_encoding, facts.content_length) {
        (TransferEncoding::Absent, length) => {
            length.of_response().map(|length| length.map_or(Framing::UntilClose, Framing::of_length))
        }
        (coding, ContentLength::Absent) => chunked(version, coding),
        // RFC 9112 §6.3: "ought to be handled as an error".
        _ => Err(Violation::TwoFramings),
    }
}

fn chunked(version: Version, coding: TransferEncoding) -> Result<Framing, Violation> {
    match coding {
        // RFC 9112 §6.1: of an HTTP/1.0 message the framing is faulty, even with a Content-Length.
        _ if version == Version::Http10 => Err(Violation::TransferEncoding),
        TransferEncoding::Chunked => Ok(Framing::Chunked),
        TransferEncoding::Unknown => Err(Violation::TransferCoding),
        // For a response RFC 9112 §6.3 would read until the close; but the coding is unknown to us then, too.
        TransferEncoding::Unframed | TransferEncoding::Misplaced | TransferEncoding::Absent => {
            Err(Violation::TransferEncoding)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(lines: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::default();
        for (name, value) in lines {
            facts.note(0, name.as_bytes(), value.as_bytes());
        }
        facts
    }

    const LENGTH: (&str, &str) = ("Content-Length", "5");
    const CHUNKED: (&str, &str) = ("Transfer-Encoding", "chunked");

    #[test]
    fn a_request_ends_as_its_fields_say_or_is_refused() {
        for (lines, expected) in [
            (&[][..], Ok(Framing::Empty)),
            (&[LENGTH], Ok(Framing::Length(5))),
            (&[("Content-Length", "0")], Ok(Framing::Empty)),
            (&[CHUNKED], Ok(Framing::Chunked)),
            (&[LENGTH, LENGTH], Err(Violation::ContentLength)),
            (&[LENGTH, ("content-length", "6")], Err(Violation::ContentLength)),
            (&[("Content-Length", "-1")], Err(Violation::ContentLength)),
            (&[LENGTH, CHUNKED], Err(Violation::TwoFramings)),
            (&[CHUNKED, LENGTH], Err(Violation::TwoFramings)),
            (&[CHUNKED, ("Content-Length", "x")], Err(Violation::TwoFramings)),
            (&[("Transfer-Encoding", "gzip"), LENGTH], Err(Violation::TwoFramings)),
            (&[CHUNKED, CHUNKED], Err(Violation::TransferEncoding)),
            (&[("Transfer-Encoding", "chunked, gzip")], Err(Violation::TransferEncoding)),
            (&[("Transfer-Encoding", "identity")], Err(Violation::TransferEncoding)),
            (&[("Transfer-Encoding", "gzip, chunked")], Err(Violation::TransferCoding)),
            (&[("Transfer-Encoding", "gzip"), CHUNKED], Err(Violation::TransferCoding)),
            (&[CHUNKED, ("Transfer-Encoding", "gzip")], Err(Violation::TransferEncoding)),
        ] {
            assert_eq!(of_request(Version::Http11, Method::Post, &facts(lines)), expected, "{lines:?}");
        }
    }

    #[test]
    fn http_1_0_knows_no_transfer_codings_and_needs_a_length_to_post() {
        for (method, lines, expected) in [
            (Method::Get, &[][..], Ok(Framing::Empty)),
            (Method::Post, &[], Err(Violation::LengthRequired)),
            (Method::Post, &[LENGTH], Ok(Framing::Length(5))),
            (Method::Post, &[CHUNKED], Err(Violation::TransferEncoding)),
            (Method::Post, &[CHUNKED, LENGTH], Err(Violation::TwoFramings)),
        ] {
            assert_eq!(of_request(Version::Http10, method, &facts(lines)), expected, "{method:?} {lines:?}");
        }
        let response = of_response(Version::Http10, Status::OK, Method::Get, &facts(&[CHUNKED]));
        assert_eq!(response, Err(Violation::TransferEncoding));
    }

    #[test]
    fn a_response_ends_as_request_status_and_fields_say() {
        for (method, status, lines, expected) in [
            (Method::Get, 200, &[][..], Ok(Framing::UntilClose)),
            (Method::Get, 200, &[LENGTH], Ok(Framing::Length(5))),
            (Method::Get, 200, &[LENGTH, LENGTH], Ok(Framing::Length(5))),
            (Method::Get, 200, &[CHUNKED], Ok(Framing::Chunked)),
            (Method::Get, 200, &[LENGTH, CHUNKED], Err(Violation::TwoFramings)),
            (Method::Get, 200, &[("Content-Length", "5, 6")], Err(Violation::ContentLength)),
            (Method::Get, 200, &[("Transfer-Encoding", "gzip")], Err(Violation::TransferEncoding)),
            (Method::Get, 200, &[("Transfer-Encoding", "gzip, chunked")], Err(Violation::TransferCoding)),
            (Method::Head, 200, &[LENGTH, CHUNKED], Ok(Framing::Empty)),
            (Method::Get, 204, &[LENGTH], Ok(Framing::Empty)),
            (Method::Get, 304, &[LENGTH], Ok(Framing::Empty)),
            (Method::Get, 103, &[CHUNKED], Ok(Framing::Empty)),
            (Method::Connect, 200, &[LENGTH, CHUNKED], Ok(Framing::Empty)),
            (Method::Connect, 407, &[LENGTH], Ok(Framing::Length(5))),
            (Method::Post, 205, &[("Content-Length", "0")], Ok(Framing::Empty)),
        ] {
            let status = Status::new(status).expect("three digits");
            assert_eq!(
                of_response(Version::Http11, status, method, &facts(lines)),
                expected,
                "{status} {lines:?}"
            );
        }
    }
}
