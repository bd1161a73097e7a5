//! Versions, cipher suites, groups and protocols by their registered names.

use crate::ConfigError;
use rustls::crypto::CryptoProvider;
use rustls::{CipherSuite, NamedGroup, ProtocolVersion, SupportedProtocolVersion};
use std::sync::Arc;

/// The versions, cipher suites and groups that a configuration selects. An empty list selects all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    pub(crate) versions: Vec<String>,
    pub(crate) cipher_suites: Vec<String>,
    pub(crate) groups: Vec<String>,
}

/// The built-in cryptography provider.
pub(crate) fn provider() -> CryptoProvider {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    rustls::crypto::ring::default_provider()
}

/// The ticketer of the built-in provider.
pub(crate) fn ticketer() -> Result<Arc<dyn rustls::server::ProducesTickets>, rustls::Error> {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::Ticketer::new();
    #[cfg(not(feature = "aws-lc-rs"))]
    rustls::crypto::ring::Ticketer::new()
}

impl Choice {
    /// The provider with the selected suites and groups, in the selected order.
    pub(crate) fn provider(&self) -> Result<Arc<CryptoProvider>, ConfigError> {
        let mut provider = provider();
        let suites = |suite: &rustls::SupportedCipherSuite| suite_name(suite.suite());
        provider.cipher_suites = choose("cipher suite", provider.cipher_suites, suites, &self.cipher_suites)?;
        let group = |group: &&'static dyn rustls::crypto::SupportedKxGroup| group_name(group.name());
        provider.kx_groups = choose("group", provider.kx_groups, group, &self.groups)?;
        Ok(Arc::new(provider))
    }

    /// The selected versions.
    pub(crate) fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, ConfigError> {
        let name = |version: &&'static SupportedProtocolVersion| version_name(version.version);
        choose("version", rustls::ALL_VERSIONS.to_vec(), name, &self.versions)
    }
}

/// Protocol names in the form of ALPN. RFC 7301 §3.1.
pub(crate) fn octets(protocols: &[&str]) -> Vec<Vec<u8>> {
    protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect()
}

fn choose<T: Copy>(
    what: &'static str,
    all: Vec<T>,
    name_of: impl Fn(&T) -> &'static str,
    names: &[String],
) -> Result<Vec<T>, ConfigError> {
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let found = all.iter().find(|one| name_of(one).eq_ignore_ascii_case(name));
        found.copied().ok_or_else(|| ConfigError::Unknown {
            what,
            name: name.clone(),
            known: all.iter().map(&name_of).collect(),
        })
    };
    names.iter().map(find).collect()
}

/// The name of a version, such as `TLSv1.3`.
pub(crate) fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        _ => "unknown",
    }
}

/// The name of a cipher suite in the TLS Cipher Suites registry. rustls has other names for those of TLS 1.3.
pub(crate) fn suite_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}

/// The name of a group in the TLS Supported Groups registry.
pub(crate) fn group_name(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::X25519 => "x25519",
        NamedGroup::X448 => "x448",
        other => other.as_str().unwrap_or("unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn registered_names_choose_in_their_order_and_unknown_ones_are_reported() {
        let choice = Choice {
            versions: strings(&["TLSv1.3"]),
            cipher_suites: strings(&["TLS_CHACHA20_POLY1305_SHA256", "tls_aes_128_gcm_sha256"]),
            groups: strings(&["secp256r1", "X25519"]),
        };
        let provider = choice.provider().expect("known names");
        let suites: Vec<_> = provider.cipher_suites.iter().map(|suite| suite_name(suite.suite())).collect();
        assert_eq!(suites, ["TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"]);
        let groups: Vec<_> = provider.kx_groups.iter().map(|group| group_name(group.name())).collect();
        assert_eq!(groups, ["secp256r1", "x25519"]);
        assert_eq!(choice.versions().expect("known").len(), 1);

        let check = |choice: Choice, expected: &str| {
            let error = choice.provider().err().or(choice.versions().err()).expect("an error").to_string();
            assert!(error.starts_with(expected), "{error}");
        };
        check(
            Choice { versions: strings(&["SSLv3"]), ..Choice::default() },
            "unknown version SSLv3; known are TLSv1.3, TLSv1.2",
        );
        check(
            Choice { cipher_suites: strings(&["RC4-MD5"]), ..Choice::default() },
            "unknown cipher suite RC4-MD5; known are TLS_AES_256_GCM_SHA384, ",
        );
        check(
            Choice { groups: strings(&["secp112r1"]), ..Choice::default() },
            "unknown group secp112r1; known are ",
        );
    }
}
