//! HTTP and WebSocket servers: sites, routes, handlers, files and topics, on a protocol engine that does no I/O, hosted by any event
//! loop.
//!
//! ```
//! use lws_server::{Server, http::Response};
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//!
//! let server = Server::builder()
//!     .listen("127.0.0.1:0")
//!     .get("/hello/{name}", |request| {
//!         Response::text(format!("Hello, {}!", request.parameter("name").unwrap_or("world")))
//!     })
//!     .build()?;
//!
//! // A client that asks once, and then ends the server.
//! let (address, handle) = (server.addresses()[0].to_string(), server.handle());
//! let client = std::thread::spawn(move || -> std::io::Result<String> {
//!     let mut stream = TcpStream::connect(address)?;
//!     stream.write_all(b"GET /hello/you HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
//!     let mut answer = String::new();
//!     stream.read_to_string(&mut answer)?;
//!     handle.drain();
//!     Ok(answer)
//! });
//!
//! server.run()?;
//! let answer = client.join().expect("it does not panic")?;
//! assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("Hello, you!"));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! * A [`Site`] is data: names, listeners, TLS, limits and [`Route`]s. A [`Builder`] fills one, and so can a file or a test; sites are added
//!   and removed while a server runs ([`Handle::add_site`]).
//! * A route leads to an [`Endpoint`]. Plain functions, handlers and [`files`] are endpoints, and so is whatever implements the trait.
//! * Handlers are plain structs, one per exchange ([`http::Handler`]), WebSocket ([`ws::Handler`]) or raw stream ([`raw::Handler`]),
//!   called on one thread and shared with no other; a server with several [`threads`](Builder::threads) has handlers for each. They
//!   send by spending a permit, which comes when the peer can take it: nothing queues up without bound.
//! * Each call lends a [`Context`]: to publish, to wake others, to set timers, to ask other servers (`client`, with the feature of that
//!   name), to begin outgoing connections of one's own ([`upstream`]), to talk with processes and watch descriptors ([`descriptor`]), to open UDP sockets ([`datagrams`]).
//! * Other threads hold a [`Handle`].
//! * [`Server::run`] is the built-in loop; [`Server::into_service`] is for a loop that already runs.

mod app;
pub mod auth;
mod builder;
#[cfg(feature = "client")]
pub mod client;
mod context;
pub mod files;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod handle;
#[cfg(any(test, feature = "fuzz"))]
mod heads;
pub mod http;
mod id;
pub mod layer;
mod link;
pub mod metrics;
mod outbox;
mod publish;
pub mod raw;
mod route;
mod server;
mod site;
pub mod sse;
#[cfg(feature = "testing")]
pub mod testing;
mod thread;
pub mod tls;
pub mod ws;

pub use builder::Builder;
pub use context::Context;
pub use handle::Handle;
pub use http::subrequest::Grant;
pub use id::{LinkId, SiteId, StreamId, TimerId};
pub use link::{datagrams, descriptor, upstream};
pub use lws_loop_external::{
    Address, DriverOptions, Histogram, ListenOptions, ListeningSocket, Peer, ProxyFailure, TurnLimits,
};
pub use lws_proto::{
    Allowance, Bytes, Cause, Config, ConnectionKind, Control, HeldBytes, Limit, Limits, MessageKind, Misuse,
    OutOfRange, Payload, PreparedFields, RawPermit, RawStream, SERVICE_BYTES_MAX, Sent, Stream, StreamKey,
    Time, Versions, WebSocket, WebSocketPermit, Writable, spoken,
};
#[cfg(feature = "record")]
#[doc(inline)]
pub use lws_record as record;
#[cfg(feature = "broker")]
pub use publish::broker;
pub use publish::topics::SubscribeError;
pub use publish::watches::WatchId;
pub use publish::{Missed, PublishError};
pub use route::endpoint::Endpoint;
pub use route::explain::Explanation;
pub use route::guard::{Admission, Ask, Decision, Gate, Guard, Later};
pub use route::methods::Methods;
pub use route::redirect::Redirect;
pub use route::{Route, RouteOptions, Takes};
pub use server::group::PostError;
pub use server::options::ServerOptions;
pub use server::peers::PeerLimits;
pub use server::shard::Shard;
pub use server::stats::Stats;
pub use server::{Server, ServerService};
pub use site::changes::SiteChanges;
pub use site::origins::Origins;
#[cfg(feature = "proxies")]
pub use site::proxy_protocol::ProxyProtocol;
pub use site::{Bind, Names, Site, SiteSettings, Speaks};
pub use thread::access::AccessRecord;
pub use thread::panics::PanicRecord;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}

#[cfg(all(doctest, feature = "tls"))]
#[doc = include_str!("../../docs/tls.md")]
mod tls_howto {}

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../docs/guide/first-server.md")]
mod guide_first_server {}

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../docs/guide/rooms.md")]
mod guide_rooms {}

#[cfg(all(doctest, feature = "broker"))]
#[doc = include_str!("../../docs/scale.md")]
mod scale {}

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../docs/guide/authentication.md")]
mod guide_authentication {}

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../docs/guide/json-api.md")]
mod guide_json_api {}

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../docs/guide/upload.md")]
mod guide_upload {}

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../docs/guide/download.md")]
mod guide_download {}

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../docs/guide/events.md")]
mod guide_events {}

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../docs/guide/background-work.md")]
mod guide_background_work {}

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../docs/guide/async.md")]
mod guide_async {}

#[cfg(all(doctest, feature = "full", feature = "gzip"))]
#[doc = include_str!("../../docs/guide/errors-and-layers.md")]
mod guide_errors_and_layers {}

#[cfg(all(doctest, feature = "client", feature = "run"))]
#[doc = include_str!("../../docs/guide/http-client.md")]
mod guide_http_client {}

#[cfg(all(doctest, feature = "client", feature = "run"))]
#[doc = include_str!("../../docs/guide/websocket-client.md")]
mod guide_websocket_client {}

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../docs/guide/testing.md")]
mod guide_testing {}

#[cfg(all(doctest, feature = "full"))]
#[doc = include_str!("../../docs/guide/deployment.md")]
mod guide_deployment {}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
