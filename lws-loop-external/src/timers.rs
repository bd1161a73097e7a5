//! The deadlines of connections: at most one each, in a heap with four children per node.
//!
//! Owners use it lazily: when a deadline moves back the timer stays as it is, and when it fires, or another does, the owner
//! sets it again. Knows no connections.

use lws_proto::Time;

/// Deadlines of small indices.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: Vec<TimerEntry>,
    /// The position of each index in the heap.
    positions: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct TimerEntry {
    at: Time,
    index: u32,
}

/// The position of an index that has no deadline.
const ABSENT: u32 = u32::MAX;
const CHILDREN: usize = 4;

impl Timers {
    /// Sets the deadline of `index`, which replaces its last one.
    pub(crate) fn set(&mut self, index: u32, at: Time) {
        let place = index as usize;
        if place >= self.positions.len() {
            self.positions.resize(place + 1, ABSENT);
        }
        let position = self.positions[place];
        if position == ABSENT {
            self.heap.push(TimerEntry { at, index });
            self.rise(self.heap.len() - 1);
            return;
        }
        let position = position as usize;
        let before = self.heap[position].at;
        self.heap[position].at = at;
        if at < before {
            self.rise(position);
        } else {
            self.sink(position);
        }
        debug_assert_eq!(self.heap[self.positions[place] as usize].index, index);
    }

    /// Forgets the deadline of `index`.
    pub(crate) fn cancel(&mut self, index: u32) {
        let Some(&position) = self.positions.get(index as usize) else { return };
        if position != ABSENT {
            self.remove(position as usize);
        }
    }

    /// The earliest deadline.
    #[inline]
    pub(crate) fn next(&self) -> Option<Time> {
        self.heap.first().map(|entry| entry.at)
    }

    /// The index whose deadline is the earliest.
    pub(crate) fn next_index(&self) -> Option<u32> {
        self.heap.first().map(|entry| entry.index)
    }

    /// Removes the earliest deadline if it is not after `now`, and returns its index.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<u32> {
        let entry = self.heap.first().filter(|entry| entry.at <= now)?;
        let index = entry.index;
        self.remove(0);
        Some(index)
    }

    fn remove(&mut self, position: usize) {
        let removed = self.heap.swap_remove(position);
        self.positions[removed.index as usize] = ABSENT;
        if position < self.heap.len() {
            self.sink(position);
            self.rise(position);
        }
        debug_assert_eq!(self.positions[removed.index as usize], ABSENT);
        debug_assert!(self.heap.len() <= self.positions.len(), "an index is in the heap twice");
    }

    /// Moves the entry at `position` towards the front until it is not earlier than its parent.
    fn rise(&mut self, mut position: usize) {
        let entry = self.heap[position];
        while position > 0 {
            let parent = (position - 1) / CHILDREN;
            if self.heap[parent].at <= entry.at {
                break;
            }
            self.put(position, self.heap[parent]);
            position = parent;
        }
        self.put(position, entry);
    }

    /// Moves the entry at `position` towards the back until it is not later than its children.
    fn sink(&mut self, mut position: usize) {
        let entry = self.heap[position];
        loop {
            let first = position * CHILDREN + 1;
            let children = first..(first + CHILDREN).min(self.heap.len());
            let Some(child) = children.min_by_key(|&child| self.heap[child].at) else { break };
            if entry.at <= self.heap[child].at {
                break;
            }
            self.put(position, self.heap[child]);
            position = child;
        }
        self.put(position, entry);
    }

    fn put(&mut self, position: usize, entry: TimerEntry) {
        self.heap[position] = entry;
        // An index is a u32, and the heap has each at most once.
        self.positions[entry.index as usize] = position as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Time {
        Time::from_micros(micros)
    }

    #[test]
    fn deadlines_come_in_order_and_only_when_due() {
        let mut timers = Timers::default();
        for (index, micros) in [(0, 50), (1, 10), (2, 40), (3, 20), (4, 30)] {
            timers.set(index, at(micros));
        }
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(25)), Some(1));
        assert_eq!(timers.pop_due(at(25)), Some(3));
        assert_eq!(timers.pop_due(at(25)), None);
        timers.cancel(4);
        timers.cancel(4);
        timers.set(0, at(5));
        assert_eq!(timers.pop_due(at(100)), Some(0));
        timers.set(2, at(200));
        assert_eq!((timers.next(), timers.next_index()), (Some(at(200)), Some(2)));
        assert_eq!(timers.pop_due(at(100)), None);
        assert_eq!(timers.pop_due(at(200)), Some(2));
        assert_eq!((timers.pop_due(at(900)), timers.next()), (None, None));
    }

    #[test]
    fn the_heap_agrees_with_a_sorted_list_under_any_mix_of_operations() {
        let mut timers = Timers::default();
        let mut model = std::collections::BTreeMap::new();
        let mut state = 1_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..20_000 {
            let index = random(97) as u32;
            match random(4) {
                0 => {
                    timers.cancel(index);
                    model.remove(&index);
                }
                1 => {
                    let now = at(random(1_000));
                    let due = timers.pop_due(now);
                    let earliest = model.values().min().copied();
                    assert_eq!(due.is_some(), earliest.is_some_and(|at| at <= now));
                    if let Some(index) = due {
                        assert_eq!(model.remove(&index), earliest);
                    }
                }
                _ => {
                    let moment = at(random(1_000));
                    timers.set(index, moment);
                    model.insert(index, moment);
                }
            }
            assert_eq!(timers.next(), model.values().min().copied());
            assert_eq!(timers.heap.len(), model.len());
        }
    }
}
