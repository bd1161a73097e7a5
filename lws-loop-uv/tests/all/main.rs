//! Everything that a host on libuv owes its service, its loop and its program.

mod attach;
mod conformance;
mod lifetime;
mod support;
