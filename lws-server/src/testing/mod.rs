//! Requests and WebSockets against a server's description, without a socket: the real server in memory, on a clock that the
//! test turns.
//!
//! ```
//! use lws_server::{Server, http::Response, testing};
//!
//! let server = Server::builder().get("/hello/{name}", |request| {
//!     Response::text(format!("Hello, {}!", request.parameter("name").unwrap_or("world")))
//! });
//!
//! let t = testing::Server::new(server)?;
//! let response = t.get("/hello/you").send();
//! assert_eq!((response.status(), response.text()), (200, "Hello, you!"));
//! assert_eq!(t.get("/nowhere").send().status(), 404);
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Everything above system calls is what runs in a program: driver, engine, routes, handlers, limits and deadlines. The client is the
//! engine's. Only the network is a pair of queues, and the clock stands still until [`Server::pass`]. So a test takes microseconds,
//! and does the same each time.
//!
//! ```
//! use lws_server::{Context, MessageKind, Server, WebSocket, testing, ws};
//! use std::time::Duration;
//!
//! /// Ends a WebSocket that says nothing for a minute.
//! struct Quiet;
//!
//! impl ws::Handler for Quiet {
//!     fn open(&mut self, cx: &mut Context<'_>, mut stream: WebSocket<'_>) {
//!         stream.set_timeout(Some(cx.now() + Duration::from_secs(60)));
//!     }
//!
//!     fn timer(&mut self, _: &mut Context<'_>, stream: WebSocket<'_>) {
//!         let _ = stream.close(ws::CloseCode::POLICY, "say something");
//!     }
//! }
//!
//! let t = testing::Server::new(Server::builder().ws("/", |_| Quiet))?;
//! let websocket = t.ws("/").connect();
//! t.pass(Duration::from_secs(59));
//! assert_eq!(websocket.close_code(), None);
//! t.pass(Duration::from_secs(1));
//! assert_eq!(websocket.close_code(), Some(1008));
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! Work on other threads, such as that of a pool, is done in the time of the machine; [`Request::send`] waits for its answer. What is
//! not simulated: TLS, outgoing connections (they are refused), UDP. Whole networks that delay, cut and fail are what the crate
//! `lws-simulation` is for.

mod client;
mod host;
mod network;
mod request;
mod response;
mod websocket;
mod world;

use crate::{Builder, Context, Handle};
use lws_proto::Time;
pub use request::{Exchange, Request};
pub use response::Response;
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;
pub use websocket::{Opening, WebSocket};
use world::World;

/// A server in memory, with one thread.
#[must_use = "a test asks it something"]
pub struct Server(Rc<RefCell<World>>);

impl Server {
    /// Builds what `builder` describes. A server of several [`threads`](Builder::threads) has one here.
    ///
    /// One that listens nowhere gets a listener that serves every name; otherwise clients come to its first listener that has
    /// no TLS.
    ///
    /// # Errors
    /// Those of [`Builder::build`]; or every listener has TLS.
    pub fn new(builder: Builder) -> io::Result<Self> {
        Ok(Self(Rc::new(RefCell::new(World::new(builder)?))))
    }

    /// A GET request.
    pub fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    /// A POST request with `content`.
    pub fn post(&self, target: &str, content: impl Into<Vec<u8>>) -> Request {
        self.request("POST", target).content(content)
    }

    /// A request with a method of any name.
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request::new(Rc::clone(&self.0), method, target)
    }

    /// The opening handshake of a WebSocket.
    pub fn ws(&self, target: &str) -> Opening {
        Opening::new(Rc::clone(&self.0), target)
    }

    /// Lets `duration` pass: whatever is due within it happens at its moment.
    pub fn pass(&self, duration: Duration) {
        self.0.borrow_mut().pass(duration);
    }

    /// Lets everything happen that can happen now. Requests and WebSockets do so by themselves; it is wanted after a call of a
    /// [`Handle`].
    pub fn settle(&self) {
        self.0.borrow_mut().settle();
    }

    /// The time on the test's clock, which begins at zero. The wall clock begins with the year 2030.
    #[must_use]
    pub fn now(&self) -> Time {
        self.0.borrow().now()
    }

    /// What other threads may hold. Call [`settle`](Self::settle) after its calls.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.0.borrow().handle()
    }

    /// Reaches the server as [`ServerService::with`](crate::ServerService::with) does, and lets happen what follows.
    pub fn with<R>(&self, call: impl FnOnce(&mut Context<'_>) -> R) -> R {
        self.0.borrow_mut().with(call)
    }

    /// Whether the server has ended, after [`Handle::drain`] or [`Handle::stop`]: nothing listens, and no connection is left.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.0.borrow().has_ended()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("testing::Server").field("now", &self.now()).finish_non_exhaustive()
    }
}
