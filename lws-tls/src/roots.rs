//! The trust anchors for certificates of peers.

use crate::ConfigError;
use crate::identity::{chain, read};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A set of trusted roots, from one or several sources.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    sources: Vec<RootSource>,
}

#[derive(Clone, Debug)]
enum RootSource {
    System,
    File(PathBuf),
    Pem(Vec<u8>),
    Der(Vec<u8>),
}

impl Roots {
    /// Those of the operating system.
    #[must_use]
    pub fn system() -> Self {
        Self::default().and(RootSource::System)
    }

    /// The certificates in a PEM file.
    #[doc(alias = "ssl_ca_filepath")]
    #[must_use]
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::default().and(RootSource::File(path.as_ref().into()))
    }

    /// The certificates in PEM text.
    #[must_use]
    pub fn pem(pem: impl Into<Vec<u8>>) -> Self {
        Self::default().and(RootSource::Pem(pem.into()))
    }

    /// One certificate as DER.
    #[must_use]
    pub fn der(der: impl Into<Vec<u8>>) -> Self {
        Self::default().and(RootSource::Der(der.into()))
    }

    /// Adds the roots of `others`.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.sources.extend(others.sources);
        self
    }

    fn and(mut self, source: RootSource) -> Self {
        self.sources.push(source);
        self
    }

    /// Reads the roots of all sources.
    pub(crate) fn load(&self) -> Result<Arc<RootCertStore>, ConfigError> {
        let mut store = RootCertStore::empty();
        for source in &self.sources {
            match source {
                RootSource::System => add_system(&mut store)?,
                RootSource::File(path) => add(&mut store, &path.display().to_string(), &read(path)?)?,
                RootSource::Pem(pem) => add(&mut store, "the roots in memory", pem)?,
                RootSource::Der(der) => add_one(&mut store, "the root in memory", der.clone().into())?,
            }
        }
        if store.is_empty() {
            return Err(ConfigError::Missing { source: "the list of roots".into(), what: "root" });
        }
        Ok(Arc::new(store))
    }
}

/// Adds the roots of the operating system. Roots that cannot be parsed are left out, as some systems keep outdated
/// ones.
fn add_system(store: &mut RootCertStore) -> Result<(), ConfigError> {
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let reason = found.errors.first().map_or("there are none".into(), ToString::to_string);
        return Err(ConfigError::Malformed { source: "the roots of the system".into(), reason });
    }
    Ok(())
}

fn add(store: &mut RootCertStore, source: &str, pem: &[u8]) -> Result<(), ConfigError> {
    let certificates = chain(source, pem)?;
    if certificates.is_empty() {
        return Err(ConfigError::Missing { source: source.into(), what: "root" });
    }
    certificates.into_iter().try_for_each(|certificate| add_one(store, source, certificate))
}

fn add_one(
    store: &mut RootCertStore,
    source: &str,
    certificate: CertificateDer<'static>,
) -> Result<(), ConfigError> {
    let malformed =
        |error: rustls::Error| ConfigError::Malformed { source: source.into(), reason: error.to_string() };
    store.add(certificate).map_err(malformed)
}
