//! Content: DATA frames, held content, and tunnels. RFC 9113 §6.1 and §8.1, RFC 8441 §5.

use super::super::code::ErrorCode;
use super::super::error::Fault;
use super::super::frame::{FrameHeader, flag};
use super::super::section::SectionFacts;
use super::super::session::Session;
use super::super::slot::Slot;
use super::super::state::{Frame, Refusal, State, Transition};
use super::super::streams::{self, WaitsFor};
use super::{DataFrame, FramePosition, FrameReader, Lent, MessageEnd, StreamInput};
use crate::connection::buffer::Kept;
use crate::connection::carried::CarriedReceiver;
use crate::connection::item::{Content, Item, Step};
use crate::connection::link::Link;
use crate::connection::resources::Resources;
use crate::connection::stream::Notices;
use crate::{Cause, Limit, Protocol, Violation};
use alloc::boxed::Box;

/// Content of fewer bytes in a frame that does not end its message is hardly worth the frame.
const TINY: u32 = 8;

impl FrameReader {
    /// The head of a DATA frame. RFC 9113 §6.1.
    pub(super) fn on_data(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        header: FrameHeader,
    ) -> Result<(), Fault> {
        let end = header.has(flag::END_STREAM);
        let padded = header.has(flag::PADDED);
        if !session.flow.receive.receive(header.len) {
            return Err(Fault::connection(Violation::FlowControl));
        }
        self.place = FramePosition::Skip(header.len);
        self.enter_skip();
        if session.is_idle(header.stream) {
            return Err(Fault::connection(Violation::StreamIdle));
        }
        let Some(slot) = session.streams.find(header.stream) else {
            session.flow.drop_content(link, header.len);
            if session.drops(header.stream) {
                return session.count_frame(link);
            }
            return Err(Fault::connection(Violation::StreamClosed));
        };
        if session.streams.peek(slot).waits_for == WaitsFor::Closed && session.drops(header.stream) {
            session.flow.drop_content(link, header.len);
            return Ok(());
        }
        let stream = session.streams.at(slot);
        if session.client && !stream.has(streams::ANSWERED) {
            session.flow.drop_content(link, header.len);
            return self.fail_stream(session, link, header.stream, Fault::stream(Violation::FieldSection));
        }
        let peer_ended = stream.core.notices.has(Notices::PEER_ENDED);
        match stream.state.on(Transition::Receive(Frame::Data { end })) {
            Ok(_) if !peer_ended => {}
            Err(Refusal::Closed) if stream.state == State::Closed => {
                session.flow.drop_content(link, header.len);
                return Err(Fault::connection(Violation::StreamClosed));
            }
            _ => {
                session.flow.drop_content(link, header.len);
                return self.fail_stream(
                    session,
                    link,
                    header.stream,
                    Fault::stream(Violation::StreamClosed),
                );
            }
        }
        if padded && header.len == 0 {
            return Err(Fault::connection(Violation::FrameSize));
        }
        if !stream.receive.receive(header.len) {
            session.flow.drop_content(link, header.len);
            return self.fail_stream(session, link, header.stream, Fault::stream(Violation::FlowControl));
        }
        let content = DataFrame { slot, id: header.stream, left: header.len, padded, padding: 0, end };
        self.place = FramePosition::Data(content);
        if padded { Ok(()) } else { self.begin_content(session, link, resources, content) }
    }

    /// Begins the content of a frame, whose length is known now. It is checked before any of it is delivered, so that
    /// events do not depend on how the frame is cut.
    fn begin_content(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        content: DataFrame,
    ) -> Result<(), Fault> {
        if content.left < TINY && !content.end {
            count_tiny(session, link, content)?;
        }
        if let Some(fault) = self.check_content(session, link, content) {
            session.take_content(content.slot, content.id, content.left);
            self.skip_rest(session, link, content);
            return self.refuse_content(session, link, resources, content.id, fault);
        }
        if content.left == 0 {
            // No further bytes of the frame will lead back here.
            return self.end_frame(session, link, content);
        }
        session.abuse.conduct.received_data(content.left);
        Ok(())
    }

    /// Bytes of a DATA frame.
    pub(super) fn on_content_bytes(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        mut content: DataFrame,
        input: &mut [u8],
    ) -> Result<Step, Fault> {
        if content.padded {
            let Some(&padding) = input.first() else { return Ok(Step::taken(0)) };
            content.padded = false;
            content.left -= 1;
            content.padding = u32::from(padding);
            content.left =
                content.left.checked_sub(content.padding).ok_or(Fault::connection(Violation::Padding))?;
            self.place = FramePosition::Data(content);
            session.take_content(content.slot, content.id, 1 + content.padding);
            self.begin_content(session, link, resources, content)?;
            return Ok(Step::taken(1));
        }
        let n = (content.left as usize).min(input.len());
        if n == 0 {
            // Called without input in the middle of a frame: an empty piece of content is not delivered.
            return Ok(Step::taken(0));
        }
        let Some(stream) = session.streams.still(content.slot, content.id) else {
            // It has ended in the middle of the frame.
            return self.skip_content(session, link, content, n);
        };
        if stream.waits_for == WaitsFor::Closed || stream.has(streams::LINGERS) {
            return self.skip_content(session, link, content, n);
        }
        let tunnel = stream.tunnel().is_some();
        let holds = stream.held_input > 0 || stream.has(streams::RESUMED);
        if holds || session.holds_input(content.slot) {
            return self.hold(session, link, resources, content, &input[..n]);
        }
        if tunnel {
            return self.on_tunnel_bytes(session, link, resources, content, &mut input[..n]);
        }
        self.on_exchange_bytes(session, link, content, n)
    }

    /// Content of a request or response.
    fn on_exchange_bytes(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        mut content: DataFrame,
        n: usize,
    ) -> Result<Step, Fault> {
        let len = n as u32;
        content.left -= len;
        self.place = FramePosition::Data(content);
        session.take_content(content.slot, content.id, len);
        self.count_content(session, link, content.slot, n);
        if content.left == 0 {
            self.skip_rest(session, link, content);
        }
        let unwanted = session.streams.peek(content.slot).has(streams::UNWANTED);
        let end = content.left == 0 && content.end;
        session.lend(content.slot);
        if end {
            session.peer_ended(content.slot);
        }
        if unwanted {
            return Ok(Step::taken(n));
        }
        Ok(Step::found(n, Item::Body { content: Content::Input(0..n), end }))
    }

    /// Handles the end of a frame's content.
    fn end_frame(&mut self, session: &mut Session, link: &mut Link, content: DataFrame) -> Result<(), Fault> {
        let now = link.now;
        self.skip_rest(session, link, content);
        if !content.end {
            return Ok(());
        }
        let Some(stream) = session.streams.still(content.slot, content.id) else { return Ok(()) };
        if stream.waits_for == WaitsFor::Closed {
            return Ok(());
        }
        if stream.has(streams::UNWANTED | streams::LINGERS) {
            session.peer_ended(content.slot);
            return Ok(());
        }
        self.inputs[content.slot.index()].end = MessageEnd::Content;
        stream.core.notices.set(Notices::PEER_ENDED);
        session.release_held(content.slot, now);
        Ok(())
    }

    /// Skips the padding. The peer is given room for the content here and not earlier, so that output does not depend
    /// on how the frame is cut.
    fn skip_rest(&mut self, session: &mut Session, link: &mut Link, content: DataFrame) {
        self.place = FramePosition::Skip(content.left + content.padding);
        self.enter_skip();
        session.flow.give(link);
        if !content.end {
            session.give_stream(link, content.slot, content.id);
        }
    }

    /// Drops content of a stream that has ended.
    fn skip_content(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        mut content: DataFrame,
        n: usize,
    ) -> Result<Step, Fault> {
        content.left -= n as u32;
        self.place = FramePosition::Data(content);
        session.flow.receive.take(n as u32);
        if content.left == 0 {
            let stream = session.streams.still(content.slot, content.id);
            if content.end && stream.is_some_and(|stream| stream.has(streams::LINGERS)) {
                session.peer_ended(content.slot);
            }
            self.skip_rest(session, link, content);
        }
        Ok(Step::taken(n))
    }

    /// Holds content for a paused stream. The peer's window bounds it.
    fn hold(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        mut content: DataFrame,
        bytes: &[u8],
    ) -> Result<Step, Fault> {
        let n = bytes.len();
        content.left -= n as u32;
        self.place = FramePosition::Data(content);
        if session.streams.peek(content.slot).tunnel().is_none() {
            self.count_content(session, link, content.slot, n);
        }
        match &mut self.inputs[content.slot.index()].held {
            Some(held) => held.append(bytes),
            place @ None => *place = Some(Box::new(Kept::copy_of(bytes))),
        }
        session.streams.at(content.slot).held_input += n as u32;
        resources.account.charge(n);
        session.release_held(content.slot, link.now);
        if content.left == 0 {
            self.end_frame(session, link, content)?;
        }
        Ok(Step::taken(n))
    }

    /// Checks the length of a frame's content: it must not exceed the announced length or the limit.
    fn check_content(&self, session: &mut Session, link: &mut Link, content: DataFrame) -> Option<Fault> {
        let stream = session.streams.peek(content.slot);
        if stream.id != content.id || stream.waits_for == WaitsFor::Closed || stream.tunnel().is_some() {
            return None;
        }
        let n = u64::from(content.left);
        let left = self.inputs[content.slot.index()].left;
        if left.is_some_and(|left| n > left || content.end && n < left) {
            return Some(Fault::stream(Violation::ContentLengthMismatch));
        }
        let (limit, max) = if stream.has(streams::UNWANTED) {
            (Limit::DiscardBytes, Some(link.config.limits.discard_bytes_max))
        } else {
            (Limit::ContentBytes, stream.content_bytes_max.or(link.config.limits.content_bytes_max))
        };
        max.is_some_and(|max| stream.delivered_bytes + n > max).then_some(Fault::stream_limit(limit))
    }

    /// Counts content of an exchange.
    fn count_content(&mut self, session: &mut Session, link: &mut Link, slot: Slot, n: usize) {
        let client = session.client;
        let stream = session.streams.at(slot);
        stream.period_bytes = stream.period_bytes.saturating_add(n);
        stream.delivered_bytes += n as u64;
        if client && !stream.is_refused() {
            stream.due = link.now + link.config.limits.between_bytes_timeout;
        }
        if let Some(left) = &mut self.inputs[slot.index()].left {
            *left = left.saturating_sub(n as u64);
        }
    }

    /// Ends a stream with invalid content: with 413 if it is too much and no response has begun.
    #[cold]
    fn refuse_content(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        id: u32,
        fault: Fault,
    ) -> Result<(), Fault> {
        let Some(slot) = session.streams.find(id) else { return Ok(()) };
        let cause = fault.cause();
        let answerable = !session.client && session.streams.peek(slot).message() == streams::Message::Head;
        match cause {
            Cause::Limit(Limit::DiscardBytes) => {
                // The response is complete; the request is not wanted. RFC 9113 §8.1.
                let cause = session.streams.peek(slot).core.cause;
                session.reset(link, slot, ErrorCode::NO_ERROR, cause);
                Ok(())
            }
            Cause::Limit(_) if answerable => {
                session.refuse(link, resources, slot, cause);
                Ok(())
            }
            _ => self.fail_stream(session, link, id, fault),
        }
    }

    // Tunnels.

    /// Bytes for a WebSocket or tunnel.
    fn on_tunnel_bytes(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        mut content: DataFrame,
        input: &mut [u8],
    ) -> Result<Step, Fault> {
        session.detach(link, resources);
        session.attach(content.slot, link);
        let step = self.read_tunnel(session, link, resources, content.slot, input);
        content.left -= step.consumed as u32;
        self.place = FramePosition::Data(content);
        session.take_content(content.slot, content.id, step.consumed as u32);
        if content.left == 0 {
            self.end_frame(session, link, content)?;
        }
        Ok(step)
    }

    /// Passes bytes to the receiver of a tunnel.
    fn read_tunnel(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        slot: Slot,
        input: &mut [u8],
    ) -> Step {
        let Some(tunnel) = session.attached_tunnel() else { return Step::taken(input.len()) };
        let (carried, channel) = tunnel.halves();
        channel.link.last_received = link.now;
        let step = match &mut self.inputs[slot.index()].tunnel {
            Some(receiver) if channel.link.is_open() => receiver.receive(carried, channel, resources, input),
            _ => Step::taken(input.len()),
        };
        if step.item.as_ref().is_some_and(Item::is_assembled) {
            self.lent = Lent::Tunnel(slot);
        }
        step
    }

    /// Takes over the receiver of a tunnel that a stream has become.
    pub(super) fn take_tunnel(
        &mut self,
        session: &mut Session,
        link: &Link,
        resources: &mut Resources,
        slot: Slot,
    ) -> Option<(Protocol, bool)> {
        session.detach(link, resources);
        session.attach(slot, link);
        let (receiver, protocol, announced) = session.attached_tunnel()?.take_receiver()?;
        let index = slot.index();
        if self.inputs.len() <= index {
            self.inputs.resize_with(index + 1, StreamInput::default);
        }
        self.inputs[index].tunnel = Some(receiver);
        Some((protocol, announced))
    }

    // Held content.

    /// Delivers held content of streams that were resumed, or have become tunnels.
    pub(super) fn receive_held(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
    ) -> Option<Step> {
        loop {
            let slot = *session.streams.resumed.front()?;
            match self.deliver_held(session, link, resources, slot) {
                HeldInput::Item(item) => return Some(Step::found(0, item)),
                HeldInput::Progress => {}
                HeldInput::Nothing => {
                    session.streams.unresume(slot);
                    // The window may be used up again before its input was delivered.
                    session.line_up(slot, link.now);
                }
            }
            session.detach(link, resources);
            if !session.streams.closed.is_empty() {
                return Some(Step::taken(0));
            }
        }
    }

    /// The next item of a stream's held content.
    fn deliver_held(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        slot: Slot,
    ) -> HeldInput {
        let stream = session.streams.peek(slot);
        if stream.id == 0 || stream.waits_for == WaitsFor::Closed {
            return HeldInput::Nothing;
        }
        if stream.tunnel().is_some() {
            return self.deliver_held_tunnel(session, link, resources, slot);
        }
        if session.holds_input(slot) {
            return HeldInput::Nothing;
        }
        let (id, held) = (stream.id, stream.held_input);
        session.lend(slot);
        let stream_input = &mut self.inputs[slot.index()];
        if let (1.., Some(kept)) = (held, &mut stream_input.held) {
            let range = kept.start()..kept.start() + kept.len();
            kept.consume(range.len());
            let end = stream_input.end == MessageEnd::Content && stream_input.trailers.is_none();
            session.streams.at(slot).held_input = 0;
            self.lent = Lent::Held(slot);
            session.take_held_content(link, slot, id, held);
            if end {
                self.complete_message(session, slot);
            }
            return HeldInput::Item(Item::Body { content: Content::Held(range), end });
        }
        match (stream_input.end, stream_input.trailers.take()) {
            (MessageEnd::Nothing, _) => HeldInput::Nothing,
            (MessageEnd::Content, None) => {
                self.complete_message(session, slot);
                HeldInput::Item(Item::Body { content: Content::Input(0..0), end: true })
            }
            (MessageEnd::Content, trailers @ Some(_)) => {
                stream_input.trailers = trailers;
                stream_input.end = MessageEnd::Trailers;
                HeldInput::Item(Item::Body { content: Content::Input(0..0), end: true })
            }
            (MessageEnd::Trailers, trailers) => {
                self.section = trailers.map(|trailers| *trailers).unwrap_or_default();
                self.facts = SectionFacts::NONE;
                self.complete_message(session, slot);
                HeldInput::Item(Item::Trailers)
            }
        }
    }

    /// Notes that the whole message of the peer has been delivered.
    fn complete_message(&mut self, session: &mut Session, slot: Slot) {
        self.inputs[slot.index()].end = MessageEnd::Nothing;
        session.streams.unresume(slot);
        session.peer_ended(slot);
    }

    fn deliver_held_tunnel(
        &mut self,
        session: &mut Session,
        link: &mut Link,
        resources: &mut Resources,
        slot: Slot,
    ) -> HeldInput {
        if let Some((protocol, announced)) = self.take_tunnel(session, link, resources, slot) {
            return match announced {
                true => HeldInput::Progress,
                false => HeldInput::Item(Item::Established { protocol, head: false }),
            };
        }
        let id = session.streams.peek(slot).id;
        let Some(tunnel) = session.attached_tunnel() else { return HeldInput::Nothing };
        if tunnel.holds_input() || !tunnel.channel.link.is_open() {
            return HeldInput::Nothing;
        }
        let more = tunnel.channel.has_more();
        let kept = self.inputs[slot.index()].held.take().filter(|kept| !kept.is_empty());
        let Some(mut kept) = kept else {
            return match more {
                true => HeldInput::of(self.read_tunnel(session, link, resources, slot, &mut []).item),
                false => self.end_of_tunnel(session, slot),
            };
        };
        let start = kept.start();
        let step = self.read_tunnel(session, link, resources, slot, kept.filled());
        kept.consume(step.consumed);
        self.inputs[slot.index()].held = Some(kept);
        let stream = session.streams.at(slot);
        stream.held_input = stream.held_input.saturating_sub(step.consumed as u32);
        session.take_held_content(link, slot, id, step.consumed as u32);
        if step.item.is_some() && self.lent == Lent::Nothing {
            self.lent = Lent::Held(slot);
        }
        HeldInput::of(step.item.map(|item| item.in_held(start)))
    }

    /// The peer has ended its direction of a tunnel.
    fn end_of_tunnel(&mut self, session: &mut Session, slot: Slot) -> HeldInput {
        let stream = session.streams.at(slot);
        if !stream.core.notices.take(Notices::PEER_ENDED) {
            return HeldInput::Nothing;
        }
        stream.state = stream.state.peer_ended();
        let Some(tunnel) = session.attached_tunnel() else { return HeldInput::Nothing };
        let (carried, channel) = tunnel.halves();
        match &mut self.inputs[slot.index()].tunnel {
            Some(receiver) => HeldInput::of(receiver.receive_eof(carried, channel)),
            None => HeldInput::Progress,
        }
    }

    // Lent content.

    /// Held input of the stream that the last event is about.
    pub(crate) fn held(&mut self) -> &mut [u8] {
        let Lent::Held(slot) = self.lent else { return &mut [] };
        match self.inputs.get_mut(slot.index()).and_then(|stream_input| stream_input.held.as_mut()) {
            Some(kept) => kept.lent(),
            None => &mut [],
        }
    }

    /// The receiver of the WebSocket that the last event is about.
    pub(crate) fn websocket(&mut self) -> Option<&mut crate::ws::FrameReceiver> {
        let Lent::Tunnel(slot) = self.lent else { return None };
        match &mut self.inputs.get_mut(slot.index())?.tunnel {
            Some(CarriedReceiver::WebSocket(receiver)) => Some(receiver),
            _ => None,
        }
    }

    /// Frees the content that was lent for the last event. Returns the bytes of an assembled message.
    #[inline]
    pub(crate) fn release(&mut self) -> usize {
        if self.lent == Lent::Nothing { 0 } else { self.release_lent() }
    }

    fn release_lent(&mut self) -> usize {
        match core::mem::replace(&mut self.lent, Lent::Nothing) {
            Lent::Held(slot) => {
                if let Some(stream_input) = self.inputs.get_mut(slot.index())
                    && stream_input.held.as_ref().is_some_and(|kept| kept.is_empty())
                {
                    stream_input.held = None;
                }
                0
            }
            Lent::Tunnel(slot) => {
                let tunnel = self.inputs.get_mut(slot.index()).and_then(|input| input.tunnel.as_mut());
                tunnel.map_or(0, CarriedReceiver::release)
            }
            Lent::Nothing => 0,
        }
    }
}

/// The result of a step over held content.
enum HeldInput {
    Item(Item),
    /// Nothing to deliver, but there may be more to look at.
    Progress,
    Nothing,
}

impl HeldInput {
    fn of(item: Option<Item>) -> Self {
        item.map_or(Self::Progress, Self::Item)
    }
}

/// Counts a frame with hardly any content. A WebSocket may have short messages.
fn count_tiny(session: &mut Session, link: &mut Link, content: DataFrame) -> Result<(), Fault> {
    match content.left {
        0 => session.count_glitch(link),
        _ if session.streams.peek(content.slot).tunnel().is_some() => Ok(()),
        _ => session.count_frame(link),
    }
}
