//! What a receiver found, by position. Borrows are lent from it last, by [`Connection`](crate::Connection).

use crate::ws::CloseCode;
use crate::{Cause, MessageKind, Protocol, StreamKey};
use core::ops::Range;

/// What came of a look at the input.
#[derive(Debug)]
pub(crate) struct Step {
    /// Bytes taken from the front of the input.
    pub(crate) consumed: usize,
    /// What they were, if they were something whole.
    pub(crate) item: Option<Item>,
}

impl Step {
    /// Bytes were taken; more are needed, or a notice is due.
    #[inline]
    pub(crate) fn taken(consumed: usize) -> Self {
        Self { consumed, item: None }
    }

    /// Bytes were taken and are this.
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
    Body { range: Range<usize>, end: bool },
    Trailers,
    Established { protocol: Protocol, head: bool },
    Message { content: Content, kind: MessageKind, reserved: u8, first: bool, remaining: u64, end: bool },
    Control { content: Content, control: ControlKind },
    Raw { range: Range<usize>, end: bool },
    Writable,
    Timeout,
    Closed { key: StreamKey, cause: Cause },
}

impl Item {
    /// Whether the receiver holds something for it that may go once it has been lent.
    #[inline]
    pub(crate) fn is_assembled(&self) -> bool {
        matches!(
            self,
            Self::Message { content: Content::Assembled | Content::Decoded(_), .. }
                | Self::Control { content: Content::Assembled, .. }
        )
    }
}

/// Where the content of a message or control frame is.
#[derive(Debug)]
pub(crate) enum Content {
    Input(Range<usize>),
    /// In the receiver, which put it together.
    Assembled,
    /// What an extension made of the input: its first so many bytes.
    Decoded(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ControlKind {
    Ping,
    Pong,
    Close(CloseCode),
}
