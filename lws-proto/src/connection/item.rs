//! The items that receivers find, with positions in place of borrows. [`Connection`](crate::Connection) turns them
//! into events last.

use crate::error::Cause;
use crate::key::StreamKey;
use crate::protocol::{MessageKind, Protocol};
use crate::ws::CloseCode;
use core::ops::Range;

/// The result of one step of a receiver.
#[derive(Debug)]
pub(crate) struct Step {
    /// Bytes taken from the front of the input.
    pub(crate) consumed: usize,
    /// The item that they completed, if any.
    pub(crate) item: Option<Item>,
}

impl Step {
    /// Bytes were taken, without an item: more are needed, or a notice is due.
    #[inline]
    pub(crate) fn taken(consumed: usize) -> Self {
        Self { consumed, item: None }
    }

    /// Bytes were taken and completed an item.
    #[inline]
    pub(crate) fn found(consumed: usize, item: Item) -> Self {
        Self { consumed, item: Some(item) }
    }
}

/// An event without its borrows. Ranges are positions in the input that the receiver was shown.
#[derive(Debug)]
pub(crate) enum Item {
    Request { end: bool },
    Response { end: bool },
    Body { content: Content, end: bool },
    Trailers,
    Established { protocol: Protocol, head: bool },
    Message { content: Content, kind: MessageKind, reserved: u8, first: bool, remaining: u64, end: bool },
    Control { content: Content, control: ControlKind },
    Raw { content: Content, end: bool },
    Writable,
    Timeout,
    PeerEnded,
    Closed { key: StreamKey, cause: Cause },
}

impl Item {
    /// This item, found in input that a stream holds from `start` on.
    pub(crate) fn in_held(mut self, start: usize) -> Self {
        if let Self::Message { content, .. }
        | Self::Control { content, .. }
        | Self::Body { content, .. }
        | Self::Raw { content, .. } = &mut self
            && let Content::Input(range) = content
        {
            *content = Content::Held(start + range.start..start + range.end);
        }
        self
    }

    /// Whether the receiver holds content for it that may be freed once it has been lent.
    #[inline]
    pub(crate) fn is_assembled(&self) -> bool {
        matches!(
            self,
            Self::Message { content: Content::Assembled | Content::Decoded(_) | Content::Held(_), .. }
                | Self::Control { content: Content::Assembled | Content::Held(_), .. }
                | Self::Body { content: Content::Held(_), .. }
                | Self::Raw { content: Content::Held(_), .. }
        )
    }
}

/// The location of the content of a message or control frame.
#[derive(Debug)]
pub(crate) enum Content {
    Input(Range<usize>),
    /// In input that a stream holds.
    Held(Range<usize>),
    /// In the receiver, which assembled it.
    Assembled,
    /// In the decoder of an extension: the first bytes, of this number.
    Decoded(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ControlKind {
    Ping,
    Pong,
    Close(CloseCode),
}
