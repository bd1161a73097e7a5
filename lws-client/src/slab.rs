//! A slab whose keys carry a generation, so that a stale key finds nothing.

/// The name of a thing in a [`Slab`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SlabKey {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Things by name.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slab<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, value: T) -> SlabKey {
        self.len += 1;
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, value: None });
            // Everything that a slab of this crate holds has a limit far below.
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.value = Some(value);
        SlabKey { index, generation: slot.generation }
    }

    pub(crate) fn get(&self, key: SlabKey) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        slot.value.as_ref().filter(|_| slot.generation == key.generation)
    }

    pub(crate) fn get_mut(&mut self, key: SlabKey) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        slot.value.as_mut().filter(|_| slot.generation == key.generation)
    }

    pub(crate) fn remove(&mut self, key: SlabKey) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        self.len -= 1;
        Some(value)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = SlabKey> + '_ {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| slot.value.is_some())
            .map(|(index, slot)| SlabKey { index: index as u32, generation: slot.generation })
    }
}

/// What belongs to things of a [`Slab`] and is kept elsewhere, by their names.
#[derive(Debug)]
pub(crate) struct SlabMap<T> {
    /// By index, with the generation.
    values: Vec<Option<(u32, T)>>,
    len: usize,
}

impl<T> Default for SlabMap<T> {
    fn default() -> Self {
        Self { values: Vec::new(), len: 0 }
    }
}

impl<T> SlabMap<T> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Keeps a value, in place of the one before. What belonged to something of an earlier generation is dropped.
    pub(crate) fn insert(&mut self, key: SlabKey, value: T) {
        let index = key.index as usize;
        if self.values.len() <= index {
            self.values.resize_with(index + 1, || None);
        }
        let before = self.values[index].replace((key.generation, value));
        self.len += usize::from(before.is_none());
    }

    pub(crate) fn get(&self, key: SlabKey) -> Option<&T> {
        let (generation, value) = self.values.get(key.index as usize)?.as_ref()?;
        (*generation == key.generation).then_some(value)
    }

    pub(crate) fn get_mut(&mut self, key: SlabKey) -> Option<&mut T> {
        let (generation, value) = self.values.get_mut(key.index as usize)?.as_mut()?;
        (*generation == key.generation).then_some(value)
    }

    pub(crate) fn remove(&mut self, key: SlabKey) -> Option<T> {
        let slot = self.values.get_mut(key.index as usize)?;
        let (_, value) = slot.take_if(|(generation, _)| *generation == key.generation)?;
        self.len -= 1;
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_something_that_has_gone_finds_nothing() {
        let mut slab = Slab::default();
        let (a, b) = (slab.insert('a'), slab.insert('b'));
        assert_eq!((slab.remove(a), slab.remove(a)), (Some('a'), None));
        let c = slab.insert('c');
        assert_eq!((slab.get(a), slab.get(b), slab.get(c)), (None, Some(&'b'), Some(&'c')));
        assert_eq!(slab.keys().collect::<Vec<_>>(), [c, b]);
        assert_eq!(slab.len(), 2);
    }

    #[test]
    fn what_belongs_to_something_is_found_by_its_name_alone() {
        let (mut slab, mut map) = (Slab::default(), SlabMap::default());
        let a = slab.insert(());
        map.insert(a, 1);
        map.insert(a, 2);
        assert_eq!((map.get(a), map.len()), (Some(&2), 1));
        slab.remove(a);
        let b = slab.insert(());
        assert_eq!(map.get(b), None, "of an earlier generation");
        assert_eq!(map.remove(b), None);
        map.insert(b, 3);
        assert_eq!(map.get(a), None);
        assert_eq!([map.remove(b), map.remove(b)], [Some(3), None]);
        assert_eq!(map.len(), 0);
    }
}
