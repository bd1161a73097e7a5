//! Connections that begin without TLS and go on with it, as a protocol above agrees (STARTTLS). The engine waits meanwhile.

use super::Driver;
use crate::application::Application;
use crate::context::{DriverContext, Subject};
use crate::handshake::{Handshaking, Side};
use crate::open::Open;
use crate::slot::Body;
use crate::tls::{Failure, Provider};
use crate::token::ConnectionId;
use std::os::fd::AsFd;
use std::time::Duration;

impl<A: Application> Driver<A> {
    /// Begins TLS on a connection that is established. What its engine has queued is sent inside of it.
    pub(super) fn upgrade(&mut self, id: ConnectionId, provider: &dyn Provider, timeout: Duration) {
        let Some(slot) = self.table.get(id) else { return };
        match &slot.body {
            Body::Open(open) if open.secure.is_none() => {}
            Body::Ended => return,
            // It has TLS, or is no socket. The application waits for TLS, which it would take for granted.
            _ => return self.end(id),
        }
        let session = match provider.session() {
            Ok(session) => session,
            Err(failure) => {
                self.core.stats.count_tls_failure(&failure);
                return self.upgrade_failed(id, &failure);
            }
        };
        let deadline = self.core.now() + timeout;
        let Body::Open(open) = std::mem::replace(&mut slot.body, Body::Ended) else { return };
        let Open { connection, state, .. } = open;
        let side = Side::Upgrade { connection: Some(Box::new(connection)) };
        slot.body = Body::Handshaking(Box::new(Handshaking::outgoing(session, side, deadline, state)));
        slot.scheduled = deadline;
        self.core.timers.set(id.index, deadline);
        self.handshake_ready(id);
    }

    /// Ends a connection that was to go on with TLS.
    pub(super) fn upgrade_failed(&mut self, id: ConnectionId, failure: &Failure) {
        let Some(slot) = self.table.get(id) else { return };
        let subject = Subject::new(id, slot.socket.as_fd());
        let mut cx = DriverContext::new(&mut self.core, subject);
        match &mut slot.body {
            Body::Handshaking(shaking) => self.application.tls_failed(&mut cx, &mut shaking.state, failure),
            Body::Open(open) => self.application.tls_failed(&mut cx, &mut open.state, failure),
            _ => {}
        }
        self.end(id);
    }
}
