//! A hash of octets that arrive in parts: FNV-1a, 64 bits. It detects accidental differences, and not deliberate ones.

/// The hash of the octets so far, and their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash {
    pub(crate) value: u64,
    pub(crate) octets: u64,
}

impl Default for Hash {
    fn default() -> Self {
        Self { value: 0xcbf2_9ce4_8422_2325, octets: 0 }
    }
}

impl Hash {
    pub(crate) fn add(&mut self, octets: &[u8]) {
        self.octets += octets.len() as u64;
        for octet in octets {
            self.value = (self.value ^ u64::from(*octet)).wrapping_mul(0x100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_matter_and_the_published_vectors_hold() {
        for (octets, value) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            let mut whole = Hash::default();
            whole.add(octets.as_bytes());
            assert_eq!(whole.value, value, "{octets:?}");
            let mut parts = Hash::default();
            octets.bytes().for_each(|octet| parts.add(&[octet]));
            assert_eq!(parts, whole);
        }
    }
}
