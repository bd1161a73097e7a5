//! HTTP/1.1, as server and client. RFC 9112.
//!
//! The wire is in `head`, `chunked` and `encode`, what follows from a head in `facts`, `framing` and `compose`, and the
//! two directions of an exchange in `reader` and `writer`, and what concerns both in `exchange`.

mod chunked;
mod compose;
mod encode;
mod exchange;
mod facts;
mod framing;
mod head;
mod reader;
mod writer;

pub(crate) use encode::field as encode_field;
pub(crate) use exchange::{
    abort, accept_tunnel, accept_websocket, connect_websocket, finish, refuse_undetected, request,
};
pub(crate) use reader::MessageReader;
pub(crate) use writer::MessageWriter;

#[cfg(test)]
mod tests;
