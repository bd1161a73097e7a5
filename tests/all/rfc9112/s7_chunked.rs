//! RFC 9112 §7: the chunked transfer coding and trailers.

use crate::support::{content, defaults, responses, served, taken};
use lws_proto::http::Status;
use lws_proto::{Cause, Event, Misuse, Payload, Violation};
use tests::application::NO_FIELDS;
use tests::endpoint::Buffer;
use tests::{Delivered, Endpoint, Octets, Seen};

fn post(body: impl AsRef<[u8]>) -> Vec<u8> {
    [b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", body.as_ref()].concat()
}

fn is_taken(body: impl AsRef<[u8]>, expected: &str) -> Delivered {
    let delivered = taken(post(body));
    assert_eq!(content(&delivered), expected.into());
    delivered
}

/// The request is answered with 400 and ends with `violation`; `before` is the content that was delivered before.
fn is_refused(body: impl AsRef<[u8]>, violation: Violation, before: &str) {
    let input = post(body.as_ref());
    let delivered = served(&input);
    let shown = Octets(body.as_ref().to_vec());
    let answers = responses(&delivered);
    let [answer] = &answers[..] else { panic!("{shown:?}: {answers:?}") };
    assert_eq!(answer.status, 400, "{shown:?}");
    assert_eq!(answer.field("connection"), Some("close"), "{shown:?}");
    assert_eq!(delivered.seen.causes(), [Cause::Violation(violation)], "{shown:?}");
    assert_eq!(content(&delivered), before.into(), "{shown:?}");
    assert!(delivered.fin, "{shown:?}");
}

#[test]
fn chunks_are_put_together() {
    // RFC 9112 §7.1: "A recipient MUST be able to parse and decode the chunked transfer coding."
    is_taken("0\r\n\r\n", "");
    is_taken("5\r\nhello\r\n0\r\n\r\n", "hello");
    is_taken("1\r\nh\r\n1\r\ne\r\n3\r\nllo\r\n0\r\n\r\n", "hello");
    is_taken("A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n", "01234567890123456789");
    is_taken("2\r\n\r\n\r\n0\r\n\r\n", "\r\n");
    is_taken("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n");
    is_taken("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello");
    let long = format!("{:x}\r\n{}\r\n0\r\n\r\n", 20_000, "x".repeat(20_000));
    is_taken(long, &"x".repeat(20_000));
}

#[test]
fn a_chunk_size_is_hexadecimal_digits() {
    // RFC 9112 §7.1: "chunk-size = 1*HEXDIG".
    for body in [
        "\r\n",
        "g\r\n",
        "+1\r\nx\r\n",
        "-1\r\nx\r\n",
        "0x1\r\nx\r\n",
        " 1\r\nx\r\n",
        "\t1\r\nx\r\n",
        "1 \r\nx\r\n",
        "1,\r\nx\r\n",
        "1 1\r\nx\r\n",
        "\u{661}\r\nx\r\n",
        "\0\r\n",
    ] {
        is_refused(body, Violation::Chunk, "");
    }
}

#[test]
fn a_chunk_size_cannot_overflow() {
    // RFC 9112 §7.1: "a recipient MUST anticipate potentially large hexadecimal numerals and prevent parsing errors due to integer conversion overflows or
    // precision loss due to integer representation."
    for size in
        ["10000000000000000", "00000000000000001", "fffffffffffffffff", &"f".repeat(1000), &"0".repeat(1000)]
    {
        is_refused(format!("{size}\r\nx"), Violation::Chunk, "");
    }
    // The longest that a number holds is one: only flow control bounds the content.
    let delivered = served(post("ffffffffffffffff\r\nhello"));
    assert_eq!(content(&delivered), "hello".into());
    assert_eq!(delivered.seen.causes(), []);
}

#[test]
fn chunks_end_in_cr_lf() {
    is_refused("1\nx\n0\n\n", Violation::Chunk, "");
    is_refused("1\rx", Violation::Chunk, "");
    is_refused("1\r\rx", Violation::Chunk, "");
    is_refused("1\r\nxy\r\n0\r\n\r\n", Violation::Chunk, "x");
    is_refused("1\r\nx\n0\r\n\r\n", Violation::Chunk, "x");
    is_refused("1\r\nx0\r\n\r\n", Violation::Chunk, "x");
    is_refused("1\r\nx\rx", Violation::Chunk, "x");
    is_refused("1\r\nx\r\n\r\n", Violation::Chunk, "x");
    is_refused("0\n\r\n", Violation::Chunk, "");
}

#[test]
fn extensions_are_ignored() {
    // RFC 9112 §7.1.1: "A recipient MUST ignore unrecognized chunk extensions."
    is_taken("5;a\r\nhello\r\n0;b\r\n\r\n", "hello");
    is_taken("5;a=b;c=\"d;e\"\r\nhello\r\n0\r\n\r\n", "hello");
    is_taken("5 ; a = b\r\nhello\r\n0\r\n\r\n", "hello");
    is_taken("5;a;b = \"c\\\"\";d\r\nhello\r\n0\r\n\r\n", "hello");
    // RFC 9112 §7.1.1: "chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )", the name a token, the value a token or a
    // quoted string.
    for extension in
        [";", "; ", ";;a", ";a=", ";a ", ";a b", ";a=b c", ";a=\"b", ";a=\"b\"c", ";(", ";\u{e9}"]
    {
        is_refused(format!("5{extension}\r\nhello\r\n0\r\n\r\n"), Violation::Chunk, "");
        is_refused(format!("5\r\nhello\r\n0{extension}\r\n\r\n"), Violation::Chunk, "hello");
    }
    // What others take for an end of the line is none in an extension.
    is_refused("5;a\nhello\r\n0\r\n\r\n", Violation::Chunk, "");
    is_refused("5;a\rb\r\nhello\r\n0\r\n\r\n", Violation::Chunk, "");
    is_refused("5;a\0\r\nhello\r\n0\r\n\r\n", Violation::Chunk, "");
    is_refused("5;a=\"\nb\"\r\nhello\r\n0\r\n\r\n", Violation::Chunk, "");
}

#[test]
fn trailers_come_apart_from_the_head() {
    // RFC 9112 §7.1.2: "A recipient that removes the chunked coding from a message MAY selectively retain or discard the received trailer fields. A
    // recipient that retains a received trailer field MUST either store/forward the trailer field separately from the received header
    // fields or merge the received trailer field into the header section."
    let delivered = is_taken("5\r\nhello\r\n0\r\nX: y\r\nETag: \"z\"\r\n\r\n", "hello");
    let fields =
        [("x", "y"), ("etag", "\"z\"")].map(|(name, value)| (name.to_owned(), Octets::from(value))).to_vec();
    let at = delivered.seen.0.iter().position(|seen| *seen == Seen::Trailers { fields: fields.clone() });
    let end = delivered.seen.0.iter().position(|seen| matches!(seen, Seen::Body { end: true, .. }));
    assert!(at.is_some() && end < at, "{:?}", delivered.seen);
    let without = is_taken("5\r\nhello\r\n0\r\n\r\n", "hello");
    assert_eq!(without.seen.count(|seen| matches!(seen, Seen::Trailers { .. })), 0);
}

#[test]
fn a_trailer_neither_frames_nor_routes() {
    // RFC 9110 §6.5.1: "Many fields cannot be processed outside the header section because their evaluation is necessary prior to receiving the
    // content, such as those that describe message framing, routing, authentication, request modifiers, response controls, or content
    // format."
    for name in ["Content-Length", "Transfer-Encoding", "Host"] {
        is_refused(format!("5\r\nhello\r\n0\r\n{name}: 5\r\n\r\n"), Violation::Trailer, "hello");
        is_refused(
            format!("5\r\nhello\r\n0\r\nX: y\r\n{}: 5\r\n\r\n", name.to_ascii_lowercase()),
            Violation::Trailer,
            "hello",
        );
    }
}

#[test]
fn a_trailer_that_means_nothing_there_is_dropped() {
    // RFC 9112 §7.1.2: "A recipient that removes the chunked coding from a message MAY selectively retain or discard the received trailer fields."
    for name in [
        "Connection",
        "Trailer",
        "TE",
        "Upgrade",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "Content-Type",
        "Content-Encoding",
        "Content-Range",
        "Expect",
        "Range",
        "Max-Forwards",
        "Cache-Control",
        "Proxy-Authorization",
        "WWW-Authenticate",
        "If-Match",
    ] {
        let alone = is_taken(format!("5\r\nhello\r\n0\r\n{name}: 5\r\n\r\n"), "hello");
        assert_eq!(alone.seen.count(|seen| matches!(seen, Seen::Trailers { .. })), 0, "{name}");
        let lower = name.to_ascii_lowercase();
        let beside =
            is_taken(format!("5\r\nhello\r\n0\r\n{lower}: 5\r\nX: y\r\n{name}: 6\r\nZ: a\r\n\r\n"), "hello");
        let kept = [("x", "y"), ("z", "a")].map(|(name, value)| (name.to_owned(), Octets::from(value)));
        assert!(
            beside.seen.0.contains(&Seen::Trailers { fields: kept.to_vec() }),
            "{name}: {:?}",
            beside.seen
        );
    }
}

#[test]
fn a_trailer_is_a_field_line() {
    for line in ["X : y", "no colon", " X: y", "X: y\r\n z", ": y", "X: \0"] {
        let delivered = served(post(format!("5\r\nhello\r\n0\r\n{line}\r\n\r\n")));
        assert_eq!(delivered.seen.causes(), [Cause::Violation(Violation::Trailer)], "{line:?}");
        assert!(delivered.sent.0.starts_with(b"HTTP/1.1 400 "), "{line:?}");
    }
    for line in ["X: y\nZ: a", "X: y\rZ: a"] {
        let delivered = served(post(format!("5\r\nhello\r\n0\r\n{line}\r\n\r\n")));
        assert_eq!(delivered.seen.causes(), [Cause::Violation(Violation::BareLineEnd)], "{line:?}");
    }
}

/// What is sent when `send` writes on an open chunked response.
fn sends(send: impl FnMut(lws_proto::ExchangePermit<'_>)) -> String {
    let mut send = send;
    let app = |event: Event<'_>| {
        let Event::Request { stream, .. } = event else { return };
        let permit = stream.permit().expect("a permit");
        let sent = permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), false).expect("a head");
        send(sent.into_stream().permit().expect("a permit"));
    };
    let mut server = Endpoint::server(defaults(), app);
    server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Buffer::Lent);
    let sent = String::from_utf8(server.take_sent()).expect("ASCII");
    sent.strip_prefix("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .expect("a chunked head")
        .to_owned()
}

#[test]
fn a_chunk_is_sent_with_its_size_and_an_empty_one_is_not_sent() {
    // RFC 9112 §7.1: a chunk of size zero is the last one.
    assert_eq!(sends(|permit| drop(permit.data(Payload::Static(b""), false))), "");
    assert_eq!(sends(|permit| drop(permit.data(Payload::Static(b"hello"), false))), "5\r\nhello\r\n");
    assert_eq!(
        sends(|permit| drop(permit.data(Payload::Static(b"0123456789abcdef"), true))),
        "10\r\n0123456789abcdef\r\n0\r\n\r\n"
    );
    assert_eq!(sends(|permit| drop(permit.data(Payload::Static(b""), true))), "0\r\n\r\n");
}

#[test]
fn content_that_is_written_in_place_is_one_chunk() {
    let fill = |max: usize, text: &'static str, end: bool| {
        sends(move |permit| {
            permit
                .fill(max, |room| {
                    assert_eq!(room.len(), max);
                    room[..text.len()].copy_from_slice(text.as_bytes());
                    (text.len(), end)
                })
                .expect("content");
        })
    };
    assert_eq!(fill(5, "hello", false), "5\r\nhello\r\n");
    assert_eq!(fill(4096, "hello", true), "0005\r\nhello\r\n0\r\n\r\n");
    assert_eq!(fill(4096, "", false), "");
    assert_eq!(fill(4096, "", true), "0\r\n\r\n");
    assert_eq!(fill(0, "", true), "0\r\n\r\n");
}

#[test]
fn trailers_are_sent_behind_the_last_chunk() {
    // RFC 9112 §7.1.2, and RFC 9110 §6.5.1: "A sender MUST NOT generate a trailer field unless the sender knows the corresponding header field name's
    // definition permits sending in a trailer section".
    let sent = sends(|permit| drop(permit.trailers([("X", "y")])));
    assert_eq!(sent, "0\r\nX: y\r\n\r\n");
    for name in ["Content-Length", "transfer-encoding", "Trailer", "Host"] {
        let sent = sends(|permit| {
            let misuse = permit.trailers([("X", "y"), (name, "5")]).err();
            assert_eq!(misuse, Some(Misuse::ManagedField));
        });
        assert_eq!(sent, "");
    }
    let sent = sends(|permit| assert_eq!(permit.trailers([("X", "y\r\nz: a")]).err(), Some(Misuse::Field)));
    assert_eq!(sent, "");
}
