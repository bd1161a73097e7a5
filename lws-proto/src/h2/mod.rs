//! HTTP/2, as server and client. RFC 9113, with extended CONNECT (RFC 8441) and priorities (RFC 9218).
//!
//! The wire is in `frame` and `settings`; what moves by rules alone in `state`, `window`, `bucket`, `conduct`, `priority` and `line`; what
//! a field section means in `section`, and how one is written in `fields`. The connection is the `session`, made of parts that know
//! nothing of each other: `streams`, `flow`, `requests`, `abuse`, `shutdown`, `idle`, and `tunnel` for what a stream can become. What
//! reads frames is the `receiver`. Field compression is next door, in [`hpack`](crate::hpack).

mod abuse;
mod bucket;
mod conduct;
mod error;
mod fields;
mod flow;
mod frame;
mod idle;
mod line;
mod priority;
mod receiver;
mod requests;
mod section;
mod session;
mod settings;
mod shutdown;
mod slot;
mod state;
mod streams;
mod tunnel;
mod upgrade;
mod window;

pub use error::ErrorCode;
pub(crate) use receiver::FrameReader;
pub(crate) use session::Session;
pub(crate) use tunnel::Tunnel;
pub(crate) use upgrade::{Upgrade, asks_for_upgrade};

/// Bytes of a stream, as a WebSocket at most: its entries in two lists that grow by doubling, a transmit half, a receiver, and its
/// places in queues.
pub(crate) const STREAM_BYTES: usize = 2 * (size_of::<streams::StreamState>() + receiver::STREAM_INPUT_BYTES)
    + size_of::<Tunnel>()
    + size_of::<crate::ws::FrameReceiver>()
    + 128;

#[cfg(test)]
mod tests;
