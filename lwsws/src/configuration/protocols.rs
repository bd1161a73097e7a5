//! The protocols of virtual hosts by their names, and which of them a WebSocket gets.

use crate::demo::Demo;
use crate::echo;
use lws_config::Vhost;
use lws_server::auth::Basic;
use lws_server::http::{Request, Response, Status};
use lws_server::{Admission, Context, Endpoint, Gate, Guard, ws};
use std::collections::HashMap;
use std::path::PathBuf;

/// Makes a handler. It has been chosen by its name already.
type Maker = Box<dyn Fn(&Request<'_>) -> ws::Accepted<Box<dyn ws::Handler>>>;

/// The protocols that are built in, by the names that they have in libwebsockets.
const BUILT_IN: [&str; 4] = ["dumb-increment-protocol", "lws-mirror-protocol", "lws-status", "lws-echo"];

/// The name of a protocol that is built in.
pub(super) fn built_in(name: &str) -> Option<&'static str> {
    BUILT_IN.into_iter().find(|known| *known == name)
}

/// Whether a WebSocket of a host gets some protocol.
pub(super) fn has_any(vhost: &Vhost) -> bool {
    vhost.protocols.iter().any(|protocol| built_in(&protocol.name).is_some())
}

/// The protocol of a host that a request gets: the first that it asks for and that the host has, or the default one.
fn chosen<'a>(names: &[&'a str], default: Option<&'a str>, request: &Request<'_>) -> Option<&'a str> {
    request.select_protocol(names).or(default)
}

/// The protocols of a host that are built in, and the one for WebSockets that ask for none.
fn names(vhost: &Vhost) -> (Vec<&'static str>, Option<&'static str>) {
    let names = vhost.protocols.iter().filter_map(|protocol| built_in(&protocol.name)).collect();
    let default = vhost.protocols.iter().find(|protocol| protocol.is_default);
    let default = default.filter(|_| !vhost.websockets_need_protocol);
    (names, default.and_then(|protocol| built_in(&protocol.name)))
}

/// Asks for the password of the protocol that a WebSocket gets, where that has one.
struct Passwords {
    names: Vec<&'static str>,
    default: Option<&'static str>,
    by_protocol: HashMap<&'static str, Basic>,
}

impl Guard for Passwords {
    fn admit(&self, cx: &mut Context<'_>, request: &Request<'_>) -> Admission {
        let chosen = chosen(&self.names, self.default, request);
        match chosen.and_then(|name| self.by_protocol.get(name)) {
            Some(passwords) => passwords.admit(cx, request),
            None => Admission::Granted,
        }
    }
}

/// The gate of the WebSockets of a host, if one of its protocols wants a password. `files` are those of users and passwords, all of which
/// have been read.
pub(super) fn gate(vhost: &Vhost, files: &HashMap<PathBuf, Basic>) -> Option<Gate> {
    let wanted = vhost.protocols.iter().filter_map(|protocol| {
        Some((built_in(&protocol.name)?, files.get(protocol.basic_auth.as_ref()?)?.clone()))
    });
    let by_protocol: HashMap<_, _> = wanted.collect();
    let (names, default) = names(vhost);
    (!by_protocol.is_empty()).then(|| Gate::new(Passwords { names, default, by_protocol }))
}

/// What accepts WebSockets at a path of a virtual host.
///
/// A WebSocket gets the first protocol it asks for that the host has, and the host's default one if it asks for none.
pub(super) struct Protocols {
    names: Vec<&'static str>,
    makers: Vec<Maker>,
    default: Option<&'static str>,
}

impl Protocols {
    /// Those of a host which are built in. `demo` is what the WebSockets at this path have in common.
    pub(super) fn new(vhost: &Vhost, demo: &Demo) -> Self {
        let (names, default) = names(vhost);
        let makers = names.iter().map(|name| maker(name, demo)).collect();
        Self { names, makers, default }
    }
}

fn maker(name: &str, demo: &Demo) -> Maker {
    match name {
        "dumb-increment-protocol" => Box::new(|_| ws::Accepted::new(Demo::counter()).boxed()),
        "lws-mirror-protocol" => {
            let demo = demo.clone();
            Box::new(move |_| ws::Accepted::new(demo.mirror()).boxed())
        }
        "lws-status" => Box::new(|_| ws::Accepted::new(Demo::status()).boxed()),
        _ => {
            let echo = echo::websockets();
            Box::new(move |request| echo(request).boxed())
        }
    }
}

impl Endpoint for Protocols {
    fn upgrade(
        &self,
        _: &mut Context<'_>,
        request: &Request<'_>,
    ) -> Result<ws::Accepted<Box<dyn ws::Handler>>, Response> {
        let asked = request.select_protocol(&self.names);
        let chosen = chosen(&self.names, self.default, request);
        let index = chosen.and_then(|chosen| self.names.iter().position(|name| *name == chosen));
        let make = index.and_then(|index| self.makers.get(index));
        make.map(|make| make(request).protocol(asked)).ok_or_else(|| Response::error(Status::FORBIDDEN))
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
