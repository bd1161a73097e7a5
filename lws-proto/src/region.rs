//! Octets that lie outside of the engine, such as in a file: the driver sends them by itself, and the engine counts them.

use alloc::sync::Arc;
use core::any::Any;
use core::fmt;

/// Octets that the driver takes from where they are and hands to the transport.
///
/// The engine looks at no octet of it, and queues it between others. It is for connections whose driver has said that it
/// [sends regions](crate::Connection::send_regions); what a region is made of is agreed between the driver and the application.
#[derive(Clone)]
pub struct Region {
    source: Arc<dyn Any + Send + Sync>,
    offset: u64,
    len: usize,
}

impl Region {
    /// The `len` octets of `source` that begin at `offset`.
    #[must_use]
    pub fn new(source: Arc<dyn Any + Send + Sync>, offset: u64, len: usize) -> Self {
        Self { source, offset, len }
    }

    /// Where the octets are.
    #[must_use]
    pub fn source(&self) -> &(dyn Any + Send + Sync) {
        &*self.source
    }

    /// The position of the first octet.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Octets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Removes the first `n` octets, or all if there are fewer.
    pub(crate) fn advance(&mut self, n: usize) {
        let n = n.min(self.len);
        self.offset += n as u64;
        self.len -= n;
    }

    /// The first `n` octets, or all if there are fewer.
    pub(crate) fn first(&self, n: usize) -> Self {
        Self { len: n.min(self.len), ..self.clone() }
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, len, .. } = self;
        f.debug_struct("Region").field("offset", offset).field("len", len).finish_non_exhaustive()
    }
}
