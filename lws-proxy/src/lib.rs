//! A reverse proxy as an [`Endpoint`]: what is asked below a path goes to other servers, and their answers come back as they arrive.
//!
//! ```
//! use lws_proxy::Proxy;
//! use lws_server::Server;
//!
//! let proxy = Proxy::new("http://127.0.0.1:3000".parse()?);
//! let server = Server::builder().listen("127.0.0.1:0").route(proxy.route("/api"));
//! # server.build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! * Content streams both ways. A side is read only while the other takes, so that at most [`RELAYED_BYTES_MAX`] and one read lie in between,
//!   each way.
//! * A message is not copied from one side to the other: its head is made anew, and its framing by the engine. Targets
//!   are passed on as the client wrote them where the upstream has no path of its own, and checked again when they are written.
//! * A request is sent again only where it cannot have been acted on, by the rules of the client (`lws_client::RetryRules`), and to another
//!   upstream if there is one and none of its content has been sent.
//! * What fails is answered 502, 503 or 504 by its cause, with `Proxy-Status`. A response that breaks off ends its exchange, so that it never
//!   looks complete.
//! * WebSockets are passed on message by message, over HTTP/1.1 and HTTP/2 on either side, with their subprotocols, codes and reasons.
//! * Timeouts are those of the thread's client: `ConnectOptions`, `Limits::response_timeout` (first byte), `Limits::between_bytes_timeout`,
//!   `Limits::idle_timeout`; see [`client_options`].
#![forbid(unsafe_code)]

mod balance;
mod exchange;
mod fields;
mod health;
mod outcome;
mod relay;
mod reply;
mod upstream;
mod websocket;

pub use fields::HostRule;
pub use health::HealthCheck;
pub use relay::RELAYED_BYTES_MAX;
pub use upstream::{NotAnUpstream, Upstream};

use balance::Balance;
use exchange::Proxied;
use fields::Rules;
use ipnet::IpNet;
use lws_server::client::Options;
use lws_server::http::{Answer, Exchange, Handler, Request, Response, Status};
use lws_server::{Context, Endpoint, Methods, Route};
use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// Options of a thread's client whose work is a proxy: many connections to few servers, and little patience with those that do not answer.
/// For [`Builder::client_options`](lws_server::Builder::client_options).
///
/// Up to 512 connections to one upstream and 1,024 in all; a request waits 5 s for one of them, and then gets a 503; a connection is
/// made within 3 s. WebSockets over HTTP/1.1 have 65,536 connections of their own.
#[must_use]
pub fn client_options() -> Options {
    let mut options = Options::default();
    options.limits.per_host_max = 512;
    options.limits.connections_max = 1_024;
    options.limits.websockets_max = 65_536;
    options.limits.wait_timeout = Duration::from_secs(5);
    options.connect.timeout = Duration::from_secs(3);
    options
}

/// Where requests go, and how.
///
/// A proxy belongs to one thread, as every endpoint does: each thread of a server has its own, with a pool and a view of the health of its
/// upstreams of its own.
#[derive(Debug)]
#[must_use = "a proxy does nothing before it has a route"]
pub struct Proxy {
    upstreams: Vec<Upstream>,
    rules: Rules,
    sticky: bool,
    check: Option<HealthCheck>,
    slow_start: Duration,
    /// What of a path the upstream's path stands for.
    prefix: String,
}

impl Proxy {
    /// A proxy for one upstream.
    pub fn new(upstream: Upstream) -> Self {
        Self {
            upstreams: vec![upstream],
            rules: Rules::default(),
            sticky: false,
            check: None,
            slow_start: Duration::ZERO,
            prefix: String::new(),
        }
    }

    /// Another upstream for the same requests: of two that are drawn by chance, the one with fewer requests gets the next.
    pub fn and(mut self, upstream: Upstream) -> Self {
        self.upstreams.push(upstream);
        self
    }

    /// Has all requests from one address answered by one upstream, as long as that is well: for upstreams that keep what they know of a client
    /// to themselves. It is the address of the connection, whatever is said in fields.
    pub fn sticky(mut self) -> Self {
        self.sticky = true;
        self
    }

    /// Asks each upstream again and again whether it is well, and gives it no requests while it is not and another one is. Default nothing
    /// is asked: an upstream is left alone for 10 s after three failures within 10 s, and then tried with one request.
    pub fn check(mut self, check: HealthCheck) -> Self {
        self.check = Some(check);
        self
    }

    /// Over how long the share of an upstream grows from a tenth to all of it that was left alone and has come back. Default it has all
    /// of it at once. Those of [`sticky`](Self::sticky) come back at once in any case.
    pub fn slow_start(mut self, time: Duration) -> Self {
        self.slow_start = time;
        self
    }

    /// Which `Host` upstreams get. Default the client's own.
    pub fn host(mut self, rule: HostRule) -> Self {
        self.rules.host = rule;
        self
    }

    /// Trusts what peers in these networks send in `Forwarded` and `X-Forwarded-*` about the client of a request, and
    /// adds to it. What all others say there is dropped.
    pub fn trust(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.rules.trusted.extend(networks);
        self
    }

    /// What this proxy is called in `Via` and `Proxy-Status`: a token. Default `lws`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.rules.set_name(name.into());
        self
    }

    /// A route for everything below `path`. An upstream with a path has that in place of `path`; one without gets paths as they are.
    pub fn route(mut self, path: &str) -> Route {
        path.trim_end_matches('/').clone_into(&mut self.prefix);
        let shared = Rc::new(Shared {
            balance: Balance::new(self.upstreams, self.slow_start),
            rules: self.rules,
            sticky: self.sticky,
            prefix: self.prefix,
        });
        let check = Cell::new(self.check);
        Route::new(Methods::Any.into(), path, Forward { shared, check })
    }
}

/// What all exchanges of a proxy have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) balance: Balance,
    pub(crate) rules: Rules,
    sticky: bool,
    pub(crate) prefix: String,
}

impl Shared {
    /// The client, if it decides which upstream answers.
    pub(crate) fn client(&self, arrival: fields::Arrival) -> Option<IpAddr> {
        arrival.peer.filter(|_| self.sticky)
    }
}

struct Forward {
    shared: Rc<Shared>,
    /// Until it has begun, with the first request.
    check: Cell<Option<HealthCheck>>,
}

impl Endpoint for Forward {
    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        mut exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn Handler>> {
        if let Some(check) = self.check.take() {
            health::begin(&self.shared, &check, cx);
        }
        if let Some(opening) = request.opening() {
            return match websocket::begin(&self.shared, cx, request, opening) {
                Ok(opening) => Some(Box::new(opening)),
                Err(refusal) => refusal.answer(cx, exchange, end),
            };
        }
        match Proxied::begin(&self.shared, cx, request, &mut exchange, end) {
            Ok(proxied) => Some(Box::new(proxied)),
            Err(refusal) => refusal.answer(cx, exchange, end),
        }
    }
}

/// Why a request is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its fields mean something else to each reader.
    Fields,
    /// It has come through this proxy before.
    Loop,
    /// It asks for a tunnel or for a protocol that is not passed on.
    Method,
}

impl Refusal {
    fn answer(self, cx: &mut Context<'_>, mut exchange: Exchange<'_>, end: bool) -> Option<Box<dyn Handler>> {
        // Who means two things with one request may mean two requests by what is behind it.
        exchange.last_exchange();
        Response::error(self.status()).answer(cx, exchange, end)
    }

    fn status(self) -> Status {
        match self {
            Self::Fields => Status::BAD_REQUEST,
            Self::Loop => Status::LOOP_DETECTED,
            Self::Method => Status::NOT_IMPLEMENTED,
        }
    }
}
