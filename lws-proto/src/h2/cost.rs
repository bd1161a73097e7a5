//! What a stream costs at most.

use super::reader::STREAM_INPUT_BYTES;
use super::streams::StreamState;
use super::tunnel::Tunnel;
use crate::ws::FrameReceiver;

/// Bytes of a stream, as a WebSocket at most: its entries in two lists that grow by doubling, a tunnel, a receiver, and its
/// places in queues.
pub(crate) const STREAM_BYTES: usize = 2 * (size_of::<StreamState>() + STREAM_INPUT_BYTES)
    + size_of::<Tunnel>()
    + size_of::<FrameReceiver>()
    + 128;
