//! The protocols of virtual hosts: begun by their names, and which of them a connection gets.

use super::remarks::Remark;
use super::sites::at;
use lws_config::{Config, OptionValue, Protocol, Vhost};
use lws_plugin::{Options, Registry, SessionKind, SiteFacts, SiteProtocol};
use lws_server::auth::Basic;
use lws_server::http::{self, Exchange, Request, Response, Status};
use lws_server::{Admission, Context, Endpoint, Gate, Guard, raw, ws};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

/// A role of raw connections that says no more than that they are raw.
const RAW_ROLE: &str = "raw-skt";

/// A protocol of a host.
#[derive(Clone)]
struct HostProtocol {
    name: String,
    kinds: Vec<SessionKind>,
    options: Options,
    /// The file of users and passwords that it wants one of.
    users: Option<PathBuf>,
    running: Running,
}

/// Whether a protocol of a host is there for connections.
#[derive(Clone)]
enum Running {
    /// It has begun, and ends when the last share is dropped.
    Begun(Arc<dyn SiteProtocol>),
    /// Nothing is served: the configuration is only looked at.
    LookedAt,
}

/// The protocols of a host that there are, in the order of the file. Of a name that stands there twice the first counts.
#[derive(Clone, Default)]
pub(super) struct HostProtocols(Vec<HostProtocol>);

impl HostProtocols {
    /// Begins the protocols of a host. One goes on that `before` has with equal options.
    ///
    /// # Errors
    /// One of them cannot begin so: its name, why not, and where the host stands. Those that have begun end again.
    pub(super) fn begin(vhost: &Vhost, registry: &Registry, before: Option<&Self>) -> io::Result<Self> {
        let mut protocols = Self::looked_at(vhost, registry);
        let site = SiteFacts::new(&vhost.name);
        for protocol in &mut protocols.0 {
            let known = before.and_then(|before| before.0.iter().find(|other| other.name == protocol.name));
            if let Some(known) = known.filter(|known| known.options == protocol.options) {
                protocol.running = known.running.clone();
                continue;
            }
            let Ok(plugin) = registry.find(&protocol.name) else { continue };
            let begun = plugin.start(&site, &protocol.options).map_err(|error| {
                let (name, source) = (&protocol.name, plugin.source());
                at(&vhost.location, &format_args!("protocol \"{name}\" ({source}): {error}"))
            })?;
            protocol.running = Running::Begun(begun);
        }
        Ok(protocols)
    }

    /// The protocols of a host without beginning them, for one who only asks what would be served.
    pub(super) fn looked_at(vhost: &Vhost, registry: &Registry) -> Self {
        let mut protocols: Vec<HostProtocol> = Vec::new();
        for protocol in &vhost.protocols {
            let is_there = protocols.iter().any(|other| other.name == protocol.name);
            if let (false, Ok(plugin)) = (is_there, registry.find(&protocol.name)) {
                // Whichever of two of one name wants a password: it is not lost with the second.
                let of_name = vhost.protocols.iter().filter(|other| other.name == protocol.name);
                let users = of_name.filter_map(|other| other.basic_auth.clone()).next();
                protocols.push(HostProtocol {
                    name: protocol.name.clone(),
                    kinds: plugin.plugin().kinds().to_vec(),
                    options: options(protocol),
                    users,
                    running: Running::LookedAt,
                });
            }
        }
        Self(protocols)
    }

    fn of_kind(&self, kind: SessionKind) -> impl Iterator<Item = &HostProtocol> {
        self.0.iter().filter(move |protocol| protocol.kinds.contains(&kind))
    }

    fn find(&self, name: &str, kind: SessionKind) -> Option<&HostProtocol> {
        self.of_kind(kind).find(|protocol| protocol.name == name)
    }

    /// What accepts WebSockets at a path, if some protocol of the host does.
    pub(super) fn websockets(&self, vhost: &Vhost, path: &str) -> Option<WebSocketProtocols> {
        let names = self.names(vhost);
        let endpoints = self.of_kind(SessionKind::WebSocket).map(|protocol| protocol.endpoint(path));
        let endpoints: Vec<_> = endpoints.collect();
        (!endpoints.is_empty()).then_some(WebSocketProtocols { names, endpoints })
    }

    /// What answers requests at the path of a mount that leads to a protocol.
    pub(super) fn requests(&self, name: &str, path: &str) -> Option<RequestsOfProtocol> {
        self.find(name, SessionKind::Http).map(|protocol| RequestsOfProtocol(protocol.endpoint(path)))
    }

    /// The passwords of the protocol that answers the requests of a mount, if it wants some.
    pub(super) fn gate_of_requests(&self, name: &str, files: &HashMap<PathBuf, Basic>) -> Option<Gate> {
        let users = self.find(name, SessionKind::Http)?.users.as_ref()?;
        files.get(users).map(|passwords| passwords.clone().gate())
    }

    /// The protocol of the connections of a host that are no HTTP: the one that it names for them, the one that says `raw`, or the default
    /// one; in that order, as in libwebsockets. None that wants a password, for which there is no place in such a connection.
    fn raw(&self, vhost: &Vhost) -> Option<&HostProtocol> {
        self.raw_by_name(vhost).filter(|protocol| protocol.users.is_none())
    }

    fn raw_by_name(&self, vhost: &Vhost) -> Option<&HostProtocol> {
        if vhost.accept_as.role.as_ref().is_some_and(|role| role != RAW_ROLE) {
            return None;
        }
        if let Some(name) = &vhost.accept_as.protocol {
            return self.find(name, SessionKind::Raw);
        }
        let marked = |marked: fn(&Protocol) -> bool| {
            let names = vhost.protocols.iter().filter(move |protocol| marked(protocol));
            names.filter_map(|protocol| self.find(&protocol.name, SessionKind::Raw)).next()
        };
        marked(|protocol| protocol.is_raw).or_else(|| marked(|protocol| protocol.is_default))
    }

    /// Whether the host has a protocol for connections that are no HTTP.
    pub(super) fn has_raw(&self, vhost: &Vhost) -> bool {
        self.raw(vhost).is_some()
    }

    /// What stands behind the connections of a host that are no HTTP.
    pub(super) fn raw_endpoint(&self, vhost: &Vhost) -> Option<Rc<dyn Endpoint>> {
        self.raw(vhost).map(|protocol| Rc::from(protocol.endpoint("")))
    }

    /// The names of the protocols of WebSockets, and which of them is for WebSockets that ask for none.
    fn names(&self, vhost: &Vhost) -> ProtocolNames {
        let default = vhost.protocols.iter().filter(|protocol| protocol.is_default);
        let default = default.filter_map(|protocol| self.find(&protocol.name, SessionKind::WebSocket)).next();
        let default = default.filter(|_| !vhost.websockets_need_protocol);
        ProtocolNames {
            known: self.of_kind(SessionKind::WebSocket).map(|protocol| protocol.name.clone()).collect(),
            default: default.map(|protocol| protocol.name.clone()),
        }
    }

    /// The gate of the WebSockets of a host, if one of its protocols wants a password. `files` are those of users and passwords, all of
    /// which have been read.
    pub(super) fn gate(&self, vhost: &Vhost, files: &HashMap<PathBuf, Basic>) -> Option<Gate> {
        let wanted = self.of_kind(SessionKind::WebSocket).filter_map(|protocol| {
            Some((protocol.name.clone(), files.get(protocol.users.as_ref()?)?.clone()))
        });
        let by_protocol: HashMap<_, _> = wanted.collect();
        let names = self.names(vhost);
        (!by_protocol.is_empty()).then(|| Gate::new(Passwords { names, by_protocol }))
    }
}

impl HostProtocol {
    fn endpoint(&self, path: &str) -> Box<dyn Endpoint> {
        match &self.running {
            Running::Begun(protocol) => protocol.endpoint(path),
            Running::LookedAt => Box::new(Response::error(Status::SERVICE_UNAVAILABLE)),
        }
    }
}

/// The options of a protocol as its plugin gets them. Of a name that stands there twice the last counts, as in libwebsockets.
fn options(protocol: &Protocol) -> Options {
    Options::new(object(&protocol.options))
}

fn object(members: &[(String, OptionValue)]) -> Map<String, Value> {
    members.iter().map(|(name, option)| (name.clone(), value(option))).collect()
}

/// The depth of a file bounds that of the recursion.
fn value(option: &OptionValue) -> Value {
    match option {
        OptionValue::Text(text) => Value::String(text.clone()),
        OptionValue::List(list) => Value::Array(list.iter().map(value).collect()),
        OptionValue::Object(members) => Value::Object(object(members)),
    }
}

/// The protocols of a host's WebSockets by name.
struct ProtocolNames {
    known: Vec<String>,
    default: Option<String>,
}

impl ProtocolNames {
    /// The first protocol that a WebSocket asks for and that there is.
    fn asked(&self, request: &Request<'_>) -> Option<&str> {
        let known: Vec<_> = self.known.iter().map(String::as_str).collect();
        request.select_protocol(&known)
    }

    /// The protocol that a WebSocket gets: the one that it asks for, or the default one.
    fn chosen(&self, request: &Request<'_>) -> Option<&str> {
        self.asked(request).or(self.default.as_deref())
    }
}

/// Asks for the password of the protocol that a WebSocket gets, where that has one.
struct Passwords {
    names: ProtocolNames,
    by_protocol: HashMap<String, Basic>,
}

impl Guard for Passwords {
    fn admit(&self, cx: &mut Context<'_>, request: &Request<'_>) -> Admission {
        match self.names.chosen(request).and_then(|name| self.by_protocol.get(name)) {
            Some(passwords) => passwords.admit(cx, request),
            None => Admission::Granted,
        }
    }
}

/// What accepts WebSockets at a path of a virtual host.
///
/// A WebSocket gets the first protocol it asks for that the host has, and the host's default one if it asks for none.
pub(super) struct WebSocketProtocols {
    names: ProtocolNames,
    /// As the names.
    endpoints: Vec<Box<dyn Endpoint>>,
}

impl Endpoint for WebSocketProtocols {
    fn upgrade(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
    ) -> Result<ws::Accepted<Box<dyn ws::Handler>>, Response> {
        let chosen = self.names.chosen(request);
        let index = chosen.and_then(|chosen| self.names.known.iter().position(|name| name == chosen));
        let endpoint = index.and_then(|index| self.endpoints.get(index));
        let endpoint = endpoint.ok_or_else(|| Response::error(Status::FORBIDDEN))?;
        let accepted = endpoint.upgrade(cx, request)?;
        Ok(match self.names.asked(request) {
            Some(name) => accepted.protocol_chosen(name.to_owned()),
            None => accepted,
        })
    }
}

/// A protocol that answers the requests of a mount.
pub(super) struct RequestsOfProtocol(Box<dyn Endpoint>);

impl Endpoint for RequestsOfProtocol {
    fn request(
        &self,
        cx: &mut Context<'_>,
        request: &Request<'_>,
        exchange: Exchange<'_>,
        end: bool,
    ) -> Option<Box<dyn http::Handler>> {
        self.0.request(cx, request, exchange, end)
    }

    fn raw(&self, _: &mut Context<'_>) -> Option<Box<dyn raw::Handler>> {
        None
    }
}

/// What refuses WebSockets, where a mount wants none.
pub(super) struct NoWebSockets;

impl Endpoint for NoWebSockets {
    fn upgrade(
        &self,
        _: &mut Context<'_>,
        _: &Request<'_>,
    ) -> Result<ws::Accepted<Box<dyn ws::Handler>>, Response> {
        Err(Response::error(Status::FORBIDDEN))
    }
}

/// What is unknown of the protocols that a configuration names, and of their options.
pub(super) fn unknown(config: &Config, registry: &Registry) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for vhost in &config.vhosts {
        let mut say = |message: String| remarks.push(Remark::warning(&vhost.location, message));
        for (index, protocol) in vhost.protocols.iter().enumerate() {
            if vhost.protocols[..index].iter().any(|other| other.name == protocol.name) {
                say(format!(
                    "protocol \"{}\" stands there twice: the options of the first count",
                    protocol.name
                ));
                continue;
            }
            match registry.find(&protocol.name) {
                Err(unknown) => say(unknown.to_string()),
                Ok(plugin) => {
                    let names = plugin.plugin().option_names();
                    let unknown = names.map(|names| options(protocol).unknown(names)).unwrap_or_default();
                    unknown.iter().for_each(|error| say(format!("protocol \"{}\": {error}", protocol.name)));
                }
            }
        }
    }
    remarks
}

/// What is wrong with the options of protocols, as far as it shows without beginning them.
pub(super) fn wrong_options(config: &Config, registry: &Registry) -> Vec<Remark> {
    let mut remarks = Vec::new();
    for vhost in &config.vhosts {
        for protocol in &vhost.protocols {
            let plugin = registry.find(&protocol.name).ok();
            let checked = plugin.map_or(Ok(()), |plugin| plugin.plugin().check(&options(protocol)));
            if let Err(error) = checked {
                let message = format!("protocol \"{}\": {error}", protocol.name);
                remarks.push(Remark::error(&vhost.location, message));
            }
        }
    }
    remarks
}
