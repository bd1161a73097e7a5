//! A client and a server, both ours, over a link with its own weather. Scenarios in sentences.

use crate::support::{defaults, say};
use lws_proto::http::Status;
use lws_proto::ws::{CloseCode, Connect};
use lws_proto::{Cause, Deadline, Event, MessageKind, Payload, Protocol, Request};
use std::time::Duration;
use tests::application::{Echo, NO_FIELDS, Silent};
use tests::endpoint::limits;
use tests::{Endpoint, Pair, Random, Seen};

type Both = Pair<Silent, Echo>;

fn strangers() -> Both {
    Pair::new(Endpoint::client(defaults(), Silent), Endpoint::server(defaults(), Echo::default()))
}

fn connect(pair: &mut Both) {
    let connect = Connect::new("server.example.com", "/chat").streamed();
    pair.client.connection.connect_websocket(pair.client.now, &connect).expect("a handshake");
    pair.settle();
    assert!(matches!(pair.client.seen.0[..], [Seen::Established { protocol: Protocol::WebSocket, .. }]));
    pair.client.forget();
    pair.server.forget();
}

fn acquainted() -> Both {
    let mut pair = strangers();
    connect(&mut pair);
    pair
}

/// Every weather that a link may have. One that is slow and narrow, too, would be too slow for the limits.
fn weathers() -> impl Iterator<Item = Both> {
    let delays = [0, 1, 50];
    let cuts = [usize::MAX, 1, 7];
    delays.into_iter().flat_map(move |delay| {
        cuts.into_iter().flat_map(move |cut| {
            [usize::MAX, 1000, 1].into_iter().filter(move |window| delay == 0 || *window > 1).map(
                move |window| {
                    let mut pair = strangers();
                    for link in [&mut pair.up, &mut pair.down] {
                        link.delay = Duration::from_millis(delay);
                        link.cut = cut;
                        link.window = window;
                    }
                    pair
                },
            )
        })
    })
}

#[test]
fn what_the_client_says_comes_back_in_any_weather() {
    for mut pair in weathers() {
        connect(&mut pair);
        let mut random = Random::new(3);
        let mut expected = Vec::new();
        for len in [0, 1, 125, 126, 3000] {
            let payload = random.bytes(len);
            let permit = pair.client.websocket().permit().expect("a permit");
            permit.message(MessageKind::Binary, Payload::Copy(&payload), true).expect("a message");
            expected.push(tests::Octets(payload));
        }
        pair.settle();
        assert_eq!(pair.client.seen.contents(), expected);
    }
}

#[test]
fn the_client_closes_and_both_are_done() {
    for mut pair in weathers() {
        connect(&mut pair);
        say(pair.client.websocket(), "last words");
        pair.client.websocket().close(CloseCode::NORMAL, "bye").expect("a close");
        pair.settle();
        let code = CloseCode::NORMAL;
        assert_eq!(pair.client.seen.contents(), ["last words".into()]);
        assert_eq!(pair.client.seen.causes(), [Cause::Closed { code, by_peer: false }]);
        assert_eq!(pair.server.seen.causes(), [Cause::Closed { code, by_peer: true }]);
        assert!(pair.client.is_over() && pair.server.is_over());
    }
}

#[test]
fn the_server_closes_and_both_are_done() {
    for mut pair in weathers() {
        connect(&mut pair);
        pair.server.websocket().close(CloseCode::GOING_AWAY, "").expect("a close");
        pair.settle();
        let code = CloseCode::GOING_AWAY;
        assert_eq!(pair.server.seen.causes(), [Cause::Closed { code, by_peer: false }]);
        assert_eq!(pair.client.seen.causes(), [Cause::Closed { code, by_peer: true }]);
        assert!(pair.client.is_over() && pair.server.is_over());
    }
}

#[test]
fn a_post_comes_back_in_any_weather() {
    for mut pair in weathers() {
        let request = Request { method: "POST", target: "/echo", host: "a" };
        for (content, end) in [(&b""[..], true), (b"hello", true), (&[7; 3000], true), (b"begin ", false)] {
            pair.client.forget();
            let content = Payload::Copy(content);
            let sent =
                pair.client.connection.request(pair.client.now, &request, NO_FIELDS, content.clone(), end);
            let stream = sent.expect("a request").into_stream();
            let mut expected = content.as_ref().to_vec();
            if !end {
                stream.permit().expect("a permit").data(Payload::Static(b"end"), true).expect("content");
                expected.extend(b"end");
            }
            pair.settle();
            assert!(
                matches!(pair.client.seen.0[0], Seen::Response { status: 200, .. }),
                "{:?}",
                pair.client.seen
            );
            let back: Vec<u8> =
                pair.client.seen.contents().into_iter().flat_map(|content| content.0).collect();
            assert_eq!(back, expected);
            assert_eq!(pair.client.seen.causes(), [Cause::Complete]);
        }
    }
}

#[test]
fn a_quiet_pair_stays_together_by_pings() {
    let mut pair = acquainted();
    pair.up.delay = Duration::from_millis(20);
    pair.down.delay = Duration::from_millis(20);
    pair.wait(Duration::from_secs(3600));
    assert_eq!(pair.client.seen.causes(), []);
    assert_eq!(pair.server.seen.causes(), []);
    let pings = pair.client.seen.count(|seen| matches!(seen, Seen::Ping(_)));
    let pongs = pair.client.seen.count(|seen| matches!(seen, Seen::Pong(_)));
    assert!((200..=250).contains(&(pings + pongs)), "{pings} Pings and {pongs} Pongs in an hour");
}

#[test]
fn when_the_link_stops_both_give_up() {
    let mut pair = acquainted();
    pair.up.stopped = true;
    pair.down.stopped = true;
    pair.wait(Duration::from_secs(61));
    assert_eq!(pair.client.seen.causes(), [Cause::Timeout(Deadline::DeadPeer)]);
    assert_eq!(pair.server.seen.causes(), [Cause::Timeout(Deadline::DeadPeer)]);
    assert!(pair.client.is_over() && pair.server.is_over());
}

#[test]
fn a_peer_that_stops_reading_costs_what_is_queued_and_no_more() {
    let config = limits(|limits| limits.send_queue_bytes_max = 10_000);
    let mut pair: Both =
        Pair::new(Endpoint::client(defaults(), Silent), Endpoint::server(config, Echo::default()));
    connect(&mut pair);
    pair.down.stopped = true;
    pair.down.window = 20_000;
    pair.up.window = 20_000;
    let mut taken = 0;
    for _ in 0..1000 {
        let permit = pair.client.websocket().permit();
        if let Ok(permit) = permit {
            permit.message(MessageKind::Binary, Payload::Copy(&[7; 1000]), true).expect("a message");
            taken += 1;
        }
        pair.settle();
    }
    // What is under way, what the server holds and what the client may queue: not all thousand.
    assert!(taken < 200, "{taken} messages were taken in");
    pair.down.stopped = false;
    pair.settle();
    let back = pair.client.seen.contents();
    assert_eq!(back.len(), taken, "none is lost");
}

#[test]
fn a_slow_reader_is_given_up_at_its_deadline() {
    let mut pair = acquainted();
    pair.down.stopped = true;
    pair.down.window = 100;
    let text = "x".repeat(200_000);
    say(pair.server.websocket(), &text);
    pair.wait(Duration::from_secs(31));
    assert_eq!(pair.server.seen.causes(), [Cause::Timeout(Deadline::Stalled)]);
}

#[test]
fn a_server_that_drains_lets_the_running_exchange_end() {
    let mut client = Endpoint::client(defaults(), Silent);
    let request = Request::get("a", "/");
    client
        .connection
        .request(client.now, &request, NO_FIELDS, Payload::Static(b""), true)
        .expect("a request");
    let mut pair = Pair::new(client, Endpoint::server(defaults(), Silent));
    pair.settle();
    pair.server.connection.drain(pair.server.now);
    pair.settle();
    let permit = pair.server.exchange().permit().expect("a permit");
    permit.respond(Status::OK, NO_FIELDS, Payload::Static(b"last"), true).expect("a response");
    pair.settle();
    assert_eq!(pair.client.seen.contents(), ["last".into()]);
    assert_eq!(pair.client.seen.causes(), [Cause::Complete]);
    assert!(pair.client.is_over() && pair.server.is_over());
}

#[test]
fn a_tunnel_carries_bytes_both_ways_and_each_end_by_itself() {
    let mut client = Endpoint::client(defaults(), Silent);
    let request = Request { method: "CONNECT", target: "a.example:443", host: "a.example:443" };
    client
        .connection
        .request(client.now, &request, NO_FIELDS, Payload::Static(b""), true)
        .expect("a request");
    let mut pair = Pair::new(client, Endpoint::server(defaults(), Echo::default()));
    pair.settle();
    assert!(matches!(pair.client.seen.0[..], [Seen::Established { protocol: Protocol::Raw, .. }]));
    pair.client.raw().permit().expect("a permit").data(Payload::Static(b"\x16\x03"), false).expect("bytes");
    pair.settle();
    assert_eq!(pair.client.seen.contents(), ["\x16\x03".into()]);
    pair.client.raw().permit().expect("a permit").data(Payload::Static(b"bye"), true).expect("bytes");
    pair.settle();
    let back: Vec<u8> = pair.client.seen.contents().into_iter().flat_map(|content| content.0).collect();
    assert_eq!(back, b"\x16\x03bye");
    for causes in [pair.client.seen.causes(), pair.server.seen.causes()] {
        assert!(matches!(causes[..], [Cause::Closed { code: CloseCode::NO_STATUS, .. }]), "{causes:?}");
    }
    assert!(pair.client.is_over() && pair.server.is_over());
}

#[test]
fn an_application_that_only_listens_is_notified_of_the_end_of_the_other() {
    let causes = std::cell::RefCell::new(Vec::new());
    let app = |event: Event<'_>| {
        if let Event::Closed { cause, .. } = event {
            causes.borrow_mut().push(cause);
        }
    };
    let server = Endpoint::websocket_server(defaults(), Echo::default()).with_app(app);
    let client = Endpoint::websocket_client(defaults(), Connect::new("a", "/"), Silent);
    let mut pair = Pair::new(client, server);
    pair.client.stream().abort();
    pair.settle();
    assert_eq!(*causes.borrow(), [Cause::Disconnected]);
}
