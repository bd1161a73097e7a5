//! A server as its program sees it: what it serves and where, how it runs, how other threads reach it.
//!
//! Knows no protocol and no event.

use crate::access::{AccessLog, AccessRecord};
use crate::app::{App, Listener, Listening, OnTls, RawFactory};
use crate::files::Files;
use crate::group::{Command, Group, Handle};
use crate::hosts::{self, Hosts};
use crate::http::{self, Answer, FieldLine, Method, Request};
use crate::origins::Origins;
use crate::panics::{OnPanic, PanicRecord};
use crate::route::{Methods, Table};
use crate::shared::{Guarded, Route, Shared};
use crate::threads::{self, Blueprint, Description, Shard};
use crate::tls::{self, Listen, Plain};
use crate::{Context, Peer, raw, ws};
use lws_loop_external as external;
use lws_loop_external::{
    Address, Change, Driver, DriverOptions, ListenOptions, ListenerId, Readiness, Shards, Token, Trigger,
    Wait,
};
use lws_proto::{Config, Expect, Limits, OutOfRange, Time, Versions, WallClock};
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroU16;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// A server that is listening, and has not begun to run.
///
/// It belongs to the thread that built it, as its handlers do; [`Builder::threads`] gives others handlers of their own. See
/// [`Handle`] for what any thread may do.
#[doc(alias = "lws_context")]
pub struct Server {
    pub(crate) service: Service,
    /// What the other threads will serve.
    pub(crate) others: Vec<Shard>,
}

impl Server {
    /// Begins to describe a server.
    #[doc(alias = "lws_create_context")]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs on the built-in loop, or on one on each of its threads, until the server has been drained or stopped.
    ///
    /// # Errors
    /// Those of a loop: no descriptor left, mostly. If one of several threads fails the others end.
    #[cfg(feature = "run")]
    pub fn run(self) -> io::Result<()> {
        threads::run(self.service, self.others)
    }

    /// The server as a service, for a loop that already runs. Of a server with several threads it is that of the first one,
    /// and the others get nothing to do: see [`into_shards`](Self::into_shards).
    #[must_use]
    pub fn into_service(self) -> Service {
        self.service
    }

    /// The service of this thread, and what becomes the services of others: for loops of your own on each.
    #[must_use]
    pub fn into_shards(self) -> (Service, Vec<Shard>) {
        (self.service, self.others)
    }

    /// How many threads it will have.
    #[must_use]
    #[doc(alias = "lws_get_count_threads")]
    pub fn threads(&self) -> usize {
        self.handle().threads()
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
    pub(crate) driver: Driver<App>,
    addresses: Vec<Address>,
}

impl Service {
    /// What other threads may hold.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.driver.application().shared.group))
    }

    /// Reaches the server on the thread of its loop, between the calls of its host: to publish, to wake, to ask for permits, to
    /// look at the counters. The context belongs to no stream. `now` is the host's.
    ///
    /// What was asked for is done in the next [`settle`](external::Service::settle). Hosts with a `with` of their own see to that:
    ///
    /// ```
    /// use lws_loop_external::hosts::OnPoll;
    /// # use lws_loop_external::Clock;
    /// # use lws_server::{MessageKind, Server, ws::Broadcast};
    /// # let clock = Clock::new();
    /// let mut hosted = OnPoll::new(Server::builder().listen("127.0.0.1:0").build()?.into_service());
    /// let open = hosted.service_mut().with(clock.now(), |cx| cx.stats().connections);
    /// assert_eq!(open, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with<R>(&mut self, now: Time, call: impl FnOnce(&mut Context<'_>) -> R) -> R {
        self.driver.with(now, |app, cx| call(&mut app.nowhere(cx)))
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

    fn limit_turn(&mut self, time: Option<Duration>) {
        self.driver.limit_turn(time);
    }

    fn is_forked(&self) -> bool {
        self.driver.is_forked()
    }

    fn is_done(&self) -> bool {
        self.driver.is_done()
    }

    fn keeps_alive(&self, token: Token) -> bool {
        self.driver.keeps_alive(token)
    }
}

/// Where a server listens and what it serves there.
///
/// A route is a path, and everything below it: `/chat` is that of `/chat` and `/chat/1`, not of `/chats`. A route may have
/// parameters instead: `/items/{id}` is that of `/items/7` and of nothing below it, and `/files/{*rest}` that of everything below
/// `/files`; see [`Request::parameter`]. Where two routes match, the first segment in which they differ decides: what is written
/// out comes before a parameter, and a parameter before what stands for everything below. Two routes that match the same
/// paths by other names are refused.
///
/// The request's path is brought into its normal form before ([`Request::path`]), in which routes are written, too. A path without
/// a route is answered 404, a method that the route does not have 405, and one that is not registered 501.
///
/// Nothing fails before [`build`](Self::build), which tells the first thing that was wrong.
#[derive(Default)]
#[must_use = "nothing is served before `build`"]
pub struct Builder {
    pub(crate) listeners: Vec<(Vec<Address>, Listener, Option<Listen>)>,
    routes: Table<Route>,
    hosts: Hosts,
    fallback: Option<RawFactory>,
    limits: Limits,
    options: BuilderOptions,
    log: Option<AccessLog>,
    on_panic: Option<OnPanic>,
    on_tls: Option<OnTls>,
    threads: Option<Description>,
    error: Option<io::Error>,
}

#[derive(Clone)]
pub(crate) struct BuilderOptions {
    driver: DriverOptions,
    listen: ListenOptions,
    route: http::RouteOptions,
    drain_timeout: Duration,
    deflate: Option<ws::Deflate>,
    strict_transport_security: Option<Duration>,
    security_best_practices: bool,
    backlog: ws::Backlog,
    versions: Versions,
    upgrade_to_http2: bool,
    origins: Option<Arc<Origins>>,
    #[cfg(feature = "record")]
    recorder: Option<Arc<lws_record::Folder>>,
}

/// What libwebsockets sends, without a field that browsers have dropped. RFC 9110 §5.
const BEST_PRACTICES: [FieldLine; 4] = [
    (
        "Content-Security-Policy",
        Cow::Borrowed(
            "default-src 'none'; img-src 'self' data:; script-src 'self'; font-src 'self'; style-src 'self'; \
             connect-src 'self' ws: wss:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
        ),
    ),
    ("X-Content-Type-Options", Cow::Borrowed("nosniff")),
    ("X-Frame-Options", Cow::Borrowed("deny")),
    ("Referrer-Policy", Cow::Borrowed("no-referrer")),
];

impl BuilderOptions {
    /// The field lines of every response, by TLS or not.
    fn always(&self, secure: bool) -> Option<Rc<[FieldLine]>> {
        let mut fields = Vec::new();
        if self.security_best_practices {
            fields.extend(BEST_PRACTICES);
        }
        // RFC 6797 §7.2: "MUST NOT include the STS header field in HTTP responses conveyed over non-secure transport".
        if let (true, Some(max_age)) = (secure, self.strict_transport_security) {
            let value = format!("max-age={}; includeSubDomains", max_age.as_secs());
            fields.push(("Strict-Transport-Security", value.into()));
        }
        (!fields.is_empty()).then(|| fields.into())
    }
}

/// What all threads of a server have in common.
pub(crate) struct Settings {
    listeners: Vec<(Vec<Address>, Option<Listen>)>,
    hosts: Hosts,
    limits: Limits,
    options: BuilderOptions,
}

impl Settings {
    /// What one thread begins with.
    pub(crate) fn builder(&self) -> Builder {
        let listener = |(addresses, tls): &(Vec<Address>, Option<Listen>)| {
            (addresses.clone(), Listener::Http, tls.clone())
        };
        Builder {
            listeners: self.listeners.iter().map(listener).collect(),
            hosts: self.hosts.clone(),
            limits: self.limits.clone(),
            options: self.options.clone(),
            ..Builder::default()
        }
    }
}

impl Default for BuilderOptions {
    fn default() -> Self {
        Self {
            driver: DriverOptions::default(),
            listen: ListenOptions::default(),
            route: http::RouteOptions::default(),
            drain_timeout: Duration::from_secs(10),
            deflate: None,
            strict_transport_security: None,
            security_best_practices: false,
            backlog: ws::Backlog::default(),
            versions: Versions::default(),
            upgrade_to_http2: false,
            origins: None,
            #[cfg(feature = "record")]
            recorder: None,
        }
    }
}

impl Builder {
    // Where.

    /// Listens for HTTP and WebSocket on `address`: `127.0.0.1:7681`, `localhost:0` (on every address of the name; port 0
    /// lets the system choose), `unix:/run/server.sock`. May be called several times.
    pub fn listen(self, address: &str) -> Self {
        self.listen_for(address, Listener::Http, None)
    }

    /// Listens for HTTP and WebSocket over TLS on `address`: with a `tls::Server`, or a
    /// [`tls::Listen`] that says more.
    #[doc(alias = "LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT")]
    pub fn listen_tls(self, address: &str, tls: impl Into<Listen>) -> Self {
        self.listen_for(address, Listener::Http, Some(tls.into()))
    }

    /// Listens for raw streams over TLS on `address`.
    pub fn listen_raw_tls<H: raw::Handler>(
        self,
        address: &str,
        tls: impl Into<Listen>,
        factory: impl Fn() -> H + 'static,
    ) -> Self {
        // Nobody could say to a plain stream what is wrong.
        let tls = tls.into();
        let plain = if tls.plain == Plain::Serve { Plain::Serve } else { Plain::Close };
        self.listen_for(address, Listener::Raw(raw_factory(factory)), Some(tls.plain(plain)))
    }

    /// Listens for raw streams on `address`: each connection is one, from its first byte.
    #[doc(alias = "ADOPT_APPLY_LISTEN_ACCEPT_CONFIG")]
    pub fn listen_raw<H: raw::Handler>(self, address: &str, factory: impl Fn() -> H + 'static) -> Self {
        self.listen_for(address, Listener::Raw(raw_factory(factory)), None)
    }

    fn listen_for(mut self, address: &str, listener: Listener, tls: Option<Listen>) -> Self {
        match resolve(address) {
            Ok(addresses) => self.listeners.push((addresses, listener, tls)),
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
        let (backlog, origins) = (self.options.backlog, self.options.origins.clone());
        if let Some(route) = self.route(path) {
            route.backlog = backlog;
            let guarded = Guarded { inner: ws::factory(factory), origins };
            let doubled = route.websocket.replace(guarded).is_some();
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
    /// again for more. A request for another name is answered 421. Without a call every name is served, but on listeners that
    /// only this machine reaches.
    ///
    /// Those, on loopback addresses and Unix sockets, answer for `localhost`, for loopback addresses and for the names given
    /// here, and for no other: a web page can have its own name mean a loopback address, and would reach the server from every
    /// browser on the machine ("DNS rebinding"). A listener on all interfaces, `0.0.0.0` or `::`, is not one of them; and with TLS
    /// it is the certificate that keeps such pages out.
    #[doc(alias = "vhost_name")]
    pub fn host(mut self, name: &str) -> Self {
        if self.hosts.add(name).is_none() {
            self.fail(invalid(format!("not a host name: {name}")));
        }
        self
    }

    /// Serves every name, on listeners that only this machine reaches, too: for a server behind a proxy that looks at names
    /// itself, or whose handlers do.
    pub fn any_host(mut self) -> Self {
        self.hosts.add_any();
        self
    }

    /// Lets pages of this server's own origin open WebSockets and ask with methods that are not safe, and refuses those of every
    /// other with 403: a browser sends along what it knows of the user, whichever page asks. It holds for the routes that are
    /// described after it, over HTTP/2, too (RFC 8441). [`origins`](Self::origins) adds others.
    ///
    /// The origin is that of `Host` by the scheme that is spoken here; behind a proxy that speaks TLS name it by `origins`.
    /// Requests without `Origin`, which are no browser's, pass. RFC 6454, RFC 6455 §10.2.
    pub fn same_origin(mut self) -> Self {
        self.guard().add_same();
        self
    }

    /// Lets pages of these origins, such as `https://example.com`, open WebSockets and ask with methods that are not safe, and
    /// refuses those of every other with 403. `null` stands for pages without an origin. It holds for the routes that are
    /// described after it, and adds to what was said before; see [`same_origin`](Self::same_origin).
    pub fn origins<'o>(mut self, origins: impl IntoIterator<Item = &'o str>) -> Self {
        for origin in origins {
            if self.guard().add(origin).is_none() {
                self.fail(invalid(format!("not an origin: {origin}")));
            }
        }
        self
    }

    /// Lets pages of every origin ask: for the routes that are described after it, in spite of what was said before. The default.
    pub fn any_origin(mut self) -> Self {
        self.options.origins = None;
        self
    }

    /// The origins of the routes that are described from now on. Those described before keep what they have.
    fn guard(&mut self) -> &mut Origins {
        Arc::make_mut(self.options.origins.get_or_insert_default())
    }

    /// What a peer can make the server hold or wait for. [`build`](Self::build) refuses those that are out of their range.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Which versions of HTTP are spoken without TLS. Both, unless this says otherwise. With TLS it is what ALPN has chosen
    /// of the protocols that `tls::ServerBuilder::alpn` names.
    #[doc(alias = "LWS_SERVER_OPTION_H2_PRIOR_KNOWLEDGE")]
    pub fn versions(mut self, versions: Versions) -> Self {
        self.options.versions = versions;
        self
    }

    /// Goes to HTTP/2 where a client without TLS asks for it with `Upgrade: h2c`. Off unless this is called: see
    /// [`Config::upgrade_to_http2`].
    pub fn upgrade_to_http2(mut self) -> Self {
        self.options.upgrade_to_http2 = true;
        self
    }

    /// Serves on `count` threads, each with its own loop, connections and handlers: nothing is shared, so that nothing has to
    /// wait. 0 is one for each processor that the process may use.
    ///
    /// `describe` adds what is served, and is called once on each thread: what its factories hold may be `Rc`. What it
    /// describes must be the same each time. What was said before this call holds for all of them, and that may be all but
    /// handlers.
    ///
    /// A new connection goes to the thread that has the fewest. With [`ListenOptions::reuse_port`] each thread listens
    /// itself, and the system chooses.
    ///
    /// ```no_run
    /// use lws_server::{Server, http::Response};
    ///
    /// let server = Server::builder().listen("127.0.0.1:7681");
    /// server.threads(4, |server| server.get("/", |_| Response::text("Hello, world!"))).build()?.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "count_threads")]
    #[doc(alias = "LWS_MAX_SMP")]
    pub fn threads(mut self, count: usize, describe: impl Fn(Self) -> Self + Send + Sync + 'static) -> Self {
        match threads::count(count) {
            Ok(count) => self.threads = Some(Description { count, describe: Arc::new(describe) }),
            Err(error) => self.fail(error),
        }
        self
    }

    /// Bytes of content that a request may have where its factory returns a [`http::Response`], and so needs it
    /// gathered. Default 1 MiB. Past it: 413. It holds for the routes that are described after it.
    pub fn content_bytes_max(mut self, bytes: usize) -> Self {
        self.options.route.content_bytes_max = bytes;
        self
    }

    /// Bytes of content that a request must bring in each [`Limits::content_period`], in place of [`Limits::content_bytes_min`]: 0 for
    /// uploads that somebody types, which may take their time. `None`, the default, is what the limits say. It holds for the
    /// routes that are described after it.
    pub fn content_bytes_min(mut self, bytes: Option<usize>) -> Self {
        self.options.route.content_bytes_min = bytes;
        self
    }

    /// Lets exchanges go on whose peers have ended their direction, however long they are sent nothing: see
    /// [`http::Handler::peer_ended`]. Default off, as most such peers have left. It holds for the routes that are described
    /// after it.
    pub fn keep_half_closed(mut self, keep: bool) -> Self {
        self.options.route.keeps_half_closed = keep;
        self
    }

    /// The most connections at a time, of each thread. Default: the limit of open files, less 32, which several threads
    /// share evenly. At the last one the listeners pause.
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

    /// How much may wait of what is published, and what becomes of who does not keep up. It holds for the routes that are
    /// described after it, each with a backlog of its own.
    pub fn backlog(mut self, backlog: ws::Backlog) -> Self {
        self.options.backlog = backlog;
        self
    }

    /// Has `log` called once per request, on the thread that answered: it should not wait.
    #[doc(alias = "lws_access_log")]
    pub fn access_log(mut self, log: impl Fn(&AccessRecord<'_>) + 'static) -> Self {
        self.log = Some(Box::new(log));
        self
    }

    /// Writes a record of each accepted connection into `folder`, or of those of one peer, as it says. Each costs a descriptor or two,
    /// and time: it is for finding out, and not for every day.
    #[cfg(feature = "record")]
    pub fn record(mut self, folder: lws_record::Folder) -> Self {
        self.options.recorder = Some(Arc::new(folder));
        self
    }

    /// Has `on_panic` called for each panic of a handler, a factory or another callback, on the thread where it was. The panic hook of
    /// the process has been called before; by default that writes to standard error.
    ///
    /// Where panics unwind, one ends the stream that it is about and nothing else: a request that has not been answered gets a
    /// 500, a WebSocket close code 1011, and everything else is cut off. The handler is dropped, and not called again, not even to
    /// [`close`](http::Handler::close). One in what was posted to the server ends nothing. Where panics abort, as a program
    /// may say in its profile, one ends the process.
    pub fn on_panic(mut self, on_panic: impl Fn(&PanicRecord<'_>) + 'static) -> Self {
        self.on_panic = Some(Box::new(on_panic));
        self
    }

    /// Has `on_tls` called for each handshake that is done and each that failed, on the server's thread. Its `false`
    /// refuses a peer whose handshake is done; otherwise it counts for nothing.
    #[doc(alias = "ssl_info_event_mask")]
    pub fn on_tls(mut self, on_tls: impl Fn(&Peer, tls::Event<'_>) -> bool + 'static) -> Self {
        self.on_tls = Some(Box::new(on_tls));
        self
    }

    /// Sends `Strict-Transport-Security` with every response over TLS: for this long browsers will come by `https` only,
    /// for the names below the host's, too. Off unless this is called, as it cannot be taken back. RFC 6797.
    #[doc(alias = "LWS_SERVER_OPTION_STS")]
    pub fn strict_transport_security(mut self, max_age: Duration) -> Self {
        self.options.strict_transport_security = Some(max_age);
        self
    }

    /// Sends with every response what browsers should be told by a server that embeds nothing of others and is embedded by
    /// nobody: a strict `Content-Security-Policy`, `Referrer-Policy`, `X-Content-Type-Options`, `X-Frame-Options`. Off
    /// unless this is called; pages with inline scripts or styles do not work with it.
    #[doc(alias = "LWS_SERVER_OPTION_HTTP_HEADERS_SECURITY_BEST_PRACTICES_ENFORCE")]
    pub fn security_best_practices(mut self) -> Self {
        self.options.security_best_practices = true;
        self
    }

    /// Binds the listeners.
    ///
    /// # Errors
    /// The first thing that was wrong with the description, as [`io::ErrorKind::InvalidInput`]; or what a listener met,
    /// with its address in the message.
    pub fn build(mut self) -> io::Result<Server> {
        let Some(Description { count, describe }) = self.threads.take() else {
            return self.build_threads(1, None);
        };
        let callbacks = self.log.is_some() || self.on_tls.is_some() || self.on_panic.is_some();
        if !self.routes.is_empty() || self.fallback.is_some() || callbacks {
            self.fail(invalid("handlers of several threads are described in `threads`".into()));
        }
        let blueprint = Blueprint { builder: self.settings()?, describe };
        let first = blueprint.describe();
        first.build_threads(count, Some(blueprint))
    }

    /// What all threads have in common. Handlers belong to one.
    fn settings(self) -> io::Result<Settings> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let http = |(addresses, listener, tls)| match listener {
            Listener::Http => Ok((addresses, tls)),
            Listener::Raw(_) => {
                Err(invalid("raw streams of several threads are described in `threads`".into()))
            }
        };
        let listeners = self.listeners.into_iter().map(http).collect::<io::Result<_>>()?;
        Ok(Settings { listeners, hosts: self.hosts, limits: self.limits, options: self.options })
    }

    /// Listens, and leaves to the other threads what they will need.
    fn build_threads(self, count: u16, blueprint: Option<Blueprint>) -> io::Result<Server> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.limits.validate().map_err(out_of_range)?;
        if self.listeners.is_empty() {
            return Err(invalid("a server listens nowhere: `listen` says where".into()));
        }
        let count = NonZeroU16::new(count).unwrap_or(NonZeroU16::MIN);
        let mut seats = Shards::create(count, &self.options.driver)?.into_iter();
        let Some(seat) = seats.next() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let paths = self.routes.iter().map(|(path, _)| path.into()).collect();
        let group = Arc::new(Group::new(seat.shards().clone(), self.options.drain_timeout, paths));
        let (options, listeners) = (self.options.listen.clone(), self.listeners.clone());
        let mut driver = self.seated(seat, &group)?;
        let mut bound = Vec::new();
        for (index, (candidates, listener, tls)) in listeners.iter().enumerate() {
            let listening = bind(&mut driver, candidates, listener, tls.as_ref(), &options)?;
            bound.extend(listening.into_iter().map(|(id, address)| (id, address, index)));
        }
        let addresses = bound.iter().map(|(_, address, _)| address.clone()).collect();
        let blueprint = Arc::new((blueprint, bound));
        let shard = |seat| Shard::new(seat, Arc::clone(&group), Arc::clone(&blueprint));
        Ok(Server { service: Service { driver, addresses }, others: seats.map(shard).collect() })
    }

    /// The service of one thread, which does not listen yet.
    fn seated(self, seat: external::Shard<Command>, group: &Arc<Group>) -> io::Result<Driver<App>> {
        if !group.has_routes(self.routes.iter().map(|(path, _)| path)) {
            return Err(invalid("the threads of a server have the same routes".into()));
        }
        let expect = if self.fallback.is_some() { Expect::HttpOrRaw } else { Expect::Http };
        let config = |expect| {
            let (limits, versions) = (self.limits.clone(), self.options.versions);
            let upgrade_to_http2 = self.options.upgrade_to_http2;
            Arc::new(Config { limits, expect, versions, upgrade_to_http2, wall_clock: WallClock::default() })
        };
        let keeps_peers = self.log.is_some() || self.on_tls.is_some();
        let mut shared = Shared::new(self.routes, self.hosts, self.log, Arc::clone(group), seat.index());
        // Threads do not share what they compress with.
        let apart = group.shards.count() > 1;
        shared.on_panic = self.on_panic;
        if keeps_peers {
            shared.keep_peers();
        }
        shared.always = [self.options.always(false), self.options.always(true)];
        shared.deflate = self.options.deflate.map(|deflate| if apart { deflate.apart() } else { deflate });
        let app = App {
            http: config(expect),
            raw: config(Expect::Raw),
            listeners: Vec::new(),
            fallback: self.fallback,
            shared,
            on_tls: self.on_tls,
            #[cfg(feature = "record")]
            recorder: self.options.recorder,
        };
        Ok(Driver::sharded(app, seat))
    }

    /// The service of one of the other threads.
    pub(crate) fn build_shard(
        self,
        seat: external::Shard<Command>,
        group: &Arc<Group>,
        bound: &[(ListenerId, Address, usize)],
    ) -> io::Result<Service> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let (options, listeners) = (self.options.listen.clone(), self.listeners.clone());
        let mut driver = self.seated(seat, group)?;
        let mut addresses = Vec::new();
        for (id, address, index) in bound {
            let Some((_, listener, tls)) = listeners.get(*index) else {
                return Err(invalid("the threads of a server have the same listeners".into()));
            };
            if options.reuse_port && matches!(address, Address::Tcp(_)) {
                bind(&mut driver, std::slice::from_ref(address), listener, tls.as_ref(), &options)?;
            } else {
                // The connections of the first thread's listener are handed over with its name.
                let (listener, tls, local) = (listener.clone(), tls.clone(), hosts::is_local(address));
                driver.application_mut().listeners.push(Listening { id: *id, listener, tls, local });
            }
            addresses.push(address.clone());
        }
        Ok(Service { driver, addresses })
    }

    fn endpoint<A: Answer>(
        mut self,
        path: &str,
        methods: Methods,
        factory: impl Fn(&Request<'_>) -> A + 'static,
    ) -> Self {
        let factory = http::Factory::new(factory, self.options.route);
        self.add(path, methods, Box::new(factory));
        self
    }

    fn add(&mut self, path: &str, methods: Methods, endpoint: Box<dyn http::Endpoint>) {
        let guarded = Guarded { inner: endpoint, origins: self.options.origins.clone() };
        if let Some(route) = self.route(path) {
            let doubled = route.endpoints.iter().any(|(known, _)| known.overlap(methods));
            route.endpoints.push((methods, guarded));
            self.refuse_double(doubled, path);
        }
    }

    fn route(&mut self, path: &str) -> Option<&mut Route> {
        // Not one `match`, as the borrow of the entry would last through both of its arms.
        if let Err(why) = self.routes.entry(path, Route::default).map(drop) {
            self.fail(invalid(format!("not a route: {path}: {why}")));
        }
        self.routes.entry(path, Route::default).ok()
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

fn out_of_range(error: OutOfRange) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
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
    tls: Option<&Listen>,
    options: &ListenOptions,
) -> io::Result<Vec<(ListenerId, Address)>> {
    let options = &ListenOptions { tls: tls.map(|listen| listen.tls.clone()), ..options.clone() };
    let mut bound = Vec::new();
    let mut missing = None;
    for address in candidates {
        let listening: io::Result<_> = driver.with(Time::ZERO, |app, cx| {
            let id = cx.listen(address, options)?;
            let bound = cx.listening_on(id)?;
            let (listener, tls, local) = (listener.clone(), tls.cloned(), hosts::is_local(&bound));
            app.listeners.push(Listening { id, listener, tls, local });
            Ok((id, bound))
        });
        match listening {
            Ok(listening) => bound.push(listening),
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
