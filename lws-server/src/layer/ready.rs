//! Layers that are ready to use: identities, deadlines, limits, compression.

use super::{Fields, Layer};
use crate::Context;
use crate::http::{Compression, Request, Response, Status};
use lws_files::{Accepted, Coding, Encoder};
use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::Duration;

/// Gives each request an identity, by which its traces in the logs of several programs are found: that of its `X-Request-Id`, or else one
/// of its own. The response says it, and [`Request::identity`] does.
///
/// What a peer has written counts only as far as it is 1 to 128 letters, digits, `-`, `_` and `.`: it ends up in logs.
///
/// ```
/// use lws_server::layer::RequestIdentity;
/// use lws_server::{Server, http::Response};
///
/// let server = Server::builder()
///     .layer(RequestIdentity::new())
///     .get("/", |request| Response::text(request.identity().unwrap_or_default().to_owned()));
/// ```
#[derive(Debug)]
#[must_use = "a route or a site has it"]
pub struct RequestIdentity {
    trusts_peers: bool,
    /// What makes the identities of this layer others than those of every other.
    seed: RandomState,
    count: Cell<u64>,
}

/// Octets that an identity of a peer may have.
const IDENTITY_BYTES_MAX: usize = 128;

impl RequestIdentity {
    /// Takes the identities that peers bring.
    pub fn new() -> Self {
        Self { trusts_peers: true, seed: RandomState::new(), count: Cell::new(0) }
    }

    /// Gives each request an identity of its own, whatever its peer says: for a server that strangers reach.
    pub fn fresh() -> Self {
        Self { trusts_peers: false, ..Self::new() }
    }

    fn next(&self) -> String {
        let count = self.count.get();
        self.count.set(count.wrapping_add(1));
        format!("{:016x}{:016x}", self.seed.hash_one((0_u8, count)), self.seed.hash_one((1_u8, count)))
    }
}

impl Default for RequestIdentity {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer for RequestIdentity {
    fn check(&self, _: &mut Context<'_>, request: &Request<'_>, fields: &mut Fields) -> Result<(), Response> {
        let is_good = |identity: &&str| {
            let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            (1..=IDENTITY_BYTES_MAX).contains(&identity.len()) && identity.bytes().all(is_allowed)
        };
        let given = request.text("X-Request-Id").filter(|_| self.trusts_peers).filter(is_good);
        let identity = given.map_or_else(|| self.next(), str::to_owned);
        fields.add("X-Request-Id", identity.clone());
        fields.terms.identity = Some(identity.into());
        Ok(())
    }
}

/// Answers 503 in place of a handler whose response has not begun in time, counted from when the request has passed its guards and
/// reaches the layer. What it waits for before has deadlines of its own. The handler is [closed](crate::http::Handler::close). A
/// WebSocket has no such deadline.
#[derive(Clone, Copy, Debug)]
#[must_use = "a route or a site has it"]
pub struct Deadline(Duration);

impl Deadline {
    /// So long.
    pub fn after(time: Duration) -> Self {
        Self(time)
    }
}

impl Layer for Deadline {
    fn check(&self, cx: &mut Context<'_>, _: &Request<'_>, fields: &mut Fields) -> Result<(), Response> {
        let deadline = cx.now() + self.0;
        let terms = &mut fields.terms;
        terms.deadline = Some(terms.deadline.map_or(deadline, |other| other.min(deadline)));
        Ok(())
    }
}

/// Limits the content of requests, in bytes: past it 413, whether a handler gathers it or takes it piece by piece.
#[derive(Clone, Copy, Debug)]
#[must_use = "a route or a site has it"]
pub struct ContentLimit(usize);

impl ContentLimit {
    /// So many bytes at most. A route that allows less keeps to that.
    pub fn new(bytes: usize) -> Self {
        Self(bytes)
    }
}

impl Layer for ContentLimit {
    fn check(&self, _: &mut Context<'_>, _: &Request<'_>, fields: &mut Fields) -> Result<(), Response> {
        let terms = &mut fields.terms;
        terms.content_bytes_max = Some(terms.content_bytes_max.map_or(self.0, |other| other.min(self.0)));
        Ok(())
    }
}

/// Limits how many requests and WebSockets are being answered at a time, on each thread: further ones are answered 503, with
/// `Retry-After`. A WebSocket counts until it is closed.
///
/// What one peer may have is [`PeerLimits`](crate::PeerLimits), where further requests wait.
#[derive(Clone, Debug)]
#[must_use = "a route or a site has it"]
pub struct ConcurrencyLimit {
    max: usize,
    running: Rc<Cell<usize>>,
}

/// A place of one that is being answered.
struct RunningSlot(Rc<Cell<usize>>);

impl ConcurrencyLimit {
    /// So many at a time. Clones count together.
    pub fn new(max: usize) -> Self {
        Self { max, running: Rc::new(Cell::new(0)) }
    }
}

impl Layer for ConcurrencyLimit {
    fn check(&self, _: &mut Context<'_>, _: &Request<'_>, fields: &mut Fields) -> Result<(), Response> {
        let running = self.running.get();
        if running >= self.max {
            return Err(Response::error(Status::SERVICE_UNAVAILABLE).field("Retry-After", "1"));
        }
        self.running.set(running + 1);
        fields.terms.kept.push(Box::new(RunningSlot(Rc::clone(&self.running))));
        Ok(())
    }
}

impl Drop for RunningSlot {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Compresses the content of responses on the way, to the coding that their clients like most: br, zstd or gzip, as far as the features
/// `brotli`, `zstd` and `gzip` are on. Each piece of a stream can be read as soon as it has come.
///
/// What is compressed is text of some kind, by its `Content-Type`. Left as they are: responses that have a `Content-Encoding` already, or an
/// `ETag` or ranges, which are about their octets (files, which have [a way of their own](crate::files)), those that announce trailers,
/// and what says `no-transform`.
///
/// A page that has a secret in it and beside that what a stranger has made the browser ask for tells the stranger something by its length
/// (the attack called BREACH). Such routes are better left out.
///
/// ```
/// use lws_server::layer::Compress;
/// use lws_server::{Server, http::Response};
///
/// let server = Server::builder().layer(Compress::new()).get("/", |_| Response::text("hello ".repeat(1_000)));
/// ```
#[derive(Clone)]
#[must_use = "a route or a site has it"]
pub struct Compress {
    bytes_min: usize,
    bytes_max: usize,
    streams_max: usize,
    streams: Rc<Cell<usize>>,
}

impl Compress {
    /// With the defaults of each of its limits.
    pub fn new() -> Self {
        Self { bytes_min: 512, bytes_max: 256 << 10, streams_max: 64, streams: Rc::default() }
    }

    /// Bytes below which whole content is sent as it is. Default 512.
    pub fn bytes_min(mut self, bytes: usize) -> Self {
        self.bytes_min = bytes;
        self
    }

    /// Bytes above which whole content is sent as it is: it is compressed at once, on the thread of the loop, and gzip takes some 10 ms for
    /// the default of 256 KiB. Longer content is better [streamed](Response::into_streamed).
    pub fn bytes_max(mut self, bytes: usize) -> Self {
        self.bytes_max = bytes;
        self
    }

    /// Responses of one thread that are compressed at a time: each holds 300 KiB to 2 MiB while it is sent. Past it they are sent as they
    /// are. Default 64.
    pub fn streams_max(mut self, streams: usize) -> Self {
        self.streams_max = streams;
        self
    }
}

impl Default for Compress {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes_min, bytes_max, streams_max, .. } = self;
        let mut debug = f.debug_struct("Compress");
        debug.field("bytes_min", bytes_min).field("bytes_max", bytes_max).field("streams_max", streams_max);
        debug.finish_non_exhaustive()
    }
}

impl Layer for Compress {
    fn check(&self, _: &mut Context<'_>, request: &Request<'_>, fields: &mut Fields) -> Result<(), Response> {
        let accepted = Accepted::parse(request.get_all("Accept-Encoding"));
        let can = |coding: &Coding| *coding == Coding::Identity || Encoder::can(*coding);
        let mut coding = accepted.choose(can).unwrap_or_default();
        let mut slot: Option<Box<dyn Any>> = None;
        if coding != Coding::Identity {
            if self.streams.get() < self.streams_max {
                self.streams.set(self.streams.get() + 1);
                slot = Some(Box::new(RunningSlot(Rc::clone(&self.streams))));
            } else {
                coding = Coding::Identity;
            }
        }
        fields.terms.compression = Some(Compression::new(coding, self.bytes_min, self.bytes_max, slot));
        Ok(())
    }
}
