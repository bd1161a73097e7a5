//! Octets that wait for the transport.

/// Octets in one piece: written at the end, and taken from the front.
#[derive(Debug, Default)]
pub(crate) struct TransmitBuffer {
    octets: Vec<u8>,
    /// Octets at the front that the transport has taken.
    taken: usize,
}

/// Above this capacity the buffer is given back when it is empty.
const KEPT_BYTES: usize = 64 << 10;

impl TransmitBuffer {
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.octets);
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.octets[self.taken..]
    }

    /// The transport has taken `count` octets.
    pub(crate) fn consume(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.octets.len());
        if self.taken == self.octets.len() {
            self.octets.clear();
            self.octets.shrink_to(KEPT_BYTES);
            self.taken = 0;
        } else if self.taken > self.octets.len() / 2 {
            // Moved when no more than was taken has to move, so that each octet moves about once.
            self.octets.drain(..self.taken);
            self.taken = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_leave_in_their_order_and_memory_is_given_back() {
        let (mut output, mut expected, mut seen) = (TransmitBuffer::default(), Vec::new(), Vec::new());
        for round in 0..200_u32 {
            let octets: Vec<u8> = (0..1_000 + round).map(|it| it as u8).collect();
            expected.extend_from_slice(&octets);
            output.push(|out| out.extend_from_slice(&octets));
            let count = output.octets().len().min(round as usize * 7);
            seen.extend_from_slice(&output.octets()[..count]);
            output.consume(count);
        }
        seen.extend_from_slice(output.octets());
        output.consume(usize::MAX / 2);
        assert_eq!(output.octets(), b"");
        assert!(output.octets.capacity() <= KEPT_BYTES);
        assert!(seen == expected, "the same octets");
    }
}
