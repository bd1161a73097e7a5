//! A protocol engine that does no I/O: HTTP/1.1, HTTP/2, WebSocket over both (with permessage-deflate) and raw byte streams, as
//! client and server.
//!
//! It has no clock, socket, thread, file, global or source of randomness. Bytes, time and random bytes go in; events
//! and bytes to write come out. See [`Connection`] for the contract.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_core, clippy::std_instead_of_alloc)]

extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

/// Notes what happens to a connection, if a tape runs. Without the feature `record` it is nothing, arguments included.
macro_rules! note {
    ($outbound:expr, $note:expr) => {
        #[cfg(feature = "record")]
        {
            #[allow(unused_imports)]
            use crate::record::{Command, Note};
            if let Some(tape) = &$outbound.resources.tape {
                tape.note(&$outbound.channel.link.config, $note);
            }
        }
    };
}

/// Notes what an application does with a stream that it was lent.
macro_rules! command {
    ($outbound:expr, $command:expr) => {
        note!($outbound, Note::Command($outbound.key(), $command));
    };
}

mod budget;
mod config;
mod connection;
mod error;
mod event;
mod h1;
pub mod h2;
mod handle;
pub mod hpack;
pub mod http;
mod key;
mod liveness;
mod payload;
mod prepared_fields;
mod protocol;
pub mod proxy_protocol;
mod range;
mod raw;
#[cfg(feature = "record")]
pub mod record;
mod refusal;
mod region;
mod time;
mod worst_case;
pub mod ws;

pub use budget::{HeldBytes, SERVICE_BYTES_MAX};
pub use bytes::Bytes;
pub use config::{Allowance, Config, Expect, Limits, Versions, WallClock};
pub use connection::{Connection, Feed, Interest, SLICES_MAX, Transmit};
pub use error::{Cause, Deadline, HandshakeFailure, Limit, Misuse, Violation};
pub use event::{Control, Established, Event};
pub use handle::{
    ByProtocol, Exchange, ExchangePermit, RawPermit, RawStream, Sent, Stream, WebSocket, WebSocketPermit,
    Writable, WriteTicket, spoken,
};
pub use http::Request;
pub use key::StreamKey;
pub use liveness::Liveness;
pub use payload::Payload;
pub use prepared_fields::PreparedFields;
pub use protocol::{MessageKind, Protocol};
pub use range::OutOfRange;
pub use refusal::{ErrorContent, REFUSAL_BYTES_MAX, RenderRefusal};
pub use region::Region;
pub use time::Time;
pub use worst_case::ConnectionKind;

/// A source of random bytes, for the masks and the nonce of a client. RFC 6455 §10.3 wants them unpredictable.
pub trait Entropy: Send {
    /// Fills `bytes` with random bytes.
    fn fill(&mut self, bytes: &mut [u8]);
}

impl<F: FnMut(&mut [u8]) + Send> Entropy for F {
    fn fill(&mut self, bytes: &mut [u8]) {
        self(bytes);
    }
}

#[cfg(doctest)]
#[doc = include_str!("../../docs/driver-howto.md")]
mod driver_howto {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
