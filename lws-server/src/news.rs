//! How what was published reaches the WebSockets of one thread.
//!
//! A WebSocket that may write is sent everything at once. One that may not is asked a permit for, and gets the rest with
//! the permits that come, of which its handler has every other one.

use crate::app::{App, Lent, Slot, State, WebSocketSlot};
use crate::group::Command;
use crate::publish::{Behind, Next};
use crate::shared::Shared;
use lws_proto::ws::CloseCode;
use lws_proto::{Connection, Stream, StreamKey, Writable};

impl App {
    /// A WebSocket was told that there is something to read.
    pub(crate) fn on_news(
        &mut self,
        cx: &mut Lent<'_>,
        state: &mut State,
        connection: &mut Connection,
        key: StreamKey,
        route: u32,
        place: u32,
    ) {
        let Slot::WebSocket(slot) = &mut state.slot else { return };
        if (slot.route, slot.member) != (route, Some(place)) {
            // Another one's place, which was used again.
            return;
        }
        if let Some(audience) = self.shared.audience(route) {
            audience.look(place);
        }
        if let Some(stream) = connection.stream(key) {
            send(&mut self.shared, cx, slot, stream, place);
        }
    }

    /// A permit has come: for what was published, or for the handler.
    pub(crate) fn on_permit(
        shared: &mut Shared,
        cx: &mut Lent<'_>,
        slot: &mut WebSocketSlot,
        permit: Writable<'_>,
    ) {
        let key = permit.key();
        let Some(place) = slot.member else { return };
        let stream = permit.into_stream();
        let in_message = stream.is_in_message();
        if !in_message && shared.audience(slot.route).is_some_and(|audience| audience.may_read(place)) {
            if let Some(mut stream) = send(shared, cx, slot, stream, place) {
                // It may be the handler that has asked for the permit.
                stream.want_write();
                if let Some(audience) = shared.audience(slot.route) {
                    audience.serve(place);
                }
            }
            return;
        }
        // Nothing has been sent since it was given.
        let Ok(permit) = stream.permit() else { return };
        slot.handler.writable(&mut Self::context(shared, cx, slot.route, Some(key)), permit);
        if shared.audience(slot.route).is_some_and(|audience| audience.has_news(place)) {
            Self::unblock(cx, slot, key);
        }
    }

    /// The handler had its turn, and may have ended its message: perhaps what was published can go on.
    #[cold]
    pub(crate) fn unblock(cx: &mut Lent<'_>, slot: &mut WebSocketSlot, key: StreamKey) {
        slot.blocked = false;
        if let (Some(connection), Some(place)) = (cx.connection(), slot.member) {
            cx.send_to(connection, Command::News { key, route: slot.route, place });
        }
    }
}

/// Sends what the member at `place` has not read, as far as it may write. Answers its stream, unless that is closed.
fn send<'s>(
    shared: &mut Shared,
    cx: &mut Lent<'_>,
    slot: &mut WebSocketSlot,
    mut stream: Stream<'s>,
    place: u32,
) -> Option<Stream<'s>> {
    let key = stream.key();
    loop {
        let audience = shared.audience(slot.route)?;
        let message = match audience.next(place) {
            Next::Nothing => return Some(stream),
            Next::Message(message) => message,
            Next::Lost(lost) if audience.behind() == Behind::Lose => {
                shared.counters.lost += lost;
                continue;
            }
            Next::Lost(_) => {
                // If it is closing already there is nothing left to do.
                let _ = stream.close(CloseCode::TRY_AGAIN_LATER, "too slow");
                return None;
            }
        };
        if stream.is_in_message() {
            slot.blocked = true;
            return Some(stream);
        }
        let permit = match stream.permit() {
            Ok(permit) => permit,
            Err(mut stream) => {
                stream.want_write();
                return Some(stream);
            }
        };
        let wanted = slot.handler.published(&mut App::context(shared, cx, slot.route, Some(key)), &message);
        stream = if wanted {
            // It is a WebSocket, and not in the middle of a message.
            permit.prepared(&message).ok()?.into_stream()
        } else {
            permit.into_stream()
        };
        shared.audience(slot.route)?.advance(place);
    }
}
