//! Field section compression and decompression. RFC 9113 §4.3 and §6.10.

use super::*;
use lws_proto::hpack::{Encoder, Indexing};
use tests::h2::{flag, frame, kind, setting};

/// A GET on stream 1 in pieces of a field block.
fn pieces(ends: &[usize], end_stream: bool) -> Vec<Vec<u8>> {
    let block = h2::block(&h2::GET);
    let bounds: Vec<usize> = [0].iter().chain(ends).copied().chain([block.len()]).collect();
    let count = bounds.len() - 1;
    let one = |(at, bounds): (usize, &[usize])| {
        let kind = if at == 0 { kind::HEADERS } else { kind::CONTINUATION };
        let end_stream = u8::from(at == 0 && end_stream) * flag::END_STREAM;
        let flags = end_stream | (u8::from(at + 1 == count) * flag::END_HEADERS);
        frame(kind, flags, 1, &block[bounds[0]..bounds[1]])
    };
    bounds.windows(2).enumerate().map(one).collect()
}

/// RFC 9113 §4.3: "A complete field section ... consists of either: a single HEADERS or PUSH_PROMISE frame, with the END_HEADERS flag
/// set, or a HEADERS or PUSH_PROMISE frame with the END_HEADERS flag unset and one or more CONTINUATION frames".
#[test]
fn a_field_block_may_come_in_pieces() {
    for ends in [&[][..], &[0], &[1], &[10], &[3, 3, 4], &[1, 2, 3, 4, 5, 6, 7, 8]] {
        let reaction = no_error(Role::Server, pieces(ends, true).concat());
        assert_eq!(reaction.status(1), Some(200), "{ends:?}");
    }
    let response = h2::block(&[(":status", "200")]);
    let frames =
        [frame(kind::HEADERS, 1, 1, &response[..5]), frame(kind::CONTINUATION, 4, 1, &response[5..])];
    let reaction = no_error(Role::Client, frames.concat());
    assert_eq!(reaction.causes(), [Cause::Complete]);
}

/// RFC 9113 §4.3: "Each field block is processed as a discrete unit. Field blocks MUST be transmitted as a contiguous sequence of frames, with
/// no interleaved frames of any other type or from any other stream." §6.10: "A receiver MUST treat the receipt of any other type of frame or
/// a frame on a different stream as a connection error of type PROTOCOL_ERROR."
#[test]
fn nothing_comes_between_the_pieces_of_a_field_block() {
    let [first, last] = &pieces(&[5], true)[..] else { unreachable!("two pieces") };
    for between in [
        h2::data(1, b"x", false),
        h2::get(3),
        h2::ping(false, PROBE),
        h2::settings(&[]),
        h2::window_update(0, 1),
        h2::rst_stream(1, 8),
        frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 9, 1]),
        frame(kind::CONTINUATION, 0, 3, &[]),
        frame(77, 0, 1, &[]),
    ] {
        let bytes = [&first[..], &between, last].concat();
        connection_error(Role::Server, bytes, code::PROTOCOL_ERROR, Violation::FieldBlock);
    }
}

/// RFC 9113 §6.10: "A CONTINUATION frame MUST be preceded by a HEADERS, PUSH_PROMISE or CONTINUATION frame without the END_HEADERS flag set. A
/// recipient that observes violation of this rule MUST respond with a connection error of type PROTOCOL_ERROR."
#[test]
fn a_continuation_continues_something() {
    for role in Role::BOTH {
        for before in [vec![], role.opens(), [role.opens(), h2::data(1, b"content!", false)].concat()] {
            for flags in [0, flag::END_HEADERS] {
                let bytes = [&before[..], &frame(kind::CONTINUATION, flags, 1, &[])].concat();
                connection_error(role, bytes, code::PROTOCOL_ERROR, Violation::FieldBlock);
            }
        }
    }
}

/// RFC 9113 §4.3: "A decoding error in a field block MUST be treated as a connection error of type COMPRESSION_ERROR."
#[test]
fn a_field_block_that_cannot_be_decoded_ends_the_connection() {
    for role in Role::BOTH {
        for block in [
            &[0x80][..],
            // Of neither table.
            &[0xff, 0x7f],
            // Half a literal.
            &[0x00, 0x05, b'a'],
            // A table that is larger than what was allowed.
            &[0x3f, 0xe2, 0x1f],
            // A size update behind a field.
            &[0x82, 0x20],
        ] {
            let flags = flag::END_HEADERS | flag::END_STREAM;
            let bytes = frame(kind::HEADERS, flags, 1, block);
            connection_error(role, bytes, code::COMPRESSION_ERROR, Violation::Compression);
        }
    }
}

/// RFC 9113 §4.3: "A receiving endpoint ... MUST process the field block even if the frames are to be discarded": the table that both
/// sides share does not come apart, whatever becomes of the stream.
#[test]
fn the_table_is_kept_for_streams_that_are_refused() {
    let mut encoder = Encoder::new();
    let mut block = |fields: &[(&str, &str)]| {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        for (name, value) in fields {
            encoder.encode(&mut block, name.as_bytes(), value.as_bytes(), Indexing::Index);
        }
        block
    };
    let get = |stream, block: &[u8]| frame(kind::HEADERS, 5, stream, block);
    let refused = [h2::GET.as_slice(), &[("connection", "close"), ("x", "a value for the table")]].concat();
    let taken = [h2::GET.as_slice(), &[("x", "a value for the table")]].concat();
    let bytes = [get(1, &block(&refused)), get(3, &block(&taken)), get(5, &block(&taken))].concat();
    let reaction = served(bytes);
    assert_eq!(h2::reset(&reaction.sent_frames, 1), Some(code::PROTOCOL_ERROR));
    assert_eq!([reaction.status(3), reaction.status(5)], [Some(200); 2]);
}

/// RFC 9113 §4.3.1: "... dynamic table size ... changes to SETTINGS_HEADER_TABLE_SIZE": "An endpoint MUST treat a field block that follows an
/// acknowledgment of the reduction to the maximum dynamic table size as a connection error of type COMPRESSION_ERROR if it does not start
/// with a conformant Dynamic Table Size Update instruction."
#[test]
fn a_smaller_table_counts_from_its_acknowledgement_on() {
    let config = tests::endpoint::limits(|limits| limits.h2_table_bytes_max = 0);
    // A literal that enters the table, and then an index of it.
    let first = [&[0x40][..], &h2::block(&[("x", "in the table")])[1..], &h2::block(&h2::GET)].concat();
    // Behind pseudo-header fields, as it must be.
    let first = [&h2::block(&h2::GET)[..], &first[..first.len() - h2::block(&h2::GET).len()]].concat();
    let second = [&h2::block(&h2::GET)[..], &[0xbe]].concat();
    let get = |stream, block: &[u8]| frame(kind::HEADERS, 5, stream, block);
    let begins = [&h2::PREFACE[..], &h2::settings(&[])].concat();
    let make = || Endpoint::http2_server(Arc::clone(&config), Each::echo());
    let reaction = Reaction::of(deliver(make, &[&begins[..], &get(1, &first), &get(3, &second)].concat()));
    assert_eq!(
        [reaction.status(1), reaction.status(3)],
        [Some(200); 2],
        "before: {:?}",
        reaction.sent_frames
    );
    let update = [&[0x20][..], &h2::block(&h2::GET)].concat();
    let acked =
        [&begins[..], &get(1, &first), &h2::settings_ack(), &get(3, &update), &get(5, &h2::block(&h2::GET))]
            .concat();
    let reaction = Reaction::of(deliver(make, &acked));
    assert_eq!(
        [reaction.status(3), reaction.status(5)],
        [Some(200); 2],
        "with an update: {:?}",
        reaction.sent_frames
    );
    let missing = [&begins[..], &get(1, &first), &h2::settings_ack(), &get(3, &h2::block(&h2::GET))].concat();
    let reaction = Reaction::of(deliver(make, &missing));
    assert_eq!(
        h2::go_aways(&reaction.sent_frames),
        [(1, code::COMPRESSION_ERROR)],
        "without: {:?}",
        reaction.sent_frames
    );
}

/// A table that may be larger than it is at first is no larger until the peer says so. RFC 7541 §4.2.
#[test]
fn a_larger_table_counts_from_the_size_update_on() {
    let config = tests::endpoint::limits(|limits| limits.h2_table_bytes_max = 65_536);
    let mut encoder = Encoder::new();
    let mut bytes = Vec::new();
    for stream in (1..80).step_by(2) {
        let mut block = Vec::new();
        encoder.begin(&mut block);
        for (name, value) in h2::GET {
            encoder.encode(&mut block, name.as_bytes(), value.as_bytes(), Indexing::Index);
        }
        // More than 4,096 bytes in all, so that entries leave the table of the encoder.
        let value = "x".repeat(300 + stream as usize);
        encoder.encode(&mut block, b"x", value.as_bytes(), Indexing::Index);
        encoder.encode(&mut block, b"y", b"again", Indexing::Index);
        bytes.extend(frame(kind::HEADERS, 5, stream, &block));
    }
    let reaction = served_with(&config, &[], bytes);
    for stream in (1..80).step_by(2) {
        assert_eq!(reaction.status(stream), Some(200), "{stream}");
    }
}

/// RFC 9113 §6.5.2, SETTINGS_HEADER_TABLE_SIZE: "allows the sender to inform the remote endpoint of the maximum size of the compression table
/// used to decode field blocks". The reader of the tests has 4,096 bytes, so a smaller one must be announced with a size update.
#[test]
fn our_encoder_keeps_to_the_table_of_the_peer() {
    for size in [0, 100, 4_096] {
        let get = |stream| h2::headers(stream, &[h2::GET.as_slice(), &[("x", "y")]].concat(), true);
        let bytes = [get(1), get(3), get(5)].concat();
        let reaction = served_with(&defaults(), &[(setting::HEADER_TABLE_SIZE, size)], bytes);
        assert_eq!([1, 3, 5].map(|stream| reaction.status(stream)), [Some(200); 3], "{size}");
    }
}

/// RFC 7541 §4.2: "In case multiple changes ... occur in the interval between the transmission of two header blocks, the smallest maximum
/// table size that occurs in that interval MUST be signaled".
#[test]
fn a_table_that_was_smaller_for_a_moment_is_announced() {
    for sizes in [&[0, 8_192][..], &[4_096, 0, 4_096]] {
        let entries: Vec<_> = sizes.iter().map(|size| (setting::HEADER_TABLE_SIZE, *size)).collect();
        let reaction = served_with(&defaults(), &entries, h2::get(1));
        let is_answer = |bytes: &&[u8]| bytes[3] == kind::HEADERS && bytes[5..9] == [0, 0, 0, 1];
        let block = reaction.delivered.sent.0.windows(13).find(is_answer);
        // A size update to 0, and one to 4,096, which is as much as our encoder uses.
        assert_eq!(block.map(|bytes| &bytes[9..]), Some(&[0x20, 0x3f, 0xe1, 0x1f][..]), "{sizes:?}");
    }
}

/// A section that does not fit one frame leaves in several. RFC 9113 §4.3.
#[test]
fn a_long_section_of_ours_is_continued() {
    let app = || {
        let value: &'static str = Box::leak("v".repeat(20_000).into_boxed_str());
        tests::application::Answer { fields: vec![("x", value), ("y", value)], ..Default::default() }
    };
    let reaction = served_by(&defaults(), &[], app, h2::get(1));
    let found = reaction.sent_frames.iter().find_map(|frame| match frame {
        SentFrame::Headers { stream: 1, continuations, fields, .. } => Some((*continuations, fields.len())),
        _ => None,
    });
    let (continuations, _) = found.expect("a response");
    assert!(continuations >= 1, "{continuations}");
}
