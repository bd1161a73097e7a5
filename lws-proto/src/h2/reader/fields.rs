//! Field blocks: requests, responses and trailers. RFC 9113 §4.3, §6.2, §6.10 and §8.

use super::super::code::ErrorCode;
use super::super::error::{Fault, Scope};
use super::super::frame::{self, FrameHeader, flag};
use super::super::section::{self, SectionFacts};
use super::super::session::Session;
use super::super::shutdown::ShutdownPhase;
use super::super::slot::Slot;
use super::super::state::{Frame, Refusal, State, Transition};
use super::super::streams::{self, WaitsFor};
use super::{Block, BlockHead, FrameReader, MessageEnd, StreamInput, overflow};
use crate::connection::item::Item;
use crate::connection::link::Link;
use crate::connection::resources::Resources;
use crate::connection::stream::Notices;
use crate::hpack::{DecodeError, SectionLimits};
use crate::http::{Expectation, Method, StartLine, Status};
use crate::payload::Payload;
use crate::{Cause, HandshakeFailure, Limit, Limits, Protocol, Violation, ws};
use alloc::boxed::Box;

/// How much larger than `head_bytes_max` a section may get while it is decoded for the table's sake.
const HARD_FACTOR: u32 = 4;

impl FrameReader {
    /// RFC 9113 §6.2.
    pub(super) fn on_headers(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Item>, Fault> {
        let (range, fault) = match frame::field_block(header, payload) {
            Ok(range) => (range, None),
            Err(fault) if fault.scope == Scope::Stream => {
                let unpadded = FrameHeader { flags: header.flags & !flag::PRIORITY, ..header };
                let range = frame::field_block(unpadded, payload)?;
                (range.start + 5..range.end, Some(fault))
            }
            Err(fault) => return Err(fault),
        };
        let fragment = payload.get(range).unwrap_or_default();
        let end_stream = header.has(flag::END_STREAM);
        let head = BlockHead { stream: header.stream, end_stream, fault };
        if header.has(flag::END_HEADERS) {
            return self.on_block(session, link, resources, head, fragment);
        }
        self.since = link.now;
        self.block = Some(Box::new(Block { head, bytes: fragment.to_vec(), continuations: 0 }));
        self.check_block(link)?;
        Ok(None)
    }

    /// RFC 9113 §6.10.
    pub(super) fn on_continuation(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Item>, Fault> {
        if let Some(block) = &mut self.block {
            block.continuations += 1;
            block.bytes.extend_from_slice(payload);
        }
        self.check_block(link)?;
        if !header.has(flag::END_HEADERS) {
            return Ok(None);
        }
        let Some(block) = self.block.take() else { return Ok(None) };
        self.on_block(session, link, resources, block.head, &block.bytes)
    }

    /// A field block in pieces has limits of its own: no honest encoder makes one longer than what it stands for.
    fn check_block(&self, link: &Link) -> Result<(), Fault> {
        let Some(block) = &self.block else { return Ok(()) };
        let limits = &link.config.limits;
        if block.continuations > limits.h2_continuations_max {
            return Err(Fault::limit(Limit::Continuations));
        }
        if block.bytes.len() > limits.head_bytes_max.saturating_mul(HARD_FACTOR as usize) {
            return Err(Fault::limit(Limit::FieldSection));
        }
        Ok(())
    }

    /// A whole field block.
    fn on_block(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        head: BlockHead,
        block: &[u8],
    ) -> Result<Option<Item>, Fault> {
        self.section.clear();
        let limits = section_limits(&link.config.limits);
        self.decoder.decode(block, &mut self.section, limits).map_err(|error| match error {
            DecodeError::TooLarge => Fault::limit(Limit::FieldSection),
            _ => Fault::connection(Violation::Compression),
        })?;
        let item = if session.client {
            self.on_response(session, link, resources, head)
        } else {
            self.on_request(session, link, resources, head)
        };
        match item {
            Ok(item) => Ok(item),
            Err(fault) if fault.scope == Scope::Stream => {
                self.fail_stream(session, link, head.stream, fault)?;
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    // A server's.

    fn on_request(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        head: BlockHead,
    ) -> Result<Option<Item>, Fault> {
        let BlockHead { stream: id, end_stream: end, fault } = head;
        if let Some(slot) = session.streams.find(id) {
            if let Some(fault) = fault {
                return Err(fault);
            }
            return self.on_trailers(session, link, resources, slot, end);
        }
        if id.is_multiple_of(2) {
            return Err(Fault::connection(Violation::StreamId));
        }
        if id <= session.incoming.last_id {
            return self.on_late_fields(session, link, id);
        }
        let next = (session.incoming.last_id + 1) | 1;
        if id > next {
            session.incoming.skipped = next..id;
        }
        if matches!(session.shutdown.phase, ShutdownPhase::Away { .. }) {
            // RFC 9113 §6.8: not processed, and the client knows.
            session.count_frame(link)?;
            return Ok(None);
        }
        session.incoming.last_id = id;
        session.abuse.began();
        let streams_max = link.config.limits.h2_streams_max as usize;
        if session.streams.len() >= streams_max {
            session.end_lingering(link);
        }
        let full = resources.account.is_full(link.config.limits.held_bytes_max) || link.config.held.is_full();
        if session.streams.len() >= streams_max || full {
            // RFC 9113 §5.1.2. It has not been processed, and may be tried again: RFC 9113 §8.7.
            session.send_reset(link, id, ErrorCode::REFUSED_STREAM);
            session.count_reset(link)?;
            return Ok(None);
        }
        let mut stream = session.new_stream(id, link.now);
        stream.state = State::Idle.on(Transition::Receive(Frame::Headers { end })).unwrap_or(State::Open);
        let slot = session.streams.insert(stream);
        session.idle.trimmed = false;
        self.begin_input(slot, id);
        if let Some(fault) = fault {
            return Err(fault);
        }
        self.deliver_request(session, link, resources, slot, end)
    }

    /// Reads a request on a stream that has begun, and delivers it or answers what is wrong with it.
    fn deliver_request(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        slot: Slot,
        end: bool,
    ) -> Result<Option<Item>, Fault> {
        let past = self.section.overflow().map(overflow);
        let facts = match past {
            Some(_) => SectionFacts::NONE,
            None => section::read(&mut self.section, section::SectionKind::Request).map_err(Fault::stream)?,
        };
        self.facts = facts;
        let long = matches!(facts.start, StartLine::Request { target: (_, len), .. }
            if len as usize > link.config.limits.target_bytes_max);
        let announced = facts.content_length.unwrap_or(0);
        let large = link.config.limits.content_bytes_max.is_some_and(|max| announced > max);
        let past = past.or(long.then_some(Limit::TargetBytes)).or(large.then_some(Limit::ContentBytes));
        if let Some(limit) = past {
            session.refuse(link, resources, slot, Cause::Limit(limit));
            return Ok(None);
        }
        if end && announced > 0 {
            return Err(Fault::stream(Violation::ContentLengthMismatch));
        }
        if facts.expect == Expectation::Unknown {
            session.refuse(link, resources, slot, Cause::Violation(Violation::Expectation));
            return Ok(None);
        }
        let early = self.early_priority(session.streams.peek(slot).id);
        let stream = session.streams.at(slot);
        if let StartLine::Request { method, .. } = facts.start {
            stream.method = method;
        }
        if let Some(priority) = early.or(facts.priority) {
            stream.priority = priority;
        }
        stream.set(streams::DELIVERED);
        if !end {
            if facts.expect == Expectation::Continue {
                stream.set(streams::OWES_CONTINUE);
                session.incoming.continues.push(slot);
            }
            if stream.method != Method::Connect {
                let due = link.now + link.config.limits.content_period;
                stream.due = due;
                session.wake_at(due);
            }
            self.inputs[slot.index()].left = facts.content_length;
        }
        session.lend(slot);
        Ok(Some(Item::Request { end }))
    }

    /// The request of an upgrade from HTTP/1.1 is stream 1, and has been delivered. RFC 7540 §3.2.
    pub(crate) fn begin_upgraded(&mut self, slot: Slot) {
        self.begin_input(slot, 1);
    }

    fn begin_input(&mut self, slot: Slot, id: u32) {
        let slot = slot.index();
        if self.inputs.len() <= slot {
            self.inputs.resize_with(slot + 1, StreamInput::default);
        }
        self.inputs[slot] = StreamInput { id, ..StreamInput::default() };
    }

    /// Fields for a stream that has ended: they were on their way when this side reset it, or are an error.
    fn on_late_fields(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        id: u32,
    ) -> Result<Option<Item>, Fault> {
        session.count_frame(link)?;
        if session.drops(id) {
            return Ok(None);
        }
        if session.incoming.skipped.contains(&id) {
            // "The identifier of a newly established stream MUST be numerically greater than all streams that the initiating
            // endpoint has opened or reserved." RFC 9113 §5.1.1.
            return Err(Fault::connection(Violation::StreamId));
        }
        Err(Fault::connection(Violation::StreamClosed))
    }

    // A client's.

    fn on_response(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        head: BlockHead,
    ) -> Result<Option<Item>, Fault> {
        let BlockHead { stream: id, end_stream: end, fault } = head;
        if session.is_idle(id) {
            return Err(Fault::connection(Violation::StreamIdle));
        }
        let Some(slot) = session.streams.find(id) else { return self.on_late_fields(session, link, id) };
        if let Some(fault) = fault {
            return Err(fault);
        }
        let stream = session.streams.at(slot);
        if stream.waits_for == WaitsFor::Closed {
            return Ok(None);
        }
        if stream.has(streams::ANSWERED) {
            return self.on_trailers(session, link, resources, slot, end);
        }
        if let Some(limit) = self.section.overflow().map(overflow) {
            return Err(Fault::stream_limit(limit));
        }
        self.facts =
            section::read(&mut self.section, section::SectionKind::Response).map_err(Fault::stream)?;
        let StartLine::Response { status, .. } = self.facts.start else { return Ok(None) };
        if status.is_interim() {
            if end || status == Status::SWITCHING_PROTOCOLS {
                return Err(Fault::stream(Violation::FieldSection));
            }
            session.lend(slot);
            return Ok(Some(Item::Response { end: false }));
        }
        self.on_final_response(session, link, resources, slot, status, end)
    }

    /// The head of a final response, which content may follow.
    fn on_final_response(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        slot: Slot,
        status: Status,
        end: bool,
    ) -> Result<Option<Item>, Fault> {
        let stream = session.streams.at(slot);
        let (id, method) = (stream.id, stream.method);
        stream.state = match stream.state.on(Transition::Receive(Frame::Headers { end })) {
            Ok(state) => state,
            Err(_) => return Err(Fault::stream(Violation::StreamClosed)),
        };
        stream.set(streams::ANSWERED);
        if status.is_success() && !end && (method == Method::Connect) {
            return self.on_tunnel_answer(session, link, resources, slot);
        }
        if stream.take_expected().is_some() {
            // The deadline of the answer covers all of it.
            stream.core.cause = Cause::Handshake(HandshakeFailure::Status(status.code()));
        } else {
            let due = link.now + link.config.limits.between_bytes_timeout;
            stream.due = due;
            session.wake_at(due);
        }
        if method == Method::Connect && session.streams.peek(slot).state.sends() {
            // What was to be a tunnel is none: nothing comes from this side.
            session.write_content(link, resources, slot, Payload::Static(b""), true);
        }
        let empty = method == Method::Head || status.is_without_content();
        let left = self.facts.content_length.filter(|_| !empty);
        if end && left.is_some_and(|left| left > 0) {
            return Err(Fault::stream(Violation::ContentLengthMismatch));
        }
        self.begin_client_input(slot, id);
        self.inputs[slot.index()].left = if empty { Some(0) } else { left };
        session.lend(slot);
        if end {
            session.peer_ended(slot);
        }
        Ok(Some(Item::Response { end }))
    }

    fn begin_client_input(&mut self, slot: Slot, id: u32) {
        if self.inputs.get(slot.index()).is_none_or(|stream_input| stream_input.id != id) {
            self.begin_input(slot, id);
        }
    }

    /// The server agrees to a CONNECT, or to an extended one. RFC 8441 §5.
    fn on_tunnel_answer(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        slot: Slot,
    ) -> Result<Option<Item>, Fault> {
        session.lend(slot);
        let stream = session.streams.at(slot);
        let id = stream.id;
        let (opened, protocol) = match stream.take_expected() {
            None => (None, Protocol::Raw),
            Some(expected) => match ws::check_answer(&self.facts.head(&self.section), &expected) {
                Ok(opened) => (Some(opened), Protocol::WebSocket),
                Err(failure) => {
                    session.reset(link, slot, ErrorCode::CANCEL, Cause::Handshake(failure));
                    return Ok(None);
                }
            },
        };
        session.make_tunnel(link, resources, opened, true);
        self.begin_client_input(slot, id);
        self.take_tunnel(session, link, resources, slot);
        Ok(Some(Item::Established { protocol, head: true }))
    }

    // Trailers.

    /// RFC 9113 §8.1: a second section ends the stream.
    fn on_trailers(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        slot: Slot,
        end: bool,
    ) -> Result<Option<Item>, Fault> {
        let stream = session.streams.peek(slot);
        if stream.waits_for == WaitsFor::Closed && session.drops(stream.id) {
            return Ok(None);
        }
        let stream = session.streams.at(slot);
        match stream.state.on(Transition::Receive(Frame::Headers { end })) {
            Ok(_) if end && stream.tunnel().is_none() => {}
            Ok(_) => return Err(Fault::stream(Violation::FieldSection)),
            Err(Refusal::Closed) if stream.state == State::Closed => {
                return Err(Fault::connection(Violation::StreamClosed));
            }
            Err(_) => return Err(Fault::stream(Violation::StreamClosed)),
        }
        if self.section.overflow().is_some() || self.section.size() > link.config.limits.trailer_bytes_max {
            return Err(Fault::stream_limit(Limit::TrailerBytes));
        }
        let facts =
            section::read(&mut self.section, section::SectionKind::Trailers).map_err(Fault::stream)?;
        let unwanted = stream.has(streams::UNWANTED);
        let stream_input = &mut self.inputs[slot.index()];
        if stream_input.left.is_some_and(|left| left > 0) {
            return Err(Fault::stream(Violation::ContentLengthMismatch));
        }
        stream_input.end = MessageEnd::Content;
        if !self.section.is_empty() && !unwanted {
            resources.account.charge(self.section.held());
            stream_input.trailers = Some(Box::new(core::mem::take(&mut self.section)));
        }
        self.facts = facts;
        stream.core.notices.set(Notices::PEER_ENDED);
        if unwanted {
            session.peer_ended(slot);
        } else {
            session.release_held(slot, link.now);
        }
        Ok(None)
    }
}

fn section_limits(limits: &Limits) -> SectionLimits {
    let bytes_max = u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX);
    SectionLimits {
        bytes_max,
        fields_max: u32::try_from(limits.field_lines_max).unwrap_or(u32::MAX),
        hard_bytes_max: bytes_max.saturating_mul(HARD_FACTOR),
    }
}
