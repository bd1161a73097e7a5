//! Raw streams: bytes in, bytes out, each direction with an end of its own.

use crate::item::{Content, Item, Step};
use crate::stream::Payload;
use crate::transmit::{Draft, Output};
use crate::tx::{self, Tx};
use crate::ws::CloseCode;
use crate::{Cause, Misuse};

/// The receive half.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    ended: bool,
}

impl Receiver {
    pub(crate) fn receive(&mut self, input: &[u8]) -> Step {
        Step::found(input.len(), Item::Raw { content: Content::Input(0..input.len()), end: false })
    }

    pub(crate) fn receive_eof(&mut self, tx: &mut Tx) -> Option<Item> {
        if self.ended {
            return None;
        }
        self.ended = true;
        if tx.is_truncated() {
            tx.finish(Cause::Truncated);
            return None;
        }
        if let tx::Sender::Raw(sender) = &mut tx.sender {
            sender.peer_ended = true;
        }
        finish_if_over(tx);
        Some(Item::Raw { content: Content::Input(0..0), end: true })
    }
}

/// Ends a raw stream that has ended in both directions.
#[inline]
pub(crate) fn finish_if_over(tx: &mut Tx) {
    if let tx::Sender::Raw(Sender { ended: true, peer_ended: true }) = tx.sender {
        tx.finish(Cause::Closed { code: CloseCode::NO_STATUS, by_peer: false });
    }
}

/// The transmit half.
#[derive(Debug, Default)]
pub(crate) struct Sender {
    ended: bool,
    peer_ended: bool,
}

impl Sender {
    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        !self.ended
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether both directions have ended.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.peer_ended
    }

    pub(crate) fn data(&mut self, out: &mut Output, payload: Payload<'_>, end: bool) -> Result<(), Misuse> {
        if self.ended {
            return Err(Misuse::WrongState);
        }
        payload.push(out);
        self.ended = end;
        Ok(())
    }

    pub(crate) fn fill(
        &mut self,
        out: &mut Output,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> (usize, bool),
    ) {
        let buffer = out.buffer();
        let start = buffer.len();
        let mut draft = Draft::new(buffer);
        draft.buffer().resize(start + max, 0);
        let (len, end) = fill(&mut draft.buffer()[start..]);
        draft.keep();
        buffer.truncate(start + len.min(max));
        self.ended = end;
    }
}
