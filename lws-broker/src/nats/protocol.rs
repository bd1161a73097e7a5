//! Where the servers of NATS are, and how they are used: lives across connections.

use super::info::{Credentials, is_address};
use super::session::NatsSession;
use super::stream::StreamOptions;
use super::subject::SubjectPrefix;
use crate::servers::{SERVERS_MAX, ServerList};
use crate::session::{Endpoint, Protocol, Security, Session};
use lws_proto::Time;
use std::fmt;
use std::sync::Arc;

/// Whether TLS is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// It is not; a server that requires it is not used.
    #[default]
    Off,
    /// It is, from behind the server's first line on; a server that offers none is not used.
    Required,
    /// It is, from the first octet on, as servers from 2.10.4 on are configured with `handshake_first`.
    First,
}

/// How servers of NATS are used.
#[derive(Clone, Debug)]
pub struct NatsOptions {
    /// User and password, or token.
    pub credentials: Credentials,
    /// Whether TLS is used.
    pub tls: Tls,
    /// Whether what this process publishes comes back to it by the server, so that it hears its own messages when others can.
    /// Otherwise they are delivered at once. The messages of each publisher have an order either way; between publishers a server has
    /// none, and each process may hear another one. Default false.
    pub echo: bool,
    /// What this process is called in the server's monitoring.
    pub name: Box<str>,
    /// What the subjects of topics begin with. Processes that share topics have the same.
    pub prefix: SubjectPrefix,
    /// Whether JetStream keeps messages for recovery. All processes of a prefix have to agree. Default `None`: at most once.
    pub history: Option<StreamOptions>,
    /// The largest message in octets, headers of others included, that is received; what is larger counts as lost. Default 1 MiB, as of the
    /// server. A publication has to fit into it, too.
    pub message_bytes_max: usize,
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self {
            credentials: Credentials::None,
            tls: Tls::Off,
            echo: false,
            name: "lws-broker".into(),
            prefix: SubjectPrefix::default(),
            history: None,
            message_bytes_max: 1 << 20,
        }
    }
}

/// No server was named, more than 64 were, or one is no `host:port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoServer;

impl fmt::Display for NoServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "servers of NATS are 1 to {SERVERS_MAX} addresses like `host:4222`, those of IPv6 in brackets"
        )
    }
}

impl std::error::Error for NoServer {}

/// The protocol of NATS.
///
/// ```
/// use lws_broker::nats::{Nats, NatsOptions};
/// use lws_broker::{Endpoint, Protocol};
///
/// let mut nats = Nats::new(&["a.example:4222", "b.example:4222"], NatsOptions::default())?;
/// assert!(matches!(nats.endpoint(), Endpoint::Tcp { host, port: 4222, .. } if host == "a.example"));
/// assert!(matches!(nats.endpoint(), Endpoint::Tcp { host, .. } if host == "b.example"));
/// # Ok::<(), lws_broker::nats::NoServer>(())
/// ```
#[derive(Clone, Debug)]
pub struct Nats {
    options: Arc<NatsOptions>,
    servers: ServerList,
}

impl Nats {
    /// Uses the servers with these addresses, `host:port`, in turn.
    ///
    /// # Errors
    /// There is no address, or more than 64, or one is none.
    pub fn new(servers: &[&str], options: NatsOptions) -> Result<Self, NoServer> {
        if !servers.iter().all(|server| is_address(server)) {
            return Err(NoServer);
        }
        let named = servers.iter().filter_map(|server| endpoint(server, options.tls)).collect();
        let servers = ServerList::new(named).map_err(|_| NoServer)?;
        Ok(Self { options: Arc::new(options), servers })
    }
}

impl Protocol for Nats {
    fn endpoint(&mut self) -> Endpoint {
        self.servers.next()
    }

    fn session(&mut self, _now: Time) -> Box<dyn Session> {
        Box::new(NatsSession::new(Arc::clone(&self.options)))
    }

    fn learn(&mut self, endpoints: Vec<Endpoint>) {
        self.servers.learn(endpoints);
    }
}

fn endpoint(address: &str, tls: Tls) -> Option<Endpoint> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let tls = match tls {
        Tls::Off => Security::Plain,
        Tls::Required => Security::TlsLater,
        Tls::First => Security::Tls,
    };
    Some(Endpoint::Tcp { host: host.to_owned(), port: port.parse().ok()?, tls })
}

/// The servers of a cluster that can be used. With TLS those with a name: a certificate is that of a name, and servers mostly name
/// their addresses.
pub(super) fn server_endpoints(addresses: &[Box<str>], tls: Tls) -> Vec<Endpoint> {
    let endpoints = addresses.iter().filter_map(|address| endpoint(address, tls));
    let is_name = |host: &str| host.parse::<std::net::IpAddr>().is_err();
    endpoints
        .filter(|endpoint| match endpoint {
            Endpoint::Tcp { host, .. } => tls == Tls::Off || is_name(host),
            Endpoint::Unix(_) => false,
        })
        .collect()
}
