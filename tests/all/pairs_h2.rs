//! Client and server with a link between them, over HTTP/2: whole lives of connections with many streams, with delay, cuts and narrow
//! windows.

use crate::support::defaults;
use lws_proto::http::Status;
use lws_proto::ws::{CloseCode, Connect};
use lws_proto::{Bytes, Cause, Config, Event, MessageKind, Payload, Request, StreamKey};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tests::application::{Each, Echo, NO_FIELDS, Silent};
use tests::endpoint::limits;
use tests::{Application, Endpoint, Octets, Pair, Random};

fn pair<C: Application, S: Application>(config: &Arc<Config>, client: C, server: S) -> Pair<C, S> {
    let client = Endpoint::http2_client(Arc::clone(config), client);
    Pair::new(client, Endpoint::http2_server(Arc::clone(config), server))
}

/// Makes a request on a pair.
fn ask<C: Application, S>(pair: &mut Pair<C, S>, method: &str, content: Vec<u8>) -> StreamKey {
    let request = Request { method, target: "/", host: "a" };
    let content = Payload::Own(Bytes::from(content));
    let client = &mut pair.client;
    client.connection.request(client.now, &request, NO_FIELDS, content, true).expect("a request").key()
}

/// Changes the link: no delay or some, whole or in pieces, with a narrow transport or a wide one.
fn links(mut run: impl FnMut(&str, &mut dyn FnMut(Pair<Silent, Each<Echo>>) -> Pair<Silent, Each<Echo>>)) {
    for (name, delay, cut, window) in [
        ("perfect", 0, usize::MAX, usize::MAX),
        ("late", 40, usize::MAX, usize::MAX),
        ("in pieces", 0, 7, usize::MAX),
        ("narrow", 5, 100, 300),
        ("late and narrow", 40, 1_000, 1_500),
    ] {
        run(name, &mut |mut pair| {
            for link in [&mut pair.up, &mut pair.down] {
                (link.delay, link.cut, link.window) = (Duration::from_millis(delay), cut, window);
            }
            pair
        });
    }
}

#[test]
fn many_requests_are_echoed_over_every_link() {
    links(|name, link| {
        let mut pair = link(pair(&defaults(), Silent, Each::echo()));
        let mut random = Random::new(7);
        let sent: Vec<(StreamKey, Vec<u8>)> = (0..20)
            .map(|_| {
                let len = random.below(3_000);
                let content = random.bytes(len);
                (ask(&mut pair, "POST", content.clone()), content)
            })
            .collect();
        pair.settle();
        for (key, content) in sent {
            let transcript = pair.client.of(key);
            assert_eq!(transcript.causes(), [Cause::Complete], "{name}");
            let found = transcript.contents().into_iter().next().unwrap_or_default();
            assert_eq!(found, Octets(content), "{name}");
        }
        assert_eq!(pair.server.seen.causes(), [Cause::Complete; 20], "{name}");
    });
}

#[test]
fn large_bodies_go_both_ways_at_once() {
    for window in [1_000, 65_535] {
        let config =
            limits(|limits| (limits.h2_stream_window, limits.h2_stream_window_max) = (window, window));
        let mut pair = pair(&config, Silent, Each::echo());
        (pair.up.delay, pair.down.delay) = (Duration::from_millis(3), Duration::from_millis(3));
        let content = Random::new(1).bytes(300_000);
        let keys: Vec<_> = (0..3).map(|_| ask(&mut pair, "POST", content.clone())).collect();
        pair.settle();
        for key in keys {
            assert_eq!(pair.client.of(key).causes(), [Cause::Complete], "{window} {:?}", pair.client.now);
            assert_eq!(pair.client.of(key).contents(), [Octets(content.clone())], "{window}");
            assert_eq!(pair.client.of(key).causes(), [Cause::Complete], "{window}");
        }
    }
}

/// One stream is paused by the client; the others come, and it goes on from where it stood.
#[test]
fn one_stream_is_paused_among_others() {
    let paused: Rc<RefCell<Option<StreamKey>>> = Rc::default();
    let wanted = Rc::clone(&paused);
    let app = move |event: Event<'_>| {
        if let Event::Response { mut stream, .. } = event
            && *wanted.borrow() == Some(stream.key())
        {
            stream.pause();
        }
    };
    let mut pair = pair(&defaults(), app, Each::echo());
    let content = Random::new(1).bytes(200_000);
    let held = ask(&mut pair, "POST", content.clone());
    *paused.borrow_mut() = Some(held);
    let others: Vec<_> = (0..5).map(|_| ask(&mut pair, "POST", content.clone())).collect();
    pair.settle();
    for key in others {
        assert_eq!(pair.client.of(key).contents(), [Octets(content.clone())]);
        assert_eq!(pair.client.of(key).causes(), [Cause::Complete]);
    }
    assert_eq!(pair.client.of(held).contents(), []);
    pair.client.connection.stream(held).expect("the stream").resume();
    pair.settle();
    assert_eq!(pair.client.of(held).contents(), [Octets(content)]);
    assert_eq!(pair.client.of(held).causes(), [Cause::Complete]);
}

#[test]
fn several_websockets_and_requests_share_a_connection() {
    links(|name, link| {
        let mut pair = link(pair(&defaults(), Silent, Each::echo()));
        let sockets: Vec<_> = (0..5)
            .map(|_| {
                let client = &mut pair.client;
                client
                    .connection
                    .connect_websocket(client.now, &Connect::new("a", "/chat"))
                    .expect("a handshake")
            })
            .collect();
        pair.settle();
        for (at, key) in sockets.iter().enumerate() {
            for part in 0..3 {
                let message = format!("{part} of {at}").repeat(50);
                let stream = pair.client.connection.websocket(*key).expect("the WebSocket");
                let permit = stream.permit().expect("a permit");
                permit
                    .message(MessageKind::Text, Payload::Copy(message.as_bytes()), true)
                    .expect("a message")
                    .throttle();
                pair.settle();
            }
        }
        let key = ask(&mut pair, "POST", vec![b'x'; 5_000]);
        pair.settle();
        assert_eq!(pair.client.of(key).causes(), [Cause::Complete], "{name}");
        for (at, key) in sockets.iter().enumerate() {
            let expected: Vec<_> =
                (0..3).map(|part| Octets::from(format!("{part} of {at}").repeat(50).as_str())).collect();
            assert_eq!(pair.client.of(*key).contents(), expected, "{name}");
            let stream = pair.client.connection.websocket(*key).expect("the WebSocket");
            stream.close(CloseCode::NORMAL, "bye").expect("a close");
        }
        pair.settle();
        for key in sockets {
            let closed = Cause::Closed { code: CloseCode::NORMAL, by_peer: false };
            assert_eq!(pair.client.of(key).causes(), [closed], "{name}");
        }
        assert!(!pair.client.is_over());
    });
}

/// Both sides end in order while requests run: none is lost, and nothing is left.
#[test]
fn a_drain_loses_nothing() {
    for by_server in [true, false] {
        let app = || Each::of(Echo::default);
        let mut pair = pair(&defaults(), Silent, app());
        (pair.up.delay, pair.down.delay) = (Duration::from_millis(20), Duration::from_millis(20));
        let first = ask(&mut pair, "POST", vec![b'1'; 100_000]);
        pair.wait(Duration::from_millis(30));
        let now = pair.client.now;
        if by_server {
            pair.server.connection.drain(now);
        } else {
            pair.client.connection.drain(now);
        }
        // On its way while the server says so.
        let second = by_server.then(|| ask(&mut pair, "POST", b"2".to_vec()));
        pair.wait(Duration::from_secs(8));
        assert_eq!(pair.client.of(first).causes(), [Cause::Complete], "{by_server}");
        if let Some(second) = second {
            assert_eq!(pair.client.of(second).causes(), [Cause::Complete]);
        }
        assert!(pair.client.is_over() && pair.server.is_over(), "{by_server}");
    }
}

/// Streams that become writable in another order than they asked in.
#[test]
fn answers_come_in_whatever_order_they_are_made() {
    let tickets: Rc<RefCell<Vec<lws_proto::WriteTicket>>> = Rc::default();
    let kept = Rc::clone(&tickets);
    let app = move |event: Event<'_>| {
        if let Event::Request { stream, .. } = event {
            kept.borrow_mut().push(stream.permit().expect("a permit").into_ticket());
        }
    };
    let mut pair = pair(&defaults(), Silent, app);
    let keys: Vec<_> = (0..30).map(|_| ask(&mut pair, "GET", Vec::new())).collect();
    pair.settle();
    let mut random = Random::new(3);
    while !tickets.borrow().is_empty() {
        let at = random.below(tickets.borrow().len());
        let ticket = tickets.borrow_mut().remove(at);
        let permit =
            pair.server.connection.redeem(ticket).expect("a permit").into_exchange().expect("an exchange");
        permit.respond(Status::OK, NO_FIELDS, Payload::Static(b"late"), true).expect("a response").throttle();
        if random.one_in(3) {
            pair.settle();
        }
    }
    pair.settle();
    for key in keys {
        assert_eq!(pair.client.of(key).contents(), [Octets::from("late")]);
        assert_eq!(pair.client.of(key).causes(), [Cause::Complete]);
    }
}

/// Both sides send more than their transports take. Neither waits for the other to read: "Endpoints MUST read and process HTTP/2 frames from the TCP
/// receive buffer as soon as data is available. Failure to read promptly could lead to a deadlock". RFC 9113 §5.2.2.
#[test]
fn two_that_send_at_once_do_not_wait_for_each_other() {
    let config = limits(|limits| limits.h2_stream_window = 1 << 20);
    let content = Payload::Own(Bytes::from(vec![b'r'; 500_000]));
    let app = move |event: Event<'_>| match event {
        Event::Request { mut stream, .. } => stream.want_write(),
        Event::Writable(permit) => {
            permit
                .into_exchange()
                .expect("an exchange")
                .respond(Status::OK, NO_FIELDS, content.clone(), true)
                .expect("a response")
                .throttle();
        }
        _ => {}
    };
    let mut pair = pair(&config, Silent, app);
    for link in [&mut pair.up, &mut pair.down] {
        (link.delay, link.window) = (Duration::from_millis(5), 10_000);
    }
    let ping = ask(&mut pair, "GET", Vec::new());
    pair.settle();
    let keys: Vec<_> = (0..2).map(|_| ask(&mut pair, "POST", vec![b'q'; 500_000])).collect();
    pair.settle();
    for key in keys.into_iter().chain([ping]) {
        assert_eq!(pair.client.of(key).contents()[0].0.len(), 500_000);
        assert_eq!(pair.client.of(key).causes(), [Cause::Complete]);
    }
}
