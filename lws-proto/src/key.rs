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
}
