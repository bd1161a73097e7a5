//! What waits while history is fetched, and whether that history is whole.

use super::Place;
use crate::session::History;
use crate::{Bytes, Position};
use std::collections::{VecDeque, vec_deque};

/// Octets that a message takes that waits, beside its payload.
pub(super) const ENTRY_BYTES: usize = size_of::<(Option<Place>, Bytes)>();

/// Messages that have come live, behind those that history is asked for.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    held: VecDeque<(Option<Place>, Bytes)>,
    bytes: usize,
    overflowed: bool,
    newest: Option<Position>,
    /// The subscription works already: what is fetched fills a hole, or shows that there is none.
    continues: bool,
    /// Of a history that is read for the application: the offset behind which it is asked for.
    pub(super) reads_behind: u64,
}

impl Recovery {
    /// That of a subscription that works already.
    pub(super) fn continued() -> Self {
        Self { continues: true, ..Self::default() }
    }

    /// Another subscriber waits for it.
    pub(super) fn begins_again(&mut self) {
        self.continues = false;
    }

    pub(super) fn continues(&self) -> bool {
        self.continues
    }

    /// Octets of the messages that wait, with [`ENTRY_BYTES`] for each.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Keeps a message. If a limit is passed, all that wait are dropped, and those that follow are kept again.
    pub(super) fn hold(
        &mut self,
        payload: Bytes,
        place: Option<Place>,
        messages_max: usize,
        bytes_max: usize,
    ) {
        self.newest = place.map(|place| place.position).or(self.newest);
        let bytes = self.bytes + payload.len() + ENTRY_BYTES;
        if self.held.len() >= messages_max || bytes > bytes_max {
            self.overflow();
            return;
        }
        self.bytes = bytes;
        self.held.push_back((place, payload));
    }

    /// Something was lost among the messages that wait: those before it are given up, so that one gap at the front covers all.
    pub(super) fn overflow(&mut self) {
        self.held.clear();
        self.bytes = 0;
        self.overflowed = true;
    }

    /// Whether messages were lost that had waited.
    pub(super) fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    /// The position of the last message that came, also if it was dropped.
    pub(super) fn newest(&self) -> Option<Position> {
        self.newest
    }
}

impl IntoIterator for Recovery {
    type Item = (Option<Place>, Bytes);
    type IntoIter = vec_deque::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.held.into_iter()
    }
}

/// The offset behind which nothing is missing among the messages of a history, up to the newest: what the broker says, or what offsets
/// without a hole show.
pub(super) fn whole_after(entries: &[(u64, Bytes)], newest: u64, said: Option<u64>) -> u64 {
    said.unwrap_or_else(|| {
        let mut at = newest;
        for (offset, _) in entries.iter().rev() {
            if *offset != at || at == 0 {
                break;
            }
            at -= 1;
        }
        at
    })
}

/// Whether a history holds every message from a position to the newest one: of the same epoch, and without a hole.
pub(super) fn is_complete(from: Option<Position>, history: &History) -> bool {
    let (Some(from), Some(newest)) = (from, history.newest) else { return false };
    if let Some(whole_after) = history.whole_after {
        return from.epoch == newest.epoch && (whole_after..=newest.offset).contains(&from.offset);
    }
    let mut last = from.offset;
    let whole = history.entries.iter().filter(|(offset, _)| *offset > from.offset).all(|(offset, _)| {
        let follows = last.checked_add(1) == Some(*offset);
        last = *offset;
        follows
    });
    from.epoch == newest.epoch && whole && last == newest.offset
}
