//! The project's measuring instruments.
//!
//! `load` drives a server over loopback and sets its CPU time per message beside a bare epoll
//! program measured in the same call. `instructions` counts user instructions with callgrind and
//! compares them with a checked-in baseline; `engine` is what it runs to count the protocol engine
//! alone. Nothing here is linked into the server or the libraries.

#![forbid(unsafe_code)]

pub mod ask;
pub mod baseline;
pub mod callgrind;
pub mod ceiling;
pub mod cells;
pub mod client;
pub mod compare;
mod epoll_server;
pub mod fanout;
pub mod histogram;
pub mod hpack;
pub mod idle;
pub mod loops;
pub mod machine;
pub mod mix;
pub mod process;
pub mod procfs;
pub mod relay;
pub mod report;
pub mod rounds;
pub mod syscalls;
pub mod threads;
pub mod tls;
pub mod verdict;
pub mod wake;

/// Why an instrument failed: printed for a person, and never handled by a program.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;
