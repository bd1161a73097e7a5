//! From the words of a configuration to sites of the server. What cannot be served `remarks.rs` says by name: nothing of a configuration is
//! passed over in silence.

use super::documents::Documents;
use super::limits;
use super::programs;
use super::protocols::{HostProtocols, NoWebSockets};
use super::remarks::Remark;
use super::sessions;
use super::stamp::Stamp;
use crate::acme::Orders;
use crate::files::passwords;
use crate::proxy;
use lws_config::{Cache, Config, Listen, Location, Mount, Origin, Vhost};
use lws_plugin::Registry;
use lws_proxy::Proxy;
use lws_server::auth::{Basic, ForwardAuth, Sessions};
use lws_server::files::{CacheControl, Files, Types};
use lws_server::http::{Response, Status};
use lws_server::tls::{self, ClientCertificates, Host, Identity, Plain, Roots};
use lws_server::{Gate, Limits, ListenOptions, Methods, Origins, Redirect, Route, Site, Speaks, Takes};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What libwebsockets tells browsers where a host says "sts". RFC 6797.
const STRICT_TRANSPORT_SECURITY: Duration = Duration::from_secs(15_768_000);

/// A configuration that is ready to be served: everything is opened that can only be opened once, and each thread makes its sites of it.
pub(super) struct Prepared {
    config: Config,
    /// The protocols that there are, the same for as long as the process lives.
    registry: Arc<Registry>,
    /// By host: its protocols, which have begun. None once another configuration is served in place of this one.
    protocols: Mutex<Vec<HostProtocols>>,
    files: HashMap<PathBuf, Files>,
    /// What its folders, archives and files of passwords were when they were opened.
    stamps: HashMap<PathBuf, Option<Stamp>>,
    /// The files of users and passwords.
    passwords: HashMap<PathBuf, Basic>,
    /// By host: the sessions that its mounts ask for.
    sessions: Vec<Option<Sessions>>,
    /// By host: its pages for errors.
    documents: Vec<Documents>,
    /// TLS of the listeners, by the hosts that are the first there.
    tls: HashMap<usize, tls::Server>,
    /// The certificates that come from authorities.
    orders: Orders,
}

impl Prepared {
    /// Begins protocols, opens folders and reads certificates.
    ///
    /// # Errors
    /// What cannot be opened, with its place in the configuration.
    pub(super) fn new(config: Config, registry: Arc<Registry>) -> io::Result<Self> {
        let mut prepared = Self::empty(config, registry, None)?;
        prepared.open(None)?;
        Ok(prepared)
    }

    /// As [`new`](Self::new), for one who only asks what would be served: protocols do not begin.
    ///
    /// # Errors
    /// What cannot be opened, with its place in the configuration.
    pub(super) fn looked_at(config: Config, registry: Arc<Registry>) -> io::Result<Self> {
        let mut prepared = Self::empty(config, registry, None)?;
        let protocols =
            prepared.config.vhosts.iter().map(|vhost| HostProtocols::looked_at(vhost, &prepared.registry));
        prepared.protocols = Mutex::new(protocols.collect());
        prepared.open_files(None)?;
        Ok(prepared)
    }

    /// Opens what a configuration needs in place of this one. What is to be shown at listeners that are open already is beside it, for when
    /// nothing can fail any more. Protocols go on whose options are equal.
    ///
    /// # Errors
    /// What cannot be opened, with its place in the configuration.
    pub(super) fn followed_by(&self, config: Config) -> io::Result<(Self, Vec<tls::Update>)> {
        let mut prepared = Self::empty(config, Arc::clone(&self.registry), Some(self))?;
        let updates = prepared.open(Some(self))?;
        Ok((prepared, updates))
    }

    fn empty(config: Config, registry: Arc<Registry>, before: Option<&Self>) -> io::Result<Self> {
        Ok(Self {
            protocols: Mutex::default(),
            files: HashMap::new(),
            stamps: HashMap::new(),
            passwords: HashMap::new(),
            sessions: Vec::new(),
            documents: Vec::new(),
            tls: HashMap::new(),
            registry,
            orders: Orders::after(before.map(|before| &before.orders), &config)?,
            config,
        })
    }

    fn open(&mut self, before: Option<&Self>) -> io::Result<Vec<tls::Update>> {
        let updates = self.open_files(before)?;
        // Last: what a protocol does when it begins cannot be taken back by one that does not look at the others.
        let protocols = self.config.vhosts.iter().map(|vhost| {
            let kept = before.and_then(|before| before.protocols_of(vhost));
            HostProtocols::begin(vhost, &self.registry, kept.as_ref())
        });
        self.protocols = Mutex::new(protocols.collect::<io::Result<_>>()?);
        Ok(updates)
    }

    fn open_files(&mut self, before: Option<&Self>) -> io::Result<Vec<tls::Update>> {
        limits::check(&self.config, &Limits::default())?;
        // Before anything is opened: what changes meanwhile is another one the next time.
        self.stamps = named_paths(&self.config.vhosts).map(|path| (path.clone(), Stamp::of(path))).collect();
        self.open_folders()?;
        self.find_programs()?;
        self.read_passwords()?;
        self.read_session_keys()?;
        let documents = self.config.vhosts.iter().map(|vhost| self.documents_of(vhost)).collect();
        self.documents = documents;
        self.read_certificates(before)
    }

    /// The protocols of a host that this configuration has, too.
    fn protocols_of(&self, vhost: &Vhost) -> Option<HostProtocols> {
        let same =
            |other: &Vhost| other.listen == vhost.listen && other.name.eq_ignore_ascii_case(&vhost.name);
        let index = self.config.vhosts.iter().position(same)?;
        self.protocols().get(index).cloned()
    }

    fn protocols(&self) -> MutexGuard<'_, Vec<HostProtocols>> {
        // A panic leaves whole entries alone.
        self.protocols.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go of the protocols: each ends with its last session. Whatever else still holds this configuration needs them no more.
    pub(super) fn finish(&self) {
        let protocols = std::mem::take(&mut *self.protocols());
        // They end without the lock.
        drop(protocols);
    }

    /// Whether the folders, archives and passwords of a host are those that host `old` has of an earlier configuration, which names the
    /// same paths.
    pub(super) fn has_files_of(&self, index: usize, before: &Self, old: usize) -> bool {
        // A page that was not there may be there now.
        let had_pages = before.documents[old].missing().len() == self.documents[index].missing().len();
        let is_same = |path: &PathBuf| {
            let stamp = self.stamps.get(path).and_then(Option::as_ref);
            stamp.is_some() && stamp == before.stamps.get(path).and_then(Option::as_ref)
        };
        had_pages && named_paths(&self.config.vhosts[index..=index]).all(is_same)
    }

    fn open_folders(&mut self) -> io::Result<()> {
        for mount in self.config.vhosts.iter().flat_map(|vhost| &vhost.mounts) {
            if let Origin::Files(folder) = &mount.origin
                && !self.files.contains_key(folder)
            {
                let files = if is_archive(folder) { Files::zip(folder) } else { Files::directory(folder) };
                self.files.insert(folder.clone(), files.map_err(|error| at(&mount.location, &error))?);
            }
        }
        Ok(())
    }

    fn read_passwords(&mut self) -> io::Result<()> {
        for vhost in &self.config.vhosts {
            let of_mounts =
                vhost.mounts.iter().map(|mount| (&mount.basic_auth, &mount.path, &mount.location));
            let of_protocols =
                vhost.protocols.iter().filter(|protocol| self.registry.find(&protocol.name).is_ok());
            let of_protocols =
                of_protocols.map(|protocol| (&protocol.basic_auth, &protocol.name, &vhost.location));
            for (users, realm, location) in of_mounts.chain(of_protocols) {
                if let Some(users) = users
                    && !self.passwords.contains_key(users)
                {
                    let passwords = passwords(users, realm).map_err(|error| at(location, &error))?;
                    self.passwords.insert(users.clone(), passwords);
                }
            }
        }
        Ok(())
    }

    fn read_session_keys(&mut self) -> io::Result<()> {
        for vhost in &self.config.vhosts {
            let read = vhost.sessions.as_ref().map(sessions::sessions).transpose();
            self.sessions.push(read.map_err(|error| at(&vhost.location, &error))?);
        }
        Ok(())
    }

    fn documents_of(&self, vhost: &Vhost) -> Documents {
        Documents::read(vhost, |path| {
            let mount = mount_of(vhost, path)?;
            let Origin::Files(folder) = &mount.origin else { return None };
            Some((mount, with_options(self.files.get(folder)?.clone(), mount)))
        })
    }

    /// What was found missing when it was opened, and is served without.
    pub(super) fn remarks(&self) -> impl Iterator<Item = &Remark> {
        self.documents.iter().flat_map(Documents::missing)
    }

    fn find_programs(&self) -> io::Result<()> {
        for mount in self.config.vhosts.iter().flat_map(|vhost| &vhost.mounts) {
            if let Origin::Cgi(program) = &mount.origin {
                programs::route(mount, program).map_err(|error| at(&mount.location, &error))?;
            }
        }
        Ok(())
    }

    /// One configuration of TLS for each listener: the first host is the one of clients that name none.
    fn read_certificates(&mut self, before: Option<&Self>) -> io::Result<Vec<tls::Update>> {
        let mut updates = Vec::new();
        for first in self.first_at_each_listener() {
            let sharing = self.sharing(first);
            let Some(default) = self.tls_host(&self.config.vhosts[first]) else {
                if let Some(other) = sharing.iter().find(|other| self.config.vhosts[**other].tls.is_some()) {
                    let message = "has certificates, and the first host at its port has none";
                    return Err(at(&self.config.vhosts[*other].location, &message));
                }
                continue;
            };
            let mut builder =
                tls::Server::builder().default_host(default).validations(&self.orders.validations());
            for vhost in sharing.iter().map(|index| &self.config.vhosts[*index]) {
                let Some(host) = self.tls_host(vhost) else {
                    let message = "has no certificates, and the first host at its port has some";
                    return Err(at(&vhost.location, &message));
                };
                for name in self.other_names(vhost) {
                    builder = builder.host(name, host.clone());
                }
                builder = builder.host(&vhost.name, host);
            }
            if let Some(alpn) = self.config.vhosts[first].alpn.as_ref().or(self.config.global.alpn.as_ref()) {
                builder = builder.alpn(&alpn.iter().map(String::as_str).collect::<Vec<_>>());
            }
            let wrong = |error| at(&self.config.vhosts[first].location, &error);
            let open = before.and_then(|before| before.tls_at(&self.config.vhosts[first].listen));
            let server = match open {
                Some(server) => {
                    updates.push(builder.prepare(server).map_err(wrong)?);
                    server.clone()
                }
                None => builder.build().map_err(wrong)?,
            };
            self.tls.insert(first, server);
        }
        Ok(updates)
    }

    /// The names of a host besides its own: domains that it orders a certificate for, unless they are those of another host at its port.
    fn other_names<'a>(&'a self, vhost: &'a Vhost) -> impl Iterator<Item = &'a String> {
        let domains = vhost.acme.as_ref().map(|acme| acme.domains.as_slice()).unwrap_or_default();
        let at_port = || self.config.vhosts.iter().filter(|other| other.listen == vhost.listen);
        let orders = |other: &Vhost, domain: &String| {
            other.acme.as_ref().is_some_and(|acme| acme.domains.contains(domain))
        };
        let is_taken = move |domain: &String| {
            let first = at_port().find(|other| orders(other, domain));
            at_port().any(|other| other.name.eq_ignore_ascii_case(domain))
                || first.is_some_and(|first| !std::ptr::eq(first, vhost))
        };
        domains.iter().enumerate().filter_map(move |(index, domain)| {
            (!domains[..index].contains(domain) && !is_taken(domain)).then_some(domain)
        })
    }

    /// The certificate of a host, with what its clients have to show.
    fn tls_host(&self, vhost: &Vhost) -> Option<Host> {
        let tls = vhost.tls.as_ref()?;
        let ordered = vhost.acme.as_ref().and_then(|acme| self.orders.identity(acme));
        let host = Host::new(ordered.unwrap_or_else(|| Identity::files(&tls.certificates, &tls.key)));
        if !tls.client_certificate {
            return Some(host);
        }
        let roots = tls.authorities.as_ref().map_or_else(Roots::system, Roots::file);
        Some(host.client_certificates(ClientCertificates::Require(roots)))
    }

    /// The certificates that come from authorities.
    pub(super) fn orders(&self) -> &Orders {
        &self.orders
    }

    /// TLS of the listener at a place, if there is one that has TLS.
    fn tls_at(&self, listen: &Listen) -> Option<&tls::Server> {
        let first = self.config.vhosts.iter().position(|vhost| vhost.listen == *listen)?;
        self.tls.get(&first)
    }

    /// The hosts that are the first of all that listen at the same place.
    fn first_at_each_listener(&self) -> Vec<usize> {
        let vhosts = &self.config.vhosts;
        let is_first =
            |index: &usize| !vhosts[..*index].iter().any(|other| other.listen == vhosts[*index].listen);
        (0..vhosts.len()).filter(is_first).collect()
    }

    /// The hosts that listen at the same place as this one, itself as well.
    fn sharing(&self, with: usize) -> Vec<usize> {
        let vhosts = &self.config.vhosts;
        (0..vhosts.len()).filter(|index| vhosts[*index].listen == vhosts[with].listen).collect()
    }

    /// TLS of all listeners, whose certificates may be read again.
    pub(super) fn tls(&self) -> impl Iterator<Item = &tls::Server> {
        self.tls.values()
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The protocols that there are.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The sites, for one thread.
    pub(super) fn sites(&self, limits: &Limits) -> Vec<Site> {
        (0..self.config.vhosts.len()).map(|index| self.site(index, limits)).collect()
    }

    /// Whether a host is the first of those that listen at the same place: it answers for names that none of them has.
    pub(super) fn is_first(&self, index: usize) -> bool {
        self.sharing(index).first() == Some(&index)
    }

    /// The site of one host, for one thread.
    pub(super) fn site(&self, index: usize, limits: &Limits) -> Site {
        let vhost = &self.config.vhosts[index];
        let mut site = Site::new();
        let settings = &mut site.settings;
        settings.names = [vhost.name.clone()].into();
        settings.names.listed.extend(self.other_names(vhost).cloned());
        settings.names.any = self.is_first(index) && !vhost.strict_host;
        settings.limits = limits::of_host(limits, &self.config.global, vhost);
        settings.strict_transport_security =
            vhost.strict_transport_security.then_some(STRICT_TRANSPORT_SECURITY);
        settings.fields = fields(&vhost.headers);
        settings.errors = self.documents[index].documents().cloned().map(Into::into);
        settings.route_defaults.keep_half_closed = vhost.half_closed_long_poll.then_some(true);
        let listener = self.sharing(index).first().copied().unwrap_or(index);
        let mut listen = listen(vhost, self.tls.get(&listener));
        let protocols = self.protocols().get(index).cloned().unwrap_or_default();
        if is_raw(vhost) {
            site.raw = protocols.raw_endpoint(vhost);
            listen.speaks = if site.raw.is_some() { Speaks::Raw } else { Speaks::Http };
            settings.listen.push(listen);
            return site;
        }
        settings.listen.push(listen);
        self.orders.add_route(&mut site);
        if vhost.accept_as.as_fallback {
            site.raw = protocols.raw_endpoint(vhost);
        }
        for mount in &vhost.mounts {
            self.add_mount(&mut site, index, mount, &protocols);
        }
        if !vhost.mounts.iter().any(|mount| mount.path == "/") {
            self.add_websockets(&mut site, vhost, "/", &protocols);
        }
        site
    }

    fn route(&self, vhost: &Vhost, mount: &Mount, protocols: &HostProtocols) -> Route {
        if !can_be_guarded(vhost, mount) {
            return unserved(mount);
        }
        match &mount.origin {
            Origin::Files(folder) => match self.files.get(folder) {
                Some(files) => Route::files(mount.path.clone(), with_options(files.clone(), mount)),
                None => unserved(mount),
            },
            Origin::Redirect { location } => {
                let redirect = Redirect::new(Status::MOVED_PERMANENTLY, location.clone());
                let redirect = if mount.append_path { redirect.with_rest() } else { redirect };
                redirect.at(mount.path.clone())
            }
            // It was there when the configuration was read.
            Origin::Cgi(program) if !programs::is_confined(mount) => {
                programs::route(mount, program).unwrap_or_else(|_| unserved(mount))
            }
            Origin::Protocol(name) => match protocols.requests(name, &mount.path) {
                Some(endpoint) => {
                    let mut route = Route::new(Takes::Requests(Methods::Any), mount.path.clone(), endpoint);
                    route.options.authentication = protocols.gate_of_requests(name, &self.passwords);
                    route
                }
                None => unserved(mount),
            },
            _ => match proxy::upstream(mount) {
                Some(Ok(upstream)) => Proxy::new(upstream).route(&mount.path),
                _ => unserved(mount),
            },
        }
    }

    fn add_mount(&self, site: &mut Site, host: usize, mount: &Mount, protocols: &HostProtocols) {
        let vhost = &self.config.vhosts[host];
        let taken = |route: &Route| route.path.trim_end_matches('/') == mount.path.trim_end_matches('/');
        if site.routes.iter().any(taken) {
            // It was said when the configuration was read: the first one answers.
            return;
        }
        let first = site.routes.len();
        site.routes.push(self.route(vhost, mount, protocols));
        if mount.no_websockets || !can_be_guarded(vhost, mount) {
            site.routes.push(Route::new(Takes::Upgrades, mount.path.clone(), NoWebSockets));
        } else if !matches!(mount.origin, Origin::Proxy { .. }) {
            // What leads to another server has that one's WebSockets.
            self.add_websockets(site, vhost, &mount.path, protocols);
        }
        let passwords = mount.basic_auth.as_ref().and_then(|users| self.passwords.get(users));
        let passwords = passwords.map(|passwords| passwords.clone().gate());
        let sessions = sessions::gate(self.sessions[host].as_ref(), mount);
        // A browser sends the cookie whichever page asks.
        let origins = sessions.is_some().then_some(Origins::Same);
        let of_mount = both(passwords, sessions);
        let asked = mount.interceptor.clone().filter(|_| can_be_guarded(vhost, mount));
        let interceptor = asked.map(|path| ForwardAuth::route(path).gate());
        for route in &mut site.routes[first..] {
            route.exact = mount.exact;
            route.options.interceptor = interceptor.clone();
            route.options.fields = fields(&mount.headers);
            route.options.authentication = both(of_mount.clone(), route.options.authentication.take());
            route.options.origins.clone_from(&origins);
        }
    }

    fn add_websockets(&self, site: &mut Site, vhost: &Vhost, path: &str, protocols: &HostProtocols) {
        if let Some(endpoint) = protocols.websockets(vhost, path) {
            let mut route = Route::new(Takes::Upgrades, path, endpoint);
            route.options.authentication = protocols.gate(vhost, &self.passwords);
            site.routes.push(route);
        }
    }
}

/// What lets in those whom both let in, the first one asked first.
fn both(first: Option<Gate>, second: Option<Gate>) -> Option<Gate> {
    match (first, second) {
        (Some(first), Some(second)) => Some(first.and(second)),
        (first, second) => first.or(second),
    }
}

/// The folders, archives, files of passwords and keys that hosts name.
fn named_paths(vhosts: &[Vhost]) -> impl Iterator<Item = &PathBuf> {
    fn of_mount(mount: &Mount) -> impl Iterator<Item = &PathBuf> {
        let folder = if let Origin::Files(folder) = &mount.origin { Some(folder) } else { None };
        folder.into_iter().chain(&mount.basic_auth)
    }
    vhosts.iter().flat_map(|vhost| {
        let of_protocols = vhost.protocols.iter().filter_map(|protocol| protocol.basic_auth.as_ref());
        let session_key = vhost.sessions.as_ref().map(|sessions| &sessions.key);
        vhost.mounts.iter().flat_map(of_mount).chain(of_protocols).chain(session_key)
    })
}

/// Whether the connections of a host carry bytes for a protocol and no HTTP, so that nothing of it is for requests.
pub(super) fn is_raw(vhost: &Vhost) -> bool {
    vhost.raw_only || vhost.accept_as.always
}

/// Whether what decides about requests for a mount can be asked: otherwise the mount is not served, to WebSockets neither.
fn can_be_guarded(vhost: &Vhost, mount: &Mount) -> bool {
    let decides = |path: &String| mount_of(vhost, path).is_some_and(can_decide);
    sessions::are_known(vhost, mount) && mount.interceptor.as_ref().is_none_or(decides)
}

/// The mount that requests for a path go to: the longest, and of two with one path the first.
pub(super) fn mount_of<'a>(vhost: &'a Vhost, path: &str) -> Option<&'a Mount> {
    let holds = |mount: &&Mount| {
        let rest = path.strip_prefix(mount.path.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || (rest.starts_with('/') && !mount.exact))
    };
    vhost.mounts.iter().rev().filter(holds).max_by_key(|mount| mount.path.trim_end_matches('/').len())
}

/// Whether the answers of a mount say who may come in. Those of files say that the files are there, which would let everybody in.
pub(super) fn can_decide(mount: &Mount) -> bool {
    match &mount.origin {
        Origin::Proxy { .. } => matches!(proxy::upstream(mount), Some(Ok(_))),
        Origin::Cgi(_) => !programs::is_confined(mount),
        _ => false,
    }
}

/// Whether an origin is an archive, as its name and its kind say.
fn is_archive(origin: &Path) -> bool {
    let named = origin.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("zip"));
    named && origin.is_file()
}

/// Field lines, as the server takes them.
fn fields(headers: &[(String, String)]) -> Vec<(Cow<'static, str>, Cow<'static, str>)> {
    // libwebsockets writes a name with the colon behind it.
    let name = |name: &str| Cow::Owned(name.trim_end_matches(':').to_owned());
    headers.iter().map(|(key, value)| (name(key), Cow::Owned(value.clone()))).collect()
}

/// What answers in place of a mount that cannot be served: what another mount has below its path would be somebody else's.
fn unserved(mount: &Mount) -> Route {
    Route::http(mount.path.clone(), |_| Response::error(Status::NOT_FOUND))
}

/// The folder of a mount with what the mount says of it.
fn with_options(mut files: Files, mount: &Mount) -> Files {
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
    files
}

/// What the four switches and the time say: nothing may be kept unless reuse is allowed. RFC 9111 §5.2.2.
fn cache_control(cache: &Cache) -> CacheControl {
    let age = u32::try_from(cache.max_age.unwrap_or_default().as_secs()).unwrap_or(u32::MAX);
    match cache.no_store {
        true => CacheControl::NoStore,
        false => CacheControl::of_mount(age, false, cache.reuse, cache.revalidate, cache.shared),
    }
}

fn listen(vhost: &Vhost, tls: Option<&tls::Server>) -> lws_server::Bind {
    let mut options = ListenOptions::default();
    let address = match &vhost.listen {
        Listen::Tcp { port, interface } => {
            let every = if vhost.ipv4_only {
                IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            } else {
                IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            };
            // What is no address is the name of an interface.
            let ip = interface.as_ref().map_or(Some(every), |name| name.parse().ok());
            options.bind_device = interface.clone().filter(|_| ip.is_none());
            options.v6_only = vhost.ipv6_only.unwrap_or_default();
            SocketAddr::new(ip.unwrap_or(every), *port).to_string()
        }
        Listen::Unix { path, .. } => format!("unix:{}", path.display()),
        other => format!("{other:?}"),
    };
    let mut listen = lws_server::Bind::new(address);
    listen.options = Some(options);
    listen.tls = tls.map(|tls| tls::Listen::from(tls).plain(plain(vhost)));
    listen
}

/// What becomes of plain text where TLS is spoken, in the order in which libwebsockets asks.
fn plain(vhost: &Vhost) -> Plain {
    if vhost.plain_text.redirected {
        Plain::Redirect
    } else if vhost.plain_text.http_allowed || vhost.plain_text.allowed {
        Plain::Serve
    } else {
        Plain::Refuse
    }
}

pub(super) fn at(location: &Location, error: &dyn fmt::Display) -> io::Error {
    io::Error::other(format!("{location}: {error}"))
}
