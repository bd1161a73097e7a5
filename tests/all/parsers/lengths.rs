//! How long the content of a request is.

use super::{Last, Refused, Taken, Verdict, check_each};
use lws_proto::Violation::{
    BareLineEnd, Chunk, ContentLength, FieldLine, TransferCoding, TransferEncoding, TwoFramings,
};

/// The field lines that frame a POST; the end of the head and `hello` follow.
const LENGTHS: &[(&[u8], Verdict)] = &[
    (b"Content-Length: 5\r\n", Taken("POST / hello")),
    (b"content-length:5\r\n", Taken("POST / hello")),
    (b"CONTENT-LENGTH:\t5 \r\n", Taken("POST / hello")),
    // RFC 9110 §8.6: "Content-Length = 1*DIGIT", so zeros may lead.
    (b"Content-Length: 05\r\n", Taken("POST / hello")),
    (b"Content-Length: 0000000005\r\n", Taken("POST / hello")),
    (b"Content-Length: +5\r\n", Refused(ContentLength)),
    (b"Content-Length: -5\r\n", Refused(ContentLength)),
    (b"Content-Length: 0x5\r\n", Refused(ContentLength)),
    (b"Content-Length: 5_0\r\n", Refused(ContentLength)),
    (b"Content-Length: 5e0\r\n", Refused(ContentLength)),
    (b"Content-Length: 5.0\r\n", Refused(ContentLength)),
    (b"Content-Length: \"5\"\r\n", Refused(ContentLength)),
    (b"Content-Length: 5;\r\n", Refused(ContentLength)),
    (b"Content-Length: 5 5\r\n", Refused(ContentLength)),
    (b"Content-Length: 5x\r\n", Refused(ContentLength)),
    (b"Content-Length: x\r\n", Refused(ContentLength)),
    (b"Content-Length: ,5\r\n", Refused(ContentLength)),
    (b"Content-Length: 5,\r\n", Refused(ContentLength)),
    (b"Content-Length: 5, 6\r\n", Refused(ContentLength)),
    (b"Content-Length: 6, 5\r\n", Refused(ContentLength)),
    (b"Content-Length: \xd9\xa5\r\n", Refused(ContentLength)),
    (b"Content-Length: \xb5\r\n", Refused(ContentLength)),
    (b"Content-Length: 5\xa0\r\n", Refused(ContentLength)),
    (b"Content-Length:\r\n", Refused(ContentLength)),
    (b"Content-Length: \t \r\n", Refused(ContentLength)),
    (b"Content-Length: 18446744073709551621\r\n", Refused(ContentLength)),
    (b"Content-Length: 4294967301x\r\n", Refused(ContentLength)),
    (b"Content-Length: 5\x0b\r\n", Refused(FieldLine)),
    (b"Content-Length: \x0c5\r\n", Refused(FieldLine)),
    (b"Content-Length: 5\0\r\n", Refused(FieldLine)),
    (b"Content-Length : 5\r\n", Refused(FieldLine)),
    (b" Content-Length: 5\r\n", Refused(FieldLine)),
    (b"Content-Length\xa0: 5\r\n", Refused(FieldLine)),
    (b"Content-Length: 1\r\n 5\r\n", Refused(FieldLine)),
    (b"Content-Length: 5\rX: y\r\n", Refused(BareLineEnd)),
    (b"Content-Length: 0\nContent-Length: 5\r\n", Refused(BareLineEnd)),
    // Several that differ, in any order and writing.
    (b"Content-Length: 5\r\nContent-Length: 6\r\n", Refused(ContentLength)),
    (b"Content-Length: 6\r\nContent-Length: 5\r\n", Refused(ContentLength)),
    (b"Content-Length: 5\r\nX: y\r\ncontent-length: 0\r\n", Refused(ContentLength)),
    (b"Content-Length: 5\r\nContent-Length:\r\n", Refused(ContentLength)),
    (b"Content-Length:\r\nContent-Length: 5\r\n", Refused(ContentLength)),
    (b"Content-Length: 5\r\nContent-Length: 05\r\n", Refused(ContentLength)),
    // Names that others take for it.
    (b"Content_Length: 1\r\nContent-Length: 5\r\n", Taken("POST / hello")),
    (b"X-Content-Length: 1\r\nContent-Length: 5\r\n", Taken("POST / hello")),
    (b"Content-Lengths: 1\r\nContent-Length: 5\r\n", Taken("POST / hello")),
    // Connection has no say about what frames.
    (b"Connection: Content-Length\r\nContent-Length: 5\r\n", Taken("POST / hello")),
    (b"Connection: close, Content-Length\r\nContent-Length: 5\r\n", Last("POST / hello")),
];

#[test]
fn content_lengths() {
    check_each(b"POST / HTTP/1.1\r\nHost: a\r\n", LENGTHS, b"\r\nhello");
}

#[test]
fn any_method_may_have_content_with_a_length() {
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "QUERY", "X"] {
        // The echo to HEAD has no content, which the other harness checks.
        if method != "HEAD" {
            let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n");
            let expected: &'static str = match method {
                "GET" => "GET / hello",
                "DELETE" => "DELETE / hello",
                "OPTIONS" => "OPTIONS / hello",
                "TRACE" => "TRACE / hello",
                "QUERY" => "QUERY / hello",
                _ => "X / hello",
            };
            check_each(head.as_bytes(), &[(b"Content-Length: 5\r\n", Taken(expected))], b"\r\nhello");
        }
    }
}

/// The field lines that frame a POST; the end of the head and a chunk with `hello` follow.
const CODINGS: &[(&[u8], Verdict)] = &[
    (b"Transfer-Encoding: chunked\r\n", Taken("POST / hello")),
    (b"transfer-encoding:CHUNKED\r\n", Taken("POST / hello")),
    (b"Transfer-Encoding: \t chunked \t\r\n", Taken("POST / hello")),
    (b"Transfer-Encoding: identity\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: x\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: xchunked\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: chunkedx\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: chunke\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: \"chunked\"\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: chunked;q=1\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: chunked chunked\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: chunked, chunked\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: chunked, identity\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: chunked, gzip\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: gzip, chunked\r\n", Refused(TransferCoding)),
    (b"Transfer-Encoding: identity, chunked\r\n", Refused(TransferCoding)),
    (b"Transfer-Encoding:\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: chunked\xa0\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: \xa0chunked\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: chun\xe2\x84\xaaed\r\n", Refused(TransferEncoding)),
    (b"Transfer-Encoding: chunked\x0b\r\n", Refused(FieldLine)),
    (b"Transfer-Encoding:\x0bchunked\r\n", Refused(FieldLine)),
    (b"Transfer-Encoding: chunked\0\r\n", Refused(FieldLine)),
    (b"Transfer-Encoding : chunked\r\n", Refused(FieldLine)),
    (b"Transfer-Encoding:\r\n chunked\r\n", Refused(FieldLine)),
    (b"Transfer-Encoding: chunked\r\n identity\r\n", Refused(FieldLine)),
    (b"X: y\nTransfer-Encoding: chunked\r\n", Refused(BareLineEnd)),
    // RFC 9112 §6.1: both framings are one message to one parser and another to the next.
    (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Refused(TwoFramings)),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 15\r\n", Refused(TwoFramings)),
    (b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", Refused(TwoFramings)),
    (b"Transfer-Encoding: identity\r\nContent-Length: 15\r\n", Refused(TwoFramings)),
    (b"Transfer-Encoding: x\r\nContent-Length: 15\r\n", Refused(TwoFramings)),
    (b"Transfer-Encoding:\r\nContent-Length: 15\r\n", Refused(TwoFramings)),
    // Names that others take for it.
    (b"Transfer_Encoding: x\r\nTransfer-Encoding: chunked\r\n", Taken("POST / hello")),
    (b"X-Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n", Taken("POST / hello")),
    (b"TE: chunked\r\nTransfer-Encoding: chunked\r\n", Taken("POST / hello")),
    (b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", Taken("POST / hello")),
];

#[test]
fn transfer_codings() {
    check_each(b"POST / HTTP/1.1\r\nHost: a\r\n", CODINGS, b"\r\n5\r\nhello\r\n0\r\n\r\n");
}

#[test]
fn http_1_0_has_no_transfer_coding() {
    let refused: &[(&[u8], Verdict)] = &[
        (b"Transfer-Encoding: chunked\r\n", Refused(TransferEncoding)),
        (b"Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n", Refused(TransferEncoding)),
        (b"Content-Length: 15\r\nTransfer-Encoding: chunked\r\n", Refused(TwoFramings)),
    ];
    check_each(b"POST / HTTP/1.0\r\nHost: a\r\n", refused, b"\r\n5\r\nhello\r\n0\r\n\r\n");
}

#[test]
fn a_request_without_a_length_has_no_content() {
    // RFC 9112 §6.3: what follows is the next request, or none at all.
    let none: &[(&[u8], Verdict)] = &[(b"", Taken("POST / "))];
    check_each(b"POST / HTTP/1.1\r\nHost: a\r\n", none, b"\r\n");
    let zero: &[(&[u8], Verdict)] = &[
        (b"Content-Length: 0\r\n", Taken("GET / ")),
        (b"Content-Length: 00\r\n", Taken("GET / ")),
        (b"Content-Length: -0\r\n", Refused(ContentLength)),
    ];
    check_each(b"GET / HTTP/1.1\r\nHost: a\r\n", zero, b"\r\n");
    let chunk: &[(&[u8], Verdict)] = &[(b"0\r\n\r\n", Taken("GET / ")), (b"", Refused(Chunk))];
    check_each(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", chunk, b"");
}
