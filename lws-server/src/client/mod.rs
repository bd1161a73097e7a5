//! The client of a server's thread: handlers ask other servers for something, and answer with what those say.
//!
//! Each thread has one [`Client`], made when it is first asked for, with a pool of its own: [`Context::client`](crate::Context::client). What it is asked for is
//! done after the call, and its connections are beside all others of the thread.
//!
//! * A route whose answer is that of another server returns a [`Fetch`].
//! * A handler that needs a whole response asks with [`Context::fetch`](crate::Context::fetch), and ends its request by dropping the [`Pending`].
//! * A handler that relays a response as it comes asks with [`Context::start`](crate::Context::start), which has a [`Reply`]. What they have in common is theirs, an
//!   `Rc<RefCell<_>>` for instance, and a [`Waker`] has the handler called when there is something for it.
//! * What has no stream of its own to be woken takes a [`Deliveries`](crate::Context::deliveries) along.
//!
//! ```
//! use lws_server::Server;
//! use lws_server::client::{Fetch, Request};
//! use lws_server::http::{Response, Status};
//!
//! let server = Server::builder().listen("127.0.0.1:0").get("/weather", |_| {
//!     let url = "http://127.0.0.1:8080/now".parse().expect("a URL");
//!     Fetch::new(Request::new("GET", url), |_, outcome| match outcome {
//!         Ok(upstream) => Response::json(upstream.body),
//!         Err(failure) => Response::text(failure.to_string()).status(Status::BAD_GATEWAY),
//!     })
//! });
//! # server.build()?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod fetch;
pub(crate) mod host;

pub use fetch::Fetch;
pub(crate) use host::Host;
pub use host::{Deliveries, Pending, Waker};
#[doc(inline)]
pub use lws_client::*;
use std::cell::Cell;
use std::rc::Rc;

impl crate::Context<'_> {
    /// The client of this thread. A [`Reply`] that is started here is lent the client and no context of the server: it reaches its handler with a
    /// [`Waker`].
    pub fn client(&mut self) -> &mut Client {
        self.state.client.lend()
    }

    /// Asks for something, and has `done` called once with the whole response, of up to `bytes_max` bytes of content, or with why there is
    /// none. Its context belongs to no stream. Nothing is called after the [`Pending`] was dropped.
    pub fn fetch(
        &mut self,
        request: Request,
        bytes_max: usize,
        done: impl FnOnce(&mut crate::Context<'_>, Result<Response, Failure>) + 'static,
    ) -> Pending {
        let (outbox, over) = (self.state.client.outbox(), Rc::new(Cell::new(false)));
        let (sent, ended) = (Rc::clone(&outbox), Rc::clone(&over));
        let id = self.client().collect(request, bytes_max, move |_, outcome| {
            // A handler that has gone has cancelled: there is no caller. It may still go before this is delivered.
            if !ended.get() {
                sent.call(Box::new(move |cx| {
                    if !ended.replace(true) {
                        done(cx, outcome);
                    }
                }));
            }
        });
        Pending::new(outbox, over, id)
    }

    /// Asks for something that `reply` receives as it comes. Dropping the [`Pending`] gives it up.
    pub fn start(&mut self, request: Request, reply: impl Reply + 'static) -> Pending {
        let outbox = self.state.client.outbox();
        let id = self.client().start(request, reply);
        // To give up what has ended does nothing, so that nothing has to note the end.
        Pending::new(outbox, Rc::default(), id)
    }

    /// What calls with a context of the server from a [`Reply`] or a handler of [`ws`], on this thread.
    #[must_use]
    pub fn deliveries(&mut self) -> Deliveries {
        Deliveries::new(self.state.client.outbox())
    }

    /// The bytes that this thread holds for peers, against the budget of the server, [`Builder::held_bytes_max`](crate::Builder::held_bytes_max). What
    /// an application keeps between two of them it counts there itself, with [`HeldBytes::adjust`](crate::HeldBytes::adjust).
    #[must_use]
    pub fn held_bytes(&self) -> Rc<crate::HeldBytes> {
        self.state.client.held()
    }

    /// What wakes the exchange, WebSocket or raw stream that the call is about from a [`Reply`] or whatever else is on this thread.
    /// `None` of a call that is about none.
    #[must_use]
    pub fn waker(&mut self) -> Option<Waker> {
        Some(Waker::new(self.state.client.outbox(), self.id()?))
    }
}
