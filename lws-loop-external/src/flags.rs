//! What is known of a descriptor between two turns.

use crate::service::Readiness;
use std::ops::BitOr;

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
