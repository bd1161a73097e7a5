//! Exchanges through the public calls, byte for byte.

use crate::http::Status;
use crate::{
    Cause, Config, Connection, Deadline, Event, Limit, Limits, Misuse, Payload, Region, Request, StreamKey,
    Time, Violation,
};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

const NO_FIELDS: [(&str, &str); 0] = [];

/// A connection, what it was asked to do, and what it said.
struct Side {
    connection: Connection,
    now: Time,
    /// Events as text, adjacent content joined.
    events: Vec<String>,
    /// Everything that was sent.
    sent: Vec<u8>,
}

/// What an application does with one event.
type Application = fn(Event<'_>);

impl Side {
    fn server(limits: Limits) -> Self {
        let config = Config { limits, ..Config::default() };
        Self::new(Connection::server(Time::ZERO, Arc::new(config)))
    }

    fn client(limits: Limits) -> Self {
        let config = Config { limits, ..Config::default() };
        let entropy = Box::new(|bytes: &mut [u8]| bytes.fill(7));
        Self::new(Connection::client(Time::ZERO, Arc::new(config), entropy))
    }

    fn new(connection: Connection) -> Self {
        Self { connection, now: Time::ZERO, events: Vec::new(), sent: Vec::new() }
    }

    /// Receives `input` in pieces of `step` bytes.
    fn feed(&mut self, input: &[u8], step: usize, application: Application) {
        for piece in input.chunks(step) {
            let mut piece = piece.to_vec();
            let mut feed = self.connection.receive(self.now, &mut piece);
            while let Some(event) = feed.next_event() {
                note(&mut self.events, &event);
                application(event);
            }
            drop(feed);
            self.settle(application);
        }
    }

    fn eof(&mut self, application: Application) {
        self.connection.received_eof(self.now);
        self.settle(application);
    }

    /// Tells what is due and sends what is queued, until there is neither.
    fn settle(&mut self, application: Application) {
        loop {
            while let Some(event) = self.connection.next_event() {
                note(&mut self.events, &event);
                application(event);
            }
            assert!(!self.connection.needs_service());
            let Some(transmit) = self.connection.transmit(self.now) else { break };
            let first = transmit.first().to_vec();
            transmit.commit(first.len());
            self.sent.extend_from_slice(&first);
        }
    }

    fn wait(&mut self, duration: Duration, application: Application) {
        self.now = self.now + duration;
        self.connection.handle_timeout(self.now);
        self.settle(application);
    }

    fn is_closing(&self) -> bool {
        let interest = self.connection.interest();
        interest.shutdown || interest.close
    }

    fn sent(&self) -> &str {
        core::str::from_utf8(&self.sent).expect("text")
    }
}

fn note(events: &mut Vec<String>, event: &Event<'_>) {
    let text = match event {
        Event::Request { head, end, .. } => format!("{} {} {end}", head.method_name(), head.target()),
        Event::Response { head, end, .. } => format!("{} {end}", head.status().map_or(0, Status::code)),
        Event::Body { chunk, end, .. } => {
            let chunk = String::from_utf8_lossy(chunk);
            if let Some(before) = events.last_mut().filter(|before| before.starts_with('\'')) {
                before.push_str(&chunk);
            } else {
                events.push(format!("'{chunk}"));
            }
            if *end { "end".to_string() } else { return }
        }
        Event::Trailers { head, .. } => format!("{head:?}"),
        Event::Established { stream, .. } => format!("{:?}", stream.protocol()),
        Event::Closed { cause, .. } => format!("{cause:?}"),
        Event::Writable(_) => "writable".to_string(),
        Event::Raw { chunk, .. } => format!("raw {}", String::from_utf8_lossy(chunk)),
        other => format!("{other:?}"),
    };
    events.push(text);
}

/// Answers every request with its target, at its head.
fn greet(event: Event<'_>) {
    if let Event::Request { stream, head, .. } = event {
        let permit = stream.permit().expect("a permit at the request");
        permit
            .respond(Status::OK, NO_FIELDS, Payload::Copy(head.target().as_bytes()), true)
            .expect("a response");
    }
}

/// Sends the content back as it comes.
fn echo(event: Event<'_>) {
    match event {
        Event::Request { stream, end, .. } => {
            let permit = stream.permit().expect("a permit at the request");
            permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), end).expect("a response");
        }
        Event::Body { stream, chunk, end } => {
            let permit = stream.permit().expect("a permit for content");
            permit.data(Payload::Copy(chunk), end).expect("data");
        }
        _ => {}
    }
}

fn ignore(_: Event<'_>) {}

/// However `input` is cut, events and answer are the same.
fn check(limits: &Limits, input: &str, application: Application, events: &[&str], sent: &str) -> Side {
    let mut last = None;
    for step in 1..=input.len() {
        let mut side = Side::server(limits.clone());
        side.feed(input.as_bytes(), step, application);
        assert_eq!(side.events, events, "{input:?} by {step}");
        assert_eq!(side.sent(), sent, "{input:?} by {step}");
        last = Some(side);
    }
    last.expect("some input")
}

/// A request that is answered by the engine. The connection ends.
fn refuses(limits: &Limits, input: &str, status: u16, cause: Cause) {
    for step in [1, 7, input.len()] {
        let mut side = Side::server(limits.clone());
        side.feed(input.as_bytes(), step, ignore);
        assert!(side.sent().starts_with(&format!("HTTP/1.1 {status} ")), "{input:?}: {:?}", side.sent());
        assert!(side.sent().contains("\r\nConnection: close\r\n\r\n") || status == 426, "{input:?}");
        assert_eq!(side.events.last(), Some(&format!("{cause:?}")), "{input:?}");
        let closed = side.events.iter().filter(|event| **event == format!("{cause:?}")).count();
        assert!(closed == 1 && side.is_closing(), "{input:?}");
        side.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 99, ignore);
        assert_eq!(side.events.last(), Some(&format!("{cause:?}")), "{input:?}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let side = check(
        &Limits::default(),
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\nPOST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcHEAD /c HTTP/1.1\r\nHost: a\r\n\r\n",
        greet,
        &["GET /a true", "Complete", "POST /b false", "Complete", "HEAD /c true", "Complete"],
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/a\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/b\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    );
    assert!(!side.is_closing());
}

#[test]
fn content_comes_and_goes_in_every_framing() {
    check(
        &Limits::default(),
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        |event| {
            if let Event::Body { stream, chunk, end: true } = event {
                let permit = stream.permit().expect("a permit for content");
                let fields = [("content-length", "1")];
                permit
                    .respond(Status::OK, fields, Payload::Copy(&chunk[chunk.len() - 1..]), true)
                    .expect("a response");
            }
        },
        &["POST / false", "'hello", "end", "Complete"],
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\no",
    );
    for step in 1..40 {
        let mut side = Side::server(Limits::default());
        let input = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n3\r\n, w\r\n0\r\nA: b\r\n\r\n";
        side.feed(input.as_bytes(), step, echo);
        assert_eq!(
            side.events,
            ["POST / false", "'hello, w", "end", "Head { A: b }", "Complete"],
            "by {step}"
        );
        let (head, content) = side.sent().split_once("\r\n\r\n").expect("a head");
        assert_eq!(head, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked");
        let mut decoder = super::chunked::Dechunker::new();
        let (mut at, mut decoded) = (0, Vec::new());
        loop {
            let found =
                decoder.decode(&content.as_bytes()[at..], &Limits::default(), u64::MAX).expect("chunks");
            decoded.extend_from_slice(&content.as_bytes()[at..][found.content]);
            at += found.consumed;
            if found.last {
                break;
            }
        }
        assert_eq!((&decoded[..], &content[at..]), (&b"hello, w"[..], "\r\n"));
    }
}

#[test]
fn http_1_0_closes_unless_asked_to_stay() {
    let limits = Limits::default();
    let sent = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n/";
    assert!(check(&limits, "GET / HTTP/1.0\r\n\r\n", greet, &["GET / true", "Complete"], sent).is_closing());
    let sent = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n/";
    let input = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    assert!(!check(&limits, input, greet, &["GET / true", "Complete"], sent).is_closing());
    let until_close: Application = |event| match event {
        Event::Request { stream, .. } => {
            let permit = stream.permit().expect("a permit at the request");
            let sent =
                permit.respond(Status::OK, NO_FIELDS, Payload::Static(b"a"), false).expect("a response");
            sent.again();
        }
        Event::Writable(permit) => {
            permit.into_exchange().expect("an exchange").data(Payload::Static(b"b"), true).expect("data");
        }
        _ => {}
    };
    let sent = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nab";
    assert!(check(&limits, input, until_close, &["GET / true", "writable", "Complete"], sent).is_closing());
}

#[test]
fn the_last_exchange_says_so() {
    let sent = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n/";
    let input = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\n";
    assert!(check(&Limits::default(), input, greet, &["GET / true", "Complete"], sent).is_closing());
    let limits = Limits { keep_alive_requests_max: 2, ..Limits::default() };
    let input = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
    let sent = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n/{sent}");
    assert!(
        check(&limits, &input, greet, &["GET / true", "Complete", "GET / true", "Complete"], &sent)
            .is_closing()
    );
}

#[test]
fn a_connection_that_retires_answers_what_is_on_its_way_and_says_that_it_is_the_last() {
    let mut side = Side::server(Limits::default());
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    // Nothing is known of it yet.
    side.connection.retire(side.now);
    side.feed(request, usize::MAX, greet);
    assert!(!side.sent().contains("Connection: close") && !side.is_closing());
    side.connection.retire(side.now);
    side.connection.retire(side.now);
    side.settle(ignore);
    assert!(!side.is_closing(), "a request may be on its way");
    side.feed(request, usize::MAX, greet);
    assert!(side.sent().ends_with("\r\nConnection: close\r\n\r\n/") && side.is_closing(), "{}", side.sent());
}

/// The head of the response has left without a word of the end, and the peer may have sent its next request since.
#[test]
fn a_connection_that_retires_behind_the_head_of_a_response_answers_the_next_request() {
    let mut side = Side::server(Limits::default());
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    side.feed(request, usize::MAX, |event| {
        if let Event::Request { stream, .. } = event {
            let permit = stream.permit().expect("a permit");
            permit
                .respond(Status::OK, [("Content-Length", "2")], Payload::Static(b"a"), false)
                .expect("a head");
        }
    });
    side.connection.retire(side.now);
    let key = crate::StreamKey::new(0, 1);
    let permit = side.connection.exchange(key).expect("it is one").permit().expect("a permit");
    permit.data(Payload::Static(b"b"), true).expect("content");
    side.settle(ignore);
    side.connection.retire(side.now);
    assert!(!side.is_closing(), "{}", side.sent());
    side.feed(request, usize::MAX, greet);
    assert!(side.sent().ends_with("\r\nConnection: close\r\n\r\n/") && side.is_closing(), "{}", side.sent());
}

#[test]
fn a_client_that_waits_is_asked_to_continue_when_its_content_is_wanted() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    check(
        &Limits::default(),
        &format!("{head}x"),
        |event| {
            if let Event::Body { stream, .. } = event {
                let permit = stream.permit().expect("a permit for content");
                permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), true).expect("a response");
            }
        },
        &["POST / false", "'x", "end", "Complete"],
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    // Not wanted: the answer is final, and whether content follows is unknown.
    let sent = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n/";
    assert!(check(&Limits::default(), head, greet, &["POST / false", "Complete"], sent).is_closing());
}

#[test]
fn unread_content_is_dropped_up_to_a_limit() {
    let limits = Limits { discard_bytes_max: 4, ..Limits::default() };
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n/";
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let at = format!("{chunked}2\r\nab\r\n2\r\ncd\r\n0\r\nA: b\r\n\r\n");
    assert!(!check(&limits, &at, greet, &["POST / false", "Complete"], answer).is_closing());
    let past = format!("{chunked}2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n");
    assert!(check(&limits, &past, greet, &["POST / false", "Limit(DiscardBytes)"], answer).is_closing());
    let past = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde";
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n/";
    assert!(check(&limits, past, greet, &["POST / false", "Complete"], answer).is_closing());
}

#[test]
fn the_preface_of_http_2_is_answered_505_where_it_is_not_spoken() {
    let config = Config { versions: crate::Versions::Http1, ..Config::default() };
    let mut side = Side::new(Connection::server(Time::ZERO, Arc::new(config)));
    side.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", usize::MAX, |_| ());
    assert!(side.sent().starts_with("HTTP/1.1 505 "), "{}", side.sent());
}

#[test]
fn what_breaks_a_rule_is_answered_with_its_status() {
    let limits = Limits {
        head_bytes_max: 200,
        target_bytes_max: 20,
        field_lines_max: 5,
        content_bytes_max: Some(10),
        chunk_extension_bytes_max: 10,
        trailer_bytes_max: 30,
        ..Limits::default()
    };
    let violation = |input: &str, violation: Violation| {
        refuses(&limits, input, violation.status(), Cause::Violation(violation))
    };
    let limit = |input: &str, limit: Limit| refuses(&limits, input, limit.status(), Cause::Limit(limit));
    let get = |fields: &str| format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
    let post =
        |fields: &str, content: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n{content}");
    const CHUNKED: &str = "Transfer-Encoding: chunked";
    violation("GET /\r\n", Violation::RequestLine);
    violation("GET / HTTP/3.0\r\n", Violation::Version);
    violation("GET a HTTP/1.1\r\nHost: a\r\n\r\n", Violation::Target);
    violation("GET / HTTP/1.1\n", Violation::BareLineEnd);
    violation(&get("A: b"), Violation::Host);
    violation(&get("Host: a\r\nHost: a"), Violation::Host);
    violation(&get("Host: a/b"), Violation::Host);
    violation(&get("Host: a\r\nA : b"), Violation::FieldLine);
    violation(&get("Host: a\r\nA: b\r\n c"), Violation::FieldLine);
    violation(&get("Host: a\r\nExpect: x"), Violation::Expectation);
    violation("POST / HTTP/1.0\r\n\r\n", Violation::LengthRequired);
    violation("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Violation::TransferEncoding);
    violation(&post("Content-Length: +5", ""), Violation::ContentLength);
    violation(&post("Content-Length: 5\r\nContent-Length: 5", ""), Violation::ContentLength);
    violation(&post("Content-Length: 5\r\nTransfer-Encoding: chunked", ""), Violation::TwoFramings);
    violation(
        &post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", ""),
        Violation::TransferEncoding,
    );
    violation(&post("Transfer-Encoding: chunked, gzip", ""), Violation::TransferEncoding);
    violation(&post("Transfer-Encoding: gzip, chunked", ""), Violation::TransferCoding);
    violation(&post(CHUNKED, "x\r\n"), Violation::Chunk);
    violation(&post(CHUNKED, "1\r\nxx"), Violation::Chunk);
    violation(&post(CHUNKED, "0\r\nContent-Length: 1\r\n\r\n"), Violation::Trailer);
    limit(&format!("GET /{} HTTP/1.1\r\n", "a".repeat(20)), Limit::TargetBytes);
    limit(&get(&format!("Host: a\r\nA: {}", "b".repeat(200))), Limit::HeadBytes);
    limit(&get("Host: a\r\nA:\r\nB:\r\nC:\r\nD:\r\nE:"), Limit::FieldLines);
    limit(&post("Content-Length: 11", ""), Limit::ContentBytes);
    limit(&post(CHUNKED, "a\r\n0123456789\r\n1\r\n"), Limit::ContentBytes);
    limit(&post(CHUNKED, "1;0123456789a\r\n"), Limit::ChunkExtensionBytes);
    limit(&post(CHUNKED, "0\r\nA: 0123456789012345678901234567890"), Limit::TrailerBytes);
}

#[test]
fn a_violation_behind_the_beginning_of_the_response_ends_it() {
    let input = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab";
    let side = check(
        &Limits::default(),
        input,
        echo,
        &["POST / false", "'a", "Violation(Chunk)"],
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n",
    );
    assert!(side.is_closing());
}

#[test]
fn a_head_has_its_time_and_so_has_what_comes_between_two() {
    let limits = Limits::default();
    let second = Duration::from_secs(1);
    let mut silent = Side::server(limits.clone());
    silent.wait(limits.head_timeout - second, ignore);
    assert!(!silent.is_closing());
    silent.wait(second, ignore);
    assert!(silent.is_closing() && silent.sent.is_empty() && silent.events.is_empty());

    let mut slow = Side::server(limits.clone());
    slow.wait(Duration::from_secs(9), ignore);
    slow.feed(b"GET / HT", 1, ignore);
    slow.wait(second, ignore);
    assert!(slow.sent().starts_with("HTTP/1.1 408 Request Timeout\r\n") && slow.is_closing());
    assert_eq!(slow.events, [format!("{:?}", Cause::Timeout(Deadline::Head))]);

    let mut idle = Side::server(limits.clone());
    idle.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 99, greet);
    idle.wait(limits.keep_alive_timeout - second, greet);
    idle.feed(b"G", 1, greet);
    idle.wait(limits.head_timeout - second, greet);
    assert!(!idle.is_closing());
    idle.wait(second, greet);
    assert!(idle.sent().contains("HTTP/1.1 408 "));

    let mut idle = Side::server(limits.clone());
    idle.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 99, greet);
    idle.wait(limits.keep_alive_timeout, greet);
    assert!(idle.is_closing() && !idle.sent().contains("408"));
}

#[test]
fn content_has_to_come_fast_enough_while_it_is_wanted() {
    let limits = Limits { content_bytes_min: 10, ..Limits::default() };
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n";
    let mut side = Side::server(limits.clone());
    side.feed(head, 99, ignore);
    side.feed(b"0123456789", 99, ignore);
    side.wait(limits.content_period, ignore);
    assert!(!side.is_closing());
    side.feed(b"012345678", 99, ignore);
    side.wait(limits.content_period, ignore);
    assert!(side.sent().starts_with("HTTP/1.1 408 ") && side.is_closing());
    assert_eq!(side.events.last(), Some(&format!("{:?}", Cause::Timeout(Deadline::Content))));

    let mut held = Side::server(limits.clone());
    held.feed(head, 99, |event| {
        if let Event::Request { mut stream, .. } = event {
            stream.pause();
        }
    });
    held.wait(limits.content_period * 10, ignore);
    assert!(!held.is_closing());
}

#[test]
fn a_response_that_was_held_back_ends_the_exchange_when_it_is_sent() {
    let mut side = Side::server(Limits::default());
    side.feed(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", 99, |event| {
        if let Event::Request { mut stream, .. } = event {
            stream.pause();
        }
    });
    assert_eq!(side.events, ["GET /1 true"]);
    let key = crate::StreamKey::new(0, 1);
    let permit = side.connection.exchange(key).expect("the stream").permit().expect("a permit");
    permit.respond(Status::NO_CONTENT, NO_FIELDS, Payload::Static(b""), true).expect("a response");
    assert!(side.connection.needs_service());
    side.settle(greet);
    assert_eq!(side.events, ["GET /1 true", "Complete", "GET /2 true", "Complete"]);
    assert_eq!(side.sent(), "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n/2");
}

/// A response of the application: refused, or written as expected.
fn responds(
    request: &str,
    status: u16,
    fields: &[(&str, &str)],
    content: &'static str,
    expected: Result<&str, Misuse>,
) {
    let mut server = Connection::server(Time::ZERO, Arc::new(Config::default()));
    let mut input = request.as_bytes().to_vec();
    let mut feed = server.receive(Time::ZERO, &mut input);
    let Some(Event::Request { stream, .. }) = feed.next_event() else { panic!("no request") };
    let permit = stream.permit().expect("a permit at the request");
    let status = Status::new(status).expect("three digits");
    let responded = permit.respond(status, fields.iter().copied(), Payload::Static(content.as_bytes()), true);
    assert_eq!(responded.map(|_| ()).err(), expected.err(), "{status} {fields:?}");
    drop(feed);
    let sent = server.transmit(Time::ZERO).map(|transmit| transmit.first().to_vec()).unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&sent), expected.unwrap_or_default(), "{status} {fields:?}");
}

#[test]
fn the_head_of_a_response_frames_its_content_or_is_not_sent() {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    let connect = "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n";
    responds(get, 200, &[("A", "b")], "c", Ok("HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 1\r\n\r\nc"));
    responds(get, 200, &[("Content-Length", "1")], "c", Ok("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nc"));
    responds(get, 205, &[], "", Ok("HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n"));
    responds(
        get,
        304,
        &[("Content-Length", "9")],
        "",
        Ok("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n"),
    );
    responds(
        get,
        426,
        &[("Upgrade", "x")],
        "",
        Ok("HTTP/1.1 426 Upgrade Required\r\nUpgrade: x\r\nContent-Length: 0\r\nConnection: upgrade\r\n\r\n"),
    );
    responds(head, 200, &[], "abc", Ok("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"));
    responds(head, 200, &[("Content-Length", "9")], "", Ok("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"));
    responds(connect, 403, &[], "", Ok("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"));
    responds(connect, 200, &[], "", Err(Misuse::StartLine));
    responds(get, 101, &[], "", Err(Misuse::StartLine));
    responds(get, 204, &[], "a", Err(Misuse::ContentLength));
    responds(get, 304, &[], "a", Err(Misuse::ContentLength));
    responds(get, 204, &[("Content-Length", "0")], "", Err(Misuse::ContentLength));
    responds(get, 200, &[("Content-Length", "2")], "a", Err(Misuse::ContentLength));
    responds(get, 200, &[("Content-Length", "0")], "a", Err(Misuse::ContentLength));
    responds(get, 200, &[("Content-Length", "+1")], "a", Err(Misuse::ContentLength));
    responds(get, 200, &[("Content-Length", "1"), ("content-length", "1")], "a", Err(Misuse::ContentLength));
    responds(get, 200, &[("A", "b\r\nC: d")], "", Err(Misuse::Field));
    responds(get, 200, &[("A b", "c")], "", Err(Misuse::Field));
    for name in ["Connection", "transfer-encoding", "Keep-Alive", "Host"] {
        responds(get, 200, &[(name, "x")], "", Err(Misuse::ManagedField));
    }
}

#[test]
fn a_response_carries_the_date_if_there_is_a_clock() {
    let config = Arc::new(Config::default());
    config.wall_clock.set(784_111_777);
    let mut side = Side::new(Connection::server(Time::ZERO, config));
    side.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 99, greet);
    assert_eq!(
        side.sent(),
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 1\r\n\r\n/"
    );
}

#[test]
fn content_is_serialised_in_place_in_every_framing() {
    let fill: Application = |event| match event {
        Event::Request { stream, head, .. } => {
            let permit = stream.permit().expect("a permit at the request");
            let fields = [("Content-Length", "3")];
            let fields = if head.target() == "/length" { &fields[..] } else { &[] };
            permit
                .respond(Status::OK, fields.iter().copied(), Payload::Static(b""), false)
                .expect("a head")
                .again();
        }
        Event::Writable(permit) => {
            let filled = permit.into_exchange().expect("an exchange").fill(300, |room| {
                room[..3].copy_from_slice(b"abc");
                (3, true)
            });
            filled.expect("content");
        }
        _ => {}
    };
    for (target, content) in [
        ("/length", "Content-Length: 3\r\n\r\nabc"),
        ("/", "Transfer-Encoding: chunked\r\n\r\n003\r\nabc\r\n0\r\n\r\n"),
    ] {
        let mut side = Side::server(Limits::default());
        side.feed(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(), 99, fill);
        assert_eq!(side.sent(), format!("HTTP/1.1 200 OK\r\n{content}"));
        assert_eq!(side.events.last().map(String::as_str), Some("Complete"));
    }
}

#[test]
fn a_tunnel_is_raw_from_the_answer_on() {
    let side = check(
        &Limits::default(),
        "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
        |event| match event {
            Event::Request { stream, .. } => drop(stream.accept_tunnel().expect("a tunnel")),
            Event::Raw { stream, chunk, .. } => {
                let permit = stream.permit().expect("a permit for raw bytes");
                permit.data(Payload::Copy(chunk), false).expect("data");
            }
            _ => {}
        },
        &["CONNECT a:80 true", "Raw"],
        "HTTP/1.1 200 OK\r\n\r\n",
    );
    assert!(!side.is_closing());
}

#[test]
fn an_opening_handshake_that_is_none_is_refused() {
    let accept: Application = |event| {
        if let Event::Request { stream, head, .. } = event {
            let accepted = stream.accept_websocket(&head, &crate::ws::Accept::new());
            assert_eq!(accepted.err(), Some(Misuse::NotAnOpening));
        }
    };
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut side = Side::server(Limits::default());
    side.feed(format!("{upgrade}Sec-WebSocket-Version: 8\r\n\r\n").as_bytes(), 999, accept);
    assert!(side.sent().starts_with("HTTP/1.1 426 Upgrade Required\r\n"));
    assert!(side.sent().contains("\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n"));
    assert!(side.sent().contains("\r\nConnection: upgrade, close\r\n\r\n") && side.is_closing());
    let mut side = Side::server(Limits::default());
    side.feed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 999, accept);
    assert!(side.sent().starts_with("HTTP/1.1 400 Bad Request\r\n") && side.is_closing());
}

/// Requests of every kind, one behind the other.
const REQUESTS: [&str; 6] = [
    "GET /a?b HTTP/1.1\r\nHost: a:1\r\nAccept: */*\r\n\r\n",
    "\r\nHEAD /c HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "POST /d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "PUT /e HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n",
    "POST /f HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nxy",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
];

/// Bytes that mean something somewhere.
const BYTES: &[u8] = b"\r\n\r\n :,;019aAfG\t\0\x7f\xff/*[#%";

/// Numbers that look like chance and are the same every time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    /// Some requests with some bytes changed.
    fn input(&mut self) -> Vec<u8> {
        let mut input: Vec<u8> = (0..3).flat_map(|_| REQUESTS[self.below(REQUESTS.len())].bytes()).collect();
        for _ in 0..self.below(4) {
            let at = self.below(input.len());
            let byte = BYTES[self.below(BYTES.len())];
            match self.below(3) {
                0 => input[at] = byte,
                1 => input.insert(at, byte),
                _ => drop(input.remove(at)),
            }
        }
        input
    }
}

#[test]
fn however_a_damaged_request_is_cut_events_and_answers_are_the_same() {
    let limits =
        Limits { head_bytes_max: 120, field_lines_max: 3, discard_bytes_max: 3, ..Limits::default() };
    let mut chance = Chance(7);
    for round in 0..2_000 {
        let input = chance.input();
        // An echo has the chunks that it was given.
        for (application, rechunks) in [(greet as Application, false), (echo, true), (ignore, false)] {
            let mut whole = Side::server(limits.clone());
            whole.feed(&input, input.len(), application);
            for step in [1, 2 + chance.below(30)] {
                let mut cut = Side::server(limits.clone());
                cut.feed(&input, step, application);
                assert_eq!(cut.events, whole.events, "{round}: {} by {step}", input.escape_ascii());
                let same = rechunks || cut.sent == whole.sent;
                assert!(same, "{round}: {} by {step}", input.escape_ascii());
            }
        }
    }
}

mod client;

/// A server that has answered a GET with a head, and two octets of content.
fn answered(sends_regions: bool, fields: &[(&str, &str)]) -> (Connection, StreamKey) {
    let mut server = Connection::server(Time::ZERO, Arc::new(Config::default()));
    if sends_regions {
        server.send_regions();
    }
    let mut request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
    let mut feed = server.receive(Time::ZERO, &mut request);
    let mut key = None;
    while let Some(event) = feed.next_event() {
        if let Event::Request { stream, .. } = event {
            key = Some(stream.key());
            let permit = stream.permit().expect("nothing is queued");
            let fields = fields.iter().copied();
            permit.respond(Status::OK, fields, Payload::Copy(b"ab"), false).expect("a response");
        }
    }
    drop(feed);
    (server, key.expect("a request"))
}

/// Sends a region as further content of the only exchange.
fn send_region(
    (server, key): &mut (Connection, StreamKey),
    len: usize,
    end: bool,
) -> (bool, Result<(), Misuse>) {
    let permit = server.exchange(*key).and_then(|exchange| exchange.permit().ok()).expect("a permit");
    let takes = permit.takes_region();
    let region = Region::new(Arc::new("the source"), 100, len);
    (takes, permit.region(region, end).map(drop))
}

#[test]
fn a_region_is_content_where_the_driver_sends_it_and_the_length_was_said() {
    const LENGTH: &[(&str, &str)] = &[("Content-Length", "10")];
    for (sends, fields, len, end, expected) in [
        (true, LENGTH, 8, true, (true, Ok(()))),
        (true, LENGTH, 7, false, (true, Ok(()))),
        (true, LENGTH, 9, false, (true, Err(Misuse::ContentLength))),
        (true, LENGTH, 7, true, (true, Err(Misuse::ContentLength))),
        (true, &[], 8, true, (false, Err(Misuse::WrongState))),
        (false, LENGTH, 8, true, (false, Err(Misuse::WrongState))),
    ] {
        let mut server = answered(sends, fields);
        assert_eq!(send_region(&mut server, len, end), expected, "{sends} {fields:?} {len} {end}");
    }
}

#[test]
fn a_region_is_sent_by_the_driver_and_what_is_missing_of_it_ends_in_a_reset() {
    for taken in [8, 3] {
        let mut server = answered(true, &[("Content-Length", "10")]);
        assert_eq!(send_region(&mut server, 8, true), (true, Ok(())));
        let (mut server, _) = server;
        let transmit = server.transmit(Time::ZERO).expect("a head");
        assert!(transmit.precedes_region() && transmit.region().is_none() && !transmit.is_contiguous());
        let mut slices = [&[][..]; crate::SLICES_MAX];
        let count = transmit.slices(&mut slices);
        let head = slices[..count].concat();
        assert!(head.ends_with(b"Content-Length: 10\r\n\r\nab"), "{}", String::from_utf8_lossy(&head));
        transmit.commit(head.len());
        let transmit = server.transmit(Time::ZERO).expect("a region");
        let region = transmit.region().expect("it comes next");
        assert_eq!((region.offset(), region.len()), (100, 8));
        assert_eq!(region.source().downcast_ref(), Some(&"the source"));
        transmit.commit(taken);
        assert_eq!(server.interest().write, taken < 8);
        if taken < 8 {
            let transmit = server.transmit(Time::ZERO).expect("the rest");
            assert_eq!(transmit.region().map(|region| (region.offset(), region.len())), Some((103, 5)));
            server.abort();
            let Some(Event::Closed { cause, .. }) = server.next_event() else { panic!("it is over") };
            assert_eq!(cause, Cause::Aborted);
            assert!(server.interest().close && server.interest().reset);
        } else {
            let Some(Event::Closed { cause, .. }) = server.next_event() else { panic!("it is over") };
            assert_eq!(cause, Cause::Complete);
            assert!(!server.interest().close);
        }
    }
}
