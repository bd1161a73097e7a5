//! DATA and HEADERS by themselves. RFC 9113 §6.1 and §6.2.

use super::*;
use tests::Octets;
use tests::h2::{flag, frame, kind};

/// RFC 9113 §6.1: "Padding octets ... The total number of padding octets is determined by the value of the Pad Length field."
#[test]
fn padding_is_no_content() {
    for role in Role::BOTH {
        for padding in [0, 1, 7, 255] {
            let frames =
                [role.opens(), h2::padded(1, b"con", padding, false), h2::padded(1, b"tent", padding, true)];
            let reaction = no_error(role, frames.concat());
            assert_eq!(reaction.delivered.seen.contents(), [Octets::from("content")], "{role:?} {padding}");
        }
        // Nothing but padding.
        let frames = [role.opens(), h2::padded(1, b"", 255, false), h2::padded(1, b"", 0, true)];
        let reaction = no_error(role, frames.concat());
        assert_eq!(reaction.delivered.seen.contents(), [Octets::default()], "{role:?}");
    }
}

/// RFC 9113 §6.1: "If the length of the padding is the length of the frame payload or greater, the recipient MUST treat this as a connection error
/// of type PROTOCOL_ERROR."
#[test]
fn padding_fits_its_frame() {
    for role in Role::BOTH {
        for payload in [&[1][..], &[2, 0], &[255, 0, 0], &[4, 0, 0, 0]] {
            let data = frame(kind::DATA, flag::PADDED, 1, payload);
            connection_error(role, [role.opens(), data].concat(), code::PROTOCOL_ERROR, Violation::Padding);
        }
    }
}

/// RFC 9113 §6.2: "Padding that exceeds the size remaining for the field block fragment MUST be treated as a connection error of type
/// PROTOCOL_ERROR."
#[test]
fn padding_of_headers_fits_its_frame() {
    let block = h2::block(&h2::GET);
    for padding in [0, 1, 255] {
        let payload = [&[padding][..], &block, &vec![0; usize::from(padding)]].concat();
        let reaction = no_error(Role::Server, frame(kind::HEADERS, 5 | flag::PADDED, 1, &payload));
        assert_eq!(reaction.status(1), Some(200), "{padding}");
    }
    for role in Role::BOTH {
        for payload in [&[1][..], &[200, 0, 0], &[5, 0, 0, 0, 0]] {
            let headers = frame(kind::HEADERS, 5 | flag::PADDED, 1, payload);
            connection_error(role, headers, code::PROTOCOL_ERROR, Violation::Padding);
        }
    }
}

/// RFC 9113 §6.2: the deprecated priority fields of HEADERS are skipped.
#[test]
fn the_priority_of_headers_is_skipped() {
    let block = h2::block(&h2::GET);
    let payload = [&[0x80, 0, 0, 9, 200][..], &block].concat();
    let reaction = no_error(Role::Server, frame(kind::HEADERS, 5 | flag::PRIORITY, 1, &payload));
    assert_eq!(reaction.status(1), Some(200));
    let payload = [&[3, 0, 0, 0, 9, 200][..], &block, &[0; 3]].concat();
    let flags = 5 | flag::PRIORITY | flag::PADDED;
    assert_eq!(no_error(Role::Server, frame(kind::HEADERS, flags, 1, &payload)).status(1), Some(200));
}

/// RFC 7540 §5.3.1: "A stream cannot depend on itself. An endpoint MUST treat this as a stream error of type PROTOCOL_ERROR." The field block is
/// decoded all the same.
#[test]
fn a_stream_does_not_depend_on_itself() {
    let payload = [&[0, 0, 0, 1, 200][..], &h2::block(&h2::GET)].concat();
    let headers = frame(kind::HEADERS, 5 | flag::PRIORITY, 1, &payload);
    stream_error(Role::Server, headers, 1, code::PROTOCOL_ERROR, Violation::StreamDependency);
    let priority = frame(kind::PRIORITY, 0, 1, &[0x80, 0, 0, 1, 200]);
    for role in Role::BOTH {
        let bytes = [role.opens(), priority.clone()].concat();
        stream_error(role, bytes, 1, code::PROTOCOL_ERROR, Violation::StreamDependency);
    }
}

/// Empty DATA frames are content of no bytes: nothing is delivered, until the end.
#[test]
fn empty_frames_are_not_delivered() {
    for role in Role::BOTH {
        let empty = h2::data(1, b"", false);
        let frames =
            [role.opens(), empty.repeat(5), h2::data(1, b"content", false), empty, h2::data(1, b"", true)];
        let reaction = no_error(role, frames.concat());
        assert_eq!(reaction.delivered.seen.contents(), [Octets::from("content")], "{role:?}");
    }
}
