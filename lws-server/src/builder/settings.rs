//! How a site and its server behave: names, origins, limits, sizes, and what the program wants to hear.

use super::Builder;
use crate::files::ErrorDocuments;
use crate::http::{ErrorRenderer, RenderError};
use crate::route::RouteOptions;
use crate::route::guard::Gate;
use crate::server::options::ServerOptions;
use crate::server::peers::PeerLimits;
use crate::site::Names;
use crate::site::origins::Origins;
#[cfg(feature = "proxies")]
use crate::site::proxy_protocol::ProxyProtocol;
use crate::thread::access::AccessRecord;
use crate::thread::panics::PanicRecord;
use crate::{Peer, tls, ws};
use lws_files::PoolOptions;
use lws_loop_external::{DriverOptions, ListeningSocket};
use lws_proto::{Cause, Limits, Versions};
use std::borrow::Cow;
use std::rc::Rc;
#[cfg(feature = "record")]
use std::sync::Arc;
use std::time::Duration;

impl Builder {
    /// A name that the server answers for: `example.com`, `[::1]`, or `*.example.com` for all names below `example.com`; without a
    /// port, which does not count. May be called again for more. A request for a name that no site has is answered 421. Without
    /// a call every name is served, but on listeners that only this machine reaches.
    ///
    /// Those, on loopback addresses and Unix sockets, answer for `localhost`, for loopback addresses and for the names given
    /// here, and for no other: a web page can have its own name mean a loopback address, and would reach the server from every
    /// browser on the machine ("DNS rebinding"). A listener on all interfaces, `0.0.0.0` or `::`, is not one of them; and with TLS
    /// it is the certificate that keeps such pages out.
    #[doc(alias = "vhost_name")]
    pub fn host(mut self, name: &str) -> Self {
        self.names().listed.push(name.into());
        self
    }

    /// Serves every name, on listeners that only this machine reaches, too: for a server behind a proxy that looks at names
    /// itself, or whose handlers do.
    pub fn any_host(mut self) -> Self {
        self.names().any = true;
        self
    }

    fn names(&mut self) -> &mut Names {
        &mut self.site.settings.names
    }

    /// Lets pages of this server's own origin open WebSockets and ask with methods that are not safe, and refuses those of every
    /// other with 403: see [`Origins`]. [`origins`](Self::origins) adds others. It holds for all routes that do not say otherwise
    /// ([`Route::origins`](crate::Route::origins)).
    pub fn same_origin(mut self) -> Self {
        let origins = self.routes().origins.take().unwrap_or_default();
        self.routes().origins = Some(origins.and_same());
        self
    }

    /// Lets pages of these origins, such as `https://example.com`, open WebSockets and ask with methods that are not safe, and
    /// refuses those of every other with 403. `null` stands for pages without an origin. It adds to what was said before; see
    /// [`same_origin`](Self::same_origin).
    pub fn origins<'o>(mut self, origins: impl IntoIterator<Item = &'o str>) -> Self {
        for origin in origins {
            let known = self.routes().origins.take().unwrap_or_default();
            self.routes().origins = Some(known.and(origin));
        }
        self
    }

    /// Lets pages of every origin ask, in spite of what was said before. The default.
    pub fn any_origin(mut self) -> Self {
        self.routes().origins = Some(Origins::Any);
        self
    }

    /// Has a gate asked first about each request and opening handshake, on all routes that have none of their own: see
    /// [`Guard`](crate::Guard).
    #[doc(alias = "LWS_CALLBACK_HTTP_INTERCEPTOR_CHECK")]
    pub fn interceptor(mut self, gate: Gate) -> Self {
        self.routes().interceptor = Some(gate);
        self
    }

    /// Has a gate asked about each request and opening handshake, on all routes that have none of their own: for a password, say
    /// (`auth::Basic`).
    #[doc(alias = "LWS_CALLBACK_VERIFY_BASIC_AUTHORIZATION")]
    pub fn authentication(mut self, gate: Gate) -> Self {
        self.routes().authentication = Some(gate);
        self
    }

    /// The options of routes that do not say otherwise.
    fn routes(&mut self) -> &mut RouteOptions {
        &mut self.site.settings.route_defaults
    }

    /// Sets the options of routes that do not say otherwise.
    pub fn route_defaults(mut self, options: RouteOptions) -> Self {
        *self.routes() = options;
        self
    }

    /// Sets everything that holds for the server as a whole.
    pub fn options(mut self, options: ServerOptions) -> Self {
        self.options = options;
        self
    }

    /// What a peer can make the server hold or wait for. [`build`](Self::build) refuses those that are out of their range.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.site.settings.limits = limits;
        self
    }

    /// Has `renderer` say what the responses look like that report an error: those of the server, of its helpers, and of the engine. See
    /// [`RenderError`].
    pub fn errors(mut self, renderer: impl RenderError) -> Self {
        self.site.settings.errors = Some(ErrorRenderer::new(renderer));
        self
    }

    /// Sends files with responses that report an error, in place of the server's own words: see [`ErrorDocuments`]. They take the place of
    /// what [`errors`](Self::errors) was given.
    #[doc(alias = "error_page")]
    pub fn error_documents(mut self, documents: ErrorDocuments) -> Self {
        self.site.settings.errors = Some(documents.into());
        self
    }

    /// Believes proxies in front of the listeners that say by the PROXY protocol whom they stand for: see [`ProxyProtocol`].
    #[cfg(feature = "proxies")]
    #[doc(alias = "send-proxy")]
    pub fn proxy_protocol(mut self, proxies: impl Into<ProxyProtocol>) -> Self {
        self.site.settings.proxy_protocol = Some(proxies.into());
        self
    }

    /// Which versions of HTTP are spoken without TLS. Both, unless this says otherwise. With TLS it is what ALPN has chosen
    /// of the protocols that `tls::ServerBuilder::alpn` names.
    #[doc(alias = "LWS_SERVER_OPTION_H2_PRIOR_KNOWLEDGE")]
    pub fn versions(mut self, versions: Versions) -> Self {
        self.site.settings.versions = versions;
        self
    }

    /// Goes to HTTP/2 where a client without TLS asks for it with `Upgrade: h2c`. Off unless this is called: see
    /// [`Config::upgrade_to_http2`](lws_proto::Config::upgrade_to_http2).
    pub fn upgrade_to_http2(mut self) -> Self {
        self.site.settings.upgrade_to_http2 = true;
        self
    }

    /// Bytes of content that a request may have where its factory returns a [`Response`](crate::http::Response), and so needs it
    /// gathered. Default 1 MiB. Past it: 413.
    pub fn content_bytes_max(mut self, bytes: usize) -> Self {
        self.routes().content_bytes_max = Some(bytes);
        self
    }

    /// Bytes of content that a request must bring in each [`Limits::content_period`], in place of [`Limits::content_bytes_min`]: 0 for
    /// uploads that somebody types, which may take their time. `None`, the default, is what the limits say.
    pub fn content_bytes_min(mut self, bytes: Option<usize>) -> Self {
        self.routes().content_bytes_min = bytes;
        self
    }

    /// Lets exchanges go on whose peers have ended their direction, however long they are sent nothing: see
    /// [`http::Handler::peer_ended`](crate::http::Handler::peer_ended). Default off, as most such peers have left.
    pub fn keep_half_closed(mut self, keep: bool) -> Self {
        self.routes().keep_half_closed = Some(keep);
        self
    }

    /// The most connections at a time, of each thread. Default: the limit of open files, less 32, which several threads
    /// share evenly. At the last one the listeners pause.
    #[doc(alias = "fd_limit_per_thread")]
    pub fn connections_max(mut self, connections: usize) -> Self {
        self.options.driver.connections_max = Some(connections);
        self
    }

    /// Bytes that the server holds for its peers, on all threads together: content that is gathered, messages that are put together, output
    /// that is queued, compression contexts, and so on. Default 256 MiB. Past it new work is refused: requests with 503,
    /// streams of HTTP/2 with REFUSED_STREAM, messages with close code 1013; what is there goes on. What one connection may
    /// hold is [`Limits::held_bytes_max`].
    pub fn held_bytes_max(mut self, bytes: usize) -> Self {
        self.options.held_bytes_max = bytes;
        self
    }

    /// Files that each thread keeps open for transfers whose peers take nothing, which count against the limit of open files with the
    /// connections. Default 64, or an eighth of that limit if this is less; one connection has an eighth of them. Small files are
    /// read whole and never held open. A transfer past it has its file closed, and finds it again when its peer takes more.
    pub fn open_files_max(mut self, files: usize) -> Self {
        self.options.open_files_max = Some(files.max(1));
        self
    }

    /// Limits what one peer may have: connections, new connections in a second, requests at a time.
    #[doc(alias = "ip_limit_wsi")]
    pub fn peer_limits(mut self, limits: PeerLimits) -> Self {
        self.options.peers = limits;
        self
    }

    /// The threads that wait for disks, of the whole server, and how many lookups and reads may wait for them: see [`Files`].
    ///
    /// [`Files`]: crate::files::Files
    pub fn disk(mut self, options: PoolOptions) -> Self {
        self.options.disk = options;
        self
    }

    /// How many threads do what handlers hand to [`Context::work`](crate::Context::work), for all threads of the server together, and how
    /// much may wait for them. Default: 4 threads, 256 jobs that wait. They are started when there is work.
    pub fn work(mut self, options: PoolOptions) -> Self {
        self.options.work = options;
        self
    }

    /// Sockets that listen already, for listeners of the same addresses: from a service manager ("socket activation") or from the process
    /// whose place this one takes. A listener takes the one for its address, and is bound anew if there is none; several of one
    /// address are for several threads with [`ListenOptions::reuse_port`](crate::ListenOptions::reuse_port). Of its options hold those of the connections.
    ///
    /// ```
    /// use lws_server::{ListeningSocket, Server, http::Response};
    ///
    /// let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// let address = listener.local_addr()?;
    /// let server = Server::builder()
    ///     .listening_sockets([ListeningSocket::adopt(listener.into())?])
    ///     .listen(&address.to_string())
    ///     .get("/", |_| Response::text("hello"))
    ///     .build()?;
    /// assert_eq!(server.local_addr(), Some(address));
    /// assert!(server.unclaimed_sockets().is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "lws_adopt_descriptor_vhost")]
    pub fn listening_sockets(self, sockets: impl IntoIterator<Item = ListeningSocket>) -> Self {
        self.options.inherited.add(sockets);
        self
    }

    /// Sizes and budgets of the service.
    pub fn driver_options(mut self, options: DriverOptions) -> Self {
        self.options.driver = options;
        self
    }

    /// Options of the client that each thread has: its pool, its limits, TLS, proxies.
    #[cfg(feature = "client")]
    pub fn client_options(mut self, options: crate::client::Options) -> Self {
        self.options.client = options;
        self
    }

    /// Shares topics with other processes by a broker: see [`broker`](crate::broker).
    #[cfg(feature = "broker")]
    pub fn broker(mut self, broker: crate::broker::BrokerOptions) -> Self {
        self.options.broker = Some(broker);
        self
    }

    /// How long what is going on may take to end after [`Handle::drain`](crate::Handle::drain). Default 10 s.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.options.drain_timeout = timeout;
        self
    }

    /// Lets the server have no listener: for one that is there for its client, its UDP sockets, or what it adopts.
    pub fn may_listen_nowhere(mut self) -> Self {
        self.options.may_listen_nowhere = true;
        self
    }

    /// Bounds the messages that wait for slow WebSockets of each route, and sets the policy for those that fall behind.
    pub fn backlog(mut self, backlog: ws::Backlog) -> Self {
        self.routes().backlog = Some(backlog);
        self
    }

    /// How much of what is published to a topic waits for slow subscribers, by the name of the topic. It is called for the first subscriber
    /// of a topic. Default: [`ws::Backlog::default`] for every topic.
    pub fn topic_backlog(mut self, backlog: impl Fn(&str) -> ws::Backlog + 'static) -> Self {
        self.observers.topic_backlog = Some(Rc::new(backlog));
        self
    }

    /// Topics that one WebSocket may subscribe to. Default 256: peers choose them in many applications. Past it:
    /// [`SubscribeError::TooMany`](crate::SubscribeError::TooMany).
    pub fn subscriptions_max(mut self, subscriptions: usize) -> Self {
        self.options.subscriptions_max = subscriptions;
        self
    }

    /// Has `log` called once per request, on the thread that answered: it should not wait.
    #[doc(alias = "lws_access_log")]
    pub fn access_log(mut self, log: impl Fn(&AccessRecord<'_>) + 'static) -> Self {
        self.observers.log = Some(Box::new(log));
        self
    }

    /// Writes a record of each accepted connection into `folder`, or of those of one peer, as it says. Each costs a descriptor or two,
    /// and time: it is for finding out, and not for every day.
    #[cfg(feature = "record")]
    pub fn record(mut self, folder: lws_record::Folder) -> Self {
        self.options.recorder = Some(Arc::new(folder));
        self
    }

    /// Has `on_accept` called for each connection that a listener has accepted, before its first octet is read, on the thread that serves it. Its
    /// `false` cuts the connection off: the place for lists of addresses, and for counting what one address has open.
    ///
    /// It should not wait. With TLS the handshake follows; see [`on_tls`](Self::on_tls).
    #[doc(alias = "LWS_CALLBACK_FILTER_NETWORK_CONNECTION")]
    pub fn on_accept(mut self, on_accept: impl Fn(&Peer) -> bool + 'static) -> Self {
        self.observers.on_accept = Some(Box::new(on_accept));
        self
    }

    /// Has `on_panic` called for each panic of a handler, a factory or another callback, on the thread where it was. The panic hook of
    /// the process has been called before; by default that writes to standard error.
    ///
    /// Where panics unwind, one ends the stream that it is about and nothing else: a request that has not been answered gets a
    /// 500, a WebSocket close code 1011, and everything else is cut off. The handler is dropped, and not called again, not even to
    /// [`close`](crate::http::Handler::close). One in what was posted to the server ends nothing. Where panics abort, as a program
    /// may say in its profile, one ends the process.
    pub fn on_panic(mut self, on_panic: impl Fn(&PanicRecord<'_>) + 'static) -> Self {
        self.observers.on_panic = Some(Box::new(on_panic));
        self
    }

    /// Has `on_sent_away` called once for each connection whose HTTP/2 peer got a GOAWAY for what it did, when it has ended,
    /// on the server's thread: the rule that the peer broke, or the limit or deadline that it met.
    pub fn on_sent_away(mut self, on_sent_away: impl Fn(&Peer, Cause) + 'static) -> Self {
        self.observers.on_sent_away = Some(Box::new(on_sent_away));
        self
    }

    /// Has `on_tls` called for each handshake that is done and each that failed, on the server's thread. Its `false`
    /// refuses a peer whose handshake is done; otherwise it counts for nothing.
    #[doc(alias = "ssl_info_event_mask")]
    pub fn on_tls(mut self, on_tls: impl Fn(&Peer, tls::Event<'_>) -> bool + 'static) -> Self {
        self.observers.on_tls = Some(Box::new(on_tls));
        self
    }

    /// Sends a field line with every response, also to requests that no route answers: see
    /// [`SiteSettings::fields`](crate::SiteSettings::fields).
    #[doc(alias = "lws_http_mount_headers")]
    pub fn field(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.site.settings.fields.push((name.into(), value.into()));
        self
    }

    /// Sends `Strict-Transport-Security` with every response over TLS: for this long browsers will come by `https` only,
    /// for the names below the host's, too. Off unless this is called, as it cannot be taken back. RFC 6797.
    #[doc(alias = "LWS_SERVER_OPTION_STS")]
    pub fn strict_transport_security(mut self, max_age: Duration) -> Self {
        self.site.settings.strict_transport_security = Some(max_age);
        self
    }

    /// Sends with every response what a server should tell browsers that embeds nothing of other sites and may not be embedded: a strict `Content-Security-Policy`, `Referrer-Policy`, `X-Content-Type-Options`, `X-Frame-Options`. Off
    /// unless this is called; pages with inline scripts or styles do not work with it.
    #[doc(alias = "LWS_SERVER_OPTION_HTTP_HEADERS_SECURITY_BEST_PRACTICES_ENFORCE")]
    pub fn security_best_practices(mut self) -> Self {
        self.site.settings.security_best_practices = true;
        self
    }
}
