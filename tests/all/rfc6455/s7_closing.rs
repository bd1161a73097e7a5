//! RFC 6455 §5.5.1 and §7: the closing handshake and the end of the connection.

use crate::support::{Role, defaults, fails, sent, sent_close, sent_frames, silent_server, unmasked};
use lws_proto::ws::CloseCode;
use lws_proto::{Cause, Misuse, Violation};
use tests::application::{Echo, Silent};
use tests::endpoint::Buffer;
use tests::wire::{BINARY_BEGINS, CLOSE, PING, PONG, TEXT, close_payload};
use tests::{Delivered, Endpoint, Seen};

fn open(role: Role) -> Endpoint<Silent> {
    match role {
        Role::Client => role.websocket(&defaults(), false, Silent),
        Role::Server => silent_server(),
    }
}

fn by_peer(code: u16) -> Cause {
    Cause::Closed { code: CloseCode::new(code).expect("a code"), by_peer: true }
}

fn by_us(code: u16) -> Cause {
    Cause::Closed { code: CloseCode::new(code).expect("a code"), by_peer: false }
}

#[test]
fn a_close_frame_is_answered_with_its_code() {
    // RFC 6455 §5.5.1: "If an endpoint receives a Close frame and did not previously send a Close frame, the endpoint MUST send
    // a Close frame in response. (When sending a Close frame in response, the endpoint typically echos the status code it
    // received.)"
    for role in Role::BOTH {
        for (payload, code, reason) in [
            (close_payload(1000, ""), 1000, ""),
            (close_payload(1001, "going"), 1001, "going"),
            (close_payload(1003, "κόσμε"), 1003, "κόσμε"),
            (close_payload(3000, &"x".repeat(123)), 3000, &"x".repeat(123)[..]),
            (close_payload(4999, "x"), 4999, "x"),
        ] {
            let delivered = role.receives(&role.incoming(CLOSE, &payload));
            assert_eq!(sent_frames(role, &delivered), [sent_close(code)]);
            let seen = Seen::Close { code: CloseCode::new(code).expect("a code"), reason: reason.into() };
            assert_eq!(delivered.seen.0, [seen, Seen::Closed(by_peer(code))]);
            ends(role, &delivered);
        }
    }
}

/// RFC 6455 §7.1.1: "In normal cases, the server MUST close the TCP connection first" is said of §5.5.1: "After both sending and
/// receiving a Close message, an endpoint considers the WebSocket connection closed and MUST close the underlying TCP connection.
/// The server MUST close the underlying TCP connection immediately; the client SHOULD wait for the server to close the
/// connection".
fn ends(role: Role, delivered: &Delivered) {
    assert_eq!(delivered.fin, role == Role::Server);
}

#[test]
fn a_close_frame_without_a_code_is_1005_and_answered_without_one() {
    // RFC 6455 §7.1.5: "If this Close control frame contains no status code, _The WebSocket Connection Close Code_ is considered
    // to be 1005."
    for role in Role::BOTH {
        let delivered = role.receives(&role.incoming(CLOSE, b""));
        assert_eq!(sent_frames(role, &delivered), [sent(CLOSE, b"")]);
        assert_eq!(delivered.seen.causes(), [by_peer(1005)]);
        ends(role, &delivered);
    }
}

#[test]
fn a_registered_code_is_taken_and_any_other_fails_the_connection() {
    // RFC 6455 §7.4.1: 1005, 1006 and 1015 "MUST NOT be set as a status code in a Close control frame by an endpoint"; §7.4.2:
    // "Status codes in the range 0-999 are not used", 1000-2999 are "reserved for definition by this protocol". 1012 to 1014
    // have been registered since.
    for role in Role::BOTH {
        for code in
            [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
        {
            let delivered = role.receives(&role.incoming(CLOSE, &close_payload(code, "")));
            assert_eq!(sent_frames(role, &delivered), [sent_close(code)]);
            assert_eq!(delivered.seen.causes(), [by_peer(code)]);
        }
        for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
            let input = role.incoming(CLOSE, &close_payload(code, ""));
            fails(role, &input, 1002, Cause::Violation(Violation::CloseFrame));
        }
    }
}

#[test]
fn the_payload_of_a_close_frame_is_a_code_and_a_text() {
    // RFC 6455 §5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer (in network byte
    // order) representing a status code". RFC 6455 §8.1 for the text.
    for role in Role::BOTH {
        fails(role, &role.incoming(CLOSE, b"\x03"), 1002, Cause::Violation(Violation::CloseFrame));
        for reason in [&b"\xff"[..], b"\xce", b"ok\xe2\x82", b"\xed\xa0\x80"] {
            let payload = [&b"\x03\xe8"[..], reason].concat();
            fails(role, &role.incoming(CLOSE, &payload), 1007, Cause::Violation(Violation::Utf8));
        }
    }
}

#[test]
fn nothing_is_understood_behind_a_close_frame() {
    // RFC 6455 §5.5.1: after both Close frames the connection is closed; §7.1.7: "the endpoint MUST NOT continue to attempt to
    // process data (including a responding Close frame) from the remote endpoint".
    for role in Role::BOTH {
        let input = [
            role.incoming(CLOSE, &close_payload(1000, "")),
            role.incoming(PING, b"too late"),
            role.incoming(TEXT, b"too late"),
            role.incoming(CLOSE, &close_payload(1001, "")),
            b"\xff\xff\xff\xff".to_vec(),
        ]
        .concat();
        let delivered = role.receives(&input);
        assert_eq!(sent_frames(role, &delivered), [sent_close(1000)]);
        assert_eq!(delivered.seen.count(|seen| matches!(seen, Seen::Close { .. })), 1);
        assert_eq!(delivered.seen.contents(), []);
        assert_eq!(delivered.seen.causes(), [by_peer(1000)]);
    }
}

#[test]
fn a_close_frame_may_come_in_the_middle_of_a_message() {
    // RFC 6455 §5.4: "Control frames MAY be injected in the middle of a fragmented message."
    for role in Role::BOTH {
        let input =
            [role.incoming(BINARY_BEGINS, b"half"), role.incoming(CLOSE, &close_payload(1001, ""))].concat();
        let delivered = role.receives(&input);
        assert_eq!(sent_frames(role, &delivered), [sent_close(1001)]);
        assert_eq!(delivered.seen.causes(), [by_peer(1001)]);
    }
}

#[test]
fn our_close_frame_is_sent_once_and_what_the_peer_sent_before_its_own_still_comes() {
    // RFC 6455 §7.1.2: "the endpoint MUST send a Close control frame". RFC 6455 §5.5.1: "there is no guarantee that the endpoint
    // that has already sent a Close frame will continue to process data"; ours does, until the peer's comes.
    for role in Role::BOTH {
        let mut endpoint = open(role);
        endpoint.websocket().close(CloseCode::NORMAL, "bye").expect("a close");
        endpoint.websocket().close(CloseCode::GOING_AWAY, "again").expect("a second close does nothing");
        endpoint.settle();
        assert_eq!(unmasked(role, &endpoint.take_sent()), [sent(CLOSE, close_payload(1000, "bye"))]);
        assert!(!endpoint.is_over() && !endpoint.connection.interest().shutdown);
        let input = [
            role.incoming(TEXT, b"before"),
            role.incoming(PING, b"x"),
            role.incoming(CLOSE, &close_payload(1000, "")),
        ]
        .concat();
        endpoint.receive(&input, Buffer::Lent);
        assert_eq!(endpoint.seen.contents(), ["before".into()]);
        assert_eq!(endpoint.seen.causes(), [by_us(1000)]);
        // RFC 6455 §5.5.1: no frame follows our Close frame.
        assert!(endpoint.sent.is_empty(), "{}", endpoint.sent.escape_ascii());
        assert_eq!(endpoint.connection.interest().shutdown, role == Role::Server);
        endpoint.receive_eof();
        assert!(endpoint.is_over());
    }
}

#[test]
fn no_close_frame_is_sent_with_a_code_that_may_not_be_on_the_wire() {
    // RFC 6455 §7.4.1: "1005 is a reserved value and MUST NOT be set as a status code in a Close control frame by an endpoint",
    // and the same of 1006 and 1015. A control frame has 125 bytes, so a reason has 123.
    for role in Role::BOTH {
        let mut endpoint = open(role);
        for code in [1004, 1005, 1006, 1015, 1016, 2999] {
            let code = CloseCode::new(code).expect("a code");
            let reason = if code == CloseCode::NO_STATUS { "x" } else { "" };
            assert_eq!(endpoint.websocket().close(code, reason), Err(Misuse::CloseCode), "{code}");
        }
        assert_eq!(endpoint.websocket().close(CloseCode::NORMAL, &"x".repeat(124)), Err(Misuse::CloseCode));
        endpoint.settle();
        assert!(endpoint.sent.is_empty());
        endpoint.websocket().close(CloseCode::NORMAL, &"x".repeat(123)).expect("a reason of 123 bytes");
        endpoint.settle();
        assert_eq!(unmasked(role, &endpoint.sent), [sent(CLOSE, close_payload(1000, &"x".repeat(123)))]);
    }
}

#[test]
fn a_close_without_a_code_has_no_payload() {
    for role in Role::BOTH {
        let mut endpoint = open(role);
        endpoint.websocket().close(CloseCode::NO_STATUS, "").expect("a close");
        endpoint.settle();
        assert_eq!(unmasked(role, &endpoint.sent), [sent(CLOSE, b"")]);
    }
}

#[test]
fn a_transport_that_ends_early_is_1006() {
    // RFC 6455 §7.1.5: "If _The WebSocket Connection is Closed_ and no Close control frame was received by the endpoint ... _The
    // WebSocket Connection Close Code_ is considered to be 1006": the cause says so, and it is never on the wire.
    for role in Role::BOTH {
        for begin in [vec![], role.incoming(TEXT, b"half")[..5].to_vec(), role.incoming(BINARY_BEGINS, b"x")]
        {
            let delivered = tests::delivery::deliver_to_end(
                || role.websocket(&defaults(), true, Echo::new(true)),
                &begin,
                true,
            );
            assert_eq!(delivered.seen.causes(), [Cause::Disconnected]);
            assert!(delivered.sent.0.is_empty() && delivered.over, "{role:?} {delivered:?}");
        }
    }
}

#[test]
fn both_sides_may_begin_at_the_same_time() {
    // RFC 6455 §5.5.1: "If a client and server both send a Close message at the same time, both endpoints will have sent and
    // received a Close message and should consider the WebSocket connection closed".
    for role in Role::BOTH {
        let mut endpoint = open(role);
        endpoint.websocket().close(CloseCode::NORMAL, "").expect("a close");
        let crossing = role.incoming(CLOSE, &close_payload(1001, ""));
        endpoint.receive(&crossing, Buffer::Lent);
        assert_eq!(unmasked(role, &endpoint.sent), [sent_close(1000)]);
        // RFC 6455 §7.1.5: "the status code contained in the first Close control frame received by the application".
        assert_eq!(endpoint.seen.causes(), [by_us(1001)]);
    }
}

#[test]
fn a_pong_is_not_owed_once_a_close_frame_came() {
    // RFC 6455 §5.5.2: "unless it already received a Close frame".
    for role in Role::BOTH {
        let input =
            [role.incoming(PING, b"1"), role.incoming(CLOSE, b""), role.incoming(PING, b"2")].concat();
        assert_eq!(role.echoes(&input), [sent(PONG, b"1"), sent(CLOSE, b"")]);
    }
}
