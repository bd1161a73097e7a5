//! Messages that wait for one WebSocket whose peer is slow, with a bound and a policy: none is lost without a word.
//!
//! A handler that sends many messages, or sends when something else has happened, cannot always have a permit. It keeps an [`Outbox`],
//! sends through it, and hands it each permit.

use crate::MessageKind;
use lws_proto::ws::CloseCode;
use lws_proto::{Bytes, Misuse, Payload, WebSocket, WebSocketPermit};
use std::collections::VecDeque;
use std::fmt;

/// What becomes of a message for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overflow {
    /// It is refused: [`Outbox::send`] answers [`NotSent::Full`].
    #[default]
    Refuse,
    /// The oldest ones that wait make room for it. [`Outbox::dropped`] counts them.
    DropOldest,
    /// The WebSocket is closed with 1013, as its peer does not keep up. RFC 6455 §7.4.1 and its registry.
    Close,
}

/// Messages that wait for one WebSocket, in order.
///
/// ```
/// use lws_server::ws::{self, Message, NotSent, Outbox};
/// use lws_server::{Bytes, Context, WebSocket, WebSocketPermit};
///
/// /// Says everything twice.
/// #[derive(Default)]
/// struct Twice(Outbox);
///
/// impl ws::Handler for Twice {
///     fn message(&mut self, _: &mut Context<'_>, mut stream: WebSocket<'_>, message: Message<'_>) {
///         for _ in 0..2 {
///             match self.0.send(stream, message.kind, Bytes::copy_from_slice(message.chunk)) {
///                 Ok(left) => stream = left,
///                 // A peer that asks for more than it reads.
///                 Err(NotSent::Full(stream, _)) => return stream.abort(),
///                 Err(_) => return,
///             }
///         }
///     }
///
///     fn writable(&mut self, _: &mut Context<'_>, permit: WebSocketPermit<'_>) {
///         self.0.writable(permit);
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Outbox {
    waiting: VecDeque<(MessageKind, Bytes)>,
    bytes: usize,
    messages_max: usize,
    bytes_max: usize,
    overflow: Overflow,
    dropped: u64,
}

/// Why a message was not sent.
#[derive(Debug)]
pub enum NotSent<'s> {
    /// There is no room for it. It is given back, with the stream.
    Full(WebSocket<'s>, Bytes),
    /// The WebSocket closes: by [`Overflow::Close`], or as one of both sides has said.
    Closing,
    /// The WebSocket takes no message any more, or the handler is in the middle of one.
    Misuse(Misuse),
}

impl fmt::Display for NotSent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(..) => f.write_str("as many messages wait for the peer as may"),
            Self::Closing => f.write_str("the peer does not keep up, and the WebSocket closes"),
            Self::Misuse(misuse) => misuse.fmt(f),
        }
    }
}

impl std::error::Error for NotSent<'_> {}

impl Default for Outbox {
    /// 64 messages and 256 KiB may wait.
    fn default() -> Self {
        Self::new(64, 256 << 10)
    }
}

impl Outbox {
    /// So many messages, and bytes of them, may wait. One message may, however long it is.
    #[must_use]
    pub fn new(messages_max: usize, bytes_max: usize) -> Self {
        let (waiting, overflow) = (VecDeque::new(), Overflow::default());
        Self { waiting, bytes: 0, messages_max: messages_max.max(1), bytes_max, overflow, dropped: 0 }
    }

    /// Sets what becomes of a message for which there is no room.
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// Sends a message now, if it may be sent and none waits, or when it may be. Returns the stream.
    ///
    /// # Errors
    /// It was neither sent nor taken.
    pub fn send<'s>(
        &mut self,
        stream: WebSocket<'s>,
        kind: MessageKind,
        message: impl Into<Bytes>,
    ) -> Result<WebSocket<'s>, NotSent<'s>> {
        let message = message.into();
        if stream.has_ended() {
            // No permit comes any more, for this message or for those that wait.
            self.clear();
            return Err(NotSent::Closing);
        }
        if !self.waiting.is_empty() {
            return self.push(stream, kind, message);
        }
        match stream.permit() {
            Ok(permit) => match permit.message(kind, Payload::Own(message), true) {
                Ok(sent) => Ok(sent.into_stream()),
                Err(misuse) => Err(NotSent::Misuse(misuse)),
            },
            Err(stream) => self.push(stream, kind, message),
        }
    }

    fn push<'s>(
        &mut self,
        mut stream: WebSocket<'s>,
        kind: MessageKind,
        message: Bytes,
    ) -> Result<WebSocket<'s>, NotSent<'s>> {
        if !self.has_room(message.len()) {
            match self.overflow {
                Overflow::Refuse => return Err(NotSent::Full(stream, message)),
                Overflow::DropOldest => self.make_room(message.len()),
                Overflow::Close => {
                    self.clear();
                    // If it is closing already there is nothing left to do.
                    let _ = stream.close(CloseCode::TRY_AGAIN_LATER, "too slow");
                    return Err(NotSent::Closing);
                }
            }
        }
        self.bytes += message.len();
        self.waiting.push_back((kind, message));
        stream.want_write();
        Ok(stream)
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.waiting.is_empty()
            || self.waiting.len() < self.messages_max && self.bytes.saturating_add(bytes) <= self.bytes_max
    }

    fn make_room(&mut self, bytes: usize) {
        while !self.has_room(bytes) && self.pop().is_some() {
            self.dropped += 1;
        }
    }

    fn pop(&mut self) -> Option<(MessageKind, Bytes)> {
        let message = self.waiting.pop_front()?;
        self.bytes -= message.1.len();
        Some(message)
    }

    /// Sends what waits, as far as the peer takes it, and asks for the next permit if something is left: for the `writable` of the handler.
    /// Returns the stream when nothing waits any more.
    pub fn writable<'s>(&mut self, permit: WebSocketPermit<'s>) -> Option<WebSocket<'s>> {
        let mut stream = permit.into_stream();
        loop {
            let permit = match stream.permit() {
                Ok(permit) => permit,
                Err(mut held) => {
                    if !self.waiting.is_empty() {
                        held.want_write();
                        return None;
                    }
                    return Some(held);
                }
            };
            let Some((kind, message)) = self.pop() else { return Some(permit.into_stream()) };
            match permit.message(kind, Payload::Own(message), true) {
                Ok(sent) => stream = sent.into_stream(),
                // It takes nothing any more, as it closes.
                Err(_) => {
                    self.clear();
                    return None;
                }
            }
        }
    }

    fn clear(&mut self) {
        self.waiting = VecDeque::new();
        self.bytes = 0;
    }

    /// Messages that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes of the messages that wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Messages that [`Overflow::DropOldest`] has dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}
