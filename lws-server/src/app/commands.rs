//! What other handlers and threads ask for.

use super::{App, Lent};
use crate::context::{Context, Subject};
use crate::id::RouteId;
use crate::link::stream::StreamPhase;
use crate::link::streams::Streams;
use crate::thread::command::{Command, StreamCall, StreamCommand};
use lws_proto::ws::CloseCode;
use lws_proto::{Connection, Stream, StreamKey};

impl App {
    /// Carries out a command for the thread.
    pub(super) fn on_command(&mut self, cx: &mut Lent<'_>, command: Command) {
        match command {
            Command::WakeAll(route) => self.nowhere(cx).wake_here(route),
            Command::Publish(publication) => {
                self.state.group.published(self.state.shard, publication.message.bytes().len());
                self.guard(cx, |app, cx| app.nowhere(cx).publish_here(&publication));
            }
            Command::Call(call) => {
                self.guard(cx, |app, cx| call(&mut app.nowhere(cx)));
            }
            Command::Sites(command) => self.on_sites_command(cx, command),
            // It belongs to a connection.
            Command::ToStream(..) => {}
        }
    }

    /// Carries out a command for one stream of the connection that is lent, and ends the stream if its handler panics.
    pub(super) fn on_stream_command(
        &mut self,
        cx: &mut Lent<'_>,
        streams: &mut Streams,
        connection: &mut Connection,
        key: StreamKey,
        command: StreamCommand,
    ) {
        if let (StreamCommand::Wake, Some(id)) = (&command, cx.connection()) {
            self.state.wakes.end(id, key);
        }
        let called = self.guard(cx, |app, cx| app.do_to_stream(cx, streams, connection, key, command));
        if called.is_none() && streams.find(key).is_some() {
            self.end_panicked(cx, streams, key);
        }
    }

    fn do_to_stream(
        &mut self,
        cx: &mut Lent<'_>,
        streams: &mut Streams,
        connection: &mut Connection,
        key: StreamKey,
        command: StreamCommand,
    ) {
        let ingress = streams.ingress;
        #[cfg(feature = "broker")]
        if let StreamCommand::Recovered(recovery) = command {
            return match streams.find(key).map(|state| &mut state.phase) {
                Some(StreamPhase::WebSocket(websocket)) => {
                    self.on_recovered(cx, websocket, connection, key, &recovery);
                }
                _ => self.nowhere(cx).end_recovery(&recovery),
            };
        }
        let Some(state) = streams.find(key) else { return };
        if let StreamCommand::Deliver(subscription) = command {
            if let StreamPhase::WebSocket(websocket) = &mut state.phase {
                self.on_published(cx, websocket, connection, key, subscription);
            }
            return;
        }
        let Some(mut stream) = connection.stream(key) else { return };
        match command {
            StreamCommand::Wake => self.on_woken(cx, ingress, state, stream),
            StreamCommand::WantWrite => stream.want_write(),
            StreamCommand::GoAway => go_away(&state.phase, stream),
            StreamCommand::Call(call) => self.call_stream(cx, &mut state.phase, stream, call),
            StreamCommand::Deliver(_) => {}
            #[cfg(feature = "broker")]
            StreamCommand::Recovered(_) => {}
        }
    }

    fn call_stream(
        &mut self,
        cx: &mut Lent<'_>,
        phase: &mut StreamPhase,
        mut stream: Stream<'_>,
        call: StreamCall,
    ) {
        let route = match phase {
            StreamPhase::WebSocket(websocket) if websocket.is_established() => websocket.route,
            StreamPhase::Raw(_) => RouteId::NONE,
            _ => return,
        };
        let subject = Subject { route, key: Some(stream.key()) };
        call(&mut Context::new(cx, &mut self.state, subject, None), stream.reborrow());
        if let (StreamPhase::WebSocket(websocket), Ok(stream)) = (phase, stream.into_websocket()) {
            websocket.count_sent(stream.sent());
        }
    }

    /// Wakes a stream of the connection that is looked at, when that is lent the next time.
    pub(super) fn wake_later(&mut self, cx: &mut Lent<'_>, key: StreamKey) {
        if let Some(id) = cx.connection()
            && self.state.wakes.begin(id, key)
        {
            cx.send_to(id, Command::ToStream(key, StreamCommand::Wake));
        }
    }
}

/// The site of a stream was removed.
fn go_away(phase: &StreamPhase, stream: Stream<'_>) {
    if let (StreamPhase::WebSocket(_), Ok(stream)) = (phase, stream.into_websocket()) {
        // If it is closing already there is nothing left to do.
        let _ = stream.close(CloseCode::GOING_AWAY, "");
    }
}
