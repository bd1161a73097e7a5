//! The known protocol of a handle's stream, as types without values.

/// Any protocol: only the calls that all streams have.
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
