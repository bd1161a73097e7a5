//! HTTP/2, as server and client. RFC 9113, with extended CONNECT (RFC 8441) and priorities (RFC 9218).
//!
//! The wire is in `frame` and `settings`; what moves by rules alone in `state`, `window`, `bucket`, `conduct`, `priority` and `line`; what
//! a field section means in `section`. The two halves are `receiver` and `sender`, with the exchanges in `exchange`. Field
//! compression is next door, in [`hpack`](crate::hpack).

mod bucket;
mod conduct;
mod deadlines;
mod error;
mod exchange;
mod frame;
mod line;
mod priority;
mod receiver;
mod section;
mod sender;
mod settings;
mod state;
mod streams;
mod upgrade;
mod window;

pub use error::ErrorCode;
pub(crate) use receiver::Receiver;
pub(crate) use sender::Sender;
pub(crate) use upgrade::{Upgrade, asks_for_upgrade};

#[cfg(test)]
mod tests;
