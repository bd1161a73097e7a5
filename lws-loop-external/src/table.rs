//! The connection table: slots with generations, in chunks that never move, and the names of what is or will be in them.

use crate::slot::Slot;
use crate::sys;
use crate::token::{ConnectionId, GENERATION_MASK};
use std::collections::VecDeque;

/// The number of slots in a chunk: large enough to make allocations rare, small enough that a nearly empty chunk
/// wastes little.
const CHUNK: usize = 64;

/// Slots by index. A slot never moves, so growing costs no copy and no spike.
pub(crate) struct Table<S> {
    chunks: Vec<Box<[Option<Slot<S>>]>>,
}

impl<S> Table<S> {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    /// One more than the highest index there can be.
    pub(crate) fn end(&self) -> u32 {
        // Indices come from `Ids`, which are a u32.
        (self.chunks.len() * CHUNK) as u32
    }

    #[inline]
    pub(crate) fn at(&mut self, index: u32) -> Option<&mut Slot<S>> {
        self.chunks.get_mut(index as usize / CHUNK)?[index as usize % CHUNK].as_mut()
    }

    #[inline]
    pub(crate) fn get(&mut self, id: ConnectionId) -> Option<&mut Slot<S>> {
        self.at(id.index).filter(|slot| slot.generation == id.generation)
    }

    /// Has the processor bring a slot into its caches, as it is about to be used.
    #[inline]
    pub(crate) fn prefetch(&self, id: ConnectionId) {
        if let Some(chunk) = self.chunks.get(id.index as usize / CHUNK) {
            sys::prefetch(&chunk[id.index as usize % CHUNK]);
        }
    }

    pub(crate) fn peek(&self, id: ConnectionId) -> Option<&Slot<S>> {
        let slot = self.chunks.get(id.index as usize / CHUNK)?[id.index as usize % CHUNK].as_ref();
        slot.filter(|slot| slot.generation == id.generation)
    }

    pub(crate) fn insert(&mut self, id: ConnectionId, slot: Slot<S>) {
        let (chunk, place) = (id.index as usize / CHUNK, id.index as usize % CHUNK);
        while self.chunks.len() <= chunk {
            self.chunks.push((0..CHUNK).map(|_| None).collect());
        }
        self.chunks[chunk][place] = Some(slot);
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<Slot<S>> {
        self.get(id)?;
        self.chunks[id.index as usize / CHUNK][id.index as usize % CHUNK].take()
    }
}

/// The indices that are in use. They are kept apart from the table, so that a handler that borrows a slot can
/// allocate another.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    states: Vec<IdState>,
    /// Free indices, in the order in which they became free. The oldest is reused first, so that generations of a
    /// single index advance slowly and a stale name stays invalid for as long as possible.
    free: VecDeque<u32>,
}

/// The state of one index.
#[derive(Clone, Copy, Debug)]
struct IdState {
    generation: u32,
    woken: bool,
}

impl Ids {
    /// Allocates an index, and returns a new name for it.
    pub(crate) fn allocate(&mut self) -> ConnectionId {
        let index = self.free.pop_front().unwrap_or_else(|| {
            self.states.push(IdState { generation: 0, woken: false });
            // The limit of open files is below the range of an index.
            (self.states.len() - 1) as u32
        });
        ConnectionId { index, generation: self.states[index as usize].generation }
    }

    /// Frees an index. Its next name has another generation.
    pub(crate) fn release(&mut self, id: ConnectionId) {
        debug_assert!(self.is_live(id), "a name is given back once");
        let state = &mut self.states[id.index as usize];
        state.generation = state.generation.wrapping_add(1) & GENERATION_MASK;
        state.woken = false;
        self.free.push_back(id.index);
        debug_assert!(self.free.len() <= self.states.len());
    }

    fn state(&mut self, id: ConnectionId) -> Option<&mut IdState> {
        self.states.get_mut(id.index as usize).filter(|state| state.generation == id.generation)
    }

    /// Whether a name is that of an entry, or of a connection that is being made.
    pub(crate) fn is_live(&mut self, id: ConnectionId) -> bool {
        self.state(id).is_some()
    }

    /// Marks a connection as to be woken. Returns false if it is marked already, or has ended.
    pub(crate) fn wake(&mut self, id: ConnectionId) -> bool {
        self.state(id).is_some_and(|state| !std::mem::replace(&mut state.woken, true))
    }

    /// Whether a connection is marked as to be woken.
    pub(crate) fn is_woken(&mut self, id: ConnectionId) -> bool {
        self.state(id).is_some_and(|state| state.woken)
    }

    /// Clears the mark, as the connection is being woken. Returns false if it was not marked.
    pub(crate) fn awake(&mut self, id: ConnectionId) -> bool {
        self.state(id).is_some_and(|state| std::mem::take(&mut state.woken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_that_has_been_free_for_longest_is_used_first() {
        let mut ids = Ids::default();
        let taken: Vec<_> = (0..4).map(|_| ids.allocate()).collect();
        for free in [2, 0, 3] {
            ids.release(taken[free]);
        }
        let again = [ids.allocate(), ids.allocate()].map(|id| id.index());
        assert_eq!(again, [2, 0]);
        ids.release(taken[1]);
        let again = [ids.allocate(), ids.allocate(), ids.allocate()].map(|id| id.index());
        assert_eq!(again, [3, 1, 4]);
    }

    #[test]
    fn a_place_that_is_used_again_has_another_name() {
        let mut ids = Ids::default();
        let first = ids.allocate();
        let second = ids.allocate();
        assert_ne!(first, second);
        assert!(ids.wake(first) && !ids.wake(first));
        ids.release(first);
        assert!(!ids.is_live(first) && ids.is_live(second));
        let third = ids.allocate();
        assert_eq!(third.index(), first.index());
        assert_ne!(third, first);
        assert!(!ids.wake(first), "the old name finds nothing");
        assert!(ids.wake(third), "and left nothing behind");
        assert!(ids.is_woken(third) && ids.awake(third) && !ids.awake(third));
        assert!(ids.wake(third));
    }
}
