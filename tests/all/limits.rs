//! Every field of `Limits` that counts something: an input at the limit is taken, one past it is not, and the cause has the name of the field.
//! Those that count time are in `deadlines`.

use crate::support::{NEXT, Role, codes, responses, say, silent_server};
use lws_proto::http::Status;
use lws_proto::{Bytes, Cause, Config, Event, Limit, Limits, MessageKind, Payload, Request};
use std::sync::Arc;
use std::time::Duration;
use tests::application::{Answer, Echo, NO_FIELDS, Silent};
use tests::endpoint::{Buffer, limits};
use tests::wire::{BINARY, BINARY_BEGINS, ENDS, GOES_ON, PING, TEXT, TEXT_BEGINS};
use tests::{Delivered, Endpoint, Seen, deliver};

fn serves(config: &Arc<Config>, input: impl AsRef<[u8]>) -> Delivered {
    deliver(|| Endpoint::server(Arc::clone(config), Echo::default()), input.as_ref())
}

/// `at` is answered with 200 and the connection goes on; `past` is answered with the status code of `limit`, which is delivered as the cause.
fn check(config: &Arc<Config>, at: impl AsRef<[u8]>, past: impl AsRef<[u8]>, limit: Limit) {
    let taken = serves(config, [at.as_ref(), NEXT.as_bytes()].concat());
    assert_eq!(codes(&taken), [200, 200], "at {}", limit.name());
    let refused = serves(config, past.as_ref());
    let answers = responses(&refused);
    assert_eq!(
        answers.iter().map(|answer| answer.status).collect::<Vec<_>>(),
        [limit.status()],
        "past {}",
        limit.name()
    );
    assert_eq!(answers[0].field("connection"), Some("close"));
    assert_eq!(refused.seen.causes(), [Cause::Limit(limit)]);
    assert_eq!(Cause::Limit(limit).name(), limit.name());
    assert!(refused.fin);
}

fn get_of(len: usize) -> String {
    let rest = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(len - rest))
}

#[test]
fn head_bytes_max() {
    let config = limits(|limits| limits.head_bytes_max = 500);
    check(&config, get_of(500), get_of(501), Limit::HeadBytes);
    // A line that does not end is not waited for.
    check(
        &config,
        get_of(500),
        "GET / HTTP/1.1\r\nHost: a\r\nX: ".to_owned() + &"x".repeat(1000),
        Limit::HeadBytes,
    );
    check(
        &config,
        get_of(500),
        "GET / HTTP/1.1\r\nHost: a\r\n".to_owned() + &"x".repeat(1000),
        Limit::HeadBytes,
    );
    let config = limits(|_| ());
    check(&config, get_of(16 << 10), get_of((16 << 10) + 1), Limit::HeadBytes);
    // The same of a response.
    let response = |len: usize| {
        let rest = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: \r\n\r\n".len();
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {}\r\n\r\n", "x".repeat(len - rest))
    };
    let config = limits(|limits| limits.head_bytes_max = 500);
    for (len, cause) in [(500, Cause::Complete), (501, Cause::Limit(Limit::HeadBytes))] {
        assert_eq!(client_receives(&config, response(len)).seen.causes(), [cause]);
    }
}

/// What a client makes of a response to its GET.
fn client_receives(config: &Arc<Config>, response: impl AsRef<[u8]>) -> Delivered {
    let make = || {
        let mut client = Endpoint::client(Arc::clone(config), Silent);
        let request = Request::get("a", "/");
        client
            .connection
            .request(client.now, &request, NO_FIELDS, Payload::Static(b""), true)
            .expect("a request");
        client.settle();
        client.forget();
        client
    };
    deliver(make, response.as_ref())
}

#[test]
fn empty_lines_before_a_head_count_too() {
    let config = limits(|limits| limits.head_bytes_max = 500);
    let delivered = serves(&config, "\r\n".repeat(10_000));
    assert!(delivered.fin, "empty lines without an end");
}

#[test]
fn target_bytes_max() {
    // RFC 9112 §3: "A server that receives a request-target longer than any URI it wishes to parse MUST respond with a 414 (URI Too Long) status code."
    // "It is RECOMMENDED that all HTTP senders and recipients support, at a minimum, request-line lengths of 8000 octets."
    let get = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(len - 1));
    let config = limits(|limits| limits.target_bytes_max = 300);
    check(&config, get(300), get(301), Limit::TargetBytes);
    let endless = "GET /".to_owned() + &"x".repeat(1000);
    check(&config, get(300), endless, Limit::TargetBytes);
    let config = limits(|_| ());
    check(&config, get(8 << 10), get((8 << 10) + 1), Limit::TargetBytes);
}

#[test]
fn field_lines_max() {
    let get = |lines: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(lines - 1));
    let config = limits(|limits| limits.field_lines_max = 5);
    check(&config, get(5), get(6), Limit::FieldLines);
    check(&config, get(5), get(5).trim_end().to_owned() + "\r\nX: y\r\nX: y\r\n", Limit::FieldLines);
    let config = limits(|_| ());
    check(&config, get(100), get(101), Limit::FieldLines);
    let response = |lines: usize| format!("HTTP/1.1 204 No Content\r\n{}\r\n", "X: y\r\n".repeat(lines));
    for (lines, cause) in [(100, Cause::Complete), (101, Cause::Limit(Limit::FieldLines))] {
        assert_eq!(client_receives(&config, response(lines)).seen.causes(), [cause]);
    }
}

#[test]
fn content_bytes_max() {
    let config = limits(|limits| limits.content_bytes_max = Some(100));
    let post = |len: usize| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{}", "x".repeat(len))
    };
    check(&config, post(100), post(101), Limit::ContentBytes);
    let chunks = |len: usize| {
        let chunks = "1\r\nx\r\n".repeat(len);
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
    };
    check(&config, chunks(100), chunks(101), Limit::ContentBytes);
    let chunk = |len: usize| {
        let chunk = "x".repeat(len);
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{len:x}\r\n{chunk}\r\n0\r\n\r\n"
        )
    };
    check(&config, chunk(100), chunk(101), Limit::ContentBytes);
    for (len, cause) in [(100, vec![]), (101, vec![Cause::Limit(Limit::ContentBytes)])] {
        let delivered = client_receives(&config, format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(len)));
        assert_eq!(delivered.seen.causes(), cause, "a response up to the close");
    }
}

#[test]
fn the_application_may_limit_content_for_one_exchange() {
    let app = |event: Event<'_>| match event {
        Event::Request { mut stream, .. } => stream.limit_content(10),
        Event::Body { stream, end: true, .. } => {
            let permit = stream.permit().expect("a permit");
            permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), true).expect("a response");
        }
        _ => {}
    };
    let post = |len: usize| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{}", "x".repeat(len))
    };
    for (len, expected) in [(10, vec![200, 200]), (11, vec![413])] {
        let input = if len == 10 { post(10).repeat(2) } else { post(len) };
        let delivered = deliver(|| Endpoint::server(limits(|_| ()), app), input.as_bytes());
        assert_eq!(codes(&delivered), expected);
    }
}

#[test]
fn chunk_extension_bytes_max() {
    // RFC 9112 §7.1.1: "A server ought to limit the total length of chunk extensions received in a request to an amount reasonable for the services provided".
    let config = limits(|limits| limits.chunk_extension_bytes_max = 20);
    let post = |extensions: &[usize]| {
        let chunks: String =
            extensions.iter().map(|len| format!("1;{}\r\nx\r\n", "e".repeat(len - 1))).collect();
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
    };
    check(&config, post(&[20]), post(&[21]), Limit::ChunkExtensionBytes);
    check(&config, post(&[10, 2, 8]), post(&[10, 2, 9]), Limit::ChunkExtensionBytes);
    // It counts per message.
    let two = post(&[20]).repeat(2);
    check(
        &config,
        two.strip_suffix(&post(&[20])).unwrap_or_default(),
        post(&[20, 2]),
        Limit::ChunkExtensionBytes,
    );
    let config = limits(|_| ());
    check(&config, post(&[4 << 10]), post(&[(4 << 10) + 1]), Limit::ChunkExtensionBytes);
}

#[test]
fn trailer_bytes_max() {
    let config = limits(|limits| limits.trailer_bytes_max = 50);
    let post = |len: usize| {
        let line = format!("X: {}\r\n\r\n", "x".repeat(len - 7));
        assert_eq!(line.len(), len);
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{line}")
    };
    check(&config, post(50), post(51), Limit::TrailerBytes);
    // And of lines, as in a head.
    let config = limits(|limits| limits.field_lines_max = 3);
    let post = |lines: usize| {
        let lines = "X: y\r\n".repeat(lines);
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{lines}\r\n")
    };
    check(&config, post(3), post(4), Limit::FieldLines);
}

#[test]
fn discard_bytes_max() {
    let config = limits(|limits| limits.discard_bytes_max = 10);
    // Chunked content has no announced length: it is counted as it does.
    let run = |len: usize| {
        let body = "1\r\nx\r\n".repeat(len);
        let post =
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}0\r\n\r\n{NEXT}");
        deliver(|| Endpoint::server(Arc::clone(&config), Answer::with("early")), post.as_bytes())
    };
    assert_eq!(codes(&run(10)), [200, 200]);
    let past = run(11);
    assert_eq!(codes(&past), [200]);
    assert_eq!(past.seen.causes(), [Cause::Limit(Limit::DiscardBytes)]);
    assert!(past.fin);
}

#[test]
fn keep_alive_requests_max() {
    let config = limits(|limits| limits.keep_alive_requests_max = 3);
    let delivered = serves(&config, NEXT.repeat(5));
    assert_eq!(codes(&delivered), [200; 3]);
    let last = responses(&delivered).pop().expect("a response");
    assert_eq!(last.field("connection"), Some("close"));
    assert!(delivered.fin);
    assert_eq!(codes(&serves(&config, NEXT.repeat(2))), [200; 2]);
    assert!(!serves(&config, NEXT.repeat(2)).fin);
}

#[test]
fn look_ahead_bytes_max() {
    // Past it nothing is closed: reading stops.
    let config = limits(|limits| limits.look_ahead_bytes_max = 100);
    let reads = |ahead: usize| {
        let mut server = Endpoint::server(Arc::clone(&config), Silent);
        server.receive(NEXT.as_bytes(), Buffer::Lent);
        server.receive(&vec![b'x'; ahead], Buffer::Lent);
        let reads = server.connection.interest().read;
        assert!(server.sent.is_empty() && server.seen.0.len() == 1);
        reads
    };
    assert!(reads(0));
    assert!(reads(99));
    assert!(!reads(100));
    assert!(!reads(10_000));
}

#[test]
fn send_queue_bytes_max_is_the_budget() {
    let config = limits(|limits| limits.send_queue_bytes_max = 1000);
    let mut server = Endpoint::websocket_server(Arc::clone(&config), Echo::default()).with_app(Silent);
    server.room = 0;
    let permit = server.websocket().permit().expect("a permit");
    assert_eq!(permit.budget(), 1000);
    permit.message(MessageKind::Binary, Payload::Copy(&[0; 296]), true).expect("a message");
    assert_eq!(server.stream().permit().expect("a permit").budget(), 700, "a header of 4 bytes counts, too");
}

#[test]
fn send_queue_bytes_max_ends_permits() {
    let config = limits(|limits| limits.send_queue_bytes_max = 1000);
    for (payload, more) in [(995, true), (996, false), (997, false)] {
        // A header of 4 bytes stands before it.
        let mut server = Endpoint::websocket_server(Arc::clone(&config), Echo::default()).with_app(Silent);
        server.room = 0;
        let permit = server.websocket().permit().expect("a permit");
        permit.message(MessageKind::Binary, Payload::Copy(&vec![0; payload]), true).expect("a message");
        assert_eq!(server.stream().permit().is_ok(), more, "{payload}");
        server.stream().want_write();
        server.settle();
        assert_eq!(server.seen.0.len(), usize::from(more));
        server.room = usize::MAX;
        server.settle();
        assert_eq!(server.seen.0, [Seen::Writable], "one permit for one wish");
    }
}

#[test]
fn try_queue_gives_the_message_back_when_it_does_not_fit() {
    let config = limits(|limits| limits.send_queue_bytes_max = 1000);
    const HEADER: usize = 14;
    for (len, fits) in [(0, true), (1000 - HEADER, true), (1000 - HEADER + 1, false), (5000, false)] {
        let mut server = Endpoint::websocket_server(Arc::clone(&config), Echo::default()).with_app(Silent);
        server.room = 0;
        let message = Bytes::from(vec![b'x'; len]);
        let outcome = server.websocket().try_queue(MessageKind::Text, message.clone());
        assert_eq!(outcome, if fits { Ok(()) } else { Err(message) }, "{len}");
    }
    // However many: what is queued stays below the limit.
    let mut server = Endpoint::websocket_server(Arc::clone(&config), Echo::default()).with_app(Silent);
    server.room = 0;
    let mut taken = 0;
    while server.websocket().try_queue(MessageKind::Text, Bytes::from_static(b"12345678")).is_ok() {
        taken += 1;
        assert!(taken < 1000, "a queue without a bound");
    }
    server.room = usize::MAX;
    server.settle();
    assert_eq!(server.sent.len(), taken * 10);
    assert!(server.sent.len() <= 1000 && taken >= 90, "{taken}");
}

#[test]
fn message_bytes_max() {
    let config = limits(|limits| limits.message_bytes_max = 300);
    let cause = Cause::Limit(Limit::MessageBytes);
    for role in Role::BOTH {
        let frames: [&[(u8, usize)]; 3] = [
            &[(TEXT, 300)],
            &[(BINARY_BEGINS, 100), (GOES_ON, 100), (ENDS, 100)],
            &[(TEXT_BEGINS, 0), (ENDS, 300)],
        ];
        for frames in frames {
            let bytes = |more: usize| {
                let (last, rest) = frames.split_last().expect("frames");
                let mut input: Vec<u8> =
                    rest.iter().flat_map(|(first, len)| role.incoming(*first, &vec![b'x'; *len])).collect();
                input.extend(role.incoming(last.0, &vec![b'x'; last.1 + more]));
                input
            };
            let make = || role.websocket(&config, false, Echo::default());
            let at = deliver(make, &bytes(0));
            assert_eq!(at.seen.contents()[0].0.len(), 300);
            let past = deliver(make, &bytes(1));
            assert_eq!(past.seen.causes(), [cause]);
            assert_eq!(past.seen.contents(), []);
            // It binds where messages are put together, and nowhere else.
            let streamed = deliver(|| role.websocket(&config, true, Echo::new(true)), &bytes(1));
            assert_eq!(streamed.seen.contents()[0].0.len(), 301);
        }
        // The header is enough to know: nothing is held for a message that is too long.
        let mut endpoint = role.websocket(&config, false, Echo::default());
        let long = role.incoming(BINARY, &[0; 70_000]);
        endpoint.receive(&long[..14], Buffer::Lent);
        assert_eq!(endpoint.seen.causes(), [cause]);
    }
    // Other messages do not count.
    let many: Vec<u8> = (0..10).flat_map(|_| Role::Server.incoming(TEXT, &[b'x'; 299])).collect();
    assert_eq!(Role::Server.receives_with(&config, &many).seen.contents().len(), 10);
}

#[test]
fn a_message_that_is_too_long_is_1009() {
    let config = limits(|limits| limits.message_bytes_max = 300);
    for role in Role::BOTH {
        let mut endpoint = role.websocket(&config, false, Echo::default());
        endpoint.receive(&role.incoming(BINARY, &[0; 301]), Buffer::Lent);
        assert_eq!(crate::support::unmasked(role, &endpoint.sent), [crate::support::sent_close(1009)]);
    }
}

#[test]
fn message_fragments_max() {
    // Empty fragments count, too.
    let config = limits(|limits| limits.message_fragments_max = 10);
    for role in Role::BOTH {
        for payload in [&b""[..], b"x"] {
            let fragments = |count: usize| {
                let mut input = role.incoming(BINARY_BEGINS, payload);
                (0..count - 2).for_each(|_| input.extend(role.incoming(GOES_ON, payload)));
                input.extend(role.incoming(PING, b""));
                input.extend(role.incoming(ENDS, payload));
                input
            };
            let make = || role.websocket(&config, false, Echo::default());
            let at = deliver(make, &[fragments(10), fragments(10)].concat());
            assert_eq!(at.seen.count(|seen| matches!(seen, Seen::Message { end: true, .. })), 2);
            let past = deliver(make, &fragments(11));
            assert_eq!(past.seen.causes(), [Cause::Limit(Limit::MessageFragments)]);
            let last = crate::support::sent_frames(role, &past).pop();
            assert_eq!(last, Some(crate::support::sent_close(1008)));
            let streamed = deliver(|| role.websocket(&config, true, Echo::new(true)), &fragments(11));
            assert_eq!(streamed.seen.causes(), []);
        }
    }
}

#[test]
fn pongs_per_second_max() {
    // RFC 6455 §5.5.3: "If an endpoint receives a Ping frame and has not yet sent Pong frame(s) in response to previous Ping frame(s), the endpoint MAY elect to
    // send a Pong frame for only the most recently processed Ping frame."
    let config = limits(|limits| limits.pongs_per_second_max = 3);
    for role in Role::BOTH {
        let mut endpoint = role.websocket(&config, false, Echo::default());
        let pings: Vec<u8> = (0..100_u8).flat_map(|number| role.incoming(PING, &[number])).collect();
        endpoint.receive(&pings, Buffer::Lent);
        let pong = |number: u8| crate::support::sent(tests::wire::PONG, [number]);
        assert_eq!(crate::support::unmasked(role, &endpoint.take_sent()), [pong(0), pong(1), pong(2)]);
        endpoint.wait(Duration::from_millis(999));
        assert!(endpoint.sent.is_empty());
        endpoint.wait(Duration::from_millis(1));
        assert_eq!(crate::support::unmasked(role, &endpoint.take_sent()), [pong(99)], "only the newest");
        endpoint.receive(&pings[..role.incoming(PING, b"x").len() * 5], Buffer::Lent);
        assert_eq!(crate::support::unmasked(role, &endpoint.take_sent()), [pong(0), pong(1)]);
    }
    assert_eq!(Limits::default().pongs_per_second_max, 10);
}

#[test]
fn pings_make_no_queue() {
    // However many Pings come while nothing can be sent, one Pong is owed at most.
    let config = limits(|limits| {
        limits.send_queue_bytes_max = 500;
        limits.pongs_per_second_max = u32::MAX;
    });
    let mut server = Endpoint::websocket_server(config, Echo::default()).with_app(Silent);
    server.room = 0;
    let pings: Vec<u8> =
        (0..1000_u32).flat_map(|number| Role::Server.incoming(PING, &number.to_be_bytes())).collect();
    server.receive(&pings, Buffer::Lent);
    server.room = usize::MAX;
    server.settle();
    let pongs = crate::support::unmasked(Role::Server, &server.sent);
    assert!(server.sent.len() < 600, "{} bytes were queued", server.sent.len());
    assert_eq!(pongs.last().map(|(_, payload)| payload.0.clone()), Some(999_u32.to_be_bytes().to_vec()));
}

#[test]
fn every_limit_has_its_own_name_and_answer() {
    let names: std::collections::HashSet<_> = Limit::ALL.iter().map(|limit| limit.name()).collect();
    assert_eq!(names.len(), Limit::ALL.len());
}

#[test]
fn a_message_over_the_queue_limit_is_taken_and_the_next_waits() {
    let mut server = silent_server();
    server.room = 0;
    let large = "x".repeat(1 << 20);
    say(server.websocket(), &large);
    assert!(server.stream().permit().is_err());
    server.stream().want_write();
    server.room = usize::MAX;
    server.step = 1000;
    server.settle();
    assert_eq!(server.seen.0, [Seen::Writable]);
    assert_eq!(server.sent.len(), (1 << 20) + 10);
}
