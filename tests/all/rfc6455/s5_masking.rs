//! RFC 6455 §5.1 and §5.3: who masks, and with what.

use crate::support::{Role, defaults, fails, say};
use lws_proto::ws::{CloseCode, Connect};
use lws_proto::{Cause, Violation};
use std::collections::HashSet;
use tests::application::Silent;
use tests::wire::{self, BINARY, CLOSE, ENDS, GOES_ON, PING, TEXT, TEXT_BEGINS, frame, masked, plain};
use tests::{Endpoint, Octets};

#[test]
fn a_server_closes_on_a_frame_that_is_not_masked() {
    // RFC 6455 §5.1: "The server MUST close the connection upon receiving a frame that is not masked. In this case, a server
    // MAY send a Close frame with a status code of 1002 (protocol error)".
    for first in [TEXT, BINARY, CLOSE, PING, TEXT_BEGINS] {
        let violation = Violation::Masking;
        fails(Role::Server, &plain(first, b""), 1002, Cause::Violation(violation));
    }
    let second = [masked(TEXT_BEGINS, b"a"), plain(GOES_ON, b"b")].concat();
    fails(Role::Server, &second, 1002, Cause::Violation(Violation::Masking));
}

#[test]
fn a_client_closes_on_a_frame_that_is_masked() {
    // RFC 6455 §5.1: "A client MUST close a connection if it detects a masked frame."
    for first in [TEXT, BINARY, CLOSE, PING, TEXT_BEGINS] {
        fails(Role::Client, &masked(first, b""), 1002, Cause::Violation(Violation::Masking));
    }
    let second = [plain(TEXT_BEGINS, b"a"), masked(ENDS, b"b")].concat();
    fails(Role::Client, &second, 1002, Cause::Violation(Violation::Masking));
}

#[test]
fn a_client_masks_each_frame_with_a_key_of_its_own() {
    // RFC 6455 §5.3: "The masking key is a 32-bit value chosen at random by the client. When preparing a masked frame, the
    // client MUST pick a fresh masking key from the set of allowed 32-bit values. The masking key needs to be
    // unpredictable". And: "The masking does not affect the length of the "Payload data"."
    let mut client = Endpoint::websocket_client(defaults(), Connect::new("a", "/"), Silent);
    for _ in 0..50 {
        say(client.websocket(), "the same again");
        client.websocket().permit().expect("a permit").ping(b"the same again").expect("a ping");
    }
    client.settle();
    client.websocket().close(CloseCode::NORMAL, "bye").expect("a close");
    client.settle();
    let frames = wire::frames(&client.sent).expect("frames");
    assert_eq!(frames.len(), 101);
    let keys: HashSet<_> = frames.iter().map(|frame| frame.key.expect("a client masks")).collect();
    assert_eq!(keys.len(), frames.len(), "a key was used twice");
    assert!(frames[..100].iter().all(|frame| frame.payload == "the same again".into()));
}

#[test]
fn any_key_unmasks() {
    // RFC 6455 §5.3: "j = i MOD 4, transformed-octet-i = original-octet-i XOR masking-key-octet-j".
    for key in [[0; 4], [0xff; 4], [1, 2, 3, 4], [0, 0, 0, 1], [0x80, 0, 0, 0]] {
        for len in 0..70 {
            let payload: Vec<u8> = (0..len).collect();
            let input = frame(BINARY, Some(key), &payload);
            assert_eq!(Role::Server.echoes(&input), [(BINARY, Octets(payload))]);
        }
    }
}

#[test]
fn the_samples_of_the_rfc_are_understood() {
    // RFC 6455 §5.7.
    let check = |role: Role, input: &[u8], expected: &[(u8, &[u8])]| {
        let expected: Vec<_> =
            expected.iter().map(|(first, payload)| (*first, Octets(payload.to_vec()))).collect();
        assert_eq!(role.echoes(input), expected);
    };
    check(Role::Client, b"\x81\x05Hello", &[(TEXT, b"Hello")]);
    check(Role::Server, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", &[(TEXT, b"Hello")]);
    check(Role::Client, b"\x01\x03Hel\x80\x02lo", &[(TEXT, b"Hello")]);
    check(Role::Client, b"\x89\x05Hello", &[(0x8a, b"Hello")]);
    check(Role::Server, b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", &[]);
    let binary: Vec<u8> = (0..=255).collect();
    check(Role::Client, &[b"\x82\x7e\x01\x00", &binary[..]].concat(), &[(BINARY, &binary)]);
    let long = vec![7; 65_536];
    check(
        Role::Client,
        &[b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", &long[..]].concat(),
        &[(BINARY, &long)],
    );
}
