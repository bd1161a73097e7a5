//! The ends of streams, in good order or by a panic.

use super::{App, Lent};
use crate::context::{Context, Subject};
use crate::http::{self, Tally};
use crate::id::RouteId;
use crate::link::stream::{HttpStream, StreamPhase, StreamState, WebSocketStream};
use crate::link::streams::Streams;
use crate::route::refusal::status_of;
use crate::thread::access::LoggedRequest;
use crate::thread::{access, panics};
use lws_proto::{Cause, StreamKey};

/// The code of the Close frame that an end came by.
fn close_code(cause: Cause) -> Option<u16> {
    match cause {
        Cause::Closed { code, .. } => Some(code.get()),
        _ => None,
    }
}

impl App {
    pub(super) fn on_closed(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        key: Option<StreamKey>,
        cause: Cause,
    ) {
        self.state.spans.ended(cx.connection(), cause);
        // Most are exchanges, which are not moved.
        if let StreamPhase::Http(http) = &mut state.phase {
            let (handler, route) = (self.count_closed(cx, http, cause), http.route);
            state.phase = StreamPhase::Idle;
            return self.close_exchange(cx, handler, Subject { route, key }, cause);
        }
        match std::mem::take(&mut state.phase) {
            StreamPhase::Http(_) | StreamPhase::Panicked { .. } => {}
            // A request that was refused before it could be understood.
            StreamPhase::Idle => {
                self.log(cx, || {
                    access::not_understood(self.arrival(cx, key), status_of(cause), cause.name())
                });
            }
            StreamPhase::Guarded(mut guarded) => {
                let subject = Subject { route: guarded.http.route, key };
                let handler = self.count_closed(cx, &mut guarded.http, cause);
                drop(guarded);
                self.close_exchange(cx, handler, subject, cause);
            }
            StreamPhase::WebSocket(mut websocket) => {
                self.leave(cx, &websocket, key);
                self.log_end(cx, &websocket, close_code(cause), cause.name());
                let subject = Subject { route: websocket.route, key };
                websocket.handler.close(&mut Context::new(cx, &mut self.state, subject, None), cause);
            }
            StreamPhase::Raw(mut handler) => {
                let subject = Subject { route: RouteId::NONE, key };
                handler.close(&mut Context::new(cx, &mut self.state, subject, None), cause);
            }
        }
    }

    /// Counts the end of an exchange, and logs it. Returns its handler, to be called behind that: the counts are right where it panics.
    #[inline]
    fn count_closed(
        &mut self,
        cx: &Lent<'_>,
        http: &mut HttpStream,
        cause: Cause,
    ) -> Option<Box<dyn http::Handler>> {
        if http.tally.status == 0 {
            http.tally.status = status_of(cause);
        }
        self.state.counters.in_flight -= 1;
        let Tally { status, bytes, .. } = http.tally;
        http.counters.count_request(http.asked, status, bytes, cx.now() - http.begun);
        if let Some(entry) = http.entry.take() {
            let cause = if http.tally.panicked { "panic" } else { cause.name() };
            self.log_exchange(cx, entry, &http.tally, cause);
        }
        if let Some(errors) = http.tally.errors() {
            errors.refresh(cx.now(), &self.state.group.pools.disk);
        }
        http.handler.take()
    }

    /// Apart from `count_closed`, so that a server without a log does not carry it along.
    #[cold]
    fn log_exchange(&mut self, cx: &Lent<'_>, entry: Box<LoggedRequest>, tally: &Tally, cause: &'static str) {
        self.log(cx, || entry.exchange(tally, cause));
        self.state.entries.give_back(entry);
    }

    #[inline]
    fn close_exchange(
        &mut self,
        cx: &mut Lent<'_>,
        handler: Option<Box<dyn http::Handler>>,
        subject: Subject,
        cause: Cause,
    ) {
        if let Some(mut handler) = handler {
            handler.close(&mut Context::new(cx, &mut self.state, subject, None), cause);
        }
    }

    /// The record of the end of a WebSocket.
    fn log_end(
        &self,
        cx: &Lent<'_>,
        websocket: &WebSocketStream,
        close_code: Option<u16>,
        cause: &'static str,
    ) {
        if let Some(logged) = &websocket.logged {
            let sent = websocket.sent;
            self.log(cx, || {
                logged.end(sent.messages.map(u64::from).iter().sum(), sent.octets, close_code, cause)
            });
        }
    }

    /// A WebSocket is open no more.
    fn leave(&mut self, cx: &mut Lent<'_>, websocket: &WebSocketStream, key: Option<StreamKey>) {
        self.state.counters.websockets = self.state.counters.websockets.saturating_sub(1);
        websocket.counters.websockets.subtract(1);
        self.state.topics.leave_all(&websocket.subscriptions);
        // No handler is called by it: a panic is still that of the route before.
        let calling = self.state.calling;
        let mut nowhere = self.nowhere(cx);
        nowhere.report_topics();
        nowhere.end_presences(key);
        self.state.calling = calling;
    }

    /// The connection of some streams is over.
    pub(super) fn end_streams(&mut self, cx: &mut Lent<'_>, streams: Streams) {
        // Each stream has had its `Closed` event by now, except where the driver had no engine to ask.
        for mut state in streams.into_open() {
            let key = state.key;
            self.guard(cx, |app, cx| app.on_closed(cx, &mut state, key, Cause::Disconnected));
        }
    }

    /// The handler of a stream has panicked: it is called no more, and the stream ends as soon as its connection is lent again.
    #[cold]
    pub(super) fn end_panicked(&mut self, cx: &mut Lent<'_>, streams: &mut Streams, key: StreamKey) {
        let state = streams.at(key);
        state.key = Some(key);
        state.phase = match std::mem::take(&mut state.phase) {
            StreamPhase::Http(mut http) => {
                panics::discard(http.handler.take());
                http.tally.panicked = true;
                // What a handler has granted that came to no good end is not believed.
                http.tally.take_subrequest();
                StreamPhase::Http(http)
            }
            StreamPhase::Guarded(guarded) => {
                let mut http = guarded.http;
                http.tally.panicked = true;
                StreamPhase::Http(http)
            }
            StreamPhase::WebSocket(websocket) => {
                self.leave(cx, &websocket, Some(key));
                self.log_end(cx, &websocket, None, "panic");
                panics::discard(websocket.handler);
                StreamPhase::Panicked { websocket: true }
            }
            StreamPhase::Raw(handler) => {
                panics::discard(handler);
                StreamPhase::Panicked { websocket: false }
            }
            StreamPhase::Idle => StreamPhase::Panicked { websocket: false },
            ended @ StreamPhase::Panicked { .. } => ended,
        };
        self.wake_later(cx, key);
    }
}
