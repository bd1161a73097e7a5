//! The names of streams.

use core::num::NonZeroU32;

/// Names one stream: an HTTP exchange, the WebSocket or tunnel that it became, or a raw stream.
///
/// The key carries a generation: that of a stream which has ended finds nothing, even when its place is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// One more than the index, so that an application which may have a key or not needs no more room for that.
    place: NonZeroU32,
    pub(crate) generation: u32,
}

impl StreamKey {
    /// The key of a place. There are fewer places than numbers: those of a connection are bounded by its limits.
    #[inline]
    pub(crate) const fn new(index: u32, generation: u32) -> Self {
        Self { place: NonZeroU32::MIN.saturating_add(index), generation }
    }

    /// The key of the next stream in this place.
    pub(crate) fn renewed(self) -> Self {
        Self { generation: self.generation.wrapping_add(1), ..self }
    }

    /// The index as it is in a table.
    #[inline]
    pub(crate) const fn number(self) -> u32 {
        self.place.get() - 1
    }

    /// Its place among the streams of its connection, which is small, and zero where there is only one: for an application that keeps
    /// something for each stream. Places are used again.
    #[must_use]
    #[inline]
    pub fn index(self) -> usize {
        self.number() as usize
    }

    /// The key as a number, for those who cannot hold the type: [`from_bits`](Self::from_bits) makes the same key of it.
    #[must_use]
    #[inline]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.number() as u64
    }

    /// The key that [`to_bits`](Self::to_bits) made a number of. That of a number from elsewhere finds nothing, or a stream of the
    /// same connection.
    ///
    /// ```
    /// use lws_proto::StreamKey;
    ///
    /// assert_eq!(StreamKey::from_bits(7 << 32 | 1).to_bits(), 7 << 32 | 1);
    /// assert_eq!(size_of::<Option<StreamKey>>(), 8);
    /// ```
    #[must_use]
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self::new(bits as u32, (bits >> 32) as u32)
    }
}
