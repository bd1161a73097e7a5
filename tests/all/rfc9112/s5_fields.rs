//! RFC 9112 §5: field lines; with RFC 9110 §5.

use crate::support::{answers, defaults, refused, taken};
use lws_proto::http::Status;
use lws_proto::{Cause, Event, Misuse, Payload, Request, Violation};
use tests::application::{NO_FIELDS, Silent};
use tests::endpoint::Buffer;
use tests::{Endpoint, Octets, Seen, deliver};

fn violates(line: impl AsRef<[u8]>, violation: Violation) {
    for (before, after) in [("", ""), ("X: y\r\n", ""), ("", "X: y\r\n")] {
        let request = [
            b"GET / HTTP/1.1\r\nHost: a\r\n",
            before.as_bytes(),
            line.as_ref(),
            b"\r\n",
            after.as_bytes(),
            b"\r\n",
        ]
        .concat();
        refused(request, violation.status(), Cause::Violation(violation));
    }
}

#[test]
fn no_space_stands_before_the_colon() {
    // RFC 9112 §5.1: "No whitespace is allowed between the field name and colon. ... A server MUST reject, with a response status code of 400
    // (Bad Request), any received request message that contains whitespace between a header field name and colon."
    for line in ["A : b", "A\t: b", "Content-Length : 5", "Transfer-Encoding : chunked", "A  :b"] {
        violates(line, Violation::FieldLine);
    }
}

#[test]
fn no_line_goes_on_in_the_next() {
    // RFC 9112 §5.2: "A server that receives an obs-fold in a request message that is not within a "message/http" container MUST either reject
    // the message by sending a 400 (Bad Request) ... or replace each received obs-fold with one or more SP octets". We reject.
    for line in [
        "A: b\r\n c",
        "A: b\r\n\tc",
        "A:\r\n b",
        "A: b\r\n ",
        "A: b\r\n \r\n c",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: chunked\r\n , x",
    ] {
        violates(line, Violation::FieldLine);
    }
    // Of a response "MUST replace each received obs-fold with one or more SP octets" is asked of a user agent. Ours is stricter: nothing
    // honest has folded lines for decades, and what folds may be meant for another parser.
    let make = || {
        let mut client = Endpoint::client(defaults(), Silent);
        let request = Request::get("a", "/");
        client
            .connection
            .request(client.now, &request, NO_FIELDS, Payload::Static(b""), true)
            .expect("a request");
        client.settle();
        client
    };
    let delivered = deliver(make, b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(delivered.seen.causes(), [Cause::Violation(Violation::FieldLine)]);
}

#[test]
fn a_field_name_is_a_token() {
    // RFC 9110 §5.1: "field-name = token".
    for name in [
        "", "a b", "(a)", "a/b", "a@b", "a,b", "a;b", "a=b", "a?b", "[a]", "{a}", "\"a\"", "a\\b", "<a>",
        "\u{e9}", "a\0", "a\x7f", "a\x01b",
    ] {
        violates(format!("{name}: x"), Violation::FieldLine);
    }
    violates("no colon", Violation::FieldLine);
    violates("nocolon", Violation::FieldLine);
    for name in ["A", "!#$%&'*+-.^_`|~09azAZ", "x-y_z.1"] {
        taken(format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: x\r\n\r\n"));
    }
}

#[test]
fn a_field_value_has_no_controls() {
    // RFC 9110 §5.5: "Field values containing CR, LF, or NUL characters are invalid and dangerous, ... a recipient of CR, LF, or NUL within a field
    // value MUST either reject the message or replace each of those characters with SP". "Field values containing other CTL characters
    // are also invalid".
    for byte in (0..0x20).filter(|byte| !b"\t\r\n".contains(byte)).chain([0x7f]) {
        for at in [&b""[..], b"x", b"12345678901234567890"] {
            violates([b"A: ", at, &[byte], b"y"].concat(), Violation::FieldLine);
        }
    }
    for byte in (0x20..0x7f).chain(0x80..=0xff).chain([b'\t']) {
        let request = [b"GET / HTTP/1.1\r\nHost: a\r\nA: x", &[byte][..], b"y\r\n\r\n"].concat();
        let mut server = Endpoint::server(defaults(), Silent);
        server.receive(&request, Buffer::Lent);
        let Seen::Request { fields, .. } = &server.seen.0[0] else { panic!("{byte:x}") };
        assert_eq!(fields[1].1, Octets(vec![b'x', byte, b'y']));
    }
}

#[test]
fn the_white_space_around_a_value_is_not_part_of_it() {
    // RFC 9112 §5.1: "The OWS surrounding the field value is excluded by parsers". RFC 9110 §5.3: order of lines with one name is kept, and
    // an empty value is a value.
    let delivered = taken("GET / HTTP/1.1\r\nHost:a\r\nA: \t b \t\r\nB:\r\nA:c  d\r\nC: \t \r\n\r\n");
    let Seen::Request { fields, .. } = &delivered.seen.0[0] else { panic!("{delivered:?}") };
    let expected = [("host", "a"), ("a", "b"), ("b", ""), ("a", "c  d"), ("c", "")];
    assert_eq!(*fields, expected.map(|(name, value)| (name.to_owned(), Octets::from(value))));
}

#[test]
fn names_are_found_in_whatever_case_and_lists_are_joined() {
    // RFC 9110 §5.1: "Field names are case-insensitive". RFC 9110 §5.6.1: "A recipient MUST parse and ignore a reasonable number of empty list
    // elements".
    let mut looked = false;
    let app = |event: Event<'_>| {
        if let Event::Request { head, .. } = event {
            assert_eq!(head.get("X-LIST"), Some(&b"a, ,b"[..]));
            assert_eq!(head.get_all("x-list").count(), 2);
            assert_eq!(head.list("x-List").collect::<Vec<_>>(), [&b"a"[..], b"b", b"C"]);
            assert!(head.has_token("x-list", "c") && !head.has_token("x-list", "d"));
            assert_eq!(head.get("x"), None);
            looked = true;
        }
    };
    Endpoint::server(defaults(), app)
        .receive(b"GET / HTTP/1.1\r\nHost: a\r\nX-List: a, ,b\r\nx-lisT: ,C,\r\n\r\n", Buffer::Lent);
    assert!(looked);
}

#[test]
fn nothing_is_written_that_would_be_two_lines() {
    // RFC 9110 §5.5: a sender "MUST NOT generate" such values; RFC 9112 §5.2: "A sender MUST NOT generate a message that includes line folding".
    // What frames messages and manages connections is the engine's to write.
    for (name, value, expected) in [
        ("a", "b\r\nc: d", Misuse::Field),
        ("a", "b\r\n c", Misuse::Field),
        ("a", "b\nc", Misuse::Field),
        ("a", "b\0", Misuse::Field),
        ("a b", "c", Misuse::Field),
        ("", "c", Misuse::Field),
        ("a:", "c", Misuse::Field),
        ("a\r\nb", "c", Misuse::Field),
        ("Transfer-Encoding", "chunked", Misuse::ManagedField),
        ("connection", "close", Misuse::ManagedField),
        ("Keep-Alive", "timeout=5", Misuse::ManagedField),
        ("Content-Length", "+5", Misuse::ContentLength),
        ("Content-Length", "5", Misuse::ContentLength),
    ] {
        let mut misuse = None;
        let app = |event: Event<'_>| {
            if let Event::Request { stream, .. } = event {
                let permit = stream.permit().expect("a permit");
                misuse = permit.respond(Status::OK, [(name, value)], Payload::Static(b"four"), true).err();
            }
        };
        let mut server = Endpoint::server(defaults(), app);
        server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Buffer::Lent);
        assert!(server.sent.is_empty(), "{name}: {value:?}");
        // Nothing has been done: the application may still answer.
        server
            .exchange()
            .permit()
            .expect("a permit")
            .respond(Status::OK, NO_FIELDS, Payload::Static(b""), true)
            .expect("a response");
        server.settle();
        assert!(server.sent.starts_with(b"HTTP/1.1 200 OK\r\n"));
        drop(server);
        assert_eq!(misuse, Some(expected), "{name}: {value:?}");
    }
}

#[test]
fn the_answer_to_a_refusal_says_what_was_wrong() {
    let [answer] = &answers("GET / HTTP/1.1\r\n\r\n")[..] else { panic!("one answer") };
    assert_eq!(answer.field("content-type"), Some("text/plain"));
    assert_eq!(answer.content, Violation::Host.message().into());
}
