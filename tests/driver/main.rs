//! The driver of `lws-loop-external` together with the crates above it: TLS, and the suite for loops on the ready hosts.

mod conformance;
mod tls;
