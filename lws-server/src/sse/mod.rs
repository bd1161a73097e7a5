//! Server-sent events: a stream of texts for an `EventSource`, which comes back by itself and misses nothing. HTML Living Standard §9.2.
//!
#![cfg_attr(feature = "testing", doc = "```")]
#![cfg_attr(not(feature = "testing"), doc = "```ignore")]
//! use lws_server::{Server, sse, testing};
//!
//! let news = sse::Channel::new(sse::Options::default());
//! let feed = news.clone();
//! let server = Server::builder().get("/news", move |request| feed.subscribe(request));
//!
//! let t = testing::Server::new(server)?;
//! let reader = t.get("/news").begin();
//! // From a handler, or from any other thread.
//! news.publish(&sse::Event::new("rain").named("weather"));
//! t.settle();
//! let read = String::from_utf8(reader.take_content())?;
//! assert!(read.contains("event: weather\ndata: rain\n\n"), "{read}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * Each event gets an identifier. A client that comes back says which one it has seen last, and gets what it has missed from the
//!   [last events](Options::events_max) that the channel keeps. If those do not reach back so far, or the process is another one, it gets an
//!   event called `resync` first.
//! * An event is written once for all. A client that is slow costs nothing but its place; what becomes of it is [`Lag`].
//! * A silent stream gets [heartbeats](Options::heartbeat), and when the server drains every stream ends in order, with the time at which
//!   its client is to come back.
//! * Browsers open six connections to one host over HTTP/1.1, of which each stream takes one: pages with several tabs want HTTP/2.

mod channel;
mod event;
mod ring;
mod subscriber;

pub use channel::{Channel, Lag, Options};
pub use event::Event;
pub use subscriber::Subscriber;
