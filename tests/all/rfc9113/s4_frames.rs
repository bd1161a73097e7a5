//! Frames. RFC 9113 §4.1 and §4.2.

use super::*;
use tests::h2::{flag, frame, kind, setting};

/// RFC 9113 §4.1: "Unassigned types ... Implementations MUST ignore and discard frames of unknown types." RFC 9113 §5.5: "Implementations
/// MUST discard frames that have unknown or unsupported types."
#[test]
fn frames_of_unknown_types_are_ignored() {
    for role in Role::BOTH {
        for stream in [0, 1, 2, 77] {
            for (kind, len) in [(10, 0), (11, 1), (255, 16_384), (12, 100)] {
                no_error(role, frame(kind, 0xff, stream, &vec![7; len]));
            }
        }
    }
}

/// RFC 9113 §4.1: "Flags: ... Unused flags ... MUST be ignored on receipt". §6.x: "The [frame type] does not define any flags."
#[test]
fn flags_without_a_meaning_are_ignored() {
    for role in Role::BOTH {
        let opens = role.opens();
        let check = |bytes: Vec<u8>| no_error(role, [&opens[..], &bytes].concat());
        check(frame(kind::DATA, !flag::PADDED & !flag::END_STREAM, 1, b"content!"));
        check(frame(kind::SETTINGS, !flag::ACK, 0, &[]));
        let reaction = check(frame(kind::PING, !flag::ACK, 0, b"12345678"));
        assert!(reaction.sent_frames.contains(&SentFrame::Ping { ack: true, payload: *b"12345678" }));
        check(frame(kind::WINDOW_UPDATE, 0xff, 0, &1u32.to_be_bytes()));
        check(frame(kind::PRIORITY, 0xff, 1, &[0, 0, 0, 9, 1]));
    }
    let flags = !flag::PADDED & !flag::PRIORITY;
    let reaction = no_error(Role::Server, frame(kind::HEADERS, flags, 1, &h2::block(&h2::GET)));
    assert_eq!(reaction.status(1), Some(200));
}

/// RFC 9113 §4.1: "Reserved: A reserved 1-bit field. The semantics of this bit are undefined, and the bit MUST remain unset (0x00) when
/// sending and MUST be ignored when receiving."
#[test]
fn the_reserved_bit_is_ignored() {
    let reaction = no_error(Role::Server, frame(kind::HEADERS, 5, 1 | 1 << 31, &h2::block(&h2::GET)));
    assert_eq!(reaction.status(1), Some(200));
    for role in Role::BOTH {
        no_error(role, frame(kind::PING, 0, 1 << 31, b"12345678"));
        no_error(role, frame(kind::WINDOW_UPDATE, 0, 1 << 31, &(1u32 << 31 | 1).to_be_bytes()));
    }
}

/// RFC 9113 §4.2: "All implementations MUST be capable of receiving and minimally processing frames up to 2^14 octets in length".
#[test]
fn the_largest_frame_that_may_come_is_taken() {
    for role in Role::BOTH {
        let reaction = no_error(role, [role.opens(), h2::data(1, vec![b'x'; 16_384], true)].concat());
        assert_eq!(reaction.delivered.seen.contents()[0].0.len(), 16_384);
    }
}

/// RFC 9113 §4.2: "An endpoint MUST send an error code of FRAME_SIZE_ERROR if a frame exceeds the size defined in
/// SETTINGS_MAX_FRAME_SIZE, exceeds any limit defined for the frame type, or is too small to contain mandatory frame data. A frame size
/// error in a frame that could alter the state of the entire connection MUST be treated as a connection error".
#[test]
fn a_frame_beyond_the_size_that_was_said_ends_the_connection() {
    for role in Role::BOTH {
        for kind in [kind::DATA, kind::HEADERS, kind::SETTINGS, kind::PING, 77] {
            let stream = u32::from(kind < 2);
            let bytes = [role.opens(), frame(kind, 0, stream, &vec![0; 16_385])].concat();
            connection_error(role, bytes, code::FRAME_SIZE_ERROR, Violation::FrameSize);
        }
    }
}

/// The same, of frames whose size is fixed. RFC 9113 §6.4, §6.5, §6.7, §6.8 and §6.9 make each a connection error.
#[test]
fn a_frame_of_a_wrong_size_ends_the_connection() {
    for role in Role::BOTH {
        for (kind, flags, stream, len) in [
            (kind::RST_STREAM, 0, 1, 3),
            (kind::RST_STREAM, 0, 1, 5),
            (kind::RST_STREAM, 0, 1, 0),
            (kind::SETTINGS, 0, 0, 5),
            (kind::SETTINGS, 0, 0, 7),
            // "Receipt of a SETTINGS frame with the ACK flag set and a length field value other than 0 MUST be treated as a
            // connection error of type FRAME_SIZE_ERROR." RFC 9113 §6.5.
            (kind::SETTINGS, flag::ACK, 0, 6),
            (kind::PING, 0, 0, 7),
            (kind::PING, 0, 0, 9),
            (kind::PING, flag::ACK, 0, 0),
            (kind::GOAWAY, 0, 0, 7),
            (kind::WINDOW_UPDATE, 0, 0, 3),
            (kind::WINDOW_UPDATE, 0, 1, 5),
            // Too small for the pad length or the priority that the flags announce.
            (kind::DATA, flag::PADDED, 1, 0),
            (kind::HEADERS, flag::END_HEADERS | flag::PADDED, 1, 0),
            (kind::HEADERS, flag::END_HEADERS | flag::PRIORITY, 1, 4),
            (kind::HEADERS, flag::END_HEADERS | flag::PRIORITY | flag::PADDED, 1, 5),
        ] {
            let bytes = [role.opens(), frame(kind, flags, stream, &vec![0; len])].concat();
            connection_error(role, bytes, code::FRAME_SIZE_ERROR, Violation::FrameSize);
        }
    }
    connection_error(
        Role::Server,
        frame(kind::PRIORITY_UPDATE, 0, 0, &[0; 3]),
        code::FRAME_SIZE_ERROR,
        Violation::FrameSize,
    );
}

/// RFC 9113 §6: "If a DATA frame is received whose Stream Identifier field is 0x00, the recipient MUST respond with a connection error of type
/// PROTOCOL_ERROR", and so for each frame that is about a stream; "If a PING frame is received with a Stream Identifier field value other
/// than 0x00 ...", and so for each that is about the connection.
#[test]
fn a_frame_about_a_stream_or_about_the_connection_says_so() {
    for role in Role::BOTH {
        for (kind, stream, len) in [
            (kind::DATA, 0, 4),
            (kind::HEADERS, 0, 4),
            (kind::PRIORITY, 0, 5),
            (kind::RST_STREAM, 0, 4),
            (kind::PUSH_PROMISE, 0, 4),
            (kind::SETTINGS, 1, 0),
            (kind::PING, 1, 8),
            (kind::GOAWAY, 1, 8),
            (kind::PRIORITY_UPDATE, 1, 4),
        ] {
            let bytes = [role.opens(), frame(kind, 0, stream, &vec![0; len])].concat();
            connection_error(role, bytes, code::PROTOCOL_ERROR, Violation::FrameStream);
        }
        let continuation = [role.opens(), frame(kind::CONTINUATION, 0, 0, &[])].concat();
        connection_error(role, continuation, code::PROTOCOL_ERROR, Violation::FieldBlock);
    }
}

/// RFC 9113 §4.2: "The size of a frame payload is limited by the maximum size that a receiver advertises in the SETTINGS_MAX_FRAME_SIZE
/// setting."
#[test]
fn no_frame_is_larger_than_the_peer_takes() {
    for size in [16_384, 20_000, (1 << 24) - 1] {
        let content = vec![b'x'; 60_000];
        let input = [
            &h2::post(1)[..],
            &content.chunks(16_384).map(|part| h2::data(1, part, false)).collect::<Vec<_>>().concat(),
            &h2::data(1, [], true),
        ]
        .concat();
        let reaction = served_with(&defaults(), &[(setting::MAX_FRAME_SIZE, size)], input);
        assert_eq!(h2::answer(&reaction.sent_frames, 1).expect("an answer").1.0, content);
        for frame in &reaction.sent_frames {
            assert!(!matches!(frame, SentFrame::Data { content, .. } if content.0.len() > size as usize));
        }
    }
}
