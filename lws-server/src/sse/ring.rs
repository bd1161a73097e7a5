//! The last events of a channel, and who has read how far. Pure: knows no stream and no thread.

use lws_proto::Bytes;
use std::collections::VecDeque;

/// Events by their numbers, of which the oldest are forgotten.
#[derive(Debug)]
pub(super) struct Ring {
    events: VecDeque<Bytes>,
    /// The number of the oldest one.
    first: u64,
    bytes: usize,
    events_max: usize,
    bytes_max: usize,
}

/// What a reader finds at its position.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Event(Bytes),
    /// It has read everything.
    Nothing,
    /// So many events that it had not read were forgotten.
    Lost(u64),
}

impl Ring {
    /// Events are numbered from one on.
    pub(super) fn new(events_max: usize, bytes_max: usize) -> Self {
        Self { events: VecDeque::new(), first: 1, bytes: 0, events_max: events_max.max(1), bytes_max }
    }

    /// The number that the next event gets: the position of a reader that has read everything.
    pub(super) fn next(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// The number of the oldest event that is there.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn push(&mut self, event: Bytes) {
        self.bytes += event.len();
        self.events.push_back(event);
        // The newest one stays, however long it is.
        while self.events.len() > self.events_max || self.bytes > self.bytes_max && self.events.len() > 1 {
            let oldest = self.events.pop_front().map_or(0, |event| event.len());
            self.bytes -= oldest;
            self.first += 1;
        }
    }

    pub(super) fn find(&self, position: u64) -> Found {
        let Some(index) = position.checked_sub(self.first) else { return Found::Lost(self.first - position) };
        let event = usize::try_from(index).ok().and_then(|index| self.events.get(index));
        event.cloned().map_or(Found::Nothing, Found::Event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_are_forgotten() {
        let mut ring = Ring::new(3, 10);
        assert_eq!((ring.find(1), ring.next()), (Found::Nothing, 1));
        for text in ["a", "b", "c", "d"] {
            ring.push(text.into());
        }
        assert_eq!((ring.first(), ring.next()), (2, 5));
        assert_eq!(ring.find(1), Found::Lost(1));
        assert_eq!(ring.find(2), Found::Event("b".into()));
        assert_eq!(ring.find(5), Found::Nothing);
        ring.push("123456789".into());
        assert_eq!((ring.first(), ring.find(2)), (4, Found::Lost(2)), "ten bytes are left");
        ring.push("a long one that is past it alone".into());
        assert_eq!((ring.first(), ring.next()), (6, 7));
    }
}
