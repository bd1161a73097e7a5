//! HTTP/1.1, as server and client. RFC 9112.
//!
//! The wire is in `head`, `chunked` and `encode`, what follows from a head in `facts`, `framing` and `compose`, and the
//! exchange in the two halves, `receiver` and `sender`. Here is what concerns both: requests, refusals and the switch to
//! WebSocket.

mod chunked;
mod compose;
mod encode;
mod facts;
mod framing;
mod head;
mod receiver;
mod sender;

pub(crate) use receiver::Receiver;
pub(crate) use sender::Sender;

use crate::http::{Request, Status};
use crate::tx::{self, Tx};
use crate::ws::{self, Expected};
use crate::{Cause, Deadline, Expect, Misuse, Payload, StreamKey};
use alloc::boxed::Box;

/// Sends a client's request.
pub(crate) fn request<N: AsRef<[u8]>, V: AsRef<[u8]>>(
    tx: &mut Tx,
    request: &Request<'_>,
    fields: impl IntoIterator<Item = (N, V)>,
    content: Payload<'_>,
    end: bool,
) -> Result<(), Misuse> {
    check_idle(tx)?;
    let Tx { sender: tx::Sender::Http1(sender), out, now, .. } = tx else {
        return Err(Misuse::WrongProtocol);
    };
    sender.request(out, *now, request, fields, content, end)?;
    tx.open_stream();
    Ok(())
}

/// Sends a client's opening handshake. RFC 6455 §4.1.
pub(crate) fn connect_websocket(tx: &mut Tx, connect: &ws::Connect<'_>) -> Result<StreamKey, Misuse> {
    check_idle(tx)?;
    let Tx { sender: tx::Sender::Http1(sender), entropy: Some(entropy), out, now, .. } = tx else {
        return Err(Misuse::WrongProtocol);
    };
    let mut nonce = [0; 16];
    entropy.fill(&mut nonce);
    let expected = ws::write_request(out.buffer(), connect, nonce)?;
    sender.begin_handshake(*now, expected);
    Ok(tx.open_stream())
}

/// Whether the stream before has ended, and the application knows: the key of a notice is that of the stream which is
/// open or was last.
fn check_idle(tx: &Tx) -> Result<(), Misuse> {
    let idle = tx.is_client() && !tx.stream.open && !tx.notice_is_due() && tx.ending == tx::Ending::Open;
    if idle { Ok(()) } else { Err(Misuse::WrongState) }
}

/// Ends the connection over something that the peer did. A server that has not begun its response answers with `status`
/// first, unless that is 0.
#[cold]
pub(crate) fn refuse(tx: &mut Tx, cause: Cause, status: u16) {
    if let (tx::Sender::Http1(sender), Some(status)) = (&mut tx.sender, Status::new(status)) {
        sender.refuse(&mut tx.out, &tx.config, status, message(cause));
    }
    tx.finish(cause);
}

/// Ends a connection whose first bytes did not say what they are before the deadline. Where only HTTP is expected they
/// were the beginning of a request.
#[cold]
pub(crate) fn refuse_undetected(tx: &mut Tx, begun: bool) {
    let cause = Cause::Timeout(Deadline::Head);
    if !begun || tx.config.expect != Expect::Http {
        return tx.abort(cause);
    }
    tx.sender = tx::Sender::Http1(Box::new(Sender::server(&tx.config)));
    tx.open_stream();
    refuse(tx, cause, Deadline::Head.status());
}

/// The status code that answers `cause`; 0 if it gets no response.
fn status_of(cause: Cause) -> u16 {
    match cause {
        Cause::Violation(violation) => violation.status(),
        Cause::Limit(limit) => limit.status(),
        Cause::Timeout(deadline) => deadline.status(),
        _ => 0,
    }
}

/// What is wrong, for a person.
fn message(cause: Cause) -> &'static str {
    match cause {
        Cause::Violation(violation) => violation.message(),
        Cause::Limit(limit) => limit.message(),
        Cause::Timeout(deadline) => deadline.message(),
        _ => "",
    }
}

#[cfg(test)]
mod tests;
