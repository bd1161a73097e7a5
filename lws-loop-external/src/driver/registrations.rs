//! The registrations of a service's descriptors with its host: announcing, finding, removing.

use super::Driver;
use crate::application::Application;
use crate::registration::Registration;
use crate::service::{Interest, Token};
use crate::slot::Body;
use crate::token::{ConnectionId, ListenerId, TokenKind};
use std::os::fd::{AsRawFd, RawFd};

impl<A: Application> Driver<A> {
    /// Announces every descriptor to a new host.
    pub(super) fn announce(&mut self) {
        let trigger = self.core.trigger;
        let changes = &mut self.core.changes;
        self.core.messages.registration.forget(Token::WAKER, changes);
        for id in self.core.listeners.ids() {
            if let Some(listener) = self.core.listeners.get(id) {
                listener.registration.forget(id.token(), changes);
                listener.update(trigger, id, changes);
            }
        }
        for index in 0..self.table.end() {
            let Some(slot) = self.table.at(index) else { continue };
            let id = ConnectionId { index, generation: slot.generation };
            slot.registration.forget(id.token(), changes);
            if !matches!(slot.body, Body::Ended) {
                slot.registration.want(Interest::BOTH, id.token(), changes);
            }
        }
        self.connects.forget(changes);
    }

    /// Ends a registration that the host does not have, or has no more.
    pub(super) fn let_go(&mut self, token: Token) {
        match token.kind() {
            TokenKind::Connection | TokenKind::Candidate => match self.in_table(token) {
                Some(id) => self.free(id),
                None => {
                    if let Some(id) = self.connects.let_go(token) {
                        self.core.release(id);
                    }
                }
            },
            TokenKind::Listener => {
                let id = ListenerId::of(token);
                self.core.listeners.free(id);
            }
            TokenKind::Waker => {}
        }
        // The host may ask `is_done` before it settles again, and sleep if it gets false.
        if self.has_ended() {
            self.core.messages.close_if_empty();
        }
    }

    /// The entry of the table that a token names, directly or as an alias.
    pub(super) fn in_table(&self, token: Token) -> Option<ConnectionId> {
        self.connects.connection(token).filter(|id| self.table.peek(*id).is_some())
    }

    /// The registration behind a token, and the number of its descriptor.
    pub(super) fn registration(&mut self, token: Token) -> Option<(&mut Registration, RawFd)> {
        match token.kind() {
            TokenKind::Connection | TokenKind::Candidate => {
                if let Some(id) = self.in_table(token) {
                    let slot = self.table.get(id)?;
                    return Some((&mut slot.registration, slot.socket.as_raw_fd()));
                }
                let (registration, socket) = self.connects.registration(token)?;
                Some((registration, socket.as_raw_fd()))
            }
            TokenKind::Listener => {
                let id = ListenerId::of(token);
                let listener = self.core.listeners.get(id)?;
                let fd = listener.fd();
                Some((&mut listener.registration, fd))
            }
            TokenKind::Waker => Some(self.core.messages.registration()),
        }
    }
}
