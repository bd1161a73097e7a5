//! Names of the things that a service owns. Each carries a generation, so that a stale name finds nothing.

use std::fmt;

/// Names one descriptor between a service and its host.
///
/// The eight highest bits are always zero: a host that serves several services may keep its own number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(u64);

/// Bits of an index: 268 million descriptors.
const INDEX_BITS: u32 = 28;
/// Bits of a generation. A name repeats after its index was used 67 million times.
const GENERATION_BITS: u32 = 26;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
/// The mask at which a generation wraps around.
pub(crate) const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

/// The kind of thing that a token names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Connection,
    Listener,
    Waker,
    /// A socket that races, or has raced, for a connection.
    Candidate,
}

impl Token {
    /// The number of low bits that a service may use.
    pub const BITS: u32 = 56;

    /// The token with these bits: for hosts that hand numbers through a loop. Only the low [`BITS`](Self::BITS) count.
    #[must_use]
    #[inline]
    pub const fn from_u64(bits: u64) -> Self {
        Self(bits & ((1 << Self::BITS) - 1))
    }

    /// The bits.
    #[must_use]
    #[inline]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    const fn new(kind: u64, index: u32, generation: u32) -> Self {
        let generation = (generation & GENERATION_MASK) as u64;
        Self(kind << (INDEX_BITS + GENERATION_BITS) | generation << INDEX_BITS | index as u64 & INDEX_MASK)
    }

    pub(crate) const WAKER: Self = Self::new(2, 0, 0);

    /// The name of one of several sockets that race for a connection.
    pub(crate) const fn candidate(index: u32, generation: u32) -> Self {
        Self::new(3, index, generation)
    }

    #[inline]
    pub(crate) fn kind(self) -> TokenKind {
        match self.0 >> (INDEX_BITS + GENERATION_BITS) & 3 {
            0 => TokenKind::Connection,
            1 => TokenKind::Listener,
            2 => TokenKind::Waker,
            _ => TokenKind::Candidate,
        }
    }

    #[inline]
    pub(crate) fn index(self) -> u32 {
        (self.0 & INDEX_MASK) as u32
    }

    #[inline]
    pub(crate) fn generation(self) -> u32 {
        (self.0 >> INDEX_BITS) as u32 & GENERATION_MASK
    }
}

/// Names one connection of a service, for as long as it lives. Another one never has the same name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ConnectionId {
    /// A number from 1 to 255 that spreads work of many connections over time: connections with adjacent indices
    /// get distant numbers.
    pub(crate) fn spread(self) -> u8 {
        // 158 is about 255 divided by the golden ratio, and has no divisor in common with it.
        (self.index.wrapping_add(self.generation) % 255 * 158 % 255) as u8 + 1
    }

    /// A small number that no other connection has at the same time: good as an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.index as usize
    }

    /// Index and generation as one number.
    #[must_use]
    pub fn as_u64(self) -> u64 {
        self.token().as_u64()
    }

    /// The name in a token of its kind.
    #[inline]
    pub(crate) fn of(token: Token) -> Self {
        Self { index: token.index(), generation: token.generation() }
    }

    #[inline]
    pub(crate) fn token(self) -> Token {
        Token::new(0, self.index, self.generation)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionId({}.{})", self.index, self.generation)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// Names one listener of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListenerId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl ListenerId {
    /// The name in a token of its kind.
    #[inline]
    pub(crate) fn of(token: Token) -> Self {
        Self { index: token.index(), generation: token.generation() }
    }

    #[inline]
    pub(crate) fn token(self) -> Token {
        Token::new(1, self.index, self.generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_keeps_kind_index_and_generation_and_leaves_eight_bits_free() {
        let check = |token: Token, kind: TokenKind, index: u32, generation: u32| {
            let token = Token::from_u64(token.as_u64() | 0xff << Token::BITS);
            assert_eq!(token.as_u64() >> Token::BITS, 0);
            assert_eq!((token.kind(), token.index(), token.generation()), (kind, index, generation));
        };
        let index = (1 << INDEX_BITS) - 1;
        for (index, generation) in [(0, 0), (1, 2), (index, GENERATION_MASK)] {
            check(ConnectionId { index, generation }.token(), TokenKind::Connection, index, generation);
            check(ListenerId { index, generation }.token(), TokenKind::Listener, index, generation);
            check(Token::candidate(index, generation), TokenKind::Candidate, index, generation);
        }
        check(Token::WAKER, TokenKind::Waker, 0, 0);
    }
}
