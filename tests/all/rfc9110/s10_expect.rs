//! RFC 9110 §10.1.1: `Expect: 100-continue`.

use crate::support::{NEXT, codes, defaults, refused, responses, served};
use lws_proto::http::Status;
use lws_proto::{Cause, Event, Violation};
use tests::application::{Answer, Echo, NO_FIELDS, Silent};
use tests::endpoint::Buffer;
use tests::{Endpoint, Seen, deliver};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

fn head(version: &str, fields: &str) -> String {
    format!("POST / HTTP/{version}\r\nHost: a\r\nExpect: 100-continue\r\n{fields}\r\n")
}

#[test]
fn a_client_that_waits_is_asked_to_continue() {
    // RFC 9110 §10.1.1: "Upon receiving an HTTP/1.1 (or later) request that has a method, target URI, and complete header section that contains a
    // 100-continue expectation and indicates that request content will follow, an origin server MUST send either: an immediate response with
    // a final status code ... or an immediate 100 (Continue) response".
    for fields in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut server = Endpoint::server(defaults(), Echo::default());
        server.receive(head("1.1", fields).as_bytes(), Buffer::Lent);
        assert_eq!(server.take_sent(), CONTINUE, "{fields}");
    }
    let input = head("1.1", "Content-Length: 5\r\n") + "hello" + NEXT;
    let delivered = served(&input);
    assert_eq!(codes(&delivered), [100, 200, 200]);
    assert_eq!(responses(&delivered)[1].content, "hello".into());
}

#[test]
fn no_client_is_asked_for_content_that_does_not_come() {
    // "MAY omit sending a 100 (Continue) response if ... the framing indicates that there is no content"; and "A server that receives a 100-continue expectation
    // in an HTTP/1.0 request MUST ignore that expectation."
    for fields in ["", "Content-Length: 0\r\n"] {
        assert_eq!(codes(&served(head("1.1", fields))), [200], "{fields:?}");
    }
    let old = head("1.0", "Content-Length: 5\r\n") + "hello";
    assert_eq!(codes(&served(old)), [200]);
}

#[test]
fn a_final_response_takes_the_place_of_100() {
    // "A server that responds with a final status code instead of reading the entire request content SHOULD indicate whether it intends to close the connection or
    // continue reading the request content." Whether the content comes now is not known: we close.
    let answer = || Answer { status: Status::FORBIDDEN, ..Answer::with("no") };
    let delivered =
        deliver(|| Endpoint::server(defaults(), answer()), head("1.1", "Content-Length: 5\r\n").as_bytes());
    let answers = responses(&delivered);
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!((answers[0].status, answers[0].field("connection")), (403, Some("close")));
    assert!(delivered.fin);
}

#[test]
fn a_request_that_is_refused_is_not_asked_to_continue() {
    refused(head("1.1", "Content-Length: x\r\n"), 400, Cause::Violation(Violation::ContentLength));
    refused(
        head("1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        400,
        Cause::Violation(Violation::TwoFramings),
    );
}

#[test]
fn an_unknown_expectation_is_417() {
    // "A server that receives an Expect field value containing a member other than 100-continue MAY respond with a 417 (Expectation Failed) status code".
    for expect in ["x", "100-continue, x", "200-ok", "", "100-continue;a=b"] {
        let request =
            format!("POST / HTTP/1.1\r\nHost: a\r\nExpect: {expect}\r\nContent-Length: 5\r\n\r\nhello");
        refused(request, 417, Cause::Violation(Violation::Expectation));
    }
    let old = "POST / HTTP/1.0\r\nExpect: x\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(codes(&served(old)), [200]);
    let case = "POST / HTTP/1.1\r\nHost: a\r\nexpect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello";
    assert_eq!(codes(&served(case)), [100, 200]);
}

#[test]
fn the_application_may_send_100_itself_and_it_is_sent_once() {
    let app = |event: Event<'_>| {
        if let Event::Request { mut stream, .. } = event {
            stream.interim(Status::CONTINUE, NO_FIELDS).expect("100");
        }
    };
    let mut server = Endpoint::server(defaults(), app);
    server.receive(head("1.1", "Content-Length: 5\r\n").as_bytes(), Buffer::Lent);
    server.receive(b"hello", Buffer::Lent);
    assert_eq!(server.sent, CONTINUE);
}

#[test]
fn a_paused_application_does_not_ask_for_content() {
    // Back pressure reaches a client that waits: 100 goes out when the handler reads.
    let app = |event: Event<'_>| {
        if let Event::Request { mut stream, .. } = event {
            stream.pause();
        }
    };
    let mut server = Endpoint::server(defaults(), app);
    server.receive(head("1.1", "Content-Length: 5\r\n").as_bytes(), Buffer::Lent);
    assert_eq!(server.take_sent(), b"");
    server.stream().resume();
    let mut server = server.with_app(Silent);
    assert!(server.connection.needs_service());
    server.settle();
    assert_eq!(server.take_sent(), CONTINUE);
    server.receive(b"hello", Buffer::Lent);
    assert!(matches!(server.seen.0.last(), Some(Seen::Body { end: true, .. })));
}

#[test]
fn a_client_sees_100_and_then_sends_its_content() {
    // RFC 9110 §10.1.1, the client's side: the interim response is an event, and the permit for content is there all the time.
    use lws_proto::{Payload, Request};
    let mut client = Endpoint::client(defaults(), Silent);
    let request = Request { method: "POST", target: "/", host: "a" };
    let fields = [("Expect", "100-continue"), ("Content-Length", "5")];
    client.connection.request(client.now, &request, fields, Payload::Static(b""), false).expect("a request");
    client.settle();
    client.receive(CONTINUE, Buffer::Lent);
    assert!(matches!(client.seen.0[..], [Seen::Response { status: 100, end: false, .. }]));
    client.forget();
    client.exchange().permit().expect("a permit").data(Payload::Static(b"hello"), true).expect("content");
    client.settle();
    assert_eq!(client.sent, b"hello");
}
