//! The server's side: virtual hosts by the name that a client asks for, and their certificates, which can be changed while
//! connections go on.

use crate::identity::Identity;
use crate::names::{Choice, ticketer};
use crate::session::RustlsSession;
use crate::verify::Noting;
use crate::{Certificate, ConfigError, KeyLog, Roots};
use lws_loop_external::tls::{Failure, ListenTls, Provider, Session};
use rustls::ServerConfig;
use rustls::pki_types::{DnsName, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ServerSessionMemoryCache, StoresServerSessions,
    WebPkiClientVerifier,
};
use rustls::sign::SingleCertAndKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// TLS of a server: its virtual hosts. Clones are the same server, also on other threads.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    described: Vec<Described>,
    unknown: UnknownName,
    key_log: KeyLog,
    table: RwLock<Arc<Table>>,
}

/// A host as it was described, with what outlives its certificates.
struct Described {
    /// `None` is the default one.
    name: Option<Box<str>>,
    host: Host,
    memory: Memory,
}

/// What knows earlier sessions again.
#[derive(Clone)]
struct Memory {
    tickets: Option<Arc<dyn ProducesTickets>>,
    sessions: Arc<dyn StoresServerSessions>,
}

impl Memory {
    fn new(resumption: Resumption) -> Result<Self, ConfigError> {
        let sessions: Arc<dyn StoresServerSessions> = match resumption {
            Resumption::Cache(sessions) => ServerSessionMemoryCache::new(sessions),
            Resumption::Tickets | Resumption::Off => Arc::new(NoServerSessionStorage {}),
        };
        Ok(Self { tickets: (resumption == Resumption::Tickets).then(ticketer).transpose()?, sessions })
    }
}

/// The configurations in use.
#[derive(Default)]
pub(crate) struct Table {
    default: Option<Arc<ServerConfig>>,
    exact: HashMap<Box<str>, Arc<ServerConfig>>,
    /// By what is behind the `*.`.
    below: HashMap<Box<str>, Arc<ServerConfig>>,
    unknown: UnknownName,
    certificates: Vec<Certificate>,
}

/// What becomes of a client that asks for a name which no host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UnknownName {
    /// The default host answers it, and its certificate will not fit. The default.
    #[default]
    Default,
    /// It is refused with the alert `unrecognized_name`. RFC 6066 §3. A client that asks for no name gets the default
    /// host all the same.
    Refuse,
}

/// What a host wants of its clients. A resumed session has the certificate of its first handshake, which is not looked at
/// again: see [`Resumption`].
#[derive(Clone, Debug, Default)]
pub enum ClientCertificates {
    /// No certificate.
    #[default]
    None,
    /// A certificate, if they have one that these roots have issued. One that is shown has to be good.
    Request(Roots),
    /// A certificate that these roots have issued.
    #[doc(alias = "LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT")]
    Require(Roots),
}

/// How sessions are resumed. RFC 8446 §2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// With tickets that the client keeps, two for each handshake, sealed with a key that changes every six hours and is
    /// good for six more. The server keeps nothing. The default.
    Tickets,
    /// With sessions that the server keeps: so many at most, and the oldest goes.
    Cache(usize),
    /// Not at all.
    Off,
}

/// One virtual host: a certificate, and what is spoken with it.
#[doc(alias = "lws_vhost")]
#[derive(Clone, Debug)]
pub struct Host {
    source: Source,
}

#[derive(Clone)]
enum Source {
    Described(Box<Options>),
    Ready(Arc<ServerConfig>),
}

#[derive(Clone, Debug)]
struct Options {
    identity: Identity,
    choice: Choice,
    alpn: Option<Vec<Vec<u8>>>,
    clients: ClientCertificates,
    resumption: Resumption,
}

impl Host {
    /// A host with a certificate.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        let options = Options {
            identity,
            choice: Choice::default(),
            alpn: None,
            clients: ClientCertificates::None,
            resumption: Resumption::Tickets,
        };
        Self { source: Source::Described(Box::new(options)) }
    }

    /// A configuration made elsewhere, taken as it is: nothing that is said about the host changes it.
    #[doc(alias = "provided_client_ssl_ctx")]
    #[must_use]
    pub fn ready(config: Arc<ServerConfig>) -> Self {
        Self { source: Source::Ready(config) }
    }

    /// The versions that are spoken: `TLSv1.3`, `TLSv1.2`. Default both.
    #[must_use]
    pub fn versions(self, names: &[&str]) -> Self {
        self.with(|options| options.choice.versions = strings(names))
    }

    /// The cipher suites in order of preference, by their registered names: `TLS_AES_128_GCM_SHA256`. Default what the
    /// provider has.
    #[doc(alias = "ssl_cipher_list")]
    #[must_use]
    pub fn cipher_suites(self, names: &[&str]) -> Self {
        self.with(|options| options.choice.cipher_suites = strings(names))
    }

    /// The groups of the key exchange in order of preference, by their registered names: `x25519`, `secp256r1`. Default
    /// what the provider has.
    #[doc(alias = "ecdh_curve")]
    #[must_use]
    pub fn groups(self, names: &[&str]) -> Self {
        self.with(|options| options.choice.groups = strings(names))
    }

    /// The protocols in order of preference. RFC 7301. Default those of [`ServerBuilder::alpn`].
    #[must_use]
    pub fn alpn(self, protocols: &[&str]) -> Self {
        self.with(|options| options.alpn = Some(octets(protocols)))
    }

    /// What is wanted of clients. Default no certificate.
    #[must_use]
    pub fn client_certificates(self, clients: ClientCertificates) -> Self {
        self.with(|options| options.clients = clients)
    }

    /// How sessions are resumed. Default with tickets.
    #[must_use]
    pub fn resumption(self, resumption: Resumption) -> Self {
        self.with(|options| options.resumption = resumption)
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        if let Source::Described(options) = &mut self.source {
            change(options);
        }
        self
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Described(options) => options.fmt(f),
            Self::Ready(_) => f.write_str("Ready"),
        }
    }
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub(crate) fn octets(protocols: &[&str]) -> Vec<Vec<u8>> {
    protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect()
}

/// Describes the TLS of a server.
#[derive(Debug)]
#[must_use = "nothing is read before `build`"]
pub struct ServerBuilder {
    hosts: Vec<(Option<String>, Host)>,
    unknown: UnknownName,
    alpn: Vec<Vec<u8>>,
    key_log: KeyLog,
}

impl ServerBuilder {
    /// The host for clients that ask for no name, or for an unknown one.
    pub fn default_host(mut self, host: Host) -> Self {
        self.hosts.push((None, host));
        self
    }

    /// The host for a name: `example.com`; or for all names below one, at any depth: `*.example.com`. An exact name comes
    /// before a longer one with `*`, and that before a shorter one. RFC 6066 §3.
    #[doc(alias = "vhost_name")]
    pub fn host(mut self, name: &str, host: Host) -> Self {
        self.hosts.push((Some(name.to_owned()), host));
        self
    }

    /// What becomes of clients that ask for an unknown name. Default the default host.
    pub fn unknown_name(mut self, policy: UnknownName) -> Self {
        self.unknown = policy;
        self
    }

    /// The protocols in order of preference, for hosts that say nothing else. RFC 7301. Default `h2`, then `http/1.1`. A
    /// client that offers none gets what it speaks; one that offers only others is refused.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = octets(protocols);
        self
    }

    /// Where the secrets of sessions go. Default nowhere.
    pub fn key_log(mut self, key_log: KeyLog) -> Self {
        self.key_log = key_log;
        self
    }

    /// Reads every certificate and key.
    ///
    /// # Errors
    /// The first thing that was wrong.
    pub fn build(self) -> Result<Server, ConfigError> {
        if self.hosts.is_empty() {
            return Err(ConfigError::Inconsistent("a server needs a host with a certificate".into()));
        }
        let describe = |(name, mut host): (Option<String>, Host)| {
            let name = name.map(|name| normal_pattern(&name)).transpose()?;
            let mut resumption = Resumption::Off;
            if let Source::Described(options) = &mut host.source {
                options.alpn.get_or_insert_with(|| self.alpn.clone());
                resumption = options.resumption;
            }
            Ok(Described { name, host, memory: Memory::new(resumption)? })
        };
        let described = self.hosts.into_iter().map(describe).collect::<Result<Vec<_>, ConfigError>>()?;
        let table = Table::new(&described, self.unknown, &self.key_log)?;
        let table = RwLock::new(Arc::new(table));
        let shared = Shared { described, unknown: self.unknown, key_log: self.key_log, table };
        Ok(Server { shared: Arc::new(shared) })
    }
}

impl Server {
    /// Begins to describe the TLS of a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            hosts: Vec::new(),
            unknown: UnknownName::Default,
            alpn: octets(&["h2", "http/1.1"]),
            key_log: KeyLog::default(),
        }
    }

    /// One host, with a certificate chain and key in PEM files.
    ///
    /// # Errors
    /// They cannot be read, or do not belong together.
    pub fn from_files(
        certificates: impl AsRef<std::path::Path>,
        key: impl AsRef<std::path::Path>,
    ) -> Result<Self, ConfigError> {
        Self::builder().default_host(Host::new(Identity::files(certificates, key))).build()
    }

    /// Reads every file again. Handshakes from now on use what was read; connections go on as they are, and sessions and
    /// tickets stay good, but for those of hosts that want client certificates: whom they trust may be another now. Files
    /// are read on the calling thread.
    ///
    /// # Errors
    /// The first thing that was wrong: nothing has changed then.
    #[doc(alias = "lws_tls_cert_updated")]
    pub fn reload(&self) -> Result<(), ConfigError> {
        let table = Table::new(&self.shared.described, self.shared.unknown, &self.shared.key_log)?;
        *self.shared.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        Ok(())
    }

    /// The certificates that are shown now, in the order of the hosts: for whoever watches that they are renewed in time. One
    /// that has expired is shown all the same. Those of [`Host::ready`] are not known here.
    #[must_use]
    pub fn certificates(&self) -> Vec<Certificate> {
        self.table().certificates.clone()
    }

    fn table(&self) -> Arc<Table> {
        // It is only ever replaced as a whole, so it is good whatever happened to whoever held the lock.
        Arc::clone(&self.shared.table.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Provider for Server {
    fn session(&self) -> Result<Box<dyn Session>, Failure> {
        Ok(Box::new(RustlsSession::server(self.table())))
    }

    fn same_host(&self, asked: Option<&str>, host: &str) -> bool {
        let table = self.table();
        let named = matches!(ServerName::try_from(host), Ok(ServerName::DnsName(_)));
        match (table.config(asked), table.config(named.then_some(host))) {
            (Some(one), Some(other)) => Arc::ptr_eq(&one, &other),
            _ => false,
        }
    }
}

impl From<Server> for ListenTls {
    fn from(server: Server) -> Self {
        Self::new(Arc::new(server))
    }
}

impl From<&Server> for ListenTls {
    fn from(server: &Server) -> Self {
        server.clone().into()
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.shared.described.iter().map(|it| it.name.as_deref().unwrap_or("*"));
        f.debug_struct("Server").field("hosts", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Table {
    fn new(described: &[Described], unknown: UnknownName, key_log: &KeyLog) -> Result<Self, ConfigError> {
        let mut table = Self { unknown, ..Self::default() };
        for host in described {
            let config = host.config(key_log, &mut table.certificates)?;
            let doubled = match &host.name {
                None => table.default.replace(config).is_some(),
                Some(name) => match name.strip_prefix("*.") {
                    Some(parent) => table.below.insert(parent.into(), config).is_some(),
                    None => table.exact.insert(name.clone(), config).is_some(),
                },
            };
            if doubled {
                let name = host.name.as_deref().unwrap_or("the default one");
                return Err(ConfigError::Inconsistent(format!("two hosts with one name: {name}")));
            }
        }
        Ok(table)
    }

    /// The configuration for a name that a client asked for.
    pub(crate) fn config(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        let Some(name) = name else { return self.default.clone() };
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let mut parents = name.match_indices('.').map(|(dot, _)| &name[dot + 1..]);
        let named = self.exact.get(&*name).or_else(|| parents.find_map(|parent| self.below.get(parent)));
        match self.unknown {
            UnknownName::Default => named.or(self.default.as_ref()).cloned(),
            UnknownName::Refuse => named.cloned(),
        }
    }
}

impl Described {
    fn config(
        &self,
        key_log: &KeyLog,
        certificates: &mut Vec<Certificate>,
    ) -> Result<Arc<ServerConfig>, ConfigError> {
        let options = match &self.host.source {
            Source::Ready(config) => return Ok(Arc::clone(config)),
            Source::Described(options) => options,
        };
        let provider = options.choice.provider()?;
        let certified = options.identity.load(&provider)?;
        certificates
            .extend(certified.cert.first().and_then(|shown| Certificate::of(self.name.as_deref(), shown)));
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&options.choice.versions()?)?;
        let verifier = |roots: &Roots| {
            Ok::<_, ConfigError>(WebPkiClientVerifier::builder_with_provider(roots.load()?, provider))
        };
        let verifier: Option<Arc<dyn ClientCertVerifier>> = match &options.clients {
            ClientCertificates::None => None,
            ClientCertificates::Request(roots) => {
                Some(verifier(roots)?.allow_unauthenticated().build().map_err(inconsistent)?)
            }
            ClientCertificates::Require(roots) => Some(verifier(roots)?.build().map_err(inconsistent)?),
        };
        let builder = match verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(Noting(verifier))),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = options.alpn.clone().unwrap_or_default();
        config.key_log = Arc::clone(&key_log.0);
        // A resumption shows no certificate again, so that nobody would look at it with the roots of today.
        let memory = match options.clients {
            ClientCertificates::None => self.memory.clone(),
            _ => Memory::new(options.resumption)?,
        };
        config.session_storage = memory.sessions;
        if let Some(tickets) = memory.tickets {
            config.ticketer = tickets;
        }
        if options.resumption == Resumption::Off {
            config.send_tls13_tickets = 0;
        }
        Ok(Arc::new(config))
    }
}

fn inconsistent(error: rustls::client::VerifierBuilderError) -> ConfigError {
    ConfigError::Inconsistent(error.to_string())
}

/// Lower case, without the dot of the root.
fn normal_pattern(name: &str) -> Result<Box<str>, ConfigError> {
    let unknown =
        || ConfigError::Unknown { what: "such server name", name: name.to_owned(), known: Vec::new() };
    let host = name.strip_prefix("*.").unwrap_or(name);
    DnsName::try_from(host).map_err(|_| unknown())?;
    let name = name.to_ascii_lowercase();
    Ok(name.strip_suffix('.').unwrap_or(&name).into())
}
