//! Replies without a protocol: as many bytes as were sent.

use super::Tally;

#[derive(Default)]
pub(crate) struct Replies {
    /// Bytes of the current reply so far.
    position: usize,
    first_read: bool,
    first_wrong: bool,
}

impl Replies {
    pub(crate) fn read(&mut self, bytes: &[u8], echoed: &[u8], tally: &mut Tally) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (part, after) = rest.split_at(rest.len().min(echoed.len() - self.position));
            let end = self.position + part.len();
            if !self.first_read && part != &echoed[self.position..end] {
                self.first_wrong = true;
            }
            self.position = end;
            rest = after;
            if self.position == echoed.len() {
                self.complete(tally);
            }
        }
        bytes.len()
    }

    fn complete(&mut self, tally: &mut Tally) {
        tally.replies += 1;
        if !self.first_read {
            self.first_read = true;
            tally.bad += u64::from(self.first_wrong);
            tally.verified += u64::from(!self.first_wrong);
        }
        self.position = 0;
    }
}
