//! A server as its program sees it: what it serves and where, how it runs, how other threads reach it.
//!
//! Knows no protocol and no event.

use crate::access::{AccessLog, AccessRecord};
use crate::app::{App, Listener, RawFactory};
use crate::context::{Context, StreamId};
use crate::files::Files;
use crate::hosts::Hosts;
use crate::http::{self, Answer, Method, Request};
use crate::route::{Methods, Table};
use crate::shared::{Route, Shared};
use crate::{raw, ws};
use lws_loop_external as external;
use lws_loop_external::{
    Address, Change, Driver, DriverOptions, ListenOptions, Readiness, Token, Trigger, Wait,
};
use lws_loop_poll::PollLoop;
use lws_proto::{Config, Expect, Limits, Time, WallClock};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A server that is listening, and has not begun to run.
///
/// It belongs to the thread that built it, as its handlers do. See [`Handle`] for what others may do.
#[doc(alias = "lws_context")]
pub struct Server {
    service: Service,
}

impl Server {
    /// Begins to describe a server.
    #[doc(alias = "lws_create_context")]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs on the built-in loop until the server has been drained or stopped.
    ///
    /// # Errors
    /// Those of the loop: no descriptor left, mostly.
    pub fn run(self) -> io::Result<()> {
        let mut poll_loop = PollLoop::new()?;
        poll_loop.add(self.service)?;
        poll_loop.run()?;
        Ok(())
    }

    /// The server as a service, for a loop that already runs.
    #[must_use]
    pub fn into_service(self) -> Service {
        self.service
    }

    /// What other threads may hold.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.service.handle()
    }

    /// Where the server listens, in the order of the calls that said so. A port 0 has become a real one.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.service.addresses
    }

    /// The first TCP address of [`addresses`](Self::addresses).
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses().iter().find_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            _ => None,
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

/// A server that any loop can host. Dropping it closes everything at once.
pub struct Service {
    driver: Driver<App>,
    addresses: Vec<Address>,
}

impl Service {
    /// What other threads may hold.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(self.driver.handle())
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl external::Service for Service {
    fn attach(&mut self, trigger: Trigger) {
        self.driver.attach(trigger);
    }

    #[inline]
    fn poll_change(&mut self) -> Option<Change> {
        self.driver.poll_change()
    }

    #[inline]
    fn handle_ready(&mut self, now: Time, token: Token, ready: Readiness) {
        self.driver.handle_ready(now, token, ready);
    }

    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        self.driver.descriptor(token)
    }

    fn removed(&mut self, token: Token) {
        self.driver.removed(token);
    }

    fn refused(&mut self, token: Token, error: io::Error) {
        self.driver.refused(token, error);
    }

    #[inline]
    fn settle(&mut self, now: Time) -> Wait {
        self.driver.settle(now)
    }

    fn is_done(&self) -> bool {
        self.driver.is_done()
    }

    fn keeps_alive(&self, token: Token) -> bool {
        self.driver.keeps_alive(token)
    }
}

/// What other threads may hold of a server: to wake its handlers, to run something on its thread, and to end it.
///
/// Every call takes effect soon, and none waits. After the server has gone they do nothing and answer `false`.
#[doc(alias = "lws_cancel_service")]
#[derive(Clone)]
pub struct Handle(external::Handle<Command>);

impl Handle {
    /// Ends the server in an orderly way: listeners close, WebSockets get close code 1001, exchanges that run are the last
    /// of their connections, and what is left after [`Builder::drain_timeout`] is cut off.
    pub fn drain(&self) -> bool {
        self.send(Command::Drain)
    }

    /// Ends the server at once: connections are cut off.
    pub fn stop(&self) -> bool {
        self.send(Command::Stop)
    }

    /// Has the `wake` of one handler called.
    pub fn wake(&self, id: StreamId) -> bool {
        self.send(Command::Wake(id))
    }

    /// Has the `wake` of every WebSocket of the route called `path` called.
    pub fn wake_all(&self, path: &str) -> bool {
        self.send(Command::WakeAll(path.into()))
    }

    /// Calls `call` on the server's thread. Its context belongs to no stream.
    pub fn post(&self, call: impl FnOnce(&mut Context<'_>) + Send + 'static) -> bool {
        self.send(Command::Post(Box::new(call)))
    }

    fn send(&self, command: Command) -> bool {
        self.0.send(command).is_ok()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// What a [`Handle`] sends.
pub(crate) enum Command {
    Drain,
    Stop,
    Wake(StreamId),
    WakeAll(Box<str>),
    Post(Box<dyn FnOnce(&mut Context<'_>) + Send>),
}

/// Where a server listens and what it serves there.
///
/// A route is a path, and everything below it: of several the longest that ends where a segment of the request's path
/// ends. `/chat` is that of `/chat` and `/chat/1`, not of `/chats`. Its escapes are decoded and its dot segments resolved
/// before. A path without a route is answered 404, and a method that the route does not have 405.
///
/// Nothing fails before [`build`](Self::build), which tells the first thing that was wrong.
#[derive(Default)]
#[must_use = "nothing is served before `build`"]
pub struct Builder {
    listeners: Vec<(Vec<Address>, Listener)>,
    routes: Table<Route>,
    hosts: Hosts,
    fallback: Option<RawFactory>,
    limits: Limits,
    options: BuilderOptions,
    log: Option<AccessLog>,
    error: Option<io::Error>,
}

struct BuilderOptions {
    driver: DriverOptions,
    listen: ListenOptions,
    content_bytes_max: usize,
    drain_timeout: Duration,
    deflate: Option<ws::Deflate>,
}

impl Default for BuilderOptions {
    fn default() -> Self {
        Self {
            driver: DriverOptions::default(),
            listen: ListenOptions::default(),
            content_bytes_max: 1 << 20,
            drain_timeout: Duration::from_secs(10),
            deflate: None,
        }
    }
}

impl Builder {
    // Where.

    /// Listens for HTTP and WebSocket on `address`: `127.0.0.1:7681`, `localhost:0` (on every address of the name; port 0
    /// lets the system choose), `unix:/run/server.sock`. May be called several times.
    pub fn listen(self, address: &str) -> Self {
        self.listen_for(address, Listener::Http)
    }

    /// Listens for raw streams on `address`: each connection is one, from its first byte.
    #[doc(alias = "ADOPT_APPLY_LISTEN_ACCEPT_CONFIG")]
    pub fn listen_raw<H: raw::Handler>(self, address: &str, factory: impl Fn() -> H + 'static) -> Self {
        self.listen_for(address, Listener::Raw(raw_factory(factory)))
    }

    fn listen_for(mut self, address: &str, listener: Listener) -> Self {
        match resolve(address) {
            Ok(addresses) => self.listeners.push((addresses, listener)),
            Err(error) => self.fail(error),
        }
        self
    }

    /// Options of the listeners and their connections.
    pub fn listen_options(mut self, options: ListenOptions) -> Self {
        self.options.listen = options;
        self
    }

    // What.

    /// Serves WebSockets at `path`. The factory is called for each opening handshake; it returns a
    /// [`ws::Handler`], one that is [`ws::Accepted`] with a subprotocol or other particulars, or an `Err` with the
    /// response that refuses.
    pub fn ws<A: ws::Accepting + 'static>(
        mut self,
        path: &str,
        factory: impl Fn(&Request<'_>) -> A + 'static,
    ) -> Self {
        if let Some(route) = self.route(path) {
            let doubled = route.websocket.replace(ws::factory(factory)).is_some();
            self.refuse_double(doubled, path);
        }
        self
    }

    /// Compresses messages of every WebSocket whose peer offers it. RFC 7692. Off unless this is called.
    #[doc(alias = "lws_extension_callback_pm_deflate")]
    pub fn deflate(mut self, deflate: ws::Deflate) -> Self {
        self.options.deflate = Some(deflate);
        self
    }

    /// Serves HTTP requests with any method at `path`. The factory is called for each request; it returns an
    /// [`http::Response`] or an [`http::Handler`], or a `Result` of either with the response that refuses.
    ///
    /// One that returns a response is called when all of the request's content is there, within
    /// [`content_bytes_max`](Self::content_bytes_max).
    #[doc(alias = "LWSMPRO_CALLBACK")]
    pub fn http<A: Answer>(self, path: &str, factory: impl Fn(&Request<'_>) -> A + 'static) -> Self {
        self.endpoint(path, Methods::Any, factory)
    }

    /// Serves GET and HEAD at `path`, as [`http`](Self::http) does.
    pub fn get<A: Answer>(self, path: &str, factory: impl Fn(&Request<'_>) -> A + 'static) -> Self {
        self.methods(&[Method::Get, Method::Head], path, factory)
    }

    /// Serves POST at `path`, as [`http`](Self::http) does.
    pub fn post<A: Answer>(self, path: &str, factory: impl Fn(&Request<'_>) -> A + 'static) -> Self {
        self.methods(&[Method::Post], path, factory)
    }

    /// Serves `methods` at `path`, as [`http`](Self::http) does.
    pub fn methods<A: Answer>(
        self,
        methods: &'static [Method],
        path: &str,
        factory: impl Fn(&Request<'_>) -> A + 'static,
    ) -> Self {
        self.endpoint(path, Methods::These(methods), factory)
    }

    /// Serves the files of a directory below `path`. See [`Files`] for what can be said about them.
    #[doc(alias = "LWSMPRO_FILE")]
    pub fn files(self, path: &str, directory: impl AsRef<Path>) -> Self {
        match Files::directory(directory) {
            Ok(files) => self.mount(path, files),
            Err(error) => self.failed(error),
        }
    }

    /// Serves `files` below `path`.
    #[doc(alias = "lws_http_mount")]
    pub fn mount(mut self, path: &str, files: Files) -> Self {
        let endpoint = files.mounted_at(path);
        self.add(path, Methods::These(&[Method::Get, Method::Head]), Box::new(endpoint));
        self
    }

    /// Takes connections of the HTTP listeners whose first bytes are no HTTP as raw streams.
    #[doc(alias = "FALLBACK_TO_APPLY_LISTEN_ACCEPT_CONFIG")]
    pub fn raw<H: raw::Handler>(mut self, factory: impl Fn() -> H + 'static) -> Self {
        self.fallback = Some(raw_factory(factory));
        self
    }

    // How.

    /// A name that the server answers for: `example.com`, `[::1]`; without a port, which does not count. May be called
    /// again for more. A request for another name is answered 421. Without a call every name is served.
    #[doc(alias = "vhost_name")]
    pub fn host(mut self, name: &str) -> Self {
        if self.hosts.add(name).is_none() {
            self.fail(invalid(format!("not a host name: {name}")));
        }
        self
    }

    /// What a peer can make the server hold or wait for.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Bytes of content that a request may have where its factory returns a [`http::Response`], and so needs it
    /// gathered. Default 1 MiB. Past it: 413. It holds for the routes that are described after it.
    pub fn content_bytes_max(mut self, bytes: usize) -> Self {
        self.options.content_bytes_max = bytes;
        self
    }

    /// The most connections at a time. Default: the limit of open files, less 32. At the last one the listeners
    /// pause.
    #[doc(alias = "fd_limit_per_thread")]
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.options.driver.connections_max = Some(connections);
        self
    }

    /// Sizes and budgets of the service.
    pub fn driver_options(mut self, options: DriverOptions) -> Self {
        self.options.driver = options;
        self
    }

    /// How long what is going on may take to end after [`Handle::drain`]. Default 10 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.options.drain_timeout = timeout;
        self
    }

    /// Has `log` called once per request, on the server's thread: it should not wait.
    #[doc(alias = "lws_access_log")]
    pub fn access_log(mut self, log: impl Fn(&AccessRecord<'_>) + 'static) -> Self {
        self.log = Some(Box::new(log));
        self
    }

    /// Binds the listeners.
    ///
    /// # Errors
    /// The first thing that was wrong with the description, as [`io::ErrorKind::InvalidInput`]; or what a listener met,
    /// with its address in the message.
    pub fn build(self) -> io::Result<Server> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let expect = if self.fallback.is_some() { Expect::HttpOrRaw } else { Expect::Http };
        let config = |expect| {
            Arc::new(Config { limits: self.limits.clone(), expect, wall_clock: WallClock::default() })
        };
        let mut shared = Shared::new(self.routes, self.hosts, self.options.drain_timeout, self.log);
        shared.deflate = self.options.deflate;
        let app = App {
            http: config(expect),
            raw: config(Expect::Raw),
            listeners: Vec::new(),
            fallback: self.fallback,
            shared,
        };
        let mut driver = Driver::new(app, self.options.driver)?;
        let mut addresses = Vec::new();
        for (candidates, listener) in &self.listeners {
            addresses.extend(bind(&mut driver, candidates, listener, &self.options.listen)?);
        }
        Ok(Server { service: Service { driver, addresses } })
    }

    fn endpoint<A: Answer>(
        mut self,
        path: &str,
        methods: Methods,
        factory: impl Fn(&Request<'_>) -> A + 'static,
    ) -> Self {
        let factory = http::Factory::new(factory, self.options.content_bytes_max);
        self.add(path, methods, Box::new(factory));
        self
    }

    fn add(&mut self, path: &str, methods: Methods, endpoint: Box<dyn http::Endpoint>) {
        if let Some(route) = self.route(path) {
            let doubled = route.endpoints.iter().any(|(known, _)| known.overlap(methods));
            route.endpoints.push((methods, endpoint));
            self.refuse_double(doubled, path);
        }
    }

    fn route(&mut self, path: &str) -> Option<&mut Route> {
        if self.routes.entry(path, Route::default).is_none() {
            self.fail(invalid(format!("not a path for a route: {path}")));
            return None;
        }
        self.routes.entry(path, Route::default)
    }

    /// Two handlers for one thing are a mistake: which one should answer?
    fn refuse_double(&mut self, doubled: bool, path: &str) {
        if doubled {
            self.fail(invalid(format!("served twice: {path}")));
        }
    }

    fn fail(&mut self, error: io::Error) {
        self.error.get_or_insert(error);
    }

    fn failed(mut self, error: io::Error) -> Self {
        self.fail(error);
        self
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("limits", &self.limits).finish_non_exhaustive()
    }
}

fn raw_factory<H: raw::Handler>(factory: impl Fn() -> H + 'static) -> RawFactory {
    Rc::new(move || Box::new(factory()))
}

fn invalid(message: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

/// All that `address` means: a name may stand for several addresses.
fn resolve(address: &str) -> io::Result<Vec<Address>> {
    if let Ok(address) = address.parse() {
        return Ok(vec![address]);
    }
    let resolved = address.to_socket_addrs();
    Ok(resolved.map_err(|error| named(address, &error))?.map(Address::Tcp).collect())
}

/// Listens on all of `candidates` that this machine has: `localhost` may have an IPv6 address where there is no IPv6.
fn bind(
    driver: &mut Driver<App>,
    candidates: &[Address],
    listener: &Listener,
    options: &ListenOptions,
) -> io::Result<Vec<Address>> {
    let mut bound = Vec::new();
    let mut missing = None;
    for address in candidates {
        let listening = driver.with(Time::ZERO, |app, cx| {
            let id = cx.listen(address, options)?;
            app.listeners.push((id, listener.clone()));
            cx.listening_on(id)
        });
        match listening {
            Ok(address) => bound.push(address),
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                missing = Some(named(address, &error))
            }
            Err(error) => return Err(named(address, &error)),
        }
    }
    match missing {
        Some(error) if bound.is_empty() => Err(error),
        _ => Ok(bound),
    }
}

/// An error that says whose it is.
fn named(address: impl fmt::Display, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{address}: {error}"))
}
