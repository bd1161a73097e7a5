//! DEFLATE to messages. RFC 7692 §7.2.2.

use super::pool::{INFLATING_BYTES, Inflating, Pool};
use super::{DeflateSettings, encoder};
use crate::ws::{self, Decoded, ReservedBits};
use crate::{Cause, Violation};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use zlib_rs::{InflateFlush, Status};

/// What a message lacks at its end, and one byte more: only a decompressor that stands between two blocks when it has had the
/// first four leaves the fifth alone. So a message that ends early is seen.
const TAIL: [u8; 5] = {
    let [a, b, c, d] = encoder::TAIL;
    [a, b, c, d, 0x00]
};

const MALFORMED: Cause = Cause::Violation(Violation::Deflate);

/// The receiving direction of one WebSocket.
pub(super) struct Decoder {
    pool: Arc<Pool>,
    /// In the middle of a message, and between messages if they may refer to those before them.
    held: Option<Box<Inflating>>,
    /// Whether the message has ended and only its output is left.
    over: bool,
    rx_buf_bits: u8,
    takeover: bool,
}

impl Decoder {
    pub(super) fn new(pool: Arc<Pool>, settings: &DeflateSettings, takeover: bool) -> Self {
        Self { pool, held: None, over: false, rx_buf_bits: settings.rx_buf_bits, takeover }
    }

    fn give_back(&mut self) {
        if let Some(mut held) = self.held.take() {
            let scratch = core::mem::take(&mut held.scratch);
            if !scratch.is_empty() {
                self.pool.give_back_scratch(scratch);
            }
            self.pool.give_back_inflating(held);
        }
    }
}

impl ws::Decoder for Decoder {
    fn reserved_bits(&self) -> ReservedBits {
        ReservedBits::RSV1
    }

    fn begin(&mut self, _: ReservedBits) {
        self.over = false;
        if let Some(held) = &mut self.held {
            held.begin();
        }
    }

    fn decode(&mut self, part: &[u8], end: bool, room: usize) -> Result<Decoded, Cause> {
        let Self { pool, held, over, rx_buf_bits, .. } = self;
        let held = held.get_or_insert_with(|| pool.inflating());
        if held.scratch.is_empty() {
            held.scratch = pool.scratch(1 << *rx_buf_bits);
        }
        let room = room.min(held.scratch.len());
        let decoded = held.inflate(part, end, room)?;
        *over = end && !decoded.more && decoded.consumed == part.len();
        Ok(decoded)
    }

    fn output(&mut self) -> &mut [u8] {
        match &mut self.held {
            Some(held) => &mut held.scratch[..held.made],
            None => &mut [],
        }
    }

    fn release(&mut self) {
        if self.over && !self.takeover {
            return self.give_back();
        }
        if let Some(held) = &mut self.held {
            held.made = 0;
            let scratch: Vec<u8> = core::mem::take(&mut held.scratch);
            if !scratch.is_empty() {
                self.pool.give_back_scratch(scratch);
            }
        }
    }

    fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| INFLATING_BYTES + held.scratch.capacity())
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("takeover", &self.takeover).finish_non_exhaustive()
    }
}

impl Inflating {
    /// Writes up to `room` bytes of scratch. What is there of a message when it turns out to be malformed stays.
    fn inflate(&mut self, part: &[u8], end: bool, room: usize) -> Result<Decoded, Cause> {
        self.made = 0;
        let mut consumed = 0;
        while consumed < part.len() {
            if self.made == room {
                return Ok(Decoded { consumed, more: true });
            }
            let (taken, _) = self.step(&part[consumed..], room, InflateFlush::NoFlush)?;
            consumed += taken;
        }
        if part.is_empty() {
            // It may have read ahead of what it had room for.
            self.step(&[], room, InflateFlush::NoFlush)?;
        }
        if end && self.made < room {
            self.end(room)?;
            return Ok(Decoded { consumed, more: self.tail < encoder::TAIL.len() });
        }
        Ok(Decoded { consumed, more: self.made == room })
    }

    /// Decompresses once. A stream that says to have ended is followed by another. RFC 7692 §7.2.3.4.
    fn step(&mut self, part: &[u8], room: usize, flush: InflateFlush) -> Result<(usize, usize), Cause> {
        let before = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(part, &mut self.scratch[self.made..room], flush);
        let taken = (self.inflate.total_in() - before.0) as usize;
        let made = (self.inflate.total_out() - before.1) as usize;
        self.made += made;
        self.fresh &= taken == 0;
        self.ended &= taken == 0;
        match status {
            Ok(Status::StreamEnd) => {
                self.inflate.reset(false);
                (self.fresh, self.ended) = (true, true);
                Ok((taken, made))
            }
            Ok(Status::BufError) if taken == 0 && made == 0 && !part.is_empty() => Err(MALFORMED),
            Ok(_) => Ok((taken, made)),
            Err(_) => Err(MALFORMED),
        }
    }

    /// Shows the tail that the sender has left out.
    fn end(&mut self, room: usize) -> Result<(), Cause> {
        while self.tail < encoder::TAIL.len() {
            if self.made == room {
                return Ok(());
            }
            if self.ended {
                // The last block was the last of its stream, and nothing stands behind it.
                self.tail = encoder::TAIL.len();
                return Ok(());
            }
            let (taken, made) = self.step(&TAIL[self.tail..], room, InflateFlush::Block)?;
            // Between two blocks, and only there, the tail makes nothing.
            if taken > 0 && made > 0 {
                self.made -= made;
                return Err(MALFORMED);
            }
            self.tail += taken;
        }
        if self.tail > encoder::TAIL.len() { Err(MALFORMED) } else { Ok(()) }
    }
}
