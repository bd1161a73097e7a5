//! PUSH_PROMISE and CONTINUATION. RFC 9113 §6.6 and §8.4.

use super::*;
use tests::h2::{frame, kind};

/// RFC 9113 §8.4: "A client cannot push. Thus, servers MUST treat the receipt of a PUSH_PROMISE frame as a connection error of type PROTOCOL_ERROR." and
/// §6.6: "If the SETTINGS_ENABLE_PUSH setting of the peer endpoint is set to 0 ... an endpoint that has set this setting and has received
/// acknowledgment MUST treat the receipt of a PUSH_PROMISE frame as a connection error of type PROTOCOL_ERROR."
#[test]
fn pushes_are_refused() {
    let promise =
        |stream| frame(kind::PUSH_PROMISE, 4, stream, &[&[0, 0, 0, 2][..], &h2::block(&h2::GET)].concat());
    for role in Role::BOTH {
        let bytes = [role.opens(), promise(1)].concat();
        connection_error(role, bytes, code::PROTOCOL_ERROR, Violation::Push);
        connection_error(role, promise(99), code::PROTOCOL_ERROR, Violation::Push);
    }
}
