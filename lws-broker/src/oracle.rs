//! The oracle of tests: what a subscriber of a topic may receive.
//!
//! Every subscriber's sequence is a subsequence of the topic's, without repeats, and each hole is covered by a gap.

use std::collections::HashMap;
use std::fmt;

/// What one subscriber of one topic has received, judged by numbers that each publisher of the topic counts from 1 on.
///
/// One publisher's messages have an order in every broker; those of two have one only where the broker says so, and then the test
/// has the broker count: one publisher, whose numbers are the positions.
#[derive(Debug, Default)]
pub struct Oracle {
    last: HashMap<u64, u64>,
    /// Publishers of whom something may be missing since their last message.
    covered: HashMap<u64, bool>,
    subscribed: bool,
    gaps: u64,
    messages: u64,
}

/// What must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wrong {
    /// A message before the subscription was confirmed.
    Early,
    /// A message that was received before, or after a later one of its publisher.
    Repeated {
        /// Its publisher.
        publisher: u64,
        /// Its number.
        number: u64,
        /// The last number before it.
        last: u64,
    },
    /// Messages are missing, and no gap says so.
    Hole {
        /// Their publisher.
        publisher: u64,
        /// The first that is missing.
        from: u64,
        /// The first that is there again, or one past the last.
        to: u64,
    },
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Early => f.write_str("a message came before the subscription was confirmed"),
            Self::Repeated { publisher, number, last } => {
                write!(f, "message {number} of publisher {publisher} came after {last}")
            }
            Self::Hole { publisher, from, to } => {
                write!(f, "messages {from} to {to} of publisher {publisher} are missing without a gap")
            }
        }
    }
}

impl std::error::Error for Wrong {}

impl Oracle {
    /// The subscription is confirmed, at the first time or again. `published` is the number of the last message that each publisher had
    /// published by then, as far as the test knows it: of the first time only, and what is not known is taken from the first message.
    pub fn subscribed(&mut self, published: &[(u64, u64)]) {
        if !self.subscribed {
            self.subscribed = true;
            self.last.extend(published.iter().copied());
        }
    }

    /// A gap was reported.
    pub fn gap(&mut self) {
        self.gaps += 1;
        let publishers: Vec<_> = self.last.keys().copied().collect();
        self.covered.extend(publishers.into_iter().map(|publisher| (publisher, true)));
    }

    /// A message was received.
    ///
    /// # Errors
    /// It must not come here.
    pub fn message(&mut self, publisher: u64, number: u64) -> Result<(), Wrong> {
        if !self.subscribed {
            return Err(Wrong::Early);
        }
        self.messages += 1;
        let covered = self.covered.remove(&publisher).unwrap_or(false);
        match self.last.insert(publisher, number) {
            Some(last) if number <= last => Err(Wrong::Repeated { publisher, number, last }),
            Some(last) if number > last + 1 && !covered => {
                Err(Wrong::Hole { publisher, from: last + 1, to: number })
            }
            _ => Ok(()),
        }
    }

    /// Nothing more is on its way: `published` is the number of the last message of each publisher.
    ///
    /// # Errors
    /// Messages at the end are missing without a gap.
    pub fn end(&self, published: &[(u64, u64)]) -> Result<(), Wrong> {
        for (publisher, count) in published {
            let covered = self.covered.get(publisher).copied().unwrap_or(false);
            if let Some(last) = self.last.get(publisher)
                && last < count
                && !covered
            {
                return Err(Wrong::Hole { publisher: *publisher, from: last + 1, to: count + 1 });
            }
        }
        Ok(())
    }

    /// Gaps that were reported.
    #[must_use]
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Messages that were received.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_needs_a_gap_and_a_repeat_has_no_excuse() {
        let check = |numbers: &[Option<u64>], end: u64, expected: Result<(), Wrong>| {
            let mut oracle = Oracle::default();
            oracle.subscribed(&[(7, 0)]);
            let judged = numbers.iter().try_for_each(|number| match number {
                Some(number) => oracle.message(7, *number),
                None => {
                    oracle.gap();
                    Ok(())
                }
            });
            assert_eq!(judged.and_then(|()| oracle.end(&[(7, end)])), expected, "{numbers:?}");
        };
        let hole = |from, to| Err(Wrong::Hole { publisher: 7, from, to });
        check(&[Some(1), Some(2)], 2, Ok(()));
        check(&[Some(1), None, Some(4)], 4, Ok(()));
        check(&[Some(1), None, Some(2)], 2, Ok(()));
        check(&[Some(1), None], 9, Ok(()));
        check(&[Some(2)], 2, hole(1, 2));
        check(&[Some(1), Some(3)], 3, hole(2, 3));
        check(&[Some(1), None, Some(3), Some(5)], 5, hole(4, 5));
        check(&[Some(1)], 2, hole(2, 3));
        check(&[Some(1), None, Some(1)], 1, Err(Wrong::Repeated { publisher: 7, number: 1, last: 1 }));
        assert_eq!(Oracle::default().message(1, 1), Err(Wrong::Early));
    }
}
