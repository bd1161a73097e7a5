//! Outgoing connections until they are connected: names, races, deadlines.
//!
//! A connection has its [`ConnectionId`] from the beginning, and its place in the connection table only when one of its
//! sockets is connected. Until then it is an [`Attempt`], and its sockets are kept here.

mod attempt;
mod cached;
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
pub use cached::CachedResolver;
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
    /// The attempts, by the index of the connection that they will become.
    attempts: BTreeMap<u32, Box<Attempt<S>>>,
    names: CandidateNames,
    /// Sockets that have lost their race, until the host has let go of them.
    leaving: BTreeMap<Token, Leaving>,
    resolver: Box<dyn Resolver>,
    inbox: Arc<Inbox>,
    /// The notifier that answers of the resolver use. The inbox holds it weakly, so queries that outlive the
    /// service do not keep it alive.
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

    /// Whether a connection is still being made.
    pub(crate) fn is_making(&self, id: ConnectionId) -> bool {
        self.attempts.get(&id.index).is_some_and(|attempt| attempt.id == id)
    }

    /// The connections that are being made.
    pub(crate) fn ids(&self) -> Vec<ConnectionId> {
        self.attempts.values().map(|attempt| attempt.id).collect()
    }

    /// The connection that the socket of this token belongs to or races for.
    fn owner(&self, token: Token) -> Option<ConnectionId> {
        match token.kind() {
            TokenKind::Connection => Some(ConnectionId::of(token)),
            TokenKind::Candidate => self.names.owner(token),
            TokenKind::Listener | TokenKind::Waker => None,
        }
    }

    /// The connection in the table that a token names, directly or as an alias.
    #[inline]
    pub(crate) fn connection(&self, token: Token) -> Option<ConnectionId> {
        match token.kind() {
            TokenKind::Connection => Some(ConnectionId::of(token)),
            TokenKind::Candidate => self.names.connection(token),
            TokenKind::Listener | TokenKind::Waker => None,
        }
    }

    /// Translates a token of the list of changes into the one by which the host knows the descriptor.
    #[inline]
    pub(crate) fn outward(&self, token: Token) -> Token {
        match token.kind() {
            TokenKind::Connection => self.names.outward(ConnectionId::of(token)),
            TokenKind::Candidate | TokenKind::Listener | TokenKind::Waker => token,
        }
    }

    /// Forgets a connection that has left the table.
    #[inline]
    pub(crate) fn gone(&mut self, id: ConnectionId) {
        self.names.gone(id);
    }

    /// The registration of a socket that races, or has lost its race.
    pub(crate) fn registration(&mut self, token: Token) -> Option<(&mut Registration, BorrowedFd<'_>)> {
        if self.leaving.contains_key(&token) {
            let leaving = self.leaving.get_mut(&token)?;
            return Some((&mut leaving.registration, leaving.socket.as_fd()));
        }
        let candidate = self.owner(token).and_then(|id| self.attempt(id))?.candidate(token)?;
        Some((&mut candidate.registration, candidate.socket.as_fd()))
    }

    /// The descriptor of such a socket.
    pub(crate) fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        if let Some(leaving) = self.leaving.get(&token) {
            return Some(leaving.socket.as_fd());
        }
        let attempt = self.attempts.get(&self.owner(token)?.index)?;
        let attempt::Progress::Racing { candidates, .. } = &attempt.progress else { return None };
        candidates.iter().find(|candidate| candidate.token == token).map(|candidate| candidate.socket.as_fd())
    }

    /// Registers every socket again, as another host has taken over.
    pub(crate) fn forget(&mut self, changes: &mut Changes) {
        for (token, leaving) in &mut self.leaving {
            leaving.registration.forget(*token, changes);
        }
        for candidate in self.attempts.values_mut().flat_map(|attempt| attempt.candidates()) {
            candidate.registration.forget(candidate.token, changes);
            candidate.registration.want(Interest::BOTH, candidate.token, changes);
        }
    }

    /// Removes a socket that has lost its race. It is closed when the host has let go of it.
    fn leave(&mut self, candidate: Candidate, changes: &mut Changes) {
        let Candidate { token, socket, mut registration, .. } = candidate;
        registration.remove(token, changes);
        self.leaving.insert(token, Leaving { socket, registration });
    }

    /// Closes a socket that has lost its race, as the host has let go of it. Returns the connection whose token it
    /// had, if that was the connection's own, so that the name can be used again.
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
