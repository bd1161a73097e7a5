//! The position of a stream in the tables of its connection.

/// An index that the table of streams has allocated. Slots are reused; the stream identifier distinguishes the streams.
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

    /// The number in a stream key.
    #[inline]
    pub(crate) fn number(self) -> u32 {
        self.0
    }

    /// The slot of a number in a stream key, which may not exist.
    #[inline]
    pub(crate) fn of_number(number: u32) -> Self {
        Self(number)
    }
}
