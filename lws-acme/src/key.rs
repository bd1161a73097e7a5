//! Keys: the one that an account signs its requests with, and that of a certificate, both on the curve P-256; and the one that binds an
//! account to another.

use crate::jws::{base64url, fixed_signature};
use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    SigningKey,
};
use sha2::{Digest, Sha256};
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The key of an account. Clones are the same key.
#[derive(Clone)]
pub struct AccountKey {
    pair: Arc<KeyPair>,
}

/// The private key of a certificate.
pub struct CertificateKey {
    pair: KeyPair,
}

/// An account that an authority knows by other means than ACME, to which one of ACME is bound. RFC 8555 §7.3.4.
#[derive(Clone)]
pub struct ExternalAccount {
    key_id: String,
    mac: Hmac<Sha256>,
    /// For comparisons.
    key: Box<[u8]>,
}

/// A key could not be made, read or used: for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError(Box<str>);

impl KeyError {
    pub(crate) fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string().into())
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for KeyError {}

impl AccountKey {
    /// A new key, by the random numbers of the system.
    ///
    /// # Errors
    /// The system has none.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self { pair: Arc::new(generate()?) })
    }

    /// The key of PEM text as [`to_pem`](Self::to_pem) writes it: PKCS #8, on P-256.
    ///
    /// # Errors
    /// It is something else.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let pair = KeyPair::from_pem(pem).map_err(KeyError::new)?;
        if !pair.is_compatible(&PKCS_ECDSA_P256_SHA256) {
            return Err(KeyError::new("the key of an account has to be on the curve P-256"));
        }
        Ok(Self { pair: Arc::new(pair) })
    }

    /// The private key as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// The public key as a JSON Web Key, its members in the order that a thumbprint needs. RFC 7517 §4, RFC 7638 §3.2.
    pub(crate) fn jwk(&self) -> String {
        // An uncompressed point: 4, then both coordinates.
        let (x, y) =
            self.pair.der_bytes().get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
        format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, base64url(x), base64url(y))
    }

    /// What proves to an authority that the holder of this key has answered a challenge. RFC 8555 §8.1.
    #[must_use]
    pub fn key_authorization(&self, token: &str) -> String {
        format!("{token}.{}", base64url(&Sha256::digest(self.jwk())))
    }

    /// A signature of ES256 in its fixed form. RFC 7518 §3.4.
    pub(crate) fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        let signature = self.pair.sign(message).map_err(KeyError::new)?;
        fixed_signature(&signature).ok_or_else(|| KeyError::new("a signature has no form that is known"))
    }
}

impl CertificateKey {
    /// A new key, by the random numbers of the system.
    ///
    /// # Errors
    /// The system has none.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self { pair: generate()? })
    }

    /// The private key as PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// The request for a certificate of these domains, as DER. RFC 2986.
    ///
    /// # Errors
    /// One of them is no DNS name.
    pub fn request(&self, domains: &[String]) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::new(domains).map_err(KeyError::new)?;
        // The names stand in the extension; a common name is deprecated, and limited to 64 characters.
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.pair).map_err(KeyError::new)?;
        Ok(request.der().to_vec())
    }

    /// The certificate, as DER, that is presented with this key to the authority which validates `domain` by tls-alpn-01. RFC 8737
    /// §3.
    ///
    /// # Errors
    /// The domain is no DNS name.
    pub fn validation_certificate(&self, domain: &str, key_authorization: &str) -> Result<Vec<u8>, KeyError> {
        let mut params = CertificateParams::new([domain.to_owned()]).map_err(KeyError::new)?;
        params.distinguished_name = DistinguishedName::new();
        let digest = Sha256::digest(key_authorization);
        params.custom_extensions.push(CustomExtension::new_acme_identifier(&digest));
        let certificate = params.self_signed(&self.pair).map_err(KeyError::new)?;
        Ok(certificate.der().to_vec())
    }

    /// The private key as DER: PKCS #8.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        self.pair.serialize_der()
    }
}

impl ExternalAccount {
    /// The account of which the authority has said this identifier of a key and this key, in base64url, with or without padding.
    ///
    /// # Errors
    /// One of them is empty, or the key is no base64url.
    pub fn new(key_id: impl Into<String>, hmac_key: &str) -> Result<Self, KeyError> {
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let key = GeneralPurpose::new(&URL_SAFE, config).decode(hmac_key);
        // What was wrong would repeat a part of the key.
        let key = key.map_err(|_| KeyError::new("the key of an external account is no base64url"))?;
        let key_id = key_id.into();
        if key_id.is_empty() || key.is_empty() {
            return Err(KeyError::new("an external account has the identifier of a key, and the key"));
        }
        let mac = Hmac::new_from_slice(&key).map_err(KeyError::new)?;
        Ok(Self { key_id, mac, key: key.into() })
    }

    pub(crate) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// An HMAC-SHA256, as `HS256` of RFC 7518 §3.2.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = self.mac.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }
}

impl PartialEq for ExternalAccount {
    fn eq(&self, other: &Self) -> bool {
        (&self.key_id, &self.key) == (&other.key_id, &other.key)
    }
}

impl Eq for ExternalAccount {}

impl fmt::Debug for ExternalAccount {
    /// Formats nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

fn generate() -> Result<KeyPair, KeyError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(KeyError::new)
}

impl fmt::Debug for AccountKey {
    /// Formats the public key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccountKey").field(&self.jwk()).finish()
    }
}

impl fmt::Debug for CertificateKey {
    /// Formats nothing of the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateKey").finish_non_exhaustive()
    }
}
