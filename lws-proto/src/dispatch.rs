//! Input to events: the flat dispatch over the protocol that is spoken.
//!
//! The next item is found as an owned, positional value; borrows are lent from it last.

use crate::buffer::Kept;
use crate::detect::{Detected, FirstBytes, detect_at_once};
use crate::item::{Content, ControlKind, Item, Step};
use crate::stream::{Stream, Writable};
use crate::tx::{Sender, SwitchTo, Tx};
use crate::{Control, Event, Expect, h1, h2, http, raw, ws};
use alloc::boxed::Box;

/// The receive half.
pub(crate) struct Rx {
    pub(crate) receiver: Receiver,
    /// Input that is kept. What is lent comes after it.
    pub(crate) kept: Option<Box<Kept>>,
    /// Whether what a receiver put together has been lent, and may go.
    pub(crate) assembled: bool,
    /// The transport has ended.
    pub(crate) eof: bool,
}

/// What understands the input.
pub(crate) enum Receiver {
    /// The first bytes, until they say what they are.
    Detect(Option<Box<FirstBytes>>),
    Http1(Box<h1::Receiver>),
    WebSocket(Box<ws::Receiver>),
    Raw(raw::Receiver),
    Http2(Box<h2::Receiver>),
}

impl Rx {
    #[cold]
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        match &mut self.kept {
            Some(kept) => kept.append(bytes),
            None => self.kept = Some(Box::new(Kept::copy_of(bytes))),
        }
    }

    /// Whether nothing stands before the input: neither kept bytes nor what was put together for the last event.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.kept.is_none() && !self.assembled
    }

    /// Lets go of what was put together for the last event.
    #[inline]
    pub(crate) fn release(&mut self, tx: &mut Tx) {
        if core::mem::take(&mut self.assembled) {
            let released = match &mut self.receiver {
                Receiver::WebSocket(receiver) => receiver.release(),
                Receiver::Http2(receiver) => receiver.release(),
                _ => 0,
            };
            tx.account().shrink(released);
        }
    }

    /// Bytes that are held of what the peer has sent.
    pub(crate) fn held(&self) -> usize {
        let receiver = match &self.receiver {
            Receiver::Detect(first) => first.as_ref().map_or(0, |first| first.held()),
            Receiver::Http1(receiver) => receiver.held(),
            Receiver::WebSocket(receiver) => receiver.held(),
            Receiver::Http2(receiver) => receiver.held_bytes(),
            Receiver::Raw(_) => 0,
        };
        receiver + self.kept.as_ref().map_or(0, |kept| kept.held())
    }

    /// Puts the first bytes back before what is kept, in the hands of the protocol that they turned out to be. Returns
    /// whether it did.
    #[inline]
    pub(crate) fn replay(&mut self, tx: &mut Tx) -> bool {
        matches!(self.receiver, Receiver::Detect(_)) && self.replay_detected(tx)
    }

    fn replay_detected(&mut self, tx: &mut Tx) -> bool {
        let Receiver::Detect(Some(first)) = &mut self.receiver else { return false };
        let Some(detected) = first.decided() else { return false };
        let mut bytes = first.take();
        if let Some(kept) = &mut self.kept {
            bytes.extend_from_slice(kept.filled());
        }
        self.kept = Some(Box::new(Kept::copy_of(&bytes)));
        self.receiver = begin(tx, detected);
        true
    }
}

/// The receiver for what the first bytes are.
fn begin(tx: &mut Tx, detected: Detected) -> Receiver {
    if detected == Detected::Raw && tx.config.expect == Expect::HttpOrRaw {
        begin_raw(tx);
        return Receiver::Raw(raw::Receiver::default());
    }
    if detected == Detected::Http2 && tx.may_speak_http2() {
        return begin_http2(tx);
    }
    // Where HTTP/2 is not spoken its preface goes the same way: the first line is a request for version 2, which is
    // answered 505.
    let mut sender = h1::Sender::server(&tx.config);
    if tx.has_eof_notice() {
        sender.note_peer_end(tx.now);
    }
    tx.sender = Sender::Http1(Box::new(sender));
    Receiver::Http1(Box::new(h1::Receiver::server(tx.opened())))
}

/// The receiver of a server or client that speaks HTTP/2 from here on.
pub(crate) fn begin_http2(tx: &mut Tx) -> Receiver {
    let (client, now) = (tx.is_client(), tx.now);
    tx.begin_http2(Box::new(h2::Sender::new(client, &tx.config, now)));
    Receiver::Http2(Box::new(h2::Receiver::new(client, now)))
}

/// Opens a raw stream, which `Established` tells of.
pub(crate) fn begin_raw(tx: &mut Tx) {
    tx.open_stream();
    tx.switch_to(Sender::Raw(raw::Sender::default()), SwitchTo::Raw(raw::Receiver::default()), false);
}

/// An item, and the position that its ranges count from.
pub(crate) type Found = (Item, usize);

/// Finds the next item in `input` from `at` on, and moves `at`.
#[inline(always)]
pub(crate) fn advance(
    receiver: &mut Receiver,
    tx: &mut Tx,
    input: &mut [u8],
    at: &mut usize,
) -> Option<Found> {
    loop {
        if tx.has_notice()
            && let Some(item) = notice(receiver, tx)
        {
            return Some((item, *at));
        }
        if !tx.is_open() {
            *at = input.len();
            tx.take_eof_notice();
            return None;
        }
        if tx.holds_input() {
            return None;
        }
        if *at == input.len() && !receiver.has_more(tx) {
            return end_of_input(receiver, tx).map(|item| (item, *at));
        }
        let base = *at;
        let step = match receiver {
            Receiver::WebSocket(receiver) => receiver.receive(tx, &mut input[base..]),
            Receiver::Http1(receiver) => {
                if receiver.is_waiting(tx) {
                    return None;
                }
                let step = receiver.receive(tx, &mut input[base..]);
                if let Some(Item::Request { end: true }) = step.item
                    && receiver.asks_for_upgrade()
                {
                    upgrade(receiver, tx, &input[base..]);
                }
                step
            }
            Receiver::Http2(receiver) => receiver.receive(tx, &mut input[base..]),
            Receiver::Raw(receiver) => receiver.receive(&input[base..]),
            Receiver::Detect(_) => detect_step(receiver, tx, &input[base..]),
        };
        *at = base + step.consumed;
        if let Some(item) = step.item {
            return Some((item, base));
        }
    }
}

/// Goes to HTTP/2 with a request that asks for it. The request itself is told as any other.
#[cold]
fn upgrade(receiver: &h1::Receiver, tx: &mut Tx, input: &[u8]) {
    let head = receiver.head(input);
    if tx.may_speak_http2()
        && let Some(upgrade) = h2::asks_for_upgrade(&head, &tx.config)
    {
        tx.upgrade_to_http2(&upgrade, head.method());
    }
}

/// Looks at the first bytes. Those that were taken before they could decide are put back by [`Rx::replay`].
#[cold]
fn detect_step(receiver: &mut Receiver, tx: &mut Tx, input: &[u8]) -> Step {
    let Receiver::Detect(first) = receiver else { return Step::taken(0) };
    let bytes_max = tx.config.limits.head_bytes_max;
    // Only the HTTP/2 preface needs a second look where anything else is an error of HTTP/1.1.
    let detected = match (&*first, tx.config.expect, input.first()) {
        (None, Expect::Http, Some(first)) if *first != b'P' => Some(Detected::Http1),
        (None, ..) => detect_at_once(input, bytes_max),
        (Some(_), ..) => None,
    };
    match detected {
        Some(detected) => {
            *receiver = begin(tx, detected);
            Step::taken(0)
        }
        None => {
            first.get_or_insert_default().take_in(input, bytes_max);
            Step::taken(input.len())
        }
    }
}

/// A protocol switch that is due, or something to tell that is not input.
#[cold]
fn notice(receiver: &mut Receiver, tx: &mut Tx) -> Option<Item> {
    if tx.take_switch_notice()
        && let Some(switch) = tx.take_switch()
    {
        let protocol = switch.protocol();
        let announced = switch.announced;
        *receiver = match switch.receiver {
            SwitchTo::WebSocket(next) => Receiver::WebSocket(next),
            SwitchTo::Raw(next) => Receiver::Raw(next),
            SwitchTo::Http2(next) => Receiver::Http2(next),
        };
        if !announced {
            return Some(Item::Established { protocol, head: false });
        }
    }
    tx.notice()
}

/// The input has been looked at to its end. Tells that the peer will send no more, once.
#[inline]
fn end_of_input(receiver: &mut Receiver, tx: &mut Tx) -> Option<Item> {
    if !tx.has_eof_notice() || receiver.is_decided() || !tx.take_eof_notice() {
        return None;
    }
    let item = match receiver {
        Receiver::Http1(receiver) => receiver.receive_eof(tx),
        Receiver::Raw(receiver) => receiver.receive_eof(tx),
        Receiver::Http2(receiver) => receiver.receive_eof(tx),
        Receiver::WebSocket(receiver) => {
            receiver.receive_eof(tx);
            None
        }
        Receiver::Detect(_) => {
            tx.finish(tx.loss());
            None
        }
    };
    item.or_else(|| tx.notice())
}

impl Receiver {
    /// Whether the first bytes have decided what they are, and wait to be put back.
    fn is_decided(&self) -> bool {
        matches!(self, Self::Detect(Some(first)) if first.decided().is_some())
    }

    /// Whether it is known to have nothing to tell without more input, as long as nothing disturbs the stream.
    #[inline]
    pub(crate) fn is_settled(&self, tx: &Tx) -> bool {
        match self {
            Self::WebSocket(_) | Self::Raw(_) => true,
            Self::Http1(receiver) => !receiver.has_more(tx),
            Self::Http2(_) | Self::Detect(_) => false,
        }
    }

    /// Whether the receiver has something to tell without more input.
    #[inline]
    pub(crate) fn has_more(&self, tx: &Tx) -> bool {
        match self {
            Self::Http1(receiver) => receiver.has_more(tx),
            Self::WebSocket(_) => tx.has_more(),
            Self::Http2(receiver) => receiver.has_more(tx),
            _ => false,
        }
    }
}

/// Lends what an item needs: content from the input or the receiver, and the transmit half to the handle.
#[inline(always)]
pub(crate) fn lend<'a>(
    item: Item,
    base: usize,
    input: &'a mut [u8],
    receiver: &'a mut Receiver,
    tx: &'a mut Tx,
) -> Event<'a> {
    let tx = tx.lent();
    match item {
        Item::Message { content, kind, reserved, first, remaining, end } => {
            let reserved = ws::ReservedBits::of_frame(reserved);
            let chunk = content.lend(base, input, receiver, false);
            Event::Message { stream: Stream { tx }, kind, reserved, chunk, first, remaining, end }
        }
        Item::Body { content, end } => {
            let chunk = content.lend(base, input, receiver, false);
            Event::Body { stream: Stream { tx }, chunk, end }
        }
        Item::Raw { content, end } => {
            let chunk = content.lend(base, input, receiver, false);
            Event::Raw { stream: Stream { tx }, chunk, end }
        }
        Item::Request { end } => {
            Event::Request { stream: Stream { tx }, head: receiver.head(&input[base..]), end }
        }
        Item::Response { end } => {
            Event::Response { stream: Stream { tx }, head: receiver.head(&input[base..]), end }
        }
        Item::Trailers => Event::Trailers { stream: Stream { tx }, head: receiver.head(&input[base..]) },
        Item::Established { protocol, head } => {
            let head = head.then(|| receiver.head(&input[base..]));
            Event::Established { stream: Stream { tx }, protocol, head }
        }
        Item::Control { content, control } => {
            let payload: &'a [u8] = content.lend(base, input, receiver, true);
            Event::Control { stream: Stream { tx }, control: control.lend(payload) }
        }
        Item::Writable => Event::Writable(Writable::new(tx)),
        Item::Timeout => Event::Timeout { stream: Stream { tx } },
        Item::PeerEnded => Event::PeerEnded { stream: Stream { tx } },
        Item::Closed { key, cause } => Event::Closed { key, cause },
    }
}

/// The whole message in `input` at `at`: the way of most messages, once nothing else is to be told first.
#[inline(always)]
pub(crate) fn message_in_one(
    receiver: &mut ws::Receiver,
    tx: &Tx,
    input: &mut [u8],
    at: &mut usize,
) -> Option<ws::InOne> {
    let message = receiver.message_in_one(&tx.config.limits, &mut input[*at..])?;
    let message = ws::InOne { start: *at + message.start, end: *at + message.end, ..message };
    *at = message.end;
    Some(message)
}

/// Lends a message that stands in the input.
#[inline]
pub(crate) fn lend_in_one<'a>(message: ws::InOne, tx: &'a mut Tx, input: &'a mut [u8]) -> Event<'a> {
    let chunk = &mut input[message.start..message.end];
    let ws::InOne { kind, .. } = message;
    let reserved = ws::ReservedBits::NONE;
    Event::Message { stream: Stream { tx }, kind, reserved, chunk, first: true, remaining: 0, end: true }
}

impl Receiver {
    fn head<'a>(&'a self, input: &'a [u8]) -> http::Head<'a> {
        match self {
            Self::Http1(receiver) => receiver.head(input),
            Self::Http2(receiver) => receiver.head(),
            _ => http::Head::EMPTY,
        }
    }
}

impl Content {
    #[inline]
    fn lend<'a>(
        self,
        base: usize,
        input: &'a mut [u8],
        receiver: &'a mut Receiver,
        control: bool,
    ) -> &'a mut [u8] {
        match (self, receiver) {
            (Self::Input(range), _) => &mut input[base + range.start..base + range.end],
            (Self::Assembled, Receiver::WebSocket(receiver)) => receiver.assembled(control),
            (Self::Decoded(len), Receiver::WebSocket(receiver)) => receiver.decoded(len),
            (content, Receiver::Http2(receiver)) => content.lend_of_stream(receiver, control),
            (Self::Assembled | Self::Decoded(_) | Self::Held(_), _) => &mut [],
        }
    }
}

impl Content {
    /// What a stream of HTTP/2 holds, or what it has become has put together.
    #[cold]
    fn lend_of_stream(self, receiver: &mut h2::Receiver, control: bool) -> &mut [u8] {
        match self {
            Self::Held(range) => receiver.held().get_mut(range).unwrap_or_default(),
            Self::Assembled => receiver.websocket().map_or(&mut [], |receiver| receiver.assembled(control)),
            Self::Decoded(len) => receiver.websocket().map_or(&mut [], |receiver| receiver.decoded(len)),
            Self::Input(_) => &mut [],
        }
    }
}

impl ControlKind {
    fn lend(self, payload: &[u8]) -> Control<'_> {
        match self {
            Self::Ping => Control::Ping(payload),
            Self::Pong => Control::Pong(payload),
            Self::Close(code) => {
                let reason = payload.get(2..).unwrap_or_default();
                Control::Close { code, reason: core::str::from_utf8(reason).unwrap_or_default() }
            }
        }
    }
}
