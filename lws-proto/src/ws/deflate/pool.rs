//! Contexts and buffers that WebSockets lend each other. They are made when a message needs them and given back when it
//! has gone; a few are kept.
//!
//! A thread compresses one message at a time, so a pool of its own holds one compressor; messages that are sent or
//! received in parts hold theirs until they end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use alloc::boxed::Box;
use alloc::vec::Vec;
use zlib_rs::{DeflateConfig, Inflate};

/// What is kept of each kind, for others to use. More than a thread needs at a time.
const KEPT_MAX: usize = 4;

/// What a compressor was made with. Only one with the same can take its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) level: u8,
    pub(super) window_bits: u8,
    pub(super) mem_level: u8,
}

/// A compressor.
pub(super) struct Deflating {
    pub(super) shape: Shape,
    pub(super) deflate: zlib_rs::Deflate,
}

impl Shape {
    /// Bytes of a compressor: twice the window, a position for each byte of it, a hash table of 128 KiB, and symbols that wait.
    pub(super) fn bytes(self) -> usize {
        (4 << self.window_bits) + (128 << 10) + (4 << (self.mem_level + 6))
    }
}

/// Bytes of a decompressor, with any window.
pub(super) const INFLATING_BYTES: usize = 48 << 10;

/// A decompressor.
pub(super) struct Inflating {
    pub(super) inflate: Inflate,
    /// Whether it stands where a stream begins: nothing has been decompressed since it was reset.
    pub(super) fresh: bool,
    /// Whether it stands where a stream has ended within the message.
    pub(super) ended: bool,
    /// How much of the end of a message it has been shown.
    pub(super) tail: usize,
    /// What it writes to; empty while nothing is decompressed.
    pub(super) scratch: Vec<u8>,
    /// How much it has written.
    pub(super) made: usize,
}

#[derive(Default)]
#[expect(
    clippy::vec_box,
    reason = "a box goes to a WebSocket and comes back as it is, without an allocation"
)]
struct Pooled {
    deflating: Vec<Box<Deflating>>,
    inflating: Vec<Box<Inflating>>,
    scratch: Vec<Vec<u8>>,
}

/// The contexts of one [`Deflate`](super::Deflate) and its clones.
#[derive(Default)]
pub(super) struct Pool {
    kept: Mutex<Pooled>,
}

impl Pool {
    /// Nothing panics while it is held, and what is in it would be in order all the same.
    fn kept(&self) -> MutexGuard<'_, Pooled> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A compressor that remembers nothing.
    pub(super) fn deflating(&self, shape: Shape) -> Box<Deflating> {
        let found = {
            let kept = &mut self.kept().deflating;
            let at = kept.iter().position(|deflating| deflating.shape == shape);
            at.map(|at| kept.swap_remove(at))
        };
        match found {
            Some(mut deflating) => {
                deflating.deflate.reset();
                deflating
            }
            None => Box::new(Deflating::new(shape)),
        }
    }

    pub(super) fn give_back_deflating(&self, deflating: Box<Deflating>) {
        let kept = &mut self.kept().deflating;
        if kept.len() == KEPT_MAX {
            // The oldest: perhaps its shape is no longer needed.
            kept.remove(0);
        }
        kept.push(deflating);
    }

    /// A decompressor that remembers nothing.
    pub(super) fn inflating(&self) -> Box<Inflating> {
        let found = self.kept().inflating.pop();
        let mut inflating = found.unwrap_or_else(|| Box::new(Inflating::new()));
        inflating.reset();
        inflating
    }

    pub(super) fn give_back_inflating(&self, inflating: Box<Inflating>) {
        let kept = &mut self.kept().inflating;
        if kept.len() < KEPT_MAX {
            kept.push(inflating);
        }
    }

    /// A buffer of so many bytes, with anything in it.
    pub(super) fn scratch(&self, len: usize) -> Vec<u8> {
        let found = self.kept().scratch.pop();
        let mut scratch = found.unwrap_or_default();
        scratch.resize(len, 0);
        scratch
    }

    pub(super) fn give_back_scratch(&self, scratch: Vec<u8>) {
        let kept = &mut self.kept().scratch;
        if kept.len() < KEPT_MAX {
            kept.push(scratch);
        }
    }
}

impl core::fmt::Debug for Pool {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Deflating {
    fn new(shape: Shape) -> Self {
        let config = DeflateConfig {
            level: shape.level.into(),
            // Negative for DEFLATE without a header.
            window_bits: -i32::from(shape.window_bits),
            mem_level: shape.mem_level.into(),
            ..DeflateConfig::default()
        };
        Self { shape, deflate: zlib_rs::Deflate::new_with_config(config) }
    }
}

impl Inflating {
    fn new() -> Self {
        // The largest window, which takes what any smaller one has made; it costs no more.
        Self {
            inflate: Inflate::new(false, 15),
            fresh: true,
            ended: false,
            tail: 0,
            scratch: Vec::new(),
            made: 0,
        }
    }

    pub(super) fn reset(&mut self) {
        if !self.fresh {
            self.inflate.reset(false);
        }
        self.fresh = true;
        self.begin();
    }

    /// A message begins.
    pub(super) fn begin(&mut self) {
        self.ended = false;
        self.tail = 0;
        self.made = 0;
    }
}
