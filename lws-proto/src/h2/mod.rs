//! HTTP/2, as server and client. RFC 9113, with extended CONNECT (RFC 8441) and priorities (RFC 9218).
//!
//! The wire is in `frame` and `settings`; what moves by rules alone in `state`, `window`, `bucket`, `conduct`, `priority` and `line`; what
//! a field section means in `section`, and how one is written in `fields`. The connection is the `session`, made of parts that know
//! nothing of each other: `streams`, `flow`, `requests`, `abuse`, `shutdown`, `idle`, and `tunnel` for what a stream can become. What
//! reads frames is the `reader`. Field compression is next door, in [`hpack`](crate::hpack).

mod abuse;
mod bucket;
mod code;
mod conduct;
mod cost;
mod error;
mod fields;
mod flow;
mod frame;
mod idle;
mod line;
mod priority;
mod reader;
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

pub use code::ErrorCode;
pub(crate) use cost::STREAM_BYTES;
pub(crate) use frame::PREFACE;
pub(crate) use reader::FrameReader;
pub(crate) use session::Session;
pub(crate) use upgrade::{Upgrade, asks_for_upgrade};

#[cfg(test)]
mod tests;
