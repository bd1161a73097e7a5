//! The numbers that a loop keeps for a service: a tag in the eight highest bits, and below it the token or an
//! index.
//!
//! Where numbers have 64 bits, the token itself fits. Where they have fewer, a table gives each token an index.

use crate::service::Token;

/// The position of the tag in a number.
pub(super) const TAG_SHIFT: u32 = usize::BITS - 8;

/// The numbers of one service.
#[derive(Debug)]
pub(super) struct Numbers {
    tag: usize,
    #[cfg(not(target_pointer_width = "64"))]
    table: NumberTable,
}

#[cfg(target_pointer_width = "64")]
impl Numbers {
    pub(super) fn new(tag: u8) -> Self {
        Self { tag: usize::from(tag) }
    }

    /// The number of a token, which is allocated if it has none.
    #[inline]
    pub(super) fn of(&mut self, token: Token) -> usize {
        self.tag << TAG_SHIFT | token.as_u64() as usize
    }

    /// Frees the number of a token that the loop does not have any more.
    #[inline]
    pub(super) fn release(&mut self, _: Token) {}

    /// The token of a number, if its tag is that of this service.
    #[inline]
    pub(super) fn token(&self, number: usize) -> Option<Token> {
        (number >> TAG_SHIFT == self.tag).then(|| Token::from_u64(number as u64))
    }
}

#[cfg(not(target_pointer_width = "64"))]
impl Numbers {
    pub(super) fn new(tag: u8) -> Self {
        Self { tag: usize::from(tag), table: NumberTable::default() }
    }

    pub(super) fn of(&mut self, token: Token) -> usize {
        self.tag << TAG_SHIFT | self.table.of(token)
    }

    pub(super) fn release(&mut self, token: Token) {
        self.table.release(token);
    }

    pub(super) fn token(&self, number: usize) -> Option<Token> {
        if number >> TAG_SHIFT != self.tag {
            return None;
        }
        // A number that was freed becomes a token that every service ignores.
        Some(self.table.token(number & !(usize::MAX << TAG_SHIFT)).unwrap_or(Token::from_u64(u64::MAX)))
    }
}

/// Indices for tokens. There are as many as descriptors, which are fewer than 16 million.
#[cfg(any(test, not(target_pointer_width = "64")))]
#[derive(Debug, Default)]
struct NumberTable {
    tokens: Vec<Option<Token>>,
    numbers: std::collections::HashMap<Token, usize>,
    /// Free indices, reused in the order in which they were freed, so that a stale report meets a new token as late
    /// as possible.
    free: std::collections::VecDeque<usize>,
}

#[cfg(any(test, not(target_pointer_width = "64")))]
impl NumberTable {
    fn of(&mut self, token: Token) -> usize {
        if let Some(number) = self.numbers.get(&token) {
            return *number;
        }
        let number = self.free.pop_front().unwrap_or_else(|| {
            self.tokens.push(None);
            self.tokens.len() - 1
        });
        self.tokens[number] = Some(token);
        self.numbers.insert(token, number);
        number
    }

    fn release(&mut self, token: Token) {
        if let Some(number) = self.numbers.remove(&token) {
            self.tokens[number] = None;
            self.free.push_back(number);
        }
    }

    fn token(&self, number: usize) -> Option<Token> {
        self.tokens.get(number).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_leads_back_to_its_token_and_to_no_other_service() {
        let (mut ours, theirs) = (Numbers::new(3), Numbers::new(4));
        for bits in [0, 1, u64::from(u32::MAX), (1 << Token::BITS) - 1] {
            let token = Token::from_u64(bits);
            let number = ours.of(token);
            assert_eq!((ours.token(number), theirs.token(number)), (Some(token), None));
        }
    }

    #[test]
    fn a_small_number_is_a_tokens_until_it_is_released_and_then_anothers() {
        let token = |bits: u64| Token::from_u64(bits << 40);
        let mut table = NumberTable::default();
        assert_eq!([1, 2, 3, 2].map(|bits| table.of(token(bits))), [0, 1, 2, 1]);
        table.release(token(2));
        table.release(token(2));
        assert_eq!((table.token(1), table.token(2)), (None, Some(token(3))));
        assert_eq!((table.of(token(4)), table.of(token(5))), (1, 3));
        assert_eq!(table.token(1), Some(token(4)));
        assert_eq!(table.token(99), None);
    }
}
