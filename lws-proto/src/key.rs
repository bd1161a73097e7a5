//! The names of streams.

/// Names one stream: an HTTP exchange, the WebSocket or tunnel that it became, or a raw stream.
///
/// The key carries a generation: that of a stream which has ended finds nothing, even when its place is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl StreamKey {
    /// Its place among the streams of its connection, which is small, and zero where there is only one: for an application that keeps
    /// something for each stream. Places are used again.
    #[must_use]
    #[inline]
    pub fn index(self) -> usize {
        self.index as usize
    }
    /// The key as a number, for those who cannot hold the type: [`from_bits`](Self::from_bits) makes the same key of it.
    #[must_use]
    #[inline]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// The key that [`to_bits`](Self::to_bits) made a number of. That of a number from elsewhere finds nothing, or a stream of the
    /// same connection.
    ///
    /// ```
    /// use lws_proto::StreamKey;
    ///
    /// assert_eq!(StreamKey::from_bits(7 << 32 | 1).to_bits(), 7 << 32 | 1);
    /// ```
    #[must_use]
    #[inline]
    pub const fn from_bits(bits: u64) -> Self {
        Self { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}
