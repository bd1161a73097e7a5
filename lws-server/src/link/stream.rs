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
    /// What counts it, and by what.
    pub(crate) counters: ThreadCounters,
    pub(crate) asked: RequestLabels,
    /// The time of the loop when its head was there.
    pub(crate) begun: Time,
    /// What few exchanges have.
    pub(crate) rare: Option<Box<RareExchange>>,
}

/// What few exchanges have, apart from the rest, which is made and dropped for each of them.
#[derive(Default)]
pub(crate) struct RareExchange {
    /// Its slot among the requests of its peer, if those are limited.
    peer_slot: Option<Box<PeerSlot>>,
    /// The request that what is answered here decides about.
    waiting: Option<Box<WaitingRequest>>,
}

impl RareExchange {
    /// Nothing, if it has none of both.
    #[inline]
    pub(crate) fn of(
        peer_slot: Option<Box<PeerSlot>>,
        waiting: Option<Box<WaitingRequest>>,
    ) -> Option<Box<Self>> {
        let any = peer_slot.is_some() || waiting.is_some();
        any.then(|| Box::new(Self { peer_slot, waiting }))
    }
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
    pub(crate) fn take_peer_slot(&mut self) -> Option<Box<PeerSlot>> {
        self.rare.as_mut()?.peer_slot.take()
    }

    pub(crate) fn has_peer_slot(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.peer_slot.is_some())
    }

    pub(crate) fn keep_peer_slot(&mut self, peer_slot: Option<Box<PeerSlot>>) {
        if peer_slot.is_some() {
            self.rare.get_or_insert_default().peer_slot = peer_slot;
        }
    }

    /// The request that waits for what is answered here.
    pub(crate) fn waiting(&self) -> Option<&WaitingRequest> {
        self.rare.as_ref()?.waiting.as_deref()
    }

    pub(crate) fn take_waiting(&mut self) -> Option<Box<WaitingRequest>> {
        self.rare.as_mut()?.waiting.take()
    }

    /// Whether a 500 is owed: a response could not be written, or the request has neither been answered nor left a handler that
    /// could.
    #[inline]
    pub(crate) fn owes_answer(&self) -> bool {
        self.tally.status == 0
            && (self.tally.failed || self.handler.is_none())
            && !self.tally.is_granted()
            && !self.tally.has_instead()
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
        let (now, before) = (sent.messages, self.sent.messages);
        if now != before && now != [0, 0] {
            let more = |kind: usize| u64::from(now[kind].wrapping_sub(before[kind]));
            self.counters.count_sent([more(0), more(1)]);
            self.sent.messages = now;
        }
        // Octets of a message that goes on are sent, too. They only become more, but for one that says nothing any more.
        self.sent.octets = self.sent.octets.max(sent.octets);
    }

    /// Whether its opening handshake is done.
    pub(crate) fn is_established(&self) -> bool {
        !self.subscriptions.as_slice().is_empty()
    }
}
