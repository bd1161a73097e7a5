//! Servers on the built-in loop, asked by a client that speaks octets.

mod common;
mod ends;
mod files;
mod http;
mod http2;
mod panics;
mod threads;
#[cfg(feature = "tls")]
mod tls;
mod websocket;
