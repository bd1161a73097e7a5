//! Virtual hosts: the certificate and the settings of a server, by the name that a client asks for.

use crate::identity::Identity;
use crate::names::{Choice, octets, ticketer};
use crate::verify::Noting;
use crate::{Certificate, CertificateSlot, ConfigError, KeyLog, Roots, Validations};
use rustls::ServerConfig;
use rustls::pki_types::DnsName;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoServerSessionStorage, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache,
    StoresServerSessions, WebPkiClientVerifier,
};
use rustls::sign::SingleCertAndKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A virtual host: its description, and its session store, which outlives certificates.
pub(crate) struct VirtualHost {
    /// Its name or pattern. `None` is the default host.
    name: Option<Box<str>>,
    host: Host,
    resumption: SessionStore,
}

/// The keys or sessions by which earlier connections are resumed.
#[derive(Clone)]
struct SessionStore {
    tickets: Option<Arc<dyn ProducesTickets>>,
    sessions: Arc<dyn StoresServerSessions>,
}

impl SessionStore {
    fn new(resumption: Resumption) -> Result<Self, ConfigError> {
        let sessions: Arc<dyn StoresServerSessions> = match resumption {
            Resumption::Cache(sessions) => ServerSessionMemoryCache::new(sessions),
            Resumption::Tickets | Resumption::Off => Arc::new(NoServerSessionStorage {}),
        };
        Ok(Self { tickets: (resumption == Resumption::Tickets).then(ticketer).transpose()?, sessions })
    }
}

/// The configurations that new handshakes use, by name.
#[derive(Default)]
pub(crate) struct HostTable {
    default: Option<Arc<ServerConfig>>,
    exact: HashMap<Box<str>, Arc<ServerConfig>>,
    /// Hosts with patterns such as `*.example.com`, by the part behind the `*.`.
    below: HashMap<Box<str>, Arc<ServerConfig>>,
    unknown: UnknownName,
    certificates: Vec<Certificate>,
    /// Those of `certificates` that may be replaced, by their index.
    slots: Vec<(usize, CertificateSlot)>,
    /// What is presented in place of all of these to authorities that validate names.
    pub(crate) validations: Validations,
}

/// The handling of a client that asks for a name which no host has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum UnknownName {
    /// The default host answers, whose certificate does not match the name. The default.
    #[default]
    Default,
    /// The client is refused with the alert `unrecognized_name`. RFC 6066 §3. A client that asks for no name still
    /// gets the default host.
    Refuse,
}

/// The client certificates of a host. A resumed session keeps the certificate of its first handshake, which is not
/// verified again: see [`Resumption`].
#[derive(Clone, Debug, Default)]
pub enum ClientCertificates {
    /// No certificate is requested.
    #[default]
    None,
    /// A certificate that these roots have issued is requested and may be missing. A certificate that the client
    /// presents must be valid.
    Request(Roots),
    /// A certificate that these roots have issued is required.
    #[doc(alias = "LWS_SERVER_OPTION_REQUIRE_VALID_OPENSSL_CLIENT_CERT")]
    Require(Roots),
}

/// How sessions are resumed. RFC 8446 §2.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// With tickets that the client keeps, two for each handshake, sealed with a key that changes every six hours and is
    /// accepted for six more. The server keeps nothing. The default.
    Tickets,
    /// With sessions that the server keeps: at most this many, of which the oldest is dropped first.
    Cache(usize),
    /// Not at all.
    Off,
}

/// One virtual host: a certificate, and its protocol settings.
#[doc(alias = "lws_vhost")]
#[derive(Clone, Debug)]
pub struct Host {
    source: ConfigSource,
}

#[derive(Clone)]
enum ConfigSource {
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
        Self { source: ConfigSource::Described(Box::new(options)) }
    }

    /// A host with a configuration of rustls, used as it is: the other settings of the host do not apply.
    #[doc(alias = "provided_client_ssl_ctx")]
    #[must_use]
    pub fn ready(config: Arc<ServerConfig>) -> Self {
        Self { source: ConfigSource::Ready(config) }
    }

    /// The accepted versions: `TLSv1.3`, `TLSv1.2`. Default both.
    #[must_use]
    pub fn versions(self, names: &[&str]) -> Self {
        self.with(|options| options.choice.versions = strings(names))
    }

    /// The cipher suites in order of preference, by their registered names: `TLS_AES_128_GCM_SHA256`. Default those of
    /// the provider.
    #[doc(alias = "ssl_cipher_list")]
    #[must_use]
    pub fn cipher_suites(self, names: &[&str]) -> Self {
        self.with(|options| options.choice.cipher_suites = strings(names))
    }

    /// The groups of the key exchange in order of preference, by their registered names: `x25519`, `secp256r1`. Default
    /// those of the provider.
    #[doc(alias = "ecdh_curve")]
    #[must_use]
    pub fn groups(self, names: &[&str]) -> Self {
        self.with(|options| options.choice.groups = strings(names))
    }

    /// The protocols in order of preference. RFC 7301. Default those of [`ServerBuilder::alpn`](crate::ServerBuilder::alpn).
    #[must_use]
    pub fn alpn(self, protocols: &[&str]) -> Self {
        self.with(|options| options.alpn = Some(octets(protocols)))
    }

    /// The client certificates. Default [`ClientCertificates::None`].
    #[must_use]
    pub fn client_certificates(self, clients: ClientCertificates) -> Self {
        self.with(|options| options.clients = clients)
    }

    /// The resumption of sessions. Default with tickets.
    #[must_use]
    pub fn resumption(self, resumption: Resumption) -> Self {
        self.with(|options| options.resumption = resumption)
    }

    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        if let ConfigSource::Described(options) = &mut self.source {
            change(options);
        }
        self
    }
}

impl fmt::Debug for ConfigSource {
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

impl HostTable {
    /// Reads the certificates of all hosts.
    pub(crate) fn new<'h>(
        hosts: impl Iterator<Item = &'h VirtualHost>,
        unknown: UnknownName,
        key_log: &KeyLog,
    ) -> Result<Self, ConfigError> {
        let mut table = Self { unknown, ..Self::default() };
        for host in hosts {
            let shown = table.certificates.len();
            let config = host.config(key_log, &mut table.certificates)?;
            // One that cannot be read is not shown.
            if let Some(slot) = host.slot().filter(|_| table.certificates.len() > shown) {
                table.slots.push((shown, slot.clone()));
            }
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

    /// The certificates of all hosts when the table was made, in the order of the hosts.
    pub(crate) fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The certificates that all hosts present now, in the order of the hosts.
    pub(crate) fn presented(&self) -> Vec<Certificate> {
        let mut certificates = self.certificates.clone();
        for (index, slot) in &self.slots {
            if let (Some(shown), Some(current)) = (certificates.get_mut(*index), slot.certificate()) {
                *shown = Certificate { host: shown.host.take(), ..current };
            }
        }
        certificates
    }

    /// The configuration for the name that a client asked for.
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

impl VirtualHost {
    /// A host with a name or a pattern. `alpn` is the default of a host without protocols of its own.
    pub(crate) fn new(name: Option<&str>, mut host: Host, alpn: &[Vec<u8>]) -> Result<Self, ConfigError> {
        let name = name.map(normal_pattern).transpose()?;
        let mut resumption = Resumption::Off;
        if let ConfigSource::Described(options) = &mut host.source {
            options.alpn.get_or_insert_with(|| alpn.to_vec());
            resumption = options.resumption;
        }
        Ok(Self { name, host, resumption: SessionStore::new(resumption)? })
    }

    /// Takes over the session store of `other`, if that has the same name and resumes sessions in the same way.
    pub(crate) fn going_on(mut self, other: &Self) -> Self {
        let how = |host: &Self| match &host.host.source {
            ConfigSource::Described(options) => Some(options.resumption),
            ConfigSource::Ready(_) => None,
        };
        if how(&self) == how(other) {
            self.resumption = other.resumption.clone();
        }
        self
    }

    /// Its name, or `*` if it is the default host.
    pub(crate) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("*")
    }

    /// The slot that its certificate is in, if it is in one.
    fn slot(&self) -> Option<&CertificateSlot> {
        match &self.host.source {
            ConfigSource::Described(options) => options.identity.in_slot(),
            ConfigSource::Ready(_) => None,
        }
    }

    /// Reads its certificates, and adds their description to `certificates`.
    fn config(
        &self,
        key_log: &KeyLog,
        certificates: &mut Vec<Certificate>,
    ) -> Result<Arc<ServerConfig>, ConfigError> {
        let options = match &self.host.source {
            ConfigSource::Ready(config) => return Ok(Arc::clone(config)),
            ConfigSource::Described(options) => options,
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
        let resolver: Arc<dyn ResolvesServerCert> = match options.identity.in_slot() {
            Some(slot) => Arc::new(slot.clone()),
            None => Arc::new(SingleCertAndKey::from(certified)),
        };
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols = options.alpn.clone().unwrap_or_default();
        config.key_log = Arc::clone(&key_log.0);
        // In a resumed session the client presents no certificate, so it would not be checked against changed roots.
        // The session store is not kept for such hosts.
        let store = match options.clients {
            ClientCertificates::None => self.resumption.clone(),
            _ => SessionStore::new(options.resumption)?,
        };
        config.session_storage = store.sessions;
        if let Some(tickets) = store.tickets {
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

/// Normalises a name or pattern: lower case, without the dot of the root.
fn normal_pattern(name: &str) -> Result<Box<str>, ConfigError> {
    let unknown =
        || ConfigError::Unknown { what: "such server name", name: name.to_owned(), known: Vec::new() };
    let host = name.strip_prefix("*.").unwrap_or(name);
    DnsName::try_from(host).map_err(|_| unknown())?;
    let name = name.to_ascii_lowercase();
    Ok(name.strip_suffix('.').unwrap_or(&name).into())
}
