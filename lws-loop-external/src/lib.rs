//! The seam: sockets, connections and timers as a service that any event loop can host. For Unix.
//!
//! A [`Driver`] owns the sockets of an [`Application`] and feeds the engine, [`lws_proto::Connection`], with what they
//! say. It never waits. Whoever does hosts it through [`Service`]: four calls, and the answer how long to sleep.
//! Level-triggered, edge-triggered and one-shot loops all can.
//!
//! Other descriptors live in the same table: pipes and terminals as streams, what the application reads and writes by
//! itself ([`Descriptor`]), and UDP ([`Udp`]).
//!
//! * A ready-made loop is the crate `lws-loop-poll`.
//! * Outgoing connections by name or address are [`Context::connect`]; [`Reconnect`] says when to come back.
//! * Several threads are several services: [`Shards`].
//! * Ready hosts for loops that somebody else runs are in [`hosts`].
//! * For every other loop that can watch a descriptor there is `OneDescriptor` of the feature `mio`.
#![deny(unsafe_code)]

#[cfg(not(unix))]
compile_error!("descriptors and their readiness are Unix's");

mod address;
mod admission;
mod adopt;
mod application;
mod budget;
mod clock;
mod connect;
mod context;
mod drain;
mod driver;
mod entropy;
mod handshake;
pub mod hosts;
mod letters;
mod listener;
mod net;
#[cfg(feature = "mio")]
mod one_descriptor;
mod options;
mod registration;
mod secure;
mod service;
mod shards;
#[cfg(feature = "simulation")]
pub mod simulation;
mod socket;
mod stats;
#[allow(unsafe_code)]
mod sys;
mod table;
mod timers;
pub mod tls;
mod token;
mod transport;
mod turn;
mod udp;
mod waker;
mod watch;

pub use address::{Address, Peer};
pub use application::{Accepted, Application};
pub use clock::Clock;
pub use connect::{
    Backoff, ConnectCause, ConnectError, ConnectPhase, FailedAttempt, NextTry, Query, Reconnect,
    ResolveError, Resolver, RetryPolicy, SystemResolver, Target,
};
pub use context::{Context, descriptors_max};
pub use driver::Driver;
pub use entropy::SystemEntropy;
#[cfg(feature = "mio")]
pub use one_descriptor::OneDescriptor;
pub use options::{ConnectOptions, DriverOptions, KeepAlive, ListenOptions, Speak, TcpOptions, Turn};
pub use service::{Change, Interest, Readiness, Service, Token, Trigger, Wait};
pub use shards::{GlobalId, Shard, Shards};
pub use stats::Stats;
pub use token::{ConnectionId, ListenerId};
pub use transport::NotPollable;
pub use udp::{DATAGRAM_BYTES_MAX, Datagram, DatagramPermit, Route, TooLong, Udp, UdpEvent, UdpOptions};
pub use waker::{Handle, SendError};
pub use watch::{Descriptor, DescriptorEvent};

#[cfg(doctest)]
#[doc = include_str!("../../docs/connecting.md")]
mod connecting {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
