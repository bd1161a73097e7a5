//! Connections in their TLS handshake: what becomes of each outcome.

use super::Driver;
use crate::application::Application;
use crate::connect::{ConnectCause, ConnectPhase};
use crate::context::{Context, NEVER};
use crate::entropy::SystemEntropy;
use crate::handshake::{Handshaking, LINGER, Side, Step};
use crate::listener::Paused;
use crate::options::Speak;
use crate::secure::{Secure, Stage};
use crate::service::{Interest, Trigger};
use crate::table::{Body, Flags, Open};
use crate::tls::{Failure, Info, Opened, Reason};
use crate::token::ConnectionId;
use crate::turn::Left;
use lws_proto::http::Scheme;
use lws_proto::{Config, Connection, Expect, Time};
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

/// The engine of a server for what ALPN has chosen, which is binding: RFC 7301 §3.2. Without TLS it sees by the first bytes
/// what is spoken.
fn server(now: Time, config: Arc<Config>, tls: Option<&Info>) -> Connection {
    match tls {
        Some(_) if config.expect == Expect::Raw => Connection::server(now, config),
        Some(info) if is_http2(info) => Connection::server_http2(now, config),
        Some(_) => Connection::server_http1(now, config),
        None => Connection::server(now, config),
    }
}

fn is_http2(info: &Info) -> bool {
    info.alpn.as_deref() == Some(b"h2")
}

/// The engine of a client for what ALPN has chosen.
pub(crate) fn client(
    now: Time,
    config: Arc<Config>,
    speak: Speak,
    tls: Option<&Info>,
) -> io::Result<Connection> {
    let http2 = tls.is_some_and(is_http2);
    let scheme = if tls.is_some() { Scheme::Https } else { Scheme::Http };
    let entropy = || SystemEntropy::new().map(Box::new);
    Ok(match speak {
        Speak::Http if !http2 => Connection::client(now, config, entropy()?),
        Speak::Http | Speak::Http2 => Connection::client_http2(now, config, entropy()?, scheme),
        Speak::Raw => Connection::client_raw(now, config),
    })
}

impl<A: Application> Driver<A> {
    /// Does what a handshake has to do now.
    #[cold]
    pub(super) fn shake(&mut self, id: ConnectionId) {
        let Self { core, table, buffers, .. } = self;
        let Some(slot) = table.get(id) else { return };
        let Body::Handshaking(shaking) = &mut slot.body else { return };
        let step = shaking.step(slot.socket.as_fd(), &mut slot.flags, buffers, &mut core.stats);
        match step {
            Step::Waiting(ready) => {
                let wants_write = shaking.wants_write();
                if core.trigger != Trigger::Edge {
                    let interest = Interest::READ | Interest::WRITE.when(wants_write);
                    slot.registration.want(interest, id.token(), &mut core.changes);
                }
                if ready {
                    core.list(id, &mut slot.flags);
                }
            }
            Step::Failed(failure) => self.handshake_failed(id, failure),
            Step::Plain(n) => self.go_on_plain(id, n),
            Step::Done { opened, rest } => self.handshake_done(id, opened, rest),
            Step::Over => self.end(id),
        }
    }

    /// A handshake was not done in time, or its peer has had the time to read why not.
    pub(super) fn handshake_timeout(&mut self, id: ConnectionId) {
        match self.table.get(id).map(|slot| &slot.body) {
            Some(Body::Handshaking(shaking)) if shaking.has_failed() => self.end(id),
            _ => self.handshake_failed(id, Failure::silent(Reason::Timeout)),
        }
    }

    /// Tells the failure. One that the peer was sent an alert of leaves it the time to read that.
    fn handshake_failed(&mut self, id: ConnectionId, failure: Failure) {
        self.core.stats.count_tls_failure(&failure);
        let Some(slot) = self.table.get(id) else { return };
        let Body::Handshaking(shaking) = &mut slot.body else { return };
        if let Side::Client { .. } = shaking.side {
            let cause = match failure.reason {
                Reason::Timeout => ConnectCause::TimedOut { phase: ConnectPhase::Tls },
                _ => ConnectCause::Tls(failure),
            };
            return self.end_with(id, cause);
        }
        let socket = Some(slot.socket.as_fd());
        let mut cx = Context { core: &mut self.core, connection: Some(id), socket, tls: None };
        self.application.tls_failed(&mut cx, &mut shaking.state, &failure);
        if failure.sent.is_none() {
            return self.end(id);
        }
        shaking.deadline = self.core.now + LINGER;
        slot.scheduled = shaking.deadline;
        self.core.timers.set(id.index, slot.scheduled);
        self.shake(id);
    }

    fn handshake_done(&mut self, id: ConnectionId, opened: Opened, rest: Range<usize>) {
        let Some(slot) = self.table.get(id) else { return };
        let Body::Handshaking(shaking) = &mut slot.body else { return };
        let info = shaking.session.info();
        self.core.stats.tls_established_total += 1;
        self.core.stats.tls_resumed_total += u64::from(info.resumed);
        let socket = Some(slot.socket.as_fd());
        let mut cx = Context { core: &mut self.core, connection: Some(id), socket, tls: Some(&info) };
        if !self.application.tls_established(&mut cx, &mut shaking.state, &info) {
            let mut close = Vec::new();
            shaking.session.close(&mut close);
            let _ = crate::transport::send_bytes(slot.socket.as_fd(), &close);
            return self.handshake_failed(id, Failure::silent(Reason::Refused));
        }
        if let Side::Client { speak: Speak::Http2, .. } = shaking.side
            && !is_http2(&info)
        {
            // RFC 9113 §3.2: over TLS it is ALPN that chooses HTTP/2.
            return self.handshake_failed(id, Failure::silent(Reason::NoProtocol));
        }
        if self.begin(id, Some(info)) {
            let Some(slot) = self.table.get(id) else { return };
            // The turn finds in the buffers what came behind the handshake.
            let first = Some(slot.flags.has(Flags::READABLE));
            slot.flags.insert(Flags::READABLE | Flags::READING);
            self.buffers.left = Left { part: rest, opened, first };
            // At once, whatever is left of the service's turn: the buffers are lent to all.
            self.turn_now(id);
        }
    }

    fn go_on_plain(&mut self, id: ConnectionId, n: usize) {
        let Some(slot) = self.table.get(id) else { return };
        let Body::Handshaking(shaking) = &mut slot.body else { return };
        let socket = Some(slot.socket.as_fd());
        let mut cx = Context { core: &mut self.core, connection: Some(id), socket, tls: None };
        self.application.plain(&mut cx, &mut shaking.state);
        if self.begin(id, None) {
            let received = self.buffers.ciphertext[..n].into();
            self.receive_first(id, received);
        }
    }

    /// Makes the engine. True if the connection can take its first turn.
    fn begin(&mut self, id: ConnectionId, info: Option<Info>) -> bool {
        let now = self.core.now;
        let Some(slot) = self.table.get(id) else { return false };
        let Body::Handshaking(shaking) = &slot.body else { return false };
        let config = Arc::clone(&shaking.config);
        let (connection, is_client) = match &shaking.side {
            Side::Server { .. } => (Ok(server(now, config, info.as_ref())), false),
            Side::Client { speak, .. } => (client(now, config, *speak, info.as_ref()), true),
        };
        let connection = match connection {
            Ok(mut connection) => {
                connection.set_spread(id.spread());
                connection
            }
            Err(error) => {
                self.end_with(id, ConnectCause::Local(error));
                return false;
            }
        };
        let Body::Handshaking(shaking) = std::mem::replace(&mut slot.body, Body::Ended) else { return false };
        let Handshaking { session, outgoing, state, .. } = *shaking;
        let secure = info.map(|info| Box::new(Secure { info, stage: Stage::new(session, outgoing) }));
        slot.body = Body::Open(Open { connection, state, secure });
        slot.scheduled = NEVER;
        slot.flags.insert(Flags::WRITABLE);
        self.core.timers.cancel(id.index);
        if is_client {
            self.tell_connected(id);
        } else {
            self.tell_opened(id);
            self.handshake_over();
        }
        self.deliver_letters(id);
        true
    }

    fn tell_opened(&mut self, id: ConnectionId) {
        let Some(slot) = self.table.get(id) else { return };
        let socket = Some(slot.socket.as_fd());
        let Body::Open(open) = &mut slot.body else { return };
        let (connection, state, tls) = open.parts();
        let mut cx = Context { core: &mut self.core, connection: Some(id), socket, tls };
        self.application.opened(&mut cx, state, connection);
    }

    fn tell_connected(&mut self, id: ConnectionId) {
        self.core.stats.connected_total += 1;
        let Some(slot) = self.table.get(id) else { return };
        let socket = Some(slot.socket.as_fd());
        let Body::Open(open) = &mut slot.body else { return };
        let (connection, state, tls) = open.parts();
        let mut cx = Context { core: &mut self.core, connection: Some(id), socket, tls };
        self.application.connected(&mut cx, state, connection);
    }

    /// There is room for one more handshake.
    pub(super) fn handshake_over(&mut self) {
        self.core.stats.tls_handshakes -= 1;
        if self.core.stats.tls_handshakes + 1 == self.core.options.tls_handshakes_max {
            self.core.listeners.room(Paused::Handshakes);
        }
    }
}
