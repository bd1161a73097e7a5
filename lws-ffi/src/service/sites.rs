//! Sites of a configuration in JSON, as the program `lwsws` reads it. What of one cannot be served here is refused by name: nothing of a
//! configuration is passed over in silence.

use crate::error::{self, Error};
use crate::service::handlers::{Callbacks, Handler, RouteEndpoint};
use crate::service::{Service, enter};
use crate::sys::{In, Ref};
use lws_config::{Cache, Config, Global, Listen, Location, Mount, Origin, Vhost};
use lws_server::files::{CacheControl, Files, Types};
use lws_server::http::Status;
use lws_server::{Bind, ListenOptions, Methods, Redirect, Route, Site, Takes};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::c_char;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// What libwebsockets tells browsers where a host says "sts". RFC 6797.
const STRICT_TRANSPORT_SECURITY: Duration = Duration::from_secs(15_768_000);

/// Sites that are to be served, with everything opened that a mistake may be in.
#[derive(Default)]
pub(crate) struct PlannedSites {
    configs: Vec<Prepared>,
    protocols: BTreeMap<String, Rc<Callbacks>>,
}

/// A configuration whose folders and certificates have been read.
struct Prepared {
    config: Config,
    files: Vec<Vec<Option<Files>>>,
    /// TLS of each host, by its number.
    tls: Vec<Option<super::plan::TlsServer>>,
}

impl PlannedSites {
    fn add(&mut self, config: Config) -> Result<(), Error> {
        check_global(&config.global)?;
        for vhost in &config.vhosts {
            check_host(vhost)?;
            vhost.mounts.iter().try_for_each(check_mount)?;
        }
        let hosts = config.vhosts.iter();
        let files = hosts.map(|vhost| vhost.mounts.iter().map(open).collect::<Result<Vec<_>, Error>>());
        let files = files.collect::<Result<Vec<_>, Error>>()?;
        let tls = config.vhosts.iter().map(|vhost| certificates(&config, vhost));
        let tls = tls.collect::<Result<Vec<_>, Error>>()?;
        self.configs.push(Prepared { config, files, tls });
        Ok(())
    }

    /// Makes the sites, with the handlers that their protocols are called for.
    pub(crate) fn build(self, service: &Rc<Service>) -> Result<Vec<Site>, Error> {
        let Self { configs, protocols } = self;
        let mut sites = Vec::new();
        for prepared in configs {
            let hosts = prepared.config.vhosts.iter().zip(prepared.files).zip(prepared.tls);
            for (index, ((vhost, files), tls)) in hosts.enumerate() {
                let mut site = site(vhost, &prepared.config.vhosts[..index], tls);
                for (mount, files) in vhost.mounts.iter().zip(files) {
                    let mut route = match files {
                        Some(files) => Route::files(mount.path.clone(), files),
                        None => route(service, &protocols, mount)?,
                    };
                    route.options.fields = fields(&mount.headers);
                    site.routes.push(route);
                }
                add_websockets(service, &protocols, vhost, &mut site)?;
                sites.push(site);
            }
        }
        Ok(sites)
    }
}

fn refuse(location: &Location, what: &dyn fmt::Display) -> Error {
    error::argument(&format_args!("{location}: {what}"));
    Error::Unsupported
}

/// What holds for a whole process is for the program to say, by `lwx_service_options`. Whether there is TLS at all, the hosts show.
fn check_global(global: &Global) -> Result<(), Error> {
    let mut allowed = Global::default();
    allowed.tls = global.tls;
    if *global == allowed {
        return Ok(());
    }
    error::argument(&"/global: what holds for the whole process is the program's to say");
    Err(Error::Unsupported)
}

/// The one of the limits of a host that `keepalive_timeout` is, too.
const KEEP_ALIVE_TIMEOUT: &str = "keep-alive-timeout-ms";

/// What of a host cannot be served.
fn check_host(vhost: &Vhost) -> Result<(), Error> {
    let tls = vhost.tls.as_ref();
    let unserved = [
        (vhost.access_log.is_some(), "access-log: lwx_service_options has a log for all"),
        (vhost.raw_only || vhost.accept_as.role.is_some(), "raw connections: lwx_listen() has them"),
        (vhost.client_tls.is_some(), "enable-client-ssl"),
        (vhost.fast_open_queue.is_some(), "fo-listen-queue"),
        (tls.is_some_and(|tls| tls.client_certificate), "client-cert-required"),
        (tls.is_some_and(|tls| tls.ciphers.is_some() || tls.tls13_ciphers.is_some()), "ciphers"),
        (matches!(vhost.listen, Listen::Unix { owner: Some(_), .. }), "unix-socket-perms"),
        (vhost.protocols.iter().any(|protocol| protocol.basic_auth.is_some()), "basic-auth of a protocol"),
        (vhost.limits.iter().any(|(name, _)| name != KEEP_ALIVE_TIMEOUT), "limits"),
        (vhost.websockets_need_protocol, "disable-no-protocol-ws-upgrades"),
        (vhost.plain_text != lws_config::PlainText::default(), "plain text at a port with TLS"),
        (vhost.alpn.is_some(), "alpn"),
        (vhost.sessions.is_some(), "session-key"),
        (vhost.not_found_page.is_some(), "error-document-404"),
        (!vhost.error_pages.is_empty(), "error-documents"),
        (vhost.half_closed_long_poll, "h2-half-closed-long-poll"),
        (
            vhost.protocols.len() > 1 && !vhost.protocols.iter().any(|protocol| protocol.is_default),
            "several protocols without a default",
        ),
    ];
    match unserved.iter().find(|(is_there, _)| *is_there) {
        Some((_, what)) => Err(refuse(&vhost.location, &format_args!("cannot be served here: {what}"))),
        None => Ok(()),
    }
}

/// What of a mount cannot be served.
fn check_mount(mount: &Mount) -> Result<(), Error> {
    let unserved = [
        (matches!(mount.origin, Origin::Cgi(_)), "programs with cgi://"),
        (matches!(mount.origin, Origin::Proxy { .. }), "other servers"),
        (mount.basic_auth.is_some(), "basic-auth"),
        (mount.interceptor.is_some(), "interceptor-path"),
        (mount.session_bits != 0, "auth-mask"),
        (!mount.interpreters.is_empty(), "interpret"),
        (mount.exact, "exact-match"),
        (mount.no_websockets, "no-ws-upgrades"),
        (mount.fallback_protocol.is_some(), "a second origin"),
        (mount.keep_alive_timeout.is_some(), "keepalive-timeout"),
    ];
    match unserved.iter().find(|(is_there, _)| *is_there) {
        Some((_, what)) => Err(refuse(&mount.location, &format_args!("cannot be served here: {what}"))),
        None => Ok(()),
    }
}

/// The folder of a mount, with what the mount says of it. `None` of one that has none.
fn open(mount: &Mount) -> Result<Option<Files>, Error> {
    let Origin::Files(folder) = &mount.origin else { return Ok(None) };
    let files = Files::directory(folder);
    let mut files = files.map_err(|error| error::system(&format_args!("{}: {error}", mount.location)))?;
    if let Some(index) = &mount.index {
        files = files.index(index.clone());
    }
    if !mount.media_types.is_empty() {
        let add = |types: Types, (end, media_type): &(String, String)| types.add(end, media_type.clone());
        files = files.types(mount.media_types.iter().fold(Types::new(), add));
    }
    if mount.cache != Cache::default() {
        files = files.cache_control(cache_control(&mount.cache));
    }
    Ok(Some(files))
}

/// What the four switches and the time say: nothing may be kept unless reuse is allowed. RFC 9111 §5.2.2.
fn cache_control(cache: &Cache) -> CacheControl {
    let age = u32::try_from(cache.max_age.unwrap_or_default().as_secs()).unwrap_or(u32::MAX);
    match cache.no_store {
        true => CacheControl::NoStore,
        false => CacheControl::of_mount(age, false, cache.reuse, cache.revalidate, cache.shared),
    }
}

/// TLS of a host. Hosts that share a port share the listener of the first one, with a certificate each.
#[cfg(feature = "ring")]
fn certificates(config: &Config, vhost: &Vhost) -> Result<Option<super::plan::TlsServer>, Error> {
    use lws_server::tls::{Host, Identity, Server};
    let Some(default) = &vhost.tls else { return Ok(None) };
    let host = |tls: &lws_config::Tls| Host::new(Identity::files(&tls.certificates, &tls.key));
    let mut builder = Server::builder().default_host(host(default));
    for sharing in config.vhosts.iter().filter(|other| other.listen == vhost.listen) {
        let tls = sharing.tls.as_ref();
        let tls =
            tls.ok_or_else(|| refuse(&sharing.location, &"no certificates, at a port that has some"))?;
        builder = builder.host(&sharing.name, host(tls));
    }
    let built = builder.build();
    built.map(Some).map_err(|error| error::system(&format_args!("{}: {error}", vhost.location)))
}

#[cfg(not(feature = "ring"))]
fn certificates(_: &Config, vhost: &Vhost) -> Result<Option<super::plan::TlsServer>, Error> {
    if vhost.tls.is_some() {
        Err(refuse(&vhost.location, &"there is no TLS in this build"))
    } else {
        Ok(None)
    }
}

/// A host without its mounts. The first of those at a port answers for names that none has.
fn site(vhost: &Vhost, before: &[Vhost], tls: Option<super::plan::TlsServer>) -> Site {
    let mut site = Site::new();
    let is_first = !before.iter().any(|other| other.listen == vhost.listen);
    let settings = &mut site.settings;
    settings.names = [vhost.name.clone()].into();
    settings.names.any = is_first && !vhost.strict_host;
    if let Some(timeout) = vhost.keep_alive_timeout {
        settings.limits.keep_alive_timeout = timeout;
    }
    settings.strict_transport_security = vhost.strict_transport_security.then_some(STRICT_TRANSPORT_SECURITY);
    settings.fields = fields(&vhost.headers);
    settings.listen.push(bind(vhost, tls));
    site
}

fn bind(vhost: &Vhost, tls: Option<super::plan::TlsServer>) -> Bind {
    let mut options = ListenOptions::default();
    let address = match &vhost.listen {
        Listen::Unix { path, .. } => format!("unix:{}", path.display()),
        Listen::Tcp { port, interface } => {
            let v4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            let every = if vhost.ipv4_only { v4 } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
            // What is no address is the name of an interface.
            let ip = interface.as_ref().map_or(Some(every), |name| name.parse().ok());
            options.bind_device = interface.clone().filter(|_| ip.is_none());
            options.v6_only = vhost.ipv6_only.unwrap_or_default();
            SocketAddr::new(ip.unwrap_or(every), *port).to_string()
        }
        other => format!("{other:?}"),
    };
    let mut bind = Bind::new(address);
    bind.options = Some(options);
    bind.tls = tls.map(super::plan::tls_listen);
    bind
}

/// Field lines, as the server takes them. libwebsockets writes a name with the colon behind it.
fn fields(headers: &[(String, String)]) -> Vec<(Cow<'static, str>, Cow<'static, str>)> {
    let name = |name: &str| Cow::Owned(name.trim_end_matches(':').to_owned());
    headers.iter().map(|(key, value)| (name(key), Cow::Owned(value.clone()))).collect()
}

/// A mount without files.
fn route(
    service: &Rc<Service>,
    protocols: &BTreeMap<String, Rc<Callbacks>>,
    mount: &Mount,
) -> Result<Route, Error> {
    Ok(match &mount.origin {
        Origin::Redirect { location } => {
            let redirect = Redirect::new(Status::MOVED_PERMANENTLY, location.clone());
            let redirect = if mount.append_path { redirect.with_rest() } else { redirect };
            redirect.at(mount.path.clone())
        }
        Origin::Protocol(name) => {
            let endpoint = endpoint(service, protocols, name, &mount.location)?;
            Route::new(Takes::Requests(Methods::Any), mount.path.clone(), endpoint)
        }
        // Files are routes already, and everything else was refused.
        _ => return Err(refuse(&mount.location, &"cannot be served here")),
    })
}

fn endpoint(
    service: &Rc<Service>,
    protocols: &BTreeMap<String, Rc<Callbacks>>,
    name: &str,
    location: &Location,
) -> Result<RouteEndpoint, Error> {
    let callbacks = protocols.get(name);
    let callbacks =
        callbacks.ok_or_else(|| refuse(location, &format_args!("no handler for the protocol \"{name}\"")))?;
    Ok(RouteEndpoint { service: Rc::clone(service), callbacks: Rc::clone(callbacks) })
}

/// WebSockets of a host: its default protocol, or its only one, has all of them.
fn add_websockets(
    service: &Rc<Service>,
    protocols: &BTreeMap<String, Rc<Callbacks>>,
    vhost: &Vhost,
    site: &mut Site,
) -> Result<(), Error> {
    let chosen = vhost.protocols.iter().find(|protocol| protocol.is_default).or(vhost.protocols.first());
    let Some(chosen) = chosen else { return Ok(()) };
    let endpoint = endpoint(service, protocols, &chosen.name, &vhost.location)?;
    site.routes.push(Route::new(Takes::Upgrades, "/", endpoint));
    Ok(())
}

/// What a configuration says, unless something is wrong with it: the first mistake is kept for `lwx_last_error`.
fn without_mistakes((config, report): (Config, lws_config::Report)) -> Result<Config, Error> {
    match report.findings().first() {
        Some(finding) if report.fails_check() => {
            let worst =
                report.findings().iter().find(|finding| finding.severity == lws_config::Severity::Error);
            Err(error::argument(worst.unwrap_or(finding)))
        }
        _ => Ok(config),
    }
}

// The interface, in the order of the header.

/// `lwx_protocol`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_protocol<'a>(
    service: Ref<'_, Service>,
    name: In<'_, c_char>,
    handler: In<'a, Handler<'a>>,
) -> i32 {
    let callbacks = Callbacks::new(handler);
    enter(service, |service| {
        let (name, callbacks) = (name.text()?.to_owned(), Rc::new(callbacks?));
        service.plan(|plan| {
            plan.sites.protocols.insert(name, callbacks);
            Ok(())
        })
    })
}

/// `lwx_sites`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_sites(service: Ref<'_, Service>, json: In<'_, c_char>) -> i32 {
    enter(service, |service| {
        let json = json.text()?;
        service.plan(|plan| {
            let config = Config::from_texts([("json", json)], &lws_config::Options::default());
            plan.sites.add(without_mistakes(config)?)
        })
    })
}

/// `lwx_sites_directory`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_sites_directory(service: Ref<'_, Service>, directory: In<'_, c_char>) -> i32 {
    enter(service, |service| {
        let directory = Path::new(directory.text()?);
        service.plan(|plan| {
            let config = Config::read(directory, &lws_config::Options::default());
            plan.sites.add(without_mistakes(config)?)
        })
    })
}
