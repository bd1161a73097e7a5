//! Sites as data: what a server answers for, where, and what stands at which path.
//!
//! A [`Builder`](crate::Builder) fills one, and so may a file of configuration, a program in another language or a test. Nothing
//! here is checked or opened: that is done when a server is built or a site is added to one that runs.

pub(crate) mod changes;
pub(crate) mod hosts;
pub(crate) mod install;
pub(crate) mod origins;
#[cfg(feature = "proxies")]
pub(crate) mod proxy_protocol;
pub(crate) mod served;
pub(crate) mod sites;
pub(crate) mod transition;

use crate::http::ErrorRenderer;
use crate::route::endpoint::Endpoint;
use crate::route::{Route, RouteOptions};
#[cfg(feature = "proxies")]
use crate::site::proxy_protocol::ProxyProtocol;
use crate::tls;
use crate::ws::Deflate;
use lws_loop_external::ListenOptions;
use lws_proto::{Limits, Versions};
use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

/// What a server says at some names: where it listens for them, which paths there are and what they lead to.
///
/// Several sites may share a listener, and a request goes to the one that has its name; one without listeners of its own is
/// served at all listeners of its server that speak HTTP. Sites are given to [`Builder::site`](crate::Builder::site), or added to a
/// server that runs by [`Handle::add_site`](crate::Handle::add_site).
///
/// ```
/// use lws_server::{Route, Server, Site, http::Response};
///
/// let mut wiki = Site::new();
/// wiki.settings.names = ["wiki.example", "*.wiki.example"].into();
/// wiki.routes.push(Route::get("/", |_| Response::text("the wiki")));
///
/// let server = Server::builder().listen("127.0.0.1:0").get("/", |_| Response::text("everything else")).site(wiki);
/// # server.build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct Site {
    /// All of it but what it calls.
    pub settings: SiteSettings,
    /// What stands at which path. Two routes for one thing are refused.
    pub routes: Vec<Route>,
    /// What raw listeners of this site lead to, and at its HTTP listeners connections whose first bytes are no HTTP.
    pub raw: Option<Rc<dyn Endpoint>>,
}

/// The part of a [`Site`] that calls nothing, and so may be sent to every thread of a server.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SiteSettings {
    /// The names that it answers for.
    pub names: Names,
    /// Where it listens.
    pub listen: Vec<Bind>,
    /// What a peer can make the server hold or wait for, on connections of this site's listeners. Where several sites share a
    /// listener, those of the default one of them hold, or else those of the one with the name that comes first in the alphabet,
    /// in whatever order they came; so it is with [`versions`](Self::versions), [`upgrade_to_http2`](Self::upgrade_to_http2), the
    /// [`raw`](Site::raw) stream, what becomes of peers without TLS, and responses to requests for no site.
    pub limits: Limits,
    /// Which versions of HTTP its listeners speak without TLS.
    pub versions: Versions,
    /// Whether its listeners go to HTTP/2 where a client without TLS asks for it with `Upgrade: h2c`.
    pub upgrade_to_http2: bool,
    /// Compression of WebSocket messages. RFC 7692.
    pub deflate: Option<Deflate>,
    /// The options of routes that do not say otherwise.
    pub route_defaults: RouteOptions,
    /// Field lines of every response, also to requests that no route answers: see also
    /// [`RouteOptions::fields`](crate::RouteOptions::fields).
    pub fields: Vec<(Cow<'static, str>, Cow<'static, str>)>,
    /// How long `Strict-Transport-Security` tells browsers to come by TLS only. RFC 6797.
    pub strict_transport_security: Option<Duration>,
    /// Whether responses give browsers the strict rules of a server that embeds nothing of other sites and may not be embedded:
    /// see [`Builder::security_best_practices`](crate::Builder::security_best_practices).
    pub security_best_practices: bool,
    /// What the responses say that report an error. Default: a line of plain text, or what the client asks for. The engine's own
    /// refusals, of requests that it cannot understand, are rendered by that of the site whose [`limits`](Self::limits) hold.
    pub errors: Option<ErrorRenderer>,
    /// Which peers of its listeners are proxies that say first whom they stand for. Where several sites share a listener, that of the
    /// site whose [`limits`](Self::limits) hold counts. Default `None`.
    #[cfg(feature = "proxies")]
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// The names that a site answers for. RFC 9110 §7.4.
///
/// A request is for the site that has its name; or else for the one with the longest `*.parent` that stands for it; or else for the
/// default site of the listener, which is the first one that has no names or says [`any`](Self::any). Case does not count, nor does the
/// dot of the root. What no site answers for is answered 421.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Names {
    /// Names without ports: `example.com`, `[::1]`, and `*.example.com` for everything below `example.com`.
    pub listed: Vec<String>,
    /// Every name that no other site has is served, at listeners too that only this machine reaches: see
    /// [`Builder::any_host`](crate::Builder::any_host).
    pub any: bool,
}

impl<N: Into<String>, const COUNT: usize> From<[N; COUNT]> for Names {
    fn from(names: [N; COUNT]) -> Self {
        Self { listed: names.into_iter().map(Into::into).collect(), any: false }
    }
}

/// Where a site listens. Sites that name the same address share a listener, whose socket and TLS are those of the site that has
/// opened it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Bind {
    /// `127.0.0.1:7681`, `localhost:0` (every address of the name; port 0 lets the system choose), `unix:/run/server.sock`.
    pub address: String,
    /// What its connections speak.
    pub speaks: Speaks,
    /// TLS on its connections.
    pub tls: Option<tls::Listen>,
    /// Options of the socket; `None` for those of the server, [`Builder::listen_options`](crate::Builder::listen_options).
    pub options: Option<ListenOptions>,
    /// Where its addresses stand among those of the server.
    pub(crate) order: usize,
}

/// What the connections of a listener speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Speaks {
    /// HTTP, and WebSocket by its opening handshake. Where the site has [`raw`](Site::raw), what cannot be HTTP is a raw stream.
    #[default]
    Http,
    /// A raw stream from the first byte, which [`raw`](Site::raw) gets.
    Raw,
}

impl Site {
    /// Nothing anywhere.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Bind {
    /// HTTP without TLS at `address`.
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), speaks: Speaks::default(), tls: None, options: None, order: 0 }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { settings, routes, raw } = self;
        let mut debug = f.debug_struct("Site");
        debug.field("settings", settings).field("routes", routes).field("raw", &raw.is_some()).finish()
    }
}
