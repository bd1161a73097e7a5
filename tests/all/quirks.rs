//! What libwebsockets was seen to do, and we do not: each is an input of a few bytes that a user of it has met.

use crate::support::{NEXT, Role, answers, codes, content, sent, sent_close, served, taken, unmasked};
use lws_proto::ws::CloseCode;
use lws_proto::{Cause, Config, Versions, Violation};
use std::sync::Arc;
use tests::application::{Echo, Silent};
use tests::endpoint::{Buffer, OPENING, limits};
use tests::wire::{BINARY, CLOSE, PING, PONG, close_payload};
use tests::{Endpoint, Seen, deliver};

#[test]
fn the_second_request_of_a_segment_is_answered_like_the_first() {
    let delivered = served(NEXT.repeat(2));
    assert_eq!(codes(&delivered), [200, 200]);
    assert_eq!(delivered.seen.causes(), [Cause::Complete; 2]);
}

#[test]
fn chunked_requests_are_decoded_and_100_continue_is_sent() {
    let request = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let delivered = served(request);
    assert_eq!(codes(&delivered), [100, 200]);
    assert_eq!(content(&delivered), "hello".into());
}

#[test]
fn a_path_is_not_split_and_plus_is_plus() {
    for target in ["/a;b.html", "/c&d.html", "/a+b", "/%2e%2e/x", "//a/./b"] {
        let delivered = taken(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(matches!(&delivered.seen.0[0], Seen::Request { target: seen, .. } if seen == target));
    }
}

#[test]
fn what_is_too_large_is_said_to_be_so() {
    // Not cut off in silence, not left to a timeout.
    let known = format!("GET / HTTP/1.1\r\nHost: a\r\nCookie: {}\r\n\r\n", "x".repeat(20_000));
    let unknown = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Own: {}\r\n\r\n", "x".repeat(20_000));
    let target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(10_000));
    for (request, status) in [(known, 431), (unknown, 431), (target, 414)] {
        assert_eq!(codes(&served(request)), [status]);
    }
}

#[test]
fn early_errors_are_http_1_1() {
    for request in [
        "x\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/3.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n",
    ] {
        let answers = answers(request);
        assert!(
            answers[0].head.starts_with("HTTP/1.1 4") || answers[0].head.starts_with("HTTP/1.1 505 "),
            "{request:?}"
        );
    }
}

#[test]
fn a_failed_upgrade_gets_a_status() {
    for (from, to, status) in [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 12", 426),
        ("Connection: Upgrade", "Connection: close", 400),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: x", 400),
        ("Host: server.example.com", "Via: nobody", 400),
    ] {
        assert_eq!(codes(&served(OPENING.replace(from, to))), [status], "{to}");
    }
}

#[test]
fn the_http_2_preface_is_answered_for_what_it_is() {
    let config = Arc::new(Config { versions: Versions::Http1, ..Config::default() });
    let delivered =
        deliver(|| Endpoint::server(Arc::clone(&config), Silent), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(codes(&delivered), [505]);
    assert_eq!(delivered.seen.causes(), [Cause::Violation(Violation::Http2Preface)]);
}

#[test]
fn a_close_without_a_reason_sends_a_close_frame() {
    let mut server = crate::support::silent_server();
    server.websocket().close(CloseCode::NORMAL, "").expect("a close");
    server.settle();
    assert_eq!(unmasked(Role::Server, &server.sent), [sent_close(1000)]);
}

#[test]
fn the_newest_ping_is_answered_when_not_all_can_be() {
    let config = limits(|limits| limits.pongs_per_second_max = 1);
    let mut server = Role::Server.websocket(&config, false, Echo::default());
    let pings: Vec<u8> =
        [b"1", b"2", b"3"].iter().flat_map(|payload| Role::Server.incoming(PING, *payload)).collect();
    server.receive(&pings, Buffer::Lent);
    server.wait(std::time::Duration::from_secs(1));
    assert_eq!(unmasked(Role::Server, &server.sent), [sent(PONG, b"1"), sent(PONG, b"3")]);
}

#[test]
fn registered_close_codes_are_not_called_errors() {
    for code in [1012, 1013, 1014] {
        let delivered = Role::Server.receives(&Role::Server.incoming(CLOSE, &close_payload(code, "")));
        assert_eq!(unmasked(Role::Server, &delivered.sent.0), [sent_close(code)]);
    }
}

#[test]
fn a_message_that_is_too_large_is_closed_with_a_code() {
    let mut server = Role::Server.websocket(&limits(|_| ()), false, Echo::default());
    let frame = [tests::wire::header(BINARY, true, 256 << 20), vec![0; 4]].concat();
    server.receive(&frame, Buffer::Lent);
    assert_eq!(unmasked(Role::Server, &server.sent), [sent_close(1009)]);
}
