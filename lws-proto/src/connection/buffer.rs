//! Input that the engine keeps: its own receive buffer, or the rest of a lent one.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// The room that [`Connection::recv_buf`](crate::Connection::recv_buf) offers.
const ROOM: usize = 16 << 10;

/// Received bytes that are not processed yet. Absent while there are none.
#[derive(Debug)]
pub(crate) struct Kept {
    /// Initialised in whole, so that room is offered without being written first.
    buffer: Vec<u8>,
    filled: Range<usize>,
}

impl Kept {
    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        Self { buffer: bytes.to_vec(), filled: 0..bytes.len() }
    }

    pub(crate) fn with_room() -> Self {
        Self { buffer: vec![0; ROOM], filled: 0..0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.filled.len()
    }

    /// The memory that it holds, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.buffer.capacity()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filled.is_empty()
    }

    /// Room for more bytes behind the filled part.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.filled.is_empty() {
            self.filled = 0..0;
        }
        if self.buffer.len() - self.filled.end < ROOM / 2 {
            self.buffer.drain(..self.filled.start);
            self.filled = 0..self.filled.len();
            self.buffer.resize(self.filled.end + ROOM, 0);
        }
        &mut self.buffer[self.filled.end..]
    }

    /// The first `n` bytes of the room have been filled.
    pub(crate) fn fill(&mut self, n: usize) {
        self.filled.end = (self.filled.end + n).min(self.buffer.len());
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.buffer.truncate(self.filled.end);
        self.buffer.drain(..self.filled.start);
        self.buffer.extend_from_slice(bytes);
        self.filled = 0..self.buffer.len();
    }

    pub(crate) fn filled(&mut self) -> &mut [u8] {
        &mut self.buffer[self.filled.clone()]
    }

    /// The position at which unprocessed bytes begin, from which positions count.
    pub(crate) fn start(&self) -> usize {
        self.filled.start
    }

    /// The whole filled buffer, including processed bytes, in which positions count.
    pub(crate) fn lent(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.filled.end]
    }

    pub(crate) fn consume(&mut self, n: usize) {
        self.filled.start = (self.filled.start + n).min(self.filled.end);
    }
}
