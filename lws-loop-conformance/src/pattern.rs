//! Test content that depends on its stream and position, so that a lost or doubled byte, or one of another
//! connection, is detected.

use std::sync::LazyLock;

/// The number of bytes after which content repeats: a prime, so that it divides no buffer size.
const PERIOD: usize = 65_521;

static TABLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    // The highest byte of the product with a 64-bit golden ratio: Fibonacci hashing.
    (0..PERIOD as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
});

/// The endless content of `seed`, from `at` on, as slices of the table.
fn slices(seed: u64, at: u64) -> impl Iterator<Item = &'static [u8]> {
    let first = (at.wrapping_add(seed.wrapping_mul(4_099)) % PERIOD as u64) as usize;
    let table: &'static [u8] = &TABLE;
    std::iter::once(&table[first..]).chain(std::iter::repeat(table))
}

/// The content of `seed`, from `at` on.
pub(crate) fn bytes(seed: u64, at: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(len);
    for slice in slices(seed, at) {
        let left = len - bytes.len();
        if left == 0 {
            break;
        }
        bytes.extend_from_slice(&slice[..left.min(slice.len())]);
    }
    bytes
}

/// Whether `bytes` are the content of `seed` at `at`.
pub(crate) fn fits(seed: u64, at: u64, mut bytes: &[u8]) -> bool {
    for slice in slices(seed, at) {
        let (piece, rest) = bytes.split_at(bytes.len().min(slice.len()));
        if piece != &slice[..piece.len()] {
            return false;
        }
        if rest.is_empty() {
            break;
        }
        bytes = rest;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_or_of_another_does_not_fit() {
        let content = bytes(1, 1_000, 200_000);
        assert_eq!(content.len(), 200_000);
        assert!(fits(1, 1_000, &content));
        assert!(fits(1, 1_100, &content[100..]));
        for (seed, at) in [(2, 1_000), (1, 1_001), (1, 999), (1, 1_000 + 65_536)] {
            assert!(!fits(seed, at, &content[..64]), "{seed} {at}");
        }
    }
}
