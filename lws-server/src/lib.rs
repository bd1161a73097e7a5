//! What a server says to its peers: handlers, routes and files, on the sans-I/O engine and any loop.
//!
//! ```no_run
//! use lws_server::{Server, http::Response};
//!
//! Server::builder().listen("127.0.0.1:7681").get("/", |_| Response::text("Hello, world!")).build()?.run()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Handlers are plain structs, one per connection ([`ws::Handler`], [`raw::Handler`]) or one per exchange
//! ([`http::Handler`]), called on one thread and not shared with any other; a server with several
//! [`threads`](Builder::threads) has handlers for each. They send by spending a
//! permit, which the server gives when the peer can take it: nothing queues up without bound. Other threads have a
//! [`Handle`].

mod access;
mod app;
mod context;
pub mod files;
mod group;
mod hosts;
pub mod http;
mod origins;
mod panics;
pub mod raw;
mod refusal;
mod route;
mod server;
mod shared;
mod stats;
mod streams;
mod threads;
pub mod tls;
mod topics;
pub mod ws;

pub use access::AccessRecord;
pub use context::{Context, StreamId};
pub use group::{Handle, Missed, PublishError};
pub use lws_loop_external::{Address, DriverOptions, ListenOptions, Peer};
pub use lws_proto::{
    Bytes, Cause, Config, ConnectionKind, Control, HeldBytes, Limit, Limits, MessageKind, Misuse, OutOfRange,
    Payload, SERVICE_BYTES_MAX, Sent, Stream, StreamKey, Time, Versions, Writable,
};
#[cfg(feature = "record")]
#[doc(inline)]
pub use lws_record as record;
pub use panics::PanicRecord;
pub use server::{Builder, Server, Service};
pub use stats::Stats;
pub use threads::Shard;
pub use topics::SubscribeError;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

#[cfg(all(doctest, feature = "tls"))]
#[doc = include_str!("../../docs/tls.md")]
mod tls_howto {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
