//! The WebSocket protocol, RFC 6455 §1, with permessage-deflate, RFC 7692 §1.

mod close;
mod closing;
mod codec;
#[cfg(feature = "deflate")]
mod deflate;
mod extension;
mod frame;
mod handshake;
mod mask;
mod prepared;
mod receiver;
mod sender;
mod utf8;

pub use close::CloseCode;
pub use codec::{Codec, Decoded, Decoder, Encoder, OptionError};
#[cfg(feature = "deflate")]
pub use deflate::Deflate;
pub use extension::{Agreement, ExtensionOffer, Extensions, Negotiate, Parameter, Parameters, ReservedBits};
pub(crate) use frame::HEADER_BYTES_MAX;
pub use handshake::{Accept, Connect, Opening, check_request, is_opening};
pub(crate) use handshake::{
    Agreed, Expected, Opened, Refused, accept, agree, ask, check_answer, check_response, write_request,
};
#[cfg(feature = "std")]
pub use prepared::Broadcast;
pub use prepared::Prepared;
pub(crate) use receiver::{InOne, Receiver};
pub(crate) use sender::Sender;

use crate::Cause;
use crate::tx::{self, Tx};

/// Fails the WebSocket connection: a Close frame with the code of `cause`, then the end. RFC 6455 §7.1.7.
pub(crate) fn fail(tx: &mut Tx, cause: Cause) {
    let code = match cause {
        Cause::Violation(violation) => violation.close_code(),
        Cause::Limit(limit) => limit.close_code(),
        _ => 0,
    };
    if let (tx::Sender::WebSocket(sender), Some(code)) = (&mut tx.sender, CloseCode::new(code)) {
        sender.fail(&mut tx.out, &mut tx.entropy, code);
    }
    tx.finish(cause);
}
