//! Handshakes by which an authority of certificates validates a name: tls-alpn-01, RFC 8737.

use crate::ConfigError;
use crate::names::provider;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// The one protocol that a validating client offers. RFC 8737 §6.2.
const ACME_TLS: &[u8] = b"acme-tls/1";

/// The certificates that are presented to authorities which validate names by tls-alpn-01. RFC 8737 §3. Clones are the same, and
/// any number of servers may share them: see [`ServerBuilder::validations`](crate::ServerBuilder::validations).
///
/// A client that offers `acme-tls/1` alone, and asks for a name that has such a certificate, gets it; nothing is exchanged on the
/// connection then. Every other client is served as always.
#[derive(Clone, Default)]
pub struct Validations {
    configs: Arc<RwLock<HashMap<Box<str>, Arc<ServerConfig>>>>,
}

impl Validations {
    /// Presents a certificate, as DER, to whom validates `name`. `key` is its private key, as DER. It stays until
    /// [`remove`](Self::remove), and takes the place of an earlier one of that name.
    ///
    /// # Errors
    /// The key cannot be used.
    pub fn insert(&self, name: &str, certificate: Vec<u8>, key: Vec<u8>) -> Result<(), ConfigError> {
        let malformed =
            |reason: String| ConfigError::Malformed { source: "the key for a validation".into(), reason };
        let provider = Arc::new(provider());
        let key = PrivateKeyDer::try_from(key).map_err(|reason| malformed(reason.into()))?;
        let key =
            provider.key_provider.load_private_key(key).map_err(|error| malformed(error.to_string()))?;
        // Whether both belong together is not asked: the certificate has a critical extension that only authorities know.
        let certified = CertifiedKey::new(vec![certificate.into()], key);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(rustls::ALL_VERSIONS)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![ACME_TLS.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let name = name.to_ascii_lowercase().into();
        self.configs.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(config));
        Ok(())
    }

    /// Presents nothing any more to whom validates `name`.
    pub fn remove(&self, name: &str) {
        let name = name.to_ascii_lowercase();
        self.configs.write().unwrap_or_else(PoisonError::into_inner).remove(&*name);
    }

    /// The configuration for a client that validates a name. RFC 8737 §3: "the ALPN extension [...] MUST contain only the single
    /// protocol name".
    pub(crate) fn config(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut offered = hello.alpn()?;
        if offered.next() != Some(ACME_TLS) || offered.next().is_some() {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        self.configs.read().unwrap_or_else(PoisonError::into_inner).get(&*name).cloned()
    }
}

impl fmt::Debug for Validations {
    /// Formats the names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let configs = self.configs.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(configs.keys()).finish()
    }
}
