//! RFC 9112 §8: messages that end early.

use crate::support::{codes, defaults, served_to_end};
use lws_proto::{Cause, Payload, Request};
use tests::application::{NO_FIELDS, Silent};
use tests::endpoint::Buffer;
use tests::{Endpoint, Seen, deliver_to_end};

#[test]
fn half_a_request_is_none() {
    // RFC 9112 §8: "A server that receives an incomplete request message, usually due to a canceled request or a triggered timeout exception, MAY send an
    // error response prior to closing the connection." RFC 9112 §6.3: "If the sender closes the connection or the recipient times out
    // before the indicated number of octets are received, the recipient MUST consider the message to be incomplete and close the
    // connection."
    for request in [
        "G",
        "PO",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhell",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n",
    ] {
        let delivered = served_to_end(request);
        assert!(delivered.over, "{request:?}: {delivered:?}");
        assert!(!delivered.seen.causes().contains(&Cause::Complete), "{request:?}");
        assert_eq!(
            delivered.seen.count(|seen| matches!(seen, Seen::Body { end: true, .. })),
            0,
            "{request:?}"
        );
        let began = delivered.seen.count(|seen| matches!(seen, Seen::Request { .. })) == 1;
        if began {
            assert_eq!(delivered.seen.causes(), [Cause::Disconnected], "{request:?}");
        }
    }
}

#[test]
fn a_client_that_ends_its_half_still_gets_its_answers() {
    // RFC 9112 §9.6 speaks of half-closed connections; nothing of what was asked is lost.
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let delivered = served_to_end(request.repeat(3));
    assert_eq!(codes(&delivered), [200, 200, 200]);
    assert_eq!(delivered.seen.causes(), [Cause::Complete; 3]);
    assert!(delivered.over);
}

#[test]
fn a_connection_that_ends_between_requests_ends_without_a_word() {
    for input in ["", "\r\n"] {
        let delivered = served_to_end(input);
        assert!(
            delivered.over && delivered.sent.0.is_empty() && delivered.seen.0.is_empty(),
            "{input:?} {delivered:?}"
        );
    }
}

/// A client that waits for its response.
fn asking() -> Endpoint<Silent> {
    let mut client = Endpoint::client(defaults(), Silent);
    let request = Request::get("a", "/");
    let requested = client.connection.request(client.now, &request, NO_FIELDS, Payload::Static(b""), true);
    requested.expect("a request");
    client.settle();
    client
}

#[test]
fn half_a_response_is_none() {
    // RFC 9112 §8: "A client that receives an incomplete response message, which can occur when a connection is closed prematurely or when decoding a
    // supposedly chunked transfer coding fails, MUST record the message as incomplete."
    for response in [
        "",
        "HTTP/1.1 200 OK\r\nContent-Le",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        // "A message body that uses the chunked transfer coding is incomplete if the zero-sized chunk that terminates the encoding has not been
        // received."
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let delivered = deliver_to_end(asking, response.as_bytes(), true);
        assert_eq!(delivered.seen.causes(), [Cause::Disconnected], "{response:?}");
        assert_eq!(
            delivered.seen.count(|seen| matches!(seen, Seen::Body { end: true, .. })),
            0,
            "{response:?}"
        );
        assert!(delivered.over);
    }
}

/// RFC 9112 §9.8: "When encountering an incomplete close, a client SHOULD treat as completed all requests for which it has received
/// either 1. as much data as specified in the Content-Length header field, or 2. the terminal zero-length chunk ... A response that has
/// neither chunked transfer coding nor Content-Length is complete only if a valid closure alert has been received."
#[test]
fn content_that_ends_with_the_connection_is_whole_only_if_the_end_was_said() {
    for (response, at_an_end, at_a_cut) in [
        ("HTTP/1.1 200 OK\r\n\r\nhello", Cause::Complete, Cause::Truncated),
        ("HTTP/1.1 200 OK\r\n\r\n", Cause::Complete, Cause::Truncated),
        ("HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhello", Cause::Complete, Cause::Truncated),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", Cause::Complete, Cause::Complete),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            Cause::Complete,
            Cause::Complete,
        ),
        ("HTTP/1.1 204 No Content\r\n\r\n", Cause::Complete, Cause::Complete),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", Cause::Disconnected, Cause::Truncated),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n",
            Cause::Disconnected,
            Cause::Truncated,
        ),
        ("HTTP/1.1 200 OK\r\nX", Cause::Disconnected, Cause::Truncated),
    ] {
        for (cut, expected) in [(false, at_an_end), (true, at_a_cut)] {
            let mut client = asking();
            client.receive(response.as_bytes(), Buffer::Lent);
            if cut {
                client.receive_truncation()
            } else {
                client.receive_eof()
            }
            assert_eq!(client.seen.causes(), [expected], "{response:?}, cut: {cut}");
            let ends = client.seen.count(|seen| {
                matches!(seen, Seen::Body { end: true, .. } | Seen::Response { end: true, .. })
            });
            assert_eq!(ends == 1, expected == Cause::Complete, "{response:?}, cut: {cut}");
        }
    }
}
