//! What a turn of a connection with TLS does differently: opens what it reads, and ends with `close_notify`.

use super::{Budget, Turn};
use crate::application::Application;
use crate::table::{Flags, Open};
use crate::tls::{Failure, Opened};
use crate::transport::Sent;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags};
use std::ops::Range;

impl<A: Application> Turn<'_, A> {
    /// Lends the buffers, and tells what has been received before the turn.
    #[cold]
    pub(super) fn begin_secure(&mut self, budget: &mut Budget) {
        self.buffers.prepare_secure();
        if let Some(secure) = &mut self.open.secure {
            secure.stage.outgoing.lend(&mut self.buffers.sealed);
        }
        match self.buffers.opened.take() {
            None => self.flush_secure(budget),
            Some((opened, rest)) => {
                self.tell_opened(opened, budget);
                self.open(rest, budget);
            }
        }
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
        self.flush_secure(budget);
        // The flush may have failed.
        *interest = self.open.connection.interest();
        if let Some(secure) = &mut self.open.secure {
            interest.write |= !secure.stage.outgoing.is_empty();
            secure.stage.outgoing.reclaim(&mut self.buffers.sealed);
            super::trim(&mut self.buffers.sealed);
        }
    }

    /// Reads once, opens what was read, and tells it.
    #[cold]
    pub(super) fn receive_secure(&mut self, budget: &mut Budget) {
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
                self.open(0..n, budget);
            }
            Err(Errno::AGAIN) => self.flags.remove(Flags::READABLE),
            Err(Errno::INTR) => {}
            Err(_) => self.fail(),
        }
    }

    /// Opens a part of the ciphertext buffer to its end, so that nothing but a cut record is left inside the session.
    fn open(&mut self, part: Range<usize>, budget: &mut Budget) {
        let Range { start: mut at, end } = part;
        loop {
            let Some(secure) = &mut self.open.secure else { return };
            let ciphertext = &mut self.buffers.ciphertext[at..end];
            let out = &mut secure.stage.outgoing.bytes;
            match secure.stage.session.open(ciphertext, &mut self.buffers.receive, out) {
                Ok(opened) => {
                    at += opened.taken;
                    self.tell_opened(opened, budget);
                    let stuck = opened.taken == 0 && opened.filled == 0;
                    let over = (opened.closed || at == end) && !opened.more;
                    if over || stuck {
                        return;
                    }
                }
                Err(failure) => return self.fail_secure(&failure),
            }
        }
    }

    fn tell_opened(&mut self, opened: Opened, budget: &mut Budget) {
        if opened.filled > 0 {
            self.tell(opened.filled, budget);
        }
        if let Some(secure) = &mut self.open.secure
            && opened.closed
            && !opened.more
            && !secure.stage.peer_closed
        {
            secure.stage.peer_closed = true;
            self.open.connection.received_eof(self.core.now);
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
    fn flush_secure(&mut self, budget: &mut Budget) {
        let Open { connection, secure, .. } = &mut *self.open;
        let Some(secure) = secure else { return };
        if secure.stage.outgoing.is_empty()
            || !self.flags.has(Flags::WRITABLE)
            || connection.transmit(self.core.now).is_some()
        {
            return;
        }
        match secure.stage.flush(self.transport.input()) {
            Sent::All(n) => super::note_sent(self.core, budget, n),
            Sent::Part(n) => {
                super::note_sent(self.core, budget, n);
                self.flags.remove(Flags::WRITABLE);
            }
            Sent::Failed => self.fail(),
        }
    }
}
