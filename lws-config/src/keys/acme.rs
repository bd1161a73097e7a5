//! The object `acme` of a virtual host, which is this server's own: certificates that are ordered of an authority (RFC 8555).
//!
//! libwebsockets orders them with a plugin, whose options in `ws-protocols` are refused with the names that they have here.

use super::{Key, Shape, read_object};
use crate::model::{Acme, AcmeChallenge, ExternalAccount, Protocol, Secret};
use crate::scalar::Reader;
use crate::tree::Cursor;
use std::path::PathBuf;

/// The plugin of libwebsockets that orders certificates.
const PLUGIN: &str = "lws-acme-client";

/// Domains that one certificate may have, as authorities commonly allow.
const DOMAINS_MAX: usize = 100;

/// The object as far as it has been read.
#[derive(Debug, Default)]
pub(crate) struct AcmeDraft {
    directory: Option<String>,
    state_directory: Option<PathBuf>,
    contacts: Vec<String>,
    domains: Vec<String>,
    challenge: AcmeChallenge,
    terms_agreed: bool,
    directory_authorities: Option<PathBuf>,
    external_id: Option<String>,
    external_key: Option<Secret>,
}

pub(crate) static KEYS: &[Key<AcmeDraft>] = &[
    Key::read("directory", Shape::Text, "the https URL of the authority's directory", |acme, at, reader| {
        acme.directory = directory(at, reader);
    }),
    Key::read(
        "state-directory",
        Shape::Text,
        "folder of the account's key and of the certificates, which has to be the server's own",
        |acme, at, reader| acme.state_directory = reader.path(at),
    ),
    Key::read(
        "contact",
        Shape::Texts,
        "where the authority may reach you, such as mailto:admin@example.org",
        |acme, at, reader| contacts(&mut acme.contacts, at, reader),
    ),
    Key::read(
        "domains",
        Shape::Texts,
        "names of the certificate; by default that of the host",
        |acme, at, reader| {
            reader.texts(at, &mut acme.domains);
        },
    ),
    Key::read(
        "challenge",
        Shape::Text,
        "how domains are validated: tls-alpn-01 (port 443, the default) or http-01 (port 80)",
        |acme, at, reader| acme.challenge = challenge(at, reader).unwrap_or_default(),
    ),
    Key::read(
        "terms-agreed",
        Shape::Switch,
        "you agree to the authority's terms of service",
        |acme, at, reader| {
            acme.terms_agreed = reader.switch(at).unwrap_or_default();
        },
    ),
    Key::read(
        "directory-ca",
        Shape::Text,
        "PEM file of the roots that vouch for the directory; by default those of the system",
        |acme, at, reader| acme.directory_authorities = reader.path(at),
    ),
    Key::read(
        "external-account-id",
        Shape::Text,
        "the identifier of the key of your account at the authority, where it binds accounts (EAB)",
        |acme, at, reader| acme.external_id = reader.name(at),
    ),
    Key::read(
        "external-account-key",
        Shape::Text,
        "the HMAC key of that account, in base64url; it is never shown",
        |acme, at, reader| acme.external_key = external_key(at, reader),
    ),
];

/// Reads the object.
pub(crate) fn read(acme: &mut Option<AcmeDraft>, at: &Cursor<'_>, reader: &mut Reader<'_>) {
    read_object(acme.get_or_insert_default(), at, KEYS, reader);
}

fn directory(at: &Cursor<'_>, reader: &mut Reader<'_>) -> Option<String> {
    let url = reader.name(at)?;
    if !url.starts_with("https://") {
        reader.report.error(at, format!("\"{url}\" is no https URL, which RFC 8555 wants"));
    }
    Some(url)
}

fn contacts(contacts: &mut Vec<String>, at: &Cursor<'_>, reader: &mut Reader<'_>) {
    let first = contacts.len();
    reader.texts(at, contacts);
    for wrong in contacts[first..].iter().filter(|contact| !contact.contains(':')) {
        reader.report.error(at, format!("\"{wrong}\" is no URL; is \"mailto:{wrong}\" meant?"));
    }
}

/// A key in base64url, RFC 4648 §5. What is wrong with it does not repeat it.
fn external_key(at: &Cursor<'_>, reader: &mut Reader<'_>) -> Option<Secret> {
    let key = reader.name(at)?;
    let digits = key.trim_end_matches('=');
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if digits.is_empty() || digits.len() % 4 == 1 || !digits.bytes().all(is_digit) {
        reader.report.error(at, "this is no key in base64url, which has letters, digits, \"-\" and \"_\"");
        return None;
    }
    Some(Secret::new(key))
}

fn challenge(at: &Cursor<'_>, reader: &mut Reader<'_>) -> Option<AcmeChallenge> {
    match reader.text(at)?.as_str() {
        "tls-alpn-01" => Some(AcmeChallenge::TlsAlpn01),
        "http-01" => Some(AcmeChallenge::Http01),
        other => {
            let message =
                format!("\"{other}\" is no challenge that can be had, which are tls-alpn-01 and http-01");
            reader.report.error(at, message);
            None
        }
    }
}

impl AcmeDraft {
    /// What was read, for a host of this name.
    pub(crate) fn finish(self, host: Option<&str>, at: &Cursor<'_>, reader: &mut Reader<'_>) -> Option<Acme> {
        if self.directory.is_none() {
            reader.report.error(at, "\"acme\" without the \"directory\" of an authority");
        }
        if self.state_directory.is_none() {
            reader.report.error(at, "\"acme\" without a \"state-directory\" for certificates");
        }
        if !self.terms_agreed {
            let message =
                "without \"terms-agreed\" in \"acme\" an authority that has terms of service issues nothing";
            reader.report.warning(at, message);
        }
        if self.external_id.is_some() != self.external_key.is_some() {
            let message =
                "\"external-account-id\" and \"external-account-key\" go together, and one is missing";
            reader.report.error(at, message);
        }
        let mut domains = self.domains;
        if domains.is_empty() {
            domains.extend(host.map(str::to_owned));
        }
        if domains.len() > DOMAINS_MAX {
            reader.report.error(at, format!("more than {DOMAINS_MAX} domains for one certificate"));
        }
        domains.iter_mut().for_each(|domain| domain.make_ascii_lowercase());
        for domain in &domains {
            if let Some(why) = unusable(domain) {
                reader.report.error(at, format!("no certificate can be ordered for \"{domain}\": {why}"));
            }
        }
        Some(Acme {
            directory: self.directory?,
            state_directory: self.state_directory?,
            contacts: self.contacts,
            domains,
            challenge: self.challenge,
            terms_agreed: self.terms_agreed,
            directory_authorities: self.directory_authorities,
            external_account: self
                .external_id
                .zip(self.external_key)
                .map(|(key_id, hmac_key)| ExternalAccount { key_id, hmac_key }),
        })
    }
}

/// Why an authority that can be asked here does not issue for a name.
fn unusable(domain: &str) -> Option<&'static str> {
    let is_label = |label: &str| {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(good)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = domain.rsplit('.').next().unwrap_or_default();
    if domain.starts_with("*.") {
        Some("a wildcard is validated in the DNS, which is not supported")
    } else if domain.contains(':') || (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())) {
        Some("it is an address; list the names in \"domains\"")
    } else if !domain.contains('.') {
        Some("it has no dot; list the names in \"domains\"")
    } else if domain.len() > 253 || !domain.split('.').all(is_label) {
        Some("it is no name of the DNS; one with other letters is written as xn--")
    } else {
        None
    }
}

/// Refuses the plugin of libwebsockets, with the names that its options have here.
pub(crate) fn refuse_plugin(protocols: &[Protocol], at: &Cursor<'_>, reader: &mut Reader<'_>) {
    let Some(plugin) = protocols.iter().find(|protocol| protocol.name == PLUGIN) else { return };
    let named = plugin.options.iter().map(|(name, _)| format!("\"{name}\" {}", counterpart(name)));
    let named: Vec<_> = named.collect();
    let named = if named.is_empty() { String::new() } else { format!(": {}", named.join(", ")) };
    let message = format!("\"{PLUGIN}\" is no protocol here: say \"acme\" in the virtual host{named}");
    reader.report.error(at, message);
}

/// What stands here for an option of the plugin.
fn counterpart(name: &str) -> &'static str {
    match name {
        "directory-url" => "is \"directory\"",
        "email" => "is \"contact\", with mailto: before it",
        "common-name" | "subject-alt-name" => "is \"domains\"",
        "auth-path" | "cert-path" | "key-path" => "is a file in \"state-directory\"",
        "country" | "state" | "locality" | "organization" => "is left out, as authorities ignore it",
        _ => "has no counterpart",
    }
}
