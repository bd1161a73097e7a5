//! What one connection costs at most, computed from its limits.
//!
//! The figures are upper bounds: a test drives an attacker of each kind to its end and compares.

use crate::config::Limits;
use crate::{Connection, h1, h2, ws};

/// What a connection speaks, as far as its cost is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectionKind {
    /// It has been opened, and its peer has said nothing that decides.
    Opened,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 with every stream that it may have, tunnels and WebSockets too.
    Http2,
    /// WebSocket over HTTP/1.1.
    WebSocket,
    /// A raw stream.
    Raw,
}

impl ConnectionKind {
    /// Every kind.
    pub const ALL: &[Self] = &[Self::Opened, Self::Http1, Self::Http2, Self::WebSocket, Self::Raw];

    /// A name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::WebSocket => "WebSocket",
            Self::Raw => "raw",
        }
    }
}

/// A collection that grows by itself may have twice the room that it needs.
const GROWN: usize = 2;

/// Positions of a field line, and what is known of it.
const FIELD_BYTES: usize = 24;

/// What small boxes, lists and tables of a connection cost together.
const SUNDRIES: usize = 4 << 10;

impl Limits {
    /// Bytes that the engine, and an application that counts with [`Stream::hold`](crate::Stream::hold), hold for one connection at
    /// most, the [`Connection`] itself included.
    ///
    /// `receive_buffer_bytes` is what the driver lends at a time; what of it is not taken is kept. Payloads that an application gives
    /// are its own, and come on top: one is always taken, whatever its length. So do compression contexts, which
    /// `held_bytes_max` counts too: a WebSocket that has agreed on permessage-deflate with takeover has up to 370 KiB of them.
    #[must_use]
    pub fn worst_case(&self, kind: ConnectionKind, receive_buffer_bytes: usize) -> usize {
        let base = size_of::<Connection>() + SUNDRIES;
        // What a turn may leave behind: input that is not taken, and what the transport does not take.
        let left =
            GROWN * (self.look_ahead_bytes_max + receive_buffer_bytes) + GROWN * self.send_queue_bytes_max;
        let head = GROWN * self.head_bytes_max + self.field_lines_max * FIELD_BYTES;
        let message = GROWN * self.message_bytes_max.min(self.held_bytes_max);
        match kind {
            ConnectionKind::Opened => base + GROWN * self.head_bytes_max + receive_buffer_bytes,
            ConnectionKind::Http1 => {
                base + size_of::<h1::MessageReader>() + left + head + self.held_bytes_max
            }
            ConnectionKind::WebSocket => base + size_of::<ws::FrameReceiver>() + left + message,
            ConnectionKind::Raw => base + left,
            ConnectionKind::Http2 => {
                let streams = self.h2_streams_max as usize * h2::STREAM_BYTES;
                let tables = 2 * GROWN * self.h2_table_bytes_max as usize;
                // A section is decoded up to four times what may be delivered, and a block may be as long.
                let sections = 2 * GROWN * (4 * self.head_bytes_max + self.field_lines_max * FIELD_BYTES);
                let window = GROWN * self.h2_connection_window as usize;
                base + size_of::<h2::FrameReader>()
                    + size_of::<h2::Session>()
                    + left
                    + streams
                    + tables
                    + sections
                    + window
                    + self.held_bytes_max
                    + message
            }
        }
    }
}
