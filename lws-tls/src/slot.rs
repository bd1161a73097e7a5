//! A certificate that is replaced while servers present it.

use crate::names::provider;
use crate::{Certificate, ConfigError, Identity};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A certificate and its key, which can be replaced at any time from any thread: the hosts of
/// [`Identity::slot`] present the new one from the next handshake on, without a
/// [`Server::reload`](crate::Server::reload). Existing connections, sessions and tickets are not affected. Clones are the same slot.
///
/// ```
/// # fn renew(first: lws_tls::Identity, renewed: lws_tls::Identity) -> Result<(), lws_tls::ConfigError> {
/// use lws_tls::{CertificateSlot, Host, Identity, Server};
///
/// let slot = CertificateSlot::new(&first)?;
/// let server = Server::builder().default_host(Host::new(Identity::slot(&slot))).build()?;
/// slot.replace(&renewed)?;
/// # let _ = server;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CertificateSlot {
    current: Arc<RwLock<Arc<CertifiedKey>>>,
}

impl CertificateSlot {
    /// A slot with a certificate, which is read and checked now.
    ///
    /// # Errors
    /// It cannot be read, or does not belong to its key.
    pub fn new(identity: &Identity) -> Result<Self, ConfigError> {
        let certified = identity.load(&provider())?;
        Ok(Self { current: Arc::new(RwLock::new(Arc::new(certified))) })
    }

    /// Puts another certificate in its place, which is read and checked on the calling thread.
    ///
    /// # Errors
    /// It cannot be read, or does not belong to its key: the slot is as it was.
    pub fn replace(&self, identity: &Identity) -> Result<(), ConfigError> {
        let certified = Arc::new(identity.load(&provider())?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = certified;
        Ok(())
    }

    /// The subject and the validity of the certificate. `None` if they cannot be read.
    #[must_use]
    pub fn certificate(&self) -> Option<Certificate> {
        Certificate::of(None, self.current().cert.first()?)
    }

    pub(crate) fn current(&self) -> Arc<CertifiedKey> {
        // The value is only replaced as a whole, so a poisoned lock is harmless.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for CertificateSlot {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl fmt::Debug for CertificateSlot {
    /// Formats the certificate without its private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CertificateSlot").field(&self.certificate()).finish()
    }
}
