//! The sizes of TLS records: short at the beginning of a burst, so that the first packets can be decrypted on arrival,
//! and the maximum afterwards.

use lws_proto::Time;
use std::io::IoSlice;
use std::time::Duration;

/// The plaintext of a short record, which fits into one packet with the headers of IPv6, TCP with options and TLS.
const SHORT: usize = 1_300;
/// The plaintext of a full record. RFC 8446 §5.1.
const LONG: usize = 16 << 10;
/// The bytes of a burst that are sent in short records: about TCP's initial window, RFC 6928.
const BURST: usize = 14 << 10;
/// The pause after which a new burst begins: TCP may have reduced its window by then, too.
const IDLE: Duration = Duration::from_secs(1);

/// The most pieces of plaintext in one record. The engine offers no more at a time.
const PIECES_MAX: usize = 16;

/// The record sizes of one session.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// Bytes since the burst began.
    burst: u32,
    /// The time of the last record.
    last: Time,
}

impl Records {
    /// Begins a new burst if there was a pause before `now`.
    pub(crate) fn begin(&mut self, now: Time) {
        if now - self.last >= IDLE {
            self.burst = 0;
        }
        self.last = now;
    }

    /// The size of the next record, with `left` bytes to send. If they fit into one record they are not divided.
    pub(crate) fn next(&mut self, left: usize) -> usize {
        let short = (self.burst as usize) < BURST && left > SHORT;
        let len = left.min(if short { SHORT } else { LONG });
        self.burst = self.burst.saturating_add(len as u32);
        len
    }
}

/// A cursor over plaintext in several pieces.
pub(crate) struct Pieces<'a> {
    pieces: &'a [&'a [u8]],
    /// The bytes of the first piece that are used.
    at: usize,
}

impl<'a> Pieces<'a> {
    pub(crate) fn new(pieces: &'a [&'a [u8]]) -> Self {
        Self { pieces, at: 0 }
    }

    /// Calls `record` with the next `len` bytes, as slices of the pieces.
    pub(crate) fn take<R>(&mut self, mut len: usize, record: impl FnOnce(&[IoSlice<'a>]) -> R) -> R {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let mut count = 0;
        while let (Some((piece, rest)), Some(slice), true) =
            (self.pieces.split_first(), slices.get_mut(count), len > 0)
        {
            let part = &piece[self.at..];
            let part = &part[..part.len().min(len)];
            *slice = IoSlice::new(part);
            count += usize::from(!part.is_empty());
            len -= part.len();
            self.at += part.len();
            if self.at == piece.len() {
                (self.pieces, self.at) = (rest, 0);
            }
        }
        record(&slices[..count])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(records: &mut Records, now: Time, mut left: usize) -> Vec<usize> {
        records.begin(now);
        let mut lengths = Vec::new();
        while left > 0 {
            let len = records.next(left);
            lengths.push(len);
            left -= len;
        }
        lengths
    }

    #[test]
    fn a_burst_begins_with_short_records_and_a_small_message_is_never_cut() {
        let mut records = Records::default();
        let at = |millis: u64| Time::from_micros(millis * 1_000);
        assert_eq!(lengths(&mut records, at(0), 1_300), [1_300]);
        let burst = lengths(&mut records, at(1), 100_000);
        assert_eq!(burst.iter().sum::<usize>(), 100_000);
        assert_eq!(burst.iter().take_while(|len| **len == SHORT).count(), 11);
        assert_eq!(burst[11], LONG);
        assert_eq!(lengths(&mut records, at(900), 20_000), [16_384, 3_616]);
        assert_eq!(lengths(&mut records, at(1_899), 2_000), [2_000]);
        assert_eq!(lengths(&mut records, at(2_899), 2_000), [1_300, 700]);
    }

    #[test]
    fn pieces_are_taken_across_their_borders_and_nothing_is_lost() {
        let pieces: [&[u8]; 5] = [b"abc", b"", b"defg", b"h", b"ij"];
        for step in 1..=11 {
            let mut walk = Pieces::new(&pieces);
            let mut all = Vec::new();
            for _ in 0..10_usize.div_ceil(step) {
                walk.take(step, |slices| slices.iter().for_each(|slice| all.extend_from_slice(slice)));
            }
            assert_eq!(all, b"abcdefghij", "{step} at a time");
        }
    }
}
