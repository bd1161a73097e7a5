//! The receiving direction of a WebSocket: from frames to messages. RFC 6455 §5.4, §6.2.

mod encoded;

use super::close;
use super::codec::Decoder;
use super::ends;
use super::frame::{CONTROL_BYTES_MAX, FrameHeader, HEADER_BYTES_MAX, Opcode};
use super::handshake::Agreed;
use super::mask::MaskingKey;
use super::sender::FrameSender;
use super::utf8::{Invalid, Utf8};
use crate::connection::channel::Channel;
use crate::connection::item::{Content, ControlKind, Item, Step};
use crate::connection::link::Link;
use crate::connection::resources::Resources;
use crate::{Cause, Limit, Limits, MessageKind, Violation};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

/// Reads the frames of one peer.
#[derive(Debug)]
pub(crate) struct FrameReceiver {
    place: FramePart,
    /// The masking key of the current frame, rotated to its next byte.
    mask: MaskingKey,
    /// How many bytes of the frame's payload have not been received yet.
    remaining: u64,
    /// Whether the current data frame has FIN set: it is the last one of its message.
    fin: bool,
    /// Whether the peer is a client, whose frames are masked.
    peer_masks: bool,
    /// Reserved bits that an extension has claimed.
    reserved: u8,
    /// Whether messages are delivered whole, and so reassembled.
    whole: bool,
    /// The message that is being received.
    message: Option<MessageKind>,
    /// The reserved bits of its first frame.
    message_reserved: u8,
    /// Whether nothing of the message has been delivered yet.
    first: bool,
    utf8: Utf8,
    /// A frame header that is not complete.
    header: [u8; HEADER_BYTES_MAX],
    header_len: u8,
    /// The buffers of messages and control frames that arrive in pieces. `None` while there is none.
    assembly: Option<Box<Assembly>>,
    /// The decoder of an extension, for messages with its reserved bits. `None` if no extension was agreed on.
    decoder: Option<Box<dyn Decoder>>,
}

/// The part of a frame that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FramePart {
    Header,
    Data,
    /// Data of a message that an extension has to decode. This state lasts until the decoder has delivered
    /// everything.
    Encoded,
    Control(Opcode),
    /// The WebSocket has failed; everything in front of the fault has been delivered.
    Failed(Cause),
}

/// The position of the payload of a message that arrived in one whole frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InOne {
    pub(crate) kind: MessageKind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Debug, Default)]
struct Assembly {
    /// A message, when they are wanted whole.
    message: Vec<u8>,
    /// Frames of that message.
    fragments: u32,
    /// Payload of the frames of a message that has to be decoded, and what was made of it so far.
    encoded: u64,
    decoded: u64,
    /// A control frame's payload that came in pieces.
    control: Vec<u8>,
    /// Whether the reassembled bytes have been delivered and may be released.
    delivered: bool,
}

impl FrameReceiver {
    pub(crate) fn new(agreed: Agreed, decoder: Option<Box<dyn Decoder>>, is_client: bool) -> Self {
        Self {
            place: FramePart::Header,
            mask: MaskingKey::default(),
            remaining: 0,
            fin: false,
            peer_masks: !is_client,
            reserved: agreed.reserved_bits,
            whole: agreed.whole_messages,
            message: None,
            message_reserved: 0,
            first: false,
            utf8: Utf8::default(),
            header: [0; HEADER_BYTES_MAX],
            header_len: 0,
            assembly: None,
            decoder,
        }
    }

    /// Takes bytes from the front of the input.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        sender: &mut FrameSender,
        channel: &mut Channel,
        resources: &mut Resources,
        input: &mut [u8],
    ) -> Step {
        match self.receive_frame(sender, channel, resources, input) {
            Ok(step) => step,
            Err(cause) => {
                ends::fail(sender, channel, resources, cause);
                Step::taken(input.len())
            }
        }
    }

    #[inline(always)]
    fn receive_frame(
        &mut self,
        sender: &mut FrameSender,
        channel: &mut Channel,
        resources: &mut Resources,
        input: &mut [u8],
    ) -> Result<Step, Cause> {
        let mut at = 0;
        if let FramePart::Failed(cause) = self.place {
            return Err(cause);
        }
        if self.place == FramePart::Header {
            match self.begin(&channel.link.config.limits, input)? {
                Some(len) => at = len,
                None => return Ok(Step::taken(input.len())),
            }
        }
        if self.place == FramePart::Encoded {
            return self.receive_encoded(channel, resources, input, at);
        }
        let len = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(input.len() - at);
        let mut range = at..at + len;
        let payload = &mut input[range.clone()];
        self.mask.apply(payload);
        self.remaining -= len as u64;
        let item = match self.place {
            FramePart::Control(opcode) => {
                self.control(sender, channel, resources, opcode, payload, range.clone())?
            }
            _ => self.data(&channel.link, resources, payload, &mut range)?,
        };
        Ok(Step { consumed: range.end, item })
    }

    /// A message that stands in the input in one whole frame, as most do: it needs none of the state that messages in
    /// pieces need. Anything else, and anything wrong, is left to [`receive`](Self::receive).
    #[inline(always)]
    pub(crate) fn message_in_one(&self, limits: &Limits, input: &mut [u8]) -> Option<InOne> {
        if self.place != FramePart::Header || self.message.is_some() || self.header_len != 0 {
            return None;
        }
        let (header, start) = FrameHeader::parse(input).ok().flatten()?;
        let kind = match header.opcode {
            Opcode::Binary => MessageKind::Binary,
            Opcode::Text => MessageKind::Text,
            _ => return None,
        };
        let expected = header.fin && header.reserved == 0 && header.mask.is_some() == self.peer_masks;
        if !expected || self.whole && header.payload_len > limits.message_bytes_max as u64 {
            return None;
        }
        let len = usize::try_from(header.payload_len).ok()?;
        let payload = input[start..].get_mut(..len)?;
        if let Some(mask) = header.mask {
            mask.apply_whole(payload);
        }
        if kind == MessageKind::Text && !is_utf8(payload) {
            // The other path finds where it fails, from the masked bytes.
            header.mask.unwrap_or_default().apply_whole(payload);
            return None;
        }
        Some(InOne { kind, start, end: start + len })
    }

    /// The reassembled payload of the last item.
    pub(crate) fn assembled(&mut self, control: bool) -> &mut [u8] {
        match self.assembly.as_deref_mut() {
            Some(Assembly { control: pieces, .. }) if control => pieces,
            Some(Assembly { message, .. }) => message,
            None => &mut [],
        }
    }

    /// Reads a frame header and enters its payload. `None` asks for more bytes, having kept these.
    #[inline]
    fn begin(&mut self, limits: &Limits, input: &[u8]) -> Result<Option<usize>, Cause> {
        let (header, len) = if self.header_len == 0 {
            match FrameHeader::parse(input).map_err(Cause::Violation)? {
                Some(found) => found,
                None => return Ok(self.keep_header(input)),
            }
        } else {
            match self.complete_header(input)? {
                Some(found) => found,
                None => return Ok(None),
            }
        };
        self.enter(limits, header)?;
        Ok(Some(len))
    }

    #[cold]
    fn keep_header(&mut self, input: &[u8]) -> Option<usize> {
        self.header[..input.len()].copy_from_slice(input);
        self.header_len = input.len() as u8;
        None
    }

    /// Completes a header whose first bytes were kept. The returned length is that of its part in `input`.
    #[cold]
    fn complete_header(&mut self, input: &[u8]) -> Result<Option<(FrameHeader, usize)>, Cause> {
        let kept = usize::from(self.header_len);
        let added = input.len().min(HEADER_BYTES_MAX - kept);
        self.header[kept..kept + added].copy_from_slice(&input[..added]);
        match FrameHeader::parse(&self.header[..kept + added]).map_err(Cause::Violation)? {
            Some((header, len)) => {
                self.header_len = 0;
                Ok(Some((header, len - kept)))
            }
            None => {
                self.header_len += added as u8;
                Ok(None)
            }
        }
    }

    /// Checks a header against the role of the peer and the message that it is part of.
    #[inline]
    fn enter(&mut self, limits: &Limits, header: FrameHeader) -> Result<(), Cause> {
        // An extension gives a bit its meaning on the first frame of a message. That it is refused on every other frame
        // is a decision of this library, the same as that of RFC 7692 §6.
        let claimed = if header.opcode.begins_message() { self.reserved } else { 0 };
        if header.reserved & !claimed != 0 {
            return Err(Cause::Violation(Violation::ReservedBit));
        }
        // RFC 6455 §5.1: "The server MUST close the connection upon receiving a frame that is not masked", and "A client
        // MUST close a connection if it detects a masked frame".
        if header.mask.is_some() != self.peer_masks {
            return Err(Cause::Violation(Violation::Masking));
        }
        self.mask = header.mask.unwrap_or_default();
        self.remaining = header.payload_len;
        if header.opcode.is_control() {
            if !header.fin || header.payload_len > CONTROL_BYTES_MAX as u64 {
                return Err(Cause::Violation(Violation::ControlFrame));
            }
            self.place = FramePart::Control(header.opcode);
            return Ok(());
        }
        let begins = self.message.is_none();
        match (header.opcode, self.message) {
            (Opcode::Continuation, None) => return Err(Cause::Violation(Violation::Continuation)),
            (Opcode::Continuation, Some(_)) => {}
            (_, Some(_)) => return Err(Cause::Violation(Violation::Interleaved)),
            (opcode, None) => {
                let text = opcode == Opcode::Text;
                self.message = Some(if text { MessageKind::Text } else { MessageKind::Binary });
                self.first = true;
                self.message_reserved = header.reserved;
                self.utf8 = Utf8::default();
            }
        }
        self.fin = header.fin;
        if self.message_reserved != 0 && self.is_encoded() {
            return self.enter_encoded(limits, begins);
        }
        self.place = FramePart::Data;
        if self.whole { self.check_whole(limits, header.payload_len) } else { Ok(()) }
    }

    /// Counts a frame of a message that is reassembled, and checks the limits, before any of its payload is taken.
    fn check_whole(&mut self, limits: &Limits, payload_len: u64) -> Result<(), Cause> {
        let (len, fragments) = match &mut self.assembly {
            Some(assembly) if !self.first => {
                assembly.fragments += 1;
                (assembly.message.len(), assembly.fragments)
            }
            _ => (0, 1),
        };
        if payload_len > limits.message_bytes_max.saturating_sub(len) as u64 {
            return Err(Cause::Limit(Limit::MessageBytes));
        }
        if fragments > limits.message_fragments_max {
            return Err(Cause::Limit(Limit::MessageFragments));
        }
        Ok(())
    }

    /// The next bytes of a message, of which `range` may turn out to be less than it was.
    #[inline]
    fn data(
        &mut self,
        link: &Link,
        resources: &mut Resources,
        payload: &[u8],
        range: &mut Range<usize>,
    ) -> Result<Option<Item>, Cause> {
        let kind = self.message.unwrap_or(MessageKind::Binary);
        let frame_end = self.remaining == 0;
        let end = self.fin && frame_end;
        if frame_end {
            self.place = FramePart::Header;
        }
        // UTF-8 is a property of the decoded message, not of the payload that an extension has encoded.
        if kind == MessageKind::Text
            && self.message_reserved == 0
            && let Err(Invalid(valid)) = self.check_text(payload, end)
        {
            range.end = range.start + valid;
            return self.not_text(range.clone());
        }
        if end {
            self.message = None;
        }
        if self.whole && !(self.first && end) {
            return self.assemble(link, resources, payload, kind, end);
        }
        if payload.is_empty() && !end {
            return Ok(None);
        }
        let first = core::mem::take(&mut self.first);
        let content = Content::Input(range.clone());
        let reserved = self.message_reserved;
        Ok(Some(Item::Message { content, kind, reserved, first, remaining: self.remaining, end }))
    }

    /// Validates a piece of a text message. A text that ends inside a character fails at its last byte.
    fn check_text(&mut self, payload: &[u8], end: bool) -> Result<(), Invalid> {
        self.utf8.check(payload)?;
        if end && !self.utf8.is_complete() {
            return Err(Invalid(payload.len().saturating_sub(1)));
        }
        Ok(())
    }

    /// Fails the WebSocket, after the valid part of the text has been delivered.
    #[cold]
    fn not_text(&mut self, valid: Range<usize>) -> Result<Option<Item>, Cause> {
        if self.whole || valid.is_empty() {
            return Err(Cause::Violation(Violation::Utf8));
        }
        self.place = FramePart::Failed(Cause::Violation(Violation::Utf8));
        let first = core::mem::take(&mut self.first);
        let (content, kind, reserved) = (Content::Input(valid), MessageKind::Text, self.message_reserved);
        Ok(Some(Item::Message { content, kind, reserved, first, remaining: self.remaining, end: false }))
    }

    /// Adds a piece to a whole message.
    fn assemble(
        &mut self,
        link: &Link,
        resources: &mut Resources,
        payload: &[u8],
        kind: MessageKind,
        end: bool,
    ) -> Result<Option<Item>, Cause> {
        charge(link, resources, payload.len())?;
        let assembly = self.assembly.get_or_insert_default();
        if core::mem::take(&mut self.first) {
            assembly.message.clear();
            assembly.fragments = 1;
        }
        assembly.message.extend_from_slice(payload);
        if !end {
            return Ok(None);
        }
        assembly.delivered = true;
        let reserved = self.message_reserved;
        let content = Content::Assembled;
        Ok(Some(Item::Message { content, kind, reserved, first: true, remaining: 0, end: true }))
    }

    /// A control frame, as soon as it is complete.
    fn control(
        &mut self,
        sender: &mut FrameSender,
        channel: &mut Channel,
        resources: &mut Resources,
        opcode: Opcode,
        payload: &[u8],
        range: Range<usize>,
    ) -> Result<Option<Item>, Cause> {
        let in_pieces = self.assembly.as_ref().is_some_and(|assembly| !assembly.control.is_empty());
        if !in_pieces && self.remaining == 0 {
            self.place = FramePart::Header;
            let control = answer(sender, channel, resources, opcode, payload)?;
            return Ok(Some(Item::Control { content: Content::Input(range), control }));
        }
        let assembly = self.assembly.get_or_insert_default();
        assembly.control.extend_from_slice(payload);
        if self.remaining > 0 {
            return Ok(None);
        }
        self.place = FramePart::Header;
        let control = answer(sender, channel, resources, opcode, &assembly.control)?;
        Ok(Some(Item::Control { content: Content::Assembled, control }))
    }

    /// Releases the reassembled bytes that have been lent to the application. Returns how many bytes of messages
    /// they were.
    #[cold]
    pub(crate) fn release(&mut self) -> usize {
        if let Some(decoder) = &mut self.decoder {
            decoder.release();
        }
        if let Some(assembly) = &mut self.assembly {
            assembly.control.clear();
            if assembly.delivered || self.message.is_none() {
                return self.assembly.take().map_or(0, |assembly| assembly.message.len());
            }
        }
        0
    }

    /// The bytes of memory that it holds: data of the peer, and the state of the decoder.
    pub(crate) fn held(&self) -> usize {
        let assembly = self.assembly.as_ref();
        assembly.map_or(0, |assembly| assembly.message.capacity() + assembly.control.capacity())
            + self.decoder.as_ref().map_or(0, |decoder| size_of::<Self>() + decoder.held_bytes())
    }
}

/// Charges bytes of a message to the budget before they are held.
pub(super) fn charge(link: &Link, resources: &mut Resources, bytes: usize) -> Result<(), Cause> {
    if link.config.held.is_full() {
        return Err(Cause::Limit(Limit::ServiceBytes));
    }
    if !resources.account.grow(bytes, link.config.limits.held_bytes_max) {
        return Err(Cause::Limit(Limit::HeldBytes));
    }
    Ok(())
}

fn is_utf8(payload: &[u8]) -> bool {
    let mut utf8 = Utf8::default();
    utf8.check(payload).is_ok() && utf8.is_complete()
}

/// Responds to a control frame: a Pong to a Ping, a Close frame to a Close frame.
fn answer(
    sender: &mut FrameSender,
    channel: &mut Channel,
    resources: &mut Resources,
    opcode: Opcode,
    payload: &[u8],
) -> Result<ControlKind, Cause> {
    let Link { out, config, now, .. } = &mut channel.link;
    match opcode {
        Opcode::Ping => {
            sender.owe_pong(out, &mut resources.entropy, &config.limits, *now, payload);
            Ok(ControlKind::Ping)
        }
        Opcode::Close => {
            let (code, _) = close::parse(payload).map_err(Cause::Violation)?;
            let by_peer = sender.answer_close(out, &mut resources.entropy, code);
            ends::finish(channel, Cause::Closed { code, by_peer });
            Ok(ControlKind::Close(code))
        }
        _ => Ok(ControlKind::Pong),
    }
}
