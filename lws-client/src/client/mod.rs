//! The client: requests in, connections asked for, outcomes out. It does no I/O and does not wait.
//!
//! Its host reports to it what happens to its connections, and carries out what [`Client::poll_action`] returns. The
//! adapter for applications of the driver is in `driver.rs`; tests in memory do the same by hand.
//!
//! A call never calls a [`Reply`]: what follows from it happens in [`Client::settle`], or when a connection says something.

mod begin;
mod builder;
mod exchange;
mod links;
mod outcome;

pub use builder::RequestBuilder;
pub(crate) use exchange::{Exchange, Job};
pub(crate) use links::{LinkRecord, StreamUse};

use crate::cookies::CookieJar;
use crate::deadlines::{Deadlines, earliest};
use crate::failure::{Cause, Deadline, Failure, Phase, Timings};
use crate::options::Options;
use crate::pool::{Link, Pool, Step, Wanted};
use crate::reply::{Collect, Context, Reply};
use crate::request::Request;
use crate::response::Response;
use crate::retry::Budget;
use crate::slab::{Slab, SlabKey, SlabMap};
use crate::url::UrlError;
use crate::ws::{SLEPT, SocketId, Sockets};
use exchange::Stage;
use lws_loop_external::{ConnectOptions, ConnectionId, Target};
use lws_proto::ws::CloseCode;
use lws_proto::{Cause as EngineCause, Config, HeldBytes, Time};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Names a request, until it has ended. Another one never has the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(crate) SlabKey);

/// A request of a client to its host.
#[derive(Debug)]
#[non_exhaustive]
pub enum Action {
    /// A connection is to be made. [`Client::connected`] or [`Client::connect_failed`] follows.
    Connect {
        /// What to call it.
        link: Link,
        /// Where to.
        target: Target,
        /// The rules for its engine.
        config: Arc<Config>,
        /// How.
        options: Box<ConnectOptions>,
    },
    /// [`Client::woken`] is to be called with the connection.
    Wake(Link),
    /// The connection is to end in an orderly way.
    Close(Link),
    /// The connection is to end at once.
    Abort(Link),
}

/// Something that is done when nothing else is being done.
pub(crate) enum Work {
    /// A request is to be begun, its content may be delivered again, or it was given up.
    LookAt(RequestId),
    /// A connection has ended with this use of a stream.
    EndUse(StreamUse, EngineCause),
    /// A connection has ended that a request was given and not sent on.
    Unsent(RequestId),
    /// The last word to a reply.
    End(RequestId, Box<dyn Reply>, Result<Timings, Failure>),
    /// The last word to a WebSocket about its opening handshake.
    HandshakeFailed(SocketId, Box<Failure>),
}

/// What is due at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The total time of a request is over.
    Total(RequestId),
    /// A response should have begun.
    FirstByte(RequestId),
    /// The wait for a 100 response is over, so the content is sent.
    Continue(RequestId),
    /// A request is sent again.
    Again(RequestId),
    /// A proxy should have made its tunnel.
    Tunnel(Link),
    /// The time for reading unwanted content is over.
    Discard(Link),
    /// A timer of a WebSocket.
    Socket(SocketId),
}

/// Counters of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests that were begun.
    pub requests_total: u64,
    /// Requests that ended well.
    pub completed_total: u64,
    /// Requests that failed.
    pub failed_total: u64,
    /// Tries that were begun again.
    pub retries_total: u64,
    /// Redirects that were followed.
    pub redirects_total: u64,
    /// Connections that were begun.
    pub connects_total: u64,
    /// Requests that were sent on a connection that had served another.
    pub reused_total: u64,
}

/// A client. It belongs to one service, and to the application there that hosts it. Dropping it calls no reply.
///
/// ```
/// use lws_client::{Client, Options};
///
/// let mut client = Client::new(Options::default());
/// let id = client.get("http://127.0.0.1:1/")?.collect(1 << 20, |_, outcome| println!("{outcome:?}"));
/// client.cancel(id);
/// # Ok::<(), lws_client::UrlError>(())
/// ```
pub struct Client {
    pub(crate) options: Arc<Options>,
    pub(crate) config: Arc<Config>,
    pub(crate) now: Time,
    pub(crate) unix_seconds: Option<u32>,
    pub(crate) pool: Pool,
    pub(crate) exchanges: Slab<Exchange>,
    pub(crate) links: SlabMap<LinkRecord>,
    pub(crate) due: Deadlines<Due>,
    pub(crate) sockets: Sockets,
    pub(crate) jar: Option<Box<dyn CookieJar>>,
    pub(crate) budget: Budget,
    pub(crate) stats: Stats,
    /// What is to be done in the client itself, a piece at a time: a reply or handler that panics loses none of the others.
    pending: VecDeque<Work>,
    actions: VecDeque<Action>,
    /// The host's names of the connections.
    pub(crate) hosted: SlabMap<ConnectionId>,
    /// The buffer for decompressed content, lent to one call at a time.
    pub(crate) scratch: Vec<u8>,
    /// Whether a reply or handler is being called.
    calling: bool,
}

impl Client {
    /// A client without connections.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let config = Config { limits: options.engine.clone(), ..Config::default() };
        Self {
            pool: Pool::new(options.limits.clone()),
            budget: Budget::new(options.limits.retry_percent),
            options: Arc::new(options),
            config: Arc::new(config),
            now: Time::ZERO,
            unix_seconds: None,
            exchanges: Slab::default(),
            links: SlabMap::default(),
            due: Deadlines::default(),
            sockets: Sockets::default(),
            jar: None,
            stats: Stats::default(),
            pending: VecDeque::new(),
            actions: VecDeque::new(),
            hosted: SlabMap::default(),
            scratch: Vec::new(),
            calling: false,
        }
    }

    /// Counts what its connections hold for their peers with `held`, as a host does whose other connections share a budget. For those
    /// that are made from now on. Default a budget of the client's own.
    pub fn share_held_bytes(&mut self, held: HeldBytes) {
        let limits = self.config.limits.clone();
        self.config = Arc::new(Config { limits, held, ..Config::default() });
    }

    /// Keeps cookies in `jar`, and sends those that are in it. Default none are kept.
    pub fn set_cookie_jar(&mut self, jar: impl CookieJar + 'static) {
        self.jar = Some(Box::new(jar));
    }

    /// What the client was made of.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What the client has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// The time that the host passed last.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    // Requests.

    /// A request of any method.
    ///
    /// # Errors
    /// It is no URL that a client can ask for.
    pub fn request(&mut self, method: &'static str, url: &str) -> Result<RequestBuilder<'_>, UrlError> {
        let request = Request::new(method, url.parse()?);
        Ok(RequestBuilder::new(self, request))
    }

    /// A GET.
    ///
    /// # Errors
    /// It is no URL that a client can ask for.
    pub fn get(&mut self, url: &str) -> Result<RequestBuilder<'_>, UrlError> {
        self.request("GET", url)
    }

    /// A POST.
    ///
    /// # Errors
    /// It is no URL that a client can ask for.
    pub fn post(&mut self, url: &str) -> Result<RequestBuilder<'_>, UrlError> {
        self.request("POST", url)
    }

    /// Begins a request that was described elsewhere. [`Reply::end`] follows, exactly once, and never within this call.
    pub fn start(&mut self, mut request: Request, reply: impl Reply + 'static) -> RequestId {
        let options = request.options.take().unwrap_or_else(|| self.options.request.clone());
        self.begin_exchange(Exchange::new(request, options, Job::Reply(Some(Box::new(reply)))))
    }

    /// Begins a request that was described elsewhere, and gathers a response of up to `bytes_max` bytes of content. `done` is called
    /// exactly once, and never within this call.
    pub fn collect(
        &mut self,
        request: Request,
        bytes_max: usize,
        done: impl FnOnce(&mut Context<'_>, Result<Response, Failure>) + 'static,
    ) -> RequestId {
        self.start(request, Collect::new(bytes_max, done))
    }

    pub(crate) fn begin_exchange(&mut self, exchange: Exchange) -> RequestId {
        let id = RequestId(self.exchanges.insert(exchange));
        self.pending.push_back(Work::LookAt(id));
        id
    }

    /// Gives a request up. [`Reply::end`] follows, not within this call.
    pub fn cancel(&mut self, id: RequestId) {
        self.give_up(id, Cause::Cancelled);
    }

    /// Ends a request from this side, for a reason.
    pub(crate) fn give_up(&mut self, id: RequestId, cause: Cause) {
        if let Some(exchange) = self.exchanges.get_mut(id.0)
            && exchange.wishes.cancel.is_none()
        {
            exchange.wishes.cancel = Some(cause);
            self.pending.push_back(Work::LookAt(id));
        }
    }

    /// Stops the delivery of a response's content until [`resume`](Self::resume).
    pub fn pause(&mut self, id: RequestId) {
        self.wish(id, |wishes| wishes.paused = true);
    }

    /// Resumes the delivery of content.
    pub fn resume(&mut self, id: RequestId) {
        self.wish(id, |wishes| wishes.paused = false);
        // What was held back may be delivered without anything new from the connection.
        self.pending.push_back(Work::LookAt(id));
    }

    /// Asks for one [`Reply::writable`], when more content can be sent.
    pub fn want_write(&mut self, id: RequestId) {
        self.wish(id, |wishes| wishes.want_write = true);
    }

    /// Notes a wish for a stream, which is applied when the stream is lent.
    fn wish(&mut self, id: RequestId, change: impl FnOnce(&mut exchange::Wishes)) {
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        change(&mut exchange.wishes);
        if let Stage::Running { link, stream, .. } = exchange.stage {
            self.touch(link, stream);
        }
    }

    /// What is known of a request that has not ended: octets sent and received.
    #[must_use]
    pub fn progress(&self, id: RequestId) -> Option<Timings> {
        let exchange = self.exchanges.get(id.0)?;
        Some(exchange.timings_at(self.now))
    }

    /// Requests and opening handshakes that have not ended.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.exchanges.len()
    }

    /// Connections, those that are being made and idle ones too.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.links.len()
    }

    /// Requests that wait for a connection, and idle connections.
    #[must_use]
    pub fn waiting_and_idle(&self) -> (usize, usize) {
        (self.pool.waiting_len(), self.pool.idle_len())
    }

    /// Ends idle connections now, and the others when their requests are over: the network has changed, for instance.
    pub fn retire_connections(&mut self) {
        for link in self.pool.links() {
            self.pool.retire(link);
        }
    }

    /// Gives everything up: requests end with [`Cause::Cancelled`], WebSockets with
    /// [`GaveUp`](crate::ws::GaveUp::Cancelled), and idle connections close.
    pub fn shut_down(&mut self) {
        let ids: Vec<_> = self.exchanges.keys().map(RequestId).collect();
        for id in ids {
            self.cancel(id);
        }
        self.sockets.close_all();
        self.retire_connections();
    }

    // The host.

    /// When [`settle`](Self::settle) is due although nothing has happened.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Time> {
        earliest(self.due.next(), self.pool.next_timeout())
    }

    /// Whether [`settle`](Self::settle) has something to do now.
    #[must_use]
    pub fn needs_service(&self) -> bool {
        !(self.pending.is_empty() && self.actions.is_empty())
            || self.pool.has_work()
            || self.sockets.has_work()
            || self.next_timeout().is_some_and(|at| at <= self.now)
    }

    /// Does what is due at `now`. To be called before the host sleeps, whenever [`needs_service`](Self::needs_service), and at
    /// [`next_timeout`](Self::next_timeout). Then [`poll_action`](Self::poll_action) says what the host is to do.
    pub fn settle(&mut self, now: Time, unix_seconds: Option<u32>) {
        if self.calling {
            // A reply is taken out while it is called, so it must not be called recursively.
            return;
        }
        self.tell_time(now, unix_seconds);
        loop {
            if let Some(work) = self.pending.pop_front() {
                self.do_now(work);
            } else if let Some(due) = self.due.pop_due(self.now) {
                self.on_due(due);
            } else if let Some(step) = self.pool.poll(self.now) {
                self.take_step(step);
            } else if let Some(id) = self.sockets.pop_work() {
                self.serve_socket(id);
            } else {
                return;
            }
        }
    }

    /// Passes the time. If the wall clock has advanced much more than the monotonic one, the machine was suspended, and
    /// peers may have gone.
    pub(crate) fn tell_time(&mut self, now: Time, unix_seconds: Option<u32>) {
        if let (Some(before), Some(after)) = (self.unix_seconds, unix_seconds) {
            let slept =
                Duration::from_secs(u64::from(after.saturating_sub(before))).saturating_sub(now - self.now);
            if slept >= SLEPT {
                self.sockets.probe_all();
            }
        }
        self.now = self.now.max(now);
        self.unix_seconds = unix_seconds;
    }

    /// Runs a call that may call the application. If that panics and the host catches it, only the subject of the call
    /// ends.
    pub(crate) fn calling<R>(&mut self, called: Called, call: impl FnOnce(&mut Self) -> R) -> R {
        let before = std::mem::replace(&mut self.calling, true);
        let calling = Calling { called, before, client: self };
        call(calling.client)
    }

    /// The next action for the host.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    /// Lets something be done in [`settle`](Self::settle).
    pub(crate) fn later(&mut self, work: Work) {
        self.pending.push_back(work);
    }

    fn do_now(&mut self, work: Work) {
        match work {
            Work::LookAt(id) => self.look_at(id),
            Work::EndUse(used, cause) => self.end_use(used, cause),
            Work::Unsent(id) => self.unsent(id),
            Work::End(id, reply, outcome) => {
                self.calling(Called::Ended, |client| reply.end(&mut Context { client, id }, outcome));
            }
            Work::HandshakeFailed(socket, failure) => self.handshake_failed(socket, *failure),
        }
    }

    /// A request has to be looked at.
    fn look_at(&mut self, id: RequestId) {
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        if let Some(cause) = exchange.wishes.cancel.take() {
            let failure = exchange.failure(cause);
            return self.finish(id, Err(failure));
        }
        match exchange.stage {
            Stage::New => self.enqueue_new(id),
            Stage::Running { .. } | Stage::Held => self.tell_held(id),
            Stage::Delayed | Stage::Waiting | Stage::Assigned(_) => {}
        }
    }

    fn enqueue_new(&mut self, id: RequestId) {
        if self.exchanges.len() > self.options.limits.exchanges_max {
            return self.finish(id, Err(Failure::new(Phase::Pool, Cause::TooManyWaiting)));
        }
        self.stats.requests_total += 1;
        self.budget.earn();
        let now = self.now;
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        exchange.begun = now;
        if let Some(timeout) = exchange.options.timeout {
            self.due.set(Due::Total(id), now + timeout);
        }
        self.enqueue(id);
    }

    /// Lets a request wait for a connection.
    pub(crate) fn enqueue(&mut self, id: RequestId) {
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        let key = exchange.key_for(&self.options);
        exchange.stage = Stage::Waiting;
        let wanted = Wanted { waiter: id.0, fresh: exchange.fresh, careful: !exchange.is_repeatable() };
        if !self.pool.want(&key, wanted) {
            self.finish(id, Err(Failure::new(Phase::Pool, Cause::TooManyWaiting)));
        }
    }

    fn take_step(&mut self, step: Step) {
        match step {
            Step::Open(link) => self.open(link),
            Step::Assign(link, waiter) => self.assign(link, RequestId(waiter)),
            Step::Close(link) => self.close_link(link),
            Step::Expired(waiter) => {
                let failure = Failure::new(Phase::Pool, Cause::TimedOut(Deadline::Wait));
                self.finish(RequestId(waiter), Err(failure));
            }
        }
    }

    fn on_due(&mut self, due: Due) {
        match due {
            Due::Total(id) => self.time_out(id, Deadline::Total),
            Due::FirstByte(id) => self.time_out(id, Deadline::FirstByte),
            Due::Continue(id) => self.send_content(id),
            Due::Again(id) => self.enqueue(id),
            Due::Tunnel(link) => {
                self.tunnel_failed(link, Cause::TimedOut(Deadline::Proxy));
            }
            Due::Discard(link) => self.act(Action::Abort(link)),
            Due::Socket(id) => self.socket_due(id),
        }
    }

    fn time_out(&mut self, id: RequestId, deadline: Deadline) {
        let Some(exchange) = self.exchanges.get(id.0) else { return };
        let failure = exchange.failure(Cause::TimedOut(deadline));
        self.finish(id, Err(failure));
    }
}

/// The subject of a call of the application.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Called {
    Request(RequestId),
    Socket(SocketId),
    /// Something that is over.
    Ended,
}

/// The guard of a call of the application, dropped when that returns or panics.
struct Calling<'c> {
    client: &'c mut Client,
    called: Called,
    before: bool,
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        self.client.calling = self.before;
        if !std::thread::panicking() {
            return;
        }
        match self.called {
            Called::Request(id) => self.client.cancel(id),
            Called::Socket(id) => self.client.close(id, CloseCode::INTERNAL_ERROR, ""),
            Called::Ended => {}
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("requests", &self.exchanges.len())
            .field("connections", &self.links.len())
            .finish_non_exhaustive()
    }
}
