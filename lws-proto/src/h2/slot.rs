//! Where a stream stands in the tables of its connection.

/// An index that the table of streams has given out. Slots are used again; the identifier of the stream says which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u32);

impl Slot {
    pub(crate) const FIRST: Self = Self(0);

    /// The slot at an index of the table.
    #[inline]
    pub(crate) fn at(index: usize) -> Self {
        debug_assert!(u32::try_from(index).is_ok());
        Self(index as u32)
    }

    #[inline]
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }

    /// As it stands in a key.
    #[inline]
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The slot that a key names, of which there may be none.
    #[inline]
    pub(crate) fn of_number(number: u32) -> Self {
        Self(number)
    }
}
