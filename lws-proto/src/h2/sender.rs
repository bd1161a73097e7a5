//! The transmit half of HTTP/2: what a send on the stream that is lent means, and what both halves have to know.
//! RFC 9113 §5 and §8.
//!
//! Content goes straight into frames as far as the windows reach; what does not fit waits with its stream, and
//! [`flush`](Sender::flush) lets it out in turn.

use super::bucket::Bucket;
use super::error::{ErrorCode, Fault, code_of};
use super::frame::{self, Kind, flag};
use super::settings::{INITIAL_WINDOW, Settings};
use super::state::{Frame, State, Step};
use super::streams::{self, Message, NEVER, Pending, Place, Stalled, Stream, Streams};
use super::window::{ReceiveWindow, SendWindow};
use crate::hpack::{Encoder, Indexing, NameId};
use crate::http::{HttpDate, Method, Scheme, Status};
use crate::item::Item;
use crate::stream::{Payload, StreamKey};
use crate::transmit::Output;
use crate::{Cause, Config, Entropy, Limit, Misuse, Time};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// Streams that this side has reset, for which frames of the peer may still be on their way.
const RESET_REMEMBERED: usize = 128;

/// Bytes of content in one frame at most, whatever the peer would take: others want their turn.
const CONTENT_FRAME_MAX: usize = 16 << 10;

/// Window updates that a sent DATA frame justifies, and how many are saved up.
const UPDATES_PER_FRAME: u32 = 2;
const UPDATES_SAVED_MAX: u32 = 1_000;

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
    pub(super) resets: Bucket,
    pub(super) glitches: Bucket,
    /// Window updates that are expected.
    pub(super) updates: u32,
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
    /// Nothing is sent or understood any more; ends are still told.
    pub(super) finished: bool,
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
            receive,
            next_id: 1,
            last_peer_id: 0,
            skipped: 0..0,
            active: 0,
            queue: VecDeque::new(),
            reset: VecDeque::new(),
            resets: Bucket::full(limits.h2_resets, now),
            glitches: Bucket::full(limits.h2_glitches, now),
            updates: UPDATES_SAVED_MAX / 10,
            control_frames: 0,
            going: Going::No,
            peer_last: None,
            settings_due: Some(now + limits.h2_settings_timeout),
            pinged: None,
            idle_since: now,
            relaxed: false,
            next_due: NEVER,
            finished: false,
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

    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        if self.finished {
            return false;
        }
        let stream = self.streams.peek(self.current);
        stream.may_write() && (stream.message == Message::Head || self.send.is_open())
    }

    pub(crate) fn want_write(&mut self, now: Time) {
        let slot = self.current;
        self.lent().set(streams::WANTED);
        self.line_up(slot, now);
    }

    /// Puts a stream that wants a permit where it waits for it.
    pub(super) fn line_up(&mut self, slot: u32, now: Time) {
        let stream = self.streams.at(slot);
        if stream.place == Place::Closed || stream.place == Place::Flush {
            return;
        }
        if !stream.has(streams::WANTED) || stream.tunnel.is_some() {
            return;
        }
        let place = match stream.message {
            Message::Head => Place::Head,
            Message::Content(_) => Place::Content,
            Message::Ended => return,
        };
        let (may_write, closed) = (stream.may_write(), !stream.send.is_open() || !self.send.is_open());
        if may_write {
            self.streams.place(slot, place);
        }
        if place == Place::Content && closed {
            self.stall(slot, now);
        }
    }

    /// A stream has something to send and no window for it. The peer has to make progress from here on.
    fn stall(&mut self, slot: u32, now: Time) {
        let stream = self.streams.at(slot);
        if stream.stalled.is_some() {
            return;
        }
        let stalled = Some(Stalled { since: now, left: 0 });
        stream.stalled = stalled;
        self.next_due = self.next_due.min(now);
        if !self.send.is_open() {
            // Those that wait for a permit were in line before the window of the connection was used up.
            let waiting = self.streams.all().filter(|stream| stream.place == Place::Content);
            waiting.filter(|stream| stream.stalled.is_none()).for_each(|stream| stream.stalled = stalled);
        }
    }

    /// Whether a stream has something to send, or an application that would, and the peer gives it no window.
    pub(super) fn waits_for_window(&self, slot: u32) -> bool {
        let stream = self.streams.peek(slot);
        let queued = stream.tunnel.as_ref().is_some_and(|tunnel| !tunnel.out.is_empty());
        let wants = stream.has(streams::WANTED) && matches!(stream.message, Message::Content(_));
        let closed = !stream.send.is_open() || !self.send.is_open();
        stream.pending.is_some() || queued || stream.has(streams::FIN) || wants && closed
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.streams.peek(self.current).has(streams::PAUSED)
    }

    pub(crate) fn pause(&mut self) {
        self.lent().set(streams::PAUSED);
    }

    /// Whether a permit for the stream that is lent will be possible, and is not yet.
    pub(crate) fn waits_to_write(&self) -> bool {
        self.streams.peek(self.current).waits_to_write()
    }

    pub(crate) fn throttle(&mut self) {
        self.lent().set(streams::THROTTLED);
    }

    pub(crate) fn resume(&mut self, now: Time) {
        let slot = self.current;
        if self.lent().take(streams::PAUSED) {
            let stream = self.lent();
            if stream.due != NEVER && stream.state.receives() {
                stream.due = stream.due.max(now);
            }
            if self.lent().has(streams::OWES_CONTINUE) {
                self.asked.push(slot);
            }
            self.release_held(slot);
        }
    }

    /// Lets held input be told, if the application takes it now.
    pub(super) fn release_held(&mut self, slot: u32) {
        let stream = self.streams.at(slot);
        let open = stream.tunnel.as_ref().is_none_or(|tunnel| tunnel.is_open());
        if open && (stream.held > 0 || stream.has(streams::PEER_ENDED)) && !stream.holds_input() {
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
            self.release_held(slot);
        }
    }

    /// How much content fits the windows and one frame now.
    pub(crate) fn budget(&self) -> usize {
        self.room(self.current)
    }

    #[inline]
    fn room(&self, slot: u32) -> usize {
        let frame = (self.peer.max_frame_size as usize).min(CONTENT_FRAME_MAX);
        self.streams.peek(slot).send.room().min(self.send.room()).min(frame)
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
        match write(self, out.buffer()) {
            Ok((value, end)) => {
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
            Err(misuse) => {
                out.buffer().truncate(start);
                // What was encoded has changed our table and is not sent: both tables begin again.
                self.encoder.set_table_size_max(0);
                self.encoder.set_table_size_max(self.peer.header_table_size as usize);
                Err(misuse)
            }
        }
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

    // Content.

    /// Sends content of the stream at `slot`: now as far as the windows reach, the rest when they do. A head that ended the
    /// stream has been noted already.
    pub(super) fn write_content(
        &mut self,
        out: &mut Output,
        config: &Config,
        now: Time,
        slot: u32,
        mut content: Payload<'_>,
        end: bool,
    ) {
        let id = self.streams.peek(slot).id;
        let mut sent_end = false;
        while !content.is_empty() && out.len() < config.limits.send_queue_bytes_max {
            let n = self.room(slot).min(content.len());
            if n == 0 {
                break;
            }
            sent_end = end && n == content.len();
            self.data_header(out, slot, id, n, sent_end);
            content.split_to(n).push(out);
        }
        if !content.is_empty() {
            return self.hold_content(slot, content, end, now);
        }
        if end && !sent_end {
            self.data_header(out, slot, id, 0, true);
        }
        if end {
            self.end_message(config, slot, now);
        }
    }

    #[inline]
    fn data_header(&mut self, out: &mut Output, slot: u32, id: u32, len: usize, end: bool) {
        let flags = if end { flag::END_STREAM } else { 0 };
        let header = frame::FrameHeader { len: len as u32, kind: Kind::Data, flags, stream: id };
        out.buffer().extend_from_slice(&header.to_bytes());
        self.send.spend(len);
        let stream = self.streams.at(slot);
        stream.send.spend(len);
        if let Some(stalled) = &mut stream.stalled {
            stalled.left += len;
        }
        self.updates = (self.updates + UPDATES_PER_FRAME).min(UPDATES_SAVED_MAX);
    }

    /// Keeps content that the windows do not let out.
    #[cold]
    fn hold_content(&mut self, slot: u32, content: Payload<'_>, end: bool, now: Time) {
        let stream = self.streams.at(slot);
        let pending = stream.pending.get_or_insert_default();
        content.push(&mut pending.content);
        pending.end = end;
        self.wait_for_window(slot, now);
    }

    /// Puts a stream with something to send where it waits for a window.
    pub(super) fn wait_for_window(&mut self, slot: u32, now: Time) {
        let stream = self.streams.at(slot);
        if stream.place == Place::Closed {
            return;
        }
        if stream.send.is_open() || stream.has_only_an_end() {
            self.streams.place(slot, Place::Flush);
        } else {
            self.streams.place(slot, Place::Nowhere);
        }
        self.stall(slot, now);
    }

    /// The message of this side has left whole, or is in frames.
    pub(super) fn end_message(&mut self, config: &Config, slot: u32, now: Time) {
        let client = self.client;
        let stream = self.streams.at(slot);
        stream.stalled = None;
        stream.state = stream.state.on(Step::Send(Frame::Data { end: true })).unwrap_or(State::Closed);
        if stream.state == State::Closed {
            let cause = stream.cause;
            return self.close(slot, cause);
        }
        if client {
            if !stream.has(streams::ANSWERED) {
                stream.due = now + config.limits.response_timeout;
                self.next_due = self.next_due.min(stream.due);
            }
            return;
        }
        let paused = stream.take(streams::PAUSED | streams::THROTTLED);
        if stream.has(streams::PEER_ENDED) {
            return self.end_with_peer(slot, paused);
        }
        // Nobody wants the rest of the request. A little of it is dropped, so that small ones end in peace.
        stream.set(streams::UNWANTED);
        stream.told_bytes = 0;
        stream.content_bytes_max = None;
        stream.due = now + config.limits.content_period;
        self.next_due = self.next_due.min(stream.due);
        let held = core::mem::take(&mut stream.held);
        self.receive.take(held);
        self.streams.unresume(slot);
    }

    /// The response is complete, and so is the request, of which not all has been told: trailers still are to who listens, and
    /// content that was held for later is dropped.
    #[cold]
    fn end_with_peer(&mut self, slot: u32, paused: bool) {
        let held = core::mem::take(&mut self.streams.at(slot).held);
        self.receive.take(held);
        if paused || held > 0 {
            self.peer_ended(slot);
        } else {
            self.streams.resume(slot);
        }
    }

    /// The response is complete, and the server does not want the rest of the request: "Clients MUST NOT discard responses as a
    /// result". RFC 9113 §8.1.
    pub(super) fn stop_sending(&mut self, slot: u32) {
        let stream = self.streams.at(slot);
        stream.pending = None;
        stream.stalled = None;
        stream.message = Message::Ended;
        stream.take(streams::WANTED);
        if stream.state.sends() {
            stream.state = stream.state.on(Step::Send(Frame::Data { end: true })).unwrap_or(State::Closed);
        }
        if stream.place == Place::Closed {
            return;
        }
        let (state, cause) = (stream.state, stream.cause);
        self.streams.place(slot, Place::Nowhere);
        if state == State::Closed {
            self.close(slot, cause);
        }
    }

    /// Whether content that was given before can go out now.
    #[inline]
    pub(crate) fn has_flush(&self) -> bool {
        if self.finished {
            return false;
        }
        let entered = self.entered && {
            let stream = self.streams.peek(self.current);
            stream.send.is_open() && stream.tunnel.as_ref().is_some_and(|tunnel| !tunnel.out.is_empty())
        };
        (self.send.is_open() && (entered || !self.streams.flushes.is_empty()))
            || self.streams.flushes.first().is_some_and(|slot| self.streams.peek(slot).has_only_an_end())
    }

    /// Lets out what waits for a window, in turn, as far as the windows and the queue of the connection reach.
    pub(crate) fn flush(
        &mut self,
        out: &mut Output,
        config: &Config,
        keys: &mut Option<Box<dyn Entropy>>,
        now: Time,
    ) {
        while out.len() < config.limits.send_queue_bytes_max && self.has_flush() {
            let Some(slot) = self.streams.flushes.pop() else { return };
            self.streams.at(slot).place = Place::Nowhere;
            self.streams.at(slot).set(streams::SERVED);
            self.flush_one(out, config, slot, now);
            if self.streams.peek(slot).tunnel.is_some() {
                self.enter(slot, keys, now);
                self.settle(keys, now);
            }
        }
    }

    /// Lets out one frame of a stream.
    fn flush_one(&mut self, out: &mut Output, config: &Config, slot: u32, now: Time) {
        let room = self.room(slot);
        let stream = self.streams.at(slot);
        let id = stream.id;
        let (mut content, end) = stream.take_content();
        let n = room.min(content.len());
        let last = end && n == content.len();
        let trailers = last && stream.pending.as_ref().is_some_and(|pending| pending.trailers.is_some());
        let ends = last && !trailers;
        if n > 0 || ends {
            self.data_header(out, slot, id, n, ends);
            content.copy_to(n, out);
        }
        let stream = self.streams.at(slot);
        match &mut stream.tunnel {
            Some(tunnel) => {
                tunnel.out = content;
                tunnel.transmitted(now, n);
                if ends {
                    stream.take(streams::FIN);
                    self.end_tunnel(slot, now, config);
                }
            }
            None => {
                content.consume(n);
                self.flushed(out, config, slot, now, content, end);
            }
        }
    }

    /// An exchange has sent a part of what waited.
    fn flushed(
        &mut self,
        out: &mut Output,
        config: &Config,
        slot: u32,
        now: Time,
        content: Output,
        end: bool,
    ) {
        let stream = self.streams.at(slot);
        if !content.is_empty() {
            if let Some(pending) = &mut stream.pending {
                pending.content = content;
            }
            return self.wait_for_window(slot, now);
        }
        let trailers = stream.pending.take().and_then(|pending| pending.trailers);
        stream.stalled = None;
        if let Some(trailers) = trailers {
            self.write_trailers(out, slot, &trailers);
        }
        if end {
            self.end_message(config, slot, now);
        } else {
            self.line_up(slot, now);
            self.release_held(slot);
        }
    }

    /// Writes trailers that were checked before.
    pub(super) fn write_trailers(&mut self, out: &mut Output, slot: u32, trailers: &streams::Trailers) {
        let id = self.streams.peek(slot).id;
        // Misuse is impossible: every field has been checked.
        let _ = self.headers(out, id, |sender, buffer| {
            for (name, value) in trailers.fields() {
                sender.encoder.encode(buffer, name, value, Indexing::Auto);
            }
            Ok(((), true))
        });
    }

    // Ends.

    /// Ends a stream: its end is told, and its place freed after that.
    pub(super) fn close(&mut self, slot: u32, cause: Cause) {
        let stream = self.streams.at(slot);
        if stream.place == Place::Closed && stream.state == State::Closed {
            return;
        }
        let active = stream.queued.is_none();
        stream.state = State::Closed;
        let told = stream.place == Place::Closed;
        let gone = stream.has(streams::GONE);
        let held = core::mem::take(&mut stream.held);
        stream.pending = None;
        stream.stalled = None;
        stream.due = NEVER;
        stream.timeout = NEVER;
        if !stream.has(streams::COUNTED_OUT) {
            stream.set(streams::COUNTED_OUT);
            if active {
                self.active = self.active.saturating_sub(1);
            }
        }
        self.receive.take(held);
        self.streams.unresume(slot);
        self.streams.untime(slot);
        if gone {
            self.streams.place(slot, Place::Nowhere);
            return self.free(slot);
        }
        if !told {
            self.streams.at(slot).cause = cause;
            self.streams.place(slot, Place::Closed);
        }
    }

    /// Forgets a stream whose end has been told.
    pub(super) fn free(&mut self, slot: u32) {
        let stream = self.streams.at(slot);
        if let (true, Some(tunnel)) = (self.entered && self.current == slot, &mut stream.tunnel) {
            self.entered = false;
            self.returned = tunnel.entropy.take();
        }
        stream.tunnel = None;
        stream.handshake = None;
        stream.queued = None;
        self.streams.free(slot);
    }

    /// Resets a stream for a reason of this side or a fault of the peer.
    pub(super) fn reset(&mut self, out: &mut Output, slot: u32, code: ErrorCode, cause: Cause) {
        let stream = self.streams.at(slot);
        if stream.state != State::Closed && stream.state.on(Step::Send(Frame::Reset)).is_ok() {
            let id = stream.id;
            self.send_reset(out, id, code);
        }
        self.queue.retain(|queued| *queued != slot);
        self.close(slot, cause);
    }

    pub(super) fn send_reset(&mut self, out: &mut Output, id: u32, code: ErrorCode) {
        frame::rst_stream(out.buffer(), id, code);
        self.control_frames += 1;
        if self.reset.len() == RESET_REMEMBERED {
            self.reset.pop_front();
        }
        self.reset.push_back(id);
    }

    /// Counts a reset that the peer made or forced. RFC 9113 §10.5.
    pub(super) fn count_reset(&mut self, config: &Config, now: Time) -> Result<(), Fault> {
        let allowed = self.resets.take(config.limits.h2_resets, now);
        if allowed { Ok(()) } else { Err(Fault::limit(Limit::Resets)) }
    }

    /// Counts a frame that is of no use. RFC 9113 §10.5.
    pub(super) fn count_glitch(&mut self, config: &Config, now: Time) -> Result<(), Fault> {
        let allowed = self.glitches.take(config.limits.h2_glitches, now);
        if allowed { Ok(()) } else { Err(Fault::limit(Limit::Glitches)) }
    }

    /// The application gives the stream up.
    pub(crate) fn abort_stream(&mut self, out: &mut Output) {
        let slot = self.current;
        self.reset(out, slot, ErrorCode::CANCEL, Cause::Aborted);
    }

    /// Ends every stream, and the protocol with them.
    pub(crate) fn finish(&mut self, cause: Cause) {
        if self.finished {
            return;
        }
        self.finished = true;
        for slot in self.streams.taken() {
            self.close(slot, cause);
        }
        self.queue.clear();
    }

    /// Tells the peer why the connection ends. RFC 9113 §6.8.
    pub(crate) fn say_go_away(&mut self, out: &mut Output, cause: Cause) {
        let message = match cause {
            Cause::Violation(violation) => violation.message(),
            Cause::Limit(limit) => limit.message(),
            Cause::Timeout(deadline) => deadline.message(),
            _ => "",
        };
        let last = match self.going {
            Going::Away { last } => last,
            Going::No | Going::Announced { .. } => self.last_peer_id,
        };
        frame::go_away(out.buffer(), last, code_of(cause), message);
        self.going = Going::Away { last };
    }

    /// Begins the orderly end: WebSockets are closed with 1001, what runs goes on, and a server takes what is on its way before it
    /// says which stream was the last. Returns whether nothing runs, so that the end has come. RFC 9113 §6.8.
    pub(crate) fn drain(
        &mut self,
        out: &mut Output,
        config: &Config,
        keys: &mut Option<Box<dyn Entropy>>,
        now: Time,
    ) -> bool {
        for slot in self.streams.taken() {
            self.enter(slot, keys, now);
            if let Some(tunnel) = self.tunnel() {
                tunnel.drain(now);
            }
            self.settle(keys, now);
        }
        self.announce_end(out, config, now);
        self.streams.is_empty()
    }

    /// Asks the peer to begin no more streams.
    pub(crate) fn announce_end(&mut self, out: &mut Output, config: &Config, now: Time) {
        if self.going != Going::No {
            return;
        }
        if self.client || self.streams.is_empty() {
            frame::go_away(out.buffer(), self.last_peer_id, ErrorCode::NO_ERROR, "");
            self.going = Going::Away { last: self.last_peer_id };
            return;
        }
        frame::go_away(out.buffer(), frame::MAX_31_BITS, ErrorCode::NO_ERROR, "");
        frame::ping(out.buffer(), false, GOING);
        self.going = Going::Announced { until: now + config.limits.close_timeout };
    }

    /// The peer has heard of the orderly end, or had the time for it.
    pub(super) fn go_away(&mut self, out: &mut Output) {
        if let Going::Announced { .. } = self.going {
            frame::go_away(out.buffer(), self.last_peer_id, ErrorCode::NO_ERROR, "");
            self.going = Going::Away { last: self.last_peer_id };
        }
    }

    /// Whether the orderly end has come: nothing is open, and nothing more will be.
    pub(crate) fn is_over(&self) -> bool {
        let going = matches!(self.going, Going::Away { .. }) || self.client && self.peer_last.is_some();
        going && !self.finished && self.streams.is_empty()
    }

    pub(crate) fn set_scheme(&mut self, scheme: Scheme) {
        self.scheme = scheme;
    }

    /// The transport has everything that was queued.
    #[inline]
    pub(crate) fn all_sent(&mut self) {
        self.control_frames = 0;
    }

    /// Whether the peer has more answers to take before more is asked of us.
    #[inline]
    pub(crate) fn is_choked(&self, config: &Config) -> bool {
        self.control_frames >= config.limits.h2_control_frames_max
    }

    /// Whether a client's request can be made on this connection.
    pub(crate) fn takes_requests(&self) -> bool {
        self.client
            && !self.finished
            && self.going == Going::No
            && self.peer_last.is_none()
            && self.next_id < frame::MAX_31_BITS
    }

    // Notices.

    /// Whether a permit can be given now.
    fn permit_is_due(&self, room: bool) -> bool {
        room && !self.finished
            && (!self.streams.heads.is_empty() || !self.streams.contents.is_empty() && self.send.is_open())
    }

    /// Whether something is to be told, apart from input. `room` is whether the queue of the connection takes more.
    pub(crate) fn has_notice(&self, room: bool) -> bool {
        !self.streams.closed.is_empty()
            || !self.streams.timeouts.is_empty()
            || !self.asked.is_empty()
            || self.permit_is_due(room)
            || self.entered && self.has_unsettled()
    }

    /// Whether a look at the tunnel that was entered would find something to tell.
    fn has_unsettled(&self) -> bool {
        let stream = self.streams.peek(self.current);
        let held = stream.held > 0 || stream.has(streams::PEER_ENDED);
        stream.tunnel.as_ref().is_some_and(|tunnel| {
            let reads = tunnel.is_open() && !tunnel.would_hold_input();
            tunnel.notice_is_due() || reads && (held || tunnel.has_more())
        })
    }

    /// The next notice.
    pub(crate) fn notice(
        &mut self,
        out: &mut Output,
        config: &Config,
        keys: &mut Option<Box<dyn Entropy>>,
        now: Time,
    ) -> Option<Item> {
        self.settle(keys, now);
        self.send_continues(out);
        if let Some(&slot) = self.streams.closed.front() {
            self.streams.closed.pop_front();
            let (key, cause) = (self.streams.key(slot), self.streams.peek(slot).cause);
            self.told_end(out, slot, now, config);
            self.freed(out, config, now);
            return Some(Item::Closed { key, cause });
        }
        if let Some(slot) = self.streams.timeouts.pop_front() {
            self.streams.at(slot).take(streams::TIMEOUT);
            self.enter(slot, keys, now);
            return Some(Item::Timeout);
        }
        if self.permit_is_due(out.len() < config.limits.send_queue_bytes_max) {
            return self.give_permit(keys, now);
        }
        None
    }

    fn give_permit(&mut self, keys: &mut Option<Box<dyn Entropy>>, now: Time) -> Option<Item> {
        let slot = match self.streams.heads.first() {
            Some(slot) => slot,
            None => self.streams.contents.first()?,
        };
        self.streams.place(slot, Place::Nowhere);
        let stream = self.streams.at(slot);
        stream.take(streams::WANTED);
        stream.set(streams::SERVED);
        self.enter(slot, keys, now);
        match self.streams.at(slot).tunnel.as_deref_mut() {
            Some(tunnel) => tunnel.notice(),
            None => Some(Item::Writable),
        }
    }

    /// Sends what clients wait for before they send content, unless it was answered or is not wanted.
    fn send_continues(&mut self, out: &mut Output) {
        while let Some(slot) = self.asked.pop() {
            let stream = self.streams.peek(slot);
            let waits = stream.has(streams::OWES_CONTINUE) && stream.message == Message::Head;
            if waits && stream.id != 0 && !stream.holds_input() {
                self.send_continue(out, slot);
            }
        }
    }

    /// A stream has gone: what follows for the others.
    fn freed(&mut self, out: &mut Output, config: &Config, now: Time) {
        if self.client && !self.queue.is_empty() {
            self.start_requests(out, config, now);
        }
        if self.streams.is_empty() {
            self.idle_since = now;
            self.next_due = NEVER;
            self.relaxed = false;
        }
    }

    // Tunnels.

    /// Gives a tunnel what it borrows from the connection: time, randomness, room. Handles and receivers work on it from here
    /// on, until [`settle`](Self::settle).
    pub(crate) fn enter(&mut self, slot: u32, keys: &mut Option<Box<dyn Entropy>>, now: Time) {
        self.current = slot;
        if let Some(tunnel) = &mut self.streams.at(slot).tunnel {
            tunnel.now = now;
            core::mem::swap(&mut tunnel.entropy, keys);
            tunnel.out.lend(&mut self.spare);
            self.entered = true;
        }
    }

    /// The same for the stream that is lent.
    pub(crate) fn enter_lent(&mut self, keys: &mut Option<Box<dyn Entropy>>, now: Time) {
        self.enter(self.current, keys, now);
    }

    /// The tunnel that was entered.
    pub(crate) fn tunnel(&mut self) -> Option<&mut crate::tx::Tx> {
        self.streams.at(self.current).tunnel.as_deref_mut()
    }

    /// The same, where there is one as long as it is entered; otherwise one that does nothing.
    pub(crate) fn lent_tunnel(&mut self, none: impl FnOnce() -> crate::tx::Tx) -> &mut crate::tx::Tx {
        self.streams.at(self.current).tunnel.get_or_insert_with(|| Box::new(none()))
    }

    /// Takes back what a tunnel borrowed, and looks at what has become of it.
    pub(crate) fn settle(&mut self, keys: &mut Option<Box<dyn Entropy>>, now: Time) {
        if let Some(entropy) = self.returned.take() {
            *keys = Some(entropy);
        }
        if !core::mem::take(&mut self.entered) {
            return;
        }
        let slot = self.current;
        let stream = self.streams.at(slot);
        if let Some(tunnel) = &mut stream.tunnel {
            core::mem::swap(&mut tunnel.entropy, keys);
            tunnel.out.reclaim(&mut self.spare);
        }
        self.look_at_tunnel(slot, now);
    }

    fn look_at_tunnel(&mut self, slot: u32, now: Time) {
        let stream = self.streams.at(slot);
        let Some(tunnel) = &mut stream.tunnel else { return };
        self.next_due = self.next_due.min(tunnel.next_timeout().unwrap_or(NEVER));
        if stream.place == Place::Closed {
            return;
        }
        let cut = tunnel.ending == crate::tx::Ending::Done && tunnel.out.is_empty();
        if tunnel.fin() && stream.state.sends() {
            stream.flags |= streams::FIN;
        }
        if let Some(cause) = tunnel.take_closed() {
            stream.cause = cause;
            if cut {
                stream.set(streams::CUT);
            }
            self.streams.unresume(slot);
            self.streams.untime(slot);
            return self.streams.place(slot, Place::Closed);
        }
        if tunnel.takes_timeout() {
            self.streams.time_out(slot);
        }
        let stream = self.streams.at(slot);
        let Some(tunnel) = &stream.tunnel else { return };
        let (pending, wanted, more) =
            (!tunnel.out.is_empty(), tunnel.wants_write(), tunnel.has_more() || tunnel.has_switch());
        if pending || stream.has(streams::FIN) {
            self.wait_for_window(slot, now);
        } else {
            stream.stalled = None;
            let place = if wanted && stream.send.is_open() { Place::Content } else { Place::Nowhere };
            self.streams.place(slot, place);
        }
        if more {
            self.streams.resume(slot);
        } else {
            self.release_held(slot);
        }
    }

    /// A tunnel has sent its last byte.
    fn end_tunnel(&mut self, slot: u32, now: Time, config: &Config) {
        let stream = self.streams.at(slot);
        stream.stalled = None;
        stream.state = stream.state.on(Step::Send(Frame::Data { end: true })).unwrap_or(State::Closed);
        if stream.state == State::Closed && stream.has(streams::GONE) {
            return self.close(slot, Cause::Complete);
        }
        if stream.has(streams::GONE) {
            stream.due = now + config.limits.linger_timeout;
            self.next_due = self.next_due.min(stream.due);
        }
    }

    /// The end of a stream has been told. A tunnel that ended in order still sends what it has queued; one that was cut is
    /// reset.
    pub(super) fn told_end(&mut self, out: &mut Output, slot: u32, now: Time, config: &Config) {
        let stream = self.streams.at(slot);
        stream.place = Place::Nowhere;
        if stream.state == State::Closed || stream.tunnel.is_none() {
            return self.free(slot);
        }
        stream.set(streams::GONE);
        if stream.has(streams::CUT) {
            return self.reset(out, slot, ErrorCode::CANCEL, Cause::Aborted);
        }
        if stream.state.sends() {
            stream.set(streams::FIN);
            self.wait_for_window(slot, now);
        } else {
            stream.due = now + config.limits.linger_timeout;
            self.next_due = self.next_due.min(stream.due);
        }
    }
}

/// The payload of the PING that finds out when the peer has heard of the orderly end.
pub(super) const GOING: [u8; 8] = *b"go away\0";

impl Stream {
    /// Whether nothing but the end of the stream waits, for which no window is needed.
    fn has_only_an_end(&self) -> bool {
        match (&self.tunnel, &self.pending) {
            (Some(tunnel), _) => self.has(streams::FIN) && tunnel.out.is_empty(),
            (None, Some(pending)) => pending.end && pending.content.is_empty(),
            (None, None) => false,
        }
    }

    /// Takes what waits out of the stream, and whether the stream ends with it.
    fn take_content(&mut self) -> (Output, bool) {
        match (&mut self.tunnel, &mut self.pending) {
            (Some(tunnel), _) => (core::mem::take(&mut tunnel.out), self.flags & streams::FIN != 0),
            (None, Some(pending)) => (core::mem::take(&mut pending.content), pending.end),
            (None, None) => (Output::default(), false),
        }
    }
}

impl streams::Trailers {
    /// Adds a field that has been checked.
    pub(super) fn push(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.fields.push((name.len(), value.len()));
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut at = 0;
        self.fields.iter().map(move |(name, value)| {
            let pair = (&self.bytes[at..at + name], &self.bytes[at + name..at + name + value]);
            at += name + value;
            pair
        })
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("streams", &self.streams.len())
            .field("going", &self.going)
            .finish_non_exhaustive()
    }
}

/// What cannot be had of [`Pending`] by itself.
impl Pending {
    /// Keeps trailers for when the content before them has gone.
    pub(super) fn set_trailers(&mut self, trailers: streams::Trailers) {
        self.trailers = Some(trailers);
        self.end = true;
    }
}

/// The method of a request that may be answered with a tunnel.
pub(super) fn is_tunnel(method: Method, status: Status) -> bool {
    method == Method::Connect && status.is_success()
}
