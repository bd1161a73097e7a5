//! Events of streams that have begun: each is a call of the stream's handler.

use super::{App, Lent, context_of};
use crate::context::{Context, Subject};
use crate::http::{self, Answer, Exchange, Permit, Response, Status};
use crate::id::{RouteId, StreamId};
use crate::link::stream::{HttpStream, StreamPhase, StreamState, WebSocketStream};
use crate::link::streams::{Ingress, Streams};
use crate::thread::ThreadState;
use crate::{raw, ws};
use lws_proto::ws::CloseCode;
use lws_proto::{Cause, Established, Event, Stream, StreamKey, WebSocket};

impl App {
    #[inline(always)]
    pub(super) fn on_message(
        &mut self,
        cx: &mut Lent<'_>,
        streams: &mut Streams,
        key: StreamKey,
        mut stream: WebSocket<'_>,
        message: ws::Message<'_>,
    ) {
        let StreamPhase::WebSocket(websocket) = &mut streams.at(key).phase else { return };
        if message.end {
            self.state.counters.messages += 1;
            websocket.counters.count_received(message.kind);
        }
        if let Some(logged) = &mut websocket.logged {
            logged.messages_in += u64::from(message.end);
            logged.bytes_in += message.chunk.len() as u64;
        }
        let WebSocketStream { handler, route, subscriptions, .. } = &mut *websocket;
        let mut context = context_of(&mut self.state, cx, *route, key, subscriptions);
        handler.message(&mut context, stream.reborrow(), message);
        websocket.count_sent(stream.sent());
        if websocket.blocked {
            Self::unblock(cx, websocket, key);
        }
    }

    /// Any event but a message. Never inlined, so that the way of messages needs few registers.
    #[inline(never)]
    pub(super) fn other_event(&mut self, cx: &mut Lent<'_>, streams: &mut Streams, event: Event<'_>) {
        let (key, ended) = (event.key(), matches!(event, Event::Closed { .. }));
        let called = self.guard(cx, |app, cx| app.on_event(cx, &mut *streams, key, event));
        if ended {
            streams.shrink();
        } else if called.is_none() {
            self.end_panicked(cx, streams, key);
        }
    }

    fn on_event(&mut self, cx: &mut Lent<'_>, streams: &mut Streams, key: StreamKey, event: Event<'_>) {
        let ingress = streams.ingress;
        let state = streams.at(key);
        match event {
            Event::Request { stream, head, end } => self.on_request(cx, ingress, state, stream, head, end),
            Event::Closed { cause, .. } => self.on_closed(cx, state, Some(key), cause),
            Event::Established { stream, .. } => self.on_established(cx, ingress.listener, state, stream),
            event => match &mut state.phase {
                StreamPhase::Http(http) => {
                    Self::on_http(&mut self.state, cx, http, key, event);
                    self.after_answer(cx, state);
                }
                StreamPhase::WebSocket(websocket) => {
                    Self::on_websocket(&mut self.state, cx, websocket, key, event);
                    if websocket.blocked {
                        Self::unblock(cx, websocket, key);
                    }
                }
                StreamPhase::Raw(handler) => Self::on_raw(&mut self.state, cx, &mut **handler, key, event),
                StreamPhase::Guarded(_) => {
                    if let Event::Timeout { stream } = event
                        && let Ok(stream) = stream.into_exchange()
                    {
                        self.on_undecided(cx, state, stream);
                    }
                }
                StreamPhase::Idle | StreamPhase::Panicked { .. } => {}
            },
        }
    }

    fn on_established(
        &mut self,
        cx: &mut Lent<'_>,
        listener: u16,
        state: &mut StreamState,
        stream: Established<'_>,
    ) {
        let key = stream.key();
        state.key = Some(key);
        let protocol = if matches!(stream, Established::Raw(_)) { "raw" } else { "WebSocket" };
        self.state.spans.switched(cx.connection(), protocol);
        if let (StreamPhase::Idle, Established::Raw(_)) = (&state.phase, &stream) {
            // What its listener takes for no HTTP.
            let endpoint = self.state.sites.listener(listener).and_then(|listener| listener.raw.clone());
            let handler = endpoint.and_then(|endpoint| endpoint.raw(&mut self.nowhere(cx)));
            state.phase = handler.map_or(StreamPhase::Idle, StreamPhase::Raw);
        }
        match (&mut state.phase, stream) {
            (StreamPhase::WebSocket(websocket), Established::WebSocket(stream)) => {
                self.on_websocket_open(cx, websocket, stream);
            }
            (StreamPhase::Raw(handler), Established::Raw(stream)) => {
                let subject = Subject { route: RouteId::NONE, key: Some(key) };
                handler.open(&mut Context::new(cx, &mut self.state, subject, None), stream);
            }
            (_, stream) => stream.into_stream().abort(),
        }
    }

    fn on_websocket_open(
        &mut self,
        cx: &mut Lent<'_>,
        websocket: &mut WebSocketStream,
        mut stream: WebSocket<'_>,
    ) {
        let (key, shard) = (stream.key(), self.state.shard);
        let WebSocketStream { handler, route, subscriptions, .. } = websocket;
        let id = cx.connection().map(|connection| StreamId { shard, connection, key });
        if id.is_some_and(|id| !self.state.topics.join(*route, id, subscriptions)) {
            // Its site was removed while it opened. If it is closing already there is nothing left to do.
            let _ = stream.close(CloseCode::GOING_AWAY, "");
            return;
        }
        let mut context = context_of(&mut self.state, cx, *route, key, subscriptions);
        handler.open(&mut context, stream.reborrow());
        websocket.count_sent(stream.sent());
    }

    fn on_http(
        state: &mut ThreadState,
        cx: &mut Lent<'_>,
        http: &mut HttpStream,
        key: StreamKey,
        event: Event<'_>,
    ) {
        let Some(handler) = &mut http.handler else { return };
        let subject = Subject { route: http.route, key: Some(key) };
        let mut context = Context::new(cx, state, subject, None);
        let tally = &mut http.tally;
        match event {
            // They belong to the request whose place this one has taken.
            Event::Body { .. } | Event::Trailers { .. } if tally.reroutes > 0 => {}
            Event::Body { stream, chunk, end } => {
                if let Some(entry) = &mut http.entry {
                    entry.bytes_in += chunk.len() as u64;
                }
                handler.content(&mut context, Exchange { stream, tally }, chunk, end);
            }
            Event::Trailers { stream, head } => {
                handler.trailers(&mut context, Exchange { stream, tally }, head);
            }
            Event::Writable(permit) => {
                if let Ok(permit) = permit.into_exchange() {
                    handler.writable(&mut context, Permit::new(permit, tally));
                }
            }
            Event::Timeout { stream } => {
                let Ok(stream) = stream.into_exchange() else { return };
                let (now, mut exchange) = (context.now(), Exchange { stream, tally });
                if exchange.tally.is_overdue(now) {
                    handler.close(&mut context, Cause::Aborted);
                    let late = Response::error(Status::SERVICE_UNAVAILABLE);
                    http.handler = late.answer(&mut context, exchange, true);
                } else if exchange.takes_timer(now) {
                    handler.timer(&mut context, exchange);
                }
            }
            Event::PeerEnded { stream } => handler.peer_ended(&mut context, Exchange { stream, tally }),
            _ => {}
        }
    }

    fn on_websocket(
        state: &mut ThreadState,
        cx: &mut Lent<'_>,
        websocket: &mut WebSocketStream,
        key: StreamKey,
        event: Event<'_>,
    ) {
        if let Event::Writable(permit) = event {
            if let Ok(permit) = permit.into_websocket() {
                Self::on_permit(state, cx, websocket, permit);
            }
            return;
        }
        let WebSocketStream { handler, route, subscriptions, .. } = websocket;
        let mut context = context_of(state, cx, *route, key, subscriptions);
        let sent = match event {
            Event::Control { mut stream, control } => {
                handler.control(&mut context, stream.reborrow(), control);
                stream.sent()
            }
            Event::Timeout { stream } => {
                let Ok(mut stream) = stream.into_websocket() else { return };
                handler.timer(&mut context, stream.reborrow());
                stream.sent()
            }
            _ => return,
        };
        websocket.count_sent(sent);
    }

    fn on_raw(
        state: &mut ThreadState,
        cx: &mut Lent<'_>,
        handler: &mut dyn raw::Handler,
        key: StreamKey,
        event: Event<'_>,
    ) {
        let subject = Subject { route: RouteId::NONE, key: Some(key) };
        let mut context = Context::new(cx, state, subject, None);
        match event {
            Event::Raw { stream, chunk, end } => handler.chunk(&mut context, stream, chunk, end),
            Event::Writable(permit) => {
                if let Ok(permit) = permit.into_raw() {
                    handler.writable(&mut context, permit);
                }
            }
            Event::Timeout { stream } => {
                if let Ok(stream) = stream.into_raw() {
                    handler.timer(&mut context, stream);
                }
            }
            _ => {}
        }
    }

    /// A stream was woken: by a handler, by another thread, or because it is to be ended.
    pub(super) fn on_woken(
        &mut self,
        cx: &mut Lent<'_>,
        ingress: Ingress,
        state: &mut StreamState,
        stream: Stream<'_>,
    ) {
        let key = stream.key();
        match &mut state.phase {
            StreamPhase::Idle => {}
            StreamPhase::Http(http) if http.tally.is_granted() => {
                if let Ok(stream) = stream.into_exchange() {
                    self.end_subrequest(cx, state, stream);
                }
            }
            StreamPhase::Http(http) => match http.tally.take_instead() {
                Some(head) => {
                    if let Ok(stream) = stream.into_exchange() {
                        self.reroute(cx, ingress, state, stream, &head);
                    }
                }
                None => {
                    self.on_http_woken(cx, http, stream);
                    self.after_answer(cx, state);
                }
            },
            StreamPhase::Guarded(_) => {
                if let Ok(stream) = stream.into_exchange() {
                    self.on_decided(cx, state, stream);
                }
            }
            StreamPhase::WebSocket(websocket) if websocket.is_established() => {
                let WebSocketStream { handler, route, subscriptions, .. } = websocket;
                if let Ok(mut stream) = stream.into_websocket() {
                    let mut context = context_of(&mut self.state, cx, *route, key, subscriptions);
                    handler.wake(&mut context, stream.reborrow());
                    websocket.count_sent(stream.sent());
                }
            }
            StreamPhase::WebSocket(_) => {}
            StreamPhase::Panicked { websocket: true } => {
                if let Ok(mut stream) = stream.into_websocket() {
                    // The peer's Close frame has to be received, whether the handler had paused its messages or not.
                    stream.resume();
                    // If it is closing already there is nothing left to do.
                    let _ = stream.close(CloseCode::INTERNAL_ERROR, "");
                }
            }
            StreamPhase::Panicked { websocket: false } => stream.abort(),
            StreamPhase::Raw(handler) => {
                let subject = Subject { route: RouteId::NONE, key: Some(key) };
                if let Ok(stream) = stream.into_raw() {
                    handler.wake(&mut Context::new(cx, &mut self.state, subject, None), stream);
                }
            }
        }
    }

    fn on_http_woken(&mut self, cx: &mut Lent<'_>, http: &mut HttpStream, stream: Stream<'_>) {
        let Ok(stream) = stream.into_exchange() else { return };
        let owes_answer = http.owes_answer();
        let subject = Subject { route: http.route, key: Some(stream.key()) };
        let mut context = Context::new(cx, &mut self.state, subject, None);
        let mut exchange = Exchange { stream, tally: &mut http.tally };
        if owes_answer {
            exchange.tally.failed = false;
            // No handler takes content that was held off, and it would stand in the way of what follows.
            exchange.resume();
            let response = Response::error(Status::INTERNAL_SERVER_ERROR);
            http.handler = Answer::answer(response, &mut context, exchange, true);
        } else if let Some(handler) = &mut http.handler {
            http::Handler::wake(&mut **handler, &mut context, exchange);
        } else if exchange.tally.panicked && !exchange.stream.has_ended() {
            // The response has begun, and its handler, which would have ended it, is gone.
            exchange.abort();
        }
    }
}
