//! Every field of `Limits` that counts time: nothing happens just before it, and what is named happens when it has come. The clock is an argument.

use crate::support::{NEXT, Role, codes, defaults, sent, sent_close, silent_server, unmasked};
use lws_proto::http::Status;
use lws_proto::ws::{CloseCode, Connect};
use lws_proto::{Cause, Deadline, Liveness, MessageKind, Payload, Request, Time};
use std::sync::Arc;
use std::time::Duration;
use tests::application::{Echo, NO_FIELDS, Silent};
use tests::endpoint::{Buffer, limits};
use tests::wire::{CLOSE, PING, PONG, TEXT, close_payload};
use tests::{Delivered, Endpoint, Seen};

const MICROSECOND: Duration = Duration::from_micros(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Nothing happens up to a microsecond before `time` has passed; then something does.
fn lasts<A: tests::Application>(endpoint: &mut Endpoint<A>, time: Duration) {
    endpoint.forget();
    assert_eq!(endpoint.connection.next_timeout(), Some(endpoint.now + time), "the next deadline");
    endpoint.wait(time - MICROSECOND);
    assert!(
        endpoint.seen.0.is_empty() && endpoint.sent.is_empty(),
        "{:?} {:?}",
        endpoint.seen,
        endpoint.sent
    );
    assert!(!endpoint.is_over() && !endpoint.connection.interest().shutdown, "too early");
    endpoint.wait(MICROSECOND);
}

fn server() -> Endpoint<Echo> {
    Endpoint::server(defaults(), Echo::default())
}

#[test]
fn head_timeout_without_a_byte_is_silent() {
    let mut server = server();
    lasts(&mut server, seconds(10));
    assert!(server.sent.is_empty() && server.seen.0.is_empty());
    assert!(server.connection.interest().shutdown || server.is_over());
}

#[test]
fn head_timeout_counts_from_the_opening_and_not_from_each_byte() {
    // RFC 9110 §15.5.9: 408 means that "the server did not receive a complete request message within the time that it was prepared to wait."
    for begin in ["G", "P", "POST / HTTP/1.1\r\nHost: a\r\nX: yyyy"] {
        let mut server = server();
        for byte in begin.as_bytes() {
            server.wait(Duration::from_millis(100));
            server.receive(&[*byte], Buffer::Lent);
        }
        let left = seconds(10) - (server.now - Time::ZERO);
        lasts(&mut server, left);
        assert_eq!(codes(&Delivered::of(&server)), [408], "{begin:?}");
        assert_eq!(server.seen.causes(), [Cause::Timeout(Deadline::Head)], "{begin:?}");
        assert!(server.connection.interest().shutdown);
    }
}

#[test]
fn head_timeout_of_a_later_request_counts_from_its_first_byte() {
    let mut server = server();
    server.receive(NEXT.as_bytes(), Buffer::Lent);
    server.wait(seconds(30));
    server.receive(b"GET / HTTP/1.1\r\n", Buffer::Lent);
    server.wait(seconds(3));
    server.receive(b"Host: a\r\n", Buffer::Lent);
    lasts(&mut server, seconds(7));
    assert_eq!(codes(&Delivered::of(&server)), [408]);
    assert_eq!(server.seen.causes(), [Cause::Timeout(Deadline::Head)]);
}

#[test]
fn keep_alive_timeout_is_silent() {
    let mut server = server();
    for _ in 0..3 {
        server.wait(seconds(9));
        server.receive(NEXT.as_bytes(), Buffer::Lent);
    }
    lasts(&mut server, seconds(60));
    assert!(server.sent.is_empty() && server.seen.0.is_empty());
    assert!(server.connection.interest().shutdown || server.is_over());
    // Empty lines are no request.
    let mut server = self::server();
    server.receive(NEXT.as_bytes(), Buffer::Lent);
    server.wait(seconds(59));
    server.receive(b"\r\n", Buffer::Lent);
    lasts(&mut server, seconds(1));
    assert!(server.sent.is_empty());
}

#[test]
fn keep_alive_timeout_of_a_client_is_silent() {
    let mut client = Endpoint::client(defaults(), Silent);
    let request = Request::get("a", "/");
    client
        .connection
        .request(client.now, &request, NO_FIELDS, Payload::Static(b""), true)
        .expect("a request");
    client.settle();
    client.receive(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Buffer::Lent);
    lasts(&mut client, seconds(60));
    assert!(client.sent.is_empty() && client.seen.0.is_empty() && client.connection.interest().shutdown);
}

#[test]
fn content_that_trickles_is_given_up() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    let run = |bytes_per_second: usize| {
        let mut server = server();
        server.receive(post.as_bytes(), Buffer::Lent);
        for _ in 0..35 {
            server.receive(&vec![b'x'; bytes_per_second], Buffer::Lent);
            server.wait(seconds(1));
        }
        server
    };
    assert_eq!(run(1024).seen.causes(), [], "1 KiB/s is enough");
    let slow = run(1023);
    assert_eq!(slow.seen.causes(), [Cause::Timeout(Deadline::Content)]);
    assert_eq!(codes(&Delivered::of(&slow)), [408]);
    let mut none = server();
    none.receive(post.as_bytes(), Buffer::Lent);
    lasts(&mut none, seconds(10));
    assert_eq!(none.seen.causes(), [Cause::Timeout(Deadline::Content)]);
}

#[test]
fn an_exchange_says_how_fast_its_content_must_come() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    let expecting = |bytes: usize| {
        let mut server = Endpoint::server(defaults(), Silent);
        server.receive(post.as_bytes(), Buffer::Lent);
        server.exchange().expect_content(bytes);
        server
    };
    let mut patient = expecting(0);
    patient.wait(seconds(1_000));
    assert_eq!(patient.seen.causes(), []);
    // Once it has answered, the rest is dropped no longer than of any other.
    let permit = patient.exchange().permit().expect("a permit");
    permit.respond(Status::OK, NO_FIELDS, Payload::Static(b""), true).expect("a response");
    patient.settle();
    patient.wait(seconds(20));
    assert!(patient.is_over());
    for (bytes, lives) in [(2, true), (3, false)] {
        let mut server = expecting(bytes);
        for _ in 0..5 {
            server.receive(b"xx", Buffer::Lent);
            server.wait(seconds(10));
        }
        assert_eq!(server.seen.causes().is_empty(), lives, "{bytes}");
    }
}

#[test]
fn content_that_is_not_read_is_not_late() {
    let mut server = Endpoint::server(defaults(), |event: lws_proto::Event<'_>| {
        if let lws_proto::Event::Request { mut stream, .. } = event {
            stream.pause();
        }
    });
    server.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx", Buffer::Lent);
    server.wait(seconds(1000));
    assert_eq!(server.seen.causes(), []);
    server.stream().resume();
    server.settle();
    lasts(&mut server, seconds(10));
    assert_eq!(server.seen.causes(), [Cause::Timeout(Deadline::Content)]);
}

#[test]
fn a_request_may_be_answered_as_late_as_the_application_likes() {
    let mut server = Endpoint::server(defaults(), Silent);
    server.receive(NEXT.as_bytes(), Buffer::Lent);
    server.wait(seconds(100_000));
    assert_eq!(server.seen.0.len(), 1);
    assert_eq!(server.connection.next_timeout(), None);
    let permit = server.exchange().permit().expect("a permit");
    permit.respond(lws_proto::http::Status::OK, NO_FIELDS, Payload::Static(b""), true).expect("a response");
    server.settle();
    assert_eq!(server.seen.causes(), [Cause::Complete]);
}

#[test]
fn response_timeout() {
    let ask = |client: &mut Endpoint<Silent>| {
        let request = Request::get("a", "/");
        client
            .connection
            .request(client.now, &request, NO_FIELDS, Payload::Static(b""), true)
            .expect("a request");
        client.settle();
    };
    let mut client = Endpoint::client(defaults(), Silent);
    client.wait(seconds(5));
    ask(&mut client);
    lasts(&mut client, seconds(60));
    assert_eq!(client.seen.causes(), [Cause::Timeout(Deadline::Response)]);
    // Half a head is none.
    let mut client = Endpoint::client(defaults(), Silent);
    ask(&mut client);
    client.wait(seconds(50));
    client.receive(b"HTTP/1.1 200 OK\r\n", Buffer::Lent);
    lasts(&mut client, seconds(10));
    assert_eq!(client.seen.causes(), [Cause::Timeout(Deadline::Response)]);
}

#[test]
fn response_timeout_of_an_opening_handshake() {
    let mut client = Endpoint::client(defaults(), Silent);
    client.connection.connect_websocket(client.now, &Connect::new("a", "/")).expect("a handshake");
    client.settle();
    lasts(&mut client, seconds(60));
    assert_eq!(client.seen.causes(), [Cause::Timeout(Deadline::Response)]);
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let config = || limits(|limits| limits.ping_interval = seconds(100_000));
    // Nothing at all.
    let mut server = Endpoint::websocket_server(config(), Echo::default()).with_app(Silent);
    server.room = 0;
    crate::support::say(server.websocket(), &"x".repeat(10_000));
    server.settle();
    assert!(server.connection.transmit(server.now).is_some(), "offered, and not taken");
    server.wait(seconds(30) - MICROSECOND);
    assert_eq!(server.seen.causes(), []);
    server.wait(MICROSECOND);
    assert_eq!(server.seen.causes(), [Cause::Timeout(Deadline::Stalled)]);
    assert!(server.is_over());
}

/// Lets seconds pass in which the driver says before each deadline how much is under way; `passes` is what arrives in each of them.
fn pass_reporting<A: tests::Application>(
    endpoint: &mut Endpoint<A>,
    under_way: &mut usize,
    passes: usize,
    time: u64,
) {
    for _ in 0..time {
        *under_way = under_way.saturating_sub(passes);
        endpoint.now = endpoint.now + seconds(1);
        if endpoint.connection.next_timeout().is_some_and(|at| at <= endpoint.now) {
            endpoint.connection.delivered(endpoint.now, *under_way);
            endpoint.connection.handle_timeout(endpoint.now);
        }
        endpoint.settle();
    }
}

#[test]
fn a_peer_that_takes_what_is_under_way_is_neither_stalled_nor_dead() {
    // In both roles: 4 MiB lie in the transport, which takes no more, and 40 kB arrive each second.
    let ungraced = limits(|limits| limits.stalled_grace_max = Duration::ZERO);
    for role in Role::BOTH {
        let mut endpoint = role.websocket(&ungraced, false, Echo::default());
        let mut under_way = 4 << 20;
        endpoint.room = 0;
        crate::support::say(endpoint.websocket(), &"x".repeat(10_000));
        endpoint.settle();
        assert!(endpoint.connection.transmit(endpoint.now).is_some(), "offered, and not taken");
        pass_reporting(&mut endpoint, &mut under_way, 40_000, 100);
        assert_eq!(endpoint.seen.causes(), [], "{role:?}");
        // The rest goes out, with the Ping behind it, and the peer answers when that has come to it.
        endpoint.room = usize::MAX;
        endpoint.settle();
        under_way += 10_000;
        pass_reporting(&mut endpoint, &mut under_way, 40_000, 20);
        assert_eq!(endpoint.seen.causes(), [], "{role:?}");
        endpoint.receive(&role.incoming(PONG, b""), Buffer::Lent);
        // One that takes nothing is cut off all the same.
        endpoint.room = 0;
        crate::support::say(endpoint.websocket(), &"x".repeat(10_000));
        endpoint.settle();
        assert!(endpoint.connection.transmit(endpoint.now).is_some(), "offered, and not taken");
        pass_reporting(&mut endpoint, &mut 1_000_000, 0, 31);
        assert_eq!(endpoint.seen.causes(), [Cause::Timeout(Deadline::Stalled)], "{role:?}");
    }
}

#[test]
fn a_question_has_its_time_from_when_it_has_come_to_the_peer() {
    let ungraced = limits(|limits| limits.stalled_grace_max = Duration::ZERO);
    for role in Role::BOTH {
        // Everything lies in the transport: nothing is queued, so that nothing can be stalled.
        let mut endpoint = role.websocket(&ungraced, false, Echo::default());
        let mut under_way = 4_000_000;
        pass_reporting(&mut endpoint, &mut under_way, 40_000, 99);
        assert_eq!(endpoint.seen.causes(), [], "{role:?}");
        assert!(under_way > 0);
        // From the look on at which it has come it has its 30 s.
        pass_reporting(&mut endpoint, &mut under_way, 40_000, 50);
        assert_eq!(endpoint.seen.causes(), [], "{role:?}");
        pass_reporting(&mut endpoint, &mut under_way, 40_000, 30);
        assert_eq!(endpoint.seen.causes(), [Cause::Timeout(Deadline::DeadPeer)], "{role:?}");
        // A peer that reads 2 KiB a second comes to it when it has read what stands before it, for which it has ten minutes at the most.
        let mut endpoint = role.websocket(&defaults(), false, Echo::default());
        let mut under_way = 4_000_000;
        pass_reporting(&mut endpoint, &mut under_way, 40_000, 99 + 600);
        assert_eq!(endpoint.seen.causes(), [], "{role:?}");
        pass_reporting(&mut endpoint, &mut under_way, 0, 120);
        assert_eq!(endpoint.seen.causes(), [Cause::Timeout(Deadline::DeadPeer)], "{role:?}");
        // Where nothing arrives it does not begin.
        let mut endpoint = role.websocket(&defaults(), false, Echo::default());
        pass_reporting(&mut endpoint, &mut 4_000_000, 0, 30);
        // With the Ping.
        pass_reporting(&mut endpoint, &mut 4_000_010, 0, 30);
        assert_eq!(endpoint.seen.causes(), [Cause::Timeout(Deadline::DeadPeer)], "{role:?}");
    }
}

#[test]
fn a_server_has_its_time_to_answer_from_when_the_request_has_come_to_it() {
    let mut client = Endpoint::client(defaults(), Silent);
    let request = Request::get("a", "/");
    let content = Payload::Static(b"");
    client.connection.request(client.now, &request, NO_FIELDS, content, true).expect("a request");
    client.settle();
    let mut under_way = 4_000_000;
    pass_reporting(&mut client, &mut under_way, 40_000, 110);
    assert_eq!(client.seen.causes(), []);
    pass_reporting(&mut client, &mut under_way, 40_000, 70);
    assert_eq!(client.seen.causes(), [Cause::Timeout(Deadline::Response)]);
}

#[test]
fn single_bytes_are_no_progress() {
    // The lesson of zero windows that are opened by a byte at a time: 1 KiB in each 30 s counts, less does not.
    let run = |bytes_per_second: usize| {
        let config = limits(|limits| limits.ping_interval = seconds(100_000));
        let mut server = Endpoint::websocket_server(config, Echo::default()).with_app(Silent);
        server.room = 0;
        crate::support::say(server.websocket(), &"x".repeat(10_000));
        server.settle();
        for _ in 0..100 {
            server.room = bytes_per_second;
            server.settle();
            server.wait(seconds(1));
        }
        server.seen.causes()
    };
    assert_eq!(run(34), [Cause::Timeout(Deadline::Stalled)]);
    assert_eq!(run(36), []);
}

#[test]
fn a_silent_websocket_is_pinged_and_then_given_up() {
    for role in Role::BOTH {
        let mut endpoint = role.websocket(&defaults(), false, Echo::default());
        endpoint.wait(seconds(7));
        endpoint.receive(&role.incoming(TEXT, b"x"), Buffer::Lent);
        lasts(&mut endpoint, seconds(30));
        assert_eq!(unmasked(role, &endpoint.take_sent()), [sent(PING, b"")]);
        assert_eq!(endpoint.seen.causes(), []);
        lasts(&mut endpoint, seconds(30));
        assert_eq!(endpoint.seen.causes(), [Cause::Timeout(Deadline::DeadPeer)]);
        assert!(endpoint.is_over());
    }
}

#[test]
fn anything_that_is_received_is_a_sign_of_life() {
    for role in Role::BOTH {
        let mut endpoint = role.websocket(&defaults(), true, Echo::new(true));
        for sign in
            [role.incoming(PONG, b""), role.incoming(TEXT, b"x"), role.incoming(TEXT, b"xyz")[..3].to_vec()]
        {
            endpoint.wait(seconds(59));
            endpoint.receive(&sign, Buffer::Lent);
        }
        endpoint.wait(seconds(59));
        assert_eq!(endpoint.seen.causes(), []);
        endpoint.wait(seconds(1));
        assert_eq!(endpoint.seen.causes(), [Cause::Timeout(Deadline::DeadPeer)]);
    }
}

#[test]
fn a_paused_websocket_does_not_count_silence() {
    let mut server = silent_server();
    server.stream().pause();
    server.wait(seconds(1000));
    assert!(server.seen.0.is_empty() && server.sent.is_empty());
    server.stream().resume();
    server.settle();
    lasts(&mut server, seconds(30));
    assert_eq!(unmasked(Role::Server, &server.sent), [sent(PING, b"")]);
}

#[test]
fn one_websocket_may_have_a_liveness_of_its_own() {
    for role in Role::BOTH {
        let mut endpoint = role.websocket(&defaults(), false, Echo::default());
        let liveness = Liveness { ping_after: seconds(3), drop_after: seconds(5) };
        endpoint.websocket().set_liveness(Some(liveness)).expect("a WebSocket");
        lasts(&mut endpoint, seconds(3));
        assert_eq!(unmasked(role, &endpoint.take_sent()), [sent(PING, b"")]);
        // The timeout can be changed at any time, and evidence from the application counts as a sign of life.
        let now = endpoint.now;
        endpoint.stream().confirm_liveness(now);
        endpoint.stream().confirm_liveness(Time::ZERO);
        endpoint.websocket().set_liveness(None).expect("a WebSocket");
        lasts(&mut endpoint, seconds(30));
        assert_eq!(unmasked(role, &endpoint.take_sent()), [sent(PING, b"")]);
        endpoint.websocket().set_liveness(Some(liveness)).expect("a WebSocket");
        lasts(&mut endpoint, seconds(2));
        assert_eq!(endpoint.seen.causes(), [Cause::Timeout(Deadline::DeadPeer)]);
    }
}

#[test]
fn a_websocket_with_unchecked_liveness_may_be_silent_for_ever() {
    let mut server = silent_server();
    server.websocket().set_liveness(Some(Liveness::UNCHECKED)).expect("a WebSocket");
    // Pings that are owed an answer change nothing about it.
    for _ in 0..20 {
        server.receive(&Role::Server.incoming(PING, b"x"), Buffer::Lent);
    }
    server.wait(seconds(1_000_000));
    assert_eq!(server.seen.causes(), []);
    assert!(!server.is_over());
}

#[test]
fn only_a_websocket_has_a_liveness() {
    let mut server = server();
    server.receive(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", Buffer::Lent);
    assert!(server.stream().into_websocket().is_err());
}

#[test]
fn close_timeout() {
    for role in Role::BOTH {
        let mut endpoint = role.websocket(&defaults(), false, Echo::default());
        endpoint.wait(seconds(3));
        endpoint.websocket().close(CloseCode::NORMAL, "").expect("a close");
        endpoint.settle();
        assert_eq!(unmasked(role, &endpoint.take_sent()), [sent_close(1000)]);
        endpoint.wait(seconds(4));
        // What is not a Close frame does not help.
        endpoint.receive(&role.incoming(PONG, b""), Buffer::Lent);
        lasts(&mut endpoint, seconds(1));
        assert_eq!(endpoint.seen.causes(), [Cause::Timeout(Deadline::Close)]);
        assert!(endpoint.is_over());
    }
}

#[test]
fn linger_timeout() {
    // RFC 9112 §9.6: "If a server performs an immediate close of a TCP connection, there is a significant risk that the client will not be able to read the last HTTP
    // response."
    let mut server = server();
    server.receive(b"GET / HTTP/1.1\r\n\r\n", Buffer::Lent);
    assert!(server.connection.interest().shutdown && server.connection.interest().read && !server.is_over());
    // What comes meanwhile is read and dropped, and does not make it longer.
    server.wait(seconds(1));
    server.receive(NEXT.repeat(1000).as_bytes(), Buffer::Lent);
    assert!(!server.is_over());
    assert_eq!(server.connection.next_timeout(), Some(Time::ZERO + seconds(2)));
    server.wait(seconds(1));
    assert!(server.is_over());
    // The peer's end makes it shorter.
    let mut server = self::server();
    server.receive(b"GET / HTTP/1.1\r\n\r\n", Buffer::Lent);
    server.receive_eof();
    assert!(server.is_over());
}

#[test]
fn an_exchange_whose_peer_has_ended_its_direction_hears_so_and_ends_if_it_sends_nothing() {
    let ended = |request: &str| {
        let mut server = Endpoint::server(defaults(), Silent);
        server.receive(request.as_bytes(), Buffer::Lent);
        server.wait(seconds(100));
        server.forget();
        server.receive_eof();
        server
    };
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    // The second and third request of a pipeline stand between the first and the end.
    for request in [NEXT, post, &NEXT.repeat(3)] {
        let mut server = ended(request);
        assert_eq!(server.seen.0, [Seen::PeerEnded], "{request:?}");
        lasts(&mut server, seconds(10));
        assert_eq!(server.seen.0, [Seen::Closed(Cause::Timeout(Deadline::HalfClosed))], "{request:?}");
        assert!(server.is_over(), "{request:?}");
    }
    // Every exchange of a pipeline is notified.
    let mut server = ended(&NEXT.repeat(2));
    server.forget();
    let permit = server.exchange().permit().expect("a permit");
    permit.respond(Status::OK, NO_FIELDS, Payload::Static(b"hi"), true).expect("a response");
    server.settle();
    assert_eq!(server.seen.count(|seen| *seen == Seen::PeerEnded), 1);
    // Holding the input is no way around it: there is none.
    let mut server = Endpoint::server(defaults(), Silent);
    server.receive(NEXT.as_bytes(), Buffer::Lent);
    server.stream().pause();
    server.receive_eof();
    assert_eq!(server.seen.count(|seen| *seen == Seen::PeerEnded), 1);
    lasts(&mut server, seconds(10));
    assert!(server.is_over());
}

/// The end of the peer may stand behind what is not read: a peer of which nothing more is read has as long as one that has ended.
#[test]
fn an_exchange_whose_peer_has_sent_too_much_ahead_ends_if_it_sends_nothing() {
    let config = limits(|limits| limits.look_ahead_bytes_max = 100);
    let ahead = |bytes: usize| {
        let mut server = Endpoint::server(Arc::clone(&config), Silent);
        server.receive(NEXT.as_bytes(), Buffer::Lent);
        server.wait(seconds(100));
        server.receive(&vec![b'x'; bytes], Buffer::Own);
        server
    };
    let mut server = ahead(99);
    assert!(server.connection.interest().read);
    server.wait(seconds(1_000));
    assert_eq!(server.seen.causes(), [], "its end would be seen");
    let mut server = ahead(100);
    assert!(!server.connection.interest().read);
    lasts(&mut server, seconds(10));
    assert_eq!(server.seen.causes(), [Cause::Timeout(Deadline::HalfClosed)]);
    assert!(server.is_over());
    // What feeds such a peer goes on, and so does what is meant to be silent.
    let mut server = ahead(100);
    server.wait(seconds(9));
    let permit = server.exchange().permit().expect("a permit");
    permit.respond(Status::OK, NO_FIELDS, Payload::Static(b"hi"), false).expect("a response");
    server.settle();
    server.wait(seconds(9));
    assert_eq!(server.seen.causes(), []);
    server.exchange().keep_half_closed(true);
    server.wait(seconds(1_000));
    assert_eq!(server.seen.causes(), []);
}

#[test]
fn an_exchange_that_feeds_its_half_closed_peer_goes_on() {
    let mut server = Endpoint::server(defaults(), Silent);
    server.receive(NEXT.as_bytes(), Buffer::Lent);
    server.receive_eof();
    let permit = server.exchange().permit().expect("a permit");
    permit.respond(Status::OK, NO_FIELDS, Payload::Static(b"hi"), false).expect("a response");
    server.settle();
    for _ in 0..10 {
        server.wait(seconds(10) - MICROSECOND);
        let permit = server.exchange().permit().expect("a permit");
        permit.data(Payload::Static(b"more"), false).expect("content");
        server.settle();
    }
    // One may be silent for as long as it likes.
    server.exchange().keep_half_closed(true);
    assert_eq!(server.connection.next_timeout(), None);
    server.wait(seconds(1_000));
    assert_eq!(server.seen.causes(), []);
    server.exchange().keep_half_closed(false);
    server.wait(seconds(0));
    assert_eq!(server.seen.causes(), [Cause::Timeout(Deadline::HalfClosed)]);
}

#[test]
fn an_exchange_that_is_answered_at_once_hears_nothing_of_its_peers_end() {
    let mut server = server();
    server.receive(NEXT.as_bytes(), Buffer::Lent);
    server.receive_eof();
    assert_eq!(server.seen.count(|seen| *seen == Seen::PeerEnded), 0);
    assert_eq!(server.seen.causes(), [Cause::Complete]);
    // Nor does a client, whose exchange ends with the server's direction.
    let mut client = Endpoint::client(defaults(), Silent);
    let request = Request::get("a", "/");
    client
        .connection
        .request(client.now, &request, NO_FIELDS, Payload::Static(b""), true)
        .expect("a request");
    client.settle();
    client.receive_eof();
    assert_eq!(client.seen.0, [Seen::Closed(Cause::Disconnected)]);
}

#[test]
fn a_client_waits_for_the_server_to_close() {
    // RFC 6455 §7.1.1: "a client SHOULD wait for the server to close the connection but MAY close the connection at any time".
    let mut client = Role::Client.websocket(&defaults(), false, Silent);
    client.receive(&Role::Client.incoming(CLOSE, &close_payload(1000, "")), Buffer::Lent);
    assert!(!client.is_over() && !client.connection.interest().shutdown);
    client.wait(seconds(2));
    assert!(client.is_over());
}

#[test]
fn a_timeout_that_was_asked_for_comes_once() {
    let mut server = silent_server();
    let at = server.now + seconds(5);
    server.stream().set_timeout(Some(at));
    assert_eq!(server.connection.next_timeout(), Some(at));
    server.wait(seconds(5) - MICROSECOND);
    assert_eq!(server.seen.0, []);
    server.wait(seconds(20));
    assert_eq!(server.seen.0, [Seen::Timeout]);
    // The last wish counts, and may be taken back.
    let now = server.now;
    server.stream().set_timeout(Some(now + seconds(1)));
    server.stream().set_timeout(Some(now + seconds(2)));
    server.wait(seconds(1));
    assert_eq!(server.seen.0.len(), 1);
    server.stream().set_timeout(None);
    server.wait(seconds(2));
    assert_eq!(server.seen.0.len(), 1);
}

#[test]
fn a_call_before_its_time_does_nothing() {
    let mut server = silent_server();
    server.receive(&Role::Server.incoming(TEXT, b"half")[..5], Buffer::Lent);
    server.forget();
    let due = server.connection.next_timeout().expect("a deadline");
    for micros in 0..100 {
        let now = Time::from_micros(micros);
        server.connection.handle_timeout(now);
        server.now = now;
        server.settle();
    }
    assert!(server.seen.0.is_empty() && server.sent.is_empty());
    assert_eq!(server.connection.next_timeout(), Some(due));
}

#[test]
fn a_deadline_that_is_met_late_is_met_once() {
    // A driver that slept too long: every deadline is past, and everything comes to rest.
    for role in Role::BOTH {
        let mut endpoint = role.websocket(&defaults(), false, Echo::default());
        let permit = endpoint.websocket().permit().expect("a permit");
        permit.message(MessageKind::Text, Payload::Static(b"x"), true).expect("a message");
        endpoint.now = endpoint.now + seconds(1_000_000);
        let mut calls = 0;
        while let Some(due) = endpoint.connection.next_timeout().filter(|due| *due <= endpoint.now) {
            endpoint.connection.handle_timeout(endpoint.now);
            endpoint.settle();
            calls += 1;
            assert!(calls < 10, "{due:?} is met again and again");
        }
    }
}
