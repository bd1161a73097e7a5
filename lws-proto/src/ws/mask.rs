//! Masking. RFC 6455 §5.3.
//!
//! This module knows no frames: it applies a key to bytes in place.

/// A masking key, rotated so that its first byte is that of the next byte of the payload. The key zero changes
/// nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MaskingKey(u32);

/// From this length on, it pays to detect the widest vectors that the processor has.
#[cfg(feature = "std")]
const WIDE_BYTES_MIN: usize = 1024;

impl MaskingKey {
    /// The key as it stands on the wire.
    #[inline]
    pub(crate) fn new(bytes: [u8; 4]) -> Self {
        Self(u32::from_ne_bytes(bytes))
    }

    /// Masks or unmasks a whole payload.
    #[inline]
    pub(crate) fn apply_whole(self, payload: &mut [u8]) {
        #[cfg(feature = "std")]
        if payload.len() >= WIDE_BYTES_MIN {
            return wide(self.0, payload);
        }
        narrow(self.0, payload);
    }

    /// Masks or unmasks the next bytes of the payload.
    #[inline]
    pub(crate) fn apply(&mut self, payload: &mut [u8]) {
        if self.0 == 0 {
            return;
        }
        #[cfg(feature = "std")]
        if payload.len() >= WIDE_BYTES_MIN {
            wide(self.0, payload);
            self.turn(payload.len());
            return;
        }
        narrow(self.0, payload);
        self.turn(payload.len());
    }

    /// Moves the key on by `len` bytes.
    #[inline]
    pub(crate) fn turn(&mut self, len: usize) {
        let bits = (len % 4 * 8) as u32;
        self.0 =
            if cfg!(target_endian = "little") { self.0.rotate_right(bits) } else { self.0.rotate_left(bits) };
    }
}

#[cfg(feature = "std")]
fn wide(key: u32, payload: &mut [u8]) {
    fearless_simd::dispatch!(fearless_simd::Level::new(), _simd => blocks::<128>(key, payload));
}

#[inline]
fn narrow(key: u32, payload: &mut [u8]) {
    blocks::<32>(key, payload);
}

/// Whole blocks of `N` bytes, which the compiler turns into vectors, then words, then bytes.
#[inline(always)]
fn blocks<const N: usize>(key: u32, payload: &mut [u8]) {
    let double = u64::from(key) << 32 | u64::from(key);
    let (blocks, rest) = payload.as_chunks_mut::<N>();
    for block in blocks {
        for word in block.as_chunks_mut::<8>().0 {
            *word = (u64::from_ne_bytes(*word) ^ double).to_ne_bytes();
        }
    }
    let (words, rest) = rest.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ double).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(double.to_ne_bytes()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn each_byte_meets_its_byte_of_the_key_however_the_payload_is_cut() {
        let key = [0x11, 0x22, 0x44, 0x88];
        for len in [0, 1, 2, 3, 4, 7, 8, 9, 31, 32, 33, 63, 64, 65, 1000, 1023, 1024, 1025, 5000] {
            let plain: Vec<u8> = (0..len).map(|at| at as u8).collect();
            let expected: Vec<u8> =
                plain.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
            for cut in [0, 1, 2, 3, 5, len / 2, len] {
                let mut payload = plain.clone();
                let (front, back) = payload.split_at_mut(cut.min(len));
                let mut mask = MaskingKey::new(key);
                mask.apply(front);
                mask.apply(back);
                assert_eq!(payload, expected, "{len} bytes cut at {cut}");
            }
        }
    }
}
