//! A client's side of an end: everything that it waits for has a deadline with a name, and a refused WebSocket stays refused.

use crate::rfc9113::{code, request, response};
use crate::support::defaults;
use lws_proto::ws::Connect;
use lws_proto::{Cause, Deadline, HandshakeFailure, Payload, Request};
use std::time::Duration;
use tests::application::{NO_FIELDS, Silent};
use tests::endpoint::Buffer;
use tests::h2::{self, Reader, SentFrame, setting};
use tests::{Application, Endpoint};

const REFUSED_503: Cause = Cause::Handshake(HandshakeFailure::Status(503));

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A client of HTTP/1.1 that has asked for `/`, or for a WebSocket.
fn asking(websocket: bool) -> Endpoint<Silent> {
    let mut client = Endpoint::client(defaults(), Silent);
    if websocket {
        client.connection.connect_websocket(client.now, &Connect::new("a", "/")).expect("a handshake");
    } else {
        let get = Request::get("a", "/");
        let sent = client.connection.request(client.now, &get, NO_FIELDS, Payload::Static(b""), true);
        sent.expect("a request");
    }
    client.settle();
    client
}

/// The same of HTTP/2.
fn asking_http2(websocket: bool) -> Endpoint<Silent> {
    let mut client = Endpoint::http2_client(defaults(), Silent);
    client.receive(&h2::server_begins(&[(setting::ENABLE_CONNECT_PROTOCOL, 1)]), Buffer::Lent);
    if websocket {
        client.connection.connect_websocket(client.now, &Connect::new("a", "/")).expect("a handshake");
    } else {
        request(&mut client, "GET", "/", true);
    }
    client.settle();
    client.forget();
    client
}

/// Lets something come each second, and tells after how many the stream has ended.
fn ends_after<A: Application>(client: &mut Endpoint<A>, each: &[u8], most: u64) -> Option<u64> {
    for second in 1..=most {
        client.wait(seconds(1));
        if !client.seen.causes().is_empty() {
            return Some(second);
        }
        client.receive(each, Buffer::Lent);
    }
    None
}

#[test]
fn the_deadline_of_an_opening_covers_the_whole_answer_that_refuses_it() {
    let head = "HTTP/1.1 503 Service Unavailable\r\n";
    for (begin, each) in [
        ("Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
        ("Transfer-Encoding: chunked\r\n\r\n", ""),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", "y"),
        ("Content-Length: 1000\r\n\r\n", "x"),
        ("\r\n", "x"),
    ] {
        let mut client = asking(true);
        client.wait(seconds(20));
        client.receive(format!("{head}{begin}").as_bytes(), Buffer::Lent);
        assert_eq!(ends_after(&mut client, each.as_bytes(), 100), Some(40), "{begin:?} {each:?}");
        assert_eq!(client.seen.causes(), [REFUSED_503], "{begin:?} {each:?}");
    }
    for (status, each) in
        [("403", h2::ping(false, [0; 8])), ("403", h2::data(1, b"x", false)), ("503", Vec::new())]
    {
        let mut client = asking_http2(true);
        client.wait(seconds(20));
        client.receive(&h2::headers(1, &[(":status", status)], false), Buffer::Lent);
        assert_eq!(ends_after(&mut client, &each, 100), Some(40), "{status} {}", each.escape_ascii());
        let status = status.parse().expect("a number");
        assert_eq!(client.seen.causes(), [Cause::Handshake(HandshakeFailure::Status(status))]);
        let sent_frames = Reader::default().read(&client.take_sent());
        assert_eq!(h2::reset(&sent_frames, 1), Some(code::CANCEL), "{sent_frames:?}");
        assert!(client.connection.interest().read && !client.connection.interest().shutdown);
    }
}

#[test]
fn whatever_becomes_of_the_rest_of_a_refusal_it_stays_one() {
    let head = "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n";
    type Then = fn(&mut Endpoint<Silent>);
    let check = |then: Then, expected: Cause| {
        let mut client = asking(true);
        client.receive(head.as_bytes(), Buffer::Lent);
        then(&mut client);
        client.settle();
        assert_eq!(client.seen.causes(), [expected]);
        let mut client = asking_http2(true);
        client.receive(&h2::headers(1, &[(":status", "503")], false), Buffer::Lent);
        then(&mut client);
        client.settle();
        assert_eq!(client.seen.causes(), [expected], "HTTP/2");
    };
    check(Endpoint::receive_eof, REFUSED_503);
    check(Endpoint::receive_truncation, REFUSED_503);
    check(|client| client.connection.transport_failed(client.now), REFUSED_503);
    check(|client| client.receive(&[0xff; 100], Buffer::Lent), REFUSED_503);
    // What this side decides is reported as its own decision.
    check(|client| client.stream().abort(), Cause::Aborted);
    let mut client = asking_http2(true);
    let frames = [h2::headers(1, &[(":status", "503")], false), h2::rst_stream(1, code::CANCEL)];
    client.receive(&frames.concat(), Buffer::Lent);
    assert_eq!(client.seen.causes(), [REFUSED_503]);
}

#[test]
fn content_and_trailers_of_a_response_have_deadlines() {
    let late = Cause::Timeout(Deadline::BetweenBytes);
    let head = "HTTP/1.1 200 OK\r\n";
    for begin in [
        "Content-Length: 10\r\n\r\n",
        "Content-Length: 10\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX:",
        "\r\n",
    ] {
        let mut client = asking(false);
        client.wait(seconds(5));
        client.receive(format!("{head}{begin}").as_bytes(), Buffer::Lent);
        assert_eq!(client.connection.next_timeout(), Some(client.now + seconds(60)), "{begin:?}");
        client.wait(seconds(60) - Duration::from_micros(1));
        assert!(client.seen.causes().is_empty(), "{begin:?}");
        client.wait(Duration::from_micros(1));
        assert_eq!(client.seen.causes(), [late], "{begin:?}");
    }
    for frames in [response(1, false), [response(1, false), h2::data(1, b"x", false)].concat()] {
        let mut client = asking_http2(false);
        client.wait(seconds(5));
        client.receive(&frames, Buffer::Lent);
        // The connection is alive, and the response is late all the same.
        assert_eq!(ends_after(&mut client, &h2::ping(false, [0; 8]), 100), Some(60));
        assert_eq!(client.seen.causes(), [late]);
        let sent_frames = Reader::default().read(&client.take_sent());
        assert_eq!(h2::reset(&sent_frames, 1), Some(code::CANCEL), "{sent_frames:?}");
    }
    // A byte is progress, and what has ended is not late.
    let mut client = asking(false);
    client.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n", Buffer::Lent);
    assert_eq!(ends_after(&mut client, b"x", 299), None);
    let mut client = asking_http2(false);
    client.receive(&response(1, false), Buffer::Lent);
    assert_eq!(ends_after(&mut client, &h2::data(1, b"x", false), 299), None);
}

#[test]
fn a_response_that_is_not_taken_is_not_late() {
    let late = Cause::Timeout(Deadline::BetweenBytes);
    let begun = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
    for http2 in [false, true] {
        let mut client = if http2 { asking_http2(false) } else { asking(false) };
        client.receive(if http2 { response(1, false) } else { begun.to_vec() }.as_slice(), Buffer::Lent);
        client.stream().pause();
        // On HTTP/2 the peer is still asked whether it is there, and says so.
        assert_eq!(
            ends_after(
                &mut client,
                if http2 { &[0, 0, 8, 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] } else { &[] },
                500
            ),
            None
        );
        client.stream().resume();
        client.settle();
        client.wait(seconds(59));
        assert!(client.seen.causes().is_empty(), "HTTP/2: {http2}");
        client.wait(seconds(1));
        if !http2 {
            assert_eq!(client.seen.causes(), [late]);
        }
    }
}

/// RFC 9113 §3.4: a server begins with SETTINGS. One that says nothing is called by that, and not by a request's name.
#[test]
fn a_server_of_http_2_that_says_nothing_is_told_as_that() {
    let mut client = Endpoint::http2_client(defaults(), Silent);
    request(&mut client, "GET", "/", true);
    client.wait(seconds(10) - Duration::from_micros(1));
    assert!(client.seen.causes().is_empty());
    client.wait(Duration::from_micros(1));
    assert_eq!(client.seen.causes(), [Cause::Timeout(Deadline::Settings)]);
    let sent_frames = Reader::default().read(&client.take_sent());
    assert_eq!(h2::go_aways(&sent_frames), [(0, code::SETTINGS_TIMEOUT)]);
    // Half a field block is half an answer.
    let mut client = asking_http2(false);
    client.receive(&h2::frame(h2::kind::HEADERS, 0, 1, &h2::block(&[(":status", "200")])), Buffer::Lent);
    client.wait(seconds(10));
    assert_eq!(client.seen.causes(), [Cause::Timeout(Deadline::Response)]);
}

/// RFC 9113 §6.8: a GOAWAY says up to which stream the server works, and "the endpoint can discard" what it still had to say of others.
#[test]
fn streams_up_to_the_last_go_on_and_frames_on_the_others_are_dropped() {
    for frames in [
        h2::rst_stream(5, code::REFUSED_STREAM),
        response(5, false),
        response(5, true),
        [response(5, false), h2::data(5, b"late", true)].concat(),
        h2::data(5, vec![0; 10_000], false),
        h2::headers(5, &[("x", "trailer")], true),
        h2::window_update(5, 100),
    ] {
        let mut client = Endpoint::http2_client(defaults(), Silent);
        client.receive(&h2::server_begins(&[]), Buffer::Lent);
        let keys: Vec<_> = (0..3).map(|_| request(&mut client, "GET", "/", true)).collect();
        client.receive(&h2::go_away(3, code::NO_ERROR), Buffer::Lent);
        assert_eq!(client.of(keys[2]).causes(), [Cause::Refused]);
        client.forget();
        client.receive(&frames, Buffer::Lent);
        let sent_frames = Reader::default().read(&client.take_sent());
        let shown = frames.escape_ascii();
        assert!(
            sent_frames.iter().all(|frame| matches!(frame, SentFrame::WindowUpdate { stream: 0, .. })),
            "{shown}: {sent_frames:?}"
        );
        assert!(client.seen.0.is_empty(), "{shown}: {:?}", client.seen);
        let rest = [response(3, false), response(1, true), h2::data(3, b"content", true)];
        client.receive(&rest.concat(), Buffer::Lent);
        assert_eq!(client.of(keys[1]).contents(), ["content".into()], "{shown}");
        assert_eq!(client.seen.causes(), [Cause::Complete; 2], "{shown}");
    }
}
