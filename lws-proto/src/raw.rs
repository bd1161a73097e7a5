//! Raw streams: bytes in, bytes out, each direction with an end of its own.

use crate::connection::channel::Channel;
use crate::connection::item::{Content, Item, Step};
use crate::connection::link::LastWord;
use crate::connection::transmit::{Draft, Output};
use crate::payload::Payload;
use crate::ws::CloseCode;
use crate::{Cause, Misuse};

/// Why a raw stream ends that has ended in both directions, or is ended in order.
pub(crate) const ENDED: Cause = Cause::Closed { code: CloseCode::NO_STATUS, by_peer: false };

/// Both directions, before either has begun.
#[derive(Debug, Default)]
pub(crate) struct Half {
    pub(crate) sender: ByteSender,
    pub(crate) receiver: ByteReceiver,
}

/// The peer's direction. Whether that has ended is part of the other half, which outlives it.
#[derive(Debug, Default)]
pub(crate) struct ByteReceiver;

impl ByteReceiver {
    pub(crate) fn receive(&self, input: &[u8]) -> Step {
        Step::found(input.len(), Item::Raw { content: Content::Input(0..input.len()), end: false })
    }

    /// The peer's direction has ended, which is delivered once.
    pub(crate) fn receive_eof(&self, sender: &mut ByteSender, channel: &mut Channel) -> Option<Item> {
        if core::mem::replace(&mut sender.peer_ended, true) {
            return None;
        }
        if channel.link.is_truncated() {
            channel.finish(Cause::Truncated, LastWord::Fin);
            return None;
        }
        sender.finish_if_over(channel);
        Some(Item::Raw { content: Content::Input(0..0), end: true })
    }
}

/// This side's direction.
#[derive(Debug, Default)]
pub(crate) struct ByteSender {
    ended: bool,
    peer_ended: bool,
}

impl ByteSender {
    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        !self.ended
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether both directions have ended.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.peer_ended
    }

    /// Ends a stream that has ended in both directions.
    #[inline]
    pub(crate) fn finish_if_over(&self, channel: &mut Channel) {
        if self.is_over() {
            channel.finish(ENDED, LastWord::Fin);
        }
    }

    pub(crate) fn data(&mut self, out: &mut Output, payload: Payload<'_>, end: bool) -> Result<(), Misuse> {
        if self.ended {
            return Err(Misuse::WrongState);
        }
        payload.push(out);
        self.ended = end;
        Ok(())
    }

    /// Queues what `fill` writes where it will be sent from.
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
