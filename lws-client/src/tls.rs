//! TLS of outgoing connections: an identity that the pool can compare, and providers of sessions.

use lws_loop_external::tls::Provider;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Makes providers of sessions: what roots are believed, which certificate is shown, is its own business.
pub trait Connector: Send + Sync {
    /// Sessions with the server that proves to be `name`, a host name or an IP address without brackets. `protocols` are
    /// those to offer, the best first. RFC 7301.
    ///
    /// # Errors
    /// No certificate can have this name, or the configuration is impossible: for a person.
    fn provider(&self, name: &str, protocols: &[&'static str]) -> Result<Arc<dyn Provider>, String>;

    /// Whether a certificate that a server has shown, and that was accepted, proves `name` as well. DER. Default no: a connection is then
    /// used for the host alone that it was made to.
    fn covers(&self, certificate: &[u8], name: &str) -> bool {
        let _ = (certificate, name);
        false
    }
}

/// The TLS of outgoing connections. Clones are the same; two that were made apart are different however alike they are, and
/// share no connection.
#[derive(Clone)]
pub struct Tls {
    connector: Arc<dyn Connector>,
    /// In place of the host of the URL.
    server_name: Option<Arc<str>>,
}

impl Tls {
    /// TLS with the providers of `connector`.
    #[must_use]
    pub fn new(connector: impl Connector + 'static) -> Self {
        Self { connector: Arc::new(connector), server_name: None }
    }

    /// The name that the server has to prove, in place of the host of the URL.
    #[doc(alias = "ssl_hostname")]
    #[must_use]
    pub fn server_name(mut self, name: &str) -> Self {
        self.server_name = Some(name.into());
        self
    }

    pub(crate) fn provider(
        &self,
        host: &str,
        protocols: &[&'static str],
    ) -> Result<Arc<dyn Provider>, String> {
        self.connector.provider(self.server_name.as_deref().unwrap_or(host), protocols)
    }
}

impl Tls {
    /// Whether the certificate of a connection to another host proves this one, too. One that was verified for a name of its own proves none.
    pub(crate) fn covers(&self, certificate: &[u8], host: &str) -> bool {
        self.server_name.is_none() && self.connector.covers(certificate, host)
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        // The connector is kept alive by what is compared, so that its address is that of no other.
        Arc::ptr_eq(&self.connector, &other.connector) && self.server_name == other.server_name
    }
}

impl Eq for Tls {}

impl Hash for Tls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.connector).cast::<()>().hash(state);
        self.server_name.hash(state);
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Default for Tls {
    /// The roots of the system, one and the same for the whole process. Without the feature `tls` no session can be made.
    fn default() -> Self {
        static SYSTEM: std::sync::OnceLock<Tls> = std::sync::OnceLock::new();
        SYSTEM.get_or_init(system).clone()
    }
}

#[cfg(feature = "tls")]
fn system() -> Tls {
    Tls::rustls(|alpn| lws_tls::Client::builder().alpn(alpn).build())
}

#[cfg(not(feature = "tls"))]
fn system() -> Tls {
    struct Without;
    impl Connector for Without {
        fn provider(&self, _: &str, _: &[&'static str]) -> Result<Arc<dyn Provider>, String> {
            Err("this client was built without TLS".to_owned())
        }
    }
    Tls::new(Without)
}

#[cfg(feature = "tls")]
mod rustls {
    use super::{Arc, Connector, Provider, Tls};
    use lws_tls::{Client, ConfigError};
    use std::sync::{Mutex, PoisonError};

    type Build = Box<dyn Fn(&[&str]) -> Result<Client, ConfigError> + Send + Sync>;

    /// One rustls configuration for each list of protocols, made when it is first asked for.
    struct Built {
        build: Build,
        /// There are three lists of protocols at most.
        clients: Mutex<Vec<(Vec<&'static str>, Client)>>,
    }

    impl Connector for Built {
        fn provider(&self, name: &str, protocols: &[&'static str]) -> Result<Arc<dyn Provider>, String> {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            let client = match clients.iter().find(|(known, _)| known == protocols) {
                Some((_, client)) => client.clone(),
                None => {
                    let client = (self.build)(protocols).map_err(|error| error.to_string())?;
                    clients.push((protocols.to_vec(), client.clone()));
                    client
                }
            };
            client.to(name).map_err(|error| error.to_string())
        }

        fn covers(&self, certificate: &[u8], name: &str) -> bool {
            let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            // They differ in the protocols that they offer. One has accepted the certificate.
            clients.first().is_some_and(|(_, client)| client.covers(certificate, name))
        }
    }

    impl Tls {
        /// TLS by rustls, as `build` describes it for a list of protocols:
        /// `Tls::rustls(|alpn| lws_tls::Client::builder().roots(roots.clone()).alpn(alpn).build())`. It is called once for
        /// each list that is needed, when it is.
        pub fn rustls(
            build: impl Fn(&[&str]) -> Result<Client, ConfigError> + Send + Sync + 'static,
        ) -> Self {
            Self::new(Built { build: Box::new(build), clients: Mutex::default() })
        }
    }
}
