//! A certificate chain and its private key, from files or memory.

use crate::{CertificateSlot, ConfigError, der, failure};
use lws_loop_external::tls::CertificateFault;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The error for a chain that begins with the certificate of an authority, which clients on rustls or Go refuse as that
/// of a server. `openssl req -x509` makes such certificates by default.
const CA_AS_OWN: &str = "the first certificate is that of a certificate authority (CA:TRUE), which clients do not take for a \
    server's or client's own: put the one that the authority has issued first, or make one with `openssl req -x509 -addext \
    basicConstraints=critical,CA:FALSE`";

/// The largest certificate, key or staple file in bytes. A chain has a few KiB, so a larger file is a mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A certificate chain, the end entity's first, and its private key: RSA, ECDSA or Ed25519.
///
/// Nothing is read or checked before a server or client is built. Files are read again by
/// [`Server::reload`](crate::Server::reload).
#[derive(Clone)]
pub struct Identity {
    source: IdentitySource,
    staple: Option<Staple>,
}

#[derive(Clone)]
enum IdentitySource {
    Files { certificates: PathBuf, key: PathBuf },
    Pem { certificates: Vec<u8>, key: Vec<u8> },
    Der { certificates: Vec<Vec<u8>>, key: Vec<u8> },
    Slot(CertificateSlot),
}

#[derive(Clone)]
enum Staple {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl Identity {
    /// From PEM files. One file may hold both.
    #[doc(alias = "ssl_cert_filepath")]
    #[must_use]
    pub fn files(certificates: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        let (certificates, key) = (certificates.as_ref().into(), key.as_ref().into());
        Self { source: IdentitySource::Files { certificates, key }, staple: None }
    }

    /// From PEM text.
    #[doc(alias = "server_ssl_cert_mem")]
    #[must_use]
    pub fn pem(certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let (certificates, key) = (certificates.into(), key.into());
        Self { source: IdentitySource::Pem { certificates, key }, staple: None }
    }

    /// From DER: the certificates one by one, the key as PKCS #8, PKCS #1 or SEC 1.
    #[must_use]
    pub fn der(certificates: impl IntoIterator<Item = Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let source =
            IdentitySource::Der { certificates: certificates.into_iter().collect(), key: key.into() };
        Self { source, staple: None }
    }

    /// The one that is in a slot at each moment. A host presents what is put there from then on; what else is made of this identity
    /// takes what is there when it is built.
    #[must_use]
    pub fn slot(slot: &CertificateSlot) -> Self {
        Self { source: IdentitySource::Slot(slot.clone()), staple: None }
    }

    /// The slot that it is in, if it is in one.
    pub(crate) fn in_slot(&self) -> Option<&CertificateSlot> {
        match &self.source {
            IdentitySource::Slot(slot) => Some(slot),
            _ => None,
        }
    }

    /// Adds an OCSP response, which clients that ask for one get unchanged. RFC 6066 §8.
    #[must_use]
    pub fn ocsp_staple(mut self, response: impl Into<Vec<u8>>) -> Self {
        self.staple = Some(Staple::Bytes(response.into()));
        self
    }

    /// Adds an OCSP response from a file in DER, which is read again with the other files.
    #[must_use]
    pub fn ocsp_staple_file(mut self, path: impl AsRef<Path>) -> Self {
        self.staple = Some(Staple::File(path.as_ref().into()));
        self
    }

    /// Reads and checks certificates, key and staple.
    pub(crate) fn load(&self, provider: &CryptoProvider) -> Result<CertifiedKey, ConfigError> {
        let (source, chain, key) = match &self.source {
            IdentitySource::Files { certificates, key } => {
                let source = certificates.display().to_string();
                let chain = not_empty(&source, chain(&source, &read(certificates)?)?)?;
                (source, chain, private_key(&key.display().to_string(), &read(key)?)?)
            }
            IdentitySource::Pem { certificates, key } => {
                let source = "the certificate in memory";
                let chain = not_empty(source, chain(source, certificates)?)?;
                (source.into(), chain, private_key("the key in memory", key)?)
            }
            IdentitySource::Der { certificates, key } => {
                let source = "the certificate in memory".to_owned();
                let chain = certificates.iter().cloned().map(CertificateDer::from).collect();
                let chain = not_empty(&source, chain)?;
                let malformed = |reason: &'static str| ConfigError::Malformed {
                    source: "the key in memory".into(),
                    reason: reason.into(),
                };
                (source, chain, PrivateKeyDer::try_from(key.clone()).map_err(malformed)?)
            }
            // It was checked when it was put there.
            IdentitySource::Slot(slot) => return Ok((*slot.current()).clone()),
        };
        if der::is_authority(&chain[0]) {
            let reason = CA_AS_OWN.into();
            return Err(ConfigError::Malformed { source, reason });
        }
        let malformed = |error: rustls::Error| ConfigError::Malformed {
            source: source.clone(),
            reason: unusable(&error),
        };
        let key = provider.key_provider.load_private_key(key).map_err(malformed)?;
        let mut certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(ConfigError::KeyMismatch { source }),
            Err(error) => return Err(malformed(error)),
        }
        certified.ocsp = match &self.staple {
            None => None,
            Some(Staple::Bytes(bytes)) => Some(bytes.clone()),
            Some(Staple::File(path)) => Some(read(path)?),
        };
        Ok(certified)
    }
}

impl fmt::Debug for Identity {
    /// Formats the identity without its private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source: &dyn fmt::Debug = match &self.source {
            IdentitySource::Files { certificates, .. } => certificates,
            IdentitySource::Pem { .. } => &"PEM",
            IdentitySource::Der { .. } => &"DER",
            IdentitySource::Slot(slot) => slot,
        };
        f.debug_struct("Identity").field("source", source).finish_non_exhaustive()
    }
}

/// The text for an own certificate that rustls cannot use. Its errors are worded for certificates of peers.
fn unusable(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => match failure::fault(error) {
            CertificateFault::Malformed(why) => format!("the certificate cannot be used: {why}"),
            fault => format!("the certificate {fault}"),
        },
        error => error.to_string(),
    }
}

pub(crate) fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = |error| ConfigError::Read { path: path.into(), error };
    let mut bytes = Vec::new();
    // A pipe or device reports no length, so the read itself is limited.
    let file = File::open(path).map_err(failed)?;
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if read as u64 > FILE_BYTES_MAX {
        let reason = format!("more than {FILE_BYTES_MAX} bytes are no certificate or key");
        return Err(ConfigError::Malformed { source: path.display().to_string(), reason });
    }
    Ok(bytes)
}

/// Every certificate in PEM text.
pub(crate) fn chain(source: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    not_der(source, pem)?;
    let certificates = CertificateDer::pem_slice_iter(pem);
    certificates.map(|certificate| certificate.map_err(|error| malformed_pem(source, &error))).collect()
}

fn not_empty(
    source: &str,
    chain: Vec<CertificateDer<'static>>,
) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    match chain.is_empty() {
        true => Err(ConfigError::Missing { source: source.into(), what: "certificate" }),
        false => Ok(chain),
    }
}

fn private_key(source: &str, pem: &[u8]) -> Result<PrivateKeyDer<'static>, ConfigError> {
    not_der(source, pem)?;
    if is_encrypted(pem) {
        let reason = "the private key is encrypted; `openssl pkey -in FILE -out PLAIN` makes one that is not";
        return Err(ConfigError::Malformed { source: source.into(), reason: reason.into() });
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        pem::Error::NoItemsFound => ConfigError::Missing { source: source.into(), what: "private key" },
        error => malformed_pem(source, &error),
    })
}

/// Whether PEM text contains an encrypted key: RFC 7468 §11, or the older form of RFC 1421 §4.6.
fn is_encrypted(pem: &[u8]) -> bool {
    const MARKS: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];
    pem.split(|byte| *byte == b'\n').any(|line| MARKS.contains(&line.trim_ascii_end()))
}

/// Fails for DER, which begins with the tag of a SEQUENCE, `0x30`. Text before PEM would not begin with that digit.
fn not_der(source: &str, pem: &[u8]) -> Result<(), ConfigError> {
    match pem {
        [b'0', length, ..] if *length >= 0x80 => {
            Err(ConfigError::Malformed { source: source.into(), reason: "this is DER and not PEM".into() })
        }
        _ => Ok(()),
    }
}

fn malformed_pem(source: &str, error: &pem::Error) -> ConfigError {
    let reason = match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("there is no -----END {}-----", end_marker.escape_ascii())
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("a section begins with {}", line.escape_ascii())
        }
        error => error.to_string(),
    };
    ConfigError::Malformed { source: source.into(), reason }
}
