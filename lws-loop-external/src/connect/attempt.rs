//! One outgoing connection that is being made: what it wants, how far it is, and the sockets that race for it.

use super::error::{ConnectCause, ConnectError, ConnectPhase, FailedAttempt, Origin};
use super::race::{Pace, Race};
use super::resolver::Lookup;
use super::target::Target;
use crate::address::Address;
use crate::net::Owned;
use crate::options::ConnectOptions;
use crate::registration::Registration;
use crate::service::Token;
use crate::socket;
use crate::table::Flags;
use crate::token::ConnectionId;
use lws_proto::{Config, Time};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

/// An outgoing connection that is being made.
pub(crate) struct Attempt<S> {
    pub(crate) id: ConnectionId,
    pub(super) target: Target,
    pub(super) config: Arc<Config>,
    pub(super) options: ConnectOptions,
    pub(super) state: S,
    /// When it is given up, however far it is.
    pub(super) deadline: Time,
    pub(super) stage: Stage,
    failed: Vec<FailedAttempt>,
}

pub(super) enum Stage {
    /// The name's addresses are not known yet. `lookup` is empty until somebody was asked.
    Resolving { lookup: Option<Lookup>, give_up: Time },
    /// Sockets are being connected.
    Racing { race: Race, racers: Vec<Racer> },
}

/// One socket of a race.
pub(super) struct Racer {
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
        let stage = Stage::Resolving { lookup: None, give_up: now + options.resolve_timeout };
        Self { id, target, config, options, state, deadline, stage, failed: Vec::new() }
    }

    /// Lets the sockets of these addresses race.
    pub(super) fn race(&mut self, now: Time, addresses: Vec<Address>) {
        let pace = Pace { stagger: self.options.stagger, racing_max: self.options.racing_max };
        self.stage = Stage::Racing { race: Race::new(now, addresses, pace), racers: Vec::new() };
    }

    /// Whether the next address is the only one there is: its socket can have the name of the connection.
    pub(super) fn is_sole_start(&self) -> bool {
        match &self.stage {
            Stage::Racing { race, racers } => {
                race.waiting() == 1 && racers.is_empty() && self.failed.is_empty()
            }
            Stage::Resolving { .. } => false,
        }
    }

    pub(super) fn phase(&self) -> ConnectPhase {
        match self.stage {
            Stage::Resolving { .. } => ConnectPhase::Resolve,
            Stage::Racing { .. } => ConnectPhase::Connect,
        }
    }

    pub(super) fn racers(&mut self) -> &mut [Racer] {
        match &mut self.stage {
            Stage::Racing { racers, .. } => racers,
            Stage::Resolving { .. } => &mut [],
        }
    }

    pub(super) fn racer(&mut self, token: Token) -> Option<&mut Racer> {
        self.racers().iter_mut().find(|racer| racer.token == token)
    }

    /// The address to try now.
    pub(super) fn start(&mut self, now: Time) -> Option<Address> {
        match &mut self.stage {
            Stage::Racing { race, racers } => race.start(now, racers.len()),
            Stage::Resolving { .. } => None,
        }
    }

    pub(super) fn started(&mut self, racer: Racer) {
        if let Stage::Racing { racers, .. } = &mut self.stage {
            racers.push(racer);
        }
    }

    /// Takes a socket out of the race.
    pub(super) fn take(&mut self, token: Token) -> Option<Racer> {
        let Stage::Racing { racers, .. } = &mut self.stage else { return None };
        let place = racers.iter().position(|racer| racer.token == token)?;
        Some(racers.remove(place))
    }

    /// Takes any socket out of the race.
    pub(super) fn take_any(&mut self) -> Option<Racer> {
        let token = self.racers().first()?.token;
        self.take(token)
    }

    /// The name of a socket whose time is over.
    pub(super) fn overdue(&mut self, now: Time) -> Option<Token> {
        let timeout = self.options.attempt_timeout;
        self.racers().iter().find(|racer| racer.began + timeout <= now).map(|racer| racer.token)
    }

    /// A socket that is connected, whatever its host has reported.
    pub(super) fn connected(&mut self) -> Option<Token> {
        let is_connected =
            |racer: &&mut Racer| matches!(socket::connected(racer.socket.as_fd()), Some(Ok(())));
        self.racers().iter_mut().find(is_connected).map(|racer| racer.token)
    }

    /// Notes that an address was tried in vain.
    pub(super) fn note(&mut self, now: Time, address: Address, began: Time, error: io::Error) {
        self.failed.push(FailedAttempt { address, error, took: now - began });
        if let Stage::Racing { race, .. } = &mut self.stage {
            race.failed(now);
        }
    }

    /// Why it cannot go on, if it cannot.
    pub(super) fn verdict(&self, now: Time) -> Option<ConnectCause> {
        if self.deadline <= now {
            return Some(ConnectCause::TimedOut { phase: self.phase() });
        }
        match &self.stage {
            Stage::Resolving { give_up, .. } if *give_up <= now => {
                Some(ConnectCause::Resolve(super::resolver::ResolveError::TimedOut))
            }
            Stage::Racing { race, racers } if race.waiting() == 0 && racers.is_empty() => {
                Some(ConnectCause::Failed)
            }
            Stage::Resolving { .. } | Stage::Racing { .. } => None,
        }
    }

    /// When it is to be looked at again.
    pub(super) fn next_timeout(&self) -> Time {
        let next = match &self.stage {
            Stage::Resolving { give_up, .. } => Some(*give_up),
            Stage::Racing { race, racers } => {
                let timeout = self.options.attempt_timeout;
                let overdue = racers.iter().map(|racer| racer.began + timeout).min();
                [race.next_start(racers.len()), overdue].into_iter().flatten().min()
            }
        };
        next.map_or(self.deadline, |next| next.min(self.deadline))
    }

    /// What the application is told of its end.
    pub(super) fn into_error(self, cause: ConnectCause) -> (S, ConnectError) {
        (self.state, ConnectError { target: self.target, cause, attempts: self.failed })
    }

    /// What is left of it when a socket is connected.
    pub(super) fn into_connected(self) -> (S, Origin) {
        (self.state, Origin { target: self.target, attempts: self.failed })
    }
}
