//! The state of a descriptor between two turns, as bits.

use crate::service::Readiness;
use std::ops::BitOr;

/// The state of a descriptor between two turns.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags(u8);

impl Flags {
    /// The descriptor may be readable: readiness was reported, and no read has emptied it since.
    pub(crate) const READABLE: Self = Self(1);
    /// The descriptor may be writable: there was room, and no write has filled it since.
    pub(crate) const WRITABLE: Self = Self(2);
    /// The peer has ended its direction, so that a short read is not the last one.
    pub(crate) const HANG_UP: Self = Self(4);
    /// The connection wants input.
    pub(crate) const READING: Self = Self(8);
    /// The entry is on the ready list.
    pub(crate) const LISTED: Self = Self(16);
    /// This side has sent FIN.
    pub(crate) const SHUT: Self = Self(32);
    /// An error or an end was reported while nothing is read, so that no read has returned it.
    pub(crate) const FAILED: Self = Self(64);
    /// Both directions have ended, which a level-triggered host would report for ever.
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
