//! RFC 9110, the semantics of HTTP, where it binds an engine.

mod s10_expect;
mod s6_date;
mod s7_upgrade;
mod s9_methods;
