//! A queue of waiting streams: by urgency, and round-robin among equals. RFC 9218 §10.

use super::priority::Priority;
use super::slot::Slot;
use alloc::collections::VecDeque;

/// A queue of stream slots. Each is in it at most once, which the caller ensures.
///
/// "If there are several non-incremental responses of the same urgency" they are served one after the other, "in ascending order of
/// the stream ID"; incremental ones share. If both kinds wait they alternate, so that a large response of one kind does
/// not hold up a small one of the other kind. RFC 9218 §10 leaves that to the server.
#[derive(Debug, Default)]
pub(crate) struct Line {
    /// In the order in which they are served.
    waiting: VecDeque<Waiting>,
}

/// One stream in a [`Line`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    priority: Priority,
    id: u32,
    slot: Slot,
}

impl Line {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The place of the stream that is next.
    #[inline]
    pub(crate) fn first(&self) -> Option<Slot> {
        self.waiting.front().map(|entry| entry.slot)
    }

    /// The places of all that wait, in order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.waiting.iter().map(|entry| entry.slot)
    }

    /// Inserts a stream behind all of the same urgency. Non-incremental streams among them are kept in the order of
    /// their identifiers, by swapping positions.
    pub(crate) fn enter(&mut self, slot: Slot, id: u32, priority: Priority) {
        let mut entry = Waiting { priority, id, slot };
        let urgency = priority.urgency;
        let start = self.waiting.partition_point(|other| other.priority.urgency < urgency);
        let end = self.waiting.partition_point(|other| other.priority.urgency <= urgency);
        if !priority.incremental {
            for other in self.waiting.range_mut(start..end) {
                if !other.priority.incremental && other.id > entry.id {
                    core::mem::swap(other, &mut entry);
                }
            }
        }
        self.waiting.insert(end, entry);
        debug_assert!(self.is_in_order());
    }

    /// Whether a stream waits that comes before a stream that would enter now.
    #[inline]
    pub(crate) fn is_ahead_of(&self, id: u32, priority: Priority) -> bool {
        self.waiting.front().is_some_and(|first| first.is_ahead_of(id, priority))
    }

    pub(crate) fn leave(&mut self, slot: Slot) {
        if let Some(place) = self.waiting.iter().position(|entry| entry.slot == slot) {
            self.waiting.remove(place);
        }
    }

    /// Frees unused capacity.
    pub(crate) fn shrink(&mut self) {
        self.waiting.shrink_to_fit();
    }

    /// The invariant: entries are ordered by urgency, non-incremental ones of one urgency by their identifiers, and
    /// none occurs twice.
    fn is_in_order(&self) -> bool {
        let pairs = || self.waiting.iter().zip(self.waiting.iter().skip(1));
        let whole = |urgency: u8| {
            let entries = self.waiting.iter().filter(move |entry| entry.priority.urgency == urgency);
            entries.filter(|entry| !entry.priority.incremental)
        };
        pairs().all(|(one, next)| one.priority.urgency <= next.priority.urgency)
            && (0..8).all(|urgency| whole(urgency).is_sorted_by_key(|entry| entry.id))
            && self.waiting.iter().all(|entry| self.slots().filter(|slot| *slot == entry.slot).count() == 1)
    }
}

impl Waiting {
    fn is_ahead_of(self, id: u32, priority: Priority) -> bool {
        let first = !priority.incremental && !self.priority.incremental && id < self.id;
        self.priority.urgency < priority.urgency || self.priority.urgency == priority.urgency && !first
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    const SHARED: Priority = Priority { urgency: 3, incremental: true };
    const WHOLE: Priority = Priority { urgency: 3, incremental: false };

    fn line(entries: &[(u32, Priority)]) -> Line {
        let mut line = Line::default();
        entries.iter().for_each(|(id, priority)| line.enter(Slot::at(*id as usize), *id, *priority));
        line
    }

    /// Whose turns the next ones are, if each of them wants another one.
    fn turns(mut line: Line, count: usize) -> Vec<u32> {
        let turn = |_| {
            let entry = line.waiting.pop_front()?;
            line.enter(entry.slot, entry.id, entry.priority);
            Some(entry.id)
        };
        (0..count).filter_map(turn).collect()
    }

    #[test]
    fn the_urgent_come_first_and_equals_in_turn() {
        let priority = |urgency, incremental| Priority { urgency, incremental };
        let entries = [
            (1, priority(3, true)),
            (2, priority(0, false)),
            (3, priority(3, false)),
            (4, priority(7, true)),
            (5, priority(3, true)),
        ];
        let mut line = line(&entries);
        assert_eq!(line.first(), Some(Slot::at(2)));
        line.leave(Slot::at(1));
        line.leave(Slot::at(99));
        assert_eq!(line.slots().collect::<Vec<_>>(), [2, 3, 5, 4].map(Slot::at));
    }

    #[test]
    fn those_that_share_take_turns_and_the_others_follow_each_other() {
        assert_eq!(turns(line(&[(1, SHARED), (3, SHARED), (5, SHARED)]), 6), [1, 3, 5, 1, 3, 5]);
        assert_eq!(turns(line(&[(5, WHOLE), (1, WHOLE), (3, WHOLE)]), 4), [1, 1, 1, 1]);
    }

    #[test]
    fn neither_kind_waits_for_the_end_of_the_other() {
        assert_eq!(turns(line(&[(1, WHOLE), (3, SHARED)]), 4), [1, 3, 1, 3]);
        // Those that follow each other have a place each, and the first of them takes them all.
        assert_eq!(turns(line(&[(3, WHOLE), (5, SHARED), (1, WHOLE)]), 6), [1, 5, 1, 1, 5, 1]);
    }

    #[test]
    fn a_newcomer_knows_whether_it_would_have_to_wait() {
        let check = |entries: &[(u32, Priority)], id, priority, expected| {
            assert_eq!(line(entries).is_ahead_of(id, priority), expected, "{entries:?} {id} {priority:?}");
        };
        let urgent = Priority { urgency: 0, ..SHARED };
        check(&[], 1, SHARED, false);
        check(&[(1, SHARED)], 3, SHARED, true);
        check(&[(1, SHARED)], 3, WHOLE, true);
        check(&[(1, SHARED)], 3, urgent, false);
        check(&[(1, urgent)], 3, SHARED, true);
        check(&[(1, WHOLE)], 3, WHOLE, true);
        check(&[(3, WHOLE)], 1, WHOLE, false);
    }
}
