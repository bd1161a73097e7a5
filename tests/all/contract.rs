//! The contract between the engine and its driver: permits, tickets, back pressure, forced service, the end.

use crate::support::{NEXT, Role, codes, defaults, say, sent, sent_close, silent_server, unmasked};
use lws_proto::http::Status;
use lws_proto::ws::{Accept, CloseCode};
use lws_proto::{
    ByProtocol, Bytes, Cause, Config, Connection, Event, Expect, MessageKind, Misuse, Payload, Request,
    StreamKey, Time, WriteTicket,
};
use std::cell::RefCell;
use std::sync::Arc;
use tests::application::{Answer, Echo, NO_FIELDS, Silent};
use tests::endpoint::{Buffer, OPENING, limits};
use tests::wire::{BINARY, CLOSE, PING, PONG, TEXT, close_payload};
use tests::{Delivered, Endpoint, Seen, deliver};

// Permits.

#[test]
fn one_wish_is_one_permit() {
    for role in Role::BOTH {
        let mut endpoint = role.websocket(&defaults(), false, Echo::default()).with_app(Silent);
        endpoint.stream().want_write();
        endpoint.stream().want_write();
        assert!(endpoint.connection.needs_service(), "a due permit is forced service");
        endpoint.settle();
        assert_eq!(endpoint.seen.0, [Seen::Writable]);
        endpoint.settle();
        assert_eq!(endpoint.seen.0.len(), 1, "a permit that was dropped does not come again");
        endpoint.stream().want_write();
        endpoint.settle();
        assert_eq!(endpoint.seen.0.len(), 2);
    }
}

#[test]
fn a_permit_is_given_in_the_same_turn() {
    // An answer in the turn in which the message came: no wait, no second look.
    let answered = RefCell::new(false);
    let app = |event: Event<'_>| {
        if let Event::Message { stream, chunk, kind, .. } = event {
            let permit = stream.permit().expect("a permit in the same turn");
            permit.message(kind, Payload::Copy(chunk), true).expect("an answer");
            *answered.borrow_mut() = true;
        }
    };
    let mut server = silent_server().with_app(app);
    let mut input = Role::Server.incoming(TEXT, b"hello");
    let mut feed = server.connection.receive(Time::ZERO, &mut input);
    while let Some(event) = feed.next_event() {
        tests::Application::event(&mut server.app, event);
    }
    drop(feed);
    assert!(*answered.borrow());
    assert!(server.connection.interest().write);
    assert_eq!(server.connection.transmit(Time::ZERO).expect("output").first(), b"\x81\x05hello");
}

#[test]
fn again_asks_for_the_next_permit() {
    let mut left = 5;
    let app = |event: Event<'_>| {
        if let Event::Writable(permit) = event {
            let permit = permit.into_websocket().expect("a WebSocket");
            let sent = permit.text("x").expect("a message");
            left -= 1;
            if left > 0 {
                sent.again();
            }
        }
    };
    let mut server = silent_server().with_app(app);
    server.stream().want_write();
    server.settle();
    assert_eq!(unmasked(Role::Server, &server.sent), vec![sent(TEXT, b"x"); 5]);
    assert_eq!(server.writes, 1, "small messages of one turn leave in one write");
}

#[test]
fn pipelined_messages_are_answered_in_one_write() {
    let mut server = Endpoint::websocket_server(defaults(), Echo::default());
    let input: Vec<u8> = (0..16).flat_map(|_| Role::Server.incoming(BINARY, &[7; 128])).collect();
    server.receive(&input, Buffer::Lent);
    assert_eq!(unmasked(Role::Server, &server.sent).len(), 16);
    assert_eq!(server.writes, 1);
}

// Tickets.

fn ticket(endpoint: &mut Endpoint<Silent>) -> WriteTicket {
    endpoint.stream().permit().expect("a permit").into_ticket()
}

#[test]
fn a_ticket_is_the_permit_for_later() {
    let mut server = silent_server();
    let kept = ticket(&mut server);
    assert_eq!(kept.key(), server.key());
    // No other permit is given meanwhile.
    assert!(server.stream().permit().is_err());
    server.stream().want_write();
    server.settle();
    assert_eq!(server.seen.0, []);
    server.receive(&Role::Server.incoming(PING, b"1"), Buffer::Lent);
    server
        .connection
        .redeem(kept)
        .expect("a permit")
        .into_websocket()
        .expect("a WebSocket")
        .text("late")
        .expect("a message");
    server.settle();
    assert_eq!(unmasked(Role::Server, &server.sent), [sent(PONG, b"1"), sent(TEXT, b"late")]);
    // The wish that waited is granted now.
    assert_eq!(server.seen.0, [Seen::Ping("1".into()), Seen::Writable]);
}

#[test]
fn a_ticket_waits_while_the_queue_is_full() {
    let mut server = silent_server();
    let kept = ticket(&mut server);
    server.room = 0;
    for message in [&[0; 1000][..], &[]] {
        while server.websocket().try_queue(MessageKind::Binary, Bytes::copy_from_slice(message)).is_ok() {}
    }
    // A Pong is what fills the last bytes.
    server.receive(&Role::Server.incoming(PING, &[0; 125]), Buffer::Lent);
    let kept = server.connection.redeem(kept).expect_err("the queue is full");
    server.room = usize::MAX;
    server.settle();
    assert!(server.connection.redeem(kept).is_ok());
}

#[test]
fn a_ticket_of_a_stream_that_ended_is_never_redeemed() {
    let mut server = silent_server();
    let kept = ticket(&mut server);
    server.receive(&Role::Server.incoming(CLOSE, b""), Buffer::Lent);
    let kept = server.connection.redeem(kept).expect_err("the stream has ended");
    assert!(server.connection.redeem(kept).is_err());
    // Nor for the exchange that follows on the same connection.
    let mut server = Endpoint::server(defaults(), Silent);
    server.receive(NEXT.as_bytes(), Buffer::Lent);
    let old = ticket(&mut server);
    let old = {
        let permit = server.connection.redeem(old).expect("a permit").into_exchange().expect("an exchange");
        let key = permit.key();
        permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), true).expect("a response");
        key
    };
    server.receive(NEXT.as_bytes(), Buffer::Lent);
    let new = ticket(&mut server);
    assert_ne!(old, new.key());
    assert!(server.connection.stream(old).is_none());
}

// Keys and the end.

#[test]
fn a_stale_key_finds_nothing() {
    let mut server = Endpoint::server(defaults(), Answer::with("x"));
    let mut keys: Vec<StreamKey> = Vec::new();
    for _ in 0..3 {
        let seen = RefCell::new(None);
        let mut other = Endpoint::server(defaults(), |event: Event<'_>| {
            if let Event::Request { stream, .. } = event {
                *seen.borrow_mut() = Some(stream.key());
            }
        });
        other.receive(NEXT.as_bytes(), Buffer::Lent);
        drop(other);
        keys.extend(*seen.borrow());
        server.receive(NEXT.as_bytes(), Buffer::Lent);
        assert!(keys.iter().all(|key| server.connection.stream(*key).is_none()));
    }
}

#[test]
fn closed_is_delivered_once_whatever_comes_after_it() {
    for role in Role::BOTH {
        for number in 0..5 {
            let mut endpoint = role.websocket(&defaults(), false, Echo::default()).with_app(Silent);
            let key = endpoint.key();
            match number {
                0 => endpoint.stream().abort(),
                1 => endpoint.connection.abort(),
                2 => endpoint.connection.transport_failed(endpoint.now),
                3 => endpoint.receive_eof(),
                _ => endpoint.receive(&[0xff; 20], Buffer::Lent),
            }
            endpoint.settle();
            let cause = endpoint.seen.causes();
            assert_eq!(cause.len(), 1, "end {number}");
            assert!(endpoint.connection.stream(key).is_none());
            endpoint.connection.transport_failed(endpoint.now);
            endpoint.connection.abort();
            endpoint.connection.drain(endpoint.now);
            endpoint.receive(&role.incoming(TEXT, b"late"), Buffer::Own);
            endpoint.receive_eof();
            endpoint.wait(std::time::Duration::from_secs(1000));
            assert_eq!(endpoint.seen.causes(), cause, "end {number}");
            assert!(endpoint.is_over() && endpoint.connection.next_timeout().is_none());
        }
    }
}

#[test]
fn an_abort_loses_what_is_queued() {
    let mut server = silent_server();
    server.room = 0;
    say(server.websocket(), "lost");
    server.stream().abort();
    server.room = usize::MAX;
    server.settle();
    assert!(server.sent.is_empty() && server.is_over());
    assert_eq!(server.seen.0, [Seen::Closed(Cause::Aborted)]);
}

// Back pressure.

#[test]
fn a_pause_loses_nothing() {
    for role in Role::BOTH {
        for streamed in [false, true] {
            let input: Vec<u8> =
                [b"one", b"two"].iter().flat_map(|text| role.incoming(TEXT, *text)).collect();
            let mut endpoint = role.websocket(&defaults(), streamed, Echo::new(streamed)).with_app(Silent);
            endpoint.stream().pause();
            assert!(endpoint.stream().is_paused());
            endpoint.settle();
            assert!(!endpoint.connection.interest().read, "the transport's flow control stops the peer");
            // What was on its way comes all the same.
            for byte in &input {
                endpoint.receive(&[*byte], Buffer::Lent);
            }
            endpoint.receive_eof();
            assert_eq!(endpoint.seen.0, []);
            assert!(!endpoint.connection.needs_service());
            endpoint.stream().resume();
            assert!(endpoint.connection.needs_service() && endpoint.connection.interest().service);
            endpoint.settle();
            assert_eq!(endpoint.seen.contents(), ["one".into(), "two".into()]);
            assert_eq!(endpoint.seen.causes(), [Cause::Disconnected]);
        }
    }
}

#[test]
fn a_pause_in_the_middle_of_a_turn_stops_at_once() {
    let app = |event: Event<'_>| {
        if let Event::Message { mut stream, .. } = event {
            stream.pause();
        }
    };
    let input: Vec<u8> = (0..5_u8).flat_map(|number| Role::Server.incoming(BINARY, &[number])).collect();
    for buffer in [Buffer::Lent, Buffer::Own] {
        let mut server = silent_server().with_app(app);
        server.receive(&input, buffer);
        for number in 0..5_u8 {
            assert_eq!(server.seen.contents().len(), usize::from(number) + 1);
            assert!(!server.connection.interest().read || number == 4);
            server.stream().resume();
            server.settle();
        }
    }
}

#[test]
fn a_paused_request_is_content_later() {
    let app = |event: Event<'_>| match event {
        Event::Request { mut stream, .. } => stream.pause(),
        Event::Body { stream, end: true, .. } => {
            let permit = stream.permit().expect("a permit");
            permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), true).expect("a response");
        }
        _ => {}
    };
    let mut server = Endpoint::server(defaults(), app);
    server.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", Buffer::Lent);
    server.receive(NEXT.as_bytes(), Buffer::Lent);
    assert_eq!(server.seen.0.len(), 1);
    server.stream().resume();
    server.settle();
    assert_eq!(server.seen.contents(), ["hello".into()]);
    assert_eq!(codes(&Delivered::of(&server)), [200]);
}

#[test]
fn whoever_throttles_needs_no_queue() {
    // An echo that answers each message at once: with a peer that does not read, input waits and what is queued stays near the limit.
    let config = limits(|limits| limits.send_queue_bytes_max = 10_000);
    let mut server = Endpoint::websocket_server(config, Echo::default());
    server.room = 0;
    let message = Role::Server.incoming(BINARY, &[7; 3000]);
    let mut offered = 0;
    while server.connection.interest().read {
        server.receive(&message, Buffer::Lent);
        offered += 1;
        assert!(offered < 100, "input is taken without an end");
    }
    assert!(!server.connection.needs_service());
    let delivered = server.seen.count(|seen| matches!(seen, Seen::Message { .. }));
    assert!(delivered <= 5, "{delivered} messages of 3,000 bytes over a limit of 10,000");
    // Nothing is lost.
    server.room = usize::MAX;
    server.settle();
    assert_eq!(unmasked(Role::Server, &server.sent), vec![sent(BINARY, [7; 3000]); offered]);
    assert!(server.connection.interest().read);
}

#[test]
fn a_throttled_turn_goes_on_when_the_transport_takes_some() {
    let config = limits(|limits| limits.send_queue_bytes_max = 1_000);
    let input: Vec<u8> = (0..200).flat_map(|_| Role::Server.incoming(BINARY, &[7; 300])).collect();
    let delivered = deliver(|| Endpoint::websocket_server(Arc::clone(&config), Echo::default()), &input);
    assert_eq!(unmasked(Role::Server, &delivered.sent.0).len(), 200);
}

#[test]
fn a_throttled_stream_that_closes_still_hears_the_peers_close() {
    let config = limits(|limits| limits.send_queue_bytes_max = 1_000);
    let mut server = Endpoint::websocket_server(config, Echo::default());
    server.room = 0;
    server.receive(&Role::Server.incoming(BINARY, &[7; 3_000]), Buffer::Lent);
    assert!(!server.connection.interest().read, "throttled");
    server.websocket().close(CloseCode::NORMAL, "").expect("a Close frame");
    server.room = usize::MAX;
    server.settle();
    assert!(server.connection.interest().read, "no permit comes any more, so nothing is throttled");
    server.receive(&Role::Server.incoming(CLOSE, &[3, 232]), Buffer::Lent);
    assert!(server.seen.count(|seen| matches!(seen, Seen::Closed(_))) == 1);
}

#[test]
fn a_throttled_raw_stream_that_ends_still_hears_the_peers_end() {
    let config = limits(|limits| limits.send_queue_bytes_max = 1_000);
    let raw = Arc::new(Config { limits: config.limits.clone(), expect: Expect::Raw, ..Config::default() });
    let mut server = Endpoint::server(raw, Silent);
    server.settle();
    server.room = 0;
    let permit = server.raw().permit().expect("a permit");
    permit.data(Payload::Copy(&[7; 3_000]), true).expect("the last bytes").throttle();
    server.room = usize::MAX;
    server.settle();
    assert!(server.connection.interest().read);
}

// Forced service and interest.

#[test]
fn interest_tells_the_truth() {
    let mut server = Endpoint::server(defaults(), Silent);
    let interest = server.connection.interest();
    assert!(interest.read && !interest.write && !interest.service && !interest.close && !interest.shutdown);
    assert!(interest.deadline.is_some());
    server.room = 0;
    server.receive(NEXT.as_bytes(), Buffer::Lent);
    assert!(!server.connection.interest().write);
    let permit = server.exchange().permit().expect("a permit");
    permit.respond(Status::OK, NO_FIELDS, Payload::Static(b"x"), true).expect("a response");
    assert!(server.connection.interest().write);
    server.settle();
    assert!(server.connection.interest().write, "nothing was taken");
    server.room = usize::MAX;
    server.settle();
    assert!(!server.connection.interest().write);
}

#[test]
fn bytes_in_the_engines_buffer_are_forced_service_until_they_are_looked_at() {
    let mut server = silent_server();
    let frame = Role::Server.incoming(TEXT, b"x");
    server.connection.recv_buf()[..frame.len()].copy_from_slice(&frame);
    server.connection.received(server.now, frame.len());
    assert!(server.connection.needs_service());
    server.settle();
    assert_eq!(server.seen.contents(), ["x".into()]);
    assert!(!server.connection.needs_service());
    // No bytes are no service.
    assert!(!server.connection.recv_buf().is_empty());
    server.connection.received(server.now, 0);
    server.settle();
}

#[test]
fn a_feed_that_is_dropped_early_keeps_what_was_not_looked_at() {
    let mut server = silent_server();
    let mut input: Vec<u8> =
        [b"one", b"two"].iter().flat_map(|text| Role::Server.incoming(TEXT, *text)).collect();
    let mut feed = server.connection.receive(Time::ZERO, &mut input);
    let first = feed.next_event().map(|event| Seen::of(&event));
    assert_eq!(first, Some(Seen::Message { kind: MessageKind::Text, content: "one".into(), end: true }));
    assert!(feed.remaining() > 0);
    drop(feed);
    assert!(server.connection.needs_service());
    server.settle();
    assert_eq!(server.seen.contents(), ["two".into()]);
    // A feed that was not looked at keeps everything, behind what was kept before.
    let mut three = Role::Server.incoming(TEXT, b"three");
    let mut four = Role::Server.incoming(TEXT, b"four");
    drop(server.connection.receive(Time::ZERO, &mut three));
    drop(server.connection.receive(Time::ZERO, &mut four));
    server.settle();
    assert_eq!(server.seen.contents()[1..], ["three".into(), "four".into()]);
}

#[test]
fn a_completion_loop_says_later_what_was_taken() {
    // `transmit` looks, `transmitted` tells: nothing is taken by looking.
    let mut server = silent_server();
    say(server.websocket(), "hello");
    for _ in 0..3 {
        assert_eq!(server.connection.transmit(server.now).expect("output").first(), b"\x81\x05hello");
    }
    server.connection.transmitted(server.now, 3);
    assert_eq!(server.connection.transmit(server.now).expect("output").first(), b"ello");
    server.connection.transmitted(server.now, 4);
    assert!(server.connection.transmit(server.now).is_none());
}

#[test]
fn owned_payloads_stand_between_their_headers_without_a_copy() {
    let payload = Bytes::from(vec![7; 10_000]);
    let mut server = silent_server();
    let permit = server.websocket().permit().expect("a permit");
    permit.message(MessageKind::Binary, Payload::Own(payload.clone()), true).expect("a message");
    let transmit = server.connection.transmit(server.now).expect("output");
    let mut slices = [&[][..]; lws_proto::SLICES_MAX];
    let count = transmit.slices(&mut slices);
    assert_eq!(slices[..count].iter().map(|slice| slice.len()).collect::<Vec<_>>(), [4, 10_000]);
    assert_eq!(slices[1].as_ptr(), payload.as_ptr(), "not copied");
}

#[test]
fn the_end_of_a_server_that_answered_early_is_forced_service() {
    // A client that is still sending its content receives the whole response, and then the end.
    let mut client = Endpoint::client(defaults(), Silent);
    let request = Request { method: "POST", target: "/", host: "a" };
    client
        .connection
        .request(client.now, &request, NO_FIELDS, Payload::Static(b"begin"), false)
        .expect("a request");
    client.settle();
    client.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Buffer::Lent);
    assert_eq!(client.seen.0.len(), 1);
    client.receive_eof();
    assert_eq!(client.seen.causes().len(), 1);
}

// Buffers.

#[test]
fn a_lent_transmit_buffer_comes_back() {
    let mut spare = Vec::with_capacity(4096);
    let mut server = silent_server();
    server.connection.lend(&mut spare);
    assert_eq!(spare.capacity(), 0);
    say(server.websocket(), "hello");
    server.settle();
    server.connection.reclaim(&mut spare);
    assert!(spare.capacity() >= 4096 && spare.is_empty());
    // What a slow peer leaves in it stays with the connection, without the room that it does not need.
    server.connection.lend(&mut spare);
    say(server.websocket(), "slow");
    server.connection.reclaim(&mut spare);
    assert_eq!(spare.capacity(), 0, "it is in use");
    server.settle();
    server.connection.reclaim(&mut spare);
    assert_eq!(spare.capacity(), 0, "it has gone");
    // One that was not lent is not taken.
    let mut spare = Vec::with_capacity(4096);
    say(server.websocket(), "again");
    server.settle();
    server.connection.reclaim(&mut spare);
    assert!(spare.capacity() >= 4096);
}

// Roles and protocols.

#[test]
fn a_server_asks_for_nothing_and_a_client_for_one_thing_at_a_time() {
    let mut server = Connection::server(Time::ZERO, defaults());
    let request = lws_proto::Request::get("a", "/");
    let outcome = server.request(Time::ZERO, &request, NO_FIELDS, Payload::Static(b""), true);
    assert_eq!(outcome.err(), Some(Misuse::WrongState));
    let connect = lws_proto::ws::Connect::new("a", "/");
    assert!(server.connect_websocket(Time::ZERO, &connect).is_err());
    let mut websocket = Role::Client.websocket(&defaults(), false, Silent);
    assert!(websocket.connection.connect_websocket(Time::ZERO, &connect).is_err());
    assert!(
        websocket.connection.request(Time::ZERO, &request, NO_FIELDS, Payload::Static(b""), true).is_err()
    );
}

#[test]
fn an_opening_that_was_accepted_is_no_exchange_any_more() {
    let app = |event: Event<'_>| {
        if let Event::Request { stream, head, .. } = event {
            let websocket = stream.accept_websocket(&head, &Accept::new()).expect("an opening");
            let stream = websocket.into_any().into_exchange().expect_err("a WebSocket");
            assert!(matches!(stream.by_protocol(), Ok(ByProtocol::WebSocket(_))));
        }
    };
    let delivered = deliver(|| Endpoint::server(defaults(), app), OPENING.as_bytes());
    assert_eq!(delivered.seen.0.len(), 2);
}

// Ending in order.

#[test]
fn a_drained_websocket_gets_1001() {
    for role in Role::BOTH {
        let mut endpoint = role.websocket(&defaults(), false, Echo::default());
        endpoint.connection.drain(endpoint.now);
        endpoint.settle();
        assert_eq!(unmasked(role, &endpoint.take_sent()), [sent_close(1001)]);
        endpoint.receive(&role.incoming(CLOSE, &close_payload(1001, "")), Buffer::Lent);
        assert_eq!(endpoint.seen.causes(), [Cause::Closed { code: CloseCode::GOING_AWAY, by_peer: false }]);
    }
}

#[test]
fn a_drained_exchange_is_the_last_one() {
    let mut server = Endpoint::server(defaults(), Silent);
    server.receive(NEXT.repeat(2).as_bytes(), Buffer::Lent);
    server.connection.drain(server.now);
    server.settle();
    let permit = server.exchange().permit().expect("a permit");
    permit.respond(Status::OK, NO_FIELDS, Payload::Static(b"last"), true).expect("a response");
    server.settle();
    let delivered = Delivered::of(&server);
    assert_eq!(codes(&delivered), [200]);
    assert_eq!(crate::support::responses(&delivered)[0].field("connection"), Some("close"));
    assert!(delivered.fin);
}

#[test]
fn a_drained_idle_connection_ends_now() {
    for input in ["", NEXT] {
        let mut server = Endpoint::server(defaults(), Answer::with("x"));
        server.receive(input.as_bytes(), Buffer::Lent);
        server.forget();
        server.connection.drain(server.now);
        server.settle();
        assert!(server.sent.is_empty() && server.seen.0.is_empty());
        assert!(server.connection.interest().shutdown || server.is_over());
    }
}

#[test]
fn a_refusal_reaches_a_peer_that_goes_on_sending() {
    // What the peer still sends is read, so that a reset does not destroy the answer.
    let mut server = Endpoint::server(defaults(), Echo::default());
    server.receive(b"GET / HTTP/2.0\r\n\r\n", Buffer::Lent);
    for _ in 0..100 {
        server.receive(&[b'x'; 10_000], Buffer::Lent);
        assert!(server.connection.interest().read);
    }
    assert_eq!(codes(&Delivered::of(&server)), [505]);
}

#[test]
fn causes_have_names() {
    let code = CloseCode::NORMAL;
    for (cause, name, clean) in [
        (Cause::Complete, "complete", true),
        (Cause::Closed { code, by_peer: true }, "closed_by_peer", true),
        (Cause::Closed { code, by_peer: false }, "closed", true),
        (Cause::Disconnected, "disconnected", false),
        (Cause::Aborted, "aborted", false),
        (Cause::Timeout(lws_proto::Deadline::DeadPeer), "dead_peer_timeout", false),
    ] {
        assert_eq!((cause.name(), cause.is_clean()), (name, clean));
    }
}
