//! TLS of an established connection, between its socket and its engine.
//!
//! Plaintext counts as queued in the engine until the transport has taken its records, so that the engine's limits and
//! deadlines apply to a peer that does not read. An idle connection holds no buffer here.

use crate::tls::{Info, Session};
use crate::transport::{self, Sent};
use lws_proto::{SLICES_MAX, Time, Transmit};
use std::os::fd::BorrowedFd;

/// TLS of a connection.
pub(crate) struct Secure {
    pub(crate) info: Info,
    pub(crate) stream: TlsStream,
}

/// A session in use: seals what the engine has queued, and keeps ciphertext that the socket has not taken.
pub(crate) struct TlsStream {
    pub(crate) session: Box<dyn Session>,
    pub(crate) outgoing: Outgoing,
    /// The number of bytes at the front of the engine's queue that are sealed in `outgoing`.
    sealed: usize,
    /// The peer has sent `close_notify`.
    pub(crate) peer_closed: bool,
    /// Whether this side has sent `close_notify`.
    closed: bool,
}

impl TlsStream {
    pub(crate) fn new(session: Box<dyn Session>, outgoing: Outgoing) -> Self {
        Self { session, outgoing, sealed: 0, peer_closed: false, closed: false }
    }

    /// Offers queued bytes to the transport, once.
    pub(crate) fn send(&mut self, socket: BorrowedFd<'_>, now: Time, transmit: Transmit<'_>) -> Sent {
        if self.sealed == 0 {
            let mut slices: [&[u8]; SLICES_MAX] = [&[]; SLICES_MAX];
            let count = transmit.slices(&mut slices);
            self.sealed = self.session.seal(now, &slices[..count], &mut self.outgoing.bytes);
            if self.sealed == 0 {
                return Sent::Failed;
            }
        }
        let sent = self.outgoing.flush(socket);
        // Records are longer than their plaintext, so at least this much plaintext has gone.
        let gone = self.sealed.saturating_sub(self.outgoing.len());
        self.sealed -= gone;
        debug_assert!(self.sealed <= self.outgoing.len(), "what is not gone is still to be sent");
        transmit.commit(gone);
        sent
    }

    /// Offers records of the session's own while the engine has nothing queued: answers to the peer's handshake
    /// messages, and `close_notify`.
    pub(crate) fn flush(&mut self, socket: BorrowedFd<'_>) -> Sent {
        // The engine may have dropped its queue. Records that were sealed from it are still sent, because a record
        // cannot be taken back once a part of it has left.
        self.sealed = 0;
        self.outgoing.flush(socket)
    }

    /// Sends `close_notify`, once.
    pub(crate) fn close(&mut self) {
        if !self.closed {
            self.closed = true;
            self.session.close(&mut self.outgoing.bytes);
        }
    }
}

/// Ciphertext that waits for the transport.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) bytes: Vec<u8>,
    /// The number of bytes that the transport has taken.
    sent: usize,
}

impl Outgoing {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// The memory that it holds, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Swaps `spare` in as the buffer, if there is none.
    pub(crate) fn lend(&mut self, spare: &mut Vec<u8>) {
        if self.bytes.capacity() == 0 {
            std::mem::swap(&mut self.bytes, spare);
        }
    }

    /// Swaps the buffer out into `spare` if it is empty; otherwise keeps the waiting bytes in an allocation of just
    /// their size.
    pub(crate) fn reclaim(&mut self, spare: &mut Vec<u8>) {
        if self.is_empty() {
            self.bytes.clear();
            self.sent = 0;
            if spare.capacity() == 0 {
                std::mem::swap(&mut self.bytes, spare);
            } else {
                self.bytes = Vec::new();
            }
        } else if self.bytes.capacity() > 2 * self.len() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
            self.bytes.shrink_to_fit();
        }
        debug_assert!(self.sent <= self.bytes.len());
    }

    /// Offers everything to the transport, once.
    pub(crate) fn flush(&mut self, socket: BorrowedFd<'_>) -> Sent {
        let sent = transport::send_bytes(socket, &self.bytes[self.sent..]);
        if let Sent::All(n) | Sent::Part(n) = sent {
            self.sent += n;
            if self.is_empty() {
                self.bytes.clear();
                self.sent = 0;
            }
        }
        sent
    }
}
