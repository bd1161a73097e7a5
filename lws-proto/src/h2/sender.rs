//! The transmit half of HTTP/2: what a send on the stream that is lent means, and what both halves have to know.
//! RFC 9113 §5 and §8.
//!
//! Here are the state of both, the stream that is lent, and field sections. What goes out is in `content`, what ends in `ends`,
//! what is told in `notices`, and streams that have become something else in `tunnels`.

mod content;
mod ends;
mod half_closed;
mod notices;
mod tunnels;

use super::conduct::Conduct;
use super::frame::{self, Kind, flag};
use super::settings::{INITIAL_WINDOW, Settings};
use super::streams::{self, Message, NEVER, Place, Stalled, Stream, Streams};
use super::window::{ReceiveWindow, SendWindow};
use crate::hpack::{Encoder, Indexing, NameId};
use crate::http::{HttpDate, Method, Scheme, Status};
use crate::stream::StreamKey;
use crate::transmit::Output;
use crate::{Cause, Config, Entropy, Misuse, Time};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use half_closed::HalfClosed;

/// Streams that this side has reset, for which frames of the peer may still be on their way.
const RESET_REMEMBERED: usize = 128;

/// Bytes of content in one frame at most, whatever the peer would take: others want their turn.
const CONTENT_FRAME_MAX: usize = 16 << 10;

/// How far the connection is on its way to its end. RFC 9113 §6.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Going {
    No,
    /// The peer has been asked to send no more requests; those on their way are still taken, until it has heard.
    Announced {
        until: Time,
    },
    /// Streams above this one are not processed.
    Away {
        last: u32,
    },
}

/// The beginning of a period in which several streams wait for their windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) since: Time,
    /// What `content_sent` was then.
    pub(super) sent: u64,
}

/// What a send means in HTTP/2, and the streams.
pub(crate) struct Sender {
    pub(super) client: bool,
    pub(crate) streams: Streams,
    /// The place of the stream that is lent.
    pub(super) current: u32,
    /// Whether it is a tunnel's, and has been given what it borrows.
    pub(super) entered: bool,
    pub(super) encoder: Encoder,
    pub(super) local: Settings,
    pub(super) peer: Settings,
    /// Whether the peer's SETTINGS have come.
    pub(super) settled: bool,
    /// The windows of the connection.
    pub(super) send: SendWindow,
    /// What there is of the first one more, once the peer's SETTINGS have come.
    pub(super) withheld: u32,
    pub(super) receive: ReceiveWindow,
    /// The identifier of a client's next request.
    pub(super) next_id: u32,
    /// The highest stream of the peer.
    pub(super) last_peer_id: u32,
    /// Identifiers that the peer left out when it last did: they will never be streams. RFC 9113 §5.1.1.
    pub(super) skipped: Range<u32>,
    /// Streams that count against the peer's SETTINGS_MAX_CONCURRENT_STREAMS.
    pub(super) active: u32,
    /// A client's requests that wait for their turn, the first one first.
    pub(super) queue: VecDeque<u32>,
    pub(super) reset: VecDeque<u32>,
    /// The highest stream that was reset and is no longer among those.
    pub(super) reset_before: u32,
    pub(super) conduct: Conduct,
    /// Why the peer was told to go away, unless the connection is to end in order.
    pub(super) sent_away: Option<Cause>,
    /// Answers to control frames that have not gone.
    pub(super) control_frames: u32,
    pub(super) going: Going,
    /// The last stream that the peer processes, if it has sent GOAWAY.
    pub(super) peer_last: Option<u32>,
    /// When our SETTINGS must be acknowledged.
    pub(super) settings_due: Option<Time>,
    /// When a Ping of ours was sent that has not been answered.
    pub(super) pinged: Option<Time>,
    /// Since when there is no stream.
    pub(super) idle_since: Time,
    /// Whether memory has been given back since.
    pub(super) relaxed: bool,
    /// No stream has anything due before.
    pub(super) next_due: Time,
    /// The peer of a server has ended its direction.
    pub(super) half_closed: Option<Box<HalfClosed>>,
    /// Since when streams wait whose own windows are open and for which that of the connection is used up.
    pub(super) stalled: Option<Stalled>,
    /// Bytes of content that have left.
    pub(super) content_sent: u64,
    /// As of when and how many several streams wait for their windows.
    pub(super) pace: Option<Pace>,
    /// The place of the stream whose turn it is with the window of the connection, from its permit to its first frame.
    turn: Option<u32>,
    /// Whether the queue of the connection took more when that was last noted.
    room: bool,
    /// Nothing is sent or understood any more; ends are still told.
    pub(super) finished: bool,
    /// Content that was held has been dropped since the last flush.
    dropped: bool,
    /// The value of the date field in the second that was last asked for.
    date: (u32, [u8; 29]),
    /// Room for a number.
    digits: Vec<u8>,
    /// Room that tunnels write into.
    spare: Vec<u8>,
    /// What a tunnel had borrowed that has ended since.
    returned: Option<Box<dyn Entropy>>,
    /// Requests with content that may be held back until we say go on. RFC 9110 §10.1.1.
    pub(super) asked: Vec<u32>,
    /// The scheme of a client's requests.
    pub(super) scheme: Scheme,
}

impl Sender {
    pub(crate) fn new(client: bool, config: &Config, now: Time) -> Self {
        let limits = &config.limits;
        let local = Settings {
            header_table_size: limits.h2_table_bytes_max,
            enable_push: false,
            max_concurrent_streams: (!client).then_some(limits.h2_streams_max),
            initial_window_size: limits.h2_stream_window.min(frame::MAX_31_BITS),
            max_header_list_size: Some(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX)),
            enable_connect_protocol: !client,
            no_rfc7540_priorities: !client,
            ..Settings::default()
        };
        let (receive, _) = ReceiveWindow::of_connection(limits.h2_connection_window, now);
        Self {
            client,
            streams: Streams::default(),
            current: 0,
            entered: false,
            encoder: Encoder::new(),
            local,
            peer: Settings::default(),
            settled: false,
            send: SendWindow::new(INITIAL_WINDOW),
            withheld: 0,
            receive,
            next_id: 1,
            last_peer_id: 0,
            skipped: 0..0,
            active: 0,
            queue: VecDeque::new(),
            reset: VecDeque::new(),
            reset_before: 0,
            conduct: Conduct::new(limits, now),
            sent_away: None,
            control_frames: 0,
            going: Going::No,
            peer_last: None,
            settings_due: Some(now + limits.h2_settings_timeout),
            pinged: None,
            idle_since: now,
            relaxed: false,
            next_due: NEVER,
            half_closed: None,
            stalled: None,
            content_sent: 0,
            pace: None,
            turn: None,
            room: true,
            finished: false,
            dropped: false,
            date: (0, [0; 29]),
            digits: Vec::new(),
            spare: Vec::new(),
            returned: None,
            asked: Vec::new(),
            scheme: Scheme::Http,
        }
    }

    /// Writes the beginning of our side: a client's preface, SETTINGS, and the window of the connection. RFC 9113 §3.4.
    pub(crate) fn begin(&mut self, out: &mut Output, config: &Config, now: Time) {
        let buffer = out.buffer();
        if self.client {
            buffer.extend_from_slice(frame::PREFACE);
        }
        let mut said = self.local;
        // A server does not push anyway, and what a client says of push binds servers only.
        said.enable_push |= !self.client;
        said.write(buffer);
        let (receive, increment) = ReceiveWindow::of_connection(config.limits.h2_connection_window, now);
        self.receive = receive;
        if increment > 0 {
            frame::window_update(buffer, 0, increment);
        }
    }

    // The stream that is lent.

    #[inline]
    pub(super) fn lent(&mut self) -> &mut Stream {
        self.streams.at(self.current)
    }

    #[inline]
    pub(crate) fn key(&self) -> StreamKey {
        self.streams.key(self.current)
    }

    /// Lends the stream that `key` names. Returns whether there is one.
    pub(crate) fn select(&mut self, key: StreamKey) -> bool {
        match self.streams.of_key(key) {
            Some(slot) => {
                self.current = slot;
                true
            }
            None => false,
        }
    }

    /// Whether the stream that is lent is a tunnel, which then is what handles borrow.
    #[inline]
    pub(crate) fn lends_tunnel(&self) -> bool {
        self.entered
    }

    /// Whether the stream that is lent has a permit at once. `room` is whether the queue of the connection takes more. What is then sent
    /// may still have to wait in the stream for its turn, and no other permit is given until it has gone.
    #[inline]
    pub(crate) fn may_write(&self, room: bool) -> bool {
        !self.finished && self.may_write_at(self.current, room)
    }

    /// Whether the stream at `slot` may have a permit: a head needs `room` in the queue of the connection, content at least one byte of
    /// both windows, too.
    #[inline]
    fn may_write_at(&self, slot: u32, room: bool) -> bool {
        let stream = self.streams.peek(slot);
        room && stream.may_write() && (stream.message == Message::Head || self.send.is_open())
    }

    /// Notes whether the queue of the connection takes more, for what is decided without a look at it.
    #[inline]
    pub(crate) fn note_room(&mut self, room: bool) {
        self.room = room;
    }

    /// Whether the stream that is lent has been given all that this side sends on it.
    pub(crate) fn has_ended(&self) -> bool {
        self.streams.peek(self.current).message == Message::Ended
    }

    pub(crate) fn want_write(&mut self, now: Time) {
        let slot = self.current;
        self.lent().set(streams::WANTED);
        self.line_up(slot, now);
    }

    /// Puts a stream where it waits for its turn, if it wants a permit, or was throttled and has input that it takes only when
    /// there could be a permit.
    pub(super) fn line_up(&mut self, slot: u32, now: Time) {
        let stream = self.streams.at(slot);
        if matches!(stream.place, Place::Closed | Place::Flush | Place::End) || stream.tunnel.is_some() {
            return;
        }
        let content = matches!(stream.message, Message::Content(_));
        let throttled = content && stream.is_throttled() && stream.has_held();
        if stream.message == Message::Ended || !stream.has(streams::WANTED) && !throttled {
            return;
        }
        let (may_write, open) = (stream.may_write(), stream.send.is_open());
        if may_write {
            self.streams.place(slot, if content { Place::Content } else { Place::Head });
        }
        if content && (may_write || !open) {
            self.wait_for_peer(slot, open, now);
        }
    }

    /// Notes that a stream waits which could send, or whose application would: if no window is `open` to it, the peer has to make
    /// progress from here on.
    fn wait_for_peer(&mut self, slot: u32, open: bool, now: Time) {
        if !open {
            self.streams.at(slot).stalled.get_or_insert(Stalled { since: now, left: 0 });
            self.starve(now);
        } else if !self.send.is_open() {
            self.wait_for_connection(now);
        }
    }

    /// Streams wait, and the window of the connection is used up.
    #[cold]
    fn wait_for_connection(&mut self, now: Time) {
        debug_assert!(!self.send.is_open() && !self.streams.contents.is_empty());
        self.stalled.get_or_insert(Stalled { since: now, left: 0 });
        self.starve(now);
    }

    /// A window that somebody waits for is used up: the peer has to make progress from here on, if it still can.
    fn starve(&mut self, now: Time) {
        self.next_due = self.next_due.min(now);
        if let Some(half_closed) = &mut self.half_closed {
            half_closed.starves = true;
        }
    }

    /// Whether a stream has something to send, or an application that would, and its own window is used up or that of the
    /// connection.
    pub(super) fn starves(&self, slot: u32) -> bool {
        let stream = self.streams.peek(slot);
        self.waits_for_window(slot)
            || !self.send.is_open() && matches!(stream.place, Place::Content | Place::Flush)
    }

    /// Whether a stream has something to send, or an application that would, and its own window is used up.
    pub(super) fn waits_for_window(&self, slot: u32) -> bool {
        let stream = self.streams.peek(slot);
        let waits = match &stream.tunnel {
            Some(tunnel) => !tunnel.out.is_empty() || tunnel.wants_write(),
            None => {
                let content = matches!(stream.message, Message::Content(_));
                let wants = stream.has(streams::WANTED) || stream.is_throttled() && stream.has_held();
                stream.pending.is_some() || content && wants
            }
        };
        waits && !stream.send.is_open()
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.streams.peek(self.current).has(streams::PAUSED)
    }

    pub(crate) fn pause(&mut self) {
        self.lent().set(streams::PAUSED);
    }

    /// Whether a permit for the stream that is lent will be possible, and is not yet.
    pub(crate) fn waits_to_write(&self) -> bool {
        self.waits_to_write_at(self.current, true)
    }

    #[inline]
    fn waits_to_write_at(&self, slot: u32, room: bool) -> bool {
        self.streams.peek(slot).message != Message::Ended && !self.may_write_at(slot, room)
    }

    /// Whether the peer's content on the stream at `slot` is to be kept for later.
    #[inline]
    pub(super) fn holds_input(&self, slot: u32) -> bool {
        let stream = self.streams.peek(slot);
        match &stream.tunnel {
            Some(tunnel) => tunnel.would_hold_input(),
            None => {
                stream.has(streams::PAUSED)
                    || stream.has(streams::THROTTLED) && self.waits_to_write_at(slot, self.room)
            }
        }
    }

    pub(crate) fn throttle(&mut self) {
        self.lent().set(streams::THROTTLED);
    }

    /// Takes input again. The peer's time counts from here: it may have had no window before.
    pub(crate) fn resume(&mut self, config: &Config, now: Time) {
        let slot = self.current;
        let limits = &config.limits;
        let period = if self.client { limits.between_bytes_timeout } else { limits.content_period };
        if self.lent().take(streams::PAUSED) {
            let stream = self.lent();
            if stream.due != NEVER && stream.state.receives() {
                stream.due = stream.due.max(now + period);
            }
            if self.lent().has(streams::OWES_CONTINUE) {
                self.asked.push(slot);
            }
            self.release_held(slot, now);
        }
    }

    /// Lets held input be told, if the application takes it now; otherwise it waits for what the stream waits for.
    pub(super) fn release_held(&mut self, slot: u32, now: Time) {
        let stream = self.streams.peek(slot);
        let open = stream.tunnel.as_ref().is_none_or(|tunnel| tunnel.is_open());
        if !open || !stream.has_held() {
            return;
        }
        if self.holds_input(slot) {
            self.line_up(slot, now);
        } else {
            self.streams.resume(slot);
        }
    }

    pub(crate) fn set_timeout(&mut self, at: Option<Time>) {
        let at = at.unwrap_or(NEVER);
        self.lent().timeout = at;
        self.next_due = self.next_due.min(at);
    }

    pub(crate) fn set_ticket(&mut self, out: bool, now: Time) {
        let slot = self.current;
        let stream = self.lent();
        if out {
            stream.set(streams::TICKET);
            self.streams.place(slot, Place::Nowhere);
        } else {
            stream.take(streams::TICKET);
            self.line_up(slot, now);
            self.release_held(slot, now);
        }
    }

    /// How much content fits the windows and one frame now.
    pub(crate) fn budget(&self) -> usize {
        self.credit(self.current)
    }

    /// What the windows and one frame of the stream at `slot` take now.
    #[inline]
    fn credit(&self, slot: u32) -> usize {
        let frame = (self.peer.max_frame_size as usize).min(CONTENT_FRAME_MAX);
        self.streams.peek(slot).send.room().min(self.send.room()).min(frame)
    }

    pub(crate) fn expect_content(&mut self, bytes: usize) {
        self.lent().content_bytes_min = Some(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    pub(crate) fn limit_content(&mut self, bytes: u64) {
        self.lent().content_bytes_max = Some(bytes);
    }

    /// What a peer that has not acknowledged our SETTINGS may send on a stream beyond our window: "the receiver MUST be prepared to
    /// receive data that exceeds this window size, since the sender might send data that exceeds the lower limit prior to
    /// processing the SETTINGS frame". RFC 9113 §6.9.3.
    pub(super) fn unacknowledged_room(&self) -> i32 {
        INITIAL_WINDOW.saturating_sub(self.local.initial_window_size) as i32
    }

    /// A stream with the windows that it begins with.
    pub(super) fn new_stream(&self, id: u32, now: Time) -> Stream {
        let mut stream = Stream::new(id, self.peer.initial_window_size, self.local.initial_window_size, now);
        if self.settings_due.is_some() {
            stream.receive.adjust(self.unacknowledged_room());
        }
        stream
    }

    // Field sections.

    /// Writes a field section as a HEADERS frame, and CONTINUATION frames if it is long. If `write` fails nothing has been
    /// written.
    pub(super) fn headers<T>(
        &mut self,
        out: &mut Output,
        id: u32,
        write: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<(T, bool), Misuse>,
    ) -> Result<T, Misuse> {
        let start = frame::begin(out.buffer(), Kind::Headers, flag::END_HEADERS, id);
        let mut section = Section { sender: self, out, start, kept: false };
        let (value, end) = write(section.sender, section.out.buffer())?;
        section.kept = true;
        drop(section);
        let buffer = out.buffer();
        if end && let Some(flags) = buffer.get_mut(start + 4) {
            *flags |= flag::END_STREAM;
        }
        if buffer.len() - start - frame::HEADER_BYTES <= self.peer.max_frame_size as usize {
            frame::end(buffer, start);
        } else {
            self.split_headers(buffer, start, id);
        }
        Ok(value)
    }

    #[cold]
    fn split_headers(&self, buffer: &mut Vec<u8>, start: usize, id: u32) {
        let block = buffer.split_off(start + frame::HEADER_BYTES);
        let mut parts = block.chunks(self.peer.max_frame_size as usize).peekable();
        if let Some(first) = parts.next() {
            buffer.extend_from_slice(first);
        }
        if let Some(flags) = buffer.get_mut(start + 4) {
            *flags &= !flag::END_HEADERS;
        }
        frame::end(buffer, start);
        while let Some(part) = parts.next() {
            let flags = if parts.peek().is_some() { 0 } else { flag::END_HEADERS };
            let start = frame::begin(buffer, Kind::Continuation, flags, id);
            buffer.extend_from_slice(part);
            frame::end(buffer, start);
        }
    }

    /// Encodes `Content-Length`.
    pub(super) fn encode_length(&mut self, buffer: &mut Vec<u8>, length: u64) {
        self.digits.clear();
        crate::http::write_decimal(&mut self.digits, length);
        self.encoder.encode_known(buffer, NameId::CONTENT_LENGTH, &self.digits, Indexing::Auto);
    }

    /// Encodes `Date`, which is made once per second. RFC 9110 §6.6.1.
    pub(super) fn encode_date(&mut self, buffer: &mut Vec<u8>, seconds: u32) {
        if self.date.0 != seconds {
            self.date = (seconds, HttpDate::from_unix(seconds.into()).to_bytes());
        }
        self.encoder.encode_known(buffer, NameId::DATE, &self.date.1, Indexing::Auto);
    }
}

/// A field section that is being encoded. It is gone again unless it is kept: also when the application, which is asked for its
/// fields in the middle of it, panics.
struct Section<'a> {
    sender: &'a mut Sender,
    out: &'a mut Output,
    start: usize,
    kept: bool,
}

impl Drop for Section<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.kept {
            self.undo();
        }
    }
}

impl Section<'_> {
    #[cold]
    fn undo(&mut self) {
        self.out.buffer().truncate(self.start);
        // What was encoded has changed our table and is not sent: both tables begin again.
        self.sender.encoder.set_table_size_max(0);
        self.sender.encoder.set_table_size_max(self.sender.peer.header_table_size as usize);
    }
}

/// The payload of the PING that finds out when the peer has heard of the orderly end.
pub(super) const GOING: [u8; 8] = *b"go away\0";

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("streams", &self.streams.len())
            .field("going", &self.going)
            .finish_non_exhaustive()
    }
}

/// The method of a request that may be answered with a tunnel.
pub(super) fn is_tunnel(method: Method, status: Status) -> bool {
    method == Method::Connect && status.is_success()
}
