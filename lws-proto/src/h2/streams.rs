//! The streams of one connection: a table with the state of each. RFC 9113 §5.
//!
//! Knows no frame. Slots are reused; identifiers never are, so they are the generation of a stream's key.

use super::fields::FieldBuffer;
use super::line::Line;
use super::priority::Priority;
use super::slot::Slot;
use super::state::State;
use super::tunnel::Tunnel;
use super::window::{ReceiveWindow, SendWindow};
use crate::connection::stream::{Notices, StreamCore};
use crate::connection::transmit::Output;
use crate::http::{BodyFraming, Method};
use crate::key::StreamKey;
use crate::payload::Payload;
use crate::ws::Expected;
use crate::{Cause, Time};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// The progress of this side's message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Message {
    /// A server: the final response may begin. A client: the request waits until the server takes more streams.
    #[default]
    Head,
    /// The head has been sent.
    Content(BodyFraming),
    /// The application has given the whole message, whether or not all of it was sent.
    Ended,
}

/// What a stream waits for in a [`Line`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitsFor {
    Nothing,
    /// For the permit to send a head.
    Head,
    /// For its turn with the window of the connection, to get the permit to send content or a message.
    Content,
    /// For the same turn, to send content that was given already.
    Flush,
    /// For room in the queue, to send END_STREAM, which needs no window.
    End,
    /// For its end to be delivered.
    Closed,
}

impl WaitsFor {
    /// Whether it is a place in the line for the window of the connection.
    #[inline]
    fn is_turn(self) -> bool {
        matches!(self, Self::Content | Self::Flush)
    }
}

/// Output that the application has given, and that does not fit the windows yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) content: Output,
    /// The trailers that follow.
    pub(crate) trailers: Option<FieldBuffer>,
    /// Whether the stream ends with it.
    pub(crate) end: bool,
}

/// The stall time of a stream, or of all streams that wait for the connection's window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stalled {
    pub(crate) since: Time,
    /// The bytes that were sent since then.
    pub(crate) left: usize,
}

/// The state of a stream, apart from its receiving part.
pub(crate) struct StreamState {
    pub(crate) core: StreamCore,
    /// Its identifier; 0 if the slot is free.
    pub(crate) id: u32,
    pub(crate) state: State,
    pub(crate) flags: u16,
    pub(crate) priority: Priority,
    pub(crate) waits_for: WaitsFor,
    /// Of the request.
    pub(crate) method: Method,
    pub(crate) phase: StreamPhase,
    pub(crate) send: SendWindow,
    pub(crate) receive: ReceiveWindow,
    /// Content of the peer that is held while the stream is paused.
    pub(crate) held_input: u32,
    /// The deadline of the stream: for content, the response, or the end of a lingering stream.
    pub(crate) due: Time,
    /// Content that has come in the present period.
    pub(crate) period_bytes: usize,
    /// Content that has been delivered.
    pub(crate) delivered_bytes: u64,
    pub(crate) content_bytes_max: Option<u64>,
    /// The content that must arrive in each period, if it differs from the limits.
    pub(crate) content_bytes_min: Option<u32>,
    /// Whether the exchange goes on without its peer's direction, however little it sends.
    pub(crate) keeps_half_closed: bool,
    /// Set while its own window keeps it from sending its output.
    pub(crate) stalled: Option<Stalled>,
}

/// The stream is queued for the delivery of held input.
pub(crate) const RESUMED: u16 = 32;
/// The client waits for 100 before it sends content.
pub(crate) const OWES_CONTINUE: u16 = 64;
/// The peer's content is not wanted any more: it has been delivered, or never will be.
pub(crate) const UNWANTED: u16 = 128;
/// The application knows of the stream.
pub(crate) const DELIVERED: u16 = 512;
/// END_STREAM follows the queued output of the tunnel.
pub(crate) const FIN: u16 = 1024;
/// A final response has been received.
pub(crate) const ANSWERED: u16 = 4096;
/// The end has been delivered, and queued output is still sent.
pub(crate) const LINGERS: u16 = 8192;
/// The stream does not count against the peer's limit any more.
pub(crate) const COUNTED_OUT: u16 = 16384;
/// The tunnel was cut off.
pub(crate) const CUT: u16 = 32768;

/// The phase of a stream, with its state.
pub(crate) enum StreamPhase {
    /// A queued request of a client, with its head and its content.
    Queued(Box<FieldBuffer>, OwnMessage),
    Exchange(OwnMessage),
    /// A WebSocket or bytes, for which the stream is the transport.
    Tunnel(Box<Tunnel>),
}

impl Default for StreamPhase {
    fn default() -> Self {
        Self::Exchange(OwnMessage::default())
    }
}

/// The message of this side.
#[derive(Default)]
pub(crate) struct OwnMessage {
    message: Message,
    pending: Option<Box<Pending>>,
    /// The expected answer to a client's opening handshake.
    handshake: Option<Box<Expected>>,
}

impl OwnMessage {
    /// Bytes that are held to be sent.
    fn held(&self) -> usize {
        let trailers = |pending: &Pending| pending.trailers.as_ref().map_or(0, FieldBuffer::held);
        self.pending.as_ref().map_or(0, |pending| pending.content.held() + trailers(pending))
    }
}

impl Pending {
    /// Keeps trailers until the content before them was sent.
    pub(crate) fn set_trailers(&mut self, trailers: FieldBuffer) {
        self.trailers = Some(trailers);
        self.end = true;
    }
}

impl StreamState {
    pub(crate) fn new(id: u32, send: u32, receive: u32, now: Time) -> Self {
        Self {
            core: StreamCore::new(StreamKey::new(0, 0)),
            id,
            state: State::Idle,
            flags: 0,
            priority: Priority::default(),
            waits_for: WaitsFor::Nothing,
            method: Method::Other,
            phase: StreamPhase::default(),
            send: SendWindow::new(send),
            receive: ReceiveWindow::new(receive, now),
            held_input: 0,
            due: Time::NEVER,
            period_bytes: 0,
            delivered_bytes: 0,
            content_bytes_max: None,
            content_bytes_min: None,
            keeps_half_closed: false,
            stalled: None,
        }
    }

    // The phase.

    /// The tunnel, if the stream has become one.
    #[inline]
    pub(crate) fn tunnel(&self) -> Option<&Tunnel> {
        match &self.phase {
            StreamPhase::Tunnel(tunnel) => Some(tunnel),
            StreamPhase::Queued(..) | StreamPhase::Exchange(_) => None,
        }
    }

    #[inline]
    pub(crate) fn tunnel_mut(&mut self) -> Option<&mut Tunnel> {
        match &mut self.phase {
            StreamPhase::Tunnel(tunnel) => Some(tunnel),
            StreamPhase::Queued(..) | StreamPhase::Exchange(_) => None,
        }
    }

    #[inline]
    fn exchange(&self) -> Option<&OwnMessage> {
        match &self.phase {
            StreamPhase::Queued(_, exchange) | StreamPhase::Exchange(exchange) => Some(exchange),
            StreamPhase::Tunnel(_) => None,
        }
    }

    #[inline]
    fn exchange_mut(&mut self) -> Option<&mut OwnMessage> {
        match &mut self.phase {
            StreamPhase::Queued(_, exchange) | StreamPhase::Exchange(exchange) => Some(exchange),
            StreamPhase::Tunnel(_) => None,
        }
    }

    /// The progress of this side's message. That of a tunnel's exchange has ended.
    #[inline]
    pub(crate) fn message(&self) -> Message {
        self.exchange().map_or(Message::Ended, |exchange| exchange.message)
    }

    #[inline]
    pub(crate) fn set_message(&mut self, message: Message) {
        if let Some(exchange) = self.exchange_mut() {
            exchange.message = message;
        }
    }

    /// The output that was given and not sent.
    #[inline]
    pub(crate) fn pending(&self) -> Option<&Pending> {
        self.exchange()?.pending.as_deref()
    }

    pub(crate) fn pending_mut(&mut self) -> Option<&mut Pending> {
        self.exchange_mut()?.pending.as_deref_mut()
    }

    pub(crate) fn take_pending(&mut self) -> Option<Box<Pending>> {
        self.exchange_mut()?.pending.take()
    }

    /// Keeps content that cannot be sent yet.
    pub(crate) fn push_pending(&mut self, content: Payload<'_>, end: bool) {
        let Some(exchange) = self.exchange_mut() else { return };
        let pending = exchange.pending.get_or_insert_default();
        content.push(&mut pending.content);
        pending.end = end;
    }

    /// Whether it is a client's request that waits until the server takes more streams.
    #[inline]
    pub(crate) fn is_queued(&self) -> bool {
        matches!(self.phase, StreamPhase::Queued(..))
    }

    /// Queues a request.
    pub(crate) fn queue(&mut self, head: FieldBuffer) {
        self.phase = StreamPhase::Queued(Box::new(head), OwnMessage::default());
    }

    /// Begins a queued request. Returns its head.
    pub(crate) fn begin_queued(&mut self) -> Option<Box<FieldBuffer>> {
        match core::mem::take(&mut self.phase) {
            StreamPhase::Queued(head, exchange) => {
                self.phase = StreamPhase::Exchange(exchange);
                Some(head)
            }
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// Whether a client awaits the answer to an opening handshake.
    pub(crate) fn is_opening(&self) -> bool {
        self.exchange().is_some_and(|exchange| exchange.handshake.is_some())
    }

    pub(crate) fn await_opening(&mut self, expected: Expected) {
        if let Some(exchange) = self.exchange_mut() {
            exchange.handshake = Some(Box::new(expected));
            exchange.message = Message::Ended;
        }
    }

    pub(crate) fn take_expected(&mut self) -> Option<Box<Expected>> {
        self.exchange_mut()?.handshake.take()
    }

    /// Frees the state of its phase.
    pub(crate) fn clear(&mut self) {
        self.phase = StreamPhase::default();
    }

    #[inline]
    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    pub(crate) fn set(&mut self, flag: u16) {
        self.flags |= flag;
    }

    /// Clears a flag. Returns whether it was set.
    #[inline]
    pub(crate) fn take(&mut self, flag: u16) -> bool {
        let was = self.has(flag);
        self.flags &= !flag;
        was
    }

    /// Whether the stream by itself allows a permit.
    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        self.pending().is_none()
            && !self.is_queued()
            && !self.core.notices.has(Notices::TICKET)
            && match self.message() {
                Message::Head => true,
                Message::Content(_) => self.send.is_open(),
                Message::Ended => false,
            }
            && self.waits_for != WaitsFor::Closed
    }

    /// Whether a WebSocket was requested and refused, which is the cause of the stream's end, however the rest of the
    /// response arrives.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.core.cause, Cause::Handshake(_))
    }

    /// Whether the whole message of this side is in frames.
    pub(crate) fn is_answered(&self) -> bool {
        self.message() == Message::Ended && self.pending().is_none() && !self.state.sends()
    }

    fn held_to_send(&self) -> usize {
        let carried = match &self.phase {
            StreamPhase::Queued(head, exchange) => head.held() + exchange.held(),
            StreamPhase::Exchange(exchange) => exchange.held(),
            StreamPhase::Tunnel(tunnel) => size_of::<Tunnel>() + tunnel.held(),
        };
        carried + self.core.held as usize
    }

    /// Whether only a missing permit holds the application's input back.
    #[inline]
    pub(crate) fn is_throttled(&self) -> bool {
        self.core.notices.has(Notices::THROTTLED) && !self.core.notices.has(Notices::PAUSED)
    }

    /// Whether there is held input to deliver.
    #[inline]
    pub(crate) fn has_held(&self) -> bool {
        self.held_input > 0 || self.core.notices.has(Notices::PEER_ENDED)
    }

    /// The next deadline of the stream.
    pub(crate) fn next_due(&self, stalled_timeout: core::time::Duration) -> Time {
        let tunnel = self.tunnel().and_then(Tunnel::next_timeout).unwrap_or(Time::NEVER);
        let stalled = self.stalled.map_or(Time::NEVER, |stalled| stalled.since + stalled_timeout);
        self.core.timeout.min(self.due).min(stalled).min(tunnel)
    }
}

/// The table of streams, and the lines that they wait in.
#[derive(Default)]
pub(crate) struct Streams {
    /// The difference between key generations and identifiers, because of earlier HTTP/1.1 exchanges.
    pub(crate) generation_base: u32,
    slots: Vec<StreamState>,
    free: Vec<Slot>,
    pub(crate) heads: Line,
    /// Streams that wait for the connection's window, to send queued output or to get a permit.
    pub(crate) contents: Line,
    /// The number of them that wait for a permit: at [`WaitsFor::Content`].
    asking: usize,
    pub(crate) ends: VecDeque<Slot>,
    pub(crate) closed: VecDeque<Slot>,
    /// Those that have held input to deliver.
    pub(crate) resumed: VecDeque<Slot>,
    /// Those whose timeout is to be delivered.
    pub(crate) timeouts: VecDeque<Slot>,
}

/// The slots that are kept when no stream is open.
const SLOTS_KEPT: usize = 2;

impl Streams {
    /// Streams that are open, or whose end has not been delivered.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Allocates a slot for a stream.
    pub(crate) fn insert(&mut self, mut stream: StreamState) -> Slot {
        let slot = self.free.last().copied().unwrap_or(Slot::at(self.slots.len()));
        let generation = stream.id.wrapping_add(self.generation_base);
        stream.core.key = StreamKey::new(slot.number(), generation);
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot.index()] = stream;
                slot
            }
            None => {
                self.slots.push(stream);
                Slot::at(self.slots.len() - 1)
            }
        }
    }

    /// Frees a slot.
    pub(crate) fn free(&mut self, slot: Slot) {
        debug_assert!(self.peek(slot).waits_for == WaitsFor::Nothing && !self.free.contains(&slot));
        self.slots[slot.index()].id = 0;
        self.free.push(slot);
    }

    /// The stream in an allocated slot.
    #[inline]
    pub(crate) fn at(&mut self, slot: Slot) -> &mut StreamState {
        &mut self.slots[slot.index()]
    }

    #[inline]
    pub(crate) fn peek(&self, slot: Slot) -> &StreamState {
        &self.slots[slot.index()]
    }

    /// The stream in a slot, if it is still the one that `id` names. The table may have shrunk since.
    #[inline]
    pub(crate) fn still(&mut self, slot: Slot, id: u32) -> Option<&mut StreamState> {
        self.slots.get_mut(slot.index()).filter(|stream| stream.id == id)
    }

    /// The memory of the streams in bytes, with their output and what the application holds for them.
    pub(crate) fn held(&self) -> usize {
        let taken = self.slots.iter().filter(|stream| stream.id != 0);
        self.slots.capacity() * size_of::<StreamState>() + taken.map(StreamState::held_to_send).sum::<usize>()
    }

    /// The slot of a stream that has not been freed.
    #[inline]
    pub(crate) fn find(&self, id: u32) -> Option<Slot> {
        self.slots.iter().position(|stream| stream.id == id && id != 0).map(Slot::at)
    }

    /// The slot that `key` names, unless the stream has ended.
    pub(crate) fn of_key(&self, key: StreamKey) -> Option<Slot> {
        let slot = Slot::of_number(key.number());
        let stream = self.slots.get(slot.index())?;
        let open = stream.id != 0 && stream.waits_for != WaitsFor::Closed && !stream.has(LINGERS);
        (open && stream.core.key == key).then_some(slot)
    }

    pub(crate) fn key(&self, slot: Slot) -> StreamKey {
        self.peek(slot).core.key
    }

    /// The allocated slots.
    pub(crate) fn taken(&self) -> impl Iterator<Item = Slot> + use<> {
        let taken: Vec<Slot> = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, stream)| stream.id != 0)
            .map(|(index, _)| Slot::at(index))
            .collect();
        taken.into_iter()
    }

    /// All streams, borrowed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &StreamState> {
        self.slots.iter().filter(|stream| stream.id != 0)
    }

    /// All streams, borrowed mutably.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut StreamState> {
        self.slots.iter_mut().filter(|stream| stream.id != 0)
    }

    /// Moves a stream to another queue.
    #[inline]
    pub(crate) fn move_to(&mut self, slot: Slot, place: WaitsFor) {
        let stream = &mut self.slots[slot.index()];
        if stream.waits_for == place {
            return;
        }
        let before = core::mem::replace(&mut stream.waits_for, place);
        let (id, priority) = (stream.id, stream.priority);
        self.asking += usize::from(place == WaitsFor::Content);
        self.asking -= usize::from(before == WaitsFor::Content);
        // Both are in one queue, in which it keeps its position.
        if before.is_turn() && place.is_turn() {
            return;
        }
        match before {
            WaitsFor::Nothing => {}
            WaitsFor::Head => self.heads.leave(slot),
            WaitsFor::Content | WaitsFor::Flush => self.contents.leave(slot),
            WaitsFor::End => self.ends.retain(|other| *other != slot),
            WaitsFor::Closed => self.closed.retain(|other| *other != slot),
        }
        match place {
            WaitsFor::Nothing => {}
            WaitsFor::Head => self.heads.enter(slot, id, priority),
            WaitsFor::Content | WaitsFor::Flush => self.contents.enter(slot, id, priority),
            WaitsFor::End => self.ends.push_back(slot),
            WaitsFor::Closed => self.closed.push_back(slot),
        }
        debug_assert!(self.asking <= self.contents.len(), "those that ask stand among those that wait");
    }

    /// The invariant between streams and queues: the numbers agree, and each flag for membership in a queue is true.
    pub(crate) fn is_consistent(&self) -> bool {
        let open = || self.slots.iter().filter(|stream| stream.id != 0);
        let at = |place: WaitsFor| open().filter(move |stream| stream.waits_for == place).count();
        let having = |flag: u16| open().filter(move |stream| stream.has(flag)).count();
        at(WaitsFor::Head) == self.heads.len()
            && at(WaitsFor::Content) == self.asking
            && at(WaitsFor::Content) + at(WaitsFor::Flush) == self.contents.len()
            && at(WaitsFor::End) == self.ends.len()
            && at(WaitsFor::Closed) == self.closed.len()
            && having(RESUMED) == self.resumed.len()
            && open().filter(|stream| stream.core.notices.has(Notices::TIMEOUT)).count()
                == self.timeouts.len()
            && open().count() == self.len()
    }

    /// Whether a stream waits for a permit, and not only to send queued output.
    #[inline]
    pub(crate) fn any_asks(&self) -> bool {
        self.asking > 0
    }

    /// Changes the priority of a stream.
    pub(crate) fn prioritise(&mut self, slot: Slot, priority: Priority) {
        let place = self.peek(slot).waits_for;
        if place == WaitsFor::Closed {
            return;
        }
        self.move_to(slot, WaitsFor::Nothing);
        self.at(slot).priority = priority;
        self.move_to(slot, place);
    }

    /// Queues a stream for the delivery of held input.
    pub(crate) fn resume(&mut self, slot: Slot) {
        let stream = self.at(slot);
        if !stream.has(RESUMED) {
            stream.set(RESUMED);
            self.resumed.push_back(slot);
        }
    }

    pub(crate) fn unresume(&mut self, slot: Slot) {
        if self.at(slot).take(RESUMED) {
            self.resumed.retain(|other| *other != slot);
        }
    }

    /// Queues a stream for the delivery of its timeout.
    pub(crate) fn time_out(&mut self, slot: Slot) {
        let stream = self.at(slot);
        if !stream.core.notices.has(Notices::TIMEOUT) {
            stream.core.notices.set(Notices::TIMEOUT);
            self.timeouts.push_back(slot);
        }
    }

    /// Takes the pending timeout notice.
    pub(crate) fn untime(&mut self, slot: Slot) {
        if self.at(slot).core.notices.take(Notices::TIMEOUT) {
            self.timeouts.retain(|other| *other != slot);
        }
    }

    /// Frees unused memory.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.slots.clear();
            self.free.clear();
            self.slots.shrink_to(SLOTS_KEPT);
            self.free.shrink_to(SLOTS_KEPT);
        }
        for line in [&mut self.heads, &mut self.contents] {
            line.shrink();
        }
        for queue in [&mut self.ends, &mut self.closed, &mut self.resumed, &mut self.timeouts] {
            queue.shrink_to_fit();
        }
    }
}
