//! What is lent to an application: streams by what they speak, and permits to write on them.

mod exchange;
mod permit;
mod raw_stream;
pub mod spoken;
mod stream;
mod untyped;
mod websocket;

pub use exchange::{Exchange, ExchangePermit};
pub use permit::{Sent, Writable, WriteTicket};
pub use raw_stream::{RawPermit, RawStream};
pub use stream::Stream;
pub use websocket::{WebSocket, WebSocketPermit};
