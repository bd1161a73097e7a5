//! Content: DATA frames, what is held of them, and tunnels. RFC 9113 §6.1 and §8.1, RFC 8441 §5.

use super::super::error::{ErrorCode, Fault};
use super::super::frame::{self, FrameHeader, flag};
use super::super::section::Facts;
use super::super::sender::Sender;
use super::super::state::{Frame, Refusal, State, Step as Transition};
use super::super::streams::{self, Place as Line};
use super::{Content, Inbound, Lent, MessageEnd, Place, Receiver, Tunnel};
use crate::buffer::Kept;
use crate::http::Status;
use crate::item::{Content as Where, Item, Step};
use crate::tx::{self, SwitchTo, Tx};
use crate::{Cause, Limit, Protocol, Violation};
use alloc::boxed::Box;

/// Content of fewer bytes in a frame that does not end its message is hardly worth the frame.
const TINY: u32 = 8;

impl Receiver {
    /// The head of a DATA frame. RFC 9113 §6.1.
    pub(super) fn on_data(&mut self, tx: &mut Tx, header: FrameHeader) -> Result<(), Fault> {
        let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(()) };
        let end = header.has(flag::END_STREAM);
        let padded = header.has(flag::PADDED);
        if !sender.receive.receive(header.len) {
            return Err(Fault::connection(Violation::FlowControl));
        }
        self.place = Place::Skip(header.len);
        self.enter_skip();
        if sender.is_idle(header.stream) {
            return Err(Fault::connection(Violation::StreamIdle));
        }
        let Some(slot) = sender.streams.find(header.stream) else {
            sender.drop_content(out, config, header.len, *now);
            if sender.drops(header.stream) {
                return sender.count_glitch(config, *now);
            }
            return Err(Fault::connection(Violation::StreamClosed));
        };
        if sender.streams.peek(slot).place == Line::Closed && sender.drops(header.stream) {
            sender.drop_content(out, config, header.len, *now);
            return Ok(());
        }
        let stream = sender.streams.at(slot);
        if sender.client && !stream.has(streams::ANSWERED) {
            sender.drop_content(out, config, header.len, *now);
            return self.fail_stream(tx, header.stream, Fault::stream(Violation::FieldSection));
        }
        let peer_ended = stream.has(streams::PEER_ENDED);
        match stream.state.on(Transition::Receive(Frame::Data { end })) {
            Ok(_) if !peer_ended => {}
            Err(Refusal::Closed) if stream.state == State::Closed => {
                sender.drop_content(out, config, header.len, *now);
                return Err(Fault::connection(Violation::StreamClosed));
            }
            _ => {
                sender.drop_content(out, config, header.len, *now);
                return self.fail_stream(tx, header.stream, Fault::stream(Violation::StreamClosed));
            }
        }
        if padded && header.len == 0 {
            return Err(Fault::connection(Violation::FrameSize));
        }
        if !stream.receive.receive(header.len) {
            sender.drop_content(out, config, header.len, *now);
            return self.fail_stream(tx, header.stream, Fault::stream(Violation::FlowControl));
        }
        let content = Content { slot, id: header.stream, left: header.len, padded, padding: 0, end };
        self.place = Place::Content(content);
        if padded { Ok(()) } else { self.begin_content(tx, content) }
    }

    /// The content of a frame, now that its length is known. Whether it may come is looked at before any of it is told, so that
    /// what is told does not depend on the parts that it comes in.
    fn begin_content(&mut self, tx: &mut Tx, content: Content) -> Result<(), Fault> {
        if content.left < TINY && !content.end {
            count_tiny(tx, content)?;
        }
        if let Some(fault) = self.check_content(tx, content) {
            take(tx, content.slot, content.id, content.left);
            self.skip_rest(tx, content);
            return self.refuse_content(tx, content.id, fault);
        }
        if content.left == 0 {
            // Nothing follows that would bring us back here.
            return self.end_frame(tx, content);
        }
        Ok(())
    }

    /// Bytes of a DATA frame.
    pub(super) fn on_content_bytes(
        &mut self,
        tx: &mut Tx,
        mut content: Content,
        input: &mut [u8],
    ) -> Result<Step, Fault> {
        if content.padded {
            let Some(&padding) = input.first() else { return Ok(Step::taken(0)) };
            content.padded = false;
            content.left -= 1;
            content.padding = u32::from(padding);
            content.left =
                content.left.checked_sub(content.padding).ok_or(Fault::connection(Violation::Padding))?;
            self.place = Place::Content(content);
            take(tx, content.slot, content.id, 1 + content.padding);
            self.begin_content(tx, content)?;
            return Ok(Step::taken(1));
        }
        let n = (content.left as usize).min(input.len());
        if n == 0 {
            // Asked for what is kept, in the middle of a frame: there is no content without octets.
            return Ok(Step::taken(0));
        }
        let Some(sender) = sender_of(tx) else { return Ok(Step::taken(n)) };
        let Some(stream) = sender.streams.still(content.slot, content.id) else {
            // It has ended in the middle of the frame.
            return self.skip_content(tx, content, n);
        };
        if stream.place == Line::Closed || stream.has(streams::GONE) {
            return self.skip_content(tx, content, n);
        }
        let tunnel = stream.tunnel.is_some();
        let holds = stream.held > 0 || stream.has(streams::RESUMED);
        if holds || sender.holds_input(content.slot) {
            return self.hold(tx, content, &input[..n]);
        }
        if tunnel {
            return self.on_tunnel_bytes(tx, content, &mut input[..n]);
        }
        self.on_exchange_bytes(tx, content, n)
    }

    /// Content of a request or response.
    fn on_exchange_bytes(&mut self, tx: &mut Tx, mut content: Content, n: usize) -> Result<Step, Fault> {
        let len = n as u32;
        content.left -= len;
        self.place = Place::Content(content);
        take(tx, content.slot, content.id, len);
        self.count_content(tx, content.slot, n);
        if content.left == 0 {
            self.skip_rest(tx, content);
        }
        let Some(sender) = sender_of(tx) else { return Ok(Step::taken(n)) };
        let unwanted = sender.streams.peek(content.slot).has(streams::UNWANTED);
        let end = content.left == 0 && content.end;
        sender.current = content.slot;
        if end {
            sender.peer_ended(content.slot);
        }
        if unwanted {
            return Ok(Step::taken(n));
        }
        Ok(Step::found(n, Item::Body { content: Where::Input(0..n), end }))
    }

    /// A frame without content, or whose content has been looked at: what follows from its end.
    fn end_frame(&mut self, tx: &mut Tx, content: Content) -> Result<(), Fault> {
        let now = tx.now;
        self.skip_rest(tx, content);
        if !content.end {
            return Ok(());
        }
        let Some(sender) = sender_of(tx) else { return Ok(()) };
        let Some(stream) = sender.streams.still(content.slot, content.id) else { return Ok(()) };
        if stream.place == Line::Closed {
            return Ok(());
        }
        if stream.has(streams::UNWANTED | streams::GONE) {
            sender.peer_ended(content.slot);
            return Ok(());
        }
        self.inbound[content.slot as usize].end = MessageEnd::Content;
        stream.set(streams::PEER_ENDED);
        sender.release_held(content.slot, now);
        Ok(())
    }

    /// The rest of the frame is padding. The peer is given room for what has been taken: here and not before, so that what is
    /// said does not depend on the parts that the frame came in.
    fn skip_rest(&mut self, tx: &mut Tx, content: Content) {
        self.place = Place::Skip(content.left + content.padding);
        self.enter_skip();
        give(tx, (!content.end).then_some(content));
    }

    /// Drops content of a stream that has ended.
    fn skip_content(&mut self, tx: &mut Tx, mut content: Content, n: usize) -> Result<Step, Fault> {
        content.left -= n as u32;
        self.place = Place::Content(content);
        let Some(sender) = sender_of(tx) else { return Ok(Step::taken(n)) };
        sender.receive.take(n as u32);
        if content.left == 0 {
            let stream = sender.streams.still(content.slot, content.id);
            if content.end && stream.is_some_and(|stream| stream.has(streams::GONE)) {
                sender.peer_ended(content.slot);
            }
            self.skip_rest(tx, content);
        }
        Ok(Step::taken(n))
    }

    /// Keeps content for a stream that does not want it now. The window that the peer has bounds it.
    fn hold(&mut self, tx: &mut Tx, mut content: Content, bytes: &[u8]) -> Result<Step, Fault> {
        let (n, now) = (bytes.len(), tx.now);
        content.left -= n as u32;
        self.place = Place::Content(content);
        let exchange = sender_of(tx).is_some_and(|sender| sender.streams.peek(content.slot).tunnel.is_none());
        if exchange {
            self.count_content(tx, content.slot, n);
        }
        match &mut self.inbound[content.slot as usize].held {
            Some(held) => held.append(bytes),
            place @ None => *place = Some(Box::new(Kept::copy_of(bytes))),
        }
        if let Some(sender) = sender_of(tx) {
            let stream = sender.streams.at(content.slot);
            stream.held += n as u32;
            sender.release_held(content.slot, now);
        }
        if content.left == 0 {
            self.end_frame(tx, content)?;
        }
        Ok(Step::taken(n))
    }

    /// What is wrong with the content of a frame by its length: it is not what was said of it, or more than there may be.
    fn check_content(&self, tx: &mut Tx, content: Content) -> Option<Fault> {
        let Tx { sender: tx::Sender::Http2(sender), config, .. } = tx else { return None };
        let stream = sender.streams.peek(content.slot);
        if stream.id != content.id || stream.place == Line::Closed || stream.tunnel.is_some() {
            return None;
        }
        let n = u64::from(content.left);
        let left = self.inbound[content.slot as usize].left;
        if left.is_some_and(|left| n > left || content.end && n < left) {
            return Some(Fault::stream(Violation::ContentLengthMismatch));
        }
        let (limit, max) = if stream.has(streams::UNWANTED) {
            (Limit::DiscardBytes, Some(config.limits.discard_bytes_max))
        } else {
            (Limit::ContentBytes, stream.content_bytes_max.or(config.limits.content_bytes_max))
        };
        max.is_some_and(|max| stream.told_bytes + n > max).then_some(Fault::stream_limit(limit))
    }

    /// Counts content of an exchange.
    fn count_content(&mut self, tx: &mut Tx, slot: u32, n: usize) {
        let Tx { sender: tx::Sender::Http2(sender), config, now, .. } = tx else { return };
        let client = sender.client;
        let stream = sender.streams.at(slot);
        stream.period_bytes = stream.period_bytes.saturating_add(n);
        stream.told_bytes += n as u64;
        if client && !stream.is_refused() {
            stream.due = *now + config.limits.between_bytes_timeout;
        }
        if let Some(left) = &mut self.inbound[slot as usize].left {
            *left = left.saturating_sub(n as u64);
        }
    }

    /// Ends a stream whose content is not what it may be: with 413 if it is too much and nothing was answered.
    #[cold]
    fn refuse_content(&mut self, tx: &mut Tx, id: u32, fault: Fault) -> Result<(), Fault> {
        let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return Ok(()) };
        let Some(slot) = sender.streams.find(id) else { return Ok(()) };
        let cause = fault.cause();
        let answerable = !sender.client && sender.streams.peek(slot).message == streams::Message::Head;
        match cause {
            Cause::Limit(Limit::DiscardBytes) => {
                // The response is complete; the request is not wanted. RFC 9113 §8.1.
                let cause = sender.streams.peek(slot).cause;
                sender.reset(out, slot, ErrorCode::NO_ERROR, cause);
                Ok(())
            }
            Cause::Limit(limit) if answerable => {
                let status = Status::new(limit.status()).unwrap_or(Status::BAD_REQUEST);
                sender.refuse(out, config, *now, slot, status, (cause, limit.message()));
                Ok(())
            }
            _ => self.fail_stream(tx, id, fault),
        }
    }

    // What a stream has become.

    /// Bytes for a WebSocket or tunnel.
    fn on_tunnel_bytes(
        &mut self,
        tx: &mut Tx,
        mut content: Content,
        input: &mut [u8],
    ) -> Result<Step, Fault> {
        enter(tx, content.slot);
        let step = self.read_tunnel(tx, content.slot, input);
        content.left -= step.consumed as u32;
        self.place = Place::Content(content);
        take(tx, content.slot, content.id, step.consumed as u32);
        if content.left == 0 {
            self.end_frame(tx, content)?;
        }
        Ok(step)
    }

    /// Lets the receiver of a tunnel look at bytes.
    fn read_tunnel(&mut self, tx: &mut Tx, slot: u32, input: &mut [u8]) -> Step {
        let Some(tunnel) = sender_of(tx).and_then(Sender::tunnel) else { return Step::taken(input.len()) };
        tunnel.heard = tunnel.now;
        if !tunnel.is_open() {
            return Step::taken(input.len());
        }
        let step = match &mut self.inbound[slot as usize].tunnel {
            Some(Tunnel::WebSocket(receiver)) => receiver.receive(tunnel, input),
            Some(Tunnel::Raw(receiver)) => receiver.receive(input),
            None => Step::taken(input.len()),
        };
        if step.item.as_ref().is_some_and(Item::is_assembled) {
            self.lent = Lent::Tunnel(slot);
        }
        step
    }

    /// Takes the receiver of what a stream has become, as soon as it is asked for.
    pub(super) fn take_tunnel(&mut self, tx: &mut Tx, slot: u32) -> Option<(Protocol, bool)> {
        let Tx { sender: tx::Sender::Http2(sender), entropy, now, .. } = tx else { return None };
        sender.enter(slot, entropy, *now);
        let tunnel = sender.tunnel()?;
        if !tunnel.take_switch_notice() {
            return None;
        }
        let switch = tunnel.take_switch()?;
        let announced = switch.announced;
        let protocol = switch.protocol();
        let slot = slot as usize;
        if self.inbound.len() <= slot {
            self.inbound.resize_with(slot + 1, Inbound::default);
        }
        self.inbound[slot].tunnel = match switch.receiver {
            SwitchTo::WebSocket(receiver) => Some(Tunnel::WebSocket(receiver)),
            SwitchTo::Raw(receiver) => Some(Tunnel::Raw(receiver)),
            SwitchTo::Http2(_) => None,
        };
        Some((protocol, announced))
    }

    // What was held.

    /// Whether something is to be told without more input.
    pub(crate) fn has_more(&self, tx: &Tx) -> bool {
        match &tx.sender {
            tx::Sender::Http2(sender) => !sender.streams.resumed.is_empty(),
            _ => false,
        }
    }

    /// What streams have to tell that were paused, or have become something else.
    pub(super) fn receive_held(&mut self, tx: &mut Tx) -> Option<Step> {
        loop {
            let slot = *sender_of(tx)?.streams.resumed.front()?;
            match self.tell_held(tx, slot) {
                Told::Item(item) => return Some(Step::found(0, item)),
                Told::Progress => {}
                Told::Nothing => {
                    let now = tx.now;
                    let sender = sender_of(tx)?;
                    sender.streams.unresume(slot);
                    // The window may be used up again before its input was told.
                    sender.line_up(slot, now);
                }
            }
            let Tx { sender: tx::Sender::Http2(sender), entropy, now, .. } = tx else { return None };
            sender.settle(entropy, *now);
            if !sender.streams.closed.is_empty() {
                return Some(Step::taken(0));
            }
        }
    }

    /// The next thing that a stream has to tell out of what is held.
    fn tell_held(&mut self, tx: &mut Tx, slot: u32) -> Told {
        let Some(sender) = sender_of(tx) else { return Told::Nothing };
        let stream = sender.streams.peek(slot);
        if stream.id == 0 || stream.place == Line::Closed {
            return Told::Nothing;
        }
        if stream.tunnel.is_some() {
            return self.tell_held_tunnel(tx, slot);
        }
        if sender.holds_input(slot) {
            return Told::Nothing;
        }
        let (id, held) = (stream.id, stream.held);
        sender.current = slot;
        let inbound = &mut self.inbound[slot as usize];
        if let (1.., Some(kept)) = (held, &mut inbound.held) {
            let range = kept.start()..kept.start() + kept.len();
            kept.consume(range.len());
            let end = inbound.end == MessageEnd::Content && inbound.trailers.is_none();
            sender.streams.at(slot).held = 0;
            self.lent = Lent::Held(slot);
            take_held(tx, slot, id, held);
            if end {
                self.told_message(tx, slot);
            }
            return Told::Item(Item::Body { content: Where::Held(range), end });
        }
        match (inbound.end, inbound.trailers.take()) {
            (MessageEnd::Nothing, _) => Told::Nothing,
            (MessageEnd::Content, None) => {
                self.told_message(tx, slot);
                Told::Item(Item::Body { content: Where::Input(0..0), end: true })
            }
            (MessageEnd::Content, trailers @ Some(_)) => {
                inbound.trailers = trailers;
                inbound.end = MessageEnd::Trailers;
                Told::Item(Item::Body { content: Where::Input(0..0), end: true })
            }
            (MessageEnd::Trailers, trailers) => {
                self.section = trailers.map(|trailers| *trailers).unwrap_or_default();
                self.facts = Facts::NONE;
                self.told_message(tx, slot);
                Told::Item(Item::Trailers)
            }
        }
    }

    /// The whole message of the peer has been told.
    fn told_message(&mut self, tx: &mut Tx, slot: u32) {
        self.inbound[slot as usize].end = MessageEnd::Nothing;
        if let Some(sender) = sender_of(tx) {
            sender.streams.unresume(slot);
            sender.peer_ended(slot);
        }
    }

    fn tell_held_tunnel(&mut self, tx: &mut Tx, slot: u32) -> Told {
        if let Some((protocol, announced)) = self.take_tunnel(tx, slot) {
            return if announced {
                Told::Progress
            } else {
                Told::Item(Item::Established { protocol, head: false })
            };
        }
        enter(tx, slot);
        let Some(sender) = sender_of(tx) else { return Told::Nothing };
        let id = sender.streams.peek(slot).id;
        let Some(tunnel) = sender.tunnel() else { return Told::Nothing };
        if tunnel.holds_input() || !tunnel.is_open() {
            return Told::Nothing;
        }
        let more = tunnel.has_more();
        let kept = self.inbound[slot as usize].held.take().filter(|kept| !kept.is_empty());
        let Some(mut kept) = kept else {
            return if more {
                Told::of(self.read_tunnel(tx, slot, &mut []).item)
            } else {
                self.end_of_tunnel(tx, slot)
            };
        };
        let start = kept.start();
        let step = self.read_tunnel(tx, slot, kept.filled());
        kept.consume(step.consumed);
        self.inbound[slot as usize].held = Some(kept);
        if let Some(sender) = sender_of(tx) {
            let stream = sender.streams.at(slot);
            stream.held = stream.held.saturating_sub(step.consumed as u32);
        }
        take_held(tx, slot, id, step.consumed as u32);
        if step.item.is_some() && self.lent == Lent::Nothing {
            self.lent = Lent::Held(slot);
        }
        Told::of(step.item.map(|item| item.in_held(start)))
    }

    /// The peer has ended its direction of a tunnel.
    fn end_of_tunnel(&mut self, tx: &mut Tx, slot: u32) -> Told {
        let Some(sender) = sender_of(tx) else { return Told::Nothing };
        if !sender.streams.at(slot).take(streams::PEER_ENDED) {
            return Told::Nothing;
        }
        let stream = sender.streams.at(slot);
        stream.state = stream.state.peer_ended();
        let Some(tunnel) = sender.tunnel() else { return Told::Nothing };
        match &mut self.inbound[slot as usize].tunnel {
            Some(Tunnel::WebSocket(receiver)) => {
                receiver.receive_eof(tunnel);
                Told::Progress
            }
            Some(Tunnel::Raw(receiver)) => Told::of(receiver.receive_eof(tunnel)),
            None => Told::Progress,
        }
    }

    // What is lent.

    /// Held input of the stream that the last event is about.
    pub(crate) fn held(&mut self) -> &mut [u8] {
        let Lent::Held(slot) = self.lent else { return &mut [] };
        match self.inbound.get_mut(slot as usize).and_then(|inbound| inbound.held.as_mut()) {
            Some(kept) => kept.lent(),
            None => &mut [],
        }
    }

    /// The receiver of the WebSocket that the last event is about.
    pub(crate) fn websocket(&mut self) -> Option<&mut crate::ws::Receiver> {
        let Lent::Tunnel(slot) = self.lent else { return None };
        match &mut self.inbound.get_mut(slot as usize)?.tunnel {
            Some(Tunnel::WebSocket(receiver)) => Some(receiver),
            _ => None,
        }
    }

    /// Lets go of what was lent for the last event.
    #[inline]
    pub(crate) fn release(&mut self) {
        if self.lent != Lent::Nothing {
            self.release_lent();
        }
    }

    fn release_lent(&mut self) {
        match core::mem::replace(&mut self.lent, Lent::Nothing) {
            Lent::Held(slot) => {
                if let Some(inbound) = self.inbound.get_mut(slot as usize)
                    && inbound.held.as_ref().is_some_and(|kept| kept.is_empty())
                {
                    inbound.held = None;
                }
            }
            Lent::Tunnel(slot) => {
                if let Some(Inbound { tunnel: Some(Tunnel::WebSocket(receiver)), .. }) =
                    self.inbound.get_mut(slot as usize)
                {
                    receiver.release();
                }
            }
            Lent::Nothing => {}
        }
    }
}

/// What came of a look at what is held.
enum Told {
    Item(Item),
    /// Nothing to tell, but there may be more to look at.
    Progress,
    Nothing,
}

impl Told {
    fn of(item: Option<Item>) -> Self {
        item.map_or(Self::Progress, Self::Item)
    }
}

fn sender_of(tx: &mut Tx) -> Option<&mut Sender> {
    super::sender(tx)
}

/// Counts a frame that carries next to nothing. A WebSocket may have short messages.
fn count_tiny(tx: &mut Tx, content: Content) -> Result<(), Fault> {
    let Tx { sender: tx::Sender::Http2(sender), config, now, .. } = tx else { return Ok(()) };
    if content.left > 0 && sender.streams.peek(content.slot).tunnel.is_some() {
        return Ok(());
    }
    sender.count_glitch(config, *now)
}

/// Lends a tunnel what it needs to read.
fn enter(tx: &mut Tx, slot: u32) {
    if let Tx { sender: tx::Sender::Http2(sender), entropy, now, .. } = tx {
        sender.settle(entropy, *now);
        sender.enter(slot, entropy, *now);
    }
}

/// The application, or nobody, has taken `n` bytes of a stream. RFC 9113 §5.2.
fn take(tx: &mut Tx, slot: u32, id: u32, n: u32) {
    let Some(sender) = sender_of(tx) else { return };
    sender.receive.take(n);
    if let Some(stream) = sender.streams.still(slot, id) {
        stream.receive.take(n);
    }
}

/// Gives the peer room for what has been taken, on the connection and on the stream of `content` if more may come there.
fn give(tx: &mut Tx, content: Option<Content>) {
    let Tx { sender: tx::Sender::Http2(sender), out, config, now, .. } = tx else { return };
    sender.give(out, config, *now);
    if let Some(Content { slot, id, .. }) = content
        && let Some(stream) = sender.streams.still(slot, id)
        && stream.state.on(Transition::Send(Frame::WindowUpdate)).is_ok()
        && let Some(increment) = stream.receive.give(grown_max(config), *now)
    {
        frame::window_update(out.buffer(), id, increment);
    }
}

/// How far the window of one stream grows: not beyond half of that of the connection, so that others have room while it is paused.
fn grown_max(config: &crate::Config) -> u32 {
    config.limits.h2_stream_window_max.min(config.limits.h2_connection_window / 2)
}

/// The same for content that was held.
fn take_held(tx: &mut Tx, slot: u32, id: u32, n: u32) {
    take(tx, slot, id, n);
    let stream = sender_of(tx).and_then(|sender| sender.streams.still(slot, id));
    let ended = stream.is_none_or(|stream| stream.has(streams::PEER_ENDED));
    let held = Content { slot, id, left: 0, padded: false, padding: 0, end: ended };
    give(tx, (!ended).then_some(held));
}

impl Sender {
    /// Content that has been taken, or that nobody wants, counts for the window of the connection.
    pub(super) fn drop_content(
        &mut self,
        out: &mut crate::transmit::Output,
        config: &crate::Config,
        n: u32,
        now: crate::Time,
    ) {
        self.receive.take(n);
        self.give(out, config, now);
    }

    /// Gives the peer room on the connection for what has been taken, if it is worth a frame.
    pub(in crate::h2) fn give(
        &mut self,
        out: &mut crate::transmit::Output,
        config: &crate::Config,
        now: crate::Time,
    ) {
        let max = config.limits.h2_connection_window.min(frame::MAX_31_BITS);
        if let Some(increment) = self.receive.give(max, now) {
            frame::window_update(out.buffer(), 0, increment);
        }
    }
}
