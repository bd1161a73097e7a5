//! RFC 9112 §6: where content ends.

use crate::support::{codes, content, defaults, refused, responses, served, taken};
use lws_proto::http::Status;
use lws_proto::{Cause, Event, Misuse, Payload, Request, Violation};
use tests::application::{Answer, Echo, NO_FIELDS, Silent};
use tests::endpoint::Buffer;
use tests::{Delivered, Endpoint, Octets, Seen, deliver, deliver_to_end};

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}")
}

fn violates(input: impl AsRef<[u8]>, violation: Violation) {
    refused(input, violation.status(), Cause::Violation(violation));
}

#[test]
fn a_request_ends_as_its_fields_say() {
    // RFC 9112 §6.3: "If a valid Content-Length header field is present without Transfer-Encoding, its decimal value defines the expected message
    // body length in octets." "If this is a request message and none of the above are true, then the message body length is zero".
    assert_eq!(content(&taken(post("Content-Length: 5\r\n", "hello"))), "hello".into());
    assert_eq!(content(&taken(post("Content-Length: 0\r\n", ""))), "".into());
    assert_eq!(content(&taken(post("Content-Length: 0005\r\n", "hello"))), "hello".into());
    assert_eq!(content(&taken(post("", ""))), "".into());
    assert_eq!(
        content(&taken(post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"))),
        "hello".into()
    );
    assert_eq!(content(&taken(post("Transfer-Encoding: Chunked\r\n", "0\r\n\r\n"))), "".into());
    // Any method may have content. RFC 9110 §9.3.1.
    let get = "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(content(&taken(get)), "hello".into());
}

#[test]
fn what_follows_the_content_is_the_next_request() {
    for (fields, body) in [
        ("Content-Length: 5\r\n", "hello"),
        ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked\r\n", "1\r\nh\r\n4\r\nello\r\n0\r\nX: y\r\n\r\n"),
    ] {
        let request = post(fields, body);
        let delivered = served(request.repeat(3));
        assert_eq!(codes(&delivered), [200, 200, 200], "{fields}");
        assert!(responses(&delivered).iter().all(|response| response.content == "hello".into()));
        assert_eq!(delivered.seen.causes(), [Cause::Complete; 3]);
    }
}

#[test]
fn a_length_is_digits_and_nothing_else() {
    // RFC 9112 §6.3: "If a message is received without Transfer-Encoding and with an invalid Content-Length header field, then the message framing
    // is invalid and the recipient MUST treat it as an unrecoverable error ... If the unrecoverable error is in a request message, the
    // server MUST respond with a 400 (Bad Request) status code and then close the connection."
    for length in [
        "",
        "-5",
        "+5",
        "5 5",
        "0x5",
        "5a",
        "a",
        "5;",
        "5,",
        ",5",
        "5.0",
        "\u{b2}",
        "18446744073709551616",
        "99999999999999999999",
        "1e3",
        "5, 6",
        "5, 5",
        "5,5",
        "00000000000000000005",
    ] {
        violates(post(&format!("Content-Length: {length}\r\n"), "hello"), Violation::ContentLength);
    }
    for lines in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\ncontent-length: 5\r\n",
        "Content-Length: 5\r\nContent-Length:\r\n",
    ] {
        violates(post(lines, "hello"), Violation::ContentLength);
    }
}

#[test]
fn two_framings_are_refused() {
    // RFC 9112 §6.1: "A server MAY reject a request that contains both Content-Length and Transfer-Encoding". We do.
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
        "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n",
    ] {
        violates(post(lines, "5\r\nhello\r\n0\r\n\r\n"), Violation::TwoFramings);
    }
}

#[test]
fn chunked_is_the_only_coding_and_the_last() {
    // RFC 9112 §6.3: "If a Transfer-Encoding header field is present in a request and the chunked transfer coding is not the final encoding, the
    // message body length cannot be determined reliably; the server MUST respond with the 400 (Bad Request) status code and then close
    // the connection." RFC 9112 §6.1: "A sender MUST NOT apply the chunked transfer coding more than once".
    for coding in [
        "gzip",
        "identity",
        "chunked, gzip",
        "chunked, identity",
        "chunked, chunked",
        "x",
        "",
        "chunked;a=b",
        "xchunked",
        "chunkedx",
        "\"chunked\"",
        "chunk ed",
        "\x0cchunked",
    ] {
        let request = post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n");
        let violation =
            if coding.contains('\x0c') { Violation::FieldLine } else { Violation::TransferEncoding };
        violates(request, violation);
    }
    let twice = post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n");
    violates(twice, Violation::TransferEncoding);
    // "A server that receives a request message with a transfer coding it does not understand SHOULD respond with 501 (Not Implemented)."
    for coding in ["gzip, chunked", "deflate , chunked", "x-y, z, Chunked"] {
        violates(post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n"), Violation::TransferCoding);
    }
}

#[test]
fn http_1_0_has_no_transfer_codings() {
    // RFC 9112 §6.1: "A server or client that receives an HTTP/1.0 message containing a Transfer-Encoding header field MUST treat the message as if
    // the framing is faulty, even if a Content-Length is present, and close the connection after processing the message."
    let request = |fields: &str| format!("POST / HTTP/1.0\r\n{fields}\r\n0\r\n\r\n");
    violates(request("Transfer-Encoding: chunked\r\n"), Violation::TransferEncoding);
    violates(request("Transfer-Encoding: gzip, chunked\r\n"), Violation::TransferEncoding);
    violates(request("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), Violation::TwoFramings);
    // And RFC 1945 §8.3: "A valid Content-Length is required on all HTTP/1.0 POST requests."
    violates(request(""), Violation::LengthRequired);
}

/// What a client makes of `response` to a request with `method`, behind which the transport ends if `eof`.
fn client_receives(method: &str, response: impl AsRef<[u8]>, eof: bool) -> Delivered {
    let make = || {
        let mut client = Endpoint::client(defaults(), Silent);
        let target = if method == "CONNECT" { "a:80" } else { "/" };
        let request = Request { method, target, host: "a" };
        client
            .connection
            .request(client.now, &request, NO_FIELDS, Payload::Static(b""), true)
            .expect("a request");
        client.settle();
        client.forget();
        client
    };
    deliver_to_end(make, response.as_ref(), eof)
}

#[test]
fn a_response_ends_as_the_request_the_status_and_the_fields_say() {
    let check = |method: &str, response: &str, expected: &[&str], reusable: bool| {
        let delivered = client_receives(method, response, false);
        let expected: Vec<Octets> = expected.iter().map(|text| Octets::from(*text)).collect();
        assert_eq!(delivered.seen.contents(), expected, "{method} {response:?}");
        assert_eq!(delivered.seen.causes(), [Cause::Complete], "{method} {response:?}");
        assert_eq!(delivered.fin, !reusable, "{method} {response:?}");
    };
    // RFC 9112 §6.3: "Any response to a HEAD request and any response with a 1xx (Informational), 204 (No Content), or 304 (Not Modified) status code
    // is always terminated by the first empty line after the header fields, regardless of the header fields present in the message".
    for fields in ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        check("HEAD", &format!("HTTP/1.1 200 OK\r\n{fields}\r\n"), &[], true);
        check("GET", &format!("HTTP/1.1 204 No Content\r\n{fields}\r\n"), &[], true);
        check("GET", &format!("HTTP/1.1 304 Not Modified\r\n{fields}\r\n"), &[], true);
    }
    check("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", &["hello"], true);
    check("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", &[], true);
    check("GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", &["hello"], true);
    check(
        "GET",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        &["hello"],
        true,
    );
    check("GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", &["x"], false);
    check("GET", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", &["x"], false);
    check("GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx", &["x"], true);
}

#[test]
fn a_response_without_a_length_ends_with_the_connection() {
    // RFC 9112 §6.3: "Otherwise, this is a response message without a declared message body length, so the message body length is determined by the
    // number of octets received prior to the server closing the connection."
    for (body, eof) in [("", true), ("hello", true), ("hello", false)] {
        let delivered = client_receives("GET", format!("HTTP/1.1 200 OK\r\n\r\n{body}"), eof);
        let causes: &[Cause] = if eof { &[Cause::Complete] } else { &[] };
        assert_eq!(delivered.seen.causes(), causes);
        if !body.is_empty() {
            assert_eq!(delivered.seen.contents(), [Octets::from(body)]);
        }
        let ended = delivered.seen.count(|seen| matches!(seen, Seen::Body { end: true, .. }));
        assert_eq!(ended, usize::from(eof));
    }
}

#[test]
fn a_response_whose_end_is_unknown_ends_the_connection() {
    // RFC 9112 §6.3: "If the unrecoverable error is in a response message received by a user agent, the user agent MUST close the connection to the server
    // and discard the received response." And of both framings: it "ought to be handled as an error".
    for (fields, violation) in [
        ("Content-Length: x\r\n", Violation::ContentLength),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", Violation::ContentLength),
        ("Content-Length: -1\r\n", Violation::ContentLength),
        ("Content-Length: 5, 6\r\n", Violation::ContentLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Violation::TwoFramings),
        ("Transfer-Encoding: gzip, chunked\r\n", Violation::TransferCoding),
        ("Transfer-Encoding: chunked, chunked\r\n", Violation::TransferEncoding),
        ("Transfer-Encoding: gzip\r\n", Violation::TransferEncoding),
    ] {
        let delivered = client_receives("GET", format!("HTTP/1.1 200 OK\r\n{fields}\r\nhello"), false);
        assert_eq!(delivered.seen.0, [Seen::Closed(Cause::Violation(violation))], "{fields}");
        assert!(delivered.fin && delivered.sent.0.is_empty());
    }
    let old = client_receives("GET", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false);
    assert_eq!(old.seen.causes(), [Cause::Violation(Violation::TransferEncoding)]);
}

#[test]
fn a_tunnel_begins_behind_the_head() {
    // RFC 9112 §6.3: "Any 2xx (Successful) response to a CONNECT request implies that the connection will become a tunnel immediately after the empty line
    // that concludes the header fields. A client MUST ignore any Content-Length or Transfer-Encoding header fields received in such a
    // message."
    for fields in ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length: x\r\n"] {
        let delivered =
            client_receives("CONNECT", format!("HTTP/1.1 200 OK\r\n{fields}\r\n\x16\x03raw"), false);
        assert!(matches!(delivered.seen.0[0], Seen::Established { .. }), "{delivered:?}");
        assert_eq!(delivered.seen.contents(), ["\x16\x03raw".into()], "{fields}");
    }
    let refusal = client_receives("CONNECT", "HTTP/1.1 407 No\r\nContent-Length: 2\r\n\r\nno", false);
    assert_eq!(refusal.seen.contents(), ["no".into()]);
    assert_eq!(refusal.seen.causes(), [Cause::Complete]);
}

/// What a server sends that answers `request` with `answer`.
fn sends(request: &str, answer: Answer) -> String {
    let mut server = Endpoint::server(defaults(), answer);
    server.receive(request.as_bytes(), Buffer::Lent);
    String::from_utf8(server.take_sent()).expect("UTF-8")
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const GET_1_0: &str = "GET / HTTP/1.0\r\n\r\n";

fn streamed(content: &'static str) -> Answer {
    Answer { at_once: false, ..Answer::with(content) }
}

#[test]
fn what_is_sent_has_one_framing() {
    // RFC 9112 §6.2: "A sender MUST NOT send a Content-Length header field in any message that contains a Transfer-Encoding header field."
    assert_eq!(sends(GET, Answer::with("hello")), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(sends(GET, Answer::default()), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        sends(GET, streamed("hello")),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    );
    assert_eq!(sends(GET, streamed("")), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    let known = Answer { fields: vec![("Content-Length", "5")], ..streamed("hello") };
    assert_eq!(sends(GET, known), "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

#[test]
fn http_1_0_is_not_sent_chunks() {
    // RFC 9112 §6.1: "A server MUST NOT send a response containing Transfer-Encoding unless the corresponding request indicates HTTP/1.1 (or later minor
    // revisions)."
    assert_eq!(sends(GET_1_0, streamed("hello")), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
    let sent = sends("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", streamed("hello"));
    assert_eq!(sent, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello");
    let sent = sends("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", Answer::with("hello"));
    assert_eq!(sent, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello");
}

#[test]
fn what_has_no_content_is_not_framed() {
    // RFC 9112 §6.1: "A server MUST NOT send a Transfer-Encoding header field in any response with a status code of 1xx (Informational) or 204 (No
    // Content)." RFC 9110 §8.6 says the same of Content-Length.
    for at_once in [true, false] {
        let answer = |status| Answer { status, at_once, ..Answer::default() };
        assert_eq!(sends(GET, answer(Status::NO_CONTENT)), "HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(sends(GET, answer(Status::NOT_MODIFIED)), "HTTP/1.1 304 Not Modified\r\n\r\n");
        // RFC 9110 §15.3.6: "a server MUST NOT generate content in a 205 response".
        assert_eq!(
            sends(GET, answer(Status::RESET_CONTENT)),
            "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"
        );
    }
    for status in [Status::NO_CONTENT, Status::NOT_MODIFIED, Status::RESET_CONTENT] {
        let mut misuse = None;
        let app = |event: Event<'_>| {
            if let Event::Request { stream, .. } = event {
                let permit = stream.permit().expect("a permit");
                misuse = permit.respond(status, NO_FIELDS, Payload::Static(b"x"), true).err();
            }
        };
        Endpoint::server(defaults(), app).receive(GET.as_bytes(), Buffer::Lent);
        assert_eq!(misuse, Some(Misuse::ContentLength), "{status}");
    }
}

#[test]
fn content_is_neither_more_nor_less_than_was_said() {
    let try_send = |parts: &[(&'static [u8], bool)]| {
        let mut outcome = Vec::new();
        let app = |event: Event<'_>| {
            let Event::Request { stream, .. } = event else { return };
            let permit = stream.permit().expect("a permit");
            let fields = [("Content-Length", "5")];
            let mut stream = permit
                .respond(Status::OK, fields, Payload::Static(b""), false)
                .expect("a head")
                .into_stream();
            for (part, end) in parts {
                let Ok(permit) = stream.permit() else { return };
                match permit.data(Payload::Static(part), *end) {
                    Ok(sent) => {
                        outcome.push(None);
                        stream = sent.into_stream();
                    }
                    Err(misuse) => return outcome.push(Some(misuse)),
                }
            }
        };
        Endpoint::server(defaults(), app).receive(GET.as_bytes(), Buffer::Lent);
        outcome
    };
    let too_long_or_short = Some(Misuse::ContentLength);
    assert_eq!(try_send(&[(b"hel", false), (b"lo", true)]), [None, None]);
    assert_eq!(try_send(&[(b"hello", false), (b"", true)]), [None, None]);
    assert_eq!(try_send(&[(b"hello!", false)]), [too_long_or_short]);
    assert_eq!(try_send(&[(b"hel", false), (b"lo!", true)]), [None, too_long_or_short]);
    assert_eq!(try_send(&[(b"hell", true)]), [too_long_or_short]);
    assert_eq!(try_send(&[(b"hello", false), (b"!", false)]), [None, too_long_or_short]);
}

#[test]
fn a_clients_content_has_a_length_or_is_chunked() {
    // RFC 9112 §6.3: "A user agent that sends a request that contains a message body MUST send either a valid Content-Length header field or use the
    // chunked transfer coding."
    let request = |method: &str, fields: &[(&str, &str)], content: &'static [u8], end: bool| {
        let mut client = Endpoint::client(defaults(), Silent);
        let request = Request { method, target: "/", host: "a" };
        let outcome = client
            .connection
            .request(client.now, &request, fields.iter().copied(), Payload::Static(content), end)
            .map(|sent| sent.into_stream().permit().is_ok());
        client.settle();
        (outcome, String::from_utf8(client.take_sent()).expect("ASCII"))
    };
    let head = |lines: &str, body: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n{body}");
    assert_eq!(request("POST", &[], b"hello", true), (Ok(false), head("Content-Length: 5\r\n", "hello")));
    assert_eq!(request("POST", &[], b"", true), (Ok(false), head("Content-Length: 0\r\n", "")));
    assert_eq!(
        request("POST", &[], b"hello", false),
        (Ok(true), head("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n"))
    );
    let known = request("POST", &[("Content-Length", "9")], b"hello", false);
    assert_eq!(known, (Ok(true), head("Content-Length: 9\r\n", "hello")));
    assert_eq!(request("POST", &[("Content-Length", "4")], b"hello", true).0, Err(Misuse::ContentLength));
    assert_eq!(request("POST", &[("Content-Length", "6")], b"hello", true).0, Err(Misuse::ContentLength));
    assert_eq!(request("GET", &[], b"", true), (Ok(false), "GET / HTTP/1.1\r\nHost: a\r\n\r\n".into()));
    // RFC 9110 §9.3.8: "A client MUST NOT send content in a TRACE request."
    assert_eq!(request("TRACE", &[], b"x", true).0, Err(Misuse::ContentLength));
}

#[test]
fn an_echo_of_content_is_the_content() {
    for len in [0, 1, 100, 16_384, 70_000] {
        let body = "x".repeat(len);
        let input = post(&format!("Content-Length: {len}\r\n"), &body);
        let delivered = deliver(|| Endpoint::server(defaults(), Echo::default()), input.as_bytes());
        assert_eq!(responses(&delivered)[0].content.0.len(), len);
    }
}
