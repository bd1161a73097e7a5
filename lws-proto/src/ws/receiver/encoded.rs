//! Messages that an extension has to decode, through its buffer of bounded size.
//!
//! This module knows no extension by name, only the interface of a decoder.

use super::{FramePart, FrameReceiver, charge};
use crate::connection::channel::Channel;
use crate::connection::item::{Content, Item, Step};
use crate::connection::resources::Resources;
use crate::ws::utf8::Invalid;
use crate::ws::{Decoded, ReservedBits};
use crate::{Cause, Limit, Limits, MessageKind, Violation};

/// The most bytes that a decoder is given at a time. Those that it leaves are masked again, so this bounds the work
/// of doing so.
const PART_BYTES_MAX: usize = 4 << 10;

/// Up to this decoded length a message may have any compression ratio.
const RATIO_BYTES_MIN: u64 = 64 << 10;

/// The result of decoding a part of the input.
struct Made {
    decoded: Decoded,
    /// Bytes of the decoder's output that may be delivered.
    len: usize,
    /// The fault of the bytes that follow them.
    fault: Option<Cause>,
}

impl FrameReceiver {
    /// Whether the current message has to be decoded.
    pub(super) fn is_encoded(&self) -> bool {
        let bits = ReservedBits::of_frame(self.message_reserved);
        self.decoder.as_ref().is_some_and(|decoder| decoder.reserved_bits().intersects(bits))
    }

    /// The decoded payload of the last item.
    pub(crate) fn decoded(&mut self, len: usize) -> &mut [u8] {
        self.decoder.as_mut().map_or(&mut [], |decoder| &mut decoder.output()[..len])
    }

    /// Enters a frame. A frame that is a whole message is not counted, unless the limits bound the compression
    /// ratio.
    pub(super) fn enter_encoded(&mut self, limits: &Limits, begins: bool) -> Result<(), Cause> {
        self.place = FramePart::Encoded;
        if begins {
            if let Some(decoder) = &mut self.decoder {
                decoder.begin(ReservedBits::of_frame(self.message_reserved));
            }
            self.assembly = None;
            if self.fin && limits.inflate_ratio_max.is_none() {
                return Ok(());
            }
        }
        let assembly = self.assembly.get_or_insert_default();
        assembly.encoded += self.remaining;
        assembly.fragments += 1;
        if self.whole && assembly.fragments > limits.message_fragments_max {
            return Err(Cause::Limit(Limit::MessageFragments));
        }
        Ok(())
    }

    /// The next octets. Those that the decoder has no room for stay in the input, masked as they were: nothing else has to
    /// be kept when the application takes no more.
    pub(super) fn receive_encoded(
        &mut self,
        channel: &mut Channel,
        resources: &mut Resources,
        input: &mut [u8],
        at: usize,
    ) -> Result<Step, Cause> {
        let len = usize::try_from(self.remaining).unwrap_or(usize::MAX);
        let len = len.min(input.len() - at).min(PART_BYTES_MAX);
        let part = &mut input[at..at + len];
        let mut mask = self.mask;
        self.mask.apply(part);
        let end = self.fin && self.remaining == len as u64;
        let made = self.decode(&channel.link.config.limits, part, end);
        let consumed = made.decoded.consumed;
        if consumed < len {
            mask.turn(consumed);
            self.mask = mask;
            mask.apply(&mut part[consumed..]);
        }
        self.remaining -= consumed as u64;
        let item = self.deliver(channel, resources, &made)?;
        Ok(Step { consumed: at + consumed, item })
    }

    /// Decodes what the limits leave room for, and one byte past it to see whether they are kept.
    fn decode(&mut self, limits: &Limits, part: &[u8], end: bool) -> Made {
        let Some(decoder) = &mut self.decoder else {
            return Made { decoded: Decoded { consumed: part.len(), more: false }, len: 0, fault: None };
        };
        let before = self.assembly.as_ref().map_or(0, |assembly| assembly.decoded);
        let mut max = if self.whole { limits.message_bytes_max as u64 } else { u64::MAX };
        let mut limit = Limit::MessageBytes;
        if let (Some(ratio), Some(assembly)) = (limits.inflate_ratio_max, &self.assembly) {
            let allowed = assembly.encoded.saturating_mul(ratio.into()).max(RATIO_BYTES_MIN);
            if allowed < max {
                (max, limit) = (allowed, Limit::InflateRatio);
            }
        }
        let left = max - before;
        let room = usize::try_from(left.saturating_add(1)).unwrap_or(usize::MAX);
        let decoded = decoder.decode(part, end, room);
        let mut made = Made {
            len: decoder.output().len(),
            fault: decoded.err(),
            decoded: decoded.unwrap_or(Decoded { consumed: part.len(), more: false }),
        };
        if made.len as u64 > left {
            made.len -= 1;
            made.fault = Some(Cause::Limit(limit));
        }
        if let Some(assembly) = &mut self.assembly {
            assembly.decoded += made.len as u64;
        }
        made
    }

    /// Makes an item of what was decoded, unless more is needed.
    fn deliver(
        &mut self,
        channel: &mut Channel,
        resources: &mut Resources,
        made: &Made,
    ) -> Result<Option<Item>, Cause> {
        let Made { decoded, mut len, mut fault } = *made;
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        let frame_end = self.remaining == 0 && !decoded.more;
        let end = self.fin && frame_end && fault.is_none();
        let output = &decoder.output()[..len];
        let kind = self.message.unwrap_or(MessageKind::Binary);
        if kind == MessageKind::Text {
            let mut valid = self.utf8.check(output);
            if valid.is_ok() && end && !self.utf8.is_complete() {
                // The last bytes of a valid text may be delivered before the end is known, so those of an invalid
                // one are delivered too: the result does not depend on how the input is split.
                valid = Err(Invalid(len));
            }
            if let Err(Invalid(valid)) = valid {
                (len, fault) = (valid, Some(Cause::Violation(Violation::Utf8)));
            }
        }
        let reserved = self.message_reserved & !decoder.reserved_bits().bits();
        if let Some(cause) = fault {
            if self.whole || len == 0 {
                return Err(cause);
            }
            self.place = FramePart::Failed(cause);
            channel.set_more(true);
            return Ok(Some(self.decoded_item(kind, reserved, len, false)));
        }
        channel.set_more(decoded.more);
        if frame_end {
            self.place = FramePart::Header;
        }
        if end {
            self.message = None;
        }
        // A whole message that fits the buffer of the decoder is lent from there.
        if self.whole && !(end && self.assembly.as_ref().is_none_or(|assembly| assembly.message.is_empty())) {
            let assembled = self.assemble_decoded(channel, resources, len, end)?;
            let content = Content::Assembled;
            let item = Item::Message { content, kind, reserved, first: true, remaining: 0, end: true };
            return Ok(assembled.then_some(item));
        }
        if len == 0 && !end {
            decoder.release();
            return Ok(None);
        }
        if end && let Some(assembly) = &mut self.assembly {
            assembly.delivered = true;
        }
        Ok(Some(self.decoded_item(kind, reserved, len, end)))
    }

    /// Adds decoded bytes to a message that is delivered whole. Returns whether it is complete.
    fn assemble_decoded(
        &mut self,
        channel: &Channel,
        resources: &mut Resources,
        len: usize,
        end: bool,
    ) -> Result<bool, Cause> {
        let Some(decoder) = &mut self.decoder else { return Ok(false) };
        let assembly = self.assembly.get_or_insert_default();
        if assembly.decoded == 0 {
            // The only frame, which has not been counted, and more than the buffer holds.
            assembly.decoded = len as u64;
        }
        charge(&channel.link, resources, len)?;
        assembly.message.extend_from_slice(&decoder.output()[..len]);
        decoder.release();
        assembly.delivered = end;
        debug_assert!(assembly.decoded >= assembly.message.len() as u64, "what is assembled was counted");
        Ok(end)
    }

    fn decoded_item(&mut self, kind: MessageKind, reserved: u8, len: usize, end: bool) -> Item {
        let first = core::mem::take(&mut self.first);
        Item::Message {
            content: Content::Decoded(len),
            kind,
            reserved,
            first,
            remaining: self.remaining,
            end,
        }
    }
}
