//! Numbers that look random and are the same in every run.

use lws_proto::Entropy;

/// A generator of 64-bit numbers: xorshift with a multiplication. Not for secrets.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Zero is the one state that xorshift never leaves.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next_u64() % end.max(1) as u64) as usize
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of `choices`, which are not empty.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// So many bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next_u64() as u8).collect()
    }
}

impl Entropy for Random {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.next_u64() as u8;
        }
    }
}

/// What a client of the tests takes for chance: the nonce of the example in RFC 6455 §1.3 first, then [`Random`].
#[derive(Clone, Debug)]
pub struct SampleNonce(Random);

impl SampleNonce {
    /// `Sec-WebSocket-Key` of the example. RFC 6455 §1.3.
    pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    /// `Sec-WebSocket-Accept` of the example. RFC 6455 §1.3.
    pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    /// With masks out of the sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }
}

impl Entropy for SampleNonce {
    fn fill(&mut self, bytes: &mut [u8]) {
        if bytes.len() == 16 {
            bytes.copy_from_slice(b"the sample nonce");
        } else {
            self.0.fill(bytes);
        }
    }
}
