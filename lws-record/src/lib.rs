//! Records of connections.
//!
//! The engine has no clock, no randomness and no transport, so the same calls give the same output, octet for octet. A
//! [`Recorder`] writes the calls to a connection, and a hash of its output; [`Record`] reads them, and [`replay()`]
//! makes the same calls to a fresh connection. So a connection that failed in production becomes a test, or an input of
//! a fuzzer. A [`Tap`] writes the exchanged octets instead, as a pcapng file for Wireshark.
//!
//! Credentials are masked before anything is written, by default: see [`Redaction`]. Nothing here opens a socket;
//! [`Folder`] makes the files, which only their owner can read.
//!
//! ```
//! use lws_proto::{Config, Connection, Event, Payload, Time, http::Status};
//! use lws_record::{Record, Recorder, Redaction, Shared, replay};
//!
//! let file = Shared::default();
//! let mut server = Connection::server(Time::ZERO, Config::default().into());
//! server.record(Box::new(Recorder::new(file.clone(), Redaction::Credentials)));
//!
//! let mut input = *b"GET / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n";
//! let mut feed = server.receive(Time::ZERO, &mut input);
//! while let Some(event) = feed.next_event() {
//!     if let Event::Request { stream, .. } = event
//!         && let Ok(permit) = stream.permit()
//!     {
//!         permit.respond(Status::OK, [("set-cookie", "secret")], Payload::Static(b"hi"), true)?;
//!     }
//! }
//! drop(feed);
//! let n = server.transmit(Time::ZERO).map_or(0, |transmit| transmit.first().len());
//! server.transmitted(Time::ZERO, n);
//! drop(server);
//!
//! let written = file.take();
//! assert!(!written.windows(6).any(|part| part == b"secret"));
//! let outcome = replay(&Record::read(&written)?, Config::default())?;
//! assert_eq!(outcome.sent, n as u64);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod folder;
mod format;
mod hash;
mod pcapng;
mod recorder;
mod redact;
mod replay;
mod shared;

pub use folder::{Folder, Output};
pub use format::{Record, Unreadable};
pub use pcapng::{Ends, Tap, Writer};
pub use recorder::Recorder;
pub use redact::Redaction;
pub use replay::{Divergence, Outcome, replay};
pub use shared::Shared;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
