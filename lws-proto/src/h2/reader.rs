//! The receive half of HTTP/2: frames to events. RFC 9113 §4 to §6.
//!
//! Content streams through, however its frames are cut. Every other frame is processed as a whole: in the input if it
//! lies there, and otherwise assembled first. This file turns bytes into frames; `control`, `fields` and `content`
//! process the frames.

mod content;
mod control;
mod fields;

use super::error::{Fault, Scope};
use super::frame::{self, FrameHeader, FrameKind, HEADER_BYTES, PREFACE};
use super::section::SectionFacts;
use super::session::Session;
use super::slot::Slot;
use crate::connection::buffer::Kept;
use crate::connection::carried::CarriedReceiver;
use crate::connection::item::{Item, Step};
use crate::connection::link::Link;
use crate::connection::resources::Resources;
use crate::hpack::{Decoder, Section, TABLE_SIZE_DEFAULT};
use crate::http::Head;
use crate::{Cause, Deadline, Limit, StreamKey, Time, Violation, ws};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Reads the frames of one peer.
pub(crate) struct FrameReader {
    place: FramePosition,
    /// An incomplete frame header or preface, and its length so far.
    header: [u8; HEADER_BYTES],
    header_len: u8,
    /// The payload of a frame that is being assembled.
    pieces: Vec<u8>,
    /// The field block that is being received.
    block: Option<Box<Block>>,
    decoder: Decoder,
    /// The last decoded section, and its facts.
    section: Section,
    facts: SectionFacts,
    /// The receiving state of streams, by slot.
    inputs: Vec<StreamInput>,
    /// The time since which the reader waits: for the preface, or the rest of a field block.
    since: Time,
    /// Whether the first SETTINGS have come.
    settled: bool,
    /// The held input or tunnel from which the last event lends, to be freed afterwards.
    lent: Lent,
    /// Priorities of streams that have not begun. RFC 9218 §7.1.
    early: Vec<(u32, super::priority::Priority)>,
}

/// The position in the frame stream.
#[derive(Clone, Copy, Debug)]
enum FramePosition {
    /// In the client's preface, after this many bytes.
    Preface(u8),
    /// Of a frame header.
    Header,
    /// Of the payload of a frame that is looked at whole.
    Payload(FrameHeader),
    /// Of a DATA frame.
    Data(DataFrame),
    /// In this many bytes that are skipped.
    Skip(u32),
}

/// The position in a DATA frame.
#[derive(Clone, Copy, Debug)]
struct DataFrame {
    slot: Slot,
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
    head: BlockHead,
    bytes: Vec<u8>,
    continuations: u32,
}

/// The HEADERS frame that began a field block.
#[derive(Clone, Copy)]
struct BlockHead {
    stream: u32,
    end_stream: bool,
    /// The fault of the frame. The block must be decoded nevertheless, for the table.
    fault: Option<Fault>,
}

/// The receiving state of a stream.
#[derive(Default)]
struct StreamInput {
    /// The stream that it is about.
    id: u32,
    /// The content that is still to come, if its length is known.
    left: Option<u64>,
    /// Content that the application holds.
    held: Option<Box<Kept>>,
    /// The delivery of the end of the message.
    end: MessageEnd,
    /// The trailers behind it.
    trailers: Option<Box<Section>>,
    /// The receiver of the tunnel that the stream has become.
    tunnel: Option<CarriedReceiver>,
}

/// Bytes of an entry.
pub(super) const STREAM_INPUT_BYTES: usize = size_of::<StreamInput>();

/// The delivery of the end of the peer's message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum MessageEnd {
    /// It has not come, or has been delivered.
    #[default]
    Nothing,
    /// It is to be delivered.
    Content,
    /// It has been delivered; the trailers have not.
    Trailers,
}

/// The source of the last event's content, if that is not the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lent {
    Nothing,
    /// From the held input of a stream.
    Held(Slot),
    /// By the receiver of a tunnel.
    Tunnel(Slot),
}

impl FrameReader {
    /// That of a connection that was opened at `now`. A server's peer begins with the preface.
    pub(crate) fn new(client: bool, now: Time) -> Self {
        Self {
            place: if client { FramePosition::Header } else { FramePosition::Preface(0) },
            header: [0; HEADER_BYTES],
            header_len: 0,
            pieces: Vec::new(),
            block: None,
            // Until our SETTINGS are acknowledged the peer uses a table of the initial size. RFC 9113 §6.5.3.
            decoder: Decoder::new(TABLE_SIZE_DEFAULT),
            section: Section::default(),
            facts: SectionFacts::NONE,
            inputs: Vec::new(),
            since: now,
            settled: false,
            lent: Lent::Nothing,
            early: Vec::new(),
        }
    }

    /// The section that was delivered last.
    pub(crate) fn head(&self) -> Head<'_> {
        self.facts.head(&self.section)
    }

    /// Receives from the front of `input`.
    pub(crate) fn receive(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        input: &mut [u8],
    ) -> Step {
        if let Some(step) = self.receive_held(session, link, resources) {
            return step;
        }
        let result = match self.place {
            FramePosition::Header => self.on_header_bytes(session, link, resources, input),
            FramePosition::Data(content) => self.on_content_bytes(session, link, resources, content, input),
            FramePosition::Payload(header) => self.on_payload_bytes(session, link, resources, header, input),
            FramePosition::Skip(left) => Ok(self.on_skipped_bytes(left, input)),
            FramePosition::Preface(matched) => self.on_preface_bytes(matched, input),
        };
        match result {
            Ok(step) => step,
            Err(fault) => {
                session.flush_before_an_end(link, resources);
                session.fail(link, fault.cause());
                Step::taken(input.len())
            }
        }
    }

    /// RFC 9113 §3.4.
    fn on_preface_bytes(&mut self, matched: u8, input: &[u8]) -> Result<Step, Fault> {
        let expected = &PREFACE[usize::from(matched)..];
        let n = expected.len().min(input.len());
        if input[..n] != expected[..n] {
            return Err(Fault::connection(Violation::Preface));
        }
        let matched = matched + n as u8;
        self.place = if usize::from(matched) == PREFACE.len() {
            FramePosition::Header
        } else {
            FramePosition::Preface(matched)
        };
        Ok(Step::taken(n))
    }

    #[inline]
    fn on_header_bytes(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        input: &mut [u8],
    ) -> Result<Step, Fault> {
        let (header, len) = match input.first_chunk::<HEADER_BYTES>() {
            Some(bytes) if self.header_len == 0 => (FrameHeader::parse(bytes), HEADER_BYTES),
            _ => match self.complete_header(input) {
                Some(found) => found,
                None => return Ok(Step::taken(input.len())),
            },
        };
        self.check_order(header)?;
        header.check(MAX_FRAME_SIZE).or_else(|fault| self.on_bad_frame(session, link, header, fault))?;
        match header.kind {
            FrameKind::Data => self.on_data(session, link, resources, header).map(|()| Step::taken(len)),
            FrameKind::Unknown(_) => {
                session.count_frame(link)?;
                self.place = FramePosition::Skip(header.len);
                self.enter_skip();
                Ok(Step::taken(len))
            }
            _ => {
                let whole = len + header.len as usize;
                match input.get(len..whole) {
                    Some(payload) => Ok(Step {
                        consumed: whole,
                        item: self.on_frame(session, link, resources, header, payload)?,
                    }),
                    None => {
                        self.place = FramePosition::Payload(header);
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

    /// Checks the order of frames: SETTINGS first, and nothing between the frames of a field block. RFC 9113 §3.4
    /// and §4.3.
    #[inline]
    fn check_order(&mut self, header: FrameHeader) -> Result<(), Fault> {
        if !self.settled && (header.kind != FrameKind::Settings || header.has(frame::flag::ACK)) {
            return Err(Fault::connection(Violation::Preface));
        }
        let continues = match &self.block {
            Some(block) => header.kind == FrameKind::Continuation && header.stream == block.head.stream,
            None => header.kind != FrameKind::Continuation,
        };
        if continues { Ok(()) } else { Err(Fault::connection(Violation::FieldBlock)) }
    }

    /// Handles an invalid frame whose fault affects only its stream: the payload is skipped.
    #[cold]
    fn on_bad_frame(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        header: FrameHeader,
        fault: Fault,
    ) -> Result<(), Fault> {
        if fault.scope == Scope::Connection {
            return Err(fault);
        }
        self.fail_stream(session, link, header.stream, fault)?;
        Ok(())
    }

    fn on_payload_bytes(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        header: FrameHeader,
        input: &[u8],
    ) -> Result<Step, Fault> {
        let n = (header.len as usize - self.pieces.len()).min(input.len());
        self.pieces.extend_from_slice(&input[..n]);
        if self.pieces.len() < header.len as usize {
            return Ok(Step::taken(n));
        }
        self.place = FramePosition::Header;
        let mut pieces = core::mem::take(&mut self.pieces);
        let item = self.on_frame(session, link, resources, header, &pieces);
        pieces.clear();
        self.pieces = pieces;
        Ok(Step { consumed: n, item: item? })
    }

    fn on_skipped_bytes(&mut self, left: u32, input: &[u8]) -> Step {
        let n = (left as usize).min(input.len());
        self.place = FramePosition::Skip(left - n as u32);
        self.enter_skip();
        Step::taken(n)
    }

    /// Goes on with the next frame header if there is nothing to skip.
    fn enter_skip(&mut self) {
        if let FramePosition::Skip(0) = self.place {
            self.place = FramePosition::Header;
        }
    }

    /// A whole frame other than DATA.
    fn on_frame(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Item>, Fault> {
        match header.kind {
            FrameKind::Headers => return self.on_headers(session, link, resources, header, payload),
            FrameKind::Continuation => {
                return self.on_continuation(session, link, resources, header, payload);
            }
            FrameKind::Settings => self.on_settings(session, link, header, payload)?,
            FrameKind::WindowUpdate => self.on_window_update(session, link, header, payload)?,
            FrameKind::Ping => self.on_ping(session, link, header, payload)?,
            FrameKind::RstStream => self.on_rst_stream(session, link, resources, header, payload)?,
            FrameKind::GoAway => self.on_go_away(session, link, resources, payload)?,
            FrameKind::Priority => self.on_priority(session, link, header, payload)?,
            FrameKind::PriorityUpdate => self.on_priority_update(session, link, payload)?,
            FrameKind::PushPromise => return Err(Fault::connection(Violation::Push)),
            FrameKind::Data | FrameKind::Unknown(_) => {}
        }
        Ok(None)
    }

    /// Ends a stream because of a fault of the peer.
    #[cold]
    fn fail_stream(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        id: u32,
        fault: Fault,
    ) -> Result<(), Fault> {
        let cause = fault.cause();
        match session.streams.find(id) {
            Some(slot)
                if !matches!(session.streams.peek(slot).waits_for, super::streams::WaitsFor::Closed) =>
            {
                session.give_up(link, slot, cause);
            }
            Some(_) => {}
            // RFC 9113 §6.4: "RST_STREAM frames MUST NOT be sent for a stream in the "idle" state."
            None if session.is_idle(id) => return Err(Fault { scope: Scope::Connection, ..fault }),
            // RFC 9113 §5.1 of a stream that has ended: "An endpoint MUST NOT send frames other than PRIORITY on a closed stream". A
            // reset behind a response that is complete would be taken for its failure.
            None => return session.count_frame(link),
        }
        session.count_reset(link)
    }

    // Ends and deadlines.

    /// Handles the end of the peer's direction. A server still answers complete requests.
    pub(crate) fn receive_eof(&mut self, session: &mut Session, link: &mut Link) -> Option<Item> {
        if session.client || self.block.is_some() || !matches!(self.place, FramePosition::Header) {
            session.end_all(link, Cause::Disconnected);
            return None;
        }
        session.note_peer_end(link);
        if session.streams.is_empty() {
            session.end_all(link, Cause::Complete);
        }
        None
    }

    pub(crate) fn next_timeout(&self, session: &Session, link: &Link) -> Option<Time> {
        let head = self.head_due(session, link).map(|(due, _)| due);
        crate::time::earliest(head, session.next_timeout(link))
    }

    /// The deadline for the rest of a field block or for a client's preface, with its name. A silent server misses the
    /// deadline for the acknowledgement of SETTINGS.
    fn head_due(&self, session: &Session, link: &Link) -> Option<(Time, Deadline)> {
        let begun = self.block.is_some() || !self.settled && !session.client;
        let deadline = if session.client { Deadline::Response } else { Deadline::Head };
        begun.then(|| (self.since + link.config.limits.head_timeout, deadline))
    }

    pub(crate) fn handle_timeout(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        now: Time,
    ) {
        link.now = now;
        if let Some((_, deadline)) = self.head_due(session, link).filter(|(due, _)| *due <= now) {
            return session.fail(link, Cause::Timeout(deadline));
        }
        session.handle_timeout(link, resources);
        if session.is_trimmed() {
            self.trim();
        }
    }

    /// Releases the input of a stream whose end has been delivered: the application reads nothing of it any more.
    pub(crate) fn forget(&mut self, key: StreamKey) {
        if let Some(input) = self.inputs.get_mut(Slot::of_number(key.number()).index()) {
            *input = StreamInput { id: input.id, ..StreamInput::default() };
        }
    }

    /// The bytes that it holds: input, and the decoder's table.
    pub(crate) fn held_bytes(&self) -> usize {
        let stream_input = self.inputs.iter().map(|stream_input| {
            let tunnel = match &stream_input.tunnel {
                Some(CarriedReceiver::WebSocket(receiver)) => {
                    size_of::<ws::FrameReceiver>() + receiver.held()
                }
                Some(CarriedReceiver::Raw(_)) | None => 0,
            };
            let trailers = stream_input.trailers.as_ref().map_or(0, |trailers| trailers.held());
            tunnel + trailers + stream_input.held.as_ref().map_or(0, |held| held.held())
        });
        self.inputs.capacity() * size_of::<StreamInput>()
            + stream_input.sum::<usize>()
            + self.pieces.capacity()
            + self.block.as_ref().map_or(0, |block| block.bytes.capacity())
            + self.section.held()
            + self.decoder.held()
    }

    /// Gives back memory that an idle connection does not need.
    fn trim(&mut self) {
        if self.lent == Lent::Nothing {
            self.pieces.shrink_to_fit();
            self.section.clear();
            self.section.shrink_to(0, 0);
            self.inputs = Vec::new();
            self.early = Vec::new();
        }
    }
}

/// The largest frame that we take, which needs no SETTINGS. RFC 9113 §4.2.
const MAX_FRAME_SIZE: u32 = super::settings::MIN_MAX_FRAME_SIZE;

/// Which limit a section went past.
fn overflow(overflow: crate::hpack::Overflow) -> Limit {
    match overflow {
        crate::hpack::Overflow::Bytes => Limit::HeadBytes,
        crate::hpack::Overflow::Fields => Limit::FieldLines,
    }
}
