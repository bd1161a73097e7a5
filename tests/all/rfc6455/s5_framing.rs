//! RFC 6455 §5, data framing, without masking.

use crate::support::{Role, fails, sent, sent_frames};
use lws_proto::{Cause, MessageKind, Violation};
use tests::wire::{BINARY, BINARY_BEGINS, ENDS, GOES_ON, KEY, PING, PONG, TEXT, TEXT_BEGINS, frame, header};
use tests::{Octets, Random, Seen};

fn violates(input_of: impl Fn(Role) -> Vec<u8>, violation: Violation) {
    for role in Role::BOTH {
        fails(role, &input_of(role), violation.close_code(), Cause::Violation(violation));
    }
}

/// The same frames to both roles come back as `expected`.
fn echoes(frames: &[(u8, &[u8])], expected: &[(u8, &[u8])]) {
    for role in Role::BOTH {
        let input: Vec<u8> =
            frames.iter().flat_map(|(first, payload)| role.incoming(*first, payload)).collect();
        let expected: Vec<(u8, Octets)> =
            expected.iter().map(|(first, payload)| sent(*first, payload)).collect();
        assert_eq!(role.echoes(&input), expected, "{role:?} {frames:?}");
    }
}

#[test]
fn messages_of_every_form_of_length_come_and_go_whole() {
    // RFC 6455 §5.2: "The length of the "Payload data", in bytes: if 0-125, that is the payload length. If 126, the
    // following 2 bytes interpreted as a 16-bit unsigned integer are the payload length. If 127, the following 8 bytes".
    // What is sent is read by `wire::frames`, which refuses any other than the minimal form.
    for len in
        [0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 124, 125, 126, 127, 128, 1000, 65_535, 65_536, 70_001]
    {
        let payload = Random::new(len as u64).bytes(len);
        echoes(&[(BINARY, &payload)], &[(BINARY, &payload)]);
        let text = vec![b'x'; len];
        echoes(&[(TEXT, &text), (TEXT, b"next")], &[(TEXT, &text), (TEXT, b"next")]);
    }
}

#[test]
fn a_reserved_bit_that_was_not_negotiated_fails_the_connection() {
    // RFC 6455 §5.2: "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values. If a nonzero
    // value is received and none of the negotiated extensions defines the meaning of such a nonzero value, the receiving
    // endpoint MUST _Fail the WebSocket Connection_."
    for reserved in 1..8 {
        for first in [TEXT, BINARY, PING, PONG, 0x88, TEXT_BEGINS] {
            violates(|role| role.incoming(first | reserved << 4, b""), Violation::ReservedBit);
        }
    }
}

#[test]
fn an_unknown_opcode_fails_the_connection() {
    // RFC 6455 §5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the WebSocket Connection_."
    for opcode in [0x3, 0x4, 0x5, 0x6, 0x7, 0xb, 0xc, 0xd, 0xe, 0xf] {
        violates(|role| role.incoming(0x80 | opcode, b"x"), Violation::Opcode);
        violates(|role| role.incoming(opcode, b""), Violation::Opcode);
    }
}

#[test]
fn a_length_takes_the_fewest_bytes() {
    // RFC 6455 §5.2: "in all cases, the minimal number of bytes MUST be used to encode the length, for example, the length of
    // a 124-byte-long string can't be encoded as the sequence 126, 0, 124."
    let check = |marker: u8, len: &[u8]| {
        let input = |role: Role| {
            let mask = u8::from(role == Role::Server) << 7;
            [&[BINARY, mask | marker][..], len, if role == Role::Server { &KEY } else { &[] }].concat()
        };
        violates(input, Violation::PayloadLength);
    };
    check(126, &[0, 0]);
    check(126, &[0, 124]);
    check(126, &[0, 125]);
    check(127, &[0; 8]);
    check(127, &[0, 0, 0, 0, 0, 0, 0, 126]);
    check(127, &[0, 0, 0, 0, 0, 0, 0xff, 0xff]);
    // "(the most significant bit MUST be 0)".
    check(127, &[0x80, 0, 0, 0, 0, 0, 0, 0]);
    check(127, &[0xff; 8]);
}

#[test]
fn the_longest_length_is_taken_where_messages_are_streamed() {
    // RFC 6455 §5.2: the longest form has 63 bits. Where nothing is put together there is nothing to limit.
    let mut server =
        Role::Server.websocket(&crate::support::defaults(), true, tests::application::Echo::new(true));
    let begin = [header(BINARY, true, i64::MAX as u64), KEY.to_vec(), vec![0; 100]].concat();
    server.receive(&begin, tests::endpoint::Buffer::Lent);
    let zeros: Vec<u8> = (0..100).map(|at| KEY[at % 4]).collect();
    let content = Octets(zeros);
    assert_eq!(server.seen.0, [Seen::Message { kind: MessageKind::Binary, content, end: false }]);
}

#[test]
fn fragments_make_one_message_in_their_order() {
    // RFC 6455 §5.4: "Message fragments MUST be delivered to the recipient in the order sent by the sender." "All fragments
    // of a message are of the same type, as set by the first fragment's opcode."
    echoes(&[(TEXT_BEGINS, b"a"), (GOES_ON, b"b"), (ENDS, b"c")], &[(TEXT, b"abc")]);
    echoes(&[(BINARY_BEGINS, b""), (GOES_ON, b""), (GOES_ON, b"\xff"), (ENDS, b"")], &[(BINARY, b"\xff")]);
    echoes(&[(TEXT_BEGINS, b""), (ENDS, b"")], &[(TEXT, b"")]);
    echoes(&[(TEXT_BEGINS, b"a"), (ENDS, b""), (BINARY, b"b")], &[(TEXT, b"a"), (BINARY, b"b")]);
}

#[test]
fn control_frames_between_fragments_are_answered_at_once() {
    // RFC 6455 §5.4: "Control frames MAY be injected in the middle of a fragmented message." "An endpoint MUST be capable of
    // handling control frames in the middle of a fragmented message."
    let frames: &[(u8, &[u8])] = &[
        (TEXT_BEGINS, b"a"),
        (PING, b"1"),
        (GOES_ON, b"b"),
        (PONG, b"2"),
        (PING, b""),
        (ENDS, b"c"),
        (PING, b"3"),
    ];
    echoes(frames, &[(PONG, b"1"), (PONG, b""), (TEXT, b"abc"), (PONG, b"3")]);
}

#[test]
fn fragments_of_two_messages_do_not_mix() {
    // RFC 6455 §5.4: "The fragments of one message MUST NOT be interleaved between the fragments of another message unless an
    // extension has been negotiated that can interpret the interleaving."
    for second in [TEXT, BINARY, TEXT_BEGINS, BINARY_BEGINS] {
        let input = |role: Role| [role.incoming(TEXT_BEGINS, b"a"), role.incoming(second, b"b")].concat();
        violates(input, Violation::Interleaved);
    }
    // A continuation goes on with something. RFC 6455 §5.4: a fragmented message begins with "a single frame with the FIN
    // bit clear and an opcode other than 0".
    for first in [GOES_ON, ENDS] {
        violates(|role| role.incoming(first, b"a"), Violation::Continuation);
        let after = |role: Role| [role.incoming(TEXT, b"a"), role.incoming(first, b"b")].concat();
        violates(after, Violation::Continuation);
    }
}

#[test]
fn a_control_frame_is_short_and_in_one_piece() {
    // RFC 6455 §5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be fragmented."
    for opcode in [0x8, 0x9, 0xa] {
        violates(|role| role.incoming(opcode, b""), Violation::ControlFrame);
        violates(|role| role.incoming(0x80 | opcode, &[b'x'; 126]), Violation::ControlFrame);
        violates(|role| role.incoming(0x80 | opcode, &[b'x'; 70_000]), Violation::ControlFrame);
    }
    echoes(&[(PING, &[b'x'; 125])], &[(PONG, &[b'x'; 125])]);
}

#[test]
fn a_ping_is_answered_with_its_own_payload() {
    // RFC 6455 §5.5.2: "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in response, unless it already
    // received a Close frame." RFC 6455 §5.5.3: it "must have identical "Application data"".
    let all: Vec<u8> = (0..125).map(|byte| byte * 2).collect();
    for payload in [&b""[..], b"x", &all, &[0; 125]] {
        echoes(&[(PING, payload)], &[(PONG, payload)]);
    }
    // RFC 6455 §5.5.3: "A response to an unsolicited Pong frame is not expected."
    echoes(&[(PONG, b"unsolicited"), (PONG, b"")], &[]);
}

#[test]
fn a_server_may_receive_control_frames() {
    for role in Role::BOTH {
        let input = [role.incoming(PING, b"a"), role.incoming(PONG, b"b")].concat();
        let delivered = role.receives(&input);
        assert_eq!(delivered.seen.0, [Seen::Ping("a".into()), Seen::Pong("b".into())]);
        assert_eq!(sent_frames(role, &delivered), [sent(PONG, b"a")]);
    }
}

#[test]
fn frames_of_random_conversations_come_back() {
    for seed in 0..10 {
        let mut random = Random::new(seed);
        for role in Role::BOTH {
            let mut input = Vec::new();
            let mut expected = Vec::new();
            for _ in 0..20 {
                let len = *random.pick(&[0, 1, 5, 125, 126, 300, 5_000]);
                let payload = random.bytes(len);
                let parts = 1 + random.below(4);
                for part in 0..parts {
                    let range = len * part / parts..len * (part + 1) / parts;
                    let opcode = if part == 0 { 2 } else { 0 };
                    let fin = u8::from(part + 1 == parts) << 7;
                    let key = (role == Role::Server)
                        .then(|| random.next_u64().to_le_bytes())
                        .map(|key| [key[0], key[1], key[2], key[3]]);
                    input.extend(frame(fin | opcode, key, &payload[range]));
                }
                expected.push(sent(BINARY, payload));
            }
            assert_eq!(role.echoes(&input), expected, "seed {seed}");
        }
    }
}
