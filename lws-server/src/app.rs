//! The application that a server is to its driver: events in, calls of handlers out.
//!
//! Knows routes and handlers; no socket and no loop.

use crate::access::{self, Entry};
use crate::context::{Context, Place, StreamId};
use crate::group::Command;
use crate::hosts::Arrival;
use crate::http::{self, Exchange, Permit, Request, Response, Status, Tally};
use crate::panics::{self, PanicRecord, Panicked};
use crate::refusal::{self, status_of};
use crate::route::{self, Routed};
use crate::shared::{Guarded, Shared};
use crate::streams::{Origin, Streams};
use crate::tls::{self, Failure, Info, Listen, Plain};
use crate::topics::{Subscription, Subscriptions};
use crate::{Peer, raw, ws};
use lws_loop_external as external;
use lws_loop_external::{Accepted, Application, ConnectionId, ListenerId};
use lws_proto::http::Head;
use lws_proto::ws::{Accept, CloseCode, check_request, is_opening};
use lws_proto::{Cause, Config, Connection, Event, Protocol, Stream, StreamKey, Time};
use std::rc::Rc;
use std::sync::Arc;

/// Routes, and what all handlers share.
pub(crate) struct App {
    pub(crate) http: Arc<Config>,
    pub(crate) raw: Arc<Config>,
    pub(crate) listeners: Vec<Listening>,
    pub(crate) fallback: Option<RawFactory>,
    pub(crate) shared: Shared,
    pub(crate) on_tls: Option<OnTls>,
    #[cfg(feature = "record")]
    pub(crate) recorder: Option<Arc<lws_record::Folder>>,
    pub(crate) on_sent_away: Option<OnSentAway>,
}

/// Who is told of HTTP/2 peers that were told to go away.
pub(crate) type OnSentAway = Box<dyn Fn(&Peer, Cause)>;

/// Who is told of TLS. `false` refuses the peer.
pub(crate) type OnTls = Box<dyn Fn(&Peer, tls::Event<'_>) -> bool>;

pub(crate) type RawFactory = Rc<dyn Fn() -> Box<dyn raw::Handler>>;

/// A listener of the server.
pub(crate) struct Listening {
    pub(crate) id: ListenerId,
    pub(crate) listener: Listener,
    pub(crate) tls: Option<Listen>,
    /// Only this machine reaches it.
    pub(crate) local: bool,
}

/// What a listener's connections speak.
#[derive(Clone)]
pub(crate) enum Listener {
    Http,
    Raw(RawFactory),
}

/// Kept for each stream.
pub(crate) struct State {
    pub(crate) key: Option<StreamKey>,
    pub(crate) slot: Slot,
}

/// What a stream does now.
#[derive(Default)]
pub(crate) enum Slot {
    #[default]
    Idle,
    Http(HttpSlot),
    WebSocket(WebSocketSlot),
    Raw(Box<dyn raw::Handler>),
    /// Its handler has panicked, and was dropped: the stream is to be ended, or is on its way to its end.
    Panicked {
        websocket: bool,
    },
}

pub(crate) struct HttpSlot {
    handler: Option<Box<dyn http::Handler>>,
    tally: Tally,
    route: u32,
    /// For the access log, if there is one.
    entry: Option<Box<Entry>>,
}

pub(crate) struct WebSocketSlot {
    pub(crate) handler: Box<dyn ws::Handler>,
    pub(crate) route: u32,
    /// That to its route is among them once it is established.
    pub(crate) subscriptions: Subscriptions,
    /// Something was published, and is to be sent when a message of the handler has come to its end.
    pub(crate) blocked: bool,
    /// The last permit was spent on what was published: the next one is the handler's.
    pub(crate) delivered: bool,
}

impl WebSocketSlot {
    /// Whether its opening handshake is done.
    pub(crate) fn is_established(&self) -> bool {
        !self.subscriptions.as_slice().is_empty()
    }
}

impl HttpSlot {
    /// Whether a 500 is owed: a response could not be written, or the request has neither been answered nor left a handler that
    /// could.
    #[inline]
    fn owes_answer(&self) -> bool {
        self.tally.status == 0 && (self.tally.failed || self.handler.is_none())
    }
}

impl State {
    /// Whether nothing is kept for a stream here.
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.slot, Slot::Idle)
    }
}

impl Default for State {
    fn default() -> Self {
        Self { key: None, slot: Slot::Idle }
    }
}

/// What raw streams and unknown paths have in place of a route.
const NO_ROUTE: u32 = u32::MAX;

pub(crate) type Lent<'a> = external::Context<'a, App>;

impl App {
    #[inline]
    pub(crate) fn context<'a>(
        shared: &'a mut Shared,
        cx: &'a mut Lent<'_>,
        route: u32,
        key: Option<StreamKey>,
    ) -> Context<'a> {
        shared.calling = route;
        Context { driver: cx, shared, place: Place { route, key }, subscriptions: None }
    }

    /// The context of a call that is about no stream.
    pub(crate) fn nowhere<'a>(&'a mut self, cx: &'a mut Lent<'_>) -> Context<'a> {
        self.shared.calling = NO_ROUTE;
        Context { driver: cx, shared: &mut self.shared, place: Place::NOWHERE, subscriptions: None }
    }

    /// Lets the other threads know what this one has counted.
    fn report(&mut self, cx: &mut Lent<'_>) {
        let group = Arc::clone(&self.shared.group);
        if group.shards.count() > 1 {
            group.report(self.shared.shard, self.nowhere(cx).thread_stats());
        }
    }

    // Panics.

    /// Does what may call a handler or a factory. `None` if one has panicked, which has been counted and told then.
    #[inline(always)]
    fn guard<R>(&mut self, cx: &mut Lent<'_>, call: impl FnOnce(&mut Self, &mut Lent<'_>) -> R) -> Option<R> {
        match panics::catch(|| call(&mut *self, &mut *cx)) {
            Ok(result) => Some(result),
            Err(panicked) => {
                self.tell_panic(cx, &panicked);
                None
            }
        }
    }

    #[cold]
    fn tell_panic(&mut self, cx: &Lent<'_>, panicked: &Panicked) {
        self.shared.counters.panics += 1;
        let Shared { on_panic: Some(on_panic), group, shard, calling, .. } = &self.shared else { return };
        let record = PanicRecord {
            route: group.path(*calling),
            peer: cx.peer(),
            thread: usize::from(*shard),
            message: panicked.message(),
        };
        // Nobody is left to hear that this one has panicked, too.
        let _ = panics::catch(|| on_panic(&record));
    }

    /// The handler of a stream has panicked: it is called no more, and the stream ends as soon as its connection is lent again.
    #[cold]
    fn end_panicked(&mut self, cx: &mut Lent<'_>, streams: &mut Streams, key: StreamKey) {
        let state = streams.at(key);
        state.key = Some(key);
        state.slot = match std::mem::take(&mut state.slot) {
            Slot::Http(mut slot) => {
                panics::discard(slot.handler.take());
                slot.tally.panicked = true;
                Slot::Http(slot)
            }
            Slot::WebSocket(slot) => {
                self.leave(&slot);
                panics::discard(slot.handler);
                Slot::Panicked { websocket: true }
            }
            Slot::Raw(handler) => {
                panics::discard(handler);
                Slot::Panicked { websocket: false }
            }
            Slot::Idle => Slot::Panicked { websocket: false },
            ended @ Slot::Panicked { .. } => ended,
        };
        if let Some(id) = cx.connection() {
            self.shared.wake(id, key);
            cx.wake(id);
        }
    }

    // Requests.

    fn on_request(
        &mut self,
        cx: &mut Lent<'_>,
        origin: Origin,
        state: &mut State,
        stream: Stream<'_>,
        head: Head<'_>,
        end: bool,
    ) {
        let Origin { listener, plain, local } = origin;
        let key = stream.key();
        self.shared.counters.requests += 1;
        let entry =
            self.shared.log.as_ref().map(|_| Entry::new(self.peer(cx), self.shared.unix_seconds, &head));
        state.key = Some(key);
        let tls = cx.tls();
        let always = self.shared.always[usize::from(tls.is_some())].clone();
        let tally = Tally { always, head: head.method() == http::Method::Head, ..Tally::default() };
        state.slot = Slot::Http(HttpSlot { handler: None, tally, route: NO_ROUTE, entry });
        let Slot::Http(slot) = &mut state.slot else { return };

        let routes = Rc::clone(&self.shared.routes);
        let target = head.target();
        let path = route::path_of(&head, target);
        let arrival = Arrival { secure: tls.is_some(), local };
        let here = self.shared.hosts.serve(&head, target, arrival)
            && tls.is_none_or(|info| self.is_of_host(listener, info, &head));
        let named = path.as_deref().filter(|path| here && !path.is_empty());
        let found = named.and_then(|path| routes.find(path));
        let route = found.and_then(|index| routes.get(index));
        slot.route = found.and_then(|index| u32::try_from(index).ok()).unwrap_or(NO_ROUTE);
        let pattern = found.and_then(|index| routes.pattern(index));
        let routed = Routed { path: path.as_deref().unwrap_or_default(), pattern };

        if plain && here {
            return self.on_plain_request(cx, listener, state, stream, &head, end);
        }
        let endpoint =
            route.and_then(|route| route.endpoints.iter().find(|(allowed, _)| allowed.allow(head.method())));
        let opening = route.and_then(|route| route.websocket.as_ref()).filter(|_| is_opening(&head));
        let secure = tls.is_some();
        let foreign = match (opening, endpoint) {
            (Some(opening), _) => !opening.permits_opening(&head, secure),
            (None, Some((_, endpoint))) => !endpoint.permits(&head, secure),
            (None, None) => false,
        };
        if let Some(Guarded { inner: factory, .. }) = opening.filter(|_| !foreign) {
            self.on_opening(cx, state, stream, (head, routed), factory);
            return Self::after_answer(&mut self.shared, cx, state);
        }
        let mut context = Self::context(&mut self.shared, cx, slot.route, Some(key));
        let exchange = Exchange { stream, tally: &mut slot.tally };
        slot.handler = match endpoint {
            _ if foreign => http::Answer::answer(refusal::foreign(), &mut context, exchange, end),
            Some((_, Guarded { inner: endpoint, .. })) => {
                endpoint.request(&mut context, &Request::lent(head, routed, !end, tls), exchange, end)
            }
            None => {
                let refusal = match here {
                    true => refusal::refusal(&head, path.as_deref(), route),
                    false => refusal::misdirected(),
                };
                http::Answer::answer(refusal, &mut context, exchange, end)
            }
        };
        Self::after_answer(&mut self.shared, cx, state);
    }

    /// A request without TLS where TLS is spoken.
    #[cold]
    fn on_plain_request(
        &mut self,
        cx: &mut Lent<'_>,
        listener: u16,
        state: &mut State,
        mut stream: Stream<'_>,
        head: &Head<'_>,
        end: bool,
    ) {
        let policy = self.listen(listener).map_or_else(Plain::default, |listen| listen.plain);
        stream.last_exchange();
        let Slot::Http(slot) = &mut state.slot else { return };
        let mut context = Self::context(&mut self.shared, cx, NO_ROUTE, Some(stream.key()));
        let exchange = Exchange { stream, tally: &mut slot.tally };
        slot.handler = http::Answer::answer(refusal::plain(head, policy), &mut context, exchange, end);
        Self::after_answer(&mut self.shared, cx, state);
    }

    fn listen(&self, listener: u16) -> Option<&Listen> {
        self.listeners.get(usize::from(listener)).and_then(|listening| listening.tls.as_ref())
    }

    /// Whether a request is for the host that its connection was made for: that of a client which asked for no name was made
    /// for the default one. RFC 9110 §7.4.
    fn is_of_host(&self, listener: u16, info: &Info, head: &Head<'_>) -> bool {
        let Some(authority) = head.authority() else { return true };
        let (asked, host) = (info.server_name.as_deref(), authority.host());
        asked.is_some_and(|name| host.eq_ignore_ascii_case(name))
            || self.listen(listener).is_some_and(|listen| listen.tls.provider.same_host(asked, host))
    }

    fn on_opening(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut State,
        stream: Stream<'_>,
        (head, routed): (Head<'_>, Routed<'_>),
        factory: &ws::Factory,
    ) {
        let Slot::Http(slot) = &mut state.slot else { return };
        if check_request(&head).is_err() {
            // The engine knows what to answer, and does.
            let _ = stream.accept_websocket(&head, &Accept::new());
            return;
        }
        self.shared.calling = slot.route;
        let accepted = match factory(&Request::lent(head, routed, false, cx.tls())) {
            Ok(accepted) => accepted,
            Err(refusal) => {
                let mut context = Self::context(&mut self.shared, cx, slot.route, Some(stream.key()));
                let exchange = Exchange { stream, tally: &mut slot.tally };
                slot.handler = http::Answer::answer(refusal, &mut context, exchange, true);
                return;
            }
        };
        let fields: Vec<_> = accepted.fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut accept = Accept::new().fields(&fields).extensions(&accepted.extensions);
        if let Some(deflate) = &self.shared.deflate {
            accept = accept.deflate(deflate);
        }
        if let Some(protocol) = accepted.protocol {
            accept = accept.protocol(protocol);
        }
        if accepted.streamed {
            accept = accept.streamed();
        }
        if stream.accept_websocket(&head, &accept).is_err() {
            // A subprotocol that was not offered, or a field that cannot be written: the factory's fault.
            slot.tally.failed = true;
            return;
        }
        if let Some(entry) = slot.entry.take() {
            let tally = Tally { status: entry.opened_status(), ..Tally::default() };
            self.log(cx, Some(&entry), &tally, "websocket");
        }
        self.shared.counters.websockets += 1;
        let route = slot.route;
        state.slot = Slot::WebSocket(WebSocketSlot {
            handler: accepted.handler,
            route,
            subscriptions: Subscriptions::default(),
            blocked: false,
            delivered: false,
        });
    }

    /// Who is at the other end of the connection that is looked at.
    fn peer(&self, cx: &Lent<'_>) -> Peer {
        self.shared.peer(cx.connection(), || cx.peer())
    }

    #[inline]
    fn log(&self, cx: &Lent<'_>, entry: Option<&Entry>, tally: &Tally, cause: &'static str) {
        if let Some(log) = &self.shared.log {
            log(&access::record(entry, || self.peer(cx), self.shared.unix_seconds, tally, cause));
        }
    }

    /// If a 500 is owed: the stream is out of reach until the connection is lent again.
    #[inline]
    fn after_answer(shared: &mut Shared, cx: &mut Lent<'_>, state: &State) {
        if let (State { key: Some(key), slot: Slot::Http(slot) }, Some(id)) = (state, cx.connection())
            && slot.owes_answer()
        {
            shared.wake(id, *key);
            cx.wake(id);
        }
    }

    fn tell_tls(&self, cx: &Lent<'_>, event: tls::Event<'_>) -> bool {
        self.on_tls.as_ref().is_none_or(|on_tls| on_tls(&self.peer(cx), event))
    }

    // Established streams.

    fn on_established(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut State,
        stream: Stream<'_>,
        protocol: Protocol,
    ) {
        let key = stream.key();
        state.key = Some(key);
        match (&mut state.slot, protocol) {
            (Slot::WebSocket(slot), Protocol::WebSocket) => {
                if let Some(connection) = cx.connection() {
                    let id = StreamId { shard: self.shared.shard, connection, key };
                    self.shared.topics.join(slot.route, id, &mut slot.subscriptions);
                }
                let WebSocketSlot { handler, route, subscriptions, .. } = slot;
                let context = Self::context(&mut self.shared, cx, *route, Some(key));
                handler.open(&mut context.of_subscriber(subscriptions), stream);
            }
            (slot, Protocol::Raw) => {
                if let (Slot::Idle, Some(factory)) = (&*slot, &self.fallback) {
                    *slot = Slot::Raw(factory());
                }
                match slot {
                    Slot::Raw(handler) => {
                        let mut context = Self::context(&mut self.shared, cx, NO_ROUTE, Some(key));
                        handler.open(&mut context, stream);
                    }
                    _ => stream.abort(),
                }
            }
            _ => stream.abort(),
        }
    }

    // Events of a stream that has its handler.

    fn on_http(
        shared: &mut Shared,
        cx: &mut Lent<'_>,
        slot: &mut HttpSlot,
        key: Option<StreamKey>,
        event: Event<'_>,
    ) {
        let Some(handler) = &mut slot.handler else { return };
        let mut context = Self::context(shared, cx, slot.route, key);
        let tally = &mut slot.tally;
        match event {
            Event::Body { stream, chunk, end } => {
                handler.content(&mut context, Exchange { stream, tally }, chunk, end);
            }
            Event::Trailers { stream, head } => {
                handler.trailers(&mut context, Exchange { stream, tally }, head);
            }
            Event::Writable(permit) => handler.writable(&mut context, Permit::new(permit, tally)),
            Event::Timeout { stream } => handler.timer(&mut context, Exchange { stream, tally }),
            Event::PeerEnded { stream } => handler.peer_ended(&mut context, Exchange { stream, tally }),
            _ => {}
        }
    }

    #[inline(always)]
    fn on_message(
        &mut self,
        cx: &mut Lent<'_>,
        streams: &mut Streams,
        stream: Stream<'_>,
        message: ws::Message<'_>,
    ) {
        let key = stream.key();
        let Slot::WebSocket(slot) = &mut streams.at(key).slot else { return };
        self.shared.counters.messages += u64::from(message.end);
        let WebSocketSlot { handler, route, subscriptions, .. } = &mut *slot;
        let context = Self::context(&mut self.shared, cx, *route, Some(key));
        handler.message(&mut context.of_subscriber(subscriptions), stream, message);
        if slot.blocked {
            Self::unblock(cx, slot, key);
        }
    }

    fn on_websocket(
        shared: &mut Shared,
        cx: &mut Lent<'_>,
        slot: &mut WebSocketSlot,
        key: Option<StreamKey>,
        event: Event<'_>,
    ) {
        if let Event::Writable(permit) = event {
            return Self::on_permit(shared, cx, slot, permit);
        }
        let WebSocketSlot { handler, route, subscriptions, .. } = slot;
        let mut context = Self::context(shared, cx, *route, key).of_subscriber(subscriptions);
        match event {
            Event::Control { stream, control } => handler.control(&mut context, stream, control),
            Event::Timeout { stream } => handler.timer(&mut context, stream),
            _ => {}
        }
    }

    fn on_raw(
        shared: &mut Shared,
        cx: &mut Lent<'_>,
        handler: &mut dyn raw::Handler,
        key: Option<StreamKey>,
        event: Event<'_>,
    ) {
        let mut context = Self::context(shared, cx, NO_ROUTE, key);
        match event {
            Event::Raw { stream, chunk, end } => handler.chunk(&mut context, stream, chunk, end),
            Event::Writable(permit) => handler.writable(&mut context, permit),
            Event::Timeout { stream } => handler.timer(&mut context, stream),
            _ => {}
        }
    }

    /// Somebody wants the handler of a stream to look at it.
    fn on_woken(&mut self, cx: &mut Lent<'_>, state: &mut State, stream: Stream<'_>) {
        let key = stream.key();
        match &mut state.slot {
            Slot::Idle => {}
            Slot::Http(slot) => {
                let owes_answer = slot.owes_answer();
                let mut context = Self::context(&mut self.shared, cx, slot.route, Some(key));
                let exchange = Exchange { stream, tally: &mut slot.tally };
                if owes_answer {
                    exchange.tally.failed = false;
                    let response = Response::error(Status::INTERNAL_SERVER_ERROR);
                    slot.handler = http::Answer::answer(response, &mut context, exchange, true);
                } else if let Some(handler) = &mut slot.handler {
                    handler.wake(&mut context, exchange);
                } else if exchange.tally.panicked && !exchange.stream.has_ended() {
                    // The response has begun, and nobody will end it.
                    exchange.abort();
                }
            }
            Slot::WebSocket(slot) if slot.is_established() => {
                let WebSocketSlot { handler, route, subscriptions, .. } = slot;
                let context = Self::context(&mut self.shared, cx, *route, Some(key));
                handler.wake(&mut context.of_subscriber(subscriptions), stream);
            }
            Slot::WebSocket(_) => {}
            Slot::Panicked { websocket: true } => {
                let mut stream = stream;
                // The peer's Close frame is to be heard, whatever the handler wanted to hear.
                stream.resume();
                // If it is closing already there is nothing left to do.
                let _ = stream.close(CloseCode::INTERNAL_ERROR, "");
            }
            Slot::Panicked { websocket: false } => stream.abort(),
            Slot::Raw(handler) => {
                handler.wake(&mut Self::context(&mut self.shared, cx, NO_ROUTE, Some(key)), stream);
            }
        }
    }

    // The end of a stream.

    fn on_closed(&mut self, cx: &mut Lent<'_>, state: &mut State, key: Option<StreamKey>, cause: Cause) {
        match std::mem::take(&mut state.slot) {
            Slot::Panicked { .. } => {}
            // A request that was refused before it could be understood.
            Slot::Idle => {
                let tally = Tally { status: status_of(cause), ..Tally::default() };
                self.log(cx, None, &tally, cause.name());
            }
            Slot::Http(mut slot) => {
                if let Some(mut handler) = slot.handler {
                    handler.close(&mut Self::context(&mut self.shared, cx, slot.route, key), cause);
                }
                if slot.tally.status == 0 {
                    slot.tally.status = status_of(cause);
                }
                if let Some(entry) = slot.entry {
                    let cause = if slot.tally.panicked { "panic" } else { cause.name() };
                    self.log(cx, Some(&entry), &slot.tally, cause);
                }
            }
            Slot::WebSocket(mut slot) => {
                self.leave(&slot);
                slot.handler.close(&mut Self::context(&mut self.shared, cx, slot.route, key), cause);
            }
            Slot::Raw(mut handler) => {
                handler.close(&mut Self::context(&mut self.shared, cx, NO_ROUTE, key), cause);
            }
        }
    }
}

/// What may call a handler, a factory or a callback. [`App::guard`] stands between these and the driver.
impl App {
    /// A WebSocket is open no more.
    fn leave(&mut self, slot: &WebSocketSlot) {
        self.shared.counters.websockets = self.shared.counters.websockets.saturating_sub(1);
        self.shared.topics.leave_all(&slot.subscriptions);
    }

    fn on_accepted(
        &mut self,
        cx: &mut Lent<'_>,
        listener: ListenerId,
        peer: &Peer,
    ) -> Option<Accepted<Self>> {
        self.shared.calling = NO_ROUTE;
        let index = self.listeners.iter().position(|listening| listening.id == listener)?;
        let Listening { listener, local, .. } = self.listeners.get(index)?;
        let (config, slot) = match listener {
            Listener::Http => (&self.http, Slot::Idle),
            Listener::Raw(factory) => (&self.raw, Slot::Raw(factory())),
        };
        let origin =
            Origin { listener: u16::try_from(index).unwrap_or(u16::MAX), local: *local, plain: false };
        let state = Streams::beginning_with(origin, State { key: None, slot });
        let accepted = Accepted { config: Arc::clone(config), state };
        if let Some(id) = cx.connection() {
            self.shared.connected(id, *peer);
        }
        self.report(cx);
        Some(accepted)
    }

    fn on_event(&mut self, cx: &mut Lent<'_>, streams: &mut Streams, event: Event<'_>) {
        let key = event.key();
        let origin = streams.origin;
        let state = streams.at(key);
        match event {
            Event::Request { stream, head, end } => self.on_request(cx, origin, state, stream, head, end),
            Event::Closed { key, cause } => self.on_closed(cx, state, Some(key), cause),
            Event::Established { stream, protocol, .. } => self.on_established(cx, state, stream, protocol),
            event => match &mut state.slot {
                Slot::Http(slot) => {
                    Self::on_http(&mut self.shared, cx, slot, state.key, event);
                    Self::after_answer(&mut self.shared, cx, state);
                }
                Slot::WebSocket(slot) => {
                    Self::on_websocket(&mut self.shared, cx, slot, state.key, event);
                    if slot.blocked {
                        Self::unblock(cx, slot, key);
                    }
                }
                Slot::Raw(handler) => Self::on_raw(&mut self.shared, cx, &mut **handler, state.key, event),
                Slot::Idle | Slot::Panicked { .. } => {}
            },
        }
    }

    fn on_command(&mut self, cx: &mut Lent<'_>, command: Command) {
        match command {
            Command::Wake(id) => self.nowhere(cx).wake(id),
            Command::WantWrite(id) => cx.want_write(id.connection, id.key),
            Command::WakeAll(route) => {
                let members: Vec<_> = self.shared.topics.subscribers(route).collect();
                for id in members {
                    self.nowhere(cx).wake(id);
                }
            }
            Command::Publish(publication) => {
                self.shared.group.published(self.shared.shard, &publication.message);
                self.nowhere(cx).publish_here(&publication);
            }
            Command::Post(call) => call(&mut self.nowhere(cx)),
            // They belong to a connection.
            Command::Published { .. } | Command::PostTo(..) => {}
        }
    }

    fn on_command_to(
        &mut self,
        cx: &mut Lent<'_>,
        streams: &mut Streams,
        connection: &mut Connection,
        command: Command,
    ) {
        match command {
            Command::Published { key, subscription } => {
                if let Some(state) = streams.find(key) {
                    self.on_published(cx, state, connection, key, subscription);
                }
            }
            Command::PostTo(key, call) => {
                let Some(stream) = connection.stream(key) else { return };
                let route = match streams.find(key).map(|state| &state.slot) {
                    Some(Slot::WebSocket(slot)) if slot.is_established() => slot.route,
                    Some(Slot::Raw(_)) => NO_ROUTE,
                    _ => return,
                };
                call(&mut Self::context(&mut self.shared, cx, route, Some(key)), stream);
            }
            _ => {}
        }
    }
}

impl App {
    /// Any event but a message.
    fn other_event(&mut self, cx: &mut Lent<'_>, streams: &mut Streams, event: Event<'_>) {
        let (key, ended) = (event.key(), matches!(event, Event::Closed { .. }));
        let called = self.guard(cx, |app, cx| app.on_event(cx, &mut *streams, event));
        if ended {
            streams.shrink();
        } else if called.is_none() {
            self.end_panicked(cx, streams, key);
        }
    }
}

impl Application for App {
    type State = Streams;
    type Message = Command;

    fn accepted(&mut self, cx: &mut Lent<'_>, listener: ListenerId, peer: &Peer) -> Option<Accepted<Self>> {
        self.guard(cx, |app, cx| app.on_accepted(cx, listener, peer)).flatten()
    }

    #[cfg(feature = "record")]
    fn opened(&mut self, cx: &mut Lent<'_>, _: &mut Streams, connection: &mut Connection) {
        let Some(recorder) = &self.recorder else { return };
        let mut ends = lws_record::Ends::unknown();
        if let Some(Peer::Tcp(peer)) = cx.peer() {
            ends.peer = peer;
        }
        if let Some(local) = cx.local_address() {
            ends.local = local;
        }
        // A connection that cannot be recorded is served all the same: most often descriptors are short.
        if let Ok(Some(tape)) = recorder.tape(ends) {
            connection.record(tape);
        }
    }

    fn tls_established(&mut self, cx: &mut Lent<'_>, _: &mut Streams, info: &Info) -> bool {
        self.shared.calling = NO_ROUTE;
        // Who was to say whether the peer is welcome has not.
        self.guard(cx, |app, cx| app.tell_tls(cx, tls::Event::Established(info))).unwrap_or(false)
    }

    fn tls_failed(&mut self, cx: &mut Lent<'_>, _: &mut Streams, failure: &Failure) {
        self.shared.calling = NO_ROUTE;
        self.guard(cx, |app, cx| app.tell_tls(cx, tls::Event::Failed(failure)));
    }

    fn plain(&mut self, _: &mut Lent<'_>, streams: &mut Streams) {
        let listen = self.listen(streams.origin.listener);
        streams.origin.plain = listen.is_none_or(|listen| listen.plain != Plain::Serve);
    }

    #[inline]
    fn event(&mut self, cx: &mut Lent<'_>, streams: &mut Streams, event: Event<'_>) {
        // Messages are most of what there is, so that they pay for nothing else.
        if let Event::Message { stream, kind, chunk, first, remaining, end, .. } = event {
            let key = stream.key();
            let message = ws::Message { kind, chunk, first, remaining, end };
            if self.guard(cx, |app, cx| app.on_message(cx, streams, stream, message)).is_none() {
                self.end_panicked(cx, streams, key);
            }
            return;
        }
        self.other_event(cx, streams, event);
    }

    fn sent_away(&mut self, cx: &mut Lent<'_>, _: &mut Streams, cause: Cause) {
        self.shared.calling = NO_ROUTE;
        self.guard(cx, |app, cx| {
            if let Some(on_sent_away) = &app.on_sent_away {
                on_sent_away(&app.peer(cx), cause);
            }
        });
    }

    fn closed(&mut self, cx: &mut Lent<'_>, streams: Streams) {
        // Every stream has been told its end by now, except where the driver had no connection to ask.
        for mut state in streams.into_open() {
            let key = state.key;
            self.guard(cx, |app, cx| app.on_closed(cx, &mut state, key, Cause::Disconnected));
        }
        if let Some(id) = cx.connection() {
            self.shared.woken(id);
            self.shared.disconnected(id);
        }
        self.report(cx);
    }

    fn woken(&mut self, cx: &mut Lent<'_>, streams: &mut Streams, connection: &mut Connection) {
        let woken = cx.connection().map(|id| self.shared.woken(id));
        for key in woken.into_iter().flatten() {
            let called = self.guard(cx, |app, cx| {
                if let (Some(state), Some(stream)) = (streams.find(key), connection.stream(key)) {
                    app.on_woken(cx, state, stream);
                }
            });
            if called.is_none() {
                self.end_panicked(cx, streams, key);
            }
        }
    }

    fn message(&mut self, cx: &mut Lent<'_>, command: Command) {
        self.guard(cx, |app, cx| app.on_command(cx, command));
    }

    fn message_to(
        &mut self,
        cx: &mut Lent<'_>,
        streams: &mut Streams,
        connection: &mut Connection,
        command: Command,
    ) {
        let (Command::Published { key, .. } | Command::PostTo(key, _)) = command else { return };
        let called = self.guard(cx, |app, cx| app.on_command_to(cx, &mut *streams, connection, command));
        if called.is_none() && streams.find(key).is_some() {
            self.end_panicked(cx, streams, key);
        }
    }

    fn notified(&mut self, cx: &mut Lent<'_>) {
        let group = Arc::clone(&self.shared.group);
        for route in group.take_wanted(self.shared.shard) {
            self.nowhere(cx).want_write_here(route);
        }
        self.report(cx);
    }

    fn clock(&mut self, unix_seconds: u32) {
        self.shared.unix_seconds = unix_seconds;
        self.http.wall_clock.set(unix_seconds);
        self.raw.wall_clock.set(unix_seconds);
    }
}

impl crate::context::Driver for Lent<'_> {
    fn now(&self) -> Time {
        external::Context::now(self)
    }

    fn peer(&self) -> Option<Peer> {
        external::Context::peer(self)
    }

    fn tls(&self) -> Option<&Info> {
        external::Context::tls(self)
    }

    fn connection(&self) -> Option<ConnectionId> {
        external::Context::connection(self)
    }

    fn wake(&mut self, id: ConnectionId) -> bool {
        external::Context::wake(self, id)
    }

    fn want_write(&mut self, id: ConnectionId, key: StreamKey) {
        external::Context::want_write(self, id, key);
    }

    fn stats(&self) -> crate::Stats {
        let stats = external::Context::stats(self);
        crate::Stats {
            connections: stats.connections as u64,
            accepted: stats.accepted_total,
            bytes_in: stats.received_bytes_total,
            bytes_out: stats.sent_bytes_total,
            ..crate::Stats::default()
        }
    }

    fn notify(&mut self, id: ConnectionId, key: StreamKey, subscription: Subscription) {
        self.send_to(id, Command::Published { key, subscription });
    }

    fn pace_messages(&mut self) {
        external::Context::pace_messages(self);
    }
}
