//! Random bytes of the system, for the masks and nonces of clients.
//!
//! A fork(2) copies the pool of unused bytes to the child. Parent and child must not use the same bytes, so a child
//! refills its pool first.

use crate::sys;
use lws_proto::Entropy;
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::io;

/// Unpredictable bytes: RFC 6455 §10.3. Holds nothing itself; the clients of a thread share one pool.
#[derive(Debug)]
pub struct SystemEntropy(());

/// The size of the pool: one system call fills it.
const POOL_BYTES: usize = 1 << 10;

struct BytePool {
    bytes: [u8; POOL_BYTES],
    used: usize,
    /// The process that filled the pool.
    process: sys::Process,
}

thread_local! {
    static POOL: RefCell<BytePool> =
        const { RefCell::new(BytePool { bytes: [0; POOL_BYTES], used: POOL_BYTES, process: sys::Process::NONE }) };
}

impl SystemEntropy {
    /// # Errors
    /// The system has no source of random bytes.
    pub fn new() -> io::Result<Self> {
        getrandom::fill(&mut [0; 1]).map_err(io::Error::from)?;
        Ok(Self(()))
    }
}

impl Entropy for SystemEntropy {
    fn fill(&mut self, bytes: &mut [u8]) {
        #[cfg(feature = "simulation")]
        if crate::simulation::ask(|network| network.random(bytes)).is_some() {
            return;
        }
        POOL.with_borrow_mut(|pool| {
            let process = sys::Process::current();
            if pool.process != process {
                pool.used = POOL_BYTES;
                pool.process = process;
            }
            for piece in bytes.chunks_mut(POOL_BYTES) {
                if POOL_BYTES - pool.used < piece.len() {
                    pool.refill();
                }
                let from = &mut pool.bytes[pool.used..pool.used + piece.len()];
                piece.copy_from_slice(from);
                // Bytes that were given out are erased from the pool.
                from.fill(0);
                pool.used += piece.len();
                debug_assert!(pool.used <= POOL_BYTES);
            }
        });
    }
}

impl BytePool {
    fn refill(&mut self) {
        if getrandom::fill(&mut self.bytes).is_err() {
            // The system call worked when this was made, so it should not fail now. If it does, SipHash under keys
            // that the process got from the system is unpredictable as well.
            for word in self.bytes.chunks_mut(8) {
                word.copy_from_slice(&RandomState::new().hash_one(word.len()).to_ne_bytes()[..word.len()]);
            }
        }
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_differ_each_time_and_fill_any_length() {
        let mut entropy = SystemEntropy::new().expect("random bytes");
        for len in [0, 1, 4, 16, 1_000, POOL_BYTES, POOL_BYTES + 1, 5_000] {
            let (mut first, mut second) = (vec![0; len], vec![0; len]);
            entropy.fill(&mut first);
            entropy.fill(&mut second);
            assert!(len < 16 || first != second, "{len} bytes");
        }
    }
}
