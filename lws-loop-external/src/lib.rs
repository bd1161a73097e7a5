#![doc = include_str!("../README.md")]
//!
//! # Where to look
//!
//! * A program implements [`Application`], whose calls get a [`DriverContext`], and gives it to a [`Driver`]; a loop
//!   hosts that as a [`Service`].
//! * Ready hosts for loops that a program already runs are in [`hosts`]. For every other loop that can watch a descriptor there is
//!   `OneDescriptor` of the feature `mio`.
//! * Outgoing connections by name or address are made with [`DriverContext::connect`]; [`Reconnect`] decides when
//!   to try again.
//! * Other descriptors live in the same table: pipes and terminals as streams, those that the application reads and writes by itself
//!   ([`Descriptor`]), and UDP ([`Udp`]).
//! * Several threads run one service each, and share connections evenly: [`Shards`].
//! * [`tls`] is the seam for TLS, which the crate `lws-tls` fills.
#![deny(unsafe_code)]

#[cfg(not(unix))]
compile_error!("descriptors and their readiness are Unix's");

mod address;
mod admission;
mod adopt;
mod announced;
mod application;
mod budget;
mod buffers;
mod clock;
mod command;
mod connect;
mod connection_budget;
mod context;
mod core;
mod descriptor_limit;
mod drain;
mod driver;
mod entropy;
mod file_region;
mod flags;
mod handshake;
mod histogram;
pub mod hosts;
mod listener;
mod listening;
mod messages;
mod net;
#[cfg(feature = "mio")]
mod one_descriptor;
mod open;
mod options;
mod pending;
mod piped;
mod process;
mod registration;
mod secure;
mod service;
mod service_clock;
mod shards;
#[cfg(feature = "simulation")]
pub mod simulation;
mod slot;
mod socket;
mod socket_options;
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
pub use announced::ProxyFailure;
pub use application::{Accepted, Application};
pub use clock::Clock;
pub use connect::{
    Backoff, CachedResolver, ConnectCause, ConnectError, ConnectPhase, FailedAttempt, NextTry, Query,
    Reconnect, ResolveError, Resolver, RetryPolicy, SystemResolver, Target,
};
pub use context::DriverContext;
pub use descriptor_limit::descriptors_max;
pub use driver::Driver;
pub use entropy::SystemEntropy;
pub use file_region::{file_region, lies_in_memory};
pub use histogram::Histogram;
pub use listening::ListeningSocket;
#[cfg(feature = "mio")]
pub use one_descriptor::OneDescriptor;
pub use options::{DriverOptions, TurnLimits};
pub use service::{Change, Interest, Readiness, Service, Token, Trigger, Wait};
pub use shards::{DriverShard, GlobalId, Shards};
pub use socket_options::{ConnectOptions, KeepAlive, ListenOptions, Speak, TcpOptions};
pub use stats::DriverStats;
pub use sys::AssertSend;
pub use token::{ConnectionId, ListenerId};
pub use transport::NotPollable;
pub use udp::{DATAGRAM_BYTES_MAX, Datagram, DatagramPermit, Route, TooLong, Udp, UdpEvent, UdpOptions};
pub use waker::{DriverHandle, SendError};
pub use watch::{Descriptor, DescriptorEvent};

#[cfg(doctest)]
#[doc = include_str!("../../docs/connecting.md")]
mod connecting {}
