//! Streams that wait for something, the most urgent first and fairly among equals. RFC 9218 §10.

use super::priority::Priority;
use alloc::collections::VecDeque;

/// A queue of streams by their places in the table. Each is in it once at most, which is for the caller to see to.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// In order of urgency.
    waiting: VecDeque<(u8, u32)>,
}

impl Line {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Who is next.
    #[inline]
    pub(crate) fn first(&self) -> Option<u32> {
        self.waiting.front().map(|(_, slot)| *slot)
    }

    /// Behind all that are as urgent, for whoever shares with them; otherwise before.
    pub(crate) fn enter(&mut self, slot: u32, priority: Priority) {
        let urgency = priority.urgency;
        let place = if priority.incremental {
            self.waiting.partition_point(|(other, _)| *other <= urgency)
        } else {
            self.waiting.partition_point(|(other, _)| *other < urgency)
        };
        self.waiting.insert(place, (urgency, slot));
    }

    /// The same, but behind: for whoever has not been served yet.
    pub(crate) fn queue(&mut self, slot: u32, priority: Priority) {
        self.enter(slot, Priority { incremental: true, ..priority });
    }

    pub(crate) fn pop(&mut self) -> Option<u32> {
        self.waiting.pop_front().map(|(_, slot)| slot)
    }

    pub(crate) fn leave(&mut self, slot: u32) {
        if let Some(place) = self.waiting.iter().position(|(_, other)| *other == slot) {
            self.waiting.remove(place);
        }
    }

    /// Gives back room that is not needed.
    pub(crate) fn shrink(&mut self) {
        self.waiting.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn drain(mut line: Line) -> Vec<u32> {
        core::iter::from_fn(|| line.pop()).collect()
    }

    #[test]
    fn the_urgent_come_first_and_equals_in_turn() {
        let mut line = Line::default();
        let priority = |urgency, incremental| Priority { urgency, incremental };
        line.queue(1, priority(3, true));
        line.queue(2, priority(0, false));
        line.queue(3, priority(3, false));
        line.queue(4, priority(7, true));
        line.queue(5, priority(3, true));
        assert_eq!(line.first(), Some(2));
        line.leave(1);
        line.leave(99);
        assert_eq!(drain(line), [2, 3, 5, 4]);
    }

    #[test]
    fn whoever_shares_goes_behind_and_whoever_does_not_stays_in_front() {
        let mut line = Line::default();
        let sharing = Priority { urgency: 3, incremental: true };
        let alone = Priority { urgency: 3, incremental: false };
        line.queue(1, sharing);
        line.queue(2, sharing);
        let first = line.pop();
        assert_eq!(first, Some(1));
        line.enter(1, sharing);
        assert_eq!(drain(line), [2, 1]);
        let mut line = Line::default();
        line.queue(1, alone);
        line.queue(2, alone);
        assert_eq!(line.pop(), Some(1));
        line.enter(1, alone);
        assert_eq!(drain(line), [1, 2]);
    }
}
