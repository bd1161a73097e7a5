//! The turn of a connection with TLS: opens what is read, seals what is written, and ends with `close_notify`.

use super::{Carrier, ConnectionTurn};
use crate::application::Application;
use crate::buffers::{Buffers, Unopened, trim};
use crate::connection_budget::ConnectionBudget;
use crate::context::{DriverContext, Subject};
use crate::flags::Flags;
use crate::net;
use crate::secure::{Secure, TlsStream};
use crate::tls::{Failure, Info, Opened};
use crate::transport::Sent;
use lws_proto::{Time, Transmit};
use std::os::fd::BorrowedFd;

/// TLS on a socket.
pub(super) struct Secured<'t> {
    socket: BorrowedFd<'t>,
    info: &'t Info,
    stream: &'t mut TlsStream,
}

impl<'t> Secured<'t> {
    pub(super) fn new(socket: BorrowedFd<'t>, secure: &'t mut Secure) -> Self {
        let Secure { info, stream } = secure;
        Self { socket, info, stream }
    }
}

impl<'t> Carrier<'t> for Secured<'t> {
    fn input(&self) -> BorrowedFd<'t> {
        self.socket
    }

    fn info(&self) -> Option<&'t Info> {
        Some(self.info)
    }

    fn send(&mut self, now: Time, transmit: Transmit<'_>) -> Sent {
        self.stream.send(self.socket, now, transmit)
    }

    /// Lends the buffers to the session, and sends its queued records.
    fn begin<A: Application>(turn: &mut ConnectionTurn<'t, A, Self>, budget: &mut ConnectionBudget) {
        turn.buffers.prepare_secure();
        turn.carrier.stream.outgoing.lend(&mut turn.buffers.sealed);
        turn.flush_session(budget);
    }

    /// Reads and opens ciphertext.
    fn fill<A: Application>(turn: &mut ConnectionTurn<'t, A, Self>, budget: &mut ConnectionBudget) -> usize {
        if let Some(readable) = turn.buffers.left.first.take() {
            turn.flags.set(Flags::READABLE, readable);
            return match turn.buffers.left.opened.filled {
                0 => turn.open_next(),
                filled => filled,
            };
        }
        let room = turn.buffers.ciphertext.len().min(budget.read);
        let received = net::receive(turn.carrier.socket, &mut turn.buffers.ciphertext[..room]);
        match turn.received(received, room, budget) {
            None => 0,
            Some(0) => {
                turn.end_of_transport();
                0
            }
            Some(n) => {
                turn.buffers.left = Unopened { part: 0..n, ..Unopened::default() };
                turn.open_next()
            }
        }
    }

    fn refill<A: Application>(turn: &mut ConnectionTurn<'t, A, Self>) -> usize {
        turn.open_next()
    }

    /// Takes the buffers back. If there is nothing more to send, sends `close_notify`, and then FIN.
    fn end<A: Application>(
        turn: &mut ConnectionTurn<'t, A, Self>,
        wants: &mut lws_proto::Interest,
        budget: &mut ConnectionBudget,
    ) {
        if wants.shutdown && !wants.write {
            turn.carrier.stream.close();
        }
        if !turn.flush_session(budget) {
            // The engine delivers its end in another turn.
            wants.service = true;
        }
        let outgoing = &mut turn.carrier.stream.outgoing;
        wants.write |= !outgoing.is_empty();
        outgoing.reclaim(&mut turn.buffers.sealed);
        trim(&mut turn.buffers.sealed);
        turn.connection.set_held_outside(outgoing.held());
    }
}

impl<'t, A: Application> ConnectionTurn<'t, A, Secured<'t>> {
    /// Opens more of the ciphertext, once the plaintext before it has been delivered. Called until all of it is opened,
    /// so that only an incomplete record stays inside the session. Returns how many bytes of the receive buffer are to
    /// be delivered.
    fn open_next(&mut self) -> usize {
        loop {
            let Buffers { ciphertext, receive, left, .. } = &mut *self.buffers;
            let stream = &mut *self.carrier.stream;
            if left.opened.closed && !left.opened.more {
                left.part = 0..0;
                if !stream.peer_closed {
                    stream.peer_closed = true;
                    self.connection.received_eof(self.core.now());
                }
                return 0;
            }
            if left.part.is_empty() && !left.opened.more {
                return 0;
            }
            let part = &mut ciphertext[left.part.clone()];
            match stream.session.open(part, receive, &mut stream.outgoing.bytes) {
                Ok(opened) => {
                    left.part.start += opened.taken;
                    left.opened = opened;
                    match opened {
                        Opened { filled: 0, taken: 0, closed: false, .. } => return 0,
                        Opened { filled: 0, .. } => {}
                        Opened { filled, .. } => return filled,
                    }
                }
                Err(failure) => {
                    self.fail_session(&failure);
                    return 0;
                }
            }
        }
    }

    /// Handles the end of the transport. RFC 8446 §6.1: without `close_notify` the data may have been truncated by
    /// an attacker.
    fn end_of_transport(&mut self) {
        let now = self.core.now();
        if self.carrier.stream.peer_closed {
            self.connection.received_eof(now);
        } else {
            self.connection.received_truncation(now);
        }
    }

    /// Handles a failed session. Its alert is sent if the transport has room.
    fn fail_session(&mut self, failure: &Failure) {
        let _ = self.carrier.stream.flush(self.carrier.socket);
        self.core.stats.count_tls_failure(failure);
        let subject = Subject::new(self.id, self.carrier.socket).with_tls(Some(self.carrier.info));
        let mut cx = DriverContext::new(self.core, subject);
        self.application.tls_failed(&mut cx, self.state, failure);
        self.fail();
    }

    /// Sends records of the session's own, unless the engine's bytes carry them along. Returns false if the
    /// transport has failed.
    fn flush_session(&mut self, budget: &mut ConnectionBudget) -> bool {
        let Secured { socket, stream, .. } = &mut self.carrier;
        if stream.outgoing.is_empty()
            || !self.flags.has(Flags::WRITABLE)
            || self.connection.transmit(self.core.now()).is_some()
        {
            return true;
        }
        match stream.flush(*socket) {
            Sent::All(n) | Sent::OfFile(n) => super::note_sent(self.core, budget, n),
            Sent::Part(n) => {
                super::note_sent(self.core, budget, n);
                self.flags.remove(Flags::WRITABLE);
            }
            Sent::Failed | Sent::Missing => {
                self.fail();
                return false;
            }
        }
        true
    }
}
