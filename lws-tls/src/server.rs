//! The TLS configuration of a server: its virtual hosts, which can be reloaded and replaced while connections go
//! on.

use crate::hosts::{Host, HostTable, UnknownName, VirtualHost};
use crate::identity::Identity;
use crate::names::octets;
use crate::session::RustlsSession;
use crate::{Certificate, ConfigError, KeyLog, Validations};
use lws_loop_external::tls::{Failure, ListenTls, Provider, Session};
use rustls::pki_types::ServerName;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The TLS configuration of a server: its virtual hosts. Clones share it, also on other threads.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    /// The description from which the table is made. The lock is held while files are read, so that changes come one
    /// after the other.
    description: Mutex<Description>,
    table: RwLock<Arc<HostTable>>,
}

struct Description {
    hosts: Vec<Arc<VirtualHost>>,
    unknown: UnknownName,
    key_log: KeyLog,
    validations: Validations,
}

/// Other hosts for a [`Server`], read and checked: see [`ServerBuilder::prepare`].
#[must_use = "nothing changes before `apply`"]
pub struct Update {
    server: Server,
    description: Description,
    table: HostTable,
}

/// Builds a [`Server`].
#[derive(Debug)]
#[must_use = "nothing is read before `build`"]
pub struct ServerBuilder {
    hosts: Vec<(Option<String>, Host)>,
    unknown: UnknownName,
    alpn: Vec<Vec<u8>>,
    key_log: KeyLog,
    validations: Validations,
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

    /// The handling of clients that ask for an unknown name. Default [`UnknownName::Default`].
    pub fn unknown_name(mut self, policy: UnknownName) -> Self {
        self.unknown = policy;
        self
    }

    /// The protocols in order of preference, for hosts without protocols of their own. RFC 7301. Default `h2`, then
    /// `http/1.1`. For a client that offers none the protocol is detected; one that offers only others is refused.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = octets(protocols);
        self
    }

    /// The log for the secrets of sessions. Default none.
    pub fn key_log(mut self, key_log: KeyLog) -> Self {
        self.key_log = key_log;
        self
    }

    /// The certificates that are presented to authorities which validate names by tls-alpn-01. RFC 8737. Default none.
    pub fn validations(mut self, validations: &Validations) -> Self {
        self.validations = validations.clone();
        self
    }

    /// Reads every certificate and key.
    ///
    /// # Errors
    /// The first fault that was found.
    pub fn build(self) -> Result<Server, ConfigError> {
        let description = self.describe(&[])?;
        let table = RwLock::new(Arc::new(description.table()?));
        Ok(Server { shared: Arc::new(Shared { description: Mutex::new(description), table }) })
    }

    /// Reads every certificate and key for a running server, to replace all of its hosts: this adds, replaces and
    /// removes hosts. Handshakes use the current hosts until [`Update::apply`]. Sessions and tickets of hosts that keep
    /// their names stay valid, unless the host requests client certificates. Files are read on the calling thread.
    ///
    /// ```
    /// # use lws_tls::{Host, Identity, Server};
    /// # fn add(server: &Server, one: Identity, other: Identity) -> Result<(), lws_tls::ConfigError> {
    /// let hosts = Server::builder().default_host(Host::new(one)).host("new.example", Host::new(other));
    /// let update = hosts.prepare(server)?;
    /// // Nothing can fail any more.
    /// update.apply();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The first fault that was found.
    pub fn prepare(self, server: &Server) -> Result<Update, ConfigError> {
        let before = server.description().hosts.clone();
        let description = self.describe(&before)?;
        let table = description.table()?;
        Ok(Update { server: server.clone(), description, table })
    }

    /// The description of the hosts. Those with a name in `before` take over its session store.
    fn describe(self, before: &[Arc<VirtualHost>]) -> Result<Description, ConfigError> {
        if self.hosts.is_empty() {
            return Err(ConfigError::Inconsistent("a server needs a host with a certificate".into()));
        }
        let described = |(name, host): (Option<String>, Host)| {
            let host = VirtualHost::new(name.as_deref(), host, &self.alpn)?;
            let same = before.iter().find(|other| other.label() == host.label());
            Ok(Arc::new(match same {
                Some(other) => host.going_on(other),
                None => host,
            }))
        };
        let hosts = self.hosts.into_iter().map(described).collect::<Result<_, ConfigError>>()?;
        let Self { unknown, key_log, validations, .. } = self;
        Ok(Description { hosts, unknown, key_log, validations })
    }
}

impl Description {
    /// Reads the certificates of all hosts.
    fn table(&self) -> Result<HostTable, ConfigError> {
        let mut table = HostTable::new(self.hosts.iter().map(Arc::as_ref), self.unknown, &self.key_log)?;
        table.validations = self.validations.clone();
        Ok(table)
    }
}

impl Update {
    /// Makes handshakes from now on use the new hosts. Existing connections are not affected.
    pub fn apply(self) {
        let Self { server, description, table } = self;
        *server.description() = description;
        server.show(table);
    }

    /// The certificates of the new hosts, as [`Server::certificates`] will return them.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        self.table.certificates()
    }
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.description.hosts.iter().map(|host| host.label());
        f.debug_struct("Update").field("hosts", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Server {
    /// Begins to build a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder {
            hosts: Vec::new(),
            unknown: UnknownName::Default,
            alpn: octets(&["h2", "http/1.1"]),
            key_log: KeyLog::default(),
            validations: Validations::default(),
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

    /// Reads every file again, on the calling thread. Handshakes from now on use the new content. Existing connections
    /// are not affected, and sessions and tickets stay valid, except those of hosts that request client certificates:
    /// their trusted roots may have changed.
    ///
    /// # Errors
    /// The first thing that was wrong: nothing has changed then.
    #[doc(alias = "lws_tls_cert_updated")]
    pub fn reload(&self) -> Result<(), ConfigError> {
        let description = self.description();
        self.show(description.table()?);
        Ok(())
    }

    fn show(&self, table: HostTable) {
        *self.shared.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    fn description(&self) -> MutexGuard<'_, Description> {
        // The value is only replaced as a whole, so a poisoned lock is harmless.
        self.shared.description.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The certificates that are presented now, in the order of the hosts, for monitoring their renewal. Expired ones
    /// are presented nevertheless. Certificates of [`Host::ready`] are not included.
    #[must_use]
    pub fn certificates(&self) -> Vec<Certificate> {
        self.table().presented()
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
        let description = self.description();
        let names = description.hosts.iter().map(|host| host.label());
        f.debug_struct("Server").field("hosts", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}
