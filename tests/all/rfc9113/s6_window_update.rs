//! WINDOW_UPDATE. RFC 9113 §6.9.

use super::*;
use tests::h2::{frame, kind};

/// RFC 9113 §6.9: "A receiver MUST treat the receipt of a WINDOW_UPDATE frame with a flow-control window increment of 0 as a stream error of type
/// PROTOCOL_ERROR; errors on the connection flow-control window MUST be treated as a connection error."
#[test]
fn an_increment_is_not_zero() {
    for role in Role::BOTH {
        connection_error(role, h2::window_update(0, 0), code::PROTOCOL_ERROR, Violation::WindowIncrement);
        // The reserved bit does not count.
        let reserved = frame(kind::WINDOW_UPDATE, 0, 0, &[0x80, 0, 0, 0]);
        connection_error(role, reserved, code::PROTOCOL_ERROR, Violation::WindowIncrement);
    }
    let bytes = [h2::post(1), h2::window_update(1, 0)].concat();
    stream_error(Role::Server, bytes, 1, code::PROTOCOL_ERROR, Violation::WindowIncrement);
    let bytes = [response(3, false), h2::window_update(3, 0)].concat();
    stream_error(Role::Client, bytes, 3, code::PROTOCOL_ERROR, Violation::WindowIncrement);
}

/// RFC 9113 §6.9.1: "A sender MUST NOT allow a flow-control window to exceed 2^31-1 octets. If a sender receives a WINDOW_UPDATE that causes a flow-control
/// window to exceed this maximum, it MUST terminate either the stream or the connection, as appropriate. For streams, the sender sends a
/// RST_STREAM with an error code of FLOW_CONTROL_ERROR; for the connection, a GOAWAY frame with an error code of FLOW_CONTROL_ERROR is sent."
#[test]
fn a_window_has_31_bits() {
    let max = (1 << 31) - 1;
    for (role, stream, before) in [(Role::Server, 1, h2::post(1)), (Role::Client, 3, response(3, false))] {
        for (increments, fine) in [
            (&[max - 65_535][..], true),
            (&[max - 65_534], false),
            (&[max], false),
            (&[1, max - 65_536], true),
            (&[1, max - 65_535], false),
        ] {
            let frames = |stream| {
                let updates = increments.iter().flat_map(|increment| h2::window_update(stream, *increment));
                before.iter().copied().chain(updates).collect::<Vec<_>>()
            };
            if fine {
                no_error(role, frames(0));
                no_error(role, frames(stream));
            } else {
                let (code, violation) = (code::FLOW_CONTROL_ERROR, Violation::FlowControl);
                connection_error(role, frames(0), code, violation);
                stream_error(role, frames(stream), stream, code, violation);
            }
        }
    }
}
