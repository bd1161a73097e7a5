//! Servers on the built-in loop, asked by a client that speaks octets.

mod auth;
#[cfg(feature = "broker")]
mod broker;
#[cfg(feature = "client")]
mod client;
mod common;
mod disk;
mod ends;
mod errors;
mod files;
mod guards;
mod http;
mod http2;
mod links;
#[cfg(feature = "broker")]
mod mesh;
mod mounts;
mod panics;
mod peers;
#[cfg(feature = "proxies")]
mod proxied;
mod sites;
#[allow(unsafe_code)]
mod sys;
mod threads;
#[cfg(feature = "tls")]
mod tls;
mod topics;
mod websocket;
