//! The roots that certificates of peers are traced back to.

use crate::ConfigError;
use crate::identity::{chain, read};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which roots are trusted. Several sources add up.
#[derive(Clone, Debug, Default)]
pub struct Roots {
    sources: Vec<Source>,
}

#[derive(Clone, Debug)]
enum Source {
    System,
    File(PathBuf),
    Pem(Vec<u8>),
    Der(Vec<u8>),
}

impl Roots {
    /// Those of the operating system.
    #[must_use]
    pub fn system() -> Self {
        Self::default().and(Source::System)
    }

    /// The certificates in a PEM file.
    #[doc(alias = "ssl_ca_filepath")]
    #[must_use]
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self::default().and(Source::File(path.as_ref().into()))
    }

    /// The certificates in PEM text.
    #[must_use]
    pub fn pem(pem: impl Into<Vec<u8>>) -> Self {
        Self::default().and(Source::Pem(pem.into()))
    }

    /// One certificate as DER.
    #[must_use]
    pub fn der(der: impl Into<Vec<u8>>) -> Self {
        Self::default().and(Source::Der(der.into()))
    }

    /// These, too.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.sources.extend(others.sources);
        self
    }

    fn and(mut self, source: Source) -> Self {
        self.sources.push(source);
        self
    }

    /// Reads everything.
    pub(crate) fn load(&self) -> Result<Arc<RootCertStore>, ConfigError> {
        let mut store = RootCertStore::empty();
        for source in &self.sources {
            match source {
                Source::System => add_system(&mut store)?,
                Source::File(path) => add(&mut store, &path.display().to_string(), &read(path)?)?,
                Source::Pem(pem) => add(&mut store, "the roots in memory", pem)?,
                Source::Der(der) => add_one(&mut store, "the root in memory", der.clone().into())?,
            }
        }
        if store.is_empty() {
            return Err(ConfigError::Missing { source: "the list of roots".into(), what: "root" });
        }
        Ok(Arc::new(store))
    }
}

/// Systems have roots that nobody can read any more: those are left out.
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
