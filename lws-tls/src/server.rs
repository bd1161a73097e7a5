//! A server's TLS: its virtual hosts, which can be read anew and replaced while connections go on.

use crate::hosts::{Host, HostTable, UnknownName, VirtualHost};
use crate::identity::Identity;
use crate::names::octets;
use crate::session::RustlsSession;
use crate::{Certificate, ConfigError, KeyLog};
use lws_loop_external::tls::{Failure, ListenTls, Provider, Session};
use rustls::pki_types::ServerName;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// TLS of a server: its virtual hosts. Clones are the same server, also on other threads.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    /// What the table was made of, and is made of again. Held while that is read, so that of two changes one comes after the other.
    description: Mutex<Description>,
    table: RwLock<Arc<HostTable>>,
}

struct Description {
    hosts: Vec<Arc<VirtualHost>>,
    unknown: UnknownName,
    key_log: KeyLog,
}

/// Other hosts for a [`Server`], read and checked: see [`ServerBuilder::prepare`].
#[must_use = "nothing changes before `apply`"]
pub struct Update {
    server: Server,
    description: Description,
    table: HostTable,
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
        let description = self.describe(&[])?;
        let table = RwLock::new(Arc::new(description.table()?));
        Ok(Server { shared: Arc::new(Shared { description: Mutex::new(description), table }) })
    }

    /// Reads every certificate and key for a server that runs, to show them in place of all that it shows now: hosts are added so,
    /// replaced and removed. Handshakes use what was there until [`Update::apply`]. Sessions and tickets of hosts that keep their names
    /// stay good, unless they want client certificates. Files are read on the calling thread.
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
    /// The first thing that was wrong.
    pub fn prepare(self, server: &Server) -> Result<Update, ConfigError> {
        let before = server.description().hosts.clone();
        let description = self.describe(&before)?;
        let table = description.table()?;
        Ok(Update { server: server.clone(), description, table })
    }

    /// The hosts; those that are among `before` go on with the sessions that are kept there.
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
        Ok(Description { hosts, unknown: self.unknown, key_log: self.key_log })
    }
}

impl Description {
    /// Reads the certificates of all hosts.
    fn table(&self) -> Result<HostTable, ConfigError> {
        HostTable::new(self.hosts.iter().map(Arc::as_ref), self.unknown, &self.key_log)
    }
}

impl Update {
    /// Has handshakes from now on use what was read. Connections go on as they are.
    pub fn apply(self) {
        let Self { server, description, table } = self;
        *server.description() = description;
        server.show(table);
    }

    /// The certificates that will be shown, in the order of the hosts: as [`Server::certificates`].
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
        let description = self.description();
        self.show(description.table()?);
        Ok(())
    }

    fn show(&self, table: HostTable) {
        *self.shared.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
    }

    fn description(&self) -> MutexGuard<'_, Description> {
        // It is only ever replaced as a whole.
        self.shared.description.lock().unwrap_or_else(PoisonError::into_inner)
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
        let description = self.description();
        let names = description.hosts.iter().map(|host| host.label());
        f.debug_struct("Server").field("hosts", &names.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}
