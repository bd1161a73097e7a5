//! The WebSocket protocol, RFC 6455 §1, with permessage-deflate, RFC 7692 §1.

mod close;
mod closing;
mod codec;
#[cfg(feature = "deflate")]
mod deflate;
mod ends;
mod extension;
mod frame;
mod half;
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
pub(crate) use ends::{finish, handle_timeout, listens_since};
pub use extension::{Agreement, ExtensionOffer, Extensions, Negotiate, Parameter, Parameters, ReservedBits};
pub(crate) use half::Half;
pub use handshake::{Accept, Connect, Opening, check_request, is_opening};
pub(crate) use handshake::{
    Expected, Opened, Refused, accept, agree, ask, check_answer, check_response, write_request,
};
#[cfg(feature = "std")]
pub use prepared::Broadcast;
pub use prepared::Prepared;
pub(crate) use receiver::{FrameReceiver, InOne};
pub(crate) use sender::FrameSender;
pub use sender::SentMessages;
