//! The sending direction of a WebSocket: from messages to frames. RFC 6455 §5.4, §6.1.

use super::close::{self, CloseCode};
use super::closing::{self, Closing};
use super::frame::{CONTROL_BYTES_MAX, FrameHeader, HEADER_BYTES_MAX, Opcode};
use super::mask::MaskingKey;
use super::{Encoder, OptionError, Prepared};
use crate::connection::delivery::Delivery;
use crate::connection::link::Link;
use crate::connection::transmit::{OWNED_BYTES_MIN, Output};
use crate::liveness::{Due, Liveness, Probe};
use crate::time::{earliest, unless_never};
use crate::{Deadline, Entropy, Limits, MessageKind, Misuse, Payload, Time};
use alloc::boxed::Box;
use bytes::Bytes;
use core::time::Duration;

/// The source of a client's masking keys; `None` for a server.
type Keys = Option<Box<dyn Entropy>>;

/// Messages that were sent on a WebSocket, as its application gave them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SentMessages {
    /// Messages whose last part was sent, modulo 2^32: text, and binary.
    pub messages: [u32; 2],
    /// Octets of their payloads, before extensions, and of parts of a message that has not ended.
    pub octets: u64,
}

impl SentMessages {
    /// The last part of a message was sent.
    #[inline]
    fn count(&mut self, kind: MessageKind) {
        let [text, binary] = &mut self.messages;
        let messages = if kind == MessageKind::Text { text } else { binary };
        *messages = messages.wrapping_add(1);
    }
}

/// Writes the frames of this side.
#[derive(Debug)]
pub(crate) struct FrameSender {
    closing: Closing,
    /// Until when the peer has to answer the Close frame; [`Time::NEVER`] unless it is awaited.
    close_by: Time,
    /// What a message cannot be sent without knowing: `IN_MESSAGE`, `ENCODED`, `ENCODES`, `BINARY`. Zero for most.
    state: u8,
    sent: SentMessages,
    /// The Pings of ours that the peer's silence calls for.
    probe: Probe,
    /// Pongs that were sent since `pongs_since`.
    pongs: u32,
    pongs_since: Time,
    /// State that few connections need, or seldom.
    rare: Option<Box<Rare>>,
}

#[derive(Debug, Default)]
struct Rare {
    /// The newest Ping that has not been answered yet.
    owed_pong: Option<Box<[u8]>>,
    /// How long the peer may be silent, if it is not what the limits say.
    liveness: Option<Liveness>,
    /// The encoder of an extension. `None` if no extension was agreed on.
    encoder: Option<Box<dyn Encoder>>,
}

impl Rare {
    fn is_empty(&self) -> bool {
        self.owed_pong.is_none() && self.liveness.is_none() && self.encoder.is_none()
    }
}

/// A message has been begun and not ended.
const IN_MESSAGE: u8 = 1;
/// The extension has encoded the first part of the current message, and so encodes the others.
const ENCODED: u8 = 2;
/// There is an extension that may change messages.
const ENCODES: u8 = 4;
/// The message that has been begun is binary.
const BINARY: u8 = 8;

const SECOND: Duration = Duration::from_secs(1);

impl FrameSender {
    pub(crate) fn new(now: Time, encoder: Option<Box<dyn Encoder>>) -> Self {
        Self {
            closing: Closing::Open,
            close_by: Time::NEVER,
            state: if encoder.is_some() { ENCODES } else { 0 },
            sent: SentMessages::default(),
            probe: Probe::default(),
            pongs: 0,
            pongs_since: now,
            rare: encoder.map(|encoder| Box::new(Rare { encoder: Some(encoder), ..Rare::default() })),
        }
    }

    #[inline]
    fn encoder(&mut self) -> Option<&mut Box<dyn Encoder>> {
        self.rare.as_mut()?.encoder.as_mut()
    }

    /// Frees the rare state, if nothing of it is left.
    fn tidy(&mut self) {
        if self.rare.as_ref().is_some_and(|rare| rare.is_empty()) {
            self.rare = None;
        }
    }

    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        self.closing == Closing::Open
    }

    /// What was sent so far.
    #[inline]
    pub(crate) fn sent(&self) -> SentMessages {
        self.sent
    }

    pub(crate) fn is_in_message(&self) -> bool {
        self.state & IN_MESSAGE != 0
    }

    /// Lets go of what encodes messages, as none will follow.
    pub(crate) fn drop_encoder(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.encoder = None;
        }
        self.tidy();
        self.state &= !ENCODES;
    }

    /// Bytes that an extension holds to encode what is sent.
    pub(crate) fn held(&self) -> usize {
        let encoder = self.rare.as_ref().and_then(|rare| rare.encoder.as_ref());
        encoder.map_or(0, |encoder| size_of::<Rare>() + encoder.held_bytes())
    }

    #[inline]
    pub(crate) fn owes_pong(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| rare.owed_pong.is_some())
    }

    /// How long the peer may be silent; `None` is what the limits say.
    pub(crate) fn set_liveness(&mut self, liveness: Option<Liveness>) {
        if liveness.is_some() || self.rare.is_some() {
            self.rare.get_or_insert_default().liveness = liveness;
            self.tidy();
        }
    }

    fn liveness(&self, limits: &Limits) -> Liveness {
        let own = self.rare.as_ref().and_then(|rare| rare.liveness);
        own.unwrap_or_else(|| Liveness::of(limits))
    }

    fn take_owed_pong(&mut self) -> Option<Box<[u8]>> {
        let owed = self.rare.as_mut()?.owed_pong.take();
        self.tidy();
        owed
    }

    /// Writes a copy of a message or of a part of one as a frame. Most messages are whole and go to a client: that way is short.
    #[inline]
    pub(crate) fn copied(
        &mut self,
        out: &mut Output,
        keys: &mut Keys,
        kind: MessageKind,
        bytes: &[u8],
        end: bool,
    ) {
        if self.state != 0 || !end || keys.is_some() {
            return self.message(out, keys, kind, 0, Payload::Copy(bytes), end);
        }
        self.sent.octets += bytes.len() as u64;
        self.sent.count(kind);
        let (opcode, payload_len) = (opcode_of(kind), bytes.len() as u64);
        FrameHeader { fin: true, reserved: 0, opcode, mask: None, payload_len }.write(None, out.buffer());
        out.push_copy(bytes);
    }

    /// Writes a message or a part of one as a frame.
    #[inline(never)]
    pub(crate) fn message(
        &mut self,
        out: &mut Output,
        keys: &mut Keys,
        kind: MessageKind,
        reserved: u8,
        payload: Payload<'_>,
        end: bool,
    ) {
        self.sent.octets += payload.len() as u64;
        if self.state & ENCODES == 0 {
            self.part(out, keys, kind, reserved, payload, end);
        } else {
            self.encoded_message(out, keys, kind, reserved, payload, end);
        }
    }

    /// Writes a message or a part of one that no extension shall try to make smaller.
    pub(crate) fn uncompressed_message(
        &mut self,
        out: &mut Output,
        keys: &mut Keys,
        kind: MessageKind,
        payload: Payload<'_>,
        end: bool,
    ) {
        self.sent.octets += payload.len() as u64;
        if self.state & (IN_MESSAGE | ENCODED) == IN_MESSAGE | ENCODED {
            self.encoded_message(out, keys, kind, 0, payload, end);
        } else {
            self.part(out, keys, kind, 0, payload, end);
        }
    }

    /// Writes a part as it is.
    fn part(
        &mut self,
        out: &mut Output,
        keys: &mut Keys,
        kind: MessageKind,
        reserved: u8,
        payload: Payload<'_>,
        end: bool,
    ) {
        let (opcode, reserved) = self.first_byte(kind, reserved);
        self.count_part(kind, end);
        extended_frame(out, keys, opcode, reserved, payload, end);
    }

    fn first_byte(&self, kind: MessageKind, reserved: u8) -> (Opcode, u8) {
        if self.is_in_message() { (Opcode::Continuation, 0) } else { (opcode_of(kind), reserved) }
    }

    /// A part was sent. The first one says of which kind the message is.
    fn count_part(&mut self, kind: MessageKind, end: bool) {
        if !self.is_in_message() && kind == MessageKind::Binary {
            self.state |= BINARY;
        }
        if end {
            let is_binary = self.state & BINARY != 0;
            self.sent.count(if is_binary { MessageKind::Binary } else { MessageKind::Text });
            self.state &= ENCODES;
        } else {
            self.state |= IN_MESSAGE;
        }
    }

    /// Writes what the extension makes of a part, if it makes something of it.
    #[inline(never)]
    fn encoded_message(
        &mut self,
        out: &mut Output,
        keys: &mut Keys,
        kind: MessageKind,
        reserved: u8,
        payload: Payload<'_>,
        end: bool,
    ) {
        let first = !self.is_in_message();
        let encodes = first || self.state & ENCODED != 0;
        let Some(encoder) = self.encoder().filter(|_| encodes) else {
            return self.part(out, keys, kind, reserved, payload, end);
        };
        let buffer = out.buffer();
        let start = buffer.len();
        // The payload is encoded behind room for a header of the plain length, which fits unless encoding makes it
        // much smaller.
        let header = FrameHeader::len_for(payload.len() as u64, keys.is_some());
        buffer.resize(start + header, 0);
        let bits = encoder.encode(payload.as_ref(), first, end, buffer);
        if first && bits.is_empty() {
            buffer.truncate(start);
            return self.part(out, keys, kind, reserved, payload, end);
        }
        let (opcode, reserved) = self.first_byte(kind, reserved | bits.bits());
        self.state |= ENCODED;
        self.count_part(kind, end);
        frame_around(
            out,
            keys,
            FrameHeader { fin: end, reserved, opcode, mask: None, payload_len: 0 },
            start,
            header,
        );
    }

    /// Writes a whole message that is made once for many. In mid-message nothing is written.
    pub(crate) fn prepared(
        &mut self,
        out: &mut Output,
        keys: &mut Keys,
        message: &Prepared,
    ) -> Result<(), Misuse> {
        if self.is_in_message() {
            return Err(Misuse::WrongState);
        }
        self.sent.octets += message.bytes().len() as u64;
        self.sent.count(message.kind());
        if self.state & ENCODES == 0 && message.bytes().len() < OWNED_BYTES_MIN {
            // It would be copied all the same, and is not shared for that first.
            extended_frame(out, keys, opcode_of(message.kind()), 0, Payload::Copy(message.bytes()), true);
            return Ok(());
        }
        let encoder = self.encoder();
        let (reserved, payload) = message.payload(encoder.as_deref().map(Box::as_ref));
        if let (Some(encoder), false) = (encoder, reserved.is_empty()) {
            encoder.sends_alone();
        }
        extended_frame(out, keys, opcode_of(message.kind()), reserved.bits(), Payload::Own(payload), true);
        Ok(())
    }

    pub(crate) fn set_extension_option(
        &mut self,
        extension: &str,
        name: &str,
        value: &str,
    ) -> Result<(), OptionError> {
        let encoder = self.encoder().ok_or(OptionError::Inactive)?;
        encoder.set_option(extension, name, value)
    }

    pub(crate) fn ping(&mut self, out: &mut Output, keys: &mut Keys, payload: &[u8]) {
        let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
        frame(out, keys, Opcode::Ping, Payload::Copy(payload), true);
    }

    /// Queues a whole message, if it fits below the limit of the queue with its header.
    ///
    /// # Errors
    /// The message, if it does not fit or nothing can be sent in its place.
    pub(crate) fn try_queue(
        &mut self,
        link: &mut Link,
        keys: &mut Keys,
        kind: MessageKind,
        message: Bytes,
    ) -> Result<(), Bytes> {
        let queued = link.out.len() + HEADER_BYTES_MAX + message.len();
        let fits = queued <= link.config.limits.send_queue_bytes_max;
        if !fits || !self.may_write() || self.is_in_message() {
            return Err(message);
        }
        self.message(&mut link.out, keys, kind, 0, Payload::Own(message), true);
        Ok(())
    }

    /// Begins the closing handshake for the application.
    pub(crate) fn close_handshake(
        &mut self,
        link: &mut Link,
        keys: &mut Keys,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), Misuse> {
        let give_up = link.now + link.config.limits.close_timeout;
        self.close(&mut link.out, keys, code, reason, give_up)
    }

    /// Begins the closing handshake.
    pub(crate) fn close(
        &mut self,
        out: &mut Output,
        keys: &mut Keys,
        code: CloseCode,
        reason: &str,
        give_up: Time,
    ) -> Result<(), Misuse> {
        let payload = close::ClosePayload::new(code, reason).ok_or(Misuse::CloseCode)?;
        let (next, output) = self.closing.on(closing::Input::Close);
        self.closing = next;
        if output == closing::Reply::Close {
            self.close_by = give_up;
            frame(out, keys, Opcode::Close, Payload::Copy(&payload), true);
        }
        Ok(())
    }

    /// Answers the peer's Close frame with the same code. Returns whether the peer began the closing handshake.
    pub(crate) fn answer_close(&mut self, out: &mut Output, keys: &mut Keys, code: CloseCode) -> bool {
        let (next, output) = self.closing.on(closing::Input::Received);
        self.closing = next;
        self.close_by = Time::NEVER;
        if output == closing::Reply::Nothing {
            return false;
        }
        self.send_close(out, keys, code);
        true
    }

    /// Fails the connection: a Close frame, unless one was sent.
    pub(crate) fn fail(&mut self, out: &mut Output, keys: &mut Keys, code: CloseCode) {
        if self.closing == Closing::Open {
            self.send_close(out, keys, code);
        }
        self.closing = Closing::Done;
        self.close_by = Time::NEVER;
    }

    fn send_close(&mut self, out: &mut Output, keys: &mut Keys, code: CloseCode) {
        match close::ClosePayload::new(code, "") {
            Some(payload) => frame(out, keys, Opcode::Close, Payload::Copy(&payload), true),
            None => frame(out, keys, Opcode::Close, Payload::Copy(&[]), true),
        }
    }

    /// Answers a Ping at once if the rate limit allows it, and otherwise remembers it in place of an earlier one
    /// that waits. RFC 6455 §5.5.3.
    pub(crate) fn owe_pong(
        &mut self,
        out: &mut Output,
        keys: &mut Keys,
        limits: &Limits,
        now: Time,
        payload: &[u8],
    ) {
        if self.closing != Closing::Open {
            return;
        }
        if self.may_pong(out, limits, now) {
            self.take_owed_pong();
            self.pongs += 1;
            frame(out, keys, Opcode::Pong, Payload::Copy(payload), true);
        } else {
            self.rare.get_or_insert_default().owed_pong = Some(payload.into());
        }
    }

    /// Sends the Pong that waits, if the rate limit allows it now.
    pub(crate) fn send_owed_pong(&mut self, out: &mut Output, keys: &mut Keys, limits: &Limits, now: Time) {
        if let Some(payload) = self.take_owed_pong() {
            self.owe_pong(out, keys, limits, now, &payload);
        }
    }

    fn may_pong(&mut self, out: &Output, limits: &Limits, now: Time) -> bool {
        if now >= self.pongs_since + SECOND {
            self.pongs_since = now;
            self.pongs = 0;
        }
        self.pongs < limits.pongs_per_second_max && out.len() < limits.send_queue_bytes_max
    }

    /// `last_received` is when bytes of the peer came last, or `None` while the application does not listen.
    #[inline]
    pub(crate) fn next_timeout(
        &self,
        last_received: Option<Time>,
        spread: u8,
        limits: &Limits,
    ) -> Option<Time> {
        let silence = last_received
            .map(|last_received| self.probe.next_timeout(self.liveness(limits), last_received, spread));
        let pong = self.owes_pong().then(|| self.pongs_since + SECOND);
        debug_assert!(self.close_by == Time::NEVER || self.closing == Closing::Sent);
        earliest(silence, earliest(pong, unless_never(self.close_by)))
    }

    /// The time that replaces `last_received` if the driver has not run for long: see [`Liveness`].
    pub(crate) fn received_after_stall(
        &self,
        last_received: Time,
        spread: u8,
        limits: &Limits,
        now: Time,
    ) -> Option<Time> {
        let stalled = self.liveness(limits).received_after_stall(last_received, now, spread);
        stalled.filter(|_| !self.probe.is_open(last_received))
    }

    /// Runs the timers that are due. Returns the deadline that the peer has missed, if any.
    pub(crate) fn handle_timeout(
        &mut self,
        out: &mut Output,
        keys: &mut Keys,
        delivery: &mut Delivery,
        limits: &Limits,
        (last_received, spread): (Option<Time>, u8),
        now: Time,
    ) -> Option<Deadline> {
        if self.close_by <= now {
            // The peer cannot answer a Ping that is still on its way.
            if !delivery.is_arriving(limits, now) {
                return Some(Deadline::Close);
            }
            self.close_by = now + limits.close_timeout;
        }
        let liveness = self.liveness(limits);
        match last_received
            .and_then(|last_received| self.probe.handle_timeout(liveness, last_received, spread, now))
        {
            Some(Due::HangUp) if delivery.answer_is_overdue(limits, now, liveness.patience(), out.len()) => {
                return Some(Deadline::DeadPeer);
            }
            Some(Due::HangUp) => self.probe.begin_anew(now),
            Some(Due::Ping) if self.closing == Closing::Open => {
                let before = out.len();
                frame(out, keys, Opcode::Ping, Payload::Copy(&[]), true);
                delivery.ask(now, out.len() - before, out.len());
            }
            Some(Due::Ping) | None => {}
        }
        if self.owes_pong() && self.pongs_since + SECOND <= now {
            self.send_owed_pong(out, keys, limits, now);
        }
        None
    }
}

#[inline]
fn opcode_of(kind: MessageKind) -> Opcode {
    match kind {
        MessageKind::Text => Opcode::Text,
        MessageKind::Binary => Opcode::Binary,
    }
}

/// Makes a frame of the payload that stands at the end of the buffer, behind `room` bytes for a header at `start`.
fn frame_around(out: &mut Output, keys: &mut Keys, header: FrameHeader, start: usize, room: usize) {
    let buffer = out.buffer();
    let payload_len = (buffer.len() - start - room) as u64;
    let header = FrameHeader { payload_len, ..header };
    let key = keys.as_mut().map(|entropy| {
        let mut key = [0; 4];
        entropy.fill(&mut key);
        key
    });
    let len = FrameHeader::len_for(payload_len, key.is_some());
    if len < room {
        buffer.copy_within(start + room.., start + len);
        buffer.truncate(buffer.len() - (room - len));
    } else if len > room {
        buffer.splice(start..start, core::iter::repeat_n(0, len - room));
    }
    header.write_at(key, &mut buffer[start..start + len]);
    if let Some(key) = key {
        MaskingKey::new(key).apply(&mut buffer[start + len..]);
    }
}

/// Writes one frame with a payload that no extension has encoded.
#[inline(never)]
fn frame(out: &mut Output, keys: &mut Keys, opcode: Opcode, payload: Payload<'_>, fin: bool) {
    extended_frame(out, keys, opcode, 0, payload, fin);
}

/// Writes one frame. A client's payload is masked on its way.
#[inline(always)]
fn extended_frame(
    out: &mut Output,
    keys: &mut Keys,
    opcode: Opcode,
    reserved: u8,
    payload: Payload<'_>,
    fin: bool,
) {
    let header = FrameHeader { fin, reserved, opcode, mask: None, payload_len: payload.len() as u64 };
    let Some(entropy) = keys else {
        header.write(None, out.buffer());
        payload.push(out);
        return;
    };
    let mut key = [0; 4];
    entropy.fill(&mut key);
    let buffer = out.buffer();
    header.write(Some(key), buffer);
    let start = buffer.len();
    buffer.extend_from_slice(payload.as_ref());
    MaskingKey::new(key).apply(&mut buffer[start..]);
}
