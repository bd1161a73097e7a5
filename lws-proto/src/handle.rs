//! The handles that are lent to an application: streams by their protocol, and permits to write on them.

mod exchange;
mod permit;
mod raw_stream;
pub mod spoken;
mod stream;
mod websocket;

pub use exchange::{Exchange, ExchangePermit};
pub use permit::{Sent, Writable, WriteTicket};
pub use raw_stream::{RawPermit, RawStream};
pub use stream::Stream;
pub use websocket::{WebSocket, WebSocketPermit};

/// A handle, by the protocol of its stream, to be matched: a stream, or a permit for one.
#[derive(Debug)]
pub enum ByProtocol<E, W, R> {
    /// HTTP, whatever the version.
    Exchange(E),
    /// WebSocket.
    WebSocket(W),
    /// Bytes in both directions.
    Raw(R),
}
