//! What a stream speaks, and what its messages carry.

/// What a stream speaks once it is established.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// Messages. RFC 6455.
    WebSocket,
    /// Bytes.
    Raw,
}

/// What a WebSocket data message carries. RFC 6455 §5.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8. What is received has been checked; what is sent must be.
    Text,
    /// Any bytes.
    Binary,
}
