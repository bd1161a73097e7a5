//! Random bytes of the system, for the masks and the nonce of clients.
//!
//! A process that forks leaves its child the bytes that it has in store. Neither may use what the other does, so that a child begins
//! with bytes of its own.

use crate::sys;
use lws_proto::Entropy;
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::io;

/// Unpredictable bytes: RFC 6455 §10.3. Holds nothing itself; the clients of a thread share one pool.
#[derive(Debug)]
pub struct SystemEntropy(());

/// One system call serves this many masks.
const POOL_BYTES: usize = 1 << 10;

struct Pool {
    bytes: [u8; POOL_BYTES],
    used: usize,
    /// The process that the bytes are for.
    process: sys::Process,
}

thread_local! {
    static POOL: RefCell<Pool> =
        const { RefCell::new(Pool { bytes: [0; POOL_BYTES], used: POOL_BYTES, process: sys::Process::NONE }) };
}

impl SystemEntropy {
    /// # Errors
    /// The system has no random bytes to give.
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
                // What was given out is not kept.
                from.fill(0);
                pool.used += piece.len();
                debug_assert!(pool.used <= POOL_BYTES);
            }
        });
    }
}

impl Pool {
    fn refill(&mut self) {
        if getrandom::fill(&mut self.bytes).is_err() {
            // It worked when this was made, so this should not be. SipHash under keys that the system gave the process
            // cannot be predicted either.
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
