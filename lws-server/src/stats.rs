//! What a server counts.

/// What is going on in a server, and what went on since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that are open.
    pub connections: u64,
    /// Connections that were accepted since the start.
    pub accepted: u64,
    /// WebSockets that are open.
    pub websockets: u64,
    /// HTTP requests since the start, opening handshakes too.
    pub requests: u64,
    /// WebSocket messages that were received since the start.
    pub messages: u64,
    /// Bytes that were received since the start.
    pub bytes_in: u64,
    /// Bytes that were sent since the start.
    pub bytes_out: u64,
}

/// The part of it that is counted here.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) websockets: u64,
    pub(crate) requests: u64,
    pub(crate) messages: u64,
}
