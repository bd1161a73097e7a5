//! Raw streams, and the first bytes that decide what a connection is.

use crate::support::{NEXT, codes, defaults};
use lws_proto::ws::CloseCode;
use lws_proto::{Cause, Config, Connection, Expect, Payload, Protocol, Time};
use std::sync::Arc;
use tests::application::{Echo, Silent};
use tests::endpoint::Buffer;
use tests::{Endpoint, Seen, deliver, deliver_to_end};

fn raw(expect: Expect) -> Arc<Config> {
    Arc::new(Config { expect, ..Config::default() })
}

#[test]
fn a_raw_stream_is_its_bytes() {
    let make = || {
        let mut server = Endpoint::server(raw(Expect::Raw), Echo::default());
        server.settle();
        server
    };
    for input in [&b"\0\x01\xff"[..], b"GET / HTTP/1.1\r\n\r\n", b""] {
        let delivered = deliver(make, input);
        assert_eq!(delivered.sent, input.into());
        assert!(matches!(delivered.seen.0[0], Seen::Established { protocol: Protocol::Raw, .. }));
        // Half-close: the peer has ended, we answer and end, too.
        let ended = deliver_to_end(make, input, true);
        assert_eq!(ended.sent, input.into());
        assert_eq!(ended.seen.causes(), [Cause::Closed { code: CloseCode::NO_STATUS, by_peer: false }]);
        assert!(ended.over, "{ended:?}");
    }
}

#[test]
fn a_raw_stream_that_ends_first_hears_the_rest() {
    let mut server = Endpoint::server(raw(Expect::Raw), Silent);
    server.settle();
    server.raw().permit().expect("a permit").data(Payload::Static(b"bye"), true).expect("bytes");
    server.settle();
    assert_eq!(server.sent, b"bye");
    let interest = server.connection.interest();
    assert!(interest.shutdown && interest.read && !interest.close);
    assert!(server.stream().permit().is_err(), "nothing follows the end");
    server.receive(b"still here", Buffer::Lent);
    server.receive_eof();
    assert_eq!(server.seen.contents(), ["still here".into()]);
    assert_eq!(server.seen.causes().len(), 1);
    assert!(server.is_over());
}

#[test]
fn a_client_of_bytes() {
    let mut client = Endpoint::new(Connection::client_raw(Time::ZERO, defaults()), Echo::default());
    client.settle();
    client.receive(b"abc", Buffer::Own);
    assert_eq!(client.sent, b"abc");
}

#[test]
fn the_first_bytes_decide_and_are_replayed() {
    let make = || Endpoint::server(raw(Expect::HttpOrRaw), Echo::default());
    for input in [
        &b"\x16\x03\x01 tls"[..],
        b"SSH-2.0-x\r\n",
        b"\0",
        b"get\t/",
        b"EHLO\r\n",
        b"{\"a\":1}",
        &[b'A'; 100],
    ] {
        let delivered = deliver(make, input);
        assert_eq!(delivered.sent, input.into(), "raw, from the first byte");
    }
    for input in [NEXT.to_owned(), "\r\n".to_owned() + NEXT, NEXT.repeat(2)] {
        let delivered = deliver(make, input.as_bytes());
        assert!(codes(&delivered).iter().all(|code| *code == 200));
    }
}

#[test]
fn half_a_decision_and_then_the_end() {
    // What could have been the beginning of either is not delivered, or as bytes; either way it ends.
    for input in [&b""[..], b"G", b"PRI * HTT", b"\r\n"] {
        let delivered =
            deliver_to_end(|| Endpoint::server(raw(Expect::HttpOrRaw), Echo::default()), input, true);
        assert!(delivered.over, "{delivered:?}");
    }
}
