//! Routes as data: a path, what may be asked of it, and the endpoint behind it.
//!
//! Which route a request belongs to is found in `path_tree.rs`.

pub(crate) mod endpoint;
pub(crate) mod explain;
pub(crate) mod factory;
pub(crate) mod guard;
pub(crate) mod methods;
pub(crate) mod path_tree;
pub(crate) mod redirect;
pub(crate) mod refusal;
pub(crate) mod resolve;

use crate::Context;
use crate::files::Files;
use crate::http::{Answer, Async, OwnedRequest, Request};
use crate::layer::{Cors, Layer, Layers, Wrapped};
use crate::route::endpoint::Endpoint;
use crate::route::guard::Gate;
use crate::route::methods::Methods;
use crate::site::origins::Origins;
use crate::ws::{self, Backlog};
use lws_proto::http::Method;
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

/// A path of a [`Site`](crate::Site), and what stands there.
///
/// ```
/// use lws_server::{Origins, Route, http::Response};
///
/// let upload = Route::post("/upload", |request| Response::text(request.content().len().to_string()))
///     .content_bytes_max(64 << 20)
///     .origins(Origins::Same);
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Route {
    /// The path in normal form, with parameters if it has any: see [`Builder`](crate::Builder).
    pub path: String,
    /// Which requests it takes.
    pub takes: Takes,
    /// What answers.
    pub endpoint: Rc<dyn Endpoint>,
    /// Whether it is for its path alone, and not for what lies below. Default no. Routes with one path have to agree.
    #[doc(alias = "LWS_MOUNT_EXACT_MATCH")]
    pub exact: bool,
    /// What holds for it in place of its site's [`route_defaults`](crate::SiteSettings::route_defaults).
    pub options: RouteOptions,
}

/// Which requests a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Requests with these methods: [`Endpoint::request`].
    Requests(Methods),
    /// Opening handshakes of WebSockets: [`Endpoint::upgrade`].
    Upgrades,
}

/// What may be said about a route. What is `None` is as its site says, and by default as it says here.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RouteOptions {
    /// Bytes of content that a request may have where its handler returns a [`Response`](crate::http::Response), and so needs it gathered.
    /// Default 1 MiB. Past it: 413.
    pub content_bytes_max: Option<usize>,
    /// Bytes of content that a request must bring in each [`Limits::content_period`](lws_proto::Limits::content_period), in place of
    /// [`Limits::content_bytes_min`](lws_proto::Limits::content_bytes_min): 0 for uploads that somebody types, which may take their
    /// time. By default it is what the limits say.
    pub content_bytes_min: Option<usize>,
    /// Whether exchanges go on whose peers have ended their direction, however long they are sent nothing: see
    /// [`http::Handler::peer_ended`](crate::http::Handler::peer_ended). Default no, as most such peers have left.
    pub keep_half_closed: Option<bool>,
    /// How much of what is published to the route waits for slow WebSockets, and what becomes of those that fall behind.
    pub backlog: Option<Backlog>,
    /// Pages of which origins may open WebSockets and ask with methods that are not safe. Default [`Origins::Any`].
    pub origins: Option<Origins>,
    /// Field lines of every response of the route, its errors as well: in place of those of its site
    /// ([`SiteSettings::fields`](crate::SiteSettings::fields)) with the same name. The 101 that opens a WebSocket has none.
    pub fields: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// The guard that is asked first whether a request may go on, or that answers it. Default none.
    pub interceptor: Option<Gate>,
    /// The guard that is asked next, for example for a password. Default none.
    pub authentication: Option<Gate>,
    /// The answer to a browser that asks on behalf of a page of another origin: set with the layer, which also lets the page
    /// read responses.
    pub(crate) cors: Option<Cors>,
}

impl RouteOptions {
    /// These, and `defaults` for what they do not say.
    pub(crate) fn or(self, defaults: &Self) -> Self {
        Self {
            content_bytes_max: self.content_bytes_max.or(defaults.content_bytes_max),
            content_bytes_min: self.content_bytes_min.or(defaults.content_bytes_min),
            keep_half_closed: self.keep_half_closed.or(defaults.keep_half_closed),
            backlog: self.backlog.or(defaults.backlog),
            origins: self.origins.or_else(|| defaults.origins.clone()),
            fields: if self.fields.is_empty() { defaults.fields.clone() } else { self.fields },
            interceptor: self.interceptor.or_else(|| defaults.interceptor.clone()),
            authentication: self.authentication.or_else(|| defaults.authentication.clone()),
            cors: self.cors,
        }
    }
}

impl Route {
    /// An endpoint of whatever kind.
    pub fn new(takes: Takes, path: impl Into<String>, endpoint: impl Endpoint) -> Self {
        let options = RouteOptions::default();
        Self { path: path.into(), takes, endpoint: Rc::new(endpoint), exact: false, options }
    }

    /// Requests with any method: see [`Builder::http`](crate::Builder::http).
    pub fn http<A: Answer>(path: impl Into<String>, factory: impl Fn(&Request<'_>) -> A + 'static) -> Self {
        Self::methods(Methods::Any, path, factory)
    }

    /// GET and HEAD: see [`Builder::get`](crate::Builder::get).
    pub fn get<A: Answer>(path: impl Into<String>, factory: impl Fn(&Request<'_>) -> A + 'static) -> Self {
        Self::methods(Methods::GET, path, factory)
    }

    /// POST: see [`Builder::post`](crate::Builder::post).
    pub fn post<A: Answer>(path: impl Into<String>, factory: impl Fn(&Request<'_>) -> A + 'static) -> Self {
        Self::methods(Methods::POST, path, factory)
    }

    /// Requests with these methods: see [`Builder::methods`](crate::Builder::methods).
    pub fn methods<A: Answer>(
        methods: impl Into<Methods>,
        path: impl Into<String>,
        factory: impl Fn(&Request<'_>) -> A + 'static,
    ) -> Self {
        Self::methods_with(methods, path, move |_, request| factory(request))
    }

    /// GET and HEAD, with a factory that gets the context too: see [`Builder::get_with`](crate::Builder::get_with).
    pub fn get_with<A: Answer>(
        path: impl Into<String>,
        factory: impl Fn(&mut Context<'_>, &Request<'_>) -> A + 'static,
    ) -> Self {
        Self::methods_with(Methods::GET, path, factory)
    }

    /// POST, with a factory that gets the context too.
    pub fn post_with<A: Answer>(
        path: impl Into<String>,
        factory: impl Fn(&mut Context<'_>, &Request<'_>) -> A + 'static,
    ) -> Self {
        Self::methods_with(Methods::POST, path, factory)
    }

    /// Requests with these methods, with a factory that gets the context too.
    pub fn methods_with<A: Answer>(
        methods: impl Into<Methods>,
        path: impl Into<String>,
        factory: impl Fn(&mut Context<'_>, &Request<'_>) -> A + 'static,
    ) -> Self {
        Self::new(Takes::Requests(methods.into()), path, factory::http(factory))
    }

    /// GET and HEAD, with an asynchronous function: see [`Builder::get_async`](crate::Builder::get_async).
    pub fn get_async<F: Future<Output: Answer> + 'static>(
        path: impl Into<String>,
        function: impl Fn(OwnedRequest) -> F + 'static,
    ) -> Self {
        Self::methods_async(Methods::GET, path, function)
    }

    /// POST, with an asynchronous function.
    pub fn post_async<F: Future<Output: Answer> + 'static>(
        path: impl Into<String>,
        function: impl Fn(OwnedRequest) -> F + 'static,
    ) -> Self {
        Self::methods_async(Methods::POST, path, function)
    }

    /// Requests with these methods, with an asynchronous function.
    pub fn methods_async<F: Future<Output: Answer> + 'static>(
        methods: impl Into<Methods>,
        path: impl Into<String>,
        function: impl Fn(OwnedRequest) -> F + 'static,
    ) -> Self {
        let factory = move |cx: &mut Context<'_>, request: &Request<'_>| {
            let request = request.to_owned_request(cx);
            let held_bytes = request.held_bytes();
            Async::new(function(request)).holding(held_bytes)
        };
        Self::methods_with(methods, path, factory)
    }

    /// WebSockets: see [`Builder::ws`](crate::Builder::ws).
    pub fn ws<A: ws::Accepting + 'static>(
        path: impl Into<String>,
        factory: impl Fn(&Request<'_>) -> A + 'static,
    ) -> Self {
        Self::ws_with(path, move |_, request| factory(request))
    }

    /// WebSockets, with a factory that gets the context too: see [`Builder::ws_with`](crate::Builder::ws_with).
    pub fn ws_with<A: ws::Accepting + 'static>(
        path: impl Into<String>,
        factory: impl Fn(&mut Context<'_>, &Request<'_>) -> A + 'static,
    ) -> Self {
        Self::new(Takes::Upgrades, path, factory::websockets(factory))
    }

    /// Files below a path: see [`Builder::mount`](crate::Builder::mount).
    pub fn files(path: impl Into<String>, files: Files) -> Self {
        let path = path.into();
        let endpoint = files.mounted_at(&path);
        Self::new(Takes::Requests(Methods::GET), path, endpoint)
    }

    /// Has `layer` look at what comes to this route before anything else that was said about it does.
    #[must_use]
    pub fn layer(self, layer: impl Layer) -> Self {
        let mut layers = Layers::default();
        layers.push(layer);
        self.behind(&layers)
    }

    /// Lets pages of other origins ask, and read the answers: see [`Cors`].
    #[must_use]
    pub fn cors(self, cors: Cors) -> Self {
        self.layer(cors)
    }

    /// Has it stand for its path alone: what lies below belongs to the next shorter route.
    #[must_use]
    pub fn exact(mut self) -> Self {
        self.exact = true;
        self
    }

    /// Puts layers before its endpoint. Of the rules for pages of other origins those hold that were there before.
    pub(crate) fn behind(mut self, layers: &Layers) -> Self {
        let layers = if self.options.cors.is_some() { layers.without_cors() } else { layers.clone() };
        self.options.cors = self.options.cors.or_else(|| layers.cors().cloned());
        if !layers.is_empty() {
            self.endpoint = Rc::new(Wrapped::new(layers, self.endpoint));
        }
        self
    }

    /// Sets [`RouteOptions::content_bytes_max`].
    #[must_use]
    pub fn content_bytes_max(mut self, bytes: usize) -> Self {
        self.options.content_bytes_max = Some(bytes);
        self
    }

    /// Sets [`RouteOptions::content_bytes_min`].
    #[must_use]
    pub fn content_bytes_min(mut self, bytes: usize) -> Self {
        self.options.content_bytes_min = Some(bytes);
        self
    }

    /// Sets [`RouteOptions::keep_half_closed`].
    #[must_use]
    pub fn keep_half_closed(mut self, keep: bool) -> Self {
        self.options.keep_half_closed = Some(keep);
        self
    }

    /// Sets [`RouteOptions::backlog`].
    #[must_use]
    pub fn backlog(mut self, backlog: Backlog) -> Self {
        self.options.backlog = Some(backlog);
        self
    }

    /// Adds one of [`RouteOptions::fields`].
    #[must_use]
    pub fn field(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.options.fields.push((name.into(), value.into()));
        self
    }

    /// Sets [`RouteOptions::interceptor`].
    #[must_use]
    pub fn interceptor(mut self, gate: Gate) -> Self {
        self.options.interceptor = Some(gate);
        self
    }

    /// Sets [`RouteOptions::authentication`].
    #[must_use]
    pub fn authentication(mut self, gate: Gate) -> Self {
        self.options.authentication = Some(gate);
        self
    }

    /// Sets [`RouteOptions::origins`].
    #[must_use]
    pub fn origins(mut self, origins: Origins) -> Self {
        self.options.origins = Some(origins);
        self
    }
}

impl From<Methods> for Takes {
    fn from(methods: Methods) -> Self {
        Self::Requests(methods)
    }
}

impl From<&'static [Method]> for Takes {
    fn from(methods: &'static [Method]) -> Self {
        Self::Requests(methods.into())
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, takes, exact, options, .. } = self;
        let mut debug = f.debug_struct("Route");
        debug.field("path", path).field("takes", takes).field("exact", exact).field("options", options);
        debug.finish_non_exhaustive()
    }
}
