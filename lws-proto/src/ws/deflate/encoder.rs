//! Messages to DEFLATE. RFC 7692 §7.2.1.

use super::pool::{Deflating, Pool, Shape};
use super::{BUFFER_BITS, DeflateSettings, NAME, number};
use crate::ws::{self, OptionError, ReservedBits};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use zlib_rs::{DeflateFlush, Status};

/// What a flush ends with, and what is left out at the end of a message. RFC 7692 §7.2.1.
pub(super) const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The sending direction of one WebSocket.
pub(super) struct Encoder {
    pool: Arc<Pool>,
    /// In the middle of a message, and between messages if they may refer to those before them.
    held: Option<Box<Deflating>>,
    threshold: u32,
    shape: Shape,
    tx_buf_bits: u8,
    takeover: bool,
}

impl Encoder {
    pub(super) fn new(pool: Arc<Pool>, settings: &DeflateSettings, window_bits: u8, takeover: bool) -> Self {
        let shape = Shape { level: settings.level, window_bits, mem_level: settings.mem_level };
        let threshold = u32::try_from(settings.threshold).unwrap_or(u32::MAX);
        Self { pool, held: None, threshold, shape, tx_buf_bits: settings.tx_buf_bits, takeover }
    }

    fn is_worth_it(&self, len: usize) -> bool {
        len >= self.threshold as usize
    }

    /// Goes back to before the first message, for the next one.
    fn forget(&mut self) {
        if let Some(held) = self.held.take() {
            self.pool.give_back_deflating(held);
        }
    }
}

impl ws::Encoder for Encoder {
    fn encode(&mut self, part: &[u8], first: bool, end: bool, out: &mut Vec<u8>) -> ReservedBits {
        if first && end && !self.is_worth_it(part.len()) {
            return ReservedBits::NONE;
        }
        if self.held.as_ref().is_some_and(|held| first && held.shape != self.shape) {
            // An option has changed since the last message.
            self.forget();
        }
        let mut held = match self.held.take() {
            Some(held) => held,
            None => self.pool.deflating(self.shape),
        };
        let start = out.len();
        held.deflate(part, end, out, 1 << self.tx_buf_bits);
        if !end || self.takeover {
            self.held = Some(held);
            return ReservedBits::RSV1;
        }
        self.pool.give_back_deflating(held);
        if first && out.len() - start >= part.len() {
            out.truncate(start);
            return ReservedBits::NONE;
        }
        ReservedBits::RSV1
    }

    fn parameter_set(&self) -> u64 {
        const OURS: u64 = u32::from_be_bytes(*b"pmd ") as u64;
        let Shape { level, window_bits, mem_level } = self.shape;
        // A threshold of 4 GiB or more and one of 2²⁰ are the same: no message is that large.
        let threshold = u64::from(self.threshold.min(1 << 20)) << 12;
        let shape = u64::from(level) << 8 | u64::from(window_bits) << 4 | u64::from(mem_level);
        OURS << 32 ^ (threshold | shape)
    }

    fn encode_alone(&self, message: &[u8], out: &mut Vec<u8>) -> ReservedBits {
        if !self.is_worth_it(message.len()) {
            return ReservedBits::NONE;
        }
        let start = out.len();
        let mut deflating = self.pool.deflating(self.shape);
        deflating.deflate(message, true, out, 1 << self.tx_buf_bits);
        self.pool.give_back_deflating(deflating);
        if out.len() - start >= message.len() {
            out.truncate(start);
            return ReservedBits::NONE;
        }
        ReservedBits::RSV1
    }

    fn sends_alone(&mut self) {
        // What the peer has in its window now is not in ours: the next message refers to nothing before it.
        self.forget();
    }

    fn set_option(&mut self, extension: &str, name: &str, value: &str) -> Result<(), OptionError> {
        if extension != NAME {
            return Err(OptionError::Inactive);
        }
        match name {
            "compression_level" => self.shape.level = number(value, 0..=9)?,
            "mem_level" => self.shape.mem_level = number(value, 1..=9)?,
            "tx_buf_size" => self.tx_buf_bits = number(value, BUFFER_BITS)?,
            "threshold" => self.threshold = value.parse().map_err(|_| OptionError::Value)?,
            "server_no_context_takeover"
            | "client_no_context_takeover"
            | "server_max_window_bits"
            | "client_max_window_bits"
            | "rx_buf_size" => return Err(OptionError::Settled),
            _ => return Err(OptionError::Unknown),
        }
        Ok(())
    }

    fn held_bytes(&self) -> usize {
        self.held.as_ref().map_or(0, |held| held.shape.bytes())
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        self.forget();
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("shape", &self.shape)
            .field("takeover", &self.takeover)
            .finish_non_exhaustive()
    }
}

impl Deflating {
    /// Appends `part`, flushed; at the end of a message without the tail. The output grows by `step` bytes at least.
    fn deflate(&mut self, part: &[u8], end: bool, out: &mut Vec<u8>, step: usize) {
        let start = out.len();
        let mut taken = 0;
        loop {
            let at = out.len();
            let left = part.len() - taken;
            // Room for what is left if it does not shrink, so that one call is enough for most messages.
            out.resize(at + (left + left / 8 + 64).min(step.max(64)), 0);
            let before = (self.deflate.total_in(), self.deflate.total_out());
            let status = self.deflate.compress(&part[taken..], &mut out[at..], DeflateFlush::SyncFlush);
            taken += (self.deflate.total_in() - before.0) as usize;
            let made = (self.deflate.total_out() - before.1) as usize;
            let is_full = at + made == out.len();
            out.truncate(at + made);
            // Room that is left says that everything has been flushed. An error is impossible: the state is one of ours.
            if !is_full || !matches!(status, Ok(Status::Ok)) {
                break;
            }
        }
        debug_assert_eq!(taken, part.len());
        if end {
            if out[start..].ends_with(&TAIL) {
                out.truncate(out.len() - TAIL.len());
            }
            if out.len() == start {
                // Nothing since the last flush: an empty block without its tail. RFC 7692 §7.2.3.6.
                out.push(0x00);
            }
        }
    }
}
