//! RFC 9112 §11.2: request smuggling. Each of these was an advisory against some server: two parsers that disagree about where a request ends.

use crate::support::refused;
use lws_proto::{Cause, Violation};

/// What another parser may take for a second request.
const HIDDEN: &str = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";

fn violates(head: &str, violation: Violation) {
    refused(
        format!("POST / HTTP/1.1\r\nHost: a\r\n{head}{HIDDEN}"),
        violation.status(),
        Cause::Violation(violation),
    );
}

#[test]
fn two_framings() {
    // CL.TE and TE.CL.
    violates("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Violation::TwoFramings);
    violates("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", Violation::TwoFramings);
    violates("Content-Length: 6\r\ntRANSFER-eNCODING: CHUNKED\r\n\r\n0\r\n\r\n", Violation::TwoFramings);
    violates("Content-Length: 6\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", Violation::TwoFramings);
    violates("Content-Length: 6\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", Violation::TwoFramings);
}

#[test]
fn codings_that_hide() {
    // TE.TE.
    violates(
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        Violation::TransferEncoding,
    );
    violates(
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Violation::TransferCoding,
    );
    violates(
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Violation::TransferEncoding,
    );
    violates(
        "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
        Violation::TransferEncoding,
    );
    violates("Transfer-Encoding:\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Violation::TransferCoding);
    violates("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", Violation::TransferEncoding);
    violates("Transfer-Encoding: identity, chunked, identity\r\n\r\n0\r\n\r\n", Violation::TransferEncoding);
    violates("Transfer-Encoding: 'chunked'\r\n\r\n0\r\n\r\n", Violation::TransferEncoding);
    violates("Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", Violation::TransferEncoding);
    violates("Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", Violation::TransferCoding);
    violates("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", Violation::FieldLine);
    violates(" Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Violation::FieldLine);
    violates("X: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Violation::FieldLine);
    violates("Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", Violation::FieldLine);
    violates("Transfer-Encoding: chunked\x00\r\n\r\n0\r\n\r\n", Violation::FieldLine);
    violates("Transfer\u{00ad}-Encoding: chunked\r\n\r\n0\r\n\r\n", Violation::FieldLine);
    violates("X: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Violation::BareLineEnd);
    violates("X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Violation::BareLineEnd);
    refused(
        format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
        400,
        Cause::Violation(Violation::TransferEncoding),
    );
}

#[test]
fn lengths_that_hide() {
    for length in
        ["+6", "-6", "6 ,", "0x6", "6 6", "06;", "6e0", "\u{0666}", "18446744073709551622", "6, 0", "6,6"]
    {
        violates(&format!("Content-Length: {length}\r\n\r\n"), Violation::ContentLength);
    }
    violates("Content-Length: 6\r\nContent-Length: 0\r\n\r\n", Violation::ContentLength);
    violates("Content-Length: 6\r\nContent-Length: 6\r\n\r\n", Violation::ContentLength);
    violates("Content-Length : 6\r\n\r\n", Violation::FieldLine);
    violates("Content-Length\t: 6\r\n\r\n", Violation::FieldLine);
    violates("Content-Length: 6\n\r\n", Violation::BareLineEnd);
    violates("Content-Length:\r\n 6\r\n\r\n", Violation::FieldLine);
}

#[test]
fn hosts_that_hide() {
    violates("Host: b\r\n\r\n", Violation::Host);
    violates("HOST:\r\n\r\n", Violation::Host);
    violates("Host : b\r\n\r\n", Violation::FieldLine);
}
