//! The client's side of an exchange.

use super::*;

/// Sends a request and receives `response`, however it is cut.
fn fetches(request: &Request<'_>, response: &str, eof: bool, events: &[&str]) {
    for step in 1..=response.len() {
        let mut side = Side::client(Limits::default());
        side.connection
            .request(Time::ZERO, request, NO_FIELDS, Payload::Static(b""), true)
            .expect("a request");
        side.settle(ignore);
        side.feed(response.as_bytes(), step, ignore);
        if eof {
            side.eof(ignore);
        }
        assert_eq!(side.events, events, "{response:?} by {step}");
    }
}

#[test]
fn a_client_reads_a_response_in_every_framing() {
    let get = Request::get("a", "/");
    let head = Request { method: "HEAD", ..get };
    fetches(
        &get,
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
        false,
        &["200 false", "'ab", "end", "Complete"],
    );
    fetches(
        &get,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nA: b\r\n\r\n",
        false,
        &["200 false", "'ab", "end", "Head { A: b }", "Complete"],
    );
    fetches(&get, "HTTP/1.1 200 OK\r\n\r\nab", true, &["200 false", "'ab", "end", "Complete"]);
    fetches(
        &get,
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nab",
        false,
        &["200 false", "'ab", "end", "Complete"],
    );
    fetches(
        &get,
        "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        false,
        &["103 false", "204 true", "Complete"],
    );
    fetches(&head, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false, &["200 true", "Complete"]);
    let connect = Request { method: "CONNECT", target: "b:1", host: "b:1" };
    fetches(&connect, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", false, &["Raw"]);
    fetches(
        &get,
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
        true,
        &["200 false", "'ab", "Disconnected"],
    );
    fetches(&get, "HTTP/1.1 200 OK\r\nContent-Length: 3", true, &["Disconnected"]);
    fetches(
        &get,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        false,
        &["Violation(UnexpectedResponse)"],
    );
    fetches(
        &get,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        false,
        &["Violation(TransferCoding)"],
    );
}

#[test]
fn a_client_sends_one_request_after_the_other() {
    let mut side = Side::client(Limits::default());
    let get = Request::get("a:1", "/x");
    let send = |side: &mut Side, request: &Request<'_>, content: &'static [u8], end| {
        let sent = side.connection.request(side.now, request, [("A", "b")], Payload::Static(content), end);
        sent.map(|_| ()).err()
    };
    assert_eq!(send(&mut side, &get, b"", true), None);
    assert_eq!(send(&mut side, &get, b"", true), Some(Misuse::WrongState));
    side.settle(ignore);
    assert_eq!(side.sent(), "GET /x HTTP/1.1\r\nHost: a:1\r\nA: b\r\n\r\n");
    side.feed(b"HTTP/1.1 204 No Content\r\n\r\n", 99, ignore);
    side.sent.clear();
    let post = Request { method: "POST", ..get };
    assert_eq!(send(&mut side, &post, b"abc", false), None);
    let key = crate::StreamKey::new(0, 2);
    let permit = side.connection.exchange(key).expect("the stream").permit().expect("a permit");
    permit.trailers([("C", "d")]).expect("trailers");
    side.settle(ignore);
    assert_eq!(
        side.sent(),
        "POST /x HTTP/1.1\r\nHost: a:1\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nC: d\r\n\r\n"
    );
    side.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 99, ignore);
    assert!(!side.is_closing());
    side.feed(b"HTTP/1.1 200 OK\r\n", 99, ignore);
    assert!(side.is_closing());
    for (method, target, host, misuse) in [
        ("GE T", "/", "a", Misuse::StartLine),
        ("GET", "x", "a", Misuse::StartLine),
        ("GET", "/ ", "a", Misuse::StartLine),
        ("GET", "/", "a b", Misuse::Field),
        ("CONNECT", "/", "a", Misuse::StartLine),
    ] {
        let mut side = Side::client(Limits::default());
        assert_eq!(
            send(&mut side, &Request { method, target, host }, b"", true),
            Some(misuse),
            "{method} {target} {host}"
        );
        assert!(side.connection.transmit(Time::ZERO).is_none());
    }
}

#[test]
fn a_client_waits_for_a_response_as_long_as_the_limit() {
    let limits = Limits::default();
    let mut side = Side::client(limits.clone());
    side.connection
        .request(Time::ZERO, &Request::get("a", "/"), NO_FIELDS, Payload::Static(b""), true)
        .expect("a request");
    side.wait(Duration::from_secs(5), ignore);
    side.wait(limits.response_timeout - Duration::from_secs(1), ignore);
    assert!(side.events.is_empty());
    side.wait(Duration::from_secs(1), ignore);
    assert_eq!(side.events, [format!("{:?}", Cause::Timeout(Deadline::Response))]);
}
