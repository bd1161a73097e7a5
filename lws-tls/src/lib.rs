//! TLS for servers and clients: rustls behind the session seam of `lws-loop-external`, which turns bytes into bytes.
//!
//! Knows no socket and no protocol above. A [`Server`] is the provider for a listener's
//! [`ListenTls`](lws_loop_external::tls::ListenTls); a [`Client`] makes the providers for
//! [`ConnectOptions::tls`](lws_loop_external::ConnectOptions::tls).
//!
//! ```no_run
//! use lws_tls::{Client, Host, Identity, Server};
//!
//! let server = Server::builder()
//!     .default_host(Host::new(Identity::files("cert.pem", "key.pem")))
//!     .host("*.example.com", Host::new(Identity::files("example.pem", "example.key")).versions(&["TLSv1.3"]))
//!     .build()?;
//! let client = Client::builder().build()?.to("example.com")?;
//! // Later, when the files have changed: connections go on, and an invalid pair changes nothing.
//! server.reload()?;
//! # Ok::<(), lws_tls::ConfigError>(())
//! ```
#![forbid(unsafe_code)]

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
compile_error!("one of the features `ring` and `aws-lc-rs` is needed");

mod certificate;
mod client;
mod der;
mod error;
mod failure;
mod hosts;
mod identity;
mod keylog;
mod names;
mod pin;
mod records;
mod roots;
mod server;
mod session;
mod slot;
mod validations;
mod verify;

pub use certificate::Certificate;
pub use client::{Client, ClientBuilder};
pub use error::ConfigError;
pub use hosts::{ClientCertificates, Host, Resumption, UnknownName};
pub use identity::Identity;
pub use keylog::KeyLog;
pub use pin::Pin;
pub use roots::Roots;
pub use rustls;
pub use server::{Server, ServerBuilder, Update};
pub use slot::CertificateSlot;
pub use validations::Validations;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
