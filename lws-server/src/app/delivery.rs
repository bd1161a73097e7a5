//! How published messages reach the WebSockets of one thread.
//!
//! A WebSocket that may write is sent everything at once. For one that may not a permit is asked for, and the rest goes out with
//! the permits that come, of which its handler has every other one.

use super::{App, Lent, context_of};
use crate::link::stream::WebSocketStream;
use crate::publish::topics::log::Next;
use crate::publish::topics::{LagPolicy, Subscription};
use crate::thread::ThreadState;
use crate::thread::command::{Command, StreamCommand};
use lws_proto::ws::CloseCode;
use lws_proto::{Connection, StreamKey, WebSocket, WebSocketPermit};

/// How delivery left a stream.
enum Delivery<'s> {
    /// Everything was sent.
    Done(WebSocket<'s>),
    /// A permit was asked for, or the handler is in the middle of a message.
    Blocked(WebSocket<'s>),
    /// It was too slow, and is closing.
    Closed,
}

impl App {
    /// There is something to read for a subscriber.
    pub(crate) fn on_published(
        &mut self,
        cx: &mut Lent<'_>,
        websocket: &mut WebSocketStream,
        connection: &mut Connection,
        key: StreamKey,
        subscription: Subscription,
    ) {
        if !websocket.subscriptions.contains(subscription) {
            // It has ended, and another stream has its index now.
            return;
        }
        if let Some(log) = self.state.topics.log(subscription.topic) {
            log.look(subscription.subscriber);
        }
        if let Some(stream) = connection.websocket(key) {
            deliver(&mut self.state, cx, websocket, stream, subscription);
        }
    }

    /// A stream is subscribed to a topic behind a position: its handler hears of it before the messages that it has missed.
    #[cfg(feature = "broker")]
    pub(crate) fn on_recovered(
        &mut self,
        cx: &mut Lent<'_>,
        websocket: &mut WebSocketStream,
        connection: &mut Connection,
        key: StreamKey,
        recovery: &crate::publish::broker::StreamRecovery,
    ) {
        let subscription = recovery.subscription;
        if !self.state.topics.accept(subscription, &mut websocket.subscriptions) {
            return self.nowhere(cx).report_topics();
        }
        if let Some(stream) = connection.websocket(key) {
            let WebSocketStream { handler, route, subscriptions, .. } = &mut *websocket;
            let mut context = context_of(&mut self.state, cx, *route, key, subscriptions);
            handler.recovered(&mut context, stream, &recovery.recovered);
        }
        self.on_published(cx, websocket, connection, key, subscription);
    }

    /// A permit has come: for what was published, or for the handler.
    pub(crate) fn on_permit(
        state: &mut ThreadState,
        cx: &mut Lent<'_>,
        websocket: &mut WebSocketStream,
        permit: WebSocketPermit<'_>,
    ) {
        let key = permit.key();
        let mut stream = permit.into_stream();
        let handlers_turn = std::mem::take(&mut websocket.delivered) || stream.is_in_message();
        if !handlers_turn && has_unread(state, websocket) {
            match deliver_all(state, cx, websocket, stream) {
                Delivery::Done(left) | Delivery::Blocked(left) => stream = left,
                Delivery::Closed => return,
            }
            // It may be the handler that has asked for the permit.
            stream.want_write();
            websocket.delivered = true;
            return;
        }
        // Nothing has been sent since it was given.
        let Ok(permit) = stream.reborrow().permit() else { return };
        let WebSocketStream { handler, route, subscriptions, .. } = websocket;
        let mut context = context_of(state, cx, *route, key, subscriptions);
        handler.writable(&mut context, permit);
        websocket.count_sent(stream.sent());
        if has_unread(state, websocket) {
            Self::unblock(cx, websocket, key);
        }
    }

    /// The handler had its turn, and may have ended its message: perhaps what was published can go on.
    #[cold]
    pub(crate) fn unblock(cx: &mut Lent<'_>, websocket: &mut WebSocketStream, key: StreamKey) {
        websocket.blocked = false;
        if let Some(connection) = cx.connection() {
            for subscription in websocket.subscriptions.as_slice() {
                cx.send_to(connection, Command::ToStream(key, StreamCommand::Deliver(*subscription)));
            }
        }
    }
}

fn has_unread(state: &mut ThreadState, websocket: &WebSocketStream) -> bool {
    let mut subscriptions = websocket.subscriptions.as_slice().iter();
    subscriptions
        .any(|known| state.topics.log(known.topic).is_some_and(|log| log.has_unread(known.subscriber)))
}

/// Sends what the stream has not read of all topics, as far as it may write. The next time another topic begins.
fn deliver_all<'s>(
    state: &mut ThreadState,
    cx: &mut Lent<'_>,
    websocket: &mut WebSocketStream,
    mut stream: WebSocket<'s>,
) -> Delivery<'s> {
    websocket.subscriptions.rotate();
    let mut at = 0;
    // A handler that looks at a message may unsubscribe, so the list is looked at anew each time.
    while let Some(subscription) = websocket.subscriptions.as_slice().get(at).copied() {
        match deliver(state, cx, websocket, stream, subscription) {
            Delivery::Done(left) => stream = left,
            other => return other,
        }
        at += 1;
    }
    Delivery::Done(stream)
}

/// Sends what the stream has not read of one topic, as far as it may write.
fn deliver<'s>(
    state: &mut ThreadState,
    cx: &mut Lent<'_>,
    websocket: &mut WebSocketStream,
    mut stream: WebSocket<'s>,
    Subscription { topic, subscriber }: Subscription,
) -> Delivery<'s> {
    let key = stream.key();
    loop {
        let Some(log) = state.topics.log(topic) else { return Delivery::Done(stream) };
        let message = match log.next(subscriber) {
            Next::Nothing => return Delivery::Done(stream),
            Next::Message(message) => message,
            Next::Lost(lost) if log.lag() == LagPolicy::DropOldest => {
                state.counters.lost += lost;
                continue;
            }
            Next::Lost(_) => {
                // If it is closing already there is nothing left to do.
                let _ = stream.close(CloseCode::TRY_AGAIN_LATER, "too slow");
                return Delivery::Closed;
            }
        };
        if stream.is_in_message() {
            websocket.blocked = true;
            return Delivery::Blocked(stream);
        }
        let permit = match stream.permit() {
            Ok(permit) => permit,
            Err(mut stream) => {
                stream.want_write();
                return Delivery::Blocked(stream);
            }
        };
        let WebSocketStream { handler, route, subscriptions, .. } = &mut *websocket;
        let mut context = context_of(state, cx, *route, key, subscriptions);
        stream = if handler.published(&mut context, &message) {
            // It is not in the middle of a message.
            match permit.prepared(&message) {
                Ok(sent) => sent.into_stream(),
                Err(_) => return Delivery::Closed,
            }
        } else {
            permit.into_stream()
        };
        websocket.count_sent(stream.sent());
        if !websocket.subscriptions.contains(Subscription { topic, subscriber }) {
            // The handler has unsubscribed; its index may belong to another stream.
            return Delivery::Done(stream);
        }
        if !state.topics.log(topic).is_some_and(|log| log.advance(subscriber)) {
            return Delivery::Done(stream);
        }
    }
}
