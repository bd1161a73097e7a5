//! Outgoing connections until they are connected: names, races, deadlines.
//!
//! A connection has its [`ConnectionId`] from the beginning, and its place in the connection table only when one of its
//! sockets is connected. Until then it is an [`Attempt`], and its sockets are kept here.

mod attempt;
mod candidates;
mod driver;
mod error;
mod race;
mod reconnect;
mod resolver;
mod retry;
mod system;
mod target;

pub(crate) use attempt::Attempt;
pub(crate) use error::Origin;
pub use error::{ConnectCause, ConnectError, ConnectPhase, FailedAttempt};
pub use reconnect::{NextTry, Reconnect};
pub use resolver::{Query, ResolveError, Resolver};
pub use retry::{Backoff, RetryPolicy};
pub use system::SystemResolver;
pub use target::Target;

use crate::net::Owned;
use crate::registration::{Changes, Registration};
use crate::service::{Interest, Token};
use crate::token::{ConnectionId, TokenKind};
use crate::waker::Notify;
use attempt::Candidate;
use candidates::CandidateNames;
use resolver::Inbox;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

/// The outgoing connections of a service that are being made, and the sockets of those that were.
pub(crate) struct Connects<S> {
    /// By the index of the connection that is to be.
    attempts: BTreeMap<u32, Box<Attempt<S>>>,
    names: CandidateNames,
    /// Sockets of races that are over, until the host has let go of them.
    leaving: BTreeMap<Token, Leaving>,
    resolver: Box<dyn Resolver>,
    inbox: Arc<Inbox>,
    /// What answers of the resolver notify. Queries that outlive the service do not keep it alive.
    _notifier: Arc<dyn Notify>,
}

struct Leaving {
    socket: Owned,
    registration: Registration,
}

impl<S> Connects<S> {
    pub(crate) fn new(notifier: Arc<dyn Notify>) -> Self {
        Self {
            attempts: BTreeMap::new(),
            names: CandidateNames::default(),
            leaving: BTreeMap::new(),
            resolver: Box::new(SystemResolver::new()),
            inbox: Arc::new(Inbox::new(&notifier)),
            _notifier: notifier,
        }
    }

    pub(crate) fn set_resolver(&mut self, resolver: Box<dyn Resolver>) {
        self.resolver = resolver;
    }

    /// Whether nothing is being made and every socket has been closed.
    pub(crate) fn is_empty(&self) -> bool {
        self.attempts.is_empty() && self.leaving.is_empty()
    }

    fn attempt(&mut self, id: ConnectionId) -> Option<&mut Attempt<S>> {
        let attempt = self.attempts.get_mut(&id.index)?;
        (attempt.id == id).then_some(attempt)
    }

    /// Whether a connection has no socket that is connected yet.
    pub(crate) fn is_making(&self, id: ConnectionId) -> bool {
        self.attempts.get(&id.index).is_some_and(|attempt| attempt.id == id)
    }

    /// The connections that are being made.
    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        self.attempts.values().map(|attempt| attempt.id).collect()
    }

    /// The connection that has, or is to have, the socket of this name.
    fn owner(&self, token: Token) -> Option<ConnectionId> {
        match token.kind() {
            TokenKind::Connection => Some(ConnectionId::of(token)),
            TokenKind::Candidate => self.names.owner(token),
            TokenKind::Listener | TokenKind::Waker => None,
        }
    }

    /// The connection of the table that a token is the name of, if it is there.
    #[inline]
    pub(crate) fn connection(&self, token: Token) -> Option<ConnectionId> {
        match token.kind() {
            TokenKind::Connection => Some(ConnectionId::of(token)),
            TokenKind::Candidate => self.names.connection(token),
            TokenKind::Listener | TokenKind::Waker => None,
        }
    }

    /// What the host calls the descriptor that is called `token` in the list of changes.
    #[inline]
    pub(crate) fn outward(&self, token: Token) -> Token {
        match token.kind() {
            TokenKind::Connection => self.names.outward(ConnectionId::of(token)),
            TokenKind::Candidate | TokenKind::Listener | TokenKind::Waker => token,
        }
    }

    /// The connection has left the table.
    #[inline]
    pub(crate) fn gone(&mut self, id: ConnectionId) {
        self.names.gone(id);
    }

    /// A socket that is in no connection of the table: one that races, or has.
    pub(crate) fn registration(&mut self, token: Token) -> Option<(&mut Registration, BorrowedFd<'_>)> {
        if self.leaving.contains_key(&token) {
            let leaving = self.leaving.get_mut(&token)?;
            return Some((&mut leaving.registration, leaving.socket.as_fd()));
        }
        let candidate = self.owner(token).and_then(|id| self.attempt(id))?.candidate(token)?;
        Some((&mut candidate.registration, candidate.socket.as_fd()))
    }

    /// Its descriptor.
    pub(crate) fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        if let Some(leaving) = self.leaving.get(&token) {
            return Some(leaving.socket.as_fd());
        }
        let attempt = self.attempts.get(&self.owner(token)?.index)?;
        let attempt::Progress::Racing { candidates, .. } = &attempt.progress else { return None };
        candidates.iter().find(|candidate| candidate.token == token).map(|candidate| candidate.socket.as_fd())
    }

    /// Another host has taken over, which needs every registration again.
    pub(crate) fn forget(&mut self, changes: &mut Changes) {
        for (token, leaving) in &mut self.leaving {
            leaving.registration.forget(*token, changes);
        }
        for candidate in self.attempts.values_mut().flat_map(|attempt| attempt.candidates()) {
            candidate.registration.forget(candidate.token, changes);
            candidate.registration.want(Interest::BOTH, candidate.token, changes);
        }
    }

    /// A socket has lost: it is closed when the host has let go of it.
    fn leave(&mut self, candidate: Candidate, changes: &mut Changes) {
        let Candidate { token, socket, mut registration, .. } = candidate;
        registration.remove(token, changes);
        self.leaving.insert(token, Leaving { socket, registration });
    }

    /// The host has let go of a socket that has lost. It is closed here; whose name it had may be used again.
    pub(crate) fn let_go(&mut self, token: Token) -> Option<ConnectionId> {
        self.leaving.remove(&token)?;
        match token.kind() {
            TokenKind::Connection => Some(ConnectionId::of(token)),
            _ => {
                self.names.release(token);
                None
            }
        }
    }
}
