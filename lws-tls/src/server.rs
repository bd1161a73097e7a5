//! A server's TLS: the virtual hosts that it was built of, whose certificates can be read anew while connections go on.

use crate::hosts::{Host, HostTable, UnknownName, VirtualHost};
use crate::identity::Identity;
use crate::names::octets;
use crate::session::RustlsSession;
use crate::{Certificate, ConfigError, KeyLog};
use lws_loop_external::tls::{Failure, ListenTls, Provider, Session};
use rustls::pki_types::ServerName;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// TLS of a server: its virtual hosts. Clones are the same server, also on other threads.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    hosts: Vec<VirtualHost>,
    unknown: UnknownName,
    key_log: KeyLog,
    table: RwLock<Arc<HostTable>>,
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
        let described =
            |(name, host): (Option<String>, Host)| VirtualHost::new(name.as_deref(), host, &self.alpn);
        let hosts = self.hosts.into_iter().map(described).collect::<Result<Vec<_>, ConfigError>>()?;
        let table = HostTable::new(&hosts, self.unknown, &self.key_log)?;
        let table = RwLock::new(Arc::new(table));
        let shared = Shared { hosts, unknown: self.unknown, key_log: self.key_log, table };
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
        let table = HostTable::new(&self.shared.hosts, self.shared.unknown, &self.shared.key_log)?;
        *self.shared.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        Ok(())
    }

    /// The certificates that are shown now, in the order of the hosts: for whoever watches that they are renewed in time. One
    /// that has expired is shown all the same. Those of [`Host::ready`] are not known here.
    #[must_use]
    pub fn certificates(&self) -> Vec<Certificate> {
        self.table().certificates().to_vec()
    }

    fn table(&self) -> Arc<HostTable> {
        // The table is only ever replaced as a whole, so it is consistent even after a panic of a thread that held the lock.
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
        let names = self.shared.hosts.iter().map(VirtualHost::label);
        f.debug_struct("Server").field("hosts", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}
