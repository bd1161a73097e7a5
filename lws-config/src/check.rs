//! What each part of a configuration cannot see alone: hosts that hide each other, mounts that nothing reaches.

use crate::model::{Config, Listen, Origin, Vhost};
use crate::report::{Report, Severity};
use std::collections::HashMap;

/// Looks at a whole configuration.
pub(crate) fn check(config: &Config, report: &mut Report) {
    if config.vhosts.is_empty() && !report.has_errors() {
        report.add(Severity::Error, None, "there is no virtual host in any file");
    }
    same_names(&config.vhosts, report);
    let needs_tls = |vhost: &&Vhost| vhost.tls.is_some() && !config.global.tls;
    for vhost in config.vhosts.iter().filter(needs_tls) {
        let message = "has certificates, but \"init-ssl\" is off in \"global\"";
        report.add(Severity::Error, Some(vhost.location.clone()), message);
    }
    shared_files(&config.vhosts, report);
    for vhost in &config.vhosts {
        hidden_mounts(vhost, report);
        unknown_protocols(vhost, report);
        passwords_in_clear(vhost, report);
    }
}

/// Two hosts of one name where the same connection could mean either.
fn same_names(vhosts: &[Vhost], report: &mut Report) {
    let mut met: HashMap<(&Listen, String), &Vhost> = HashMap::new();
    for vhost in vhosts {
        let key = (&vhost.listen, vhost.name.to_ascii_lowercase());
        if let Some(first) = met.get(&key) {
            let message = format!("\"{}\" listens there already: {}", vhost.name, first.location);
            report.add(Severity::Error, Some(vhost.location.clone()), message);
        } else {
            met.insert(key, vhost);
        }
    }
}

/// Certificates that are ordered in different ways and kept in one file.
fn shared_files(vhosts: &[Vhost], report: &mut Report) {
    let mut met = HashMap::new();
    for (vhost, acme) in vhosts.iter().filter_map(|vhost| Some((vhost, vhost.acme.as_ref()?))) {
        let first = *met.entry(acme.certificate_file()).or_insert(acme);
        if first != acme {
            let file = acme.certificate_file().display().to_string();
            let message =
                format!("{file} is that of another host, whose \"acme\" differs: name other domains first");
            report.add(Severity::Error, Some(vhost.location.clone()), message);
        }
    }
}

/// Mounts of one path, of which the first one answers.
fn hidden_mounts(vhost: &Vhost, report: &mut Report) {
    let mut met = HashMap::new();
    for mount in &vhost.mounts {
        let path = mount.path.trim_end_matches('/');
        if let Some(first) = met.insert(path, mount) {
            let message = format!("nothing reaches this mount: {} has its path", first.location);
            report.add(Severity::Warning, Some(mount.location.clone()), message);
            met.insert(path, first);
        }
    }
}

/// Protocols that a mount names and the host does not have.
fn unknown_protocols(vhost: &Vhost, report: &mut Report) {
    for mount in &vhost.mounts {
        let direct = if let Origin::Protocol(name) = &mount.origin { Some(name) } else { None };
        for name in direct.into_iter().chain(&mount.fallback_protocol) {
            if !vhost.protocols.iter().any(|protocol| protocol.name == *name) {
                let message =
                    format!("the protocol \"{name}\" is not among the \"ws-protocols\" of its host");
                report.add(Severity::Warning, Some(mount.location.clone()), message);
            }
        }
    }
}

/// Passwords that anybody on the way can read.
fn passwords_in_clear(vhost: &Vhost, report: &mut Report) {
    let is_local = matches!(vhost.listen, Listen::Unix { .. });
    if vhost.tls.is_some() || is_local {
        return;
    }
    for mount in vhost.mounts.iter().filter(|mount| mount.basic_auth.is_some()) {
        let message = "\"basic-auth\" without TLS: anybody on the way reads the passwords";
        report.add(Severity::Warning, Some(mount.location.clone()), message);
    }
    if vhost.protocols.iter().any(|protocol| protocol.basic_auth.is_some()) {
        let message = "\"basic-auth\" of a protocol without TLS: anybody on the way reads the passwords";
        report.add(Severity::Warning, Some(vhost.location.clone()), message);
    }
}
