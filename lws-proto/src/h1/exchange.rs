//! The parts of an exchange that concern both directions: requests, refusals, ends, and the switch to WebSocket. RFC
//! 9112 §9.

use super::writer::MessageWriter;
use crate::connection::channel::Channel;
use crate::connection::link::{LastWord, Link};
use crate::connection::resources::Resources;
use crate::http::{Head, Request, Status};
use crate::ws;
use crate::{Cause, Deadline, Expect, Misuse, Payload, StreamKey};

/// Sends a client's request.
pub(crate) fn request<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    sender: &mut MessageWriter,
    channel: &mut Channel,
    request: &Request<'_>,
    fields: impl IntoIterator<Item = (N, V)>,
    content: Payload<'_>,
    end: bool,
) -> Result<(), Misuse> {
    check_idle(sender, channel)?;
    sender.request(&mut channel.link.out, channel.link.now, request, fields, content, end)?;
    channel.open_stream();
    Ok(())
}

/// Sends a client's opening handshake. RFC 6455 §4.1.
pub(crate) fn connect_websocket(
    sender: &mut MessageWriter,
    channel: &mut Channel,
    resources: &mut Resources,
    connect: &ws::Connect<'_>,
) -> Result<StreamKey, Misuse> {
    // Nothing is written before every check has passed, because a partly written handshake cannot be taken back.
    check_idle(sender, channel)?;
    let entropy = resources.entropy.as_mut().ok_or(Misuse::WrongState)?;
    let mut nonce = [0; 16];
    entropy.fill(&mut nonce);
    let expected = ws::write_request(channel.link.out.buffer(), connect, nonce)?;
    sender.begin_handshake(channel.link.now, expected);
    Ok(channel.open_stream())
}

/// Fails unless the last stream has ended and its end was delivered: a notice carries the key of the open or last
/// stream.
fn check_idle(sender: &MessageWriter, channel: &Channel) -> Result<(), Misuse> {
    let Channel { link, .. } = channel;
    let idle = link.is_client() && link.is_open() && !channel.has_stream() && !sender.notice_is_due(channel);
    if idle { Ok(()) } else { Err(Misuse::WrongState) }
}

/// Answers an opening handshake with 101, and returns the WebSocket that was negotiated. RFC 6455 §4.2.2.
pub(crate) fn accept_websocket(
    sender: &mut MessageWriter,
    channel: &mut Channel,
    head: &Head<'_>,
    accept: &ws::Accept<'_>,
) -> Result<ws::Opened, Misuse> {
    if !channel.has_stream() || !sender.may_respond() {
        return Err(Misuse::WrongState);
    }
    // A handshake with content is a fault of the peer that is checked here, before its content is processed, so that it
    // gets an answer.
    ws::accept(channel.link.out.buffer(), head, accept).map_err(|refused| match refused {
        ws::Refused::Peer(violation) => {
            refuse(sender, channel, Cause::Violation(violation));
            Misuse::NotAnOpening
        }
        ws::Refused::Caller(misuse) => misuse,
    })
}

/// Answers a CONNECT: what follows is no longer HTTP. RFC 9110 §9.3.6.
pub(crate) fn accept_tunnel(sender: &mut MessageWriter, channel: &mut Channel) -> Result<(), Misuse> {
    if !channel.has_stream() {
        return Err(Misuse::WrongState);
    }
    let Link { out, config, .. } = &mut channel.link;
    sender.accept_tunnel(out, config)
}

// Ends.

/// Ends the exchange and the connection after the queued bytes. If the peer could take FIN for the end of an incomplete
/// message, the connection is reset instead.
pub(crate) fn finish(sender: &MessageWriter, channel: &mut Channel, cause: Cause) {
    let last_word = if sender.is_incomplete() { LastWord::Reset } else { LastWord::Fin };
    channel.finish(cause_of_end(sender, cause), last_word);
}

/// Ends the exchange and the connection at once.
pub(crate) fn abort(sender: &MessageWriter, channel: &mut Channel, cause: Cause) {
    channel.abort(cause_of_end(sender, cause), sender.is_incomplete());
}

/// The cause of an exchange's end. After a refused opening handshake it is the refusal, however the rest of the
/// response arrives.
fn cause_of_end(sender: &MessageWriter, cause: Cause) -> Cause {
    if cause == Cause::Aborted { cause } else { sender.refusal().unwrap_or(cause) }
}

/// Ends the connection because of a fault of the peer. A server that has not begun its response answers first.
#[cold]
pub(crate) fn refuse(sender: &mut MessageWriter, channel: &mut Channel, cause: Cause) {
    if let Some(status) = Status::new(cause.status()) {
        let Link { out, config, .. } = &mut channel.link;
        sender.refuse(out, config, status, cause);
    }
    finish(sender, channel, cause);
}

/// Ends a connection whose protocol was not detected before the deadline. If only HTTP is expected the bytes were the
/// beginning of a request, and the returned half writes the answer.
#[cold]
pub(crate) fn refuse_undetected(channel: &mut Channel, begun: bool) -> Option<MessageWriter> {
    let cause = Cause::Timeout(Deadline::Head);
    if !begun || channel.link.config.expect != Expect::Http {
        channel.abort(cause, false);
        return None;
    }
    let mut sender = MessageWriter::server(&channel.link.config);
    channel.open_stream();
    refuse(&mut sender, channel, cause);
    Some(sender)
}
