//! What is said of a configuration before it is served: what it names that has no effect, or not the one that was meant.

use super::programs;
use super::protocols::{self, HostProtocols};
use super::sessions;
use super::sites::{can_decide, is_raw, mount_of};
use crate::proxy;
use lws_config::{AcmeChallenge, Config, Listen, Location, Mount, Origin, Vhost};
use lws_plugin::{Registry, SessionKind};
use std::fmt;

/// Something that a person should know of a configuration, with its place there.
#[derive(Clone, Debug)]
pub(super) struct Remark {
    location: Option<Location>,
    message: String,
}

impl Remark {
    /// Something has no effect, or not the one that was meant.
    pub(super) fn warning(at: &Location, message: impl fmt::Display) -> Self {
        Self { location: Some(at.clone()), message: format!("warning: {message}") }
    }

    /// Something cannot be served.
    pub(super) fn error(at: &Location, message: impl Into<String>) -> Self {
        Self { location: Some(at.clone()), message: message.into() }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(location) => write!(f, "{location}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// What of a configuration is not served, and what is instead.
pub(super) fn remarks(config: &Config, registry: &Registry) -> Vec<Remark> {
    let mut remarks = Vec::new();
    let mut global = |is_there: bool, what: &str| {
        if is_there {
            remarks.push(Remark { location: None, message: format!("warning: {what}") });
        }
    };
    let given = &config.global;
    global(given.server.is_some(), "server-string has no effect: no response has a Server field");
    global(!given.rejected_user_agents.is_empty(), "reject-service-keywords has no effect yet");
    global(given.timeout.is_some(), "timeout-secs has no effect yet: deadlines are those of the server");
    global(given.blocking_threads.is_some(), "count-async-threads has no effect yet");
    remarks_on_challenges(config, &mut remarks);
    for vhost in &config.vhosts {
        remarks_on_host(vhost, registry, &mut remarks);
        vhost.mounts.iter().for_each(|mount| remarks_on_mount(vhost, mount, registry, &mut remarks));
    }
    remarks.extend(protocols::unknown(config, registry));
    remarks
}

/// Domains that are validated where nothing is served.
fn remarks_on_challenges(config: &Config, remarks: &mut Vec<Remark>) {
    let serves = |wanted: u16, with_tls: bool| {
        let at = |vhost: &Vhost| matches!(vhost.listen, Listen::Tcp { port, .. } if port == wanted);
        config.vhosts.iter().any(|vhost| at(vhost) && vhost.tls.is_some() == with_tls)
    };
    for (vhost, acme) in config.vhosts.iter().filter_map(|vhost| Some((vhost, vhost.acme.as_ref()?))) {
        let (port, with_tls, name) = match acme.challenge {
            AcmeChallenge::Http01 => (80, false, "http-01"),
            _ => (443, true, "tls-alpn-01"),
        };
        if !serves(port, with_tls) {
            let message =
                format!("authorities ask for {name} at port {port}, where no host of this kind listens");
            remarks.push(Remark::warning(&vhost.location, message));
        }
    }
}

fn remarks_on_host(vhost: &Vhost, registry: &Registry, remarks: &mut Vec<Remark>) {
    let mut say = |is_there: bool, what: &str| {
        if is_there {
            remarks.push(Remark::warning(&vhost.location, what));
        }
    };
    say(vhost.access_log.is_some(), "access-log has no effect: the log of all hosts is that of --access-log");
    let owner = matches!(&vhost.listen, Listen::Unix { owner: Some(_), .. });
    say(owner, "unix-socket-perms has no effect yet: the socket is the user's who starts the server");
    let tls = vhost.tls.as_ref();
    let suites =
        tls.is_some_and(|tls| tls.ciphers.is_some() || tls.tls13_ciphers.is_some() || tls.curve.is_some());
    say(
        suites,
        "ciphers, tls13-ciphers and ecdh-curve have no effect yet: they are those of the TLS library",
    );
    let may_be_missing = tls.is_some_and(|tls| tls.may_be_missing);
    say(may_be_missing, "ignore-missing-cert has no effect: certificates have to be there");
    say(
        vhost.client_tls.is_some(),
        "enable-client-ssl has no effect yet: other servers are trusted by the roots of the system",
    );
    say(vhost.fast_open_queue.is_some(), "fo-listen-queue has no effect: there is no TCP Fast Open");
    let has_raw = HostProtocols::looked_at(vhost, registry).has_raw(vhost);
    say(
        vhost.accept_as.as_fallback && !has_raw,
        "fallback-listen-accept has no effect: the host has no protocol of raw connections, and what is no HTTP is answered 400",
    );
    say(
        is_raw(vhost) && !has_raw,
        "raw connections are not served: the host has no protocol for them that wants no password, and requests are answered 404",
    );
}

fn remarks_on_mount(vhost: &Vhost, mount: &Mount, registry: &Registry, remarks: &mut Vec<Remark>) {
    let mut say = |is_there: bool, what: &str| {
        if is_there {
            remarks.push(Remark::warning(&mount.location, what));
        }
    };
    let is_confined = matches!(&mount.origin, Origin::Cgi(_)) && programs::is_confined(mount);
    say(is_confined, "programs with a cgi-chroot cannot be served yet: requests are answered 404");
    if let Origin::Protocol(name) = &mount.origin {
        let plugin = registry.find(name).ok();
        let answers = plugin.is_some_and(|plugin| plugin.plugin().kinds().contains(&SessionKind::Http));
        say(!answers, &format!("no protocol \"{name}\" answers requests: they are answered 404"));
    }
    if let Some(Err(error)) = proxy::upstream(mount) {
        say(true, &format!("the origin cannot be served: {error}: requests are answered 404"));
    }
    let undecided = mount.interceptor.as_ref();
    let undecided = undecided.filter(|path| !mount_of(vhost, path).is_some_and(can_decide));
    say(
        undecided.is_some(),
        "interceptor-path leads to no mount that can decide, which are http://, https:// and cgi://: the mount is not served",
    );
    say(
        !sessions::are_known(vhost, mount),
        "auth-mask is about sessions, and the host has no session-key by which they are signed: the mount is not served",
    );
    for (end, protocol) in &mount.interpreters {
        let what = format!(
            "interpret has no effect: files that end in {end} are sent as they are, as no protocol \"{protocol}\" that rewrites \
             pages is built in"
        );
        say(true, &what);
    }
    say(
        mount.fallback_protocol.is_some(),
        "the origin with callback:// has no effect yet: it hears of nothing",
    );
    say(mount.keep_alive_timeout.is_some(), "keepalive-timeout has no effect yet: that of the host holds");
}
