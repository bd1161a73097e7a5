//! The protocols of virtual hosts by their names, and which of them a WebSocket gets.

use crate::demo::Demo;
use crate::echo;
use lws_config::{Protocol, Vhost};
use lws_server::http::{Request, Response, Status};
use lws_server::{Context, Endpoint, ws};

/// Makes a handler. It has been chosen by its name already.
type Maker = Box<dyn Fn(&Request<'_>) -> ws::Accepted<Box<dyn ws::Handler>>>;

/// The protocols that are built in, by the names that they have in libwebsockets.
const BUILT_IN: [&str; 4] = ["dumb-increment-protocol", "lws-mirror-protocol", "lws-status", "lws-echo"];

/// The name of a protocol that is built in.
pub(super) fn built_in(name: &str) -> Option<&'static str> {
    BUILT_IN.into_iter().find(|known| *known == name)
}

/// The name of a protocol if it is served: it is built in, and wants no password, which is not asked for there.
pub(super) fn served(protocol: &Protocol) -> Option<&'static str> {
    built_in(&protocol.name).filter(|_| protocol.basic_auth.is_none())
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
        let names: Vec<_> = vhost.protocols.iter().filter_map(served).collect();
        let makers = names.iter().map(|name| maker(name, demo)).collect();
        let default =
            vhost.protocols.iter().find(|protocol| protocol.is_default && !vhost.websockets_need_protocol);
        Self { names, makers, default: default.and_then(served) }
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
        let chosen = asked.or(self.default);
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
