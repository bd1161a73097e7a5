//! The glue between a driver and its outgoing connections: it turns readiness, answers of the resolver and
//! deadlines into the next step.

use super::Attempt;
use super::attempt::{Candidate, Progress};
use super::error::ConnectCause;
use super::race::interleave;
use super::resolver::{Lookup, ResolveError};
use super::target::Target;
use crate::address::Address;
use crate::application::Application;
use crate::context::{DriverContext, Subject};
use crate::driver::Driver;
use crate::driver::handshakes::client;
use crate::flags::Flags;
use crate::handshake::{Handshaking, Side};
use crate::open::Open;
use crate::registration::Registration;
use crate::service::{Interest, Readiness, Token};
use crate::slot::{Body, NEVER, Slot};
use crate::socket;
use crate::tls::Session;
use crate::token::ConnectionId;
use lws_proto::Connection;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;

impl<A: Application> Driver<A> {
    /// Begins an outgoing connection for [`DriverContext::connect`].
    pub(crate) fn begin_attempt(&mut self, attempt: Box<Attempt<A::State>>) {
        let id = attempt.id;
        self.connects.attempts.insert(id.index, attempt);
        if self.core.drain.closes() {
            // The command is older than the service's drain, which allows no new connection.
            return self.give_up(id);
        }
        let Some(attempt) = self.connects.attempt(id) else { return };
        match attempt.target.clone() {
            Target::Addresses(addresses) => self.race(id, addresses, usize::MAX),
            Target::Name { host, port } => match host.parse::<IpAddr>() {
                Ok(address) => self.race(id, vec![SocketAddr::new(address, port).into()], 1),
                Err(_) => self.resolve(id, &host, port),
            },
        }
    }

    fn resolve(&mut self, id: ConnectionId, name: &str, port: u16) {
        if self.connects.inbox.queries() >= self.core.options.resolver_queries_max {
            return self.end_attempt(id, ConnectCause::Resolve(ResolveError::TooMany));
        }
        let (ours, query) = Lookup::new(&self.connects.inbox, id, name, port);
        if let Some(attempt) = self.connects.attempt(id)
            && let Progress::Resolving { lookup, .. } = &mut attempt.progress
        {
            *lookup = Some(ours);
        }
        self.connects.resolver.resolve(query);
        // The resolver may have answered inside the call.
        self.take_answers();
        self.advance(id);
    }

    /// Takes the answers of the resolver from its inbox.
    pub(crate) fn take_answers(&mut self) {
        for (id, result) in self.connects.inbox.take() {
            let Some(attempt) = self.connects.attempt(id) else { continue };
            if !matches!(attempt.progress, Progress::Resolving { .. }) {
                continue;
            }
            match result {
                Ok(addresses) if addresses.is_empty() => {
                    self.end_attempt(id, ConnectCause::Resolve(ResolveError::NoAddress));
                }
                Ok(addresses) => match attempt.shared(&addresses) {
                    Some(address) => self.end_attempt(id, ConnectCause::Shared(address)),
                    None => {
                        let max = self.core.options.resolver_addresses_max.max(1);
                        self.race(id, addresses.into_iter().map(Address::Tcp).collect(), max);
                    }
                },
                Err(error) => self.end_attempt(id, ConnectCause::Resolve(error)),
            }
        }
    }

    fn race(&mut self, id: ConnectionId, addresses: Vec<Address>, max: usize) {
        let now = self.core.now();
        if let Some(attempt) = self.connects.attempt(id) {
            attempt.race(now, interleave(addresses, max));
        }
        self.advance(id);
    }

    /// Starts the sockets that may start now, and sets the timer for what is due next.
    fn advance(&mut self, id: ConnectionId) {
        let now = self.core.now();
        while let Some(attempt) = self.connects.attempt(id) {
            if let Some(cause) = attempt.verdict(now) {
                return self.end_attempt(id, cause);
            }
            let sole = attempt.is_sole_start();
            let Some(address) = attempt.start(now) else {
                let at = attempt.next_timeout();
                return self.core.timers.set(id.index, at);
            };
            match socket::connect(&address, &attempt.options) {
                Err(error) => attempt.note(now, address, now, error),
                Ok(socket) => {
                    let token = if sole { id.token() } else { self.connects.names.allocate(id) };
                    let mut registration = Registration::default();
                    registration.want(Interest::BOTH, token, &mut self.core.changes);
                    let flags = Flags::default();
                    let candidate = Candidate { token, address, socket, registration, flags, began: now };
                    if let Some(attempt) = self.connects.attempt(id) {
                        attempt.started(candidate);
                    }
                }
            }
        }
    }

    /// Handles readiness of a racing socket.
    #[cold]
    pub(crate) fn attempt_ready(&mut self, token: Token, ready: Readiness) {
        let Some(id) = self.connects.owner(token) else { return };
        let Some(candidate) = self.connects.attempt(id).and_then(|attempt| attempt.candidate(token)) else {
            return;
        };
        candidate.registration.reported(self.core.trigger, token, &mut self.core.changes);
        candidate.flags.note(ready);
        match socket::connected(candidate.socket.as_fd()) {
            None => {}
            Some(Ok(())) => self.won(id, token),
            Some(Err(error)) => self.lost(id, token, error),
        }
    }

    /// Handles the host's refusal to watch a socket that races, or has lost its race.
    pub(crate) fn attempt_refused(&mut self, token: Token, error: io::Error) {
        if let Some(id) = self.connects.owner(token) {
            self.lost(id, token, error);
        }
    }

    /// Handles a deadline of an outgoing connection.
    pub(crate) fn attempt_timeout(&mut self, index: u32) {
        let now = self.core.now();
        // The host may have been away for long. Answers that arrived in the meantime come before the deadlines.
        self.take_answers();
        let Some(id) = self.connects.attempts.get(&index).map(|attempt| attempt.id) else { return };
        if let Some(token) = self.connects.attempt(id).and_then(Attempt::connected) {
            return self.won(id, token);
        }
        while let Some(token) = self.connects.attempt(id).and_then(|attempt| attempt.overdue(now)) {
            self.leave(id, token, io::ErrorKind::TimedOut.into());
        }
        self.advance(id);
    }

    /// Gives up an outgoing connection, because the application or the drain wants that.
    pub(crate) fn give_up(&mut self, id: ConnectionId) {
        if let Some(attempt) = self.connects.attempt(id) {
            let phase = attempt.phase();
            self.end_attempt(id, ConnectCause::GivenUp { phase });
        }
    }

    fn lost(&mut self, id: ConnectionId, token: Token, error: io::Error) {
        self.leave(id, token, error);
        self.advance(id);
    }

    /// Takes a failed socket out of its race.
    fn leave(&mut self, id: ConnectionId, token: Token, error: io::Error) {
        let now = self.core.now();
        let Some(attempt) = self.connects.attempt(id) else { return };
        if let Some(candidate) = attempt.take(token) {
            attempt.note(now, candidate.address.clone(), candidate.began, error);
            self.connects.leave(candidate, &mut self.core.changes);
        }
    }

    /// Ends an attempt in failure, and reports that to the application.
    fn end_attempt(&mut self, id: ConnectionId, cause: ConnectCause) {
        let kind = match &cause {
            ConnectCause::TimedOut { .. } => io::ErrorKind::TimedOut,
            _ => io::ErrorKind::ConnectionAborted,
        };
        while let Some(token) =
            self.connects.attempt(id).and_then(|it| it.candidates().first().map(|it| it.token))
        {
            self.leave(id, token, kind.into());
        }
        let Some(attempt) = self.connects.attempts.remove(&id.index) else { return };
        self.core.timers.cancel(id.index);
        let failed = !matches!(cause, ConnectCause::Shared(_));
        self.core.stats.connect_failed_total += u64::from(failed);
        let (state, error) = attempt.into_error(cause);
        let mut cx = DriverContext::new(&mut self.core, Subject::name(id));
        self.application.connect_failed(&mut cx, state, error);
        self.return_messages(id);
        if !self.connects.leaving.contains_key(&id.token()) {
            self.core.release(id);
        }
    }

    /// Ends a race that a socket has won: the socket becomes the connection's, under the token that the host knows.
    fn won(&mut self, id: ConnectionId, token: Token) {
        let now = self.core.now();
        let Some(attempt) = self.connects.attempt(id) else { return };
        let (config, speak) = (Arc::clone(&attempt.config), attempt.options.speak);
        let engine = match &attempt.options.tls {
            None => client(now, config, speak, None)
                .map(|connection| Engine::Now(Box::new(connection)))
                .map_err(ConnectCause::Local),
            Some(tls) => tls.session().map(Engine::AfterTls).map_err(ConnectCause::Tls),
        };
        let engine = match engine {
            Ok(engine) => engine,
            Err(cause) => return self.end_attempt(id, cause),
        };
        let Some(winner) = attempt.take(token) else { return };
        while let Some(loser) = self.connects.attempt(id).and_then(Attempt::take_any) {
            self.connects.leave(loser, &mut self.core.changes);
        }
        let Some(attempt) = self.connects.attempts.remove(&id.index) else { return };
        if token != id.token() {
            self.connects.names.won(id, token);
        }
        self.core.timers.cancel(id.index);
        let Candidate { socket, registration, mut flags, .. } = winner;
        flags.insert(Flags::WRITABLE);
        let (config, deadline) = (Arc::clone(&attempt.config), attempt.deadline);
        let (state, origin) = attempt.into_connected();
        let (body, scheduled) = match engine {
            Engine::Now(connection) => {
                self.core.stats.connected_total += 1;
                let mut open = Open { connection: *connection, state, secure: None };
                open.connection.set_spread(id.spread());
                let mut cx = DriverContext::new(&mut self.core, Subject::new(id, socket.as_fd()));
                self.application.connected(&mut cx, &mut open.state, &mut open.connection);
                self.deliver_messages(id);
                (Body::Open(open), NEVER)
            }
            Engine::AfterTls(session) => {
                self.core.timers.set(id.index, deadline);
                let side = Side::Client { config, speak, origin: Box::new(origin) };
                let shaking = Handshaking::outgoing(session, side, deadline, state);
                (Body::Handshaking(Box::new(shaking)), deadline)
            }
        };
        let slot = Slot::new(id, socket, flags, registration, body);
        self.table.insert(id, Slot { scheduled, ..slot });
        self.take_turn(id);
    }
}

/// What a connected socket goes on with.
enum Engine {
    Now(Box<Connection>),
    AfterTls(Box<dyn Session>),
}
