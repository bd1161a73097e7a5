//! Keys, and what stands behind them: names of Rust, and pointers of the program.

use crate::error::Error;
use crate::sys::User;
use crate::types::Key;
use lws_server::client::RequestId;
use lws_server::client::ws::SocketId;
use lws_server::ws::CloseCode;
use lws_server::{LinkId, StreamId, TimerId};

/// A destructor of the program.
pub type DropUser = extern "C" fn(user: User);

/// A pointer of the program, with how it is let go.
#[derive(Debug)]
pub(crate) struct UserData {
    user: User,
    drop: Option<DropUser>,
}

impl UserData {
    pub(crate) fn new(user: User, drop: Option<DropUser>) -> Self {
        Self { user, drop }
    }

    /// The pointer. A call, and no field: a closure that read a field would take that alone, and let go of the rest at once.
    pub(crate) fn get(&self) -> User {
        self.user
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            drop(self.user);
        }
    }
}

/// What a key names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named {
    /// Something on its way, which has no name yet.
    Coming,
    Stream(StreamId),
    Link(LinkId),
    Timer(TimerId),
    /// A request to another server.
    Request(RequestId),
    /// A WebSocket to another server.
    Socket(SocketId),
}

/// What another call than that of a stream wants done with it, in its next call.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) pause: Option<bool>,
    pub(crate) close: Option<(CloseCode, String)>,
    pub(crate) abort: bool,
    pub(crate) wake: bool,
    /// The moment of a timer, and whether there is one.
    pub(crate) timer: Option<Option<u64>>,
}

/// What stands behind a key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) named: Named,
    /// `None` is that of the route.
    pub(crate) user: Option<UserData>,
    pub(crate) pending: Pending,
    /// A WebSocket to another server asked for `writable`.
    pub(crate) wants_write: bool,
    /// It has sent a part of a message, and not the last one.
    pub(crate) in_message: bool,
}

impl Entry {
    pub(crate) fn new(named: Named) -> Self {
        Self { named, user: None, pending: Pending::default(), wants_write: false, in_message: false }
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    entry: Option<Entry>,
}

/// Everything that has a key. Places are used again, with another generation.
#[derive(Debug, Default)]
pub(crate) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Table {
    pub(crate) fn insert(&mut self, entry: Entry) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            // Descriptors run out long before.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = &mut self.slots[index as usize];
        slot.entry = Some(entry);
        // One more, as zero is no key.
        u64::from(slot.generation) << 32 | (u64::from(index) + 1)
    }

    fn slot(&mut self, key: Key) -> Option<(&mut Slot, u32)> {
        let index = (key & 0xffff_ffff).checked_sub(1)?;
        let slot = self.slots.get_mut(usize::try_from(index).ok()?)?;
        let index = u32::try_from(index).ok()?;
        (u64::from(slot.generation) == key >> 32).then_some((slot, index))
    }

    pub(crate) fn get(&mut self, key: Key) -> Result<&mut Entry, Error> {
        self.slot(key).and_then(|(slot, _)| slot.entry.as_mut()).ok_or(Error::Stale)
    }

    /// Forgets a key. What was behind it is dropped by the caller, when the table is free: destructors of C may call.
    #[must_use]
    pub(crate) fn remove(&mut self, key: Key) -> Option<Entry> {
        let (slot, index) = self.slot(key)?;
        let entry = slot.entry.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        Some(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_used_again_has_another_key() {
        let mut table = Table::default();
        let first = table.insert(Entry::new(Named::Coming));
        assert!(first != 0 && table.get(first).is_ok());
        assert!(table.remove(first).is_some() && table.remove(first).is_none());
        let second = table.insert(Entry::new(Named::Coming));
        assert_ne!(first, second);
        assert_eq!(table.get(first).err(), Some(Error::Stale));
        assert!(table.get(second).is_ok());
        for key in [0, u64::MAX, 1 << 32, 2] {
            assert_eq!(table.get(key).err(), Some(Error::Stale), "{key}");
        }
    }
}
