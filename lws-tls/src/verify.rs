//! Certificate verifiers: WebPKI's, which notes the subject of a refused certificate; one for pinned certificates;
//! and one that accepts all.

use crate::der;
use crate::pin::Pin;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, hash};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::cell::Cell;
use std::sync::Arc;

/// The description of a refused certificate.
#[derive(Default)]
pub(crate) struct Refused {
    pub(crate) subject: Box<str>,
    pub(crate) not_pinned: bool,
}

thread_local! {
    /// rustls' errors do not name the refused certificate, and its sessions do not keep it. A session verifies in the
    /// middle of a call on one thread, and takes this note right after that call.
    static REFUSED: Cell<Option<Refused>> = const { Cell::new(None) };
}

/// Takes the note of this thread.
pub(crate) fn take_refused() -> Option<Refused> {
    REFUSED.take()
}

fn note<T>(result: Result<T, Error>, certificate: &CertificateDer<'_>) -> Result<T, Error> {
    if result.is_err() {
        let subject = der::subject(certificate).unwrap_or_default();
        REFUSED.set(Some(Refused { subject, not_pinned: false }));
    }
    result
}

/// The methods that both of rustls' verifier traits have.
macro_rules! noted_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            note(self.0.verify_tls12_signature(message, certificate, signature), certificate)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            note(self.0.verify_tls13_signature(message, certificate, signature), certificate)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.0.supported_verify_schemes()
        }
    };
}

/// A wrapper of another verifier that notes refusals.
#[derive(Debug)]
pub(crate) struct Noting<V: ?Sized>(pub(crate) Arc<V>);

impl ServerCertVerifier for Noting<dyn ServerCertVerifier> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let result = self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        note(result, end_entity)
    }

    noted_signatures!();
}

impl ClientCertVerifier for Noting<dyn ClientCertVerifier> {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        note(self.0.verify_client_cert(end_entity, intermediates, now), end_entity)
    }

    noted_signatures!();
}

/// A verifier that accepts pinned certificates, or any certificate, without checking issuers, names and validity. It
/// still checks that the peer has the key of its certificate.
#[derive(Debug)]
pub(crate) struct Pinned {
    pub(crate) provider: Arc<CryptoProvider>,
    /// `None` accepts any certificate.
    pub(crate) pins: Option<Vec<Pin>>,
}

impl Pinned {
    fn accepts(&self, certificate: &CertificateDer<'_>) -> bool {
        let Some(pins) = &self.pins else { return true };
        let fingerprint = sha256(&self.provider, certificate);
        pins.iter().any(|pin| match pin {
            Pin::Certificate(der) => **der == **certificate,
            Pin::Sha256(expected) => fingerprint.as_ref().is_some_and(|found| found.as_ref() == expected),
        })
    }
}

/// Computes SHA-256 with the hash of a cipher suite that uses it.
fn sha256(provider: &CryptoProvider, bytes: &[u8]) -> Option<hash::Output> {
    let hashes = provider.cipher_suites.iter().map(|suite| match suite {
        rustls::SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
        rustls::SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
    });
    let mut hashes = hashes.filter(|hash| hash.algorithm() == hash::HashAlgorithm::SHA256);
    hashes.next().map(|hash| hash.hash(bytes))
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.accepts(end_entity) {
            return Ok(ServerCertVerified::assertion());
        }
        let subject = der::subject(end_entity).unwrap_or_default();
        REFUSED.set(Some(Refused { subject, not_pinned: true }));
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let result = rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms);
        note(result, certificate)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        let result = rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms);
        note(result, certificate)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
