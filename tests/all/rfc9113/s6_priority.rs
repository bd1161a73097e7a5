//! PRIORITY, which is deprecated. RFC 9113 §6.3.

use super::*;
use tests::h2::{frame, kind};

/// RFC 9113 §6.3: "A PRIORITY frame with a length other than 5 octets MUST be treated as a stream error of type FRAME_SIZE_ERROR." On a stream that has
/// not begun it is one of the connection, as no RST_STREAM may be sent there (§6.4).
#[test]
fn a_priority_frame_has_five_bytes() {
    for role in Role::BOTH {
        for len in [0, 4, 6, 100] {
            let priority = |stream| frame(kind::PRIORITY, 0, stream, &vec![0; len]);
            let bytes = [role.opens(), priority(1)].concat();
            stream_error(role, bytes, 1, code::FRAME_SIZE_ERROR, Violation::FrameSize);
            connection_error(role, priority(9), code::FRAME_SIZE_ERROR, Violation::FrameSize);
        }
    }
}

/// RFC 9113 §5.1: "An endpoint MUST NOT send frames other than PRIORITY on a closed stream". A reset behind the end of a response would
/// be taken for its failure.
#[test]
fn a_wrong_priority_frame_on_a_closed_stream_is_not_answered() {
    for wrong in [&[0, 0, 0, 1][..], &[0; 100], &[0, 0, 0, 3, 5]] {
        let priority = |stream| frame(kind::PRIORITY, 0, stream, wrong);
        let ended = [h2::get(3), priority(3)].concat();
        let reaction = no_error(Role::Server, &ended);
        assert_eq!((reaction.status(3), reaction.causes()), (Some(200), vec![Cause::Complete]));
        // Stream 1 was skipped, and has closed with that: RFC 9113 §5.1.1.
        let itself = frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 5]);
        no_error(Role::Server, [h2::get(3), priority(1), itself].concat());
        no_error(Role::Client, [response(1, true), priority(1)].concat());
    }
}

/// RFC 9113 §6.3: "The PRIORITY frame can be sent on a stream in any state, including idle or closed."
#[test]
fn a_priority_frame_is_taken_and_ignored_in_every_state() {
    for role in Role::BOTH {
        for stream in [1, 3, 99, 100] {
            let priority = frame(kind::PRIORITY, 0, stream, &[0x80, 0, 0, 5, 255]);
            no_error(
                role,
                [&role.opens()[..], &priority, &h2::data(1, b"content!", true), &priority].concat(),
            );
        }
    }
}
