//! RFC 7692 §6: RSV1 and fragments.

use super::{compressed_frame, fails, messages};
use lws_proto::{Cause, Violation};
use tests::deflate::{RSV1, compressed};
use tests::wire::{BINARY, BINARY_BEGINS, ENDS, GOES_ON, PING, TEXT, TEXT_BEGINS, masked};

/// "An endpoint MUST NOT set the 'Per-Message Compressed' bit of control frames and non-first fragments of a data message."
#[test]
fn rsv1_stands_on_the_first_frame_of_a_message_only() {
    let reserved = Cause::Violation(Violation::ReservedBit);
    fails(&compressed_frame(PING, b""), 1002, reserved);
    let first = compressed_frame(TEXT_BEGINS, &compressed(b"Hello"));
    fails(&[&first[..], &compressed_frame(ENDS, b"")].concat(), 1002, reserved);
    fails(&masked(TEXT | 0x20, b""), 1002, reserved);
    fails(&masked(TEXT | RSV1 | 0x10, b""), 1002, reserved);
}

#[test]
fn messages_with_and_without_the_bit_follow_each_other() {
    let input = [
        masked(TEXT, b"plain"),
        compressed_frame(TEXT, &compressed("κόσμε".as_bytes())),
        masked(BINARY, &compressed(b"x")),
        masked(TEXT_BEGINS, b"pl"),
        masked(ENDS, b"ain"),
    ]
    .concat();
    assert_eq!(
        messages(&input),
        ["plain".into(), "κόσμε".into(), compressed(b"x")[..].into(), "plain".into()]
    );
}

#[test]
fn fragments_of_a_compressed_message_come_in_any_size() {
    let text = "a compressed message in fragments of any size, ".repeat(20);
    let payload = compressed(text.as_bytes());
    for size in [1, 2, 7, payload.len() / 2, payload.len()] {
        let mut input = compressed_frame(TEXT_BEGINS, b"");
        for (at, part) in payload.chunks(size.max(1)).enumerate() {
            input.extend(masked(GOES_ON, part));
            if at % 3 == 0 {
                input.extend(masked(PING, b"between"));
            }
        }
        input.extend(masked(ENDS, b""));
        let found = messages(&input);
        assert_eq!(found, [text.as_str().into()], "fragments of {size} bytes");
    }
    let two = [compressed_frame(BINARY_BEGINS, &payload[..3]), masked(ENDS, &payload[3..])].concat();
    assert_eq!(messages(&two), [text.as_str().into()]);
}
