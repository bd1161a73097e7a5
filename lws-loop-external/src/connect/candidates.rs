//! Tokens of sockets that race for one connection. The winner keeps the token under which the host knows its
//! descriptor, which becomes an alias of the connection.

use crate::service::Token;
use crate::token::{ConnectionId, GENERATION_MASK};
use std::collections::{HashMap, VecDeque};

/// The candidate tokens, and the connection that each socket races for.
#[derive(Debug, Default)]
pub(super) struct CandidateNames {
    names: Vec<CandidateName>,
    /// Free indices, reused in the order in which they became free.
    free: VecDeque<u32>,
    /// Connections whose descriptor the host knows by a candidate's token.
    aliases: HashMap<ConnectionId, Token>,
}

#[derive(Debug)]
struct CandidateName {
    generation: u32,
    owner: Option<ConnectionId>,
}

impl CandidateNames {
    /// Allocates the token of one more socket of `owner`.
    pub(super) fn allocate(&mut self, owner: ConnectionId) -> Token {
        let index = self.free.pop_front().unwrap_or_else(|| {
            self.names.push(CandidateName { generation: 0, owner: None });
            // There is at most one index for each open descriptor, which fits a u32.
            (self.names.len() - 1) as u32
        });
        let name = &mut self.names[index as usize];
        name.owner = Some(owner);
        Token::candidate(index, name.generation)
    }

    /// Frees a token.
    pub(super) fn release(&mut self, token: Token) {
        if self.owner(token).is_some() {
            let name = &mut self.names[token.index() as usize];
            name.owner = None;
            name.generation = name.generation.wrapping_add(1) & GENERATION_MASK;
            self.free.push_back(token.index());
        }
        debug_assert!(self.free.len() <= self.names.len());
    }

    /// The connection that the socket of a token races for.
    pub(super) fn owner(&self, token: Token) -> Option<ConnectionId> {
        let name = self.names.get(token.index() as usize)?;
        name.owner.filter(|_| name.generation == token.generation())
    }

    /// Ends the race: `token` becomes an alias of the connection.
    pub(super) fn won(&mut self, id: ConnectionId, token: Token) {
        self.aliases.insert(id, token);
    }

    /// The connection that `token` is an alias of.
    pub(super) fn connection(&self, token: Token) -> Option<ConnectionId> {
        self.owner(token).filter(|owner| self.aliases.get(owner) == Some(&token))
    }

    /// The token by which the host knows the descriptor of a connection.
    #[inline]
    pub(super) fn outward(&self, id: ConnectionId) -> Token {
        if self.aliases.is_empty() { id.token() } else { *self.aliases.get(&id).unwrap_or(&id.token()) }
    }

    /// Removes the alias of a connection that has ended.
    pub(super) fn gone(&mut self, id: ConnectionId) {
        if !self.aliases.is_empty()
            && let Some(token) = self.aliases.remove(&id)
        {
            self.release(token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_winner_stays_until_its_connection_has_gone() {
        let mut names = CandidateNames::default();
        let (id, other) =
            (ConnectionId { index: 7, generation: 1 }, ConnectionId { index: 8, generation: 1 });
        let (first, second) = (names.allocate(id), names.allocate(id));
        assert_ne!(first, second);
        assert_eq!((names.owner(first), names.connection(first)), (Some(id), None));
        names.won(id, second);
        names.release(first);
        assert_eq!((names.owner(first), names.connection(second)), (None, Some(id)));
        assert_eq!((names.outward(id), names.outward(other)), (second, other.token()));
        let third = names.allocate(other);
        assert_eq!(third.index(), first.index());
        assert_ne!(third, first);
        names.gone(id);
        names.gone(other);
        assert_eq!((names.connection(second), names.outward(id)), (None, id.token()));
        assert_eq!(names.owner(third), Some(other));
    }
}
