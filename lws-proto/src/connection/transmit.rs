//! The output queue of a connection.
//!
//! Small payloads are copied behind their headers into one buffer; owned ones are kept between its parts. Knows no
//! protocol.

use crate::Region;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{Buf, Bytes};

/// The most slices that [`Transmit::slices`] gives at a time.
pub const SLICES_MAX: usize = 16;

/// An owned payload shorter than this is copied: two more slices would cost more than the copy.
pub(crate) const OWNED_BYTES_MIN: usize = 512;

/// The bytes that are copied at a time. From about 2 KiB on, C libraries use the processor's copy instruction, which on
/// some processors is many times slower if source and target have slightly different offsets in their pages, as here by
/// a header.
pub(crate) const COPIED_BYTES_MAX: usize = 1_920;

/// The number of sent bytes from which on moving the rest pays.
const COMPACTED_BYTES_MIN: usize = 16 << 10;

/// The queue of one connection.
#[derive(Debug, Default)]
pub(crate) struct Output {
    /// Headers and copied payloads.
    buffer: Vec<u8>,
    /// The number of bytes of `buffer` that were sent.
    sent: usize,
    /// Owned payloads and their positions. Absent while there are none.
    owned: Option<Box<Owned>>,
    /// Whether `buffer` was lent and will be reclaimed.
    lent: bool,
}

/// A draft at the end of a buffer, which is removed again unless it is kept: also when the application, which is called
/// for fields and content while it is written, panics.
pub(crate) struct Draft<'a> {
    buffer: &'a mut Vec<u8>,
    start: usize,
}

impl<'a> Draft<'a> {
    /// Begins at the end of `buffer`.
    #[inline]
    pub(crate) fn new(buffer: &'a mut Vec<u8>) -> Self {
        let start = buffer.len();
        Self { buffer, start }
    }

    /// The buffer, to append to.
    #[inline]
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        self.buffer
    }

    /// Keeps the draft.
    #[inline]
    pub(crate) fn keep(mut self) {
        self.start = self.buffer.len();
    }
}

impl Drop for Draft<'_> {
    #[inline]
    fn drop(&mut self) {
        debug_assert!(self.start <= self.buffer.len(), "a draft is behind what was there");
        self.buffer.truncate(self.start);
    }
}

#[derive(Debug, Default)]
struct Owned {
    /// Each payload comes before the byte of the buffer at its position.
    payloads: VecDeque<(usize, OwnedPayload)>,
    /// Bytes of all `payloads`.
    len: usize,
}

/// A payload that is not copied into the buffer.
#[derive(Debug)]
enum OwnedPayload {
    Bytes(Bytes),
    /// What the driver sends by itself.
    Region(Region),
}

impl OwnedPayload {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Region(region) => region.len(),
        }
    }

    /// Removes the first `n` bytes, of which there are so many.
    fn advance(&mut self, n: usize) {
        match self {
            Self::Bytes(bytes) => bytes.advance(n),
            Self::Region(region) => region.advance(n),
        }
    }
}

impl Output {
    /// Bytes that are queued.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.buffer.len() - self.sent + self.owned.as_ref().map_or(0, |owned| owned.len)
    }

    /// The memory that it holds, in bytes. A lent buffer counts for its owner, and an owned payload for the
    /// application.
    pub(crate) fn held(&self) -> usize {
        if self.lent { self.buffer.len() - self.sent } else { self.buffer.capacity() }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.len() == self.sent && self.owned.is_none()
    }

    /// The buffer, to append to.
    #[inline]
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Appends a copy of a payload.
    #[inline(always)]
    pub(crate) fn push_copy(&mut self, payload: &[u8]) {
        if payload.len() <= COPIED_BYTES_MAX {
            self.buffer.extend_from_slice(payload);
        } else {
            self.push_long_copy(payload);
        }
    }

    fn push_long_copy(&mut self, payload: &[u8]) {
        self.buffer.reserve(payload.len());
        for part in payload.chunks(COPIED_BYTES_MAX) {
            self.buffer.extend_from_slice(part);
        }
    }

    /// Appends a payload without copying it, unless that is cheaper.
    pub(crate) fn push_owned(&mut self, payload: Bytes) {
        if payload.len() < OWNED_BYTES_MIN {
            self.buffer.extend_from_slice(&payload);
            return;
        }
        self.push(OwnedPayload::Bytes(payload));
    }

    /// Appends what the driver sends by itself.
    pub(crate) fn push_region(&mut self, region: Region) {
        if !region.is_empty() {
            self.push(OwnedPayload::Region(region));
        }
    }

    fn push(&mut self, payload: OwnedPayload) {
        let owned = self.owned.get_or_insert_default();
        owned.len += payload.len();
        owned.payloads.push_back((self.buffer.len(), payload));
    }

    /// Appends a static payload without copying it, unless copying is cheaper.
    #[inline]
    pub(crate) fn push_static(&mut self, payload: &'static [u8]) {
        if payload.len() < OWNED_BYTES_MIN {
            self.buffer.extend_from_slice(payload);
        } else {
            self.push_owned(Bytes::from_static(payload));
        }
    }

    /// Forgets everything that was queued.
    pub(crate) fn clear(&mut self) {
        self.owned = None;
        self.sent = self.buffer.len();
        self.drained();
    }

    /// Swaps `spare` in as the buffer, if there is none.
    #[inline]
    pub(crate) fn lend(&mut self, spare: &mut Vec<u8>) {
        if self.buffer.capacity() == 0 {
            core::mem::swap(&mut self.buffer, spare);
            self.lent = true;
        }
    }

    /// Swaps the buffer out into `spare` if it is empty. Returns whether nothing stays.
    #[inline]
    pub(crate) fn reclaim(&mut self, spare: &mut Vec<u8>) -> bool {
        if self.lent && self.is_empty() {
            self.buffer.clear();
            self.sent = 0;
            self.lent = false;
            if spare.capacity() == 0 {
                core::mem::swap(&mut self.buffer, spare);
            } else {
                self.buffer = Vec::new();
            }
            return true;
        }
        if self.lent {
            self.keep();
        }
        self.is_empty()
    }

    /// Keeps the bytes that a slow peer did not take, in an allocation of just their size.
    #[cold]
    fn keep(&mut self) {
        self.lent = false;
        if self.buffer.capacity() > 2 * (self.buffer.len() - self.sent) {
            self.compact_from(0);
            self.buffer.shrink_to_fit();
        }
    }

    /// The queued bytes up to the first boundary between two buffers.
    #[inline]
    pub(crate) fn first(&self) -> &[u8] {
        match &self.owned {
            None => &self.buffer[self.sent..],
            Some(_) => {
                let mut slices: [&[u8]; 1] = [&[]];
                self.slices(&mut slices);
                slices[0]
            }
        }
    }

    /// Whether the queued bytes are contiguous, and no region is among them.
    #[inline]
    pub(crate) fn is_contiguous(&self) -> bool {
        self.owned.is_none()
    }

    /// What the driver sends by itself, if that comes next.
    pub(crate) fn region(&self) -> Option<&Region> {
        match self.owned.as_ref()?.payloads.front() {
            Some((position, OwnedPayload::Region(region))) if *position == self.sent => Some(region),
            _ => None,
        }
    }

    /// Whether there is a region behind bytes.
    pub(crate) fn precedes_region(&self) -> bool {
        let mut payloads = self.owned.iter().flat_map(|owned| owned.payloads.iter());
        self.region().is_none() && payloads.any(|(_, payload)| matches!(payload, OwnedPayload::Region(_)))
    }

    /// The first of the queued bytes, in order, up to the first region. Returns how many of `slices` were set.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [&'a [u8]]) -> usize {
        let mut count = 0;
        let mut put = |slice: &'a [u8]| -> bool {
            if slice.is_empty() {
                return true;
            }
            match slices.get_mut(count) {
                Some(place) => {
                    *place = slice;
                    count += 1;
                    true
                }
                None => false,
            }
        };
        let mut at = self.sent;
        for (position, payload) in self.owned.iter().flat_map(|owned| owned.payloads.iter()) {
            if !put(&self.buffer[at..*position]) {
                return count;
            }
            match payload {
                OwnedPayload::Bytes(payload) if put(payload) => {}
                OwnedPayload::Bytes(_) | OwnedPayload::Region(_) => return count,
            }
            at = *position;
        }
        put(&self.buffer[at..]);
        count
    }

    /// Appends the first `n` queued bytes to another queue; they stay in this one. Owned payloads are shared.
    pub(crate) fn copy_to(&self, mut n: usize, other: &mut Self) {
        let mut at = self.sent;
        for (position, payload) in self.owned.iter().flat_map(|owned| owned.payloads.iter()) {
            let copied = n.min(*position - at);
            other.push_copy(&self.buffer[at..at + copied]);
            n -= copied;
            let taken = n.min(payload.len());
            match payload {
                OwnedPayload::Bytes(payload) if taken > 0 => other.push_owned(payload.slice(..taken)),
                OwnedPayload::Bytes(_) => {}
                OwnedPayload::Region(region) => other.push_region(region.first(taken)),
            }
            n -= taken;
            at = *position;
        }
        let copied = n.min(self.buffer.len() - at);
        other.push_copy(&self.buffer[at..at + copied]);
    }

    /// Removes the first `n` queued bytes, which the transport has taken. Returns whether the queue is empty.
    #[inline]
    pub(crate) fn consume(&mut self, n: usize) -> bool {
        if self.owned.is_none() {
            self.sent = (self.sent + n).min(self.buffer.len());
        } else {
            self.consume_owned(n);
        }
        let empty = self.is_empty();
        if empty {
            self.drained();
        }
        empty
    }

    fn consume_owned(&mut self, mut n: usize) {
        while let Some(owned) = &mut self.owned {
            let Some((position, payload)) = owned.payloads.front_mut() else {
                self.owned = None;
                break;
            };
            let copied = n.min(*position - self.sent);
            self.sent += copied;
            n -= copied;
            if self.sent < *position {
                return;
            }
            let taken = n.min(payload.len());
            payload.advance(taken);
            owned.len -= taken;
            n -= taken;
            if payload.len() > 0 {
                return;
            }
            owned.payloads.pop_front();
        }
        self.sent = (self.sent + n).min(self.buffer.len());
    }

    /// Frees the buffers of an empty queue, as an idle connection holds none.
    #[inline]
    fn drained(&mut self) {
        self.sent = 0;
        if self.lent {
            self.buffer.clear();
        } else {
            self.buffer = Vec::new();
        }
    }

    /// Moves waiting bytes over a long sent part to the front, so that a slow peer costs only what is queued.
    pub(crate) fn compact(&mut self) {
        self.compact_from(COMPACTED_BYTES_MIN);
    }

    /// Moves waiting bytes to the front, unless that gains less than `min` bytes or less than it moves.
    fn compact_from(&mut self, min: usize) {
        if self.sent < min || self.sent < self.buffer.len() / 2 {
            return;
        }
        self.buffer.drain(..self.sent);
        for (position, _) in self.owned.iter_mut().flat_map(|owned| owned.payloads.iter_mut()) {
            *position -= self.sent;
        }
        self.sent = 0;
    }
}

/// The bytes that the transport should take now. Made by [`Connection::transmit`](crate::Connection::transmit).
#[derive(Debug)]
pub struct Transmit<'a> {
    connection: &'a mut crate::Connection,
    now: crate::Time,
}

impl<'a> Transmit<'a> {
    pub(super) fn new(connection: &'a mut crate::Connection, now: crate::Time) -> Self {
        Self { connection, now }
    }

    /// The queued bytes in order, for one gathering write: up to `slices.len()` parts of them, of which
    /// [`SLICES_MAX`] are enough, and up to the first region. Returns how many were set; at least one, unless a
    /// [`region`](Self::region) comes next.
    pub fn slices<'s>(&'s self, slices: &mut [&'s [u8]]) -> usize {
        self.connection.outbound.link().out.slices(slices)
    }

    /// The queued bytes up to the first boundary between two buffers. Never empty, unless a [`region`](Self::region) comes next.
    #[must_use]
    #[inline]
    pub fn first(&self) -> &[u8] {
        self.connection.outbound.link().out.first()
    }

    /// Whether [`first`](Self::first) is everything.
    #[must_use]
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.connection.outbound.link().out.is_contiguous()
    }

    /// What the driver is to send by itself before anything else, if that comes next. Only where the driver has said that it
    /// [sends regions](crate::Connection::send_regions).
    #[must_use]
    pub fn region(&self) -> Option<&Region> {
        self.connection.outbound.link().out.region()
    }

    /// Whether a region follows the bytes of [`slices`](Self::slices), so that it pays to let the transport wait for it.
    #[must_use]
    pub fn precedes_region(&self) -> bool {
        self.connection.outbound.link().out.precedes_region()
    }

    /// The transport has taken the first `n` bytes. Dropping a `Transmit` without it takes none.
    #[inline]
    pub fn commit(self, n: usize) {
        self.connection.transmitted(self.now, n);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(output: &Output) -> Vec<u8> {
        let mut slices = [&[][..]; SLICES_MAX];
        let count = output.slices(&mut slices);
        slices[..count].concat()
    }

    #[test]
    fn queued_bytes_keep_their_order_however_they_are_taken() {
        let big = |byte: u8| Bytes::from(alloc::vec![byte; OWNED_BYTES_MIN]);
        for step in [1, 3, 511, 512, 513, 4096] {
            let mut output = Output::default();
            output.buffer().extend_from_slice(b"head");
            output.push_owned(big(b'x'));
            output.push_owned(big(b'y'));
            output.push_owned(Bytes::from_static(b"small"));
            output.buffer().extend_from_slice(b"tail");
            output.push_owned(big(b'z'));
            let expected = bytes(&output);
            assert_eq!(expected.len(), output.len());
            let mut taken = Vec::new();
            while !output.is_empty() {
                let queued = bytes(&output);
                let n = step.min(queued.len());
                taken.extend_from_slice(&queued[..n]);
                output.consume(n);
                output.compact();
            }
            assert_eq!(taken, expected, "{step} bytes at a time");
            assert_eq!(output.buffer.capacity(), 0);
        }
    }

    #[test]
    fn a_region_is_counted_between_bytes_and_given_when_it_comes_next() {
        let source: alloc::sync::Arc<dyn core::any::Any + Send + Sync> = alloc::sync::Arc::new("source");
        let queue = || {
            let mut output = Output::default();
            output.buffer().extend_from_slice(b"head");
            output.push_region(Region::new(source.clone(), 100, 50));
            output.push_region(Region::new(source.clone(), 0, 0));
            output.buffer().extend_from_slice(b"tail");
            output
        };
        for step in [1, 3, 4, 5, 49, 54, 58] {
            let mut output = queue();
            assert_eq!((output.len(), output.precedes_region()), (58, true));
            let (mut taken, mut at) = (0, 100);
            while !output.is_empty() {
                let offered = match output.region() {
                    Some(region) => {
                        assert_eq!((region.offset(), region.len()), (at, 54 - taken), "{step} at a time");
                        assert!(
                            !output.precedes_region()
                                && bytes(&output).is_empty()
                                && output.first().is_empty()
                        );
                        at += step.min(region.len()) as u64;
                        region.len()
                    }
                    None => bytes(&output).len(),
                };
                let n = step.min(offered);
                taken += n;
                output.consume(n);
                output.compact();
                assert_eq!(output.len(), 58 - taken);
            }
            assert_eq!((taken, at), (58, 150));
        }
        let (from, mut to) = (queue(), Output::default());
        from.copy_to(30, &mut to);
        assert_eq!((to.len(), bytes(&to)), (30, b"head".to_vec()));
        to.consume(4);
        assert_eq!(to.region().map(|region| (region.offset(), region.len())), Some((100, 26)));
        to.clear();
        assert_eq!((to.len(), to.is_empty()), (0, true));
    }
}
