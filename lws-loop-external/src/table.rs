//! The connection table: places with generations, in chunks that never move.

use crate::handshake::Handshaking;
use crate::net::Owned;
use crate::registration::Registration;
use crate::secure::Secure;
use crate::service::Readiness;
use crate::tls::Info;
use crate::token::{ConnectionId, GENERATION_MASK};
use crate::transport::Piped;
use crate::udp::Datagrams;
use crate::watch::Watched;
use lws_proto::{Connection, Time};
use std::collections::VecDeque;
use std::ops::BitOr;

/// One descriptor of a peer.
pub(crate) struct Slot<S> {
    pub(crate) body: Body<S>,
    /// When the timer of this place goes off; the deadline itself may be later.
    pub(crate) scheduled: Time,
    pub(crate) generation: u32,
    pub(crate) socket: Owned,
    pub(crate) flags: Flags,
    pub(crate) registration: Registration,
}

/// What a slot is for.
#[expect(
    clippy::large_enum_variant,
    reason = "almost every slot is one: a box would cost a cache miss per turn"
)]
pub(crate) enum Body<S> {
    /// A connection.
    Open(Open<S>),
    /// A connection in its TLS handshake.
    Handshaking(Box<Handshaking<S>>),
    /// A connection over pipes or a terminal.
    Piped(Box<Piped<S>>),
    /// The output of one, where that is a descriptor of its own.
    Output(ConnectionId),
    /// A descriptor that the application reads and writes.
    Watched(Box<Watched<S>>),
    /// A UDP socket.
    Datagrams(Box<Datagrams<S>>),
    /// It has ended: the descriptor waits until the host lets go of it.
    Ended,
}

impl<S> Body<S> {
    /// Whether a deadline has come.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        let deadline = match self {
            Self::Open(open) => open.connection.next_timeout(),
            Self::Piped(piped) => piped.open().connection.next_timeout(),
            Self::Handshaking(shaking) => Some(shaking.deadline),
            Self::Output(_) | Self::Watched(_) | Self::Datagrams(_) | Self::Ended => None,
        };
        deadline.is_some_and(|at| at <= now)
    }

    /// The connection, if it is one.
    pub(crate) fn open_mut(&mut self) -> Option<&mut Open<S>> {
        match self {
            Self::Open(open) => Some(open),
            Self::Piped(piped) => Some(piped.open_mut()),
            _ => None,
        }
    }
}

pub(crate) struct Open<S> {
    pub(crate) connection: Connection,
    pub(crate) state: S,
    /// The stage between socket and engine, if there is one.
    pub(crate) secure: Option<Box<Secure>>,
}

impl<S> Open<S> {
    /// Everything apart, as a handler that is lent the one may need the other.
    #[inline]
    pub(crate) fn parts(&mut self) -> (&mut Connection, &mut S, Option<&Info>) {
        (&mut self.connection, &mut self.state, self.secure.as_deref().map(|secure| &secure.info))
    }
}

/// What is known of a descriptor, as bits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags(u8);

impl Flags {
    /// A read may give something.
    pub(crate) const READABLE: Self = Self(1);
    /// A write may take something.
    pub(crate) const WRITABLE: Self = Self(2);
    /// The peer has ended its direction, so that a short read is not the last one.
    pub(crate) const HANG_UP: Self = Self(4);
    /// The connection wants input.
    pub(crate) const READING: Self = Self(8);
    /// It stands on the ready list.
    pub(crate) const LISTED: Self = Self(16);
    /// This side has sent FIN.
    pub(crate) const SHUT: Self = Self(32);
    /// An error or an end was reported, and has not been met by reading, as nothing is read.
    pub(crate) const FAILED: Self = Self(64);
    /// Both directions have ended, which would be reported again and again.
    pub(crate) const HUNG: Self = Self(128);

    /// Notes what a host has reported.
    #[inline]
    pub(crate) fn note(&mut self, ready: Readiness) {
        let hang_up = ready.contains(Readiness::HANG_UP);
        let error = ready.contains(Readiness::ERROR);
        if ready.contains(Readiness::READABLE) || hang_up || error {
            self.insert(Self::READABLE);
        }
        if ready.contains(Readiness::WRITABLE) || error {
            self.insert(Self::WRITABLE);
        }
        if hang_up {
            self.insert(Self::HANG_UP);
        }
        if hang_up || error {
            self.insert(Self::FAILED);
        }
    }

    #[inline]
    pub(crate) fn has(self, flag: Self) -> bool {
        self.0 & flag.0 == flag.0
    }

    #[inline]
    pub(crate) fn insert(&mut self, flag: Self) {
        self.0 |= flag.0;
    }

    #[inline]
    pub(crate) fn remove(&mut self, flag: Self) {
        self.0 &= !flag.0;
    }

    #[inline]
    pub(crate) fn set(&mut self, flag: Self, on: bool) {
        if on {
            self.insert(flag);
        } else {
            self.remove(flag);
        }
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Slots in a chunk: large enough to be one allocation among many, small enough to stay in place of what it holds.
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

/// Which places are taken. Apart from the table, so that a handler which holds a slot can open another.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    places: Vec<Place>,
    /// In the order in which they became free: the place that has been free for longest is taken first, so that a name which
    /// somebody still holds is that of something else as late as can be.
    free: VecDeque<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    generation: u32,
    woken: bool,
}

impl Ids {
    pub(crate) fn allocate(&mut self) -> ConnectionId {
        let index = self.free.pop_front().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, woken: false });
            // The limit of open files is below that of an index.
            (self.places.len() - 1) as u32
        });
        ConnectionId { index, generation: self.places[index as usize].generation }
    }

    pub(crate) fn release(&mut self, id: ConnectionId) {
        let place = &mut self.places[id.index as usize];
        place.generation = place.generation.wrapping_add(1) & GENERATION_MASK;
        place.woken = false;
        self.free.push_back(id.index);
        debug_assert!(self.free.len() <= self.places.len());
    }

    fn place(&mut self, id: ConnectionId) -> Option<&mut Place> {
        self.places.get_mut(id.index as usize).filter(|place| place.generation == id.generation)
    }

    /// Whether it is the name of something that has a place, or will have.
    pub(crate) fn is_live(&mut self, id: ConnectionId) -> bool {
        self.place(id).is_some()
    }

    /// Notes that a connection is to be woken. False if it has been noted already, or the connection has gone.
    pub(crate) fn wake(&mut self, id: ConnectionId) -> bool {
        self.place(id).is_some_and(|place| !std::mem::replace(&mut place.woken, true))
    }

    /// Whether a connection is to be woken.
    pub(crate) fn is_woken(&mut self, id: ConnectionId) -> bool {
        self.place(id).is_some_and(|place| place.woken)
    }

    /// Notes that a connection is being woken. False if it was not to be.
    pub(crate) fn awake(&mut self, id: ConnectionId) -> bool {
        self.place(id).is_some_and(|place| std::mem::take(&mut place.woken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_costs_little_more_than_its_connection() {
        let (slot, connection) = (size_of::<Option<Slot<()>>>(), size_of::<Connection>());
        assert!(slot <= connection + 40, "{slot} bytes for a connection of {connection}");
    }

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
