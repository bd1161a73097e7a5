//! The objects of RFC 8555 §7.1, out of JSON. Knows no order of requests.

use crate::DOMAINS_MAX;
use crate::failure::{FailureKind, Problem, text};
use crate::key::{AccountKey, CertificateKey, KeyError};
use serde_json::Value;
use std::fmt;

/// Bytes of a URL of an authority.
const URL_BYTES_MAX: usize = 2_048;
/// Bytes of a token. RFC 8555 §8.1 wants 22 at least.
const TOKEN_BYTES_MAX: usize = 256;
/// Challenges of an authorization that are looked at.
const CHALLENGES_MAX: usize = 32;

/// How an authority validates that a domain is under the control of who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChallengeKind {
    /// By a request to port 80 of the domain. RFC 8555 §8.3.
    Http01,
    /// By a TLS handshake with port 443 of the domain. RFC 8737.
    TlsAlpn01,
}

impl ChallengeKind {
    /// The name in the registry of RFC 8555 §9.7.8: `http-01`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Http01 => "http-01",
            Self::TlsAlpn01 => "tls-alpn-01",
        }
    }

    /// The challenge with this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Http01, Self::TlsAlpn01].into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for ChallengeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What has to be published so that an authority finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Validation {
    /// How it asks.
    pub kind: ChallengeKind,
    /// The domain that it asks, in lower case.
    pub domain: String,
    /// The last segment of the path that it asks for by http-01, behind `/.well-known/acme-challenge/`: letters, digits, `-`, `_`.
    pub token: String,
    /// The content of the response by http-01. RFC 8555 §8.1.
    pub key_authorization: String,
}

impl Validation {
    /// What is presented by tls-alpn-01: a certificate and its key, as DER.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn certificate(&self) -> Result<(Vec<u8>, Vec<u8>), KeyError> {
        let key = CertificateKey::generate()?;
        Ok((key.validation_certificate(&self.domain, &self.key_authorization)?, key.to_der()))
    }
}

/// Where requests of each kind go. RFC 8555 §7.1.1.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) new_nonce: String,
    pub(crate) new_account: String,
    pub(crate) new_order: String,
    /// The URL below which each certificate has its renewal information. RFC 9773 §4.1.
    pub(crate) renewal_info: Option<String>,
    /// The terms of service, if there are any.
    pub(crate) terms: Option<String>,
    pub(crate) needs_external_account: bool,
}

/// An order. RFC 8555 §7.1.3.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) status: OrderStatus,
    pub(crate) authorizations: Vec<String>,
    pub(crate) finalize: String,
    pub(crate) certificate: Option<String>,
    pub(crate) error: Problem,
}

/// RFC 8555 §7.1.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrderStatus {
    Pending,
    Ready,
    Processing,
    Valid,
    Invalid,
}

/// An authorization. RFC 8555 §7.1.4.
#[derive(Debug)]
pub(crate) struct Authorization {
    pub(crate) status: AuthorizationStatus,
    pub(crate) domain: String,
    pub(crate) challenges: Vec<Challenge>,
}

/// RFC 8555 §7.1.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AuthorizationStatus {
    Pending,
    Valid,
    /// It is invalid, or not valid any more.
    Over,
}

/// A challenge. RFC 8555 §8.
#[derive(Debug)]
pub(crate) struct Challenge {
    pub(crate) kind: String,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) error: Option<Problem>,
}

fn malformed(what: &str) -> FailureKind {
    FailureKind::Malformed(what.to_owned())
}

/// JSON, whatever it says.
pub(crate) fn json(body: &[u8]) -> Result<Value, FailureKind> {
    serde_json::from_slice(body).map_err(|error| FailureKind::Malformed(format!("no JSON: {error}")))
}

/// RFC 8555 §6.1: "Use of HTTPS is REQUIRED."
pub(crate) fn url(text: Option<&str>, what: &str) -> Result<String, FailureKind> {
    let is_url = |url: &&str| {
        url.len() <= URL_BYTES_MAX
            && url.starts_with("https://")
            && url.bytes().all(|byte| byte.is_ascii_graphic())
    };
    text.filter(is_url).map(str::to_owned).ok_or_else(|| malformed(&format!("{what} is no https URL")))
}

/// `base64url` without padding, not empty: a token or a nonce. RFC 8555 §6.5.1, §8.1.
pub(crate) fn token(text: Option<&str>) -> Option<String> {
    let is_token = |text: &&str| {
        (1..=TOKEN_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    text.filter(is_token).map(str::to_owned)
}

impl Directory {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, FailureKind> {
        let value = json(body)?;
        let meta = &value["meta"];
        Ok(Self {
            new_nonce: url(value["newNonce"].as_str(), "newNonce")?,
            new_account: url(value["newAccount"].as_str(), "newAccount")?,
            new_order: url(value["newOrder"].as_str(), "newOrder")?,
            // An order does not need it: one that is none must not cost a certificate.
            renewal_info: url(value["renewalInfo"].as_str(), "renewalInfo").ok(),
            terms: meta["termsOfService"].as_str().map(|_| text(&meta["termsOfService"])),
            needs_external_account: meta["externalAccountRequired"].as_bool().unwrap_or_default(),
        })
    }
}

impl Order {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, FailureKind> {
        let value = json(body)?;
        let status = match value["status"].as_str() {
            Some("pending") => OrderStatus::Pending,
            Some("ready") => OrderStatus::Ready,
            Some("processing") => OrderStatus::Processing,
            Some("valid") => OrderStatus::Valid,
            Some("invalid") => OrderStatus::Invalid,
            _ => return Err(malformed("the status of an order is unknown")),
        };
        let urls = value["authorizations"].as_array().map(Vec::as_slice).unwrap_or_default();
        if urls.len() > DOMAINS_MAX {
            return Err(malformed("an order has too many authorizations"));
        }
        let authorizations = urls.iter().map(|value| url(value.as_str(), "an authorization"));
        let certificate = match &value["certificate"] {
            Value::Null => None,
            value => Some(url(value.as_str(), "certificate")?),
        };
        Ok(Self {
            status,
            authorizations: authorizations.collect::<Result<_, _>>()?,
            finalize: url(value["finalize"].as_str(), "finalize")?,
            certificate,
            error: Problem::of(&value["error"]),
        })
    }
}

impl Authorization {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, FailureKind> {
        let value = json(body)?;
        let status = match value["status"].as_str() {
            Some("pending") => AuthorizationStatus::Pending,
            Some("valid") => AuthorizationStatus::Valid,
            Some("invalid" | "deactivated" | "expired" | "revoked") => AuthorizationStatus::Over,
            _ => return Err(malformed("the status of an authorization is unknown")),
        };
        let identifier = &value["identifier"];
        let (Some("dns"), Some(domain)) = (identifier["type"].as_str(), identifier["value"].as_str()) else {
            return Err(malformed("an authorization without a DNS name"));
        };
        let challenges = value["challenges"].as_array().map(Vec::as_slice).unwrap_or_default();
        // What is not supported here may look like anything.
        let challenge = |value: &Value| {
            let error = &value["error"];
            Some(Challenge {
                kind: text(&value["type"]),
                url: url(value["url"].as_str(), "a challenge").ok()?,
                token: token(value["token"].as_str())?,
                error: error.is_object().then(|| Problem::of(error)),
            })
        };
        let challenges = challenges.iter().take(CHALLENGES_MAX).filter_map(challenge).collect();
        Ok(Self { status, domain: domain.to_ascii_lowercase(), challenges })
    }

    /// Its challenge of this kind.
    pub(crate) fn challenge(&self, kind: ChallengeKind) -> Result<&Challenge, FailureKind> {
        self.challenges.iter().find(|challenge| challenge.kind == kind.name()).ok_or_else(|| {
            let offered: Vec<_> = self.challenges.iter().map(|challenge| challenge.kind.as_str()).collect();
            FailureKind::Unsupported(format!(
                "the authority does not validate {} by {kind}, but by: {}",
                text(&self.domain.as_str().into()),
                offered.join(", ")
            ))
        })
    }

    /// Why it was not validated, as its challenges say.
    pub(crate) fn error(&self) -> Problem {
        self.challenges.iter().find_map(|challenge| challenge.error.clone()).unwrap_or_default()
    }
}

impl Challenge {
    pub(crate) fn validation(&self, kind: ChallengeKind, domain: &str, key: &AccountKey) -> Validation {
        Validation {
            kind,
            domain: domain.to_owned(),
            token: self.token.clone(),
            key_authorization: key.key_authorization(&self.token),
        }
    }
}

/// The chain of a response, if it is nothing but certificates in PEM: it goes into a file beside a key, which text of a peer must not
/// be able to replace. RFC 8555 §7.4.2, §9.1.
pub(crate) fn chain(body: &[u8]) -> Result<String, FailureKind> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = std::str::from_utf8(body).map_err(|_| malformed("the certificate is no PEM"))?;
    let is_base64 = |line: &str| {
        line.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
    };
    let (mut certificates, mut inside) = (0, false);
    for line in text.lines().map(str::trim_end).filter(|line| !line.is_empty()) {
        match (inside, line) {
            (false, BEGIN) => inside = true,
            (true, END) => (inside, certificates) = (false, certificates + 1),
            (true, line) if is_base64(line) => {}
            _ => return Err(malformed("the chain contains something else than certificates")),
        }
    }
    match (inside, certificates) {
        (false, 1..) => Ok(text.to_owned()),
        _ => Err(malformed("the chain is not complete")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_is_certificates_and_nothing_else() {
        const ONE: &str = "-----BEGIN CERTIFICATE-----\nMIIB+/=\nAAAA\n-----END CERTIFICATE-----\n";
        for good in [ONE.to_owned(), format!("{ONE}\n{ONE}"), ONE.replace('\n', "\r\n")] {
            assert_eq!(chain(good.as_bytes()), Ok(good));
        }
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        for bad in
            ["", "text", key, &format!("{ONE}{key}"), &format!("{ONE}text"), &ONE.replace("AAAA", "A A")]
        {
            assert!(chain(bad.as_bytes()).is_err(), "{bad}");
        }
        for cut in 0..ONE.trim_end().len() {
            assert!(chain(&ONE.as_bytes()[..cut]).is_err(), "{cut} bytes");
        }
        assert!(chain(b"\xff").is_err());
    }

    #[test]
    fn a_token_is_no_path() {
        for good in ["a", "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA", &"x".repeat(256)] {
            assert_eq!(token(Some(good)).as_deref(), Some(good));
        }
        for bad in ["", "../x", "a/b", "a b", "ä", "a=", &"x".repeat(257)] {
            assert_eq!(token(Some(bad)), None, "{bad}");
        }
        assert_eq!(token(None), None);
    }

    #[test]
    fn only_https_is_a_url() {
        assert!(url(Some("https://ca.example/a?b"), "it").is_ok());
        let long = format!("https://ca.example/{}", "a".repeat(URL_BYTES_MAX));
        for bad in ["http://ca.example/", "https://ca.example/\r\nx: y", "ftp:", "", &long] {
            assert!(url(Some(bad), "it").is_err(), "{bad}");
        }
    }
}
