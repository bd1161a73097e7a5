//! The client's side: which certificates of servers are accepted, and which certificate the client presents.

use crate::names::{Choice, octets};
use crate::session::RustlsSession;
use crate::verify::{Noting, Pinned};
use crate::{ConfigError, Identity, KeyLog, Pin, Roots, failure};
use lws_loop_external::tls::{Failure, Provider, Session};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection};
use std::fmt;
use std::sync::Arc;

/// The TLS configuration of outgoing connections. Clones share its sessions, also on other threads.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    /// Certificates are verified by issuer and name, so that what one of them covers is known.
    verifies_names: bool,
}

/// Builds a [`Client`].
#[derive(Debug)]
#[must_use = "nothing is read before `build`"]
pub struct ClientBuilder {
    trust: Trust,
    identity: Option<Identity>,
    choice: Choice,
    alpn: Vec<Vec<u8>>,
    sessions_max: usize,
    key_log: KeyLog,
}

/// The certificates that a client accepts.
#[derive(Debug)]
enum Trust {
    Roots(Roots),
    Pins(Vec<Pin>),
    Anybody,
}

/// The number of servers whose sessions are kept.
const SESSIONS_MAX: usize = 256;
/// The tickets that rustls keeps for one server, about 1 KiB each.
const TICKETS_PER_SERVER: usize = 8;

impl ClientBuilder {
    /// The trust anchors for certificates of servers. Default those of the system. RFC 5280 §6.
    #[doc(alias = "client_ssl_ca_filepath")]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.trust = Trust::Roots(roots);
        self
    }

    /// Accepts only these certificates. Their issuers, names and validity are not checked.
    pub fn pins(mut self, pins: impl IntoIterator<Item = Pin>) -> Self {
        self.trust = Trust::Pins(pins.into_iter().collect());
        self
    }

    /// Accepts any certificate, so that an attacker on the path can read and change everything. For tests only.
    #[doc(alias = "LCCSCF_ALLOW_SELFSIGNED")]
    #[doc(alias = "LCCSCF_ALLOW_INSECURE")]
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.trust = Trust::Anybody;
        self
    }

    /// The certificate for servers that request one. Default none.
    #[doc(alias = "client_ssl_cert_filepath")]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// The protocols that are offered, in order of preference. RFC 7301. Default `http/1.1`.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = octets(protocols);
        self
    }

    /// The versions that are offered: `TLSv1.3`, `TLSv1.2`. Default both.
    pub fn versions(mut self, names: &[&str]) -> Self {
        self.choice.versions = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// The cipher suites that are offered, by their registered names. Default those of the provider.
    #[doc(alias = "client_ssl_cipher_list")]
    pub fn cipher_suites(mut self, names: &[&str]) -> Self {
        self.choice.cipher_suites = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// The groups of the key exchange that are offered, by their registered names. Default those of the provider.
    pub fn groups(mut self, names: &[&str]) -> Self {
        self.choice.groups = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// The number of servers whose sessions are kept for resumption, with at most eight tickets of about 1 KiB each.
    /// Default 256; 0 disables resumption. Past it the sessions of the oldest server are dropped.
    #[doc(alias = "tls_session_cache_max")]
    pub fn sessions_max(mut self, servers: usize) -> Self {
        self.sessions_max = servers;
        self
    }

    /// The log for the secrets of sessions. Default none.
    pub fn key_log(mut self, key_log: KeyLog) -> Self {
        self.key_log = key_log;
        self
    }

    /// Reads roots and certificates.
    ///
    /// # Errors
    /// The first fault that was found.
    pub fn build(self) -> Result<Client, ConfigError> {
        let provider = self.choice.provider()?;
        let verifies_names = matches!(self.trust, Trust::Roots(_));
        let verifier: Arc<dyn ServerCertVerifier> = match self.trust {
            Trust::Roots(roots) => {
                let builder =
                    WebPkiServerVerifier::builder_with_provider(roots.load()?, Arc::clone(&provider));
                let verifier =
                    builder.build().map_err(|error| ConfigError::Inconsistent(error.to_string()))?;
                Arc::new(Noting::<dyn ServerCertVerifier>(verifier))
            }
            Trust::Pins(pins) => Arc::new(Pinned { provider: Arc::clone(&provider), pins: Some(pins) }),
            Trust::Anybody => Arc::new(Pinned { provider: Arc::clone(&provider), pins: None }),
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&self.choice.versions()?)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certified = identity.load(&provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        config.alpn_protocols = self.alpn;
        config.key_log = self.key_log.0;
        config.resumption = match self.sessions_max {
            0 => Resumption::disabled(),
            servers => Resumption::in_memory_sessions(servers.saturating_mul(TICKETS_PER_SERVER)),
        };
        Ok(Client { config: Arc::new(config), verifies_names })
    }
}

impl Client {
    /// Begins to build a client.
    pub fn builder() -> ClientBuilder {
        ClientBuilder {
            trust: Trust::Roots(Roots::system()),
            identity: None,
            choice: Choice::default(),
            alpn: octets(&["http/1.1"]),
            sessions_max: SESSIONS_MAX,
            key_log: KeyLog::default(),
        }
    }

    /// A client with a configuration of rustls, used as it is.
    #[must_use]
    pub fn ready(config: Arc<ClientConfig>) -> Self {
        Self { config, verifies_names: false }
    }

    /// Whether a certificate that this client has accepted from a server is for `name` as well, a host name or an IP address without a
    /// port: by the check that decides about the name of a session, on the same certificate. It is for none where names are not
    /// verified: with pins, with any certificate accepted, or with a configuration that was [`ready`](Self::ready). `certificate` is
    /// DER. RFC 9110 §4.3.4, RFC 9525 §6.
    #[must_use]
    pub fn covers(&self, certificate: &[u8], name: &str) -> bool {
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let Ok(name) = ServerName::try_from(name.strip_suffix('.').unwrap_or(name)) else { return false };
        let certificate = CertificateDer::from(certificate);
        let Ok(parsed) = ParsedCertificate::try_from(&certificate) else { return false };
        self.verifies_names && verify_server_name(&parsed, &name).is_ok()
    }

    /// The provider of sessions with a server whose certificate must be for `name`: a host name or an IP address,
    /// without a port. It may differ from the address of the connection.
    ///
    /// # Errors
    /// `name` is neither.
    #[doc(alias = "ssl_hostname")]
    pub fn to(&self, name: &str) -> Result<Arc<dyn Provider>, ConfigError> {
        let unknown =
            || ConfigError::Unknown { what: "such server name", name: name.to_owned(), known: Vec::new() };
        let plain = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let server = ServerName::try_from(plain.strip_suffix('.').unwrap_or(plain).to_owned());
        let server = server.map_err(|_| unknown())?;
        Ok(Arc::new(Connector { config: Arc::clone(&self.config), server }))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// The sessions of a client with one server.
struct Connector {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl Provider for Connector {
    fn session(&self) -> Result<Box<dyn Session>, Failure> {
        let name = match &self.server {
            ServerName::DnsName(name) => Some(name.as_ref().to_ascii_lowercase().into()),
            _ => None,
        };
        let connection = ClientConnection::new(Arc::clone(&self.config), self.server.clone())
            .map_err(|error| failure::configuration(&error))?;
        Ok(Box::new(RustlsSession::client(connection, name)))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.server).finish()
    }
}
