//! The C interface of this workspace: the functions that `lwx.h` and `lwx_engine.h` declare and document.
//!
//! Rust programs use `lws-server` and `lws-proto`. This crate is a library for Rust's tests only, which call it as C would.
//!
//! | file | what |
//! |---|---|
//! | `include/lwx_base.h`, `types.rs`, `error.rs` | texts, keys, error codes |
//! | `include/lwx_engine.h`, `engine.rs`, `event.rs` | the engine alone: bytes in, events and bytes out |
//! | `limits.rs` | limits that both have in common |
//! | `include/lwx.h`, `service/` | servers, and loops to run them on |
//! | `sys.rs` | what pointers of C mean, and every `unsafe` |
//! | `guard.rs` | no panic reaches C |
//! | `conformance.rs` | for tests: services of others behind the functions of C |
#![warn(clippy::undocumented_unsafe_blocks)]

pub mod base;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod engine;
pub mod error;
mod event;
mod guard;
pub mod limits;
pub mod service;
pub mod sys;
pub mod types;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
