//! What the stream of a handle is known to speak, as types without values.

/// Whatever the stream speaks: what all streams have in common can be done.
#[derive(Debug)]
pub enum Any {}

/// HTTP, whatever the version. RFC 9110.
#[derive(Debug)]
pub enum Http {}

/// WebSocket, whatever it was opened with. RFC 6455.
#[derive(Debug)]
pub enum WebSocket {}

/// Bytes in both directions.
#[derive(Debug)]
pub enum Raw {}
