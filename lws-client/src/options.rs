//! The options of a client, and of a single request.

use crate::proxy::{Proxy, ProxyRules};
use crate::redirect::RedirectRules;
use crate::retry::RetryRules;
use crate::tls::Tls;
use lws_loop_external::Address;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The limits and deadlines of a client. Every growth that peers or the application can cause has its limit here or in
/// [`lws_proto::Limits`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// HTTP/1.1 connections to one origin. Default 6, as in browsers. Those of WebSockets do not count.
    pub per_host_max: usize,
    /// All connections, including idle ones, but not those of WebSockets. Default 100. Past it an idle one is closed.
    pub connections_max: usize,
    /// Connections that WebSockets over HTTP/1.1 have taken along, of all origins. Default 1,000. One more waits for
    /// [`wait_timeout`](Self::wait_timeout) until another one has ended.
    pub websockets_max: usize,
    /// How long a connection may be idle and be used again. Default 60 s, or a second less than the server says in `Keep-Alive:
    /// timeout=`. RFC 2068 §19.7.1.1.
    #[doc(alias = "CURLOPT_MAXAGE_CONN")]
    pub idle_timeout: Duration,
    /// How long a connection may be idle and be used for a request that must not be sent twice, if the server has sent
    /// no `Keep-Alive`: many servers close after 5 s. Default 4 s.
    pub careful_idle_timeout: Duration,
    /// The age after which a connection is not used again, so that changes of the network take effect. Default 24
    /// h.
    #[doc(alias = "CURLOPT_MAXLIFETIME_CONN")]
    pub life_max: Duration,
    /// Requests on one connection. Default 1,000.
    pub requests_per_connection_max: u32,
    /// Requests at a time on one HTTP/2 connection, beyond which another connection is made or waited for. Default 100; the
    /// server's own limit is kept as well.
    pub streams_max: u32,
    /// Requests that wait for a connection. Default 1,024. One more fails with
    /// [`Cause::TooManyWaiting`](crate::Cause::TooManyWaiting).
    pub waiting_max: usize,
    /// How long a request waits for a connection while as many are in use as may. Default 30 s.
    pub wait_timeout: Duration,
    /// Requests and WebSockets that a client has at a time, in all stages. Default 10,000.
    pub exchanges_max: usize,
    /// How long requests wait for the first connection to an origin before a second one is made, since one is enough if
    /// its protocol turns out to be HTTP/2. Default 250 ms.
    pub protocol_wait: Duration,
    /// How long the protocol of an origin is remembered, and that it answered 421 ([`Options::coalesce`]). Default 24 h.
    pub protocol_memory: Duration,
    /// The number of origins whose protocol is remembered, and of those that answered 421. Default 1,024 of each.
    pub protocols_remembered_max: usize,
    /// How long a server may take to say 100 before the content is sent all the same. Default 1 s. RFC 9110 §10.1.1.
    #[doc(alias = "CURLOPT_EXPECT_100_TIMEOUT_MS")]
    pub continue_timeout: Duration,
    /// From how many bytes on content waits for 100. Default 1 MiB; content of unknown length waits, too.
    pub expect_bytes_min: u64,
    /// Bytes of unwanted response content that are read so that the connection can be used again. Default 64 KiB.
    pub discard_bytes_max: u64,
    /// How long reading unwanted content may take. Default 1 s.
    pub discard_timeout: Duration,
    /// Origins beside its own for which one HTTP/2 connection is used, if [`Options::coalesce`] allows that. Default 64.
    pub coalesced_origins_max: usize,
    /// How long a proxy may take to make a tunnel. Default 15 s.
    pub proxy_timeout: Duration,
    /// Retries for a hundred requests, beyond the first ten. Default 20.
    pub retry_percent: u32,
    /// Bytes that decompressed content may have for each byte of the wire. Default 100, above what text comes to; DEFLATE could do
    /// 1,032.
    pub decoded_ratio_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_host_max: 6,
            connections_max: 100,
            websockets_max: 1_000,
            idle_timeout: Duration::from_secs(60),
            careful_idle_timeout: Duration::from_secs(4),
            life_max: Duration::from_secs(24 * 60 * 60),
            requests_per_connection_max: 1_000,
            streams_max: 100,
            waiting_max: 1_024,
            wait_timeout: Duration::from_secs(30),
            exchanges_max: 10_000,
            protocol_wait: Duration::from_millis(250),
            protocol_memory: Duration::from_secs(24 * 60 * 60),
            protocols_remembered_max: 1_024,
            continue_timeout: Duration::from_secs(1),
            expect_bytes_min: 1 << 20,
            discard_bytes_max: 64 << 10,
            discard_timeout: Duration::from_secs(1),
            coalesced_origins_max: 64,
            proxy_timeout: Duration::from_secs(15),
            retry_percent: 20,
            decoded_ratio_max: 100,
        }
    }
}

/// The options of a client.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// What it may hold and how long it waits.
    pub limits: Limits,
    /// The engine's limits for its connections: silence and dead peers, sizes of heads, windows.
    /// [`response_timeout`](lws_proto::Limits::response_timeout) is the first byte, 60 s, and
    /// [`between_bytes_timeout`](lws_proto::Limits::between_bytes_timeout) the silence in a response, 60 s.
    pub engine: lws_proto::Limits,
    /// How connections are made: deadlines, socket options. `tls` and `speak` are the client's own to set.
    pub connect: lws_loop_external::ConnectOptions,
    /// TLS for `https` and `wss`. Default the roots of the system.
    pub tls: Tls,
    /// Proxies. Default none, whatever the environment says.
    pub proxies: ProxyRules,
    /// Hosts and ports that are found elsewhere. They are looked at in order; port 0 is any.
    #[doc(alias = "CURLOPT_RESOLVE")]
    #[doc(alias = "CURLOPT_CONNECT_TO")]
    pub resolve: Vec<Override>,
    /// Whether an HTTP/2 connection is used for other origins as well: of the same scheme and port, with the same TLS, to whose host the
    /// server's certificate applies and whose name resolves to the address of the connection. Default no, as there are servers that
    /// answer for the wrong site, or 404, in place of 421. What is answered 421 is asked once more on a connection of its own, and its origin
    /// shares none for [`Limits::protocol_memory`]. RFC 9113 §9.1.1.
    pub coalesce: bool,
    /// What each request has unless it says otherwise.
    pub request: RequestOptions,
    /// The value of `User-Agent`. Default none is sent.
    pub user_agent: Option<String>,
}

/// A host and port that are found elsewhere. The `Host` field and the name in TLS stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The host of a URL, without brackets.
    pub host: String,
    /// Its port, or 0 for any.
    pub port: u16,
    /// Where it is found: the best first, they race.
    pub addresses: Vec<Address>,
}

/// Which versions of HTTP are spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Versions {
    /// With TLS what ALPN chooses, without it HTTP/1.1.
    #[default]
    Any,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, without TLS by prior knowledge. RFC 9113 §3.3.
    Http2,
}

/// How a request begins that has content. RFC 9110 §10.1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Expect {
    /// Long content waits for 100: see [`Limits::expect_bytes_min`].
    #[default]
    Auto,
    /// Content waits for 100.
    Always,
    /// It does not.
    Never,
}

/// What one request decides.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RequestOptions {
    /// From the beginning to the end, redirects and retries included. Default none: the silence of a peer is bounded anyway.
    #[doc(alias = "CURLOPT_TIMEOUT_MS")]
    pub timeout: Option<Duration>,
    /// From the request to the head of its response, where that is less than the engine's 60 s.
    pub first_byte_timeout: Option<Duration>,
    /// Which redirects are followed. Default none.
    pub redirects: RedirectRules,
    /// What is sent again.
    pub retry: RetryRules,
    /// Says that the request may be sent twice although its method does not: it carries a key of its own, for instance.
    pub repeatable: bool,
    /// Whether content waits for 100.
    pub expect: Expect,
    /// Which versions of HTTP are spoken.
    pub versions: Versions,
    /// TLS in place of the client's.
    pub tls: Option<Tls>,
    /// A proxy in place of what the client's rules say; `Some(None)` is none.
    pub proxy: Option<Option<Proxy>>,
    /// The address of this side.
    pub bind: Option<SocketAddr>,
    /// The network interface to use.
    pub bind_device: Option<String>,
    /// Where the connection goes to in place of the host, such as a Unix socket.
    #[doc(alias = "CURLOPT_UNIX_SOCKET_PATH")]
    pub connect_to: Option<Address>,
    /// Requests with different tags share no connection.
    pub isolation: Option<Arc<str>>,
    /// Whether compressed content is asked for and decompressed, where the feature `decompress` is on. Default no.
    pub decompress: bool,
    /// User and password for a server that asks for Digest.
    #[cfg(feature = "digest")]
    pub digest: Option<crate::digest::Credentials>,
}
