//! The dynamic table, which decoders and encoders keep alike. RFC 7541 §2.3.2 and §4.
//!
//! All names and values are in one arena, oldest first. The octets of evicted entries stay at its front until the arena
//! would have to grow, and are overwritten then. So the arena never exceeds twice the largest size of the table.

use super::FIELD_OVERHEAD;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// An entry, with the data that the owner of the table attaches to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<T> {
    /// Where its name begins, its value right behind: in all octets that ever came into the table, modulo 2³².
    start: u32,
    pub(super) name_len: u32,
    pub(super) value_len: u32,
    pub(super) tag: T,
}

impl<T> Entry<T> {
    #[inline]
    fn octets_len(&self) -> usize {
        self.name_len as usize + self.value_len as usize
    }
}

/// A dynamic table. Entries are counted from the newest, which is 0.
#[derive(Debug)]
pub(super) struct DynamicTable<T> {
    octets: Vec<u8>,
    /// Where `octets` begin, in all octets that ever came into the table.
    base: u32,
    /// Oldest first.
    entries: VecDeque<Entry<T>>,
    /// RFC 7541 §4.1.
    size: usize,
    size_max: usize,
}

impl<T> DynamicTable<T> {
    pub(super) fn new(size_max: usize) -> Self {
        Self { octets: Vec::new(), base: 0, entries: VecDeque::new(), size: 0, size_max }
    }

    /// The bytes of memory that it holds.
    pub(super) fn held(&self) -> usize {
        self.octets.capacity() + self.entries.capacity() * size_of::<Entry<T>>()
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn size_max(&self) -> usize {
        self.size_max
    }

    /// The entry so many behind the newest.
    #[inline]
    pub(super) fn get(&self, age: usize) -> Option<&Entry<T>> {
        self.entries.get(self.entries.len().wrapping_sub(1 + age))
    }

    /// The name and value of an entry, one behind the other.
    #[inline]
    pub(super) fn octets(&self, entry: &Entry<T>) -> &[u8] {
        let start = entry.start.wrapping_sub(self.base) as usize;
        self.octets.get(start..start + entry.octets_len()).unwrap_or_default()
    }

    #[inline]
    pub(super) fn name(&self, entry: &Entry<T>) -> &[u8] {
        self.octets(entry).get(..entry.name_len as usize).unwrap_or_default()
    }

    #[inline]
    pub(super) fn value(&self, entry: &Entry<T>) -> &[u8] {
        self.octets(entry).get(entry.name_len as usize..).unwrap_or_default()
    }

    /// RFC 7541 §4.3.
    pub(super) fn set_size_max(&mut self, size_max: usize) {
        self.size_max = size_max;
        self.evict_for(0);
        if size_max == 0 {
            self.octets = Vec::new();
            self.entries = VecDeque::new();
            self.base = 0;
        }
    }

    /// Adds an entry of `name` and `value` and evicts older ones for it. One that is larger than the table empties it,
    /// and is not added: then the answer is no. RFC 7541 §4.4.
    #[inline]
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8], tag: T) -> bool {
        let len = name.len() + value.len();
        self.evict_for(len + FIELD_OVERHEAD);
        if len + FIELD_OVERHEAD > self.size_max {
            return false;
        }
        if self.octets.len() + len > self.octets.capacity() {
            self.make_room(len);
        }
        let start = self.base.wrapping_add(self.octets.len() as u32);
        self.octets.extend_from_slice(name);
        self.octets.extend_from_slice(value);
        self.size += len + FIELD_OVERHEAD;
        self.entries.push_back(Entry {
            start,
            name_len: name.len() as u32,
            value_len: value.len() as u32,
            tag,
        });
        true
    }

    /// Evicts entries until `size` more octets fit, or the table is empty.
    fn evict_for(&mut self, size: usize) {
        while self.size + size > self.size_max
            && let Some(entry) = self.entries.pop_front()
        {
            self.size -= entry.octets_len() + FIELD_OVERHEAD;
        }
    }

    /// Moves the live entries to the front of the arena, and moves them to a larger one if they would fill more
    /// than half of it with the new entry.
    #[cold]
    fn make_room(&mut self, len: usize) {
        let end = self.octets.len();
        let start = self.entries.front().map_or(end, |oldest| oldest.start.wrapping_sub(self.base) as usize);
        if (end - start + len) * 2 <= self.octets.capacity() {
            self.octets.drain(..start);
            self.base = self.base.wrapping_add(start as u32);
            return;
        }
        let alive = end - start;
        let mut octets = Vec::with_capacity(((alive + len) * 2).min(2 * self.size_max));
        octets.extend_from_slice(self.octets.get(start..).unwrap_or_default());
        self.octets = octets;
        self.base = self.base.wrapping_add(start as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(table: &DynamicTable<()>) -> Vec<&[u8]> {
        (0..table.entries.len()).map(|age| table.octets(table.get(age).expect("an entry"))).collect()
    }

    #[test]
    fn the_oldest_entries_make_room() {
        let mut table = DynamicTable::new(3 * 34);
        for (name, value) in [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")] {
            assert!(table.insert(name.as_bytes(), value.as_bytes(), ()));
        }
        assert_eq!(fields(&table), [b"d4", b"c3", b"b2"]);
        assert_eq!(table.size(), 3 * 34);
        assert!(table.insert(b"e", b"55", ()));
        assert_eq!(fields(&table), [&b"e55"[..], b"d4"]);
        table.set_size_max(35);
        assert_eq!(fields(&table), [b"e55"]);
        assert!(table.get(1).is_none());
    }

    #[test]
    fn an_entry_larger_than_the_table_empties_it() {
        let mut table = DynamicTable::new(64);
        assert!(table.insert(&[b'n'; 16], &[b'v'; 16], ()), "exactly as large");
        assert!(!table.insert(&[b'n'; 16], &[b'v'; 17], ()));
        assert_eq!((table.entries.len(), table.size()), (0, 0));
        table.set_size_max(0);
        assert!(!table.insert(b"", b"", ()));
    }

    #[test]
    fn years_of_entries_need_no_more_memory_than_two_tables() {
        let mut table = DynamicTable::new(4_096);
        table.base = u32::MAX - 50_000;
        let value = [b'v'; 300];
        for round in 0..10_000usize {
            let len = 40 + (round * 7) % 220;
            let name = round.to_be_bytes();
            assert!(table.insert(&name, &value[..len], ()));
            assert!(table.octets.capacity() <= 2 * 4_096, "{}", table.octets.capacity());
            for age in 0..table.entries.len() {
                let octets = table.octets(table.get(age).expect("an entry"));
                assert_eq!(octets[..8], (round - age).to_be_bytes());
            }
        }
    }
}
