//! The client as a whole: in memory with a clock that jumps, and on the loopback interface.

mod chaos;
mod embedded;
mod loopback;
mod memory;
mod requests;
mod websocket;
