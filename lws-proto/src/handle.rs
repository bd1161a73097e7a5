//! What is lent to an application: streams, and permits to write on them.

mod payload;
mod permit;
mod stream;

pub use payload::Payload;
pub use permit::{Sent, Writable, WriteTicket};
pub use stream::{Stream, StreamKey};
