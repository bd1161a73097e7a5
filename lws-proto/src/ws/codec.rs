//! The transformation of messages by an agreed extension, in both directions. RFC 6455 §9.
//!
//! This module knows no extension by name and no frame: a codec takes octets of a message and returns octets of a
//! message. A WebSocket without such an extension has no codec, and pays nothing.

use super::ReservedBits;
use crate::Cause;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

/// Both directions of one extension on one WebSocket.
#[derive(Debug)]
pub struct Codec {
    /// Encodes messages before they are sent.
    pub encoder: Box<dyn Encoder>,
    /// Decodes messages after they were received.
    pub decoder: Box<dyn Decoder>,
}

/// Encodes the messages that are sent.
pub trait Encoder: fmt::Debug + Send {
    /// Encodes the next part of a message and appends it to `out`, so that the peer can decode all of the message up to
    /// here.
    ///
    /// For the `first` part it returns the reserved bits of the first frame. If there are none, nothing has been
    /// appended or remembered: the message is sent unchanged, and its other parts are not passed to the encoder.
    fn encode(&mut self, part: &[u8], first: bool, end: bool, out: &mut Vec<u8>) -> ReservedBits;

    /// Names the form that [`encode_alone`](Self::encode_alone) produces: two encoders of the same name produce the
    /// same octets.
    fn parameter_set(&self) -> u64;

    /// Encodes a whole message without the context of earlier ones and appends it to `out`; later ones do not get it as
    /// context either. Returns the reserved bits of its first frame; if there are none, `out` is unchanged.
    fn encode_alone(&self, message: &[u8], out: &mut Vec<u8>) -> ReservedBits;

    /// Called when a message is sent that was encoded alone, perhaps by another encoder with the same parameters.
    fn sends_alone(&mut self);

    /// Changes an option of the extension with this registered name while it is in use.
    ///
    /// # Errors
    /// This is another extension, or it has no such option, or not that value, or it was settled with the peer.
    fn set_option(&mut self, extension: &str, name: &str, value: &str) -> Result<(), OptionError>;

    /// Bytes that it holds now for this WebSocket alone, as far as they are worth counting: see
    /// [`Limits::held_bytes_max`](crate::Limits::held_bytes_max).
    fn held_bytes(&self) -> usize {
        0
    }
}

/// Decodes received messages, through a buffer of bounded size.
pub trait Decoder: fmt::Debug + Send {
    /// The reserved bits of the messages that it decodes.
    fn reserved_bits(&self) -> ReservedBits;

    /// Begins a message whose first frame has these reserved bits, at least one of which is the decoder's.
    fn begin(&mut self, reserved: ReservedBits);

    /// Goes on with a message. `part` are its next octets, of which those that could not be taken are shown again; `end` says
    /// that there are no more behind them. [`output`](Self::output) is what they became, `room` bytes at most.
    ///
    /// # Errors
    /// The message fails the WebSocket connection for this cause. What `output` has then came before the fault.
    fn decode(&mut self, part: &[u8], end: bool, room: usize) -> Result<Decoded, Cause>;

    /// The output of the last call of [`decode`](Self::decode).
    fn output(&mut self) -> &mut [u8];

    /// Called when the output has been read: memory that only it needs is released.
    fn release(&mut self);

    /// Bytes that it holds now for this WebSocket alone, as far as they are worth counting: see
    /// [`Limits::held_bytes_max`](crate::Limits::held_bytes_max).
    fn held_bytes(&self) -> usize {
        0
    }
}

/// The progress of a decoder in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// How many octets of the input it has taken.
    pub consumed: usize,
    /// Whether there is more output, though perhaps no more input.
    pub more: bool,
}

/// Why an option of an extension was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OptionError {
    /// The extension is not in use on this stream.
    Inactive,
    /// The extension has no option of that name.
    Unknown,
    /// The option does not take that value.
    Value,
    /// The option was settled in the opening handshake.
    Settled,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inactive => "the extension is not in use",
            Self::Unknown => "the extension has no such option",
            Self::Value => "the option does not take this value",
            Self::Settled => "the option was settled in the opening handshake",
        })
    }
}

impl core::error::Error for OptionError {}

impl Codec {
    /// Chains two extensions of one WebSocket: outgoing messages pass `self` first and then `next`, incoming ones the
    /// other way round. RFC 6455 §9.1.
    pub(super) fn then(self, next: Self) -> Self {
        Self {
            encoder: Box::new(ThenEncoder {
                first: self.encoder,
                second: next.encoder,
                bits: [ReservedBits::NONE; 2],
                between: Vec::new(),
            }),
            decoder: Box::new(ThenDecoder {
                outer: next.decoder,
                inner: self.decoder,
                applies: [false; 2],
                at: 0,
                outer_done: false,
                outer_more: false,
            }),
        }
    }
}

#[derive(Debug)]
struct ThenEncoder {
    first: Box<dyn Encoder>,
    second: Box<dyn Encoder>,
    /// What they answered to the first part of the message.
    bits: [ReservedBits; 2],
    between: Vec<u8>,
}

impl Encoder for ThenEncoder {
    fn encode(&mut self, part: &[u8], first: bool, end: bool, out: &mut Vec<u8>) -> ReservedBits {
        self.between.clear();
        if first || !self.bits[0].is_empty() {
            let bits = self.first.encode(part, first, end, &mut self.between);
            self.bits[0] = if first { bits } else { self.bits[0] };
        }
        let between = if self.bits[0].is_empty() { part } else { &self.between };
        if first || !self.bits[1].is_empty() {
            let bits = self.second.encode(between, first, end, out);
            self.bits[1] = if first { bits } else { self.bits[1] };
        }
        if self.bits[1].is_empty() && !self.bits[0].is_empty() {
            out.extend_from_slice(between);
        }
        self.bits[0].union(self.bits[1])
    }

    fn parameter_set(&self) -> u64 {
        self.first.parameter_set().rotate_left(32) ^ self.second.parameter_set()
    }

    fn encode_alone(&self, message: &[u8], out: &mut Vec<u8>) -> ReservedBits {
        let mut between = Vec::new();
        let first = self.first.encode_alone(message, &mut between);
        let between = if first.is_empty() { message } else { &between };
        let second = self.second.encode_alone(between, out);
        if second.is_empty() && !first.is_empty() {
            out.extend_from_slice(between);
        }
        first.union(second)
    }

    fn sends_alone(&mut self) {
        self.first.sends_alone();
        self.second.sends_alone();
    }

    fn set_option(&mut self, extension: &str, name: &str, value: &str) -> Result<(), OptionError> {
        match self.first.set_option(extension, name, value) {
            Err(OptionError::Inactive) => self.second.set_option(extension, name, value),
            set => set,
        }
    }

    fn held_bytes(&self) -> usize {
        self.first.held_bytes() + self.second.held_bytes() + self.between.capacity()
    }
}

#[derive(Debug)]
struct ThenDecoder {
    outer: Box<dyn Decoder>,
    inner: Box<dyn Decoder>,
    /// Which of them have made something of this message.
    applies: [bool; 2],
    /// How much of the outer one's output the inner one has taken.
    at: usize,
    /// Whether the outer one has made all of the message.
    outer_done: bool,
    outer_more: bool,
}

impl ThenDecoder {
    fn decode_both(&mut self, part: &[u8], end: bool, room: usize) -> Result<Decoded, Cause> {
        let mut consumed = 0;
        if self.at == self.outer.output().len() && !self.outer_done {
            self.at = 0;
            let decoded = self.outer.decode(part, end, usize::MAX)?;
            consumed = decoded.consumed;
            self.outer_more = decoded.more;
            self.outer_done = end && consumed == part.len() && !decoded.more;
        }
        let inner = self.inner.decode(&self.outer.output()[self.at..], self.outer_done, room)?;
        self.at += inner.consumed;
        let more = inner.more || self.outer_more || self.at < self.outer.output().len();
        if !more {
            self.outer.release();
            self.at = self.outer.output().len();
        }
        Ok(Decoded { consumed, more })
    }
}

impl Decoder for ThenDecoder {
    fn reserved_bits(&self) -> ReservedBits {
        self.outer.reserved_bits().union(self.inner.reserved_bits())
    }

    fn begin(&mut self, reserved: ReservedBits) {
        self.applies = [&self.outer, &self.inner].map(|decoder| decoder.reserved_bits().intersects(reserved));
        (self.at, self.outer_done, self.outer_more) = (self.outer.output().len(), false, false);
        for (decoder, applies) in [&mut self.outer, &mut self.inner].into_iter().zip(self.applies) {
            if applies {
                decoder.begin(reserved);
            }
        }
    }

    fn decode(&mut self, part: &[u8], end: bool, room: usize) -> Result<Decoded, Cause> {
        match self.applies {
            [true, true] => self.decode_both(part, end, room),
            [true, false] => self.outer.decode(part, end, room),
            [false, _] => self.inner.decode(part, end, room),
        }
    }

    fn output(&mut self) -> &mut [u8] {
        if self.applies[1] { self.inner.output() } else { self.outer.output() }
    }

    fn release(&mut self) {
        if self.applies[1] {
            self.inner.release();
        } else {
            self.outer.release();
        }
    }

    fn held_bytes(&self) -> usize {
        self.outer.held_bytes() + self.inner.held_bytes()
    }
}
