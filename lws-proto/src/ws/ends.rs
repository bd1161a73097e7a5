//! The end of a WebSocket, and its timers. Both are the same on a connection of its own and in a stream of HTTP/2.

use super::close::CloseCode;
use super::sender::FrameSender;
use crate::connection::channel::Channel;
use crate::connection::link::{LastWord, Link};
use crate::connection::resources::Resources;
use crate::{Cause, Time};

/// Fails the WebSocket: a Close frame with the code of `cause`, then the end. RFC 6455 §7.1.7.
#[cold]
pub(crate) fn fail(sender: &mut FrameSender, channel: &mut Channel, resources: &mut Resources, cause: Cause) {
    if let Some(code) = CloseCode::new(cause.close_code()) {
        sender.fail(&mut channel.link.out, &mut resources.entropy, code);
    }
    finish(channel, cause);
}

/// Ends the WebSocket and its channel. RFC 6455 §7.1.1: the server closes the TCP connection first.
pub(crate) fn finish(channel: &mut Channel, cause: Cause) {
    let last_word = if channel.link.is_client() { LastWord::PeerFirst } else { LastWord::Fin };
    channel.finish(cause, last_word);
}

/// When bytes of the peer were last received, unless the application has paused receiving.
#[inline]
pub(crate) fn listens_since(channel: &Channel) -> Option<Time> {
    (!channel.is_paused()).then_some(channel.link.last_received)
}

/// Does what is due at the time of the link.
pub(crate) fn handle_timeout(sender: &mut FrameSender, channel: &mut Channel, resources: &mut Resources) {
    let Link { config, last_received, spread, now, .. } = &mut channel.link;
    if let Some(stalled) = sender.received_after_stall(*last_received, *spread, &config.limits, *now) {
        // The driver has not run for a while: the silence is its own, and no sign that the peer is gone.
        *last_received = stalled;
    }
    let last_received = listens_since(channel);
    let Link { config, out, delivery, spread, now, .. } = &mut channel.link;
    let missed = sender.handle_timeout(
        out,
        &mut resources.entropy,
        delivery,
        &config.limits,
        (last_received, *spread),
        *now,
    );
    if let Some(deadline) = missed {
        channel.abort(Cause::Timeout(deadline), false);
    }
}
