//! RFC 9112 §2: the format of messages, line ends and versions.

use crate::support::{answers, codes, refused, served, taken};
use lws_proto::http::Version;
use lws_proto::{Cause, Violation};
use tests::Seen;

fn violates(input: impl AsRef<[u8]>, violation: Violation) {
    refused(input, violation.status(), Cause::Violation(violation));
}

#[test]
fn a_request_is_octets_and_not_text() {
    // RFC 9112 §2.2: "A recipient MUST parse an HTTP message as a sequence of octets in an encoding that is a superset of US-ASCII."
    // A byte over 0x7f never takes another with it.
    let delivered = taken(b"GET / HTTP/1.1\r\nHost: a\r\nX: \xc3\x28\xe2\x82\xff\r\nY: \xed\xa0\x80\r\n\r\n");
    let Seen::Request { fields, .. } = &delivered.seen.0[0] else { panic!("{delivered:?}") };
    assert_eq!(fields[1], ("x".into(), (&b"\xc3\x28\xe2\x82\xff"[..]).into()));
    assert_eq!(fields[2], ("y".into(), (&b"\xed\xa0\x80"[..]).into()));
}

#[test]
fn white_space_before_the_first_field_is_refused() {
    // RFC 9112 §2.2: "A recipient that receives whitespace between the start-line and the first header field MUST either reject the
    // message as invalid or consume each whitespace-preceded line without further processing of it". We reject.
    for space in [" ", "\t", "  "] {
        violates(format!("GET / HTTP/1.1\r\n{space}Host: a\r\nHost: b\r\n\r\n"), Violation::FieldLine);
        violates(format!("GET / HTTP/1.1\r\n{space}\r\nHost: b\r\n\r\n"), Violation::FieldLine);
    }
}

#[test]
fn a_line_ends_in_cr_lf_and_in_nothing_else() {
    // RFC 9112 §2.2: "A recipient of such a bare CR MUST consider that element to be invalid or replace each bare CR with SP before
    // processing the element or forwarding the message." And: "a recipient MAY recognize a single LF as a line terminator"; we do not,
    // as those who do see another end.
    for request in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\nY: c\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n",
        "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nX: a\r\rb\r\nHost: a\r\n\r\n",
    ] {
        violates(request, Violation::BareLineEnd);
    }
}

#[test]
fn empty_lines_before_a_request_are_passed_over() {
    // RFC 9112 §2.2: "a server that is expecting to receive and parse a request-line SHOULD ignore at least one empty line (CRLF)
    // received prior to the request-line."
    for lines in ["\r\n", "\r\n\r\n"] {
        taken(format!("{lines}GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        let two = format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n{lines}GET /b HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(codes(&served(two)), [200, 200]);
        let with_content = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx{lines}GET /b HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        assert_eq!(codes(&served(with_content)), [200, 200]);
    }
    violates("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Violation::BareLineEnd);
}

#[test]
fn what_is_no_request_is_answered_with_400() {
    // RFC 9112 §2.2: "When a server listening only for HTTP request messages ... receives a sequence of octets that does not match the
    // HTTP-message grammar ... the server SHOULD respond with a 400 (Bad Request) response and close the connection."
    for input in [
        "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03\r\n",
        "hello\r\n",
        "SSH-2.0-x\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "\0\0\0\0\r\n",
    ] {
        let answers = answers(input);
        assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [400], "{input:?}");
    }
}

#[test]
fn a_later_minor_version_is_1_1_and_an_earlier_is_1_0() {
    // RFC 9110 §2.5: "A recipient that receives a message with a major version number that it implements and a minor version number
    // higher than what it implements SHOULD process the message as if it was in the highest minor version within that major
    // version to which the recipient is conformant." RFC 9110 §6.2: the response has our version, not the request's.
    for (version, seen) in [("HTTP/1.1", Version::Http11), ("HTTP/1.0", Version::Http10)] {
        let delivered = served(format!("GET / {version}\r\nHost: a\r\n\r\n"));
        assert!(delivered.sent.0.starts_with(b"HTTP/1.1 200 OK\r\n"), "{:?}", delivered.sent);
        let Seen::Request { version, .. } = delivered.seen.0[0] else { panic!("{delivered:?}") };
        assert_eq!(version, seen);
    }
    for version in ["HTTP/1.2", "HTTP/1.9"] {
        let delivered = served(format!("GET / {version}\r\nHost: a\r\n\r\n"));
        assert!(delivered.sent.0.starts_with(b"HTTP/1.1 200 OK\r\n"), "{version}: {:?}", delivered.sent);
    }
}

#[test]
fn another_major_version_is_505() {
    // RFC 9110 §15.6.6: "the server does not support, or refuses to support, the major version of HTTP that was used in the request
    // message."
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9"] {
        violates(format!("GET / {version}\r\nHost: a\r\n\r\n"), Violation::Version);
    }
}

#[test]
fn the_name_of_the_protocol_is_in_capitals() {
    // RFC 9112 §2.3: "HTTP-version is case-sensitive." Two digits and a dot.
    for version in [
        "http/1.1",
        "Http/1.1",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/11",
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP /1.1",
        "HTTP/1,1",
        "XTTP/1.1",
        "",
        "HTTP/1.1x",
        "HTTP/x.1",
        "HTTP/-1.1",
    ] {
        violates(format!("GET / {version}\r\nHost: a\r\n\r\n"), Violation::RequestLine);
    }
}
