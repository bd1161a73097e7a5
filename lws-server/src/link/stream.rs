//! What a server keeps of one stream: its handler, and how far it has come.

use crate::http::{self, Tally};
use crate::id::RouteId;
use crate::link::streams::Ingress;
use crate::metrics::{RequestLabels, ThreadCounters};
use crate::publish::topics::Subscriptions;
use crate::route::guard::{Ask, Later};
use crate::server::peers::PeerSlot;
use crate::site::served::ServedSite;
use crate::thread::access::{LoggedRequest, LoggedWebSocket};
use crate::thread::deferred::Deferred;
use crate::{raw, ws};
use lws_proto::http::HeadBuf;
use lws_proto::ws::SentMessages;
use lws_proto::{StreamKey, Time};
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
    /// A request that does not go on yet: a guard has not decided, or its peer has no free slot.
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
    /// Its slot among the requests of its peer, if those are limited.
    pub(crate) peer_slot: Option<Box<PeerSlot>>,
    /// What counts it, and by what.
    pub(crate) counters: ThreadCounters,
    pub(crate) asked: RequestLabels,
    /// The time of the loop when its head was there.
    pub(crate) begun: Time,
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
    pub(crate) reroutes: u8,
    pub(crate) ask: Ask,
}

/// A request that waits for a guard of its route, or for a slot of its peer. It is resolved anew then.
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
    /// A slot among the requests of its peer.
    PeerSlot(Deferred<PeerSlot>),
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
    /// What counts it and its messages.
    pub(crate) counters: ThreadCounters,
    /// What it had sent when that was counted last.
    pub(crate) sent: SentMessages,
    /// For the record of its end, if there is an access log.
    pub(crate) logged: Option<Box<LoggedWebSocket>>,
}

impl StreamState {
    /// Whether nothing is kept for a stream here.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.phase, StreamPhase::Idle)
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
    pub(crate) fn new(
        handler: Box<dyn ws::Handler>,
        route: RouteId,
        counters: ThreadCounters,
        logged: Option<Box<LoggedWebSocket>>,
    ) -> Self {
        Self {
            handler,
            route,
            subscriptions: Subscriptions::default(),
            blocked: false,
            delivered: false,
            counters,
            sent: SentMessages::default(),
            logged,
        }
    }

    /// Counts the messages that were sent since the last time. A WebSocket that has ended in between may say nothing any more.
    #[inline]
    pub(crate) fn count_sent(&mut self, sent: SentMessages) {
        let before = self.sent;
        let is_gone = sent == SentMessages::default();
        if !is_gone && sent != before {
            let more = |now: u32, before: u32| u64::from(now.wrapping_sub(before));
            self.counters.count_sent([more(sent.text, before.text), more(sent.binary, before.binary)]);
            self.sent = sent;
        }
    }

    /// Whether its opening handshake is done.
    pub(crate) fn is_established(&self) -> bool {
        !self.subscriptions.as_slice().is_empty()
    }
}
