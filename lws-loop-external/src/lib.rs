//! The seam: sockets, connections and timers as a service that any event loop can host. For Unix.
//!
//! A [`Driver`] owns the sockets of an [`Application`] and feeds the engine, [`lws_proto::Connection`], with what they
//! say. It never waits. Whoever does hosts it through [`Service`]: four calls, and the answer how long to sleep.
//! Level-triggered, edge-triggered and one-shot loops all can.
//!
//! * A ready-made loop is the crate `lws-loop-poll`.
//! * Several threads are several services: [`Shards`].
//! * A host for a plain poll(2) loop that somebody else runs is `examples/poll_loop.rs`.
#![forbid(unsafe_code)]

#[cfg(not(unix))]
compile_error!("descriptors and their readiness are Unix's");

mod address;
mod application;
mod context;
mod driver;
mod entropy;
mod listener;
mod options;
mod registration;
mod service;
mod shards;
mod socket;
mod stats;
mod table;
mod timers;
mod token;
mod turn;
mod waker;

pub use address::{Address, Peer};
pub use application::{Accepted, Application};
pub use context::Context;
pub use driver::Driver;
pub use entropy::SystemEntropy;
pub use options::{ConnectOptions, DriverOptions, KeepAlive, ListenOptions, Speak, TcpOptions};
pub use service::{Change, Interest, Readiness, Service, Token, Trigger, Wait};
pub use shards::{GlobalId, Shard, Shards};
pub use stats::Stats;
pub use token::{ConnectionId, ListenerId};
pub use waker::{Handle, SendError};
