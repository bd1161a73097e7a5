//! The dispatch of input: to the receiver of the protocol, and from its items to events.
//!
//! The two halves of a protocol are matched once, in [`pair`]; each protocol then gets its own halves. The next item is
//! found as an owned value with positions, from which borrows are lent last.

use crate::connection::buffer::Kept;
use crate::connection::carried::{Carried, CarriedReceiver};
use crate::connection::channel::Channel;
use crate::connection::detect::{Detected, FirstBytes, detect_at_once};
use crate::connection::item::{Content, ControlKind, Item, Step};
use crate::connection::outbound::{NextReceiver, Outbound, Sending};
use crate::connection::resources::Resources;
use crate::connection::stream::Notices;
use crate::handle::{Exchange, RawStream, Stream, WebSocket, Writable};
use crate::{Control, Established, Event, Expect, Protocol, Time, h1, h2, http, ws};
use alloc::boxed::Box;

/// The receiving side of a connection, from which events lend content.
pub(crate) struct Inbound {
    pub(crate) receiver: Receiving,
    /// Kept input. Lent input comes after it.
    pub(crate) kept: Option<Box<Kept>>,
    /// Whether an assembled message has been lent, and may be freed.
    pub(crate) assembled: bool,
    /// Whether the transport has ended.
    pub(crate) eof: bool,
}

/// The receiving half of the protocol.
#[repr(u8)]
pub(crate) enum Receiving {
    /// The first bytes, until the protocol is detected.
    Detect(Option<Box<FirstBytes>>),
    Http1(Box<h1::MessageReader>),
    Carried(CarriedReceiver),
    Http2(Box<h2::FrameReader>),
}

/// Both halves of the protocol, with the channel or link that they write to.
pub(crate) enum Spoken<'p> {
    /// The protocol is not detected yet.
    Detect(&'p mut Option<Box<FirstBytes>>, &'p mut Channel),
    Http1(&'p mut h1::MessageReader, &'p mut h1::MessageWriter, &'p mut Channel),
    Carried(&'p mut CarriedReceiver, &'p mut Carried, &'p mut Channel, &'p mut Resources),
    Http2(&'p mut h2::FrameReader, &'p mut h2::Session, &'p mut Channel, &'p mut Resources),
    /// The sending half has been replaced and the receiving half will be; or the protocol has ended.
    Between,
}

/// Matches the halves, which are made and replaced together.
#[inline(always)]
pub(crate) fn pair<'p>(receiver: &'p mut Receiving, outbound: &'p mut Outbound) -> Spoken<'p> {
    let is_open = outbound.link().is_open();
    let Outbound { channel, resources, sender, .. } = outbound;
    match (receiver, sender) {
        (Receiving::Carried(receiver), Sending::Carried(carried)) => {
            Spoken::Carried(receiver, carried, channel, resources)
        }
        (Receiving::Http1(receiver), Sending::Http1(sender)) => Spoken::Http1(receiver, sender, channel),
        (Receiving::Http2(receiver), Sending::Http2(session)) => {
            Spoken::Http2(receiver, session, channel, resources)
        }
        (Receiving::Detect(first), Sending::Silent) => Spoken::Detect(first, channel),
        (Receiving::Http1(_), Sending::Carried(_) | Sending::Http2(_)) | (_, Sending::Silent) => {
            Spoken::Between
        }
        _ => {
            debug_assert!(!is_open, "the halves of two protocols");
            Spoken::Between
        }
    }
}

impl Inbound {
    pub(crate) fn new(receiver: Receiving) -> Self {
        Self { receiver, kept: None, assembled: false, eof: false }
    }

    #[cold]
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        match &mut self.kept {
            Some(kept) => kept.append(bytes),
            None => self.kept = Some(Box::new(Kept::copy_of(bytes))),
        }
    }

    /// Whether lent input can be processed at once: there are no kept bytes, and no assembled message has to be
    /// freed.
    #[inline]
    pub(crate) fn is_bare(&self) -> bool {
        self.kept.is_none() && !self.assembled
    }

    /// Frees the message that was assembled for the last event.
    #[inline]
    pub(crate) fn release(&mut self, outbound: &mut Outbound) {
        if core::mem::take(&mut self.assembled) {
            let released = match &mut self.receiver {
                Receiving::Carried(receiver) => receiver.release(),
                Receiving::Http2(receiver) => receiver.release(),
                Receiving::Detect(_) | Receiving::Http1(_) => 0,
            };
            outbound.resources.account.shrink(released);
        }
    }

    /// The bytes of input that are held.
    pub(crate) fn held(&self) -> usize {
        let receiver = match &self.receiver {
            Receiving::Detect(first) => first.as_ref().map_or(0, |first| first.held()),
            Receiving::Http1(receiver) => receiver.held(),
            Receiving::Carried(receiver) => receiver.held(),
            Receiving::Http2(receiver) => receiver.held_bytes(),
        };
        receiver + self.kept.as_ref().map_or(0, |kept| kept.held())
    }

    /// Puts the first bytes back before kept input, for the detected protocol. Returns whether it did.
    #[inline]
    pub(crate) fn replay(&mut self, outbound: &mut Outbound) -> bool {
        matches!(self.receiver, Receiving::Detect(_)) && self.replay_detected(outbound)
    }

    fn replay_detected(&mut self, outbound: &mut Outbound) -> bool {
        let Receiving::Detect(Some(first)) = &mut self.receiver else { return false };
        let Some(detected) = first.decided() else { return false };
        let mut bytes = first.take();
        if let Some(kept) = &mut self.kept {
            bytes.extend_from_slice(kept.filled());
        }
        self.kept = Some(Box::new(Kept::copy_of(&bytes)));
        begin(&mut self.receiver, outbound, detected);
        true
    }
}

/// Begins the detected protocol.
fn begin(receiver: &mut Receiving, outbound: &mut Outbound, detected: Detected) {
    if detected == Detected::Raw && outbound.link().config.expect == Expect::HttpOrRaw {
        outbound.channel.open_stream();
        outbound.begin_raw(false);
    } else if detected == Detected::Http2 && outbound.may_speak_http2() {
        *receiver = Receiving::Http2(outbound.begin_http2());
    } else {
        // If HTTP/2 is not enabled its preface is read as HTTP/1.1: the first line is a request for version 2, which is
        // answered 505.
        *receiver = begin_http1(outbound);
    }
}

fn begin_http1(outbound: &mut Outbound) -> Receiving {
    let link = outbound.link();
    let mut sender = h1::MessageWriter::server(&link.config);
    if link.has_eof() {
        sender.note_peer_end(link.now);
    }
    let receiver = Receiving::Http1(Box::new(h1::MessageReader::server(link.opened())));
    outbound.sender = Sending::Http1(Box::new(sender));
    receiver
}

/// An item, and the position that its ranges count from.
pub(crate) type Found = (Item, usize);

/// Finds the next item in `input` from `at` on, and moves `at`.
#[inline(always)]
pub(crate) fn advance(
    receiver: &mut Receiving,
    outbound: &mut Outbound,
    input: &mut [u8],
    at: &mut usize,
) -> Option<Found> {
    loop {
        // Notices such as ends, timeouts and permits come before input, so that endless input cannot starve them.
        if outbound.has_notice()
            && let Some(item) = notice(receiver, outbound)
        {
            return Some((item, *at));
        }
        // The end of the stream has been delivered. Further input is dropped, until the peer ends as well.
        if !outbound.link().is_open() {
            *at = input.len();
            outbound.channel.link.take_eof();
            outbound.forget_protocol();
            return None;
        }
        if outbound.holds_input() {
            return None;
        }
        // A receiver may hold something that needs no more input, such as decoded data that did not fit its buffer.
        if *at == input.len() && !has_more(receiver, outbound) {
            return end_of_input(receiver, outbound).map(|item| (item, *at));
        }
        let base = *at;
        let step = match pair(receiver, outbound) {
            Spoken::Carried(receiver, carried, channel, resources) => {
                receiver.receive(carried, channel, resources, &mut input[base..])
            }
            Spoken::Http1(receiver, sender, channel) => {
                if receiver.is_waiting(sender) {
                    return None;
                }
                receiver.receive(sender, channel, &mut input[base..])
            }
            Spoken::Http2(receiver, session, channel, resources) => {
                receiver.receive(session, &mut channel.link, resources, &mut input[base..])
            }
            Spoken::Detect(..) => detect_step(receiver, outbound, &input[base..]),
            Spoken::Between => return None,
        };
        *at = base + step.consumed;
        if let Some(item) = step.item {
            after_http1(receiver, outbound, &item, &input[base..]);
            return Some((item, base));
        }
    }
}

/// Switches the protocol, if a request or response of HTTP/1.1 requires it.
#[inline(always)]
fn after_http1(receiver: &Receiving, outbound: &mut Outbound, item: &Item, input: &[u8]) {
    let Receiving::Http1(receiver) = receiver else { return };
    match item {
        Item::Request { end: true } if receiver.asks_for_upgrade() => upgrade(receiver, outbound, input),
        Item::Established { protocol, .. } => outbound.begin_established(*protocol),
        _ => {}
    }
}

/// Upgrades to HTTP/2 if a request asks for it. The request itself is delivered as usual.
#[cold]
fn upgrade(receiver: &h1::MessageReader, outbound: &mut Outbound, input: &[u8]) {
    let head = receiver.head(input);
    if outbound.may_speak_http2()
        && let Some(upgrade) = h2::asks_for_upgrade(&head, &outbound.link().config)
    {
        outbound.upgrade_to_http2(&upgrade, head.method());
    }
}

/// Examines the first bytes. Bytes that were taken while undecided are put back by [`Inbound::replay`].
#[cold]
fn detect_step(receiver: &mut Receiving, outbound: &mut Outbound, input: &[u8]) -> Step {
    let Receiving::Detect(first) = receiver else { return Step::taken(0) };
    let config = &outbound.link().config;
    let bytes_max = config.limits.head_bytes_max;
    // Only the HTTP/2 preface needs a second look where anything else is an error of HTTP/1.1.
    let detected = match (&*first, config.expect, input.first()) {
        (None, Expect::Http, Some(first)) if *first != b'P' => Some(Detected::Http1),
        (None, ..) => detect_at_once(input, bytes_max),
        (Some(_), ..) => None,
    };
    match detected {
        Some(detected) => {
            begin(receiver, outbound, detected);
            Step::taken(0)
        }
        None => {
            first.get_or_insert_default().take_in(input, bytes_max);
            Step::taken(input.len())
        }
    }
}

/// A protocol switch that is due, or something to deliver that is not input.
#[cold]
fn notice(receiver: &mut Receiving, outbound: &mut Outbound) -> Option<Item> {
    if outbound.channel.stream.notices.has(Notices::SWITCH)
        && let Some(item) = take_over(receiver, outbound)
    {
        return Some(item);
    }
    outbound_notice(receiver, outbound)
}

/// The next notice of the sending half. With the end of a stream goes what the other half keeps for it.
fn outbound_notice(receiver: &mut Receiving, outbound: &mut Outbound) -> Option<Item> {
    let item = outbound.notice();
    if let (Receiving::Http2(receiver), Some(Item::Closed { key, .. })) = (receiver, &item) {
        receiver.forget(*key);
    }
    item
}

/// The receiving half of the protocol whose sending half has taken over already.
#[inline(never)]
fn take_over(receiver: &mut Receiving, outbound: &mut Outbound) -> Option<Item> {
    let switch = outbound.take_switch()?;
    let (protocol, announced) = (switch.protocol(), switch.announced);
    *receiver = match switch.receiver {
        NextReceiver::Carried(next) => Receiving::Carried(next),
        NextReceiver::Http2(next) => Receiving::Http2(next),
    };
    (!announced).then_some(Item::Established { protocol, head: false })
}

/// Handles the end of the input: delivers the end of the peer's direction, once.
#[inline]
fn end_of_input(receiver: &mut Receiving, outbound: &mut Outbound) -> Option<Item> {
    if !outbound.link().has_eof() || receiver.is_decided() || !outbound.channel.link.take_eof() {
        return None;
    }
    let item = match pair(receiver, outbound) {
        Spoken::Http1(receiver, sender, channel) => receiver.receive_eof(sender, channel),
        Spoken::Carried(receiver, carried, channel, _) => receiver.receive_eof(carried, channel),
        Spoken::Http2(receiver, session, channel, _) => receiver.receive_eof(session, &mut channel.link),
        Spoken::Detect(..) | Spoken::Between => {
            outbound.finish(outbound.link().loss());
            None
        }
    };
    item.or_else(|| outbound_notice(receiver, outbound))
}

/// Handles timeouts of the receiving side at `now`, after those of the sending side.
pub(crate) fn handle_timeout(receiver: &mut Receiving, outbound: &mut Outbound, now: Time) {
    match pair(receiver, outbound) {
        Spoken::Detect(first, channel) => {
            if channel.link.opened() + channel.link.config.limits.head_timeout <= now
                && let Some(sender) = h1::refuse_undetected(channel, first.is_some())
            {
                outbound.sender = Sending::Http1(Box::new(sender));
            }
        }
        Spoken::Http1(receiver, sender, channel) => receiver.handle_timeout(sender, channel, now),
        Spoken::Http2(receiver, session, channel, resources) => {
            receiver.handle_timeout(session, &mut channel.link, resources, now);
        }
        Spoken::Carried(..) | Spoken::Between => {}
    }
}

/// The next timeout of the receiving side.
#[inline(always)]
pub(crate) fn next_timeout(receiver: &Receiving, outbound: &Outbound) -> Option<Time> {
    let channel = &outbound.channel;
    match (receiver, &outbound.sender) {
        (Receiving::Carried(_), _) => None,
        (Receiving::Http1(receiver), Sending::Http1(sender)) => receiver.next_timeout(sender, channel),
        (Receiving::Http2(receiver), Sending::Http2(session)) => {
            receiver.next_timeout(session, &channel.link)
        }
        (Receiving::Detect(_), _) => Some(channel.link.opened() + channel.link.config.limits.head_timeout),
        (Receiving::Http1(_) | Receiving::Http2(_), _) => None,
    }
}

/// Whether the receiver has something to deliver without more input.
#[inline]
pub(crate) fn has_more(receiver: &Receiving, outbound: &Outbound) -> bool {
    match (receiver, &outbound.sender) {
        (Receiving::Carried(_), _) => outbound.channel.has_more(),
        (Receiving::Http1(receiver), Sending::Http1(sender)) => {
            receiver.has_more(sender, &outbound.link().config.limits)
        }
        (Receiving::Http2(_), Sending::Http2(session)) => session.has_resumed(),
        _ => false,
    }
}

/// Whether input has to wait for the response to the request before it.
pub(crate) fn is_waiting(receiver: &Receiving, outbound: &Outbound) -> bool {
    match (receiver, &outbound.sender) {
        (Receiving::Http1(receiver), Sending::Http1(sender)) => {
            outbound.link().is_open() && receiver.is_waiting(sender)
        }
        _ => false,
    }
}

impl Receiving {
    /// Whether the first bytes have decided what they are, and wait to be put back.
    fn is_decided(&self) -> bool {
        matches!(self, Self::Detect(Some(first)) if first.decided().is_some())
    }

    fn head<'a>(&'a self, input: &'a [u8]) -> http::Head<'a> {
        match self {
            Self::Http1(receiver) => receiver.head(input),
            Self::Http2(receiver) => receiver.head(),
            Self::Detect(_) | Self::Carried(_) => http::Head::EMPTY,
        }
    }
}

/// Whether the receiver certainly has nothing to deliver without more input, if there is no notice.
#[inline]
pub(crate) fn is_settled(receiver: &Receiving, outbound: &Outbound) -> bool {
    if let Receiving::Carried(_) = receiver {
        return true;
    }
    matches!(receiver, Receiving::Http1(_)) && !has_more(receiver, outbound)
}

/// Makes the event of an item: lends content from the input or the receiver, and the sending side to the handle.
#[inline(always)]
pub(crate) fn lend<'a>(
    item: Item,
    base: usize,
    input: &'a mut [u8],
    receiver: &'a mut Receiving,
    outbound: &'a mut Outbound,
) -> Event<'a> {
    match item {
        Item::Message { content, kind, reserved, first, remaining, end } => {
            let reserved = ws::ReservedBits::of_frame(reserved);
            let chunk = content.lend(base, input, receiver, false);
            Event::Message { stream: WebSocket::new(outbound), kind, reserved, chunk, first, remaining, end }
        }
        Item::Body { content, end } => {
            let chunk = content.lend(base, input, receiver, false);
            Event::Body { stream: Exchange::new(outbound), chunk, end }
        }
        Item::Raw { content, end } => {
            let chunk = content.lend(base, input, receiver, false);
            Event::Raw { stream: RawStream::new(outbound), chunk, end }
        }
        Item::Request { end } => {
            Event::Request { stream: Exchange::new(outbound), head: receiver.head(&input[base..]), end }
        }
        Item::Response { end } => {
            Event::Response { stream: Exchange::new(outbound), head: receiver.head(&input[base..]), end }
        }
        Item::Trailers => {
            Event::Trailers { stream: Exchange::new(outbound), head: receiver.head(&input[base..]) }
        }
        Item::Established { protocol, head } => {
            let head = head.then(|| receiver.head(&input[base..]));
            let stream = match protocol {
                Protocol::WebSocket => Established::WebSocket(WebSocket::new(outbound)),
                Protocol::Raw => Established::Raw(RawStream::new(outbound)),
            };
            Event::Established { stream, head }
        }
        Item::Control { content, control } => {
            let payload: &'a [u8] = content.lend(base, input, receiver, true);
            Event::Control { stream: WebSocket::new(outbound), control: control.lend(payload) }
        }
        Item::Writable => Event::Writable(Writable::new(outbound)),
        Item::Timeout => Event::Timeout { stream: Stream::new(outbound) },
        Item::PeerEnded => Event::PeerEnded { stream: Exchange::new(outbound) },
        Item::Closed { key, cause } => Event::Closed { key, cause },
    }
}

/// The fast path: a whole message in `input` at `at`, if nothing has to be delivered before it.
#[inline(always)]
pub(crate) fn message_in_one(
    receiver: &mut ws::FrameReceiver,
    outbound: &Outbound,
    input: &mut [u8],
    at: &mut usize,
) -> Option<ws::InOne> {
    let message = receiver.message_in_one(&outbound.link().config.limits, &mut input[*at..])?;
    let message = ws::InOne { start: *at + message.start, end: *at + message.end, ..message };
    *at = message.end;
    Some(message)
}

/// Makes the event of a message that lies in the input.
#[inline]
pub(crate) fn lend_in_one<'a>(
    message: ws::InOne,
    outbound: &'a mut Outbound,
    input: &'a mut [u8],
) -> Event<'a> {
    let chunk = &mut input[message.start..message.end];
    let ws::InOne { kind, .. } = message;
    let reserved = ws::ReservedBits::NONE;
    Event::Message {
        stream: WebSocket::new(outbound),
        kind,
        reserved,
        chunk,
        first: true,
        remaining: 0,
        end: true,
    }
}

impl Content {
    #[inline]
    fn lend<'a>(
        self,
        base: usize,
        input: &'a mut [u8],
        receiver: &'a mut Receiving,
        control: bool,
    ) -> &'a mut [u8] {
        match (self, receiver) {
            (Self::Input(range), _) => &mut input[base + range.start..base + range.end],
            (Self::Assembled, Receiving::Carried(CarriedReceiver::WebSocket(receiver))) => {
                receiver.assembled(control)
            }
            (Self::Decoded(len), Receiving::Carried(CarriedReceiver::WebSocket(receiver))) => {
                receiver.decoded(len)
            }
            (content, Receiving::Http2(receiver)) => content.lend_of_stream(receiver, control),
            (Self::Assembled | Self::Decoded(_) | Self::Held(_), _) => &mut [],
        }
    }

    /// The content that a stream of HTTP/2 holds, or a message that its tunnel has assembled.
    #[cold]
    fn lend_of_stream(self, receiver: &mut h2::FrameReader, control: bool) -> &mut [u8] {
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
