//! Connections in their TLS handshake: the order of their turns, and the consequence of each outcome.

use super::Driver;
use crate::address::Peer;
use crate::admission::{Admission, PeerNetwork, Phase, Standing};
use crate::application::Application;
use crate::buffers::Unopened;
use crate::connect::{ConnectCause, ConnectPhase};
use crate::context::{DriverContext, Subject};
use crate::entropy::SystemEntropy;
use crate::flags::Flags;
use crate::handshake::{GRACE, LINGER, Side, Step};
use crate::open::Open;
use crate::options::DriverOptions;
use crate::secure::{Secure, TlsStream};
use crate::service::{Interest, Trigger};
use crate::slot::{Body, NEVER};
use crate::socket_options::Speak;
use crate::tls::{Failure, Info, Opened, Reason};
use crate::token::ConnectionId;
use lws_proto::http::Scheme;
use lws_proto::{Config, Connection, Expect, Time};
use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;
use std::sync::Arc;

/// The engine of a server for the protocol that ALPN has chosen, which is binding: RFC 7301 §3.2. Without TLS the
/// engine detects the protocol by the first bytes.
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

/// The engine of a client for the protocol that ALPN has chosen.
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

/// The handshakes of a service: their admission, and those that are ready for a turn.
pub(super) struct Handshakes {
    admission: Admission,
    /// Handshakes that can go on. `Flags::LISTED` keeps a handshake from being queued twice.
    ready: VecDeque<ConnectionId>,
}

impl Handshakes {
    pub(super) fn new(options: &DriverOptions) -> Self {
        let DriverOptions { tls_handshakes_max, tls_silent_max, tls_handshakes_per_network_max, .. } =
            options;
        let admission = Admission::new(*tls_handshakes_max, *tls_silent_max, *tls_handshakes_per_network_max);
        Self { admission, ready: VecDeque::new() }
    }

    pub(super) fn have_work(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The accepted connection that has been silent for the longest time.
    pub(super) fn oldest_silent(&self) -> Option<ConnectionId> {
        self.admission.oldest_silent()
    }
}

/// What the end of a handshake is for the application.
#[derive(Clone, Copy)]
enum Opening {
    Accepted,
    Connected,
    /// It has been there before.
    Upgraded,
}

impl<A: Application> Driver<A> {
    /// Admits a connection that was just accepted. The one that has been silent for the longest time may be closed
    /// for it.
    pub(super) fn admit_silent(&mut self, id: ConnectionId, peer: &Peer) -> Standing {
        let (standing, victim) = self.handshakes.admission.arrive(id, PeerNetwork::of(peer));
        if let Some(victim) = victim {
            self.handshake_failed(victim, Failure::silent(Reason::GaveWay));
        }
        self.count_handshakes();
        standing
    }

    /// Queues a handshake that can go on. Its turn comes after those of established connections.
    #[cold]
    pub(super) fn handshake_ready(&mut self, id: ConnectionId) {
        let Self { core, table, handshakes, .. } = self;
        let Some(slot) = table.get(id) else { return };
        let Body::Handshaking(shaking) = &mut slot.body else { return };
        let goes_on = match shaking.standing() {
            Some(standing) if standing.phase == Phase::Silent => {
                if !slot.flags.has(Flags::READABLE) {
                    if core.trigger != Trigger::Edge {
                        slot.registration.want(Interest::READ, id.token(), &mut core.changes);
                    }
                    return;
                }
                handshakes.admission.first_octet(id, standing);
                if standing.phase == Phase::Begun {
                    shaking.due = shaking.deadline.min(core.now() + GRACE);
                    slot.scheduled = shaking.due;
                    core.timers.set(id.index, slot.scheduled);
                }
                shaking.has_place()
            }
            _ => shaking.has_place(),
        };
        if core.trigger != Trigger::Edge {
            // Nothing is read before its turn, so a level-triggered host must not report it until then.
            slot.registration.want(Interest::NONE, id.token(), &mut core.changes);
        }
        if goes_on && !slot.flags.has(Flags::LISTED) {
            slot.flags.insert(Flags::LISTED);
            handshakes.ready.push_back(id);
        }
        self.count_handshakes();
    }

    /// Gives handshakes their turns within the budget, but at least one.
    pub(super) fn shake_hands(&mut self) {
        for _ in 0..self.core.options.tls_steps_per_turn.max(1) {
            let Some(id) = self.handshakes.ready.pop_front() else { break };
            if let Some(slot) = self.table.get(id) {
                slot.flags.remove(Flags::LISTED);
                // Its deadline may have finished the handshake while it was listed. Readiness that was reported since then did not list
                // it again, and an edge is reported once: this is the turn that it is owed.
                match slot.body {
                    Body::Handshaking(_) => self.shake(id),
                    _ => self.take_turn(id),
                }
            }
            if self.core.turn.is_spent() {
                break;
            }
        }
    }

    /// Gives a handshake that has a place one more turn before its deadline is applied, as its peer may have sent
    /// something in time.
    pub(super) fn look_at_handshake(&mut self, id: ConnectionId) {
        self.handshake_ready(id);
        let has_place = self.table.get(id).is_some_and(|slot| match &slot.body {
            Body::Handshaking(shaking) => shaking.has_place(),
            _ => false,
        });
        if has_place {
            self.shake(id);
        }
    }

    /// Takes one step of a handshake.
    fn shake(&mut self, id: ConnectionId) {
        let Self { core, table, buffers, handshakes, .. } = self;
        let Some(slot) = table.get(id) else { return };
        let Body::Handshaking(shaking) = &mut slot.body else { return };
        let step = shaking.step(slot.socket.as_fd(), &mut slot.flags, buffers, &mut core.stats);
        match step {
            Step::Waiting(ready) => {
                let wants_write = shaking.wants_write();
                if core.trigger != Trigger::Edge {
                    let interest = Interest::READ.when(!ready) | Interest::WRITE.when(wants_write);
                    slot.registration.want(interest, id.token(), &mut core.changes);
                }
                if ready && !slot.flags.has(Flags::LISTED) {
                    slot.flags.insert(Flags::LISTED);
                    handshakes.ready.push_back(id);
                }
            }
            Step::Failed(failure) => self.handshake_failed(id, failure),
            Step::Plain(n) => self.go_on_plain(id, n),
            Step::Done { opened, rest } => self.handshake_done(id, opened, rest),
            Step::Over => self.end(id),
        }
    }

    /// Handles a deadline of a handshake: it was not done in time, others have waited long enough for its place, or the
    /// linger time after a failure is over.
    pub(super) fn handshake_timeout(&mut self, id: ConnectionId) {
        let Self { core, table, handshakes, .. } = self;
        let Some(slot) = table.get(id) else { return };
        let Body::Handshaking(shaking) = &mut slot.body else { return };
        if shaking.has_failed() {
            return self.end(id);
        }
        if shaking.deadline <= core.now() {
            return self.handshake_failed(id, Failure::silent(Reason::Timeout));
        }
        if shaking.standing().is_some_and(|standing| handshakes.admission.is_wanted(standing)) {
            return self.handshake_failed(id, Failure::silent(Reason::GaveWay));
        }
        self.handshake_began(id);
    }

    /// Reports the failure of a handshake. The socket lingers, so that the peer can read the alert.
    pub(super) fn handshake_failed(&mut self, id: ConnectionId, failure: Failure) {
        self.core.stats.count_tls_failure(&failure);
        let Some(slot) = self.table.get(id) else { return };
        let Body::Handshaking(shaking) = &mut slot.body else { return };
        let standing = shaking.take_standing();
        match shaking.side {
            Side::Client { .. } => {
                let cause = match failure.reason {
                    Reason::Timeout => ConnectCause::TimedOut { phase: ConnectPhase::Tls },
                    _ => ConnectCause::Tls(failure),
                };
                return self.end_with(id, cause);
            }
            Side::Upgrade { .. } => return self.upgrade_failed(id, &failure),
            Side::Server { .. } => {}
        }
        let subject = Subject::new(id, slot.socket.as_fd());
        let mut cx = DriverContext::new(&mut self.core, subject);
        self.application.tls_failed(&mut cx, &mut shaking.state, &failure);
        shaking.deadline = self.core.now() + LINGER;
        shaking.due = shaking.deadline;
        slot.scheduled = shaking.deadline;
        self.core.timers.set(id.index, slot.scheduled);
        if let Some(standing) = standing {
            self.leave_handshakes(standing);
        }
        match failure.sent {
            None => self.end(id),
            Some(_) => self.shake(id),
        }
    }

    fn handshake_done(&mut self, id: ConnectionId, opened: Opened, rest: Range<usize>) {
        let Some(slot) = self.table.get(id) else { return };
        let Body::Handshaking(shaking) = &mut slot.body else { return };
        let info = shaking.info();
        self.core.stats.tls_established_total += 1;
        self.core.stats.tls_resumed_total += u64::from(info.resumed);
        let subject = Subject::new(id, slot.socket.as_fd());
        let mut cx = DriverContext::new(&mut self.core, subject.with_tls(Some(&info)));
        if !self.application.tls_established(&mut cx, &mut shaking.state, &info) {
            let mut close = Vec::new();
            if let Some(session) = shaking.session() {
                session.close(&mut close);
            }
            let _ = crate::transport::send_bytes(slot.socket.as_fd(), &close);
            return self.handshake_failed(id, Failure::silent(Reason::Refused));
        }
        if let Side::Client { speak: Speak::Http2, .. } = shaking.side
            && !is_http2(&info)
        {
            // RFC 9113 §3.2: over TLS, HTTP/2 is chosen by ALPN only.
            return self.handshake_failed(id, Failure::silent(Reason::NoProtocol));
        }
        if self.begin(id, Some(info)) {
            let Some(slot) = self.table.get(id) else { return };
            // The first turn of the connection finds the bytes behind the handshake in the shared buffers.
            let first = Some(slot.flags.has(Flags::READABLE));
            slot.flags.insert(Flags::READABLE | Flags::READING);
            self.buffers.left = Unopened { part: rest, opened, first };
            // The turn comes at once, even if the service's budget is used up, because the shared buffers are
            // needed by the next connection.
            self.turn_now(id);
        }
    }

    fn go_on_plain(&mut self, id: ConnectionId, n: usize) {
        let Some(slot) = self.table.get(id) else { return };
        let Body::Handshaking(shaking) = &mut slot.body else { return };
        let subject = Subject::new(id, slot.socket.as_fd());
        let mut cx = DriverContext::new(&mut self.core, subject);
        self.application.plain(&mut cx, &mut shaking.state);
        if self.begin(id, None) {
            let received = self.buffers.ciphertext[..n].into();
            self.receive_first(id, received);
        }
    }

    /// Makes the engine. Returns true if the connection can take its first turn.
    fn begin(&mut self, id: ConnectionId, info: Option<Info>) -> bool {
        let now = self.core.now();
        let Some(slot) = self.table.get(id) else { return false };
        let Body::Handshaking(shaking) = &mut slot.body else { return false };
        let (connection, opening) = match &mut shaking.side {
            Side::Server { config, .. } => {
                (Ok(server(now, Arc::clone(config), info.as_ref())), Opening::Accepted)
            }
            Side::Client { config, speak, .. } => {
                (client(now, Arc::clone(config), *speak, info.as_ref()), Opening::Connected)
            }
            Side::Upgrade { connection } => match connection.take() {
                Some(connection) => (Ok(*connection), Opening::Upgraded),
                None => return false,
            },
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
        let Body::Handshaking(mut shaking) = std::mem::replace(&mut slot.body, Body::Ended) else {
            return false;
        };
        let standing = shaking.take_standing();
        let (session, outgoing, state) = shaking.into_parts();
        let secure = info.zip(session);
        let secure = secure
            .map(|(info, session)| Box::new(Secure { info, stream: TlsStream::new(session, outgoing) }));
        slot.body = Body::Open(Open { connection, state, secure });
        slot.scheduled = NEVER;
        slot.flags.insert(Flags::WRITABLE);
        self.core.timers.cancel(id.index);
        match opening {
            Opening::Accepted => self.report_opened(id),
            Opening::Connected => self.report_connected(id),
            Opening::Upgraded => {}
        }
        if let Some(standing) = standing {
            self.leave_handshakes(standing);
        }
        self.deliver_messages(id);
        true
    }

    fn report_opened(&mut self, id: ConnectionId) {
        let Some(slot) = self.table.get(id) else { return };
        let subject = Subject::new(id, slot.socket.as_fd());
        let Body::Open(open) = &mut slot.body else { return };
        let (connection, state, tls) = open.parts();
        let mut cx = DriverContext::new(&mut self.core, subject.with_tls(tls));
        self.application.opened(&mut cx, state, connection);
    }

    fn report_connected(&mut self, id: ConnectionId) {
        self.core.stats.connected_total += 1;
        let Some(slot) = self.table.get(id) else { return };
        let subject = Subject::new(id, slot.socket.as_fd());
        let Body::Open(open) = &mut slot.body else { return };
        let (connection, state, tls) = open.parts();
        let mut cx = DriverContext::new(&mut self.core, subject.with_tls(tls));
        self.application.connected(&mut cx, state, connection);
    }

    /// Gives the place of a handshake to others, as it is done or has ended.
    pub(super) fn leave_handshakes(&mut self, standing: Standing) {
        self.handshakes.admission.leave(standing);
        while let Some(id) = self.handshakes.admission.promote() {
            let standing = self.table.get(id).and_then(|slot| match &mut slot.body {
                Body::Handshaking(shaking) => shaking.standing(),
                _ => None,
            });
            debug_assert!(standing.is_some(), "a connection that has left stands in no queue");
            if let Some(standing) = standing {
                standing.phase = Phase::Begun;
                self.handshake_began(id);
                self.handshake_ready(id);
            }
        }
        self.count_handshakes();
    }

    /// Sets the next deadline of a handshake that has begun: it keeps its place for a minimum time, and longer
    /// while no other waits.
    fn handshake_began(&mut self, id: ConnectionId) {
        let Self { core, table, .. } = self;
        let Some(slot) = table.get(id) else { return };
        let Body::Handshaking(shaking) = &mut slot.body else { return };
        shaking.due = shaking.deadline.min(core.now() + GRACE);
        slot.scheduled = shaking.due;
        core.timers.set(id.index, slot.scheduled);
    }

    fn count_handshakes(&mut self) {
        let admission = &self.handshakes.admission;
        self.core.stats.tls_handshakes = admission.begun();
        self.core.stats.tls_silent = admission.silent();
        self.core.stats.tls_queued = admission.queued();
    }
}
