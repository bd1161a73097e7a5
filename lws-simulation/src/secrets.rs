//! The TLS configurations of a run, with a certificate that is the same in every run.

use lws_loop_external::tls::Provider;
use lws_tls::{Client, Host, Identity, Roots, Server};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519, SerialNumber};
use std::sync::{Arc, OnceLock};

/// Both sides of TLS, without sessions from each other or from earlier runs.
pub(crate) struct Secrets {
    pub(crate) server: Server,
    pub(crate) http1: Arc<dyn Provider>,
    pub(crate) http2: Arc<dyn Provider>,
}

/// PKCS #8 of an Ed25519 key, RFC 8410 §7, up to its 32 octets. Its signatures are of one length, and the same for the same
/// octets, so that no run depends on them.
const KEY_HEAD: [u8; 16] = *b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// Certificate and key as PEM.
fn pem() -> Option<&'static (String, String)> {
    static MADE: OnceLock<Option<(String, String)>> = OnceLock::new();
    MADE.get_or_init(|| {
        let der: Vec<u8> = KEY_HEAD.into_iter().chain(1..=32).collect();
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&der.into(), &PKCS_ED25519).ok()?;
        let mut params = CertificateParams::new(["localhost".to_owned()]).ok()?;
        params.serial_number = Some(SerialNumber::from(1));
        Some((params.self_signed(&key).ok()?.pem(), key.serialize_pem()))
    })
    .as_ref()
}

impl Secrets {
    pub(crate) fn new() -> Option<Self> {
        let (certificate, key) = pem()?;
        let identity = Identity::pem(certificate.as_bytes(), key.as_bytes());
        let server = Server::builder().default_host(Host::new(identity)).build().ok()?;
        let client = |protocol: &str| {
            let builder = Client::builder().roots(Roots::pem(certificate.clone())).alpn(&[protocol]);
            builder.build().and_then(|client| client.to("localhost")).ok()
        };
        Some(Self { server, http1: client("http/1.1")?, http2: client("h2")? })
    }
}
