//! Chunked content: sizes, extensions, ends and trailers.

use super::{Refused, Taken, Verdict, check_each};
use lws_proto::Violation::{BareLineEnd, Chunk, Trailer};

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A chunk size line; `hello` and the last chunk follow.
const SIZES: &[(&[u8], Verdict)] = &[
    (b"5\r\n", Taken("POST / hello")),
    (b"05\r\n", Taken("POST / hello")),
    (b"0000000000000005\r\n", Taken("POST / hello")),
    // What the number parsers of languages take.
    (b"0x5\r\n", Refused(Chunk)),
    (b"0X5\r\n", Refused(Chunk)),
    (b"x5\r\n", Refused(Chunk)),
    (b"+5\r\n", Refused(Chunk)),
    (b"-5\r\n", Refused(Chunk)),
    (b"5_\r\n", Refused(Chunk)),
    (b"0_5\r\n", Refused(Chunk)),
    (b"5h\r\n", Refused(Chunk)),
    (b"5.0\r\n", Refused(Chunk)),
    (b"5,\r\n", Refused(Chunk)),
    (b"\"5\"\r\n", Refused(Chunk)),
    (b"\xd9\xa5\r\n", Refused(Chunk)),
    (b" 5\r\n", Refused(Chunk)),
    (b"\t5\r\n", Refused(Chunk)),
    (b"\x0b5\r\n", Refused(Chunk)),
    (b"5\x0c\r\n", Refused(Chunk)),
    (b"5\0\r\n", Refused(Chunk)),
    (b"5 5\r\n", Refused(Chunk)),
    (b"5\xa0\r\n", Refused(Chunk)),
    (b"\r\n", Refused(Chunk)),
    (b"g\r\n", Refused(Chunk)),
    (b";a\r\n", Refused(Chunk)),
    // Numbers that wrap around in 32 or 64 bits.
    (b"10000000000000005\r\n", Refused(Chunk)),
    (b"00000000000000005\r\n", Refused(Chunk)),
    // Ends of the line.
    (b"5\n", Refused(Chunk)),
    (b"5\r", Refused(Chunk)),
    (b"5\r\r\n", Refused(Chunk)),
    (b"5\n\r\n", Refused(Chunk)),
    (b"\r\n5\r\n", Refused(Chunk)),
];

#[test]
fn sizes() {
    check_each(POST, SIZES, b"hello\r\n0\r\n\r\n");
}

/// Behind a chunk size, before `hello` and the last chunk.
const EXTENSIONS: &[(&[u8], Verdict)] = &[
    (b";a\r\n", Taken("POST / hello")),
    (b";a=b\r\n", Taken("POST / hello")),
    (b";a=b;c\r\n", Taken("POST / hello")),
    (b"; a = b\r\n", Taken("POST / hello")),
    (b" ;a\r\n", Taken("POST / hello")),
    (b";a=\"b\"\r\n", Taken("POST / hello")),
    (b";a=\"b;c\"\r\n", Taken("POST / hello")),
    (b";a=\"b\\\"c\"\r\n", Taken("POST / hello")),
    // What others take for the end of the line, so that the rest is content, or another chunk.
    (b";a\n", Refused(Chunk)),
    (b";\n", Refused(Chunk)),
    (b";a\r", Refused(Chunk)),
    (b";a\rb\r\n", Refused(Chunk)),
    (b";a\nb\r\n", Refused(Chunk)),
    (b";a\n0\r\n\r\n", Refused(Chunk)),
    (b";a=\"\n\"\r\n", Refused(Chunk)),
    (b";a=\"\r\n\"\r\n", Refused(Chunk)),
    (b";a\0\r\n", Refused(Chunk)),
    (b";a=\"\0\"\r\n", Refused(Chunk)),
    (b";a\x0b\r\n", Refused(Chunk)),
    (b";a\x7f\r\n", Refused(Chunk)),
    (b"\ta\r\n", Refused(Chunk)),
    (b" a\r\n", Refused(Chunk)),
    (b" \r", Refused(Chunk)),
];

#[test]
fn extensions() {
    check_each(&[POST, b"5"].concat(), EXTENSIONS, b"hello\r\n0\r\n\r\n");
}

/// What stands behind the content of a chunk, before the last one.
const ENDS: &[(&[u8], Verdict)] = &[
    (b"\r\n", Taken("POST / hello")),
    (b"\n", Refused(Chunk)),
    (b"\r", Refused(Chunk)),
    (b"", Refused(Chunk)),
    (b"xx", Refused(Chunk)),
    (b"\r\r", Refused(Chunk)),
    (b"\n\n", Refused(Chunk)),
    (b"\rX", Refused(Chunk)),
    (b"x\r\n", Refused(Chunk)),
    (b" \r\n", Refused(Chunk)),
    (b"\0\0", Refused(Chunk)),
    (b"\r\n\r\n", Refused(Chunk)),
];

#[test]
fn ends_of_chunks() {
    check_each(&[POST, b"5\r\nhello"].concat(), ENDS, b"0\r\n\r\n");
}

/// The last chunk and everything behind it.
const LAST: &[(&[u8], Verdict)] = &[
    (b"0\r\n\r\n", Taken("POST / hello")),
    (b"000\r\n\r\n", Taken("POST / hello")),
    (b"0;a\r\n\r\n", Taken("POST / hello")),
    (b"0\n\r\n", Refused(Chunk)),
    (b"0\r\r\n", Refused(Chunk)),
    (b"0x\r\n\r\n", Refused(Chunk)),
    (b"-0\r\n\r\n", Refused(Chunk)),
    (b"+0\r\n\r\n", Refused(Chunk)),
    (b"0;a\n\r\n", Refused(Chunk)),
    // The end of the trailers.
    (b"0\r\n\n", Refused(BareLineEnd)),
    (b"0\r\n\r", Refused(BareLineEnd)),
    (b"0\r\n\rX", Refused(BareLineEnd)),
    (b"0\r\n\r\r\n", Refused(BareLineEnd)),
    (b"0\r\n \r\n\r\n", Refused(Trailer)),
    // Trailers by the grammar of fields.
    (b"0\r\nX: y\r\n\r\n", Taken("POST / hello")),
    (b"0\r\nX: y\r\nX: z\r\n\r\n", Taken("POST / hello")),
    (b"0\r\nX: y\n\r\n", Refused(BareLineEnd)),
    (b"0\r\nX: y\rZ: a\r\n\r\n", Refused(BareLineEnd)),
    (b"0\r\nX : y\r\n\r\n", Refused(Trailer)),
    (b"0\r\nX: y\r\n z\r\n\r\n", Refused(Trailer)),
    (b"0\r\n: y\r\n\r\n", Refused(Trailer)),
    (b"0\r\nX\r\n\r\n", Refused(Trailer)),
    (b"0\r\nX: \0\r\n\r\n", Refused(Trailer)),
    // What would frame or route the message, if it were merged into the head.
    (b"0\r\nContent-Length: 0\r\n\r\n", Refused(Trailer)),
    (b"0\r\nTransfer-Encoding: chunked\r\n\r\n", Refused(Trailer)),
    (b"0\r\nHost: b\r\n\r\n", Refused(Trailer)),
    // Others stop at the first request line that they meet.
    (b"0\r\nGET /x HTTP/1.1\r\n\r\n", Refused(Trailer)),
];

#[test]
fn last_chunks_and_trailers() {
    check_each(&[POST, b"5\r\nhello\r\n"].concat(), LAST, b"");
}
