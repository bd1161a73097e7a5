//! What a server keeps of one stream: its handler, and how far it has come.

use crate::http::{self, Tally};
use crate::id::RouteId;
use crate::link::streams::Ingress;
use crate::publish::topics::Subscriptions;
use crate::route::guard::{Ask, Later};
use crate::server::peers::Turn;
use crate::site::served::ServedSite;
use crate::thread::access::LoggedRequest;
use crate::thread::deferred::Deferred;
use crate::{raw, ws};
use lws_proto::StreamKey;
use lws_proto::http::HeadBuf;
use std::rc::Rc;

/// One stream of a connection, or the place of one that has ended.
#[derive(Default)]
pub(crate) struct StreamState {
    pub(crate) key: Option<StreamKey>,
    pub(crate) phase: StreamPhase,
}

/// What a stream does now.
#[derive(Default)]
pub(crate) enum StreamPhase {
    /// Nothing: it has not begun, or has ended.
    #[default]
    Idle,
    Http(HttpStream),
    /// A request that does not go on yet: a guard has not decided, or it is not its turn.
    Guarded(Box<GuardedStream>),
    WebSocket(WebSocketStream),
    Raw(Box<dyn raw::Handler>),
    /// Its handler has panicked, and was dropped: the stream is to be ended, or is on its way to its end.
    Panicked {
        websocket: bool,
    },
}

/// An exchange.
pub(crate) struct HttpStream {
    pub(crate) handler: Option<Box<dyn http::Handler>>,
    pub(crate) tally: Tally,
    pub(crate) route: RouteId,
    /// For the access log, if there is one.
    pub(crate) entry: Option<Box<LoggedRequest>>,
    /// Its turn among the requests of its peer, if those are limited.
    pub(crate) turn: Option<Box<Turn>>,
    /// The request that what is answered here decides about.
    pub(crate) waiting: Option<Box<WaitingRequest>>,
}

/// A request that waits for what another route answers about it. It is resolved anew then.
pub(crate) struct WaitingRequest {
    pub(crate) head: HeadBuf,
    /// It has no content.
    pub(crate) end: bool,
    pub(crate) site: Option<Rc<ServedSite>>,
    pub(crate) ingress: Ingress,
    /// How many guards have let it pass.
    pub(crate) passed: usize,
    /// How often the exchange had gone on with another request.
    pub(crate) turns: u8,
    pub(crate) ask: Ask,
}

/// A request that waits for a guard of its route, or for its turn. It is resolved anew then.
pub(crate) struct GuardedStream {
    pub(crate) http: HttpStream,
    pub(crate) head: HeadBuf,
    /// It has no content.
    pub(crate) end: bool,
    pub(crate) site: Option<Rc<ServedSite>>,
    pub(crate) ingress: Ingress,
    /// How many guards have let it pass.
    pub(crate) passed: usize,
    pub(crate) waits_for: WaitsFor,
}

/// What a request waits for before its endpoint gets it.
pub(crate) enum WaitsFor {
    /// The decision of a guard.
    Guard(Later),
    /// Its turn.
    Turn(Deferred<Turn>),
}

/// A WebSocket, from its opening handshake on.
pub(crate) struct WebSocketStream {
    pub(crate) handler: Box<dyn ws::Handler>,
    pub(crate) route: RouteId,
    /// That to its route is among them once it is established.
    pub(crate) subscriptions: Subscriptions,
    /// Something was published, and is to be sent when a message of the handler has come to its end.
    pub(crate) blocked: bool,
    /// The last permit was spent on what was published: the next one is the handler's.
    pub(crate) delivered: bool,
}

impl StreamState {
    /// Whether nothing is kept for a stream here.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.phase, StreamPhase::Idle)
    }

    /// How often the exchange has gone on with another request, which a wait does not make less.
    pub(crate) fn set_turns(&mut self, turns: u8) {
        match &mut self.phase {
            StreamPhase::Http(http) => http.tally.turns = turns,
            StreamPhase::Guarded(guarded) => guarded.http.tally.turns = turns,
            _ => {}
        }
    }

    /// Takes a request that waits for a decision.
    pub(crate) fn take_guarded(&mut self) -> Option<GuardedStream> {
        match std::mem::take(&mut self.phase) {
            StreamPhase::Guarded(guarded) => Some(*guarded),
            other => {
                self.phase = other;
                None
            }
        }
    }
}

impl HttpStream {
    /// Whether a 500 is owed: a response could not be written, or the request has neither been answered nor left a handler that
    /// could.
    #[inline]
    pub(crate) fn owes_answer(&self) -> bool {
        self.tally.status == 0
            && (self.tally.failed || self.handler.is_none())
            && !self.tally.is_granted()
            && self.tally.instead.is_none()
    }
}

impl WebSocketStream {
    /// A WebSocket whose opening handshake was accepted, and has not been sent yet.
    pub(crate) fn new(handler: Box<dyn ws::Handler>, route: RouteId) -> Self {
        Self { handler, route, subscriptions: Subscriptions::default(), blocked: false, delivered: false }
    }

    /// Whether its opening handshake is done.
    pub(crate) fn is_established(&self) -> bool {
        !self.subscriptions.as_slice().is_empty()
    }
}
