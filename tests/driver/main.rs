//! The driver of `lws-loop-external` together with the crates above it: TLS, and the suite for loops on the ready hosts.

mod conformance;
#[expect(dead_code, reason = "the tests of `lws-loop-external` need the rest")]
#[path = "../../lws-loop-external/tests/host/mod.rs"]
mod host;
mod tls;
mod upgrade;
