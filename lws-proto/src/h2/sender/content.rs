//! Content on its way out: into frames as far as the windows reach, and the rest in turn. RFC 9113 §5.2 and §6.1.

use super::super::frame::{self, Kind, flag};
use super::super::state::{Frame, State, Step};
use super::super::streams::{self, Message, Pending, Place, Stream};
use super::Sender;
use crate::hpack::Indexing;
use crate::stream::Payload;
use crate::transmit::Output;
use crate::{Config, Entropy, Time};
use alloc::boxed::Box;

impl Sender {
    /// Sends content of the stream at `slot`: now as far as the windows and the queue reach, the rest in turn. So does all of it while
    /// somebody waits who comes first, unless it is the turn of this stream. A head that ended the stream has been noted
    /// already.
    pub(in crate::h2) fn write_content(
        &mut self,
        out: &mut Output,
        config: &Config,
        now: Time,
        slot: u32,
        mut content: Payload<'_>,
        end: bool,
    ) {
        self.note_progress(slot, now);
        let (id, priority) = (self.streams.peek(slot).id, self.streams.peek(slot).priority);
        let mut turn = self.turn.take_if(|turn| *turn == slot).is_some();
        let mut first = true;
        let mut sent_end = false;
        while !content.is_empty() && out.len() < config.limits.send_queue_bytes_max {
            let n = self.credit(slot).min(content.len());
            // Those that wait for a head would have content next to it.
            let waiting = if first { None } else { Some(&self.streams.heads) };
            let mut lines = waiting.into_iter().chain((!turn).then_some(&self.streams.contents));
            if n == 0 || lines.any(|line| line.is_ahead_of(id, priority)) {
                break;
            }
            (turn, first) = (false, false);
            sent_end = end && n == content.len();
            self.data_header(out, (slot, id), n, sent_end, now);
            content.split_to(n).push(out);
        }
        if !content.is_empty() {
            return self.hold_content(slot, content, end, now);
        }
        if end && !sent_end {
            self.data_header(out, (slot, id), 0, true, now);
        }
        if end {
            self.end_message(out, config, slot, now);
        }
    }

    #[inline]
    pub(super) fn data_header(
        &mut self,
        out: &mut Output,
        (slot, id): (u32, u32),
        len: usize,
        end: bool,
        now: Time,
    ) {
        let flags = if end { flag::END_STREAM } else { 0 };
        let header = frame::FrameHeader { len: len as u32, kind: Kind::Data, flags, stream: id };
        out.buffer().extend_from_slice(&header.to_bytes());
        self.send.spend(len);
        self.content_sent += len as u64;
        let stream = self.streams.at(slot);
        stream.send.spend(len);
        let used_up = !stream.send.is_open() || !self.send.is_open();
        if let Some(stalled) = &mut stream.stalled {
            stalled.left += len;
        }
        if let Some(stalled) = &mut self.stalled {
            stalled.left += len;
        }
        if !self.send.is_open() && !self.streams.contents.is_empty() {
            // Those that wait their turn came while it was open.
            self.wait_for_connection(now);
        }
        self.conduct.sent_data(len, used_up);
    }

    /// Keeps content that the windows do not let out.
    #[cold]
    pub(super) fn hold_content(&mut self, slot: u32, content: Payload<'_>, end: bool, now: Time) {
        let stream = self.streams.at(slot);
        let pending = stream.pending.get_or_insert_default();
        content.push(&mut pending.content);
        pending.end = end;
        self.wait_for_window(slot, now);
    }

    /// Puts a stream with something to send where it waits for its turn, or for a window of its own.
    pub(in crate::h2) fn wait_for_window(&mut self, slot: u32, now: Time) {
        let stream = self.streams.peek(slot);
        if stream.place == Place::Closed {
            return;
        }
        if stream.has_only_an_end() {
            return self.streams.place(slot, Place::End);
        }
        let open = stream.send.is_open();
        self.streams.place(slot, if open { Place::Flush } else { Place::Nowhere });
        self.wait_for_peer(slot, open, now);
    }

    /// The message of this side has left whole, or is in frames.
    pub(in crate::h2) fn end_message(&mut self, out: &mut Output, config: &Config, slot: u32, now: Time) {
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
        // The rest may need the room that the peer filled while the stream was paused.
        stream.receive.take(held);
        if let Some(increment) = stream.receive.give(config.limits.h2_stream_window_max, now) {
            frame::window_update(out.buffer(), stream.id, increment);
        }
        self.drop_held(held);
        self.streams.unresume(slot);
    }

    /// Content that was held for a stream counts no more. The peer gets its room back with the next flush: no more content may come on
    /// the connection before.
    pub(super) fn drop_held(&mut self, held: u32) {
        self.receive.take(held);
        self.dropped |= held > 0;
    }

    /// The response is complete, and so is the request, of which not all has been told: trailers still are to who listens, and
    /// content that was held for later is dropped.
    #[cold]
    pub(super) fn end_with_peer(&mut self, slot: u32, paused: bool) {
        let held = core::mem::take(&mut self.streams.at(slot).held);
        self.drop_held(held);
        if paused || held > 0 {
            self.peer_ended(slot);
        } else {
            self.streams.resume(slot);
        }
    }

    /// The response is complete, and the server does not want the rest of the request: "Clients MUST NOT discard responses as a
    /// result". RFC 9113 §8.1.
    pub(in crate::h2) fn stop_sending(&mut self, slot: u32) {
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
        if self.dropped && self.receive.is_due() {
            return true;
        }
        let entered = self.entered && self.send.is_open() && {
            let stream = self.streams.peek(self.current);
            stream.send.is_open() && stream.tunnel.as_ref().is_some_and(|tunnel| !tunnel.out.is_empty())
        };
        entered || self.next_flush().is_some()
    }

    /// Whose turn it is to send something that was given before. None if that is somebody who first gets a permit.
    #[inline]
    fn next_flush(&self) -> Option<u32> {
        if let Some(&slot) = self.streams.ends.front() {
            return Some(slot);
        }
        let first = self.streams.contents.first().filter(|_| self.send.is_open())?;
        (self.streams.peek(first).place == Place::Flush).then_some(first)
    }

    /// Whether there is no place for another stream, and letting out what can go may make one: whether the next is refused must not
    /// depend on how much of the input comes at once.
    #[inline]
    pub(crate) fn frees_places(&self, config: &Config) -> bool {
        !self.client && self.streams.len() >= config.limits.h2_streams_max as usize && self.has_flush()
    }

    /// Lets out what waits for a window, in turn, as far as the windows and the queue of the connection reach.
    pub(crate) fn flush(
        &mut self,
        out: &mut Output,
        config: &Config,
        keys: &mut Option<Box<dyn Entropy>>,
        now: Time,
    ) {
        if core::mem::take(&mut self.dropped) && !self.finished {
            self.give(out, config, now);
        }
        while self.flush_next(out, config, keys, now) {}
    }

    /// Lets out one frame of the stream whose turn it is, if it is to send something. Returns whether it did.
    #[inline]
    pub(super) fn flush_next(
        &mut self,
        out: &mut Output,
        config: &Config,
        keys: &mut Option<Box<dyn Entropy>>,
        now: Time,
    ) -> bool {
        if self.finished || out.len() >= config.limits.send_queue_bytes_max {
            return false;
        }
        let Some(slot) = self.next_flush() else { return false };
        self.streams.place(slot, Place::Nowhere);
        self.flush_one(out, config, slot, now);
        if self.streams.peek(slot).tunnel.is_some() {
            self.enter(slot, keys, now);
            self.settle(keys, now);
        }
        true
    }

    /// Lets out one frame of a stream.
    pub(super) fn flush_one(&mut self, out: &mut Output, config: &Config, slot: u32, now: Time) {
        self.note_progress(slot, now);
        let room = self.credit(slot);
        let stream = self.streams.at(slot);
        let id = stream.id;
        let (mut content, end) = stream.take_content();
        let n = room.min(content.len());
        let last = end && n == content.len();
        let trailers = last && stream.pending.as_ref().is_some_and(|pending| pending.trailers.is_some());
        let ends = last && !trailers;
        if n > 0 || ends {
            self.data_header(out, (slot, id), n, ends, now);
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
    pub(super) fn flushed(
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
            self.end_message(out, config, slot, now);
        } else {
            self.line_up(slot, now);
            self.release_held(slot, now);
        }
    }

    /// Writes trailers that were checked before.
    pub(in crate::h2) fn write_trailers(
        &mut self,
        out: &mut Output,
        slot: u32,
        trailers: &streams::Trailers,
    ) {
        let id = self.streams.peek(slot).id;
        // Misuse is impossible: every field has been checked.
        let _ = self.headers(out, id, |sender, buffer| {
            for (name, value) in trailers.fields() {
                sender.encoder.encode(buffer, name, value, Indexing::Auto);
            }
            Ok(((), true))
        });
    }
}

impl Stream {
    /// Whether what waits needs no window: it is the end of the stream, or trailers.
    pub(super) fn has_only_an_end(&self) -> bool {
        match (&self.tunnel, &self.pending) {
            (Some(tunnel), _) => self.has(streams::FIN) && tunnel.out.is_empty(),
            (None, Some(pending)) => pending.content.is_empty(),
            (None, None) => false,
        }
    }

    /// Takes what waits out of the stream, and whether the stream ends with it.
    pub(super) fn take_content(&mut self) -> (Output, bool) {
        match (&mut self.tunnel, &mut self.pending) {
            (Some(tunnel), _) => (core::mem::take(&mut tunnel.out), self.flags & streams::FIN != 0),
            (None, Some(pending)) => (core::mem::take(&mut pending.content), pending.end),
            (None, None) => (Output::default(), false),
        }
    }
}

impl streams::Trailers {
    /// Adds a field that has been checked.
    pub(in crate::h2) fn push(&mut self, name: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.fields.push((name.len(), value.len()));
    }

    pub(in crate::h2) fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut at = 0;
        self.fields.iter().map(move |(name, value)| {
            let pair = (&self.bytes[at..at + name], &self.bytes[at + name..at + name + value]);
            at += name + value;
            pair
        })
    }
}

/// What cannot be had of [`Pending`] by itself.
impl Pending {
    /// Keeps trailers for when the content before them has gone.
    pub(in crate::h2) fn set_trailers(&mut self, trailers: streams::Trailers) {
        self.trailers = Some(trailers);
        self.end = true;
    }
}
