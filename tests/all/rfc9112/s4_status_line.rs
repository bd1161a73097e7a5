//! RFC 9112 §4: status lines, sent and received.

use crate::support::{defaults, status};
use lws_proto::http::{Status, Version};
use lws_proto::{Cause, Payload, Request, Violation};
use tests::application::{Answer, NO_FIELDS, Silent};
use tests::endpoint::Buffer;
use tests::{Delivered, Endpoint, Seen, deliver};

/// What a client makes of `response` to a GET.
fn client_receives(response: &str) -> Delivered {
    deliver(
        || {
            let mut client = Endpoint::client(defaults(), Silent);
            let request = Request::get("a", "/");
            client
                .connection
                .request(client.now, &request, NO_FIELDS, Payload::Static(b""), true)
                .expect("a request");
            client.settle();
            client.forget();
            client
        },
        response.as_bytes(),
    )
}

#[test]
fn the_space_behind_the_status_code_is_always_sent() {
    // RFC 9112 §4: "A server MUST send the space that separates the status-code from the reason-phrase even when the reason-phrase is absent
    // (i.e., the status-line would end with the space)."
    for (code, line) in [
        (200, "HTTP/1.1 200 OK\r\n"),
        (404, "HTTP/1.1 404 Not Found\r\n"),
        (299, "HTTP/1.1 299 \r\n"),
        (599, "HTTP/1.1 599 \r\n"),
    ] {
        let mut server = Endpoint::server(defaults(), Answer { status: status(code), ..Answer::default() });
        server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Buffer::Lent);
        assert!(server.sent.starts_with(line.as_bytes()), "{}", server.sent.escape_ascii());
    }
}

#[test]
fn the_reason_does_not_matter() {
    // RFC 9112 §4: "A client SHOULD ignore the reason-phrase content".
    for (line, code, reason) in [
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.1 200 ", 200, ""),
        ("HTTP/1.1 200", 200, ""),
        ("HTTP/1.1 404 a b  c", 404, "a b  c"),
        ("HTTP/1.1 999 x", 999, "x"),
        ("HTTP/1.1 418 I'm a teapot", 418, "I'm a teapot"),
    ] {
        let delivered = client_receives(&format!("{line}\r\nContent-Length: 0\r\n\r\n"));
        let Seen::Response { status, reason: seen, version, .. } = &delivered.seen.0[0] else {
            panic!("{delivered:?}")
        };
        assert_eq!((*status, &seen[..], *version), (code, reason, Version::Http11));
        assert_eq!(delivered.seen.causes(), [Cause::Complete]);
    }
}

#[test]
fn what_is_no_status_line_ends_the_connection() {
    // RFC 9112 §4: "status-line = HTTP-version SP status-code SP [ reason-phrase ]", "status-code = 3DIGIT".
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/2.0 200 OK",
        "HTTP/1 200 OK",
        "200 OK",
        "",
        "ICY 200 OK",
        "http/1.1 200 OK",
        "HTTP/1.1 099 no",
        "HTTP/1.1 -20 no",
        " HTTP/1.1 200 OK",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200\tOK",
    ] {
        let delivered = client_receives(&format!("{line}\r\nContent-Length: 0\r\n\r\n"));
        let [cause] = delivered.seen.causes()[..] else { panic!("{line}: {delivered:?}") };
        assert!(
            matches!(cause, Cause::Violation(Violation::StatusLine | Violation::Version)),
            "{line}: {cause:?}"
        );
        assert_eq!(delivered.seen.0.len(), 1, "{line}");
        assert!(delivered.sent.0.is_empty() && delivered.fin, "{line}");
    }
}

#[test]
fn a_status_has_three_digits() {
    for code in 0..=1200 {
        assert_eq!(Status::new(code).is_some(), (100..1000).contains(&code));
    }
}
