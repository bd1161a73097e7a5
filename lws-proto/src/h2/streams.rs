//! The streams of one connection: a table, and what is kept of each. RFC 9113 §5.
//!
//! Knows no frame. Places are used again; identifiers never are, and so make the generation of a stream's key.

use super::line::Line;
use super::priority::Priority;
use super::state::State;
use super::window::{ReceiveWindow, SendWindow};
use crate::http::{Method, Outgoing};
use crate::stream::StreamKey;
use crate::transmit::Output;
use crate::tx::Tx;
use crate::ws::Expected;
use crate::{Cause, Time};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// A moment that does not come.
pub(crate) const NEVER: Time = Time::from_micros(u64::MAX);

/// Where the message stands that this side sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// A server: the final response may begin. A client: the request waits until the server takes more streams.
    Head,
    /// The head has been sent.
    Content(Outgoing),
    /// The whole message has been given, whether or not all of it has gone.
    Ended,
}

/// What a stream waits for in a [`Line`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Nowhere,
    /// For the permit to send a head.
    Head,
    /// For its turn with the window of the connection, to get the permit to send content or a message.
    Content,
    /// For the same turn, to send content that was given already.
    Flush,
    /// For room in the queue, to send END_STREAM, which needs no window.
    End,
    /// For its end to be told.
    Closed,
}

impl Place {
    /// Whether it is a place in the line for the window of the connection.
    #[inline]
    fn is_turn(self) -> bool {
        matches!(self, Self::Content | Self::Flush)
    }
}

/// What is given and does not fit the windows yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    pub(crate) content: Output,
    /// A field block of trailers that comes behind.
    pub(crate) trailers: Option<Trailers>,
    /// Whether the stream ends with it.
    pub(crate) end: bool,
}

/// Trailers that wait, not encoded yet: blocks must be encoded in the order in which they leave.
#[derive(Debug, Default)]
pub(crate) struct Trailers {
    pub(crate) bytes: Vec<u8>,
    /// Lengths of name and value.
    pub(crate) fields: Vec<(usize, usize)>,
}

/// How long a stream, or all that wait for the window of the connection, may not send what there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stalled {
    pub(crate) since: Time,
    /// Bytes that have left since then.
    pub(crate) left: usize,
}

/// What is kept of a stream, apart from what it receives.
pub(crate) struct Stream {
    /// Its identifier; 0 if the place is free.
    pub(crate) id: u32,
    pub(crate) state: State,
    pub(crate) flags: u16,
    pub(crate) priority: Priority,
    pub(crate) place: Place,
    /// Of the request.
    pub(crate) method: Method,
    pub(crate) message: Message,
    pub(crate) send: SendWindow,
    pub(crate) receive: ReceiveWindow,
    /// Content of the peer that is held while the stream is paused.
    pub(crate) held: u32,
    /// The application's timeout.
    pub(crate) timeout: Time,
    /// When what is waited for has to have come: content, the response, or the end of a stream that lingers.
    pub(crate) due: Time,
    /// Content that has come in the present period.
    pub(crate) period_bytes: usize,
    /// Content that has been told.
    pub(crate) told_bytes: u64,
    pub(crate) content_bytes_max: Option<u64>,
    /// What must come in each period, if it is not what the limits say.
    pub(crate) content_bytes_min: Option<u32>,
    /// Whether the exchange goes on without its peer's direction, however little it sends.
    pub(crate) keeps_half_closed: bool,
    /// Since when its own window keeps it from sending what it has.
    pub(crate) stalled: Option<Stalled>,
    pub(crate) cause: Cause,
    pub(crate) pending: Option<Box<Pending>>,
    /// What it became: a WebSocket or a tunnel, for which the stream is the transport.
    pub(crate) tunnel: Option<Box<Tx>>,
    /// What a client awaits in answer to an opening handshake.
    pub(crate) handshake: Option<Box<Expected>>,
    /// A client's request that waits for its turn.
    pub(crate) queued: Option<Box<Trailers>>,
}

/// The application does not want input.
pub(crate) const PAUSED: u16 = 1;
/// No input until a permit could be given.
pub(crate) const THROTTLED: u16 = 2;
/// A permit is wanted.
pub(crate) const WANTED: u16 = 4;
/// A permit is out as a ticket.
pub(crate) const TICKET: u16 = 8;
/// The timeout is to be told.
pub(crate) const TIMEOUT: u16 = 16;
/// It is among those whose held input is to be told.
pub(crate) const RESUMED: u16 = 32;
/// The client waits for 100 before it sends content.
pub(crate) const OWES_CONTINUE: u16 = 64;
/// The peer's content has been told, or will never be.
pub(crate) const UNWANTED: u16 = 128;
/// The application knows of the stream.
pub(crate) const TOLD: u16 = 512;
/// Our END_STREAM is to follow what the tunnel has queued.
pub(crate) const FIN: u16 = 1024;
/// The end of the peer's direction is still to be told to the tunnel.
pub(crate) const PEER_ENDED: u16 = 2048;
/// A final response has been received.
pub(crate) const ANSWERED: u16 = 4096;
/// The end has been told; what is queued still goes out.
pub(crate) const GONE: u16 = 8192;
/// It does not count any more against the limit of the peer.
pub(crate) const COUNTED_OUT: u16 = 16384;
/// The tunnel was cut off.
pub(crate) const CUT: u16 = 32768;

impl Stream {
    pub(crate) fn new(id: u32, send: u32, receive: u32, now: Time) -> Self {
        Self {
            id,
            state: State::Idle,
            flags: 0,
            priority: Priority::default(),
            place: Place::Nowhere,
            method: Method::Other,
            message: Message::Head,
            send: SendWindow::new(send),
            receive: ReceiveWindow::new(receive, now),
            held: 0,
            timeout: NEVER,
            due: NEVER,
            period_bytes: 0,
            told_bytes: 0,
            content_bytes_max: None,
            content_bytes_min: None,
            keeps_half_closed: false,
            stalled: None,
            cause: Cause::Complete,
            pending: None,
            tunnel: None,
            handshake: None,
            queued: None,
        }
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

    /// Whether a permit is possible, as far as the stream by itself decides it.
    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        self.pending.is_none()
            && self.queued.is_none()
            && !self.has(TICKET)
            && match self.message {
                Message::Head => true,
                Message::Content(_) => self.send.is_open(),
                Message::Ended => false,
            }
            && self.place != Place::Closed
    }

    /// Whether a WebSocket was asked for and refused: that is why the stream ends, however the rest of the answer comes.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.cause, Cause::Handshake(_))
    }

    /// Whether the whole message of this side is in frames.
    pub(crate) fn is_answered(&self) -> bool {
        self.message == Message::Ended && self.pending.is_none() && !self.state.sends()
    }

    /// Whether nothing but the want of a permit keeps the application from its input.
    #[inline]
    pub(crate) fn is_throttled(&self) -> bool {
        self.has(THROTTLED) && !self.has(PAUSED)
    }

    /// Whether there is something of the peer to tell as soon as the application takes it.
    #[inline]
    pub(crate) fn has_held(&self) -> bool {
        self.held > 0 || self.has(PEER_ENDED)
    }

    /// When the next thing is due for it.
    pub(crate) fn next_due(&self, stalled_timeout: core::time::Duration) -> Time {
        let tunnel = self.tunnel.as_ref().and_then(|tunnel| tunnel.next_timeout()).unwrap_or(NEVER);
        let stalled = self.stalled.map_or(NEVER, |stalled| stalled.since + stalled_timeout);
        self.timeout.min(self.due).min(stalled).min(tunnel)
    }
}

/// The table of streams, and the lines that they wait in.
#[derive(Default)]
pub(crate) struct Streams {
    /// What the generations of keys are above identifiers, as there were exchanges of HTTP/1.1 before.
    pub(crate) generation_base: u32,
    slots: Vec<Stream>,
    free: Vec<u32>,
    pub(crate) heads: Line,
    /// All that wait for a turn with the window of the connection, be it to send what they have given or to get a permit.
    pub(crate) contents: Line,
    /// How many of those are at [`Place::Content`].
    asking: usize,
    pub(crate) ends: VecDeque<u32>,
    pub(crate) closed: VecDeque<u32>,
    /// Those that have held input to tell.
    pub(crate) resumed: VecDeque<u32>,
    /// Those whose timeout is to be told.
    pub(crate) timeouts: VecDeque<u32>,
}

/// So many places are kept when no stream is open.
const SLOTS_KEPT: usize = 2;

impl Streams {
    /// Streams that are open, or whose end has not been told.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes a place for a stream.
    pub(crate) fn insert(&mut self, stream: Stream) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = stream;
                slot
            }
            None => {
                self.slots.push(stream);
                (self.slots.len() - 1) as u32
            }
        }
    }

    /// Gives the place back.
    pub(crate) fn free(&mut self, slot: u32) {
        debug_assert!(self.peek(slot).place == Place::Nowhere && !self.free.contains(&slot));
        self.slots[slot as usize].id = 0;
        self.free.push(slot);
    }

    /// The stream in a place that was given.
    #[inline]
    pub(crate) fn at(&mut self, slot: u32) -> &mut Stream {
        &mut self.slots[slot as usize]
    }

    #[inline]
    pub(crate) fn peek(&self, slot: u32) -> &Stream {
        &self.slots[slot as usize]
    }

    /// The stream in a place, if it is still the one that `id` names. Places go, too, when no stream is left.
    #[inline]
    pub(crate) fn still(&mut self, slot: u32, id: u32) -> Option<&mut Stream> {
        self.slots.get_mut(slot as usize).filter(|stream| stream.id == id)
    }

    /// The place of a stream that has not been freed.
    #[inline]
    pub(crate) fn find(&self, id: u32) -> Option<u32> {
        self.slots.iter().position(|stream| stream.id == id && id != 0).map(|slot| slot as u32)
    }

    /// The place that `key` names, unless the stream has ended.
    pub(crate) fn of_key(&self, key: StreamKey) -> Option<u32> {
        let stream = self.slots.get(key.index as usize)?;
        let id = key.generation.wrapping_sub(self.generation_base);
        let open = stream.place != Place::Closed && !stream.has(GONE);
        (id != 0 && stream.id == id && open).then_some(key.index)
    }

    pub(crate) fn key(&self, slot: u32) -> StreamKey {
        StreamKey { index: slot, generation: self.peek(slot).id.wrapping_add(self.generation_base) }
    }

    /// The places that are taken.
    pub(crate) fn taken(&self) -> impl Iterator<Item = u32> + use<> {
        let taken: Vec<u32> = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, stream)| stream.id != 0)
            .map(|(slot, _)| slot as u32)
            .collect();
        taken.into_iter()
    }

    /// Every stream that is kept, to look at.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.slots.iter().filter(|stream| stream.id != 0)
    }

    /// Every stream that is kept.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.slots.iter_mut().filter(|stream| stream.id != 0)
    }

    /// Moves a stream to another line.
    #[inline]
    pub(crate) fn place(&mut self, slot: u32, place: Place) {
        let stream = &mut self.slots[slot as usize];
        if stream.place == place {
            return;
        }
        let before = core::mem::replace(&mut stream.place, place);
        let (id, priority) = (stream.id, stream.priority);
        self.asking += usize::from(place == Place::Content);
        self.asking -= usize::from(before == Place::Content);
        // Whatever it waits for, its turn stays the same.
        if before.is_turn() && place.is_turn() {
            return;
        }
        match before {
            Place::Nowhere => {}
            Place::Head => self.heads.leave(slot),
            Place::Content | Place::Flush => self.contents.leave(slot),
            Place::End => self.ends.retain(|other| *other != slot),
            Place::Closed => self.closed.retain(|other| *other != slot),
        }
        match place {
            Place::Nowhere => {}
            Place::Head => self.heads.enter(slot, id, priority),
            Place::Content | Place::Flush => self.contents.enter(slot, id, priority),
            Place::End => self.ends.push_back(slot),
            Place::Closed => self.closed.push_back(slot),
        }
    }

    /// What always holds between a stream and what it waits in: as many say that they wait in a line as stand there, and each flag that
    /// stands for a place in a queue has that place.
    pub(crate) fn is_consistent(&self) -> bool {
        let open = || self.slots.iter().filter(|stream| stream.id != 0);
        let at = |place: Place| open().filter(move |stream| stream.place == place).count();
        let having = |flag: u16| open().filter(move |stream| stream.has(flag)).count();
        at(Place::Head) == self.heads.len()
            && at(Place::Content) == self.asking
            && at(Place::Content) + at(Place::Flush) == self.contents.len()
            && at(Place::End) == self.ends.len()
            && at(Place::Closed) == self.closed.len()
            && having(RESUMED) == self.resumed.len()
            && having(TIMEOUT) == self.timeouts.len()
            && open().count() == self.len()
    }

    /// Whether a stream waits for its turn to get a permit, and not only to send what it has given.
    #[inline]
    pub(crate) fn any_asks(&self) -> bool {
        self.asking > 0
    }

    /// The priority of a stream has changed.
    pub(crate) fn prioritise(&mut self, slot: u32, priority: Priority) {
        let place = self.peek(slot).place;
        if place == Place::Closed {
            return;
        }
        self.place(slot, Place::Nowhere);
        self.at(slot).priority = priority;
        self.place(slot, place);
    }

    /// Puts a stream among those whose held input is to be told.
    pub(crate) fn resume(&mut self, slot: u32) {
        let stream = self.at(slot);
        if !stream.has(RESUMED) {
            stream.set(RESUMED);
            self.resumed.push_back(slot);
        }
    }

    pub(crate) fn unresume(&mut self, slot: u32) {
        if self.at(slot).take(RESUMED) {
            self.resumed.retain(|other| *other != slot);
        }
    }

    /// The timeout of a stream is to be told.
    pub(crate) fn time_out(&mut self, slot: u32) {
        let stream = self.at(slot);
        if !stream.has(TIMEOUT) {
            stream.set(TIMEOUT);
            self.timeouts.push_back(slot);
        }
    }

    /// Forgets that a timeout is to be told.
    pub(crate) fn untime(&mut self, slot: u32) {
        if self.at(slot).take(TIMEOUT) {
            self.timeouts.retain(|other| *other != slot);
        }
    }

    /// Gives back memory that nobody has needed for a while.
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
