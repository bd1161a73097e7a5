//! One outgoing connection that is being made: its options, its phase, and the sockets that race for it.

use super::error::{ConnectCause, ConnectError, ConnectPhase, FailedAttempt, Origin};
use super::race::{Pace, Race};
use super::resolver::Lookup;
use super::target::Target;
use crate::address::Address;
use crate::flags::Flags;
use crate::net::Owned;
use crate::registration::Registration;
use crate::service::Token;
use crate::socket;
use crate::socket_options::ConnectOptions;
use crate::token::ConnectionId;
use lws_proto::{Config, Time};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;

/// An outgoing connection that is being made.
pub(crate) struct Attempt<S> {
    pub(crate) id: ConnectionId,
    pub(super) target: Target,
    pub(super) config: Arc<Config>,
    pub(super) options: ConnectOptions,
    pub(super) state: S,
    /// The deadline of the whole attempt, in whichever phase.
    pub(super) deadline: Time,
    pub(super) progress: Progress,
    failed: Vec<FailedAttempt>,
}

pub(super) enum Progress {
    /// The name is being resolved. `lookup` is `None` until the resolver was asked.
    Resolving { lookup: Option<Lookup>, give_up: Time },
    /// Sockets are being connected.
    Racing { race: Race, candidates: Vec<Candidate> },
}

/// One socket of a race.
pub(super) struct Candidate {
    pub(super) token: Token,
    pub(super) address: Address,
    pub(super) socket: Owned,
    pub(super) registration: Registration,
    pub(super) flags: Flags,
    pub(super) began: Time,
}

impl<S> Attempt<S> {
    pub(crate) fn new(
        now: Time,
        id: ConnectionId,
        target: Target,
        config: Arc<Config>,
        options: ConnectOptions,
        state: S,
    ) -> Self {
        let deadline = now + options.timeout;
        let progress = Progress::Resolving { lookup: None, give_up: now + options.resolve_timeout };
        Self { id, target, config, options, state, deadline, progress, failed: Vec::new() }
    }

    /// The first of these addresses to which there is a connection that may serve in place of this one.
    pub(super) fn shared(&self, addresses: &[SocketAddr]) -> Option<SocketAddr> {
        addresses.iter().copied().find(|address| self.options.shared_with.contains(address))
    }

    /// Begins to race sockets for these addresses.
    pub(super) fn race(&mut self, now: Time, addresses: Vec<Address>) {
        let pace = Pace { stagger: self.options.stagger, racing_max: self.options.racing_max };
        self.progress = Progress::Racing { race: Race::new(now, addresses, pace), candidates: Vec::new() };
    }

    /// Whether the next address is the only one: its socket can have the connection's own token.
    pub(super) fn is_sole_start(&self) -> bool {
        match &self.progress {
            Progress::Racing { race, candidates } => {
                race.waiting() == 1 && candidates.is_empty() && self.failed.is_empty()
            }
            Progress::Resolving { .. } => false,
        }
    }

    pub(super) fn phase(&self) -> ConnectPhase {
        match self.progress {
            Progress::Resolving { .. } => ConnectPhase::Resolve,
            Progress::Racing { .. } => ConnectPhase::Connect,
        }
    }

    pub(super) fn candidates(&mut self) -> &mut [Candidate] {
        match &mut self.progress {
            Progress::Racing { candidates, .. } => candidates,
            Progress::Resolving { .. } => &mut [],
        }
    }

    pub(super) fn candidate(&mut self, token: Token) -> Option<&mut Candidate> {
        self.candidates().iter_mut().find(|candidate| candidate.token == token)
    }

    /// Takes the address to try now, if one is due.
    pub(super) fn start(&mut self, now: Time) -> Option<Address> {
        match &mut self.progress {
            Progress::Racing { race, candidates } => race.start(now, candidates.len()),
            Progress::Resolving { .. } => None,
        }
    }

    pub(super) fn started(&mut self, candidate: Candidate) {
        if let Progress::Racing { candidates, .. } = &mut self.progress {
            candidates.push(candidate);
        }
    }

    /// Takes a socket out of the race.
    pub(super) fn take(&mut self, token: Token) -> Option<Candidate> {
        let Progress::Racing { candidates, .. } = &mut self.progress else { return None };
        let place = candidates.iter().position(|candidate| candidate.token == token)?;
        Some(candidates.remove(place))
    }

    /// Takes any socket out of the race.
    pub(super) fn take_any(&mut self) -> Option<Candidate> {
        let token = self.candidates().first()?.token;
        self.take(token)
    }

    /// The token of a socket whose time has run out.
    pub(super) fn overdue(&mut self, now: Time) -> Option<Token> {
        let timeout = self.options.attempt_timeout;
        self.candidates()
            .iter()
            .find(|candidate| candidate.began + timeout <= now)
            .map(|candidate| candidate.token)
    }

    /// The token of a socket that is connected, found by asking the system and not the host.
    pub(super) fn connected(&mut self) -> Option<Token> {
        let is_connected =
            |candidate: &&mut Candidate| matches!(socket::connected(candidate.socket.as_fd()), Some(Ok(())));
        self.candidates().iter_mut().find(is_connected).map(|candidate| candidate.token)
    }

    /// Records the failure of an address.
    pub(super) fn note(&mut self, now: Time, address: Address, began: Time, error: io::Error) {
        self.failed.push(FailedAttempt { address, error, took: now - began });
        if let Progress::Racing { race, .. } = &mut self.progress {
            race.failed(now);
        }
    }

    /// The cause that ends the attempt, if it cannot go on.
    pub(super) fn verdict(&self, now: Time) -> Option<ConnectCause> {
        if self.deadline <= now {
            return Some(ConnectCause::TimedOut { phase: self.phase() });
        }
        match &self.progress {
            Progress::Resolving { give_up, .. } if *give_up <= now => {
                Some(ConnectCause::Resolve(super::resolver::ResolveError::TimedOut))
            }
            Progress::Racing { race, candidates } if race.waiting() == 0 && candidates.is_empty() => {
                Some(ConnectCause::Failed)
            }
            Progress::Resolving { .. } | Progress::Racing { .. } => None,
        }
    }

    /// The next time at which something is due.
    pub(super) fn next_timeout(&self) -> Time {
        let next = match &self.progress {
            Progress::Resolving { give_up, .. } => Some(*give_up),
            Progress::Racing { race, candidates } => {
                let timeout = self.options.attempt_timeout;
                let overdue = candidates.iter().map(|candidate| candidate.began + timeout).min();
                [race.next_start(candidates.len()), overdue].into_iter().flatten().min()
            }
        };
        next.map_or(self.deadline, |next| next.min(self.deadline))
    }

    /// The state and the error that the application receives when the attempt fails.
    pub(super) fn into_error(self, cause: ConnectCause) -> (S, ConnectError) {
        (self.state, ConnectError { target: self.target, cause, attempts: self.failed })
    }

    /// The state of the attempt, and its origin, once a socket is connected.
    pub(super) fn into_connected(self) -> (S, Origin) {
        (self.state, Origin { target: self.target, attempts: self.failed })
    }
}
