//! Field blocks: requests, responses and trailers. RFC 9113 §4.3, §6.2, §6.10 and §8.

use super::super::error::{ErrorCode, Fault, Scope};
use super::super::frame::{self, FrameHeader, flag};
use super::super::section::{self, Facts};
use super::super::sender::Going;
use super::super::state::{Frame, Refusal, State, Step};
use super::super::streams::{self, NEVER, Place};
use super::{Block, Inbound, MessageEnd, Receiver, overflow};
use crate::hpack::{DecodeError, SectionLimits};
use crate::http::{Expectation, Method, StartLine, Status};
use crate::item::Item;
use crate::stream::Payload;
use crate::tx::{self, Tx};
use crate::{Cause, HandshakeFailure, Limit, Limits, Protocol, Violation, ws};
use alloc::boxed::Box;

/// How much larger than `head_bytes_max` a section may get while it is decoded for the table's sake.
const HARD_FACTOR: u32 = 4;

impl Receiver {
    /// RFC 9113 §6.2.
    pub(super) fn on_headers(
        &mut self,
        tx: &mut Tx,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Item>, Fault> {
        let end_stream = header.has(flag::END_STREAM);
        let (range, fault) = match frame::field_block(header, payload) {
            Ok(range) => (range, None),
            // The block must be decoded all the same.
            Err(fault) if fault.scope == Scope::Stream => {
                let unpadded = FrameHeader { flags: header.flags & !flag::PRIORITY, ..header };
                let range = frame::field_block(unpadded, payload)?;
                (range.start + 5..range.end, Some(fault))
            }
            Err(fault) => return Err(fault),
        };
        let fragment = payload.get(range).unwrap_or_default();
        if header.has(flag::END_HEADERS) {
            return self.on_block(tx, header.stream, end_stream, fragment, fault);
        }
        self.since = tx.now;
        self.block = Some(Box::new(Block {
            stream: header.stream,
            end_stream,
            bytes: fragment.to_vec(),
            continuations: 0,
            fault,
        }));
        self.check_block(tx)?;
        Ok(None)
    }

    /// RFC 9113 §6.10.
    pub(super) fn on_continuation(
        &mut self,
        tx: &mut Tx,
        header: FrameHeader,
        payload: &[u8],
    ) -> Result<Option<Item>, Fault> {
        if let Some(block) = &mut self.block {
            block.continuations += 1;
            block.bytes.extend_from_slice(payload);
        }
        self.check_block(tx)?;
        if !header.has(flag::END_HEADERS) {
            return Ok(None);
        }
        let Some(block) = self.block.take() else { return Ok(None) };
        self.on_block(tx, block.stream, block.end_stream, &block.bytes, block.fault)
    }

    /// A field block in pieces has limits of its own: no honest encoder makes one longer than what it stands for.
    fn check_block(&self, tx: &Tx) -> Result<(), Fault> {
        let Some(block) = &self.block else { return Ok(()) };
        let limits = &tx.config.limits;
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
        tx: &mut Tx,
        id: u32,
        end_stream: bool,
        block: &[u8],
        fault: Option<Fault>,
    ) -> Result<Option<Item>, Fault> {
        self.section.clear();
        let limits = section_limits(&tx.config.limits);
        self.decoder.decode(block, &mut self.section, limits).map_err(|error| match error {
            DecodeError::TooLarge => Fault::limit(Limit::FieldSection),
            _ => Fault::connection(Violation::Compression),
        })?;
        let client = matches!(&tx.sender, tx::Sender::Http2(sender) if sender.client);
        let item = if client {
            self.on_response(tx, id, end_stream, fault)
        } else {
            self.on_request(tx, id, end_stream, fault)
        };
        match item {
            Ok(item) => Ok(item),
            Err(fault) if fault.scope == Scope::Stream => {
                self.fail_stream(tx, id, fault)?;
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }

    // A server's.

    fn on_request(
        &mut self,
        tx: &mut Tx,
        id: u32,
        end: bool,
        fault: Option<Fault>,
    ) -> Result<Option<Item>, Fault> {
        let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(None) };
        if let Some(slot) = sender.streams.find(id) {
            if let Some(fault) = fault {
                return Err(fault);
            }
            return self.on_trailers(tx, slot, end);
        }
        if id.is_multiple_of(2) {
            return Err(Fault::connection(Violation::StreamId));
        }
        if id <= sender.last_peer_id {
            return self.on_late_fields(tx, id);
        }
        let next = (sender.last_peer_id + 1) | 1;
        if id > next {
            sender.skipped = next..id;
        }
        if matches!(sender.going, Going::Away { .. }) {
            // RFC 9113 §6.8: not processed, and the client knows.
            sender.count_frame(out, config, *now)?;
            return Ok(None);
        }
        sender.last_peer_id = id;
        sender.conduct.began();
        if sender.streams.len() >= config.limits.h2_streams_max as usize {
            // RFC 9113 §5.1.2.
            sender.send_reset(out, id, ErrorCode::REFUSED_STREAM);
            sender.count_reset(out, config, *now)?;
            return Ok(None);
        }
        let mut stream = sender.new_stream(id, *now);
        stream.state = State::Idle.on(Step::Receive(Frame::Headers { end })).unwrap_or(State::Open);
        let slot = sender.streams.insert(stream);
        sender.relaxed = false;
        self.begin_inbound(slot, id);
        if let Some(fault) = fault {
            return Err(fault);
        }
        self.tell_request(tx, slot, end)
    }

    /// Reads a request on a stream that has begun, and tells it or answers what is wrong with it.
    fn tell_request(&mut self, tx: &mut Tx, slot: u32, end: bool) -> Result<Option<Item>, Fault> {
        let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(None) };
        let past = self.section.overflow().map(overflow);
        let facts = match past {
            Some(_) => Facts::NONE,
            None => section::read(&mut self.section, section::Kind::Request).map_err(Fault::stream)?,
        };
        self.facts = facts;
        let long = matches!(facts.start, StartLine::Request { target: (_, len), .. }
            if len as usize > config.limits.target_bytes_max);
        let announced = facts.content_length.unwrap_or(0);
        let large = config.limits.content_bytes_max.is_some_and(|max| announced > max);
        let past = past.or(long.then_some(Limit::TargetBytes)).or(large.then_some(Limit::ContentBytes));
        if let Some(limit) = past {
            let status = Status::new(limit.status()).unwrap_or(Status::BAD_REQUEST);
            sender.refuse(out, config, *now, slot, status, (Cause::Limit(limit), limit.message()));
            return Ok(None);
        }
        if end && announced > 0 {
            return Err(Fault::stream(Violation::ContentLengthMismatch));
        }
        if facts.expect == Expectation::Unknown {
            let why = (Cause::Violation(Violation::Expectation), Violation::Expectation.message());
            sender.refuse(out, config, *now, slot, Status::EXPECTATION_FAILED, why);
            return Ok(None);
        }
        let early = self.early_priority(sender.streams.peek(slot).id);
        let stream = sender.streams.at(slot);
        if let StartLine::Request { method, .. } = facts.start {
            stream.method = method;
        }
        if let Some(priority) = early.or(facts.priority) {
            stream.priority = priority;
        }
        stream.set(streams::TOLD);
        if !end {
            if facts.expect == Expectation::Continue {
                stream.set(streams::OWES_CONTINUE);
                sender.asked.push(slot);
            }
            if stream.method != Method::Connect {
                stream.due = *now + config.limits.content_period;
                sender.next_due = sender.next_due.min(stream.due);
            }
            self.inbound[slot as usize].left = facts.content_length;
        }
        sender.current = slot;
        Ok(Some(Item::Request { end }))
    }

    /// The request of an upgrade from HTTP/1.1 is stream 1, and has been told. RFC 7540 §3.2.
    pub(crate) fn begin_upgraded(&mut self, slot: u32) {
        self.begin_inbound(slot, 1);
    }

    fn begin_inbound(&mut self, slot: u32, id: u32) {
        let slot = slot as usize;
        if self.inbound.len() <= slot {
            self.inbound.resize_with(slot + 1, Inbound::default);
        }
        self.inbound[slot] = Inbound { id, ..Inbound::default() };
    }

    /// Fields for a stream that has ended: they were on their way when this side reset it, or are an error.
    fn on_late_fields(&mut self, tx: &mut Tx, id: u32) -> Result<Option<Item>, Fault> {
        let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(None) };
        sender.count_frame(out, config, *now)?;
        if sender.drops(id) {
            return Ok(None);
        }
        if sender.skipped.contains(&id) {
            // "The identifier of a newly established stream MUST be numerically greater than all streams that the initiating
            // endpoint has opened or reserved." RFC 9113 §5.1.1.
            return Err(Fault::connection(Violation::StreamId));
        }
        Err(Fault::connection(Violation::StreamClosed))
    }

    // A client's.

    fn on_response(
        &mut self,
        tx: &mut Tx,
        id: u32,
        end: bool,
        fault: Option<Fault>,
    ) -> Result<Option<Item>, Fault> {
        let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(None) };
        if sender.is_idle(id) {
            return Err(Fault::connection(Violation::StreamIdle));
        }
        let Some(slot) = sender.streams.find(id) else { return self.on_late_fields(tx, id) };
        if let Some(fault) = fault {
            return Err(fault);
        }
        let stream = sender.streams.at(slot);
        if stream.place == Place::Closed {
            return Ok(None);
        }
        if stream.has(streams::ANSWERED) {
            return self.on_trailers(tx, slot, end);
        }
        if let Some(limit) = self.section.overflow().map(overflow) {
            return Err(Fault::stream_limit(limit));
        }
        self.facts = section::read(&mut self.section, section::Kind::Response).map_err(Fault::stream)?;
        let StartLine::Response { status, .. } = self.facts.start else { return Ok(None) };
        if status.is_interim() {
            if end || status == Status::SWITCHING_PROTOCOLS {
                return Err(Fault::stream(Violation::FieldSection));
            }
            sender.current = slot;
            return Ok(Some(Item::Response { end: false }));
        }
        stream.state = match stream.state.on(Step::Receive(Frame::Headers { end })) {
            Ok(state) => state,
            Err(_) => return Err(Fault::stream(Violation::StreamClosed)),
        };
        stream.set(streams::ANSWERED);
        let method = stream.method;
        if status.is_success() && !end && (method == Method::Connect) {
            return self.on_tunnel_answer(tx, slot);
        }
        if stream.handshake.take().is_some() {
            // The deadline of the answer covers all of it.
            stream.cause = Cause::Handshake(HandshakeFailure::Status(status.code()));
        } else {
            stream.due = *now + config.limits.between_bytes_timeout;
            sender.next_due = sender.next_due.min(stream.due);
        }
        if method == Method::Connect && stream.state.sends() {
            // What was to be a tunnel is none: nothing comes from this side.
            sender.write_content(out, config, *now, slot, Payload::Static(b""), true);
        }
        let empty = method == Method::Head || status.is_without_content();
        let left = self.facts.content_length.filter(|_| !empty);
        if end && left.is_some_and(|left| left > 0) {
            return Err(Fault::stream(Violation::ContentLengthMismatch));
        }
        self.begin_client_inbound(slot, id);
        self.inbound[slot as usize].left = if empty { Some(0) } else { left };
        let Tx { sender: tx::Sender::Http2(sender), .. } = tx else { return Ok(None) };
        sender.current = slot;
        if end {
            sender.peer_ended(slot);
        }
        Ok(Some(Item::Response { end }))
    }

    fn begin_client_inbound(&mut self, slot: u32, id: u32) {
        if self.inbound.get(slot as usize).is_none_or(|inbound| inbound.id != id) {
            self.begin_inbound(slot, id);
        }
    }

    /// The server agrees to a CONNECT, or to an extended one. RFC 8441 §5.
    fn on_tunnel_answer(&mut self, tx: &mut Tx, slot: u32) -> Result<Option<Item>, Fault> {
        let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(None) };
        sender.current = slot;
        let stream = sender.streams.at(slot);
        let id = stream.id;
        let (opened, protocol) = match stream.handshake.take() {
            None => (None, Protocol::Raw),
            Some(expected) => match ws::check_answer(&self.facts.head(&self.section), &expected) {
                Ok(opened) => (Some(opened), Protocol::WebSocket),
                Err(failure) => {
                    sender.reset(out, slot, ErrorCode::CANCEL, Cause::Handshake(failure));
                    return Ok(None);
                }
            },
        };
        sender.make_tunnel(config, *now, opened, true);
        self.begin_client_inbound(slot, id);
        self.take_tunnel(tx, slot);
        Ok(Some(Item::Established { protocol, head: true }))
    }

    // Trailers.

    /// RFC 9113 §8.1: a second section ends the stream.
    fn on_trailers(&mut self, tx: &mut Tx, slot: u32, end: bool) -> Result<Option<Item>, Fault> {
        let Tx { sender: tx::Sender::Http2(sender), config, now, .. } = tx else { return Ok(None) };
        let stream = sender.streams.peek(slot);
        if stream.place == Place::Closed && sender.drops(stream.id) {
            return Ok(None);
        }
        let stream = sender.streams.at(slot);
        match stream.state.on(Step::Receive(Frame::Headers { end })) {
            Ok(_) if end && stream.tunnel.is_none() => {}
            Ok(_) => return Err(Fault::stream(Violation::FieldSection)),
            Err(Refusal::Closed) if stream.state == State::Closed => {
                return Err(Fault::connection(Violation::StreamClosed));
            }
            Err(_) => return Err(Fault::stream(Violation::StreamClosed)),
        }
        if self.section.overflow().is_some() || self.section.size() > config.limits.trailer_bytes_max {
            return Err(Fault::stream_limit(Limit::TrailerBytes));
        }
        let facts = section::read(&mut self.section, section::Kind::Trailers).map_err(Fault::stream)?;
        let unwanted = stream.has(streams::UNWANTED);
        let inbound = &mut self.inbound[slot as usize];
        if inbound.left.is_some_and(|left| left > 0) {
            return Err(Fault::stream(Violation::ContentLengthMismatch));
        }
        inbound.end = MessageEnd::Content;
        if !self.section.is_empty() && !unwanted {
            inbound.trailers = Some(Box::new(core::mem::take(&mut self.section)));
        }
        self.facts = facts;
        stream.set(streams::PEER_ENDED);
        if unwanted {
            sender.peer_ended(slot);
        } else {
            sender.release_held(slot, *now);
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

impl super::super::sender::Sender {
    /// The peer's message has come to its end, and was told or is told now.
    pub(crate) fn peer_ended(&mut self, slot: u32) {
        let stream = self.streams.at(slot);
        stream.take(streams::PEER_ENDED);
        stream.due = NEVER;
        stream.state = stream.state.peer_ended();
        if stream.state == State::Closed {
            let cause = stream.cause;
            self.close(slot, cause);
        }
    }
}
