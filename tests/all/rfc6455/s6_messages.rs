//! RFC 6455 §5.6 and §6: messages, sent and received.

use crate::support::{Role, defaults, say, sent, unmasked};
use lws_proto::ws::CloseCode;
use lws_proto::{ByProtocol, Bytes, MessageKind, Payload};
use tests::application::Silent;
use tests::endpoint::Buffer;
use tests::wire::{BINARY, BINARY_BEGINS, CLOSE, ENDS, GOES_ON, PING, TEXT, TEXT_BEGINS, close_payload};
use tests::{Endpoint, Seen};

fn open(role: Role) -> Endpoint<Silent> {
    match role {
        Role::Client => role.websocket(&defaults(), false, Silent),
        Role::Server => crate::support::silent_server(),
    }
}

#[test]
fn each_kind_of_message_has_its_opcode() {
    // RFC 6455 §5.6: "The "Payload data" is text data encoded as UTF-8" for opcode 1, "arbitrary binary data" for 2.
    for role in Role::BOTH {
        let mut endpoint = open(role);
        say(endpoint.websocket(), "κόσμε");
        let permit = endpoint.websocket().permit().expect("a permit");
        permit.message(MessageKind::Binary, Payload::Copy(b"\xff"), true).expect("a message");
        endpoint.settle();
        assert_eq!(unmasked(role, &endpoint.sent), [sent(TEXT, "κόσμε"), sent(BINARY, b"\xff")]);
    }
}

#[test]
fn a_message_in_parts_is_a_message_in_fragments() {
    // RFC 6455 §5.4: "A fragmented message consists of a single frame with the FIN bit clear and an opcode other than 0,
    // followed by zero or more frames with the FIN bit clear and the opcode set to 0, and terminated by a single frame with
    // the FIN bit set and an opcode of 0." A Ping of ours may stand between them.
    for role in Role::BOTH {
        for (kind, first) in [(MessageKind::Text, TEXT_BEGINS), (MessageKind::Binary, BINARY_BEGINS)] {
            let mut endpoint = open(role);
            let send = |endpoint: &mut Endpoint<Silent>, kind, payload: &'static [u8], end| {
                let permit = endpoint.websocket().permit().expect("a permit");
                permit.message(kind, Payload::Static(payload), end).expect("a part");
            };
            send(&mut endpoint, kind, b"a", false);
            endpoint.websocket().permit().expect("a permit").ping(b"p").expect("a ping");
            // In mid-message the kind does not count.
            send(&mut endpoint, MessageKind::Binary, b"b", false);
            send(&mut endpoint, MessageKind::Text, b"c", true);
            send(&mut endpoint, kind, b"d", true);
            endpoint.settle();
            let frames = unmasked(role, &endpoint.sent);
            let whole = first | 0x80;
            let expected = [
                sent(first, b"a"),
                sent(PING, b"p"),
                sent(GOES_ON, b"b"),
                sent(ENDS, b"c"),
                sent(whole, b"d"),
            ];
            assert_eq!(frames, expected);
        }
    }
}

#[test]
fn no_message_is_queued_inside_another() {
    // RFC 6455 §5.4: fragments of two messages must not be interleaved.
    for role in Role::BOTH {
        let mut endpoint = open(role);
        let permit = endpoint.websocket().permit().expect("a permit");
        permit.message(MessageKind::Text, Payload::Static(b"a"), false).expect("a part");
        let back = endpoint.websocket().try_queue(MessageKind::Text, Bytes::from_static(b"b"));
        assert_eq!(back, Err(Bytes::from_static(b"b")));
        let permit = endpoint.websocket().permit().expect("a permit");
        permit.message(MessageKind::Text, Payload::Static(b"c"), true).expect("a part");
        assert_eq!(endpoint.websocket().try_queue(MessageKind::Text, Bytes::from_static(b"d")), Ok(()));
        endpoint.settle();
        let expected = [sent(TEXT_BEGINS, b"a"), sent(ENDS, b"c"), sent(TEXT, b"d")];
        assert_eq!(unmasked(role, &endpoint.sent), expected);
    }
}

#[test]
fn data_is_sent_only_while_the_websocket_is_open() {
    // RFC 6455 §6.1: "The endpoint MUST ensure the WebSocket connection is in the OPEN state". RFC 6455 §5.5.1: "The
    // application MUST NOT send any more data frames after sending a Close frame."
    for role in Role::BOTH {
        let mut endpoint = open(role);
        endpoint.websocket().close(CloseCode::NORMAL, "done").expect("a close");
        let mut stream = endpoint.websocket();
        stream.want_write();
        assert!(stream.try_queue(MessageKind::Text, Bytes::from_static(b"late")).is_err());
        assert!(stream.permit().is_err());
        endpoint.settle();
        assert_eq!(unmasked(role, &endpoint.sent), [sent(CLOSE, close_payload(1000, "done"))]);
        assert_eq!(endpoint.seen.0, []);
    }
}

#[test]
fn a_websocket_is_nothing_else() {
    let mut server = open(Role::Server);
    assert!(server.stream().into_exchange().is_err());
    assert!(server.stream().into_raw().is_err());
    assert!(matches!(server.stream().by_protocol(), Ok(ByProtocol::WebSocket(_))));
    let permit = server.stream().permit().expect("a permit");
    let permit = permit.into_exchange().expect_err("a WebSocket").into_raw().expect_err("a WebSocket");
    assert!(matches!(permit.by_protocol(), Ok(ByProtocol::WebSocket(_))));
    server.settle();
    assert!(server.sent.is_empty());
}

#[test]
fn a_ping_has_at_most_125_bytes() {
    // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less".
    for role in Role::BOTH {
        let mut endpoint = open(role);
        for len in [0, 125, 126, 1000] {
            let permit = endpoint.websocket().permit().expect("a permit");
            permit.ping(&vec![b'x'; len]).expect("a ping");
            endpoint.settle();
            let payload = vec![b'x'; len.min(125)];
            assert_eq!(unmasked(role, &endpoint.take_sent()), [sent(PING, payload)]);
        }
    }
}

#[test]
fn a_streamed_message_comes_as_it_arrives_and_a_whole_one_when_it_is_complete() {
    for role in Role::BOTH {
        let input = role.incoming(TEXT, b"hello, world");
        let streamed = |at: usize| {
            let mut endpoint = role.websocket(&defaults(), true, tests::application::Echo::new(true));
            endpoint.receive(&input[..at], Buffer::Lent);
            endpoint.seen.contents().first().map_or(0, |content| content.0.len())
        };
        let header = input.len() - 12;
        assert_eq!(streamed(header), 0);
        assert_eq!(streamed(header + 3), 3, "three bytes of content have come");
        let mut whole = role.websocket(&defaults(), false, tests::application::Echo::default());
        whole.receive(&input[..input.len() - 1], Buffer::Lent);
        assert_eq!(whole.seen.0, []);
        whole.receive(&input[input.len() - 1..], Buffer::Lent);
        let content = "hello, world".into();
        assert_eq!(whole.seen.0, [Seen::Message { kind: MessageKind::Text, content, end: true }]);
    }
}
