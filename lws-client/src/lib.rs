//! An HTTP and WebSocket client for programs that have a loop: it does no I/O of its own and never waits.
//!
//! A [`Client`] belongs to one service, on one thread. It is asked for something with a call that returns at once, and tells
//! the outcome exactly once, later: a whole response with [`RequestBuilder::collect`], or a response as it comes with a
//! [`Reply`]. Connections are kept and shared, HTTP/1.1 and HTTP/2 alike; what fails is tried again where that can do no
//! harm, and ends in one [`Failure`] that says how far it came.
//!
//! * An application of the driver keeps a client beside everything else it does: see [`Client::on_event`] and its like, and
//!   [`Client::serve`].
//! * A program that has no application takes [`ClientApp`], a ready one, on whatever loop it runs. Other threads ask through
//!   its [`DriverHandle`](lws_loop_external::DriverHandle).
//! * A tool that may wait takes [`Runtime`], with the built-in loop:
//!
//! ```
//! # use std::io::{Read, Write};
//! # let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
//! # let address = listener.local_addr()?;
//! # std::thread::spawn(move || {
//! #     let (mut socket, _) = listener.accept().expect("a client");
//! #     let _ = socket.read(&mut [0; 1_024]);
//! #     let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
//! # });
//! use lws_client::{Options, Runtime};
//! use std::cell::Cell;
//! use std::rc::Rc;
//!
//! let mut runtime = Runtime::new(Options::default())?;
//! let done = Rc::new(Cell::new(false));
//! let finished = Rc::clone(&done);
//! runtime.with(|client| {
//!     let request = client.get(&format!("http://{address}/"))?;
//!     request.follow_redirects().collect(1 << 20, move |_, outcome| {
//!         let response = outcome.expect("a response");
//!         assert_eq!((response.status(), response.text().as_ref()), (200, "hello"));
//!         finished.set(true);
//!     });
//!     Ok::<_, lws_client::UrlError>(())
//! })?;
//! runtime.run_until(|| done.get())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! WebSockets that come back when they are lost are in [`ws`]. What peers and the application can make grow has its limit in
//! [`Limits`] and in the engine's [`lws_proto::Limits`], and every wait has a deadline: dead HTTP/2 peers are found, a
//! response begins within 60 s, and silence in it ends after 60 s.
#![forbid(unsafe_code)]

mod client;
mod cookies;
mod deadlines;
mod decode;
#[cfg(feature = "digest")]
mod digest;
mod driver;
mod failure;
mod fields;
mod options;
mod pool;
mod proxy;
mod redirect;
mod reply;
mod request;
mod response;
mod retry;
mod service;
mod slab;
mod tls;
mod tunnel;
mod url;
pub mod ws;

pub use crate::url::{Origin, URL_BYTES_MAX, Url, UrlError};
pub use client::{Action, Client, RequestBuilder, RequestId, Stats};
pub use cookies::CookieJar;
#[cfg(feature = "cookies")]
pub use cookies::MemoryJar;
pub use decode::DecodeError;
#[cfg(feature = "digest")]
pub use digest::Credentials;
pub use failure::{Cause, Deadline, Failure, Phase, Timings};
pub use fields::Fields;
pub use options::{Expect, Limits, Options, Override, RequestOptions, Versions};
pub use pool::Link;
pub use proxy::{Exceptions, NotAProxy, Proxy, ProxyRules, SocksError};
pub use redirect::{RedirectError, RedirectRules};
pub use reply::{Context, Reply, Upload};
pub use request::{Body, Request};
pub use response::{Response, ResponseHead};
pub use retry::RetryRules;
#[cfg(feature = "run")]
pub use service::Runtime;
pub use service::{ClientApp, Task};
pub use tls::{Connector, Tls};

#[cfg(all(doctest, feature = "run"))]
#[doc = include_str!("../README.md")]
mod readme {}
