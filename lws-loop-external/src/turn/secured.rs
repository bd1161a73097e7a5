//! What a turn of a connection with TLS does differently: opens what it reads, and ends with `close_notify`.

use super::{Budget, Buffers, Left, Turn};
use crate::application::Application;
use crate::table::{Flags, Open};
use crate::tls::{Failure, Opened};
use crate::transport::Sent;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags};

impl<A: Application> Turn<'_, A> {
    /// Lends the buffers, and sends what the session had left to say.
    #[cold]
    pub(super) fn begin_secure(&mut self, budget: &mut Budget) {
        self.buffers.prepare_secure();
        if let Some(secure) = &mut self.open.secure {
            secure.stage.outgoing.lend(&mut self.buffers.sealed);
        }
        self.flush_secure(budget);
    }

    /// Takes the buffers back. Nothing more to send means `close_notify`, and then FIN.
    #[cold]
    pub(super) fn end_secure(&mut self, interest: &mut lws_proto::Interest, budget: &mut Budget) {
        if let Some(secure) = &mut self.open.secure
            && interest.shutdown
            && !interest.write
        {
            secure.stage.close();
        }
        if !self.flush_secure(budget) {
            // Another turn tells its end.
            interest.service = true;
        }
        if let Some(secure) = &mut self.open.secure {
            interest.write |= !secure.stage.outgoing.is_empty();
            secure.stage.outgoing.reclaim(&mut self.buffers.sealed);
            super::trim(&mut self.buffers.sealed);
        }
    }

    /// Reads once, and opens what was read. Answers how many bytes of the receive buffer are to be told; then comes
    /// [`open_next`](Self::open_next).
    #[cold]
    pub(super) fn fill_secure(&mut self, budget: &mut Budget) -> usize {
        if let Some(readable) = self.buffers.left.first.take() {
            self.flags.set(Flags::READABLE, readable);
            return match self.buffers.left.opened.filled {
                0 => self.open_next(),
                filled => filled,
            };
        }
        let room = self.buffers.ciphertext.len();
        match net::recv(self.transport.input(), &mut self.buffers.ciphertext[..], RecvFlags::empty()) {
            Ok((0, _)) => {
                self.flags.remove(Flags::READABLE);
                self.end_of_transport();
            }
            Ok((n, _)) => {
                self.core.stats.received_bytes_total += n as u64;
                budget.read = budget.read.saturating_sub(n);
                // As without TLS.
                if n < room && !self.flags.has(Flags::HANG_UP) {
                    self.flags.remove(Flags::READABLE);
                }
                self.buffers.left = Left { part: 0..n, ..Left::default() };
                return self.open_next();
            }
            Err(Errno::AGAIN) => self.flags.remove(Flags::READABLE),
            Err(Errno::INTR) => {}
            Err(_) => self.fail(),
        }
        0
    }

    /// Opens more of the ciphertext, once what was opened before has been told: to its end, so that nothing but a cut record
    /// is left inside the session. Answers as [`fill_secure`](Self::fill_secure).
    #[cold]
    pub(super) fn open_next(&mut self) -> usize {
        loop {
            let Buffers { ciphertext, receive, left, .. } = &mut *self.buffers;
            let Some(secure) = &mut self.open.secure else { return 0 };
            if left.opened.closed && !left.opened.more {
                left.part = 0..0;
                if !secure.stage.peer_closed {
                    secure.stage.peer_closed = true;
                    self.open.connection.received_eof(self.core.now);
                }
                return 0;
            }
            if left.part.is_empty() && !left.opened.more {
                return 0;
            }
            let part = &mut ciphertext[left.part.clone()];
            match secure.stage.session.open(part, receive, &mut secure.stage.outgoing.bytes) {
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
                    self.fail_secure(&failure);
                    return 0;
                }
            }
        }
    }

    /// RFC 8446 §6.1: without `close_notify` what came before may be cut, by anybody on the way.
    fn end_of_transport(&mut self) {
        let now = self.core.now;
        match &self.open.secure {
            Some(secure) if !secure.stage.peer_closed => self.open.connection.received_truncation(now),
            _ => self.open.connection.received_eof(now),
        }
    }

    /// The session is over. Its alert leaves if there is room for it.
    fn fail_secure(&mut self, failure: &Failure) {
        if let Some(secure) = &mut self.open.secure {
            let _ = secure.stage.flush(self.transport.input());
        }
        self.tell_failure(failure);
        self.fail();
    }

    fn tell_failure(&mut self, failure: &Failure) {
        self.core.stats.count_tls_failure(failure);
        let Open { state, secure, .. } = &mut *self.open;
        let tls = secure.as_deref().map(|secure| &secure.info);
        let mut cx = crate::Context {
            core: self.core,
            connection: Some(self.id),
            socket: Some(self.transport.input()),
            tls,
        };
        self.application.tls_failed(&mut cx, state, failure);
    }

    /// Sends what the session has to say of its own, unless the engine's bytes carry it along.
    /// False if the transport has failed.
    fn flush_secure(&mut self, budget: &mut Budget) -> bool {
        let Open { connection, secure, .. } = &mut *self.open;
        let Some(secure) = secure else { return true };
        if secure.stage.outgoing.is_empty()
            || !self.flags.has(Flags::WRITABLE)
            || connection.transmit(self.core.now).is_some()
        {
            return true;
        }
        match secure.stage.flush(self.transport.input()) {
            Sent::All(n) => super::note_sent(self.core, budget, n),
            Sent::Part(n) => {
                super::note_sent(self.core, budget, n);
                self.flags.remove(Flags::WRITABLE);
            }
            Sent::Failed => {
                self.fail();
                return false;
            }
        }
        true
    }
}
