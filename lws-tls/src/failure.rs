//! Translates rustls' errors to those of the seam.

use crate::names;
use crate::verify::{self, Refused};
use lws_loop_external::tls::{Alert, CertificateFault, Failure, Reason};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

/// The failure of a session. For a refused certificate it includes what the verifier has noted on this thread.
pub(crate) fn failure(error: &Error) -> Failure {
    let refused = verify::take_refused();
    Failure { reason: reason(error, refused), sent: sent(error) }
}

fn reason(error: &Error, refused: Option<Refused>) -> Reason {
    match error {
        Error::InvalidCertificate(error) => {
            let (subject, pinned) = refused.map_or_else(Default::default, |it| (it.subject, it.not_pinned));
            let fault = if pinned { CertificateFault::NotPinned } else { fault(error) };
            Reason::Certificate { subject, fault }
        }
        Error::NoCertificatesPresented => Reason::NoCertificate,
        Error::AlertReceived(alert) => Reason::AlertReceived(Alert(u8::from(*alert))),
        Error::PeerIncompatible(what) => Reason::Incompatible(format!("{what:?}").into()),
        Error::NoApplicationProtocol => Reason::NoProtocol,
        // Bytes that are not a TLS record have an unknown type, version or length.
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => Reason::NotTls,
        Error::General(what) => Reason::Configuration(what.as_str().into()),
        Error::FailedToGetCurrentTime | Error::FailedToGetRandomBytes => {
            Reason::Configuration(error.to_string().into())
        }
        error => Reason::Violation(error.to_string().into()),
    }
}

pub(crate) fn fault(error: &CertificateError) -> CertificateFault {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => CertificateFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            CertificateFault::NotYetValid
        }
        CertificateError::UnknownIssuer => CertificateFault::UnknownIssuer,
        CertificateError::NotValidForName => {
            CertificateFault::WrongName { expected: "this name".into(), presented: Box::new([]) }
        }
        CertificateError::NotValidForNameContext { expected, presented } => CertificateFault::WrongName {
            expected: expected.to_str().into(),
            presented: presented.clone().into(),
        },
        CertificateError::Revoked
        | CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => CertificateFault::Revoked,
        CertificateError::BadSignature
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            CertificateFault::Signature
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            CertificateFault::Purpose
        }
        // An error of `webpki` for which rustls has no variant.
        CertificateError::Other(other) => match other.0.to_string() {
            error if error == "CaUsedAsEndEntity" => CertificateFault::Authority,
            error => CertificateFault::Malformed(error.into()),
        },
        error => CertificateFault::Malformed(error.to_string().into()),
    }
}

/// The alert that rustls has sent for an error. rustls does not report it, so it follows RFC 8446 §6.2.
fn sent(error: &Error) -> Option<Alert> {
    let alert = match error {
        Error::AlertReceived(_) => return None,
        Error::InvalidCertificate(error) => error.clone().into(),
        Error::InvalidMessage(error) => (*error).into(),
        Error::NoCertificatesPresented => AlertDescription::CertificateRequired,
        Error::NoApplicationProtocol => AlertDescription::NoApplicationProtocol,
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            AlertDescription::UnexpectedMessage
        }
        Error::DecryptError => AlertDescription::BadRecordMac,
        Error::PeerSentOversizedRecord => AlertDescription::RecordOverflow,
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        ) => AlertDescription::ProtocolVersion,
        Error::PeerIncompatible(_) => AlertDescription::HandshakeFailure,
        Error::PeerMisbehaved(_) => AlertDescription::IllegalParameter,
        _ => AlertDescription::InternalError,
    };
    Some(Alert(u8::from(alert)))
}

/// The alert record `unrecognized_name`, in plaintext as no key is negotiated yet. RFC 6066 §3.
pub(crate) const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// The failure of a client that asked for an unknown name.
pub(crate) fn unknown_name(name: Option<&str>) -> Failure {
    Failure { reason: Reason::UnknownName(name.map(Into::into)), sent: Some(Alert(112)) }
}

/// The failure of a configuration that cannot make a session.
pub(crate) fn configuration(error: &Error) -> Failure {
    Failure::silent(Reason::Configuration(error.to_string().into()))
}

/// The names of the negotiated version, cipher suite and group.
pub(crate) fn agreed(state: &rustls::CommonState) -> (&'static str, &'static str, &'static str) {
    (
        state.protocol_version().map_or("", names::version_name),
        state.negotiated_cipher_suite().map_or("", |suite| names::suite_name(suite.suite())),
        state.negotiated_key_exchange_group().map_or("", |group| names::group_name(group.name())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::{ServerName, UnixTime};
    use std::sync::Arc;

    #[test]
    fn the_certificate_of_an_authority_is_reported_as_that() {
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("a root");
        let provider = Arc::new(names::provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let name = ServerName::try_from("a.example").expect("a name");
        let verified = verifier.expect("a verifier").verify_server_cert(
            certificate.der(),
            &[],
            &name,
            &[],
            UnixTime::now(),
        );
        match verified.expect_err("it is no server's") {
            Error::InvalidCertificate(error) => assert_eq!(fault(&error), CertificateFault::Authority),
            error => panic!("{error}"),
        }
    }
}
