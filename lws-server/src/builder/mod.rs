//! Describes a server call by call: fills a [`Site`], and what holds for the server as a whole.
//!
//! Checks and opens nothing: that is `server/start.rs`.

mod settings;

use crate::Context;
#[cfg(feature = "testing")]
use crate::ServerService;
use crate::files::Files;
use crate::http::{Answer, OwnedRequest, Request};
use crate::layer::{Layer, Layers};
use crate::route::Route;
use crate::route::factory;
use crate::route::methods::Methods;
use crate::server::Server;
use crate::server::description::{DescribeThread, Description};
use crate::server::options::ServerOptions;
use crate::server::start;
use crate::server::threads;
use crate::site::served::invalid;
use crate::site::{Bind, Site, SiteSettings, Speaks};
use crate::thread::observers::Observers;
use crate::{raw, tls, ws};
#[cfg(feature = "testing")]
use lws_loop_external::Address;
use lws_loop_external::ListenOptions;
use lws_proto::http::Method;
use std::fmt;
use std::io;
#[cfg(feature = "testing")]
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

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
/// What is said here is about one [`Site`]: its names, its listeners, its routes. [`site`](Self::site) adds others. What holds for routes,
/// such as [`content_bytes_max`](Self::content_bytes_max), holds for all routes of the site that do not say otherwise by a [`Route`] of
/// their own, in whatever order the calls come.
///
/// Nothing fails before [`build`](Self::build), which tells the first thing that was wrong.
#[derive(Default)]
#[must_use = "nothing is served before `build`"]
pub struct Builder {
    site: Site,
    /// Sites that were given whole.
    sites: Vec<Site>,
    /// Raw listeners, each a site of its own, as it has a handler of its own.
    raw_sites: Vec<Site>,
    options: ServerOptions,
    observers: Observers,
    threads: Option<Threads>,
    /// What stands before every route of the site.
    layers: Layers,
    /// How many listeners were described so far, which is the order of their addresses.
    listeners: usize,
    error: Option<io::Error>,
}

/// Adds what a thread serves.
type Describe = Arc<dyn Fn(Builder) -> Builder + Send + Sync>;

/// How many threads there are, and what is described on each.
struct Threads {
    count: u16,
    describe: Describe,
}

impl Builder {
    // Where.

    /// Listens for HTTP and WebSocket on `address`: `127.0.0.1:7681`, `localhost:0` (on every address of the name; port 0
    /// lets the system choose), `unix:/run/server.sock`. May be called several times.
    pub fn listen(self, address: &str) -> Self {
        self.listen_for(address, None)
    }

    /// Listens for HTTP and WebSocket over TLS on `address`: with a `tls::Server`, or a
    /// [`tls::Listen`] that says more.
    #[doc(alias = "LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT")]
    pub fn listen_tls(self, address: &str, tls: impl Into<tls::Listen>) -> Self {
        self.listen_for(address, Some(tls.into()))
    }

    /// Listens for raw streams over TLS on `address`.
    pub fn listen_raw_tls<H: raw::Handler>(
        self,
        address: &str,
        tls: impl Into<tls::Listen>,
        factory: impl Fn() -> H + 'static,
    ) -> Self {
        self.listen_raw_for(address, Some(tls.into()), factory)
    }

    /// Listens for raw streams on `address`: each connection is one, from its first byte.
    #[doc(alias = "ADOPT_APPLY_LISTEN_ACCEPT_CONFIG")]
    pub fn listen_raw<H: raw::Handler>(self, address: &str, factory: impl Fn() -> H + 'static) -> Self {
        self.listen_raw_for(address, None, factory)
    }

    fn listen_raw_for<H: raw::Handler>(
        mut self,
        address: &str,
        tls: Option<tls::Listen>,
        factory: impl Fn() -> H + 'static,
    ) -> Self {
        let mut site = Site { raw: Some(Rc::new(factory::raw(factory))), ..Site::default() };
        site.settings.listen.push(self.described(address, Speaks::Raw, tls));
        self.raw_sites.push(site);
        self
    }

    fn listen_for(mut self, address: &str, tls: Option<tls::Listen>) -> Self {
        let listen = self.described(address, Speaks::Http, tls);
        self.site.settings.listen.push(listen);
        self
    }

    fn described(&mut self, address: &str, speaks: Speaks, tls: Option<tls::Listen>) -> Bind {
        self.listeners += 1;
        Bind { speaks, tls, order: self.listeners, ..Bind::new(address) }
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
        self,
        path: &str,
        factory: impl Fn(&Request<'_>) -> A + 'static,
    ) -> Self {
        self.route(Route::ws(path, factory))
    }

    /// Compresses messages of every WebSocket whose peer offers it. RFC 7692. Off unless this is called.
    #[doc(alias = "lws_extension_callback_pm_deflate")]
    pub fn deflate(mut self, deflate: ws::Deflate) -> Self {
        self.site.settings.deflate = Some(deflate);
        self
    }

    /// Serves HTTP requests with any method at `path`. The factory is called for each request; it returns an
    /// [`Response`](crate::http::Response) or an [`http::Handler`](crate::http::Handler), or a `Result` of either with the response that refuses.
    ///
    /// One that returns a response is called when all of the request's content is there, within
    /// [`content_bytes_max`](Self::content_bytes_max).
    #[doc(alias = "LWSMPRO_CALLBACK")]
    pub fn http<A: Answer>(self, path: &str, factory: impl Fn(&Request<'_>) -> A + 'static) -> Self {
        self.route(Route::http(path, factory))
    }

    /// Serves GET and HEAD at `path`, as [`http`](Self::http) does.
    pub fn get<A: Answer>(self, path: &str, factory: impl Fn(&Request<'_>) -> A + 'static) -> Self {
        self.route(Route::get(path, factory))
    }

    /// Serves POST at `path`, as [`http`](Self::http) does.
    pub fn post<A: Answer>(self, path: &str, factory: impl Fn(&Request<'_>) -> A + 'static) -> Self {
        self.route(Route::post(path, factory))
    }

    /// Serves `methods` at `path`, as [`http`](Self::http) does.
    pub fn methods<A: Answer>(
        self,
        methods: &'static [Method],
        path: &str,
        factory: impl Fn(&Request<'_>) -> A + 'static,
    ) -> Self {
        self.route(Route::methods(Methods::from(methods), path, factory))
    }

    /// Serves GET and HEAD at `path` with a factory that gets the context too: the peer, the time, the counters, the other streams.
    ///
    /// ```no_run
    /// use lws_server::{Server, http::Response};
    ///
    /// let server = Server::builder().listen("127.0.0.1:7681").get_with("/whoami", |cx, _| Response::text(format!("{:?}", cx.peer())));
    /// # server.build()?.run()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get_with<A: Answer>(
        self,
        path: &str,
        factory: impl Fn(&mut Context<'_>, &Request<'_>) -> A + 'static,
    ) -> Self {
        self.route(Route::get_with(path, factory))
    }

    /// Serves POST at `path`, as [`get_with`](Self::get_with) does.
    pub fn post_with<A: Answer>(
        self,
        path: &str,
        factory: impl Fn(&mut Context<'_>, &Request<'_>) -> A + 'static,
    ) -> Self {
        self.route(Route::post_with(path, factory))
    }

    /// Serves GET and HEAD at `path` with an asynchronous function: see [`Async`](crate::http::Async) for what it may wait for, and how long.
    ///
    /// ```
    /// use lws_server::Server;
    /// use lws_server::http::{OwnedRequest, Rejection, Response};
    ///
    /// async fn double(request: OwnedRequest) -> Result<Response, Rejection> {
    ///     let number: u32 = request.as_request().query_pairs()?.require("number")?;
    ///     Ok(Response::text((u64::from(number) * 2).to_string()))
    /// }
    ///
    /// let server = Server::builder().get_async("/double", double);
    /// ```
    pub fn get_async<F: Future<Output: Answer> + 'static>(
        self,
        path: &str,
        function: impl Fn(OwnedRequest) -> F + 'static,
    ) -> Self {
        self.route(Route::get_async(path, function))
    }

    /// Serves POST at `path`, as [`get_async`](Self::get_async) does.
    pub fn post_async<F: Future<Output: Answer> + 'static>(
        self,
        path: &str,
        function: impl Fn(OwnedRequest) -> F + 'static,
    ) -> Self {
        self.route(Route::post_async(path, function))
    }

    /// Serves WebSockets at `path`, as [`ws`](Self::ws) does, with a factory that gets the context too.
    pub fn ws_with<A: ws::Accepting + 'static>(
        self,
        path: &str,
        factory: impl Fn(&mut Context<'_>, &Request<'_>) -> A + 'static,
    ) -> Self {
        self.route(Route::ws_with(path, factory))
    }

    /// Serves the files of a directory below `path`. See [`Files`] for what can be said about them.
    #[doc(alias = "LWSMPRO_FILE")]
    pub fn files(mut self, path: &str, directory: impl AsRef<Path>) -> Self {
        match Files::directory(directory) {
            Ok(files) => self.mount(path, files),
            Err(error) => {
                self.error.get_or_insert(error);
                self
            }
        }
    }

    /// Serves `files` below `path`.
    #[doc(alias = "lws_http_mount")]
    pub fn mount(self, path: &str, files: Files) -> Self {
        self.route(Route::files(path, files))
    }

    /// Adds a route, with whatever options it has of its own.
    pub fn route(mut self, route: Route) -> Self {
        self.site.routes.push(route);
        self
    }

    /// Has `layer` look at what comes to every route of the site before its endpoint does, also to those that are described later. The first
    /// one that is said is the first one to look. See [`layer`](crate::layer).
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Adds another site, which is served beside the one that this describes.
    #[doc(alias = "lws_create_vhost")]
    pub fn site(mut self, site: Site) -> Self {
        self.sites.push(site);
        self
    }

    /// Takes connections of the HTTP listeners whose first bytes are no HTTP as raw streams.
    #[doc(alias = "FALLBACK_TO_APPLY_LISTEN_ACCEPT_CONFIG")]
    pub fn raw<H: raw::Handler>(mut self, factory: impl Fn() -> H + 'static) -> Self {
        self.site.raw = Some(Rc::new(factory::raw(factory)));
        self
    }
}

impl Builder {
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
            Ok(count) => self.threads = Some(Threads { count, describe: Arc::new(describe) }),
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
        self
    }

    /// Binds the listeners.
    ///
    /// # Errors
    /// The first thing that was wrong with the description, as [`io::ErrorKind::InvalidInput`]; or what a listener met,
    /// with its address in the message.
    pub fn build(mut self) -> io::Result<Server> {
        match self.threads.take() {
            None => start::server(self.into_description()?, 1, None),
            Some(Threads { count, describe }) => {
                let describe = self.into_threads(describe)?;
                start::server(describe()?, count, Some(describe))
            }
        }
    }

    /// Builds the one thread that a test has, and says where its clients come to: at `address` if nothing listens.
    ///
    /// # Errors
    /// Those of [`build`](Self::build); or every listener has TLS or speaks no HTTP.
    #[cfg(feature = "testing")]
    pub(crate) fn build_for_test(mut self, address: &str) -> io::Result<(ServerService, SocketAddr)> {
        let describe = self.threads.take();
        if self.site.settings.listen.is_empty() {
            self = self.listen(address);
        }
        let described = match describe {
            None => self,
            Some(Threads { describe, .. }) => describe(self),
        };
        let description = described.into_description()?;
        let binds = description.sites.iter().flat_map(|site| &site.settings.listen);
        let is_plain = |bind: &&Bind| bind.tls.is_none() && bind.speaks == Speaks::Http;
        // Sites of their own may have said the same order, so that the first one counts.
        let order = binds.filter(is_plain).map(|bind| bind.order).min();
        let order =
            order.ok_or_else(|| invalid("a test speaks no TLS, and every listener wants it".into()))?;
        let before = description.sites.iter().flat_map(|site| &site.settings.listen);
        let before = before.filter(|bind| bind.order < order).count();
        let service = start::server(description, 1, None)?.into_service();
        let address = service.addresses.iter().skip(before).find_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            _ => None,
        });
        let address = address.ok_or_else(|| invalid("a test needs a TCP address".into()))?;
        Ok((service, address))
    }

    /// What one thread begins with.
    fn beginning_with(settings: SiteSettings, options: ServerOptions) -> Self {
        let listeners = settings.listen.len();
        let site = Site { settings, ..Site::default() };
        Self { site, options, listeners, ..Self::default() }
    }

    /// Everything that one thread serves.
    ///
    /// # Errors
    /// What was wrong before anything was checked.
    fn into_description(self) -> io::Result<Description> {
        let Self { mut site, mut sites, mut raw_sites, options, observers, layers, error, .. } = self;
        if let Some(error) = error {
            return Err(error);
        }
        site.routes = site.routes.into_iter().map(|route| route.behind(&layers)).collect();
        for raw in &mut raw_sites {
            raw.settings.limits = site.settings.limits.clone();
        }
        let says_nothing = site.routes.is_empty() && site.raw.is_none() && site.settings.listen.is_empty();
        if !says_nothing || sites.is_empty() {
            // Its names were said first, so it is the default site where several could be.
            sites.insert(0, site);
        }
        sites.extend(raw_sites);
        Ok(Description { sites, options, observers })
    }

    /// Describes each thread by what was said before and by what `describe` adds. Handlers belong to one thread.
    fn into_threads(self, describe: Describe) -> io::Result<DescribeThread> {
        let Self { site, sites, raw_sites, options, observers, layers, error, .. } = self;
        if let Some(error) = error {
            return Err(error);
        }
        if !raw_sites.is_empty() {
            return Err(invalid("raw streams of several threads are described in `threads`".into()));
        }
        let handlers = !site.routes.is_empty() || site.raw.is_some() || !layers.is_empty();
        if handlers || !sites.is_empty() || observers.any() {
            return Err(invalid("handlers of several threads are described in `threads`".into()));
        }
        let settings = site.settings;
        Ok(Box::new(move || {
            describe(Self::beginning_with(settings.clone(), options.clone())).into_description()
        }))
    }
}

impl Server {
    /// Begins to describe a server.
    #[doc(alias = "lws_create_context")]
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").field("site", &self.site).finish_non_exhaustive()
    }
}
