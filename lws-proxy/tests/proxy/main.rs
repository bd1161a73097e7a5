//! A proxy on the built-in loop, between a client that speaks octets and upstreams that are scripts or servers of ours.

mod common;
mod desync;
mod exchanges;
mod failures;
mod websockets;
