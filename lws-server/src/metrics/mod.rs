//! Metrics of a server for a collector such as Prometheus: what was counted where, by names that do not change.
//!
//! Each thread counts on its own, in memory that no other writes. Who asks has every thread answer with a copy of what it has counted as a
//! whole, which takes the same short time however many sites there are; the counters of the sites are read, added up and written
//! on the thread that asks for the text.
//!
//! Labels have few values: a path, an address of a peer or an unknown method is none of them. The sites of a server are the one
//! thing that there may be many of, and sites of one name share their samples.
//!
//! ```
//! use lws_server::metrics;
//! use lws_server::{Route, Server, http::Response};
//!
//! let server = Server::builder()
//!     .listen("127.0.0.1:0")
//!     .get("/", |_| Response::text("hello"))
//!     .route(Route::get_with("/metrics", metrics::endpoint));
//! # server.build()?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod counter;
mod exposition;
mod families;
mod site;
mod thread;

pub use exposition::{Exposition, Family, Format, Kind};
pub(crate) use site::{RequestLabels, SiteCounters, SiteRegistry, ThreadCounters};
pub(crate) use thread::TlsHandshakes;

use crate::http::{Deferred, Request, Response};
use crate::server::group::Group;
use crate::thread::command::Command;
use crate::{Context, Handle};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use thread::{Gathering, ThreadMetrics};

/// How long the threads of a server may take to answer with what they have counted.
const GATHER_TIMEOUT: Duration = Duration::from_secs(5);

/// What a server has counted, as it was when it was asked; but for the sites, whose counters are read when it is written.
pub struct Metrics {
    threads: Vec<ThreadMetrics>,
    group: Arc<Group<Command>>,
}

impl Metrics {
    /// How many threads have answered.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Adds the families of the server to a text. This is the part whose time grows with the sites: it belongs to no loop.
    pub fn write(&self, text: &mut Exposition) {
        families::write(self, text);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Handle {
    /// Asks every thread for what it has counted, and calls `then` with all of it: on the thread that answers last, whose loop waits for it.
    /// So it should pass the metrics on and not write them. A thread that hangs has `then` wait; one that has ended is left out.
    ///
    /// ```
    /// use lws_server::metrics::{Exposition, Format};
    /// # use lws_server::Server;
    /// # use std::sync::mpsc::channel;
    /// # let server = Server::builder().listen("127.0.0.1:0").build()?;
    /// # let handle = server.handle();
    /// let (send, receive) = channel();
    /// handle.gather_metrics(move |metrics| {
    ///     let _ = send.send(metrics);
    /// });
    /// # drop(server);
    /// let metrics = receive.recv()?;
    /// let mut text = Exposition::new(Format::OpenMetrics);
    /// metrics.write(&mut text);
    /// assert!(text.finish().ends_with("# EOF\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn gather_metrics(&self, then: impl FnOnce(Metrics) + Send + 'static) {
        let gathering = Arc::new(Gathering::new(Arc::clone(&self.0), then));
        self.post_everywhere(move |cx| gathering.answer(cx.thread_metrics()));
    }
}

/// Answers with the metrics of the server that the call is on, in the format that the request asks for: what a route calls, as
/// `Route::get_with("/metrics", metrics::endpoint)`. The text is written on a thread of [`Builder::work`](crate::Builder::work).
///
/// A server whose threads do not all answer within five seconds gets 503 for an answer. Each who may read it learns the names
/// of the sites: it belongs on a listener that only the machine's own collector reaches.
pub fn endpoint(cx: &mut Context<'_>, request: &Request<'_>) -> Deferred {
    let format = Format::of_accept(&String::from_utf8_lossy(request.get("accept").unwrap_or_default()));
    let (promise, deferred) = cx.defer();
    let group = Arc::clone(&cx.state.group);
    cx.handle().gather_metrics(move |metrics| {
        let write = move || {
            let mut text = Exposition::new(format);
            metrics.write(&mut text);
            // A collector that has left gets nothing.
            let _ = promise.answer(Response::ok(format.media_type(), text.finish()));
        };
        // Where too much waits for the pool the promise is dropped, which answers 500.
        if let Ok(slot) = group.pools.work.reserve() {
            slot.call(write, drop);
        }
    });
    deferred.within(GATHER_TIMEOUT)
}
