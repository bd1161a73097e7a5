//! The receive half of HTTP/2: frames to events. RFC 9113 §4 to §6.
//!
//! Content streams through, however its frames are cut. Every other frame is looked at whole: in the input if it is there,
//! otherwise put together first. Here is the way from bytes to frames; what a frame means is in `control`, `fields` and
//! `content`.

mod content;
mod control;
mod fields;

use super::error::{Fault, Scope, code_of};
use super::frame::{self, FrameHeader, HEADER_BYTES, Kind, PREFACE};
use super::section::Facts;
use super::sender::Sender;
use crate::buffer::Kept;
use crate::hpack::{Decoder, Section, TABLE_SIZE_DEFAULT};
use crate::http::Head;
use crate::item::{Item, Step};
use crate::tx::{self, Tx};
use crate::{Cause, Deadline, Limit, Time, Violation, raw, ws};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Reads the frames of one peer.
pub(crate) struct Receiver {
    place: Place,
    /// A frame header or preface that is not complete, and how much of it there is.
    header: [u8; HEADER_BYTES],
    header_len: u8,
    /// The payload of a frame that came in pieces.
    pieces: Vec<u8>,
    /// The field block that is being received.
    block: Option<Box<Block>>,
    decoder: Decoder,
    /// The section that was decoded last, and what it means.
    section: Section,
    facts: Facts,
    /// What streams receive, by their places.
    inbound: Vec<Inbound>,
    /// When what is waited for began to be: the preface, or the rest of a field block.
    since: Time,
    /// Whether the first SETTINGS have come.
    settled: bool,
    /// What is lent from held input, or by a tunnel, and may go once it has been.
    lent: Lent,
    /// Priorities of streams that have not begun. RFC 9218 §7.1.
    early: Vec<(u32, super::priority::Priority)>,
}

/// What the next byte is.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Of the client's preface, of which so much has come.
    Preface(u8),
    /// Of a frame header.
    Header,
    /// Of the payload of a frame that is looked at whole.
    Payload(FrameHeader),
    /// Of a DATA frame.
    Content(Content),
    /// Of something that nobody looks at, so many bytes long.
    Skip(u32),
}

/// Where a DATA frame stands.
#[derive(Clone, Copy, Debug)]
struct Content {
    slot: u32,
    id: u32,
    /// Bytes of the frame without padding that are still to come.
    left: u32,
    /// Whether the pad length comes first.
    padded: bool,
    /// Bytes of padding.
    padding: u32,
    end: bool,
}

/// A field block in pieces. RFC 9113 §4.3.
struct Block {
    stream: u32,
    end_stream: bool,
    bytes: Vec<u8>,
    continuations: u32,
    /// What is wrong with the frame that began it.
    fault: Option<Fault>,
}

/// What is kept of what a stream receives.
#[derive(Default)]
struct Inbound {
    /// The stream that it is about.
    id: u32,
    /// Content that is still to come, if its length was said.
    left: Option<u64>,
    /// Content that the application holds.
    held: Option<Box<Kept>>,
    /// Where the end of the message stands.
    end: MessageEnd,
    /// The trailers behind it.
    trailers: Option<Box<Section>>,
    /// What reads what the stream has become.
    tunnel: Option<Tunnel>,
}

/// Where the end of what the peer says stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum MessageEnd {
    /// It has not come, or has been told.
    #[default]
    Nothing,
    /// It is to be told.
    Content,
    /// It has been told; the trailers have not.
    Trailers,
}

enum Tunnel {
    WebSocket(Box<ws::Receiver>),
    Raw(raw::Receiver),
}

/// What the last event lends that is not in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lent {
    Nothing,
    /// From the held input of a stream.
    Held(u32),
    /// By the receiver of a tunnel.
    Tunnel(u32),
}

impl Receiver {
    /// That of a connection that was opened at `now`. A server's peer begins with the preface.
    pub(crate) fn new(client: bool, now: Time) -> Self {
        Self {
            place: if client { Place::Header } else { Place::Preface(0) },
            header: [0; HEADER_BYTES],
            header_len: 0,
            pieces: Vec::new(),
            block: None,
            // Until our SETTINGS are acknowledged the peer uses a table of the initial size. RFC 9113 §6.5.3.
            decoder: Decoder::new(TABLE_SIZE_DEFAULT),
            section: Section::default(),
            facts: Facts::NONE,
            inbound: Vec::new(),
            since: now,
            settled: false,
            lent: Lent::Nothing,
            early: Vec::new(),
        }
    }

    /// The section that was told last.
    pub(crate) fn head(&self) -> Head<'_> {
        self.facts.head(&self.section)
    }

    /// Takes what it can from the front of `input`.
    pub(crate) fn receive(&mut self, tx: &mut Tx, input: &mut [u8]) -> Step {
        if let Some(step) = self.receive_held(tx) {
            return step;
        }
        let result = match self.place {
            Place::Header => self.on_header_bytes(tx, input),
            Place::Content(content) => self.on_content_bytes(tx, content, input),
            Place::Payload(header) => self.on_payload_bytes(tx, header, input),
            Place::Skip(left) => Ok(self.on_skipped_bytes(left, input)),
            Place::Preface(matched) => self.on_preface_bytes(tx, matched, input),
        };
        match result {
            Ok(step) => step,
            Err(fault) => {
                fail(tx, fault);
                Step::taken(input.len())
            }
        }
    }

    /// RFC 9113 §3.4.
    fn on_preface_bytes(&mut self, _tx: &mut Tx, matched: u8, input: &[u8]) -> Result<Step, Fault> {
        let expected = &PREFACE[usize::from(matched)..];
        let n = expected.len().min(input.len());
        if input[..n] != expected[..n] {
            return Err(Fault::connection(Violation::Preface));
        }
        let matched = matched + n as u8;
        self.place =
            if usize::from(matched) == PREFACE.len() { Place::Header } else { Place::Preface(matched) };
        Ok(Step::taken(n))
    }

    #[inline]
    fn on_header_bytes(&mut self, tx: &mut Tx, input: &mut [u8]) -> Result<Step, Fault> {
        let (header, len) = match input.first_chunk::<HEADER_BYTES>() {
            Some(bytes) if self.header_len == 0 => (FrameHeader::parse(bytes), HEADER_BYTES),
            _ => match self.complete_header(input) {
                Some(found) => found,
                None => return Ok(Step::taken(input.len())),
            },
        };
        self.check_order(header)?;
        header.check(MAX_FRAME_SIZE).or_else(|fault| self.on_bad_frame(tx, header, fault))?;
        match header.kind {
            Kind::Data => self.on_data(tx, header).map(|()| Step::taken(len)),
            Kind::Unknown(_) => {
                tx_frame(tx)?;
                self.place = Place::Skip(header.len);
                self.enter_skip();
                Ok(Step::taken(len))
            }
            _ => {
                let whole = len + header.len as usize;
                match input.get(len..whole) {
                    Some(payload) => Ok(Step { consumed: whole, item: self.on_frame(tx, header, payload)? }),
                    None => {
                        self.place = Place::Payload(header);
                        Ok(Step::taken(len))
                    }
                }
            }
        }
    }

    #[cold]
    fn complete_header(&mut self, input: &[u8]) -> Option<(FrameHeader, usize)> {
        let kept = usize::from(self.header_len);
        let n = input.len().min(HEADER_BYTES - kept);
        self.header[kept..kept + n].copy_from_slice(&input[..n]);
        if kept + n < HEADER_BYTES {
            self.header_len += n as u8;
            return None;
        }
        self.header_len = 0;
        Some((FrameHeader::parse(&self.header), n))
    }

    /// What may come now: SETTINGS first, and nothing between the frames of a field block. RFC 9113 §3.4 and §4.3.
    #[inline]
    fn check_order(&mut self, header: FrameHeader) -> Result<(), Fault> {
        if !self.settled && (header.kind != Kind::Settings || header.has(frame::flag::ACK)) {
            return Err(Fault::connection(Violation::Preface));
        }
        let continues = match &self.block {
            Some(block) => header.kind == Kind::Continuation && header.stream == block.stream,
            None => header.kind != Kind::Continuation,
        };
        if continues { Ok(()) } else { Err(Fault::connection(Violation::FieldBlock)) }
    }

    /// A frame that is wrong by itself, where only its stream suffers: its payload is skipped.
    #[cold]
    fn on_bad_frame(&mut self, tx: &mut Tx, header: FrameHeader, fault: Fault) -> Result<(), Fault> {
        if fault.scope == Scope::Connection {
            return Err(fault);
        }
        self.fail_stream(tx, header.stream, fault)?;
        Ok(())
    }

    fn on_payload_bytes(&mut self, tx: &mut Tx, header: FrameHeader, input: &[u8]) -> Result<Step, Fault> {
        let n = (header.len as usize - self.pieces.len()).min(input.len());
        self.pieces.extend_from_slice(&input[..n]);
        if self.pieces.len() < header.len as usize {
            return Ok(Step::taken(n));
        }
        self.place = Place::Header;
        let mut pieces = core::mem::take(&mut self.pieces);
        let item = self.on_frame(tx, header, &pieces);
        pieces.clear();
        self.pieces = pieces;
        Ok(Step { consumed: n, item: item? })
    }

    fn on_skipped_bytes(&mut self, left: u32, input: &[u8]) -> Step {
        let n = (left as usize).min(input.len());
        self.place = Place::Skip(left - n as u32);
        self.enter_skip();
        Step::taken(n)
    }

    /// Nothing of nothing is waited for.
    fn enter_skip(&mut self) {
        if let Place::Skip(0) = self.place {
            self.place = Place::Header;
        }
    }

    /// A whole frame other than DATA.
    fn on_frame(&mut self, tx: &mut Tx, header: FrameHeader, payload: &[u8]) -> Result<Option<Item>, Fault> {
        match header.kind {
            Kind::Headers => return self.on_headers(tx, header, payload),
            Kind::Continuation => return self.on_continuation(tx, header, payload),
            Kind::Settings => self.on_settings(tx, header, payload)?,
            Kind::WindowUpdate => self.on_window_update(tx, header, payload)?,
            Kind::Ping => self.on_ping(tx, header, payload)?,
            Kind::RstStream => self.on_rst_stream(tx, header, payload)?,
            Kind::GoAway => self.on_go_away(tx, payload)?,
            Kind::Priority => self.on_priority(tx, header, payload)?,
            Kind::PriorityUpdate => self.on_priority_update(tx, payload)?,
            Kind::PushPromise => return Err(Fault::connection(Violation::Push)),
            Kind::Data | Kind::Unknown(_) => {}
        }
        Ok(None)
    }

    /// Ends a stream over something that the peer did on it.
    #[cold]
    fn fail_stream(&mut self, tx: &mut Tx, id: u32, fault: Fault) -> Result<(), Fault> {
        let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(()) };
        let cause = fault.cause();
        match sender.streams.find(id) {
            Some(slot) if !matches!(sender.streams.peek(slot).place, super::streams::Place::Closed) => {
                sender.give_up(out, slot, cause);
            }
            Some(_) => {}
            // RFC 9113 §6.4: "RST_STREAM frames MUST NOT be sent for a stream in the "idle" state."
            None if sender.is_idle(id) => return Err(Fault { scope: Scope::Connection, ..fault }),
            None if sender.is_past_the_end(id) => return sender.count_frame(out, config, *now),
            None => sender.send_reset(out, id, code_of(cause)),
        }
        sender.count_reset(out, config, *now)
    }

    // Ends and deadlines.

    /// The peer will send no more. A server still answers what was asked whole.
    pub(crate) fn receive_eof(&mut self, tx: &mut Tx) -> Option<Item> {
        let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return None };
        if sender.client || self.block.is_some() || !matches!(self.place, Place::Header) {
            tx.finish(Cause::Disconnected);
            return None;
        }
        sender.note_peer_end(out, &config.limits, *now);
        if sender.streams.is_empty() {
            tx.finish(Cause::Complete);
        }
        None
    }

    pub(crate) fn next_timeout(&self, tx: &Tx) -> Option<Time> {
        let tx::Sender::Http2(sender) = &tx.sender else { return None };
        let head = self.head_due(sender, tx).map(|(due, _)| due);
        crate::time::earliest(head, sender.next_timeout(tx))
    }

    /// When the field block that has begun must be whole, or a client's preface, and what a failure is called. A server that says
    /// nothing owes the acknowledgement of our SETTINGS, which has a deadline of its own.
    fn head_due(&self, sender: &Sender, tx: &Tx) -> Option<(Time, Deadline)> {
        let begun = self.block.is_some() || !self.settled && !sender.client;
        let deadline = if sender.client { Deadline::Response } else { Deadline::Head };
        begun.then(|| (self.since + tx.config.limits.head_timeout, deadline))
    }

    pub(crate) fn handle_timeout(&mut self, tx: &mut Tx, now: Time) {
        let tx::Sender::Http2(sender) = &tx.sender else { return };
        if let Some((_, deadline)) = self.head_due(sender, tx).filter(|(due, _)| *due <= now) {
            return end_connection(tx, Cause::Timeout(deadline));
        }
        super::deadlines::handle(tx, now);
        if let tx::Sender::Http2(sender) = &tx.sender
            && sender.relaxed
            && sender.streams.is_empty()
        {
            self.relax();
        }
    }

    /// Gives back memory that an idle connection does not need.
    fn relax(&mut self) {
        if self.lent == Lent::Nothing {
            self.pieces.shrink_to_fit();
            self.section.clear();
            self.section.shrink_to(0, 0);
            self.inbound = Vec::new();
            self.early = Vec::new();
        }
    }
}

/// The largest frame that we take, which is what nobody has to be asked for. RFC 9113 §4.2.
const MAX_FRAME_SIZE: u32 = super::settings::MIN_MAX_FRAME_SIZE;

/// Counts a frame of no use.
fn tx_glitch(tx: &mut Tx) -> Result<(), Fault> {
    let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(()) };
    sender.count_glitch(out, config, *now)
}

/// Counts a frame that is of no use unless the traffic explains it.
fn tx_frame(tx: &mut Tx) -> Result<(), Fault> {
    let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(()) };
    sender.count_frame(out, config, *now)
}

/// The transmit half, which speaks HTTP/2 as long as this receiver is asked.
fn sender(tx: &mut Tx) -> Option<&mut Sender> {
    match &mut tx.sender {
        tx::Sender::Http2(sender) => Some(sender),
        _ => None,
    }
}

/// Ends the connection over something that the peer did.
#[cold]
fn fail(tx: &mut Tx, fault: Fault) {
    end_connection(tx, fault.cause());
}

/// Ends the connection, and tells the peer why. RFC 9113 §5.4.1.
#[cold]
pub(super) fn end_connection(tx: &mut Tx, cause: Cause) {
    if let Tx { sender: tx::Sender::Http2(sender), out, .. } = tx {
        sender.say_go_away(out, cause);
    }
    tx.finish(cause);
}

/// Which limit a section went past.
fn overflow(overflow: crate::hpack::Overflow) -> Limit {
    match overflow {
        crate::hpack::Overflow::Bytes => Limit::HeadBytes,
        crate::hpack::Overflow::Fields => Limit::FieldLines,
    }
}
