//! The ends of streams, in good order or by a panic.

use super::{App, Lent};
use crate::context::{Context, Subject};
use crate::http::Tally;
use crate::id::RouteId;
use crate::link::stream::{HttpStream, StreamPhase, StreamState, WebSocketStream};
use crate::link::streams::Streams;
use crate::route::refusal::status_of;
use crate::thread::panics;
use lws_proto::{Cause, StreamKey};

impl App {
    pub(super) fn on_closed(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut StreamState,
        key: Option<StreamKey>,
        cause: Cause,
    ) {
        match std::mem::take(&mut state.phase) {
            StreamPhase::Panicked { .. } => {}
            // A request that was refused before it could be understood.
            StreamPhase::Idle => {
                let tally = Tally { status: status_of(cause), ..Tally::default() };
                self.log(cx, None, &tally, cause.name());
            }
            StreamPhase::Http(http) => self.on_exchange_closed(cx, http, key, cause),
            StreamPhase::Guarded(guarded) => self.on_exchange_closed(cx, guarded.http, key, cause),
            StreamPhase::WebSocket(mut websocket) => {
                self.leave(&websocket);
                let subject = Subject { route: websocket.route, key };
                websocket.handler.close(&mut Context::new(cx, &mut self.state, subject, None), cause);
            }
            StreamPhase::Raw(mut handler) => {
                let subject = Subject { route: RouteId::NONE, key };
                handler.close(&mut Context::new(cx, &mut self.state, subject, None), cause);
            }
        }
    }

    #[inline]
    fn on_exchange_closed(
        &mut self,
        cx: &mut Lent<'_>,
        mut http: HttpStream,
        key: Option<StreamKey>,
        cause: Cause,
    ) {
        if let Some(mut handler) = http.handler {
            let subject = Subject { route: http.route, key };
            handler.close(&mut Context::new(cx, &mut self.state, subject, None), cause);
        }
        if http.tally.status == 0 {
            http.tally.status = status_of(cause);
        }
        if let Some(entry) = http.entry {
            let cause = if http.tally.panicked { "panic" } else { cause.name() };
            self.log(cx, Some(&entry), &http.tally, cause);
        }
    }

    /// A WebSocket is open no more.
    fn leave(&mut self, websocket: &WebSocketStream) {
        self.state.counters.websockets = self.state.counters.websockets.saturating_sub(1);
        self.state.topics.leave_all(&websocket.subscriptions);
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
                http.tally.subrequest = None;
                StreamPhase::Http(http)
            }
            StreamPhase::Guarded(guarded) => {
                let mut http = guarded.http;
                http.tally.panicked = true;
                StreamPhase::Http(http)
            }
            StreamPhase::WebSocket(websocket) => {
                self.leave(&websocket);
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
