//! Bytes to send, and who owns them.

use crate::connection::transmit::{COPIED_BYTES_MAX, Output};
use bytes::Bytes;

/// What is sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Payload<'a> {
    /// Copied once, behind its header.
    Copy(&'a [u8]),
    /// Never copied, unless it is so small that a copy is cheaper, or a client must mask it.
    Own(Bytes),
    /// As `Own`.
    Static(&'static [u8]),
}

impl Payload<'_> {
    /// Bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Copy(bytes) => bytes.len(),
            Self::Own(bytes) => bytes.len(),
            Self::Static(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `n` bytes; the rest stays.
    pub(crate) fn split_to(&mut self, n: usize) -> Self {
        match self {
            Self::Copy(bytes) => {
                let (first, rest) = bytes.split_at(n.min(bytes.len()));
                *bytes = rest;
                Self::Copy(first)
            }
            Self::Own(bytes) => Self::Own(bytes.split_to(n.min(bytes.len()))),
            Self::Static(bytes) => {
                let (first, rest) = bytes.split_at(n.min(bytes.len()));
                *bytes = rest;
                Self::Static(first)
            }
        }
    }

    /// Queues it where those of other streams stand, too. A short one is copied, as a gathering write has slices for few.
    #[inline]
    pub(crate) fn push_beside_others(self, out: &mut Output) {
        if self.len() <= COPIED_BYTES_MAX { out.push_copy(self.as_ref()) } else { self.push(out) }
    }

    /// Queues it.
    #[inline(always)]
    pub(crate) fn push(self, out: &mut Output) {
        match self {
            Self::Copy(bytes) => out.push_copy(bytes),
            Self::Own(bytes) => out.push_owned(bytes),
            Self::Static(bytes) => out.push_static(bytes),
        }
    }
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Copy(bytes) => bytes,
            Self::Own(bytes) => bytes,
            Self::Static(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Copy(bytes)
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Self {
        Self::Copy(text.as_bytes())
    }
}

impl From<Bytes> for Payload<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Own(bytes)
    }
}
