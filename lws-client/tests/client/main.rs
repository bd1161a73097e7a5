//! The client as a whole, in memory with a clock that jumps. `lws-server` tests it against itself, with sockets and TLS.

mod chaos;
mod embedded;
mod memory;
mod requests;
mod websocket;
