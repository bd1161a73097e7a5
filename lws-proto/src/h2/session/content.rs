//! Outgoing content: it is sent in frames as far as the windows allow, and the rest waits for them. RFC 9113 §5.2 and
//! §6.1.

use super::super::error::Fault;
use super::super::fields::FieldBuffer;
use super::super::frame::{self, FrameKind, flag};
use super::super::settings::Settings;
use super::super::slot::Slot;
use super::super::state::{Frame, State, Transition};
use super::super::streams::{self, Message, Stalled, StreamState, WaitsFor};
use super::super::tunnel::Tunnel;
use super::Session;
use crate::connection::link::Link;
use crate::connection::resources::Resources;
use crate::connection::stream::Notices;
use crate::connection::transmit::Output;
use crate::payload::Payload;
use crate::{Config, Limits, Time, Violation};

/// The largest window of one stream: at most half of the connection's, so that others have room while it is paused.
fn stream_window_max(config: &Config) -> u32 {
    config.limits.h2_stream_window_max.min(config.limits.h2_connection_window / 2)
}

// Receive windows.

impl Session {
    /// Counts `n` bytes of a stream that the application has taken, or that were dropped.
    pub(in crate::h2) fn take_content(&mut self, slot: Slot, id: u32, n: u32) {
        self.flow.receive.take(n);
        if let Some(stream) = self.streams.still(slot, id) {
            stream.receive.take(n);
        }
    }

    /// Gives the peer room for the bytes of a stream that have been taken.
    pub(in crate::h2) fn give_stream(&mut self, link: &mut Link, slot: Slot, id: u32) {
        if let Some(stream) = self.streams.still(slot, id)
            && stream.state.on(Transition::Send(Frame::WindowUpdate)).is_ok()
            && let Some(increment) = stream.receive.give(stream_window_max(&link.config), link.now)
        {
            frame::window_update(link.out.buffer(), id, increment);
        }
    }

    /// Counts `n` held bytes of a stream that the application has taken. The peer gets room for them, if more may
    /// come.
    pub(in crate::h2) fn take_held_content(&mut self, link: &mut Link, slot: Slot, id: u32, n: u32) {
        self.take_content(slot, id, n);
        let stream = self.streams.still(slot, id);
        let ended = stream.is_none_or(|stream| stream.core.notices.has(Notices::PEER_ENDED));
        self.flow.give(link);
        if !ended {
            self.give_stream(link, slot, id);
        }
    }
}

// Send windows, and streams that wait for them.

impl Session {
    /// Applies the peer's SETTINGS. RFC 9113 §6.5.3 and §6.9.2.
    pub(in crate::h2) fn apply_settings(
        &mut self,
        peer: Settings,
        smallest_table: u32,
        now: Time,
    ) -> Result<(), Fault> {
        let before = core::mem::replace(&mut self.settings.peer, peer);
        self.settings.received = true;
        self.fields.apply_settings(smallest_table, peer.header_table_size, peer.max_frame_size);
        if before.initial_window_size != peer.initial_window_size {
            for slot in self.streams.taken() {
                let stream = self.streams.at(slot);
                stream
                    .send
                    .adjust(before.initial_window_size, peer.initial_window_size)
                    .map_err(|_| Fault::connection(Violation::FlowControl))?;
                self.window_opened(slot, now);
            }
        }
        Ok(())
    }

    /// Handles a change of a stream's send window.
    pub(in crate::h2) fn window_opened(&mut self, slot: Slot, now: Time) {
        let stream = self.streams.at(slot);
        if stream.waits_for == WaitsFor::Closed || stream.is_queued() {
            return;
        }
        let window = stream.send.room();
        if let Some(tunnel) = stream.tunnel_mut() {
            tunnel.channel.link.set_window(window);
        }
        let waits = stream.pending().is_some()
            || stream.tunnel().is_some_and(Tunnel::has_output)
            || stream.has(streams::FIN);
        if waits {
            return self.wait_for_window(slot, now);
        }
        if let Some(tunnel) = stream.tunnel() {
            let wanted = tunnel.wants_write();
            self.wait_for_permit(slot, wanted, now);
        } else {
            if !stream.send.is_open() && stream.waits_for == WaitsFor::Content {
                self.streams.move_to(slot, WaitsFor::Nothing);
            }
            self.line_up(slot, now);
        }
        self.release_held(slot, now);
    }

    /// Queues a stream that waits for a permit, or that was throttled and has input which it takes only when a permit
    /// is possible.
    pub(in crate::h2) fn line_up(&mut self, slot: Slot, now: Time) {
        let stream = self.streams.at(slot);
        if matches!(stream.waits_for, WaitsFor::Closed | WaitsFor::Flush | WaitsFor::End)
            || stream.tunnel().is_some()
        {
            return;
        }
        let content = matches!(stream.message(), Message::Content(_));
        let throttled = content && stream.is_throttled() && stream.has_held();
        if stream.message() == Message::Ended || !stream.core.notices.has(Notices::WANTED) && !throttled {
            return;
        }
        let (may_write, open) = (stream.may_write(), stream.send.is_open());
        if may_write {
            self.streams.move_to(slot, if content { WaitsFor::Content } else { WaitsFor::Head });
        }
        if content && (may_write || !open) {
            self.wait_for_peer(slot, open, now);
        }
    }

    /// Queues a stream with output, or lets it wait for its own window.
    pub(in crate::h2) fn wait_for_window(&mut self, slot: Slot, now: Time) {
        let stream = self.streams.peek(slot);
        if stream.waits_for == WaitsFor::Closed {
            return;
        }
        if stream.has_only_an_end() {
            return self.streams.move_to(slot, WaitsFor::End);
        }
        let open = stream.send.is_open();
        self.streams.move_to(slot, if open { WaitsFor::Flush } else { WaitsFor::Nothing });
        self.wait_for_peer(slot, open, now);
    }

    /// Begins the stall time of a stream that has output, or whose application waits for a permit, if no window is
    /// `open` to it.
    pub(super) fn wait_for_peer(&mut self, slot: Slot, open: bool, now: Time) {
        if !open {
            self.streams.at(slot).stalled.get_or_insert(Stalled { since: now, left: 0 });
            self.starve(now);
        } else if !self.flow.send.is_open() {
            self.wait_for_connection(now);
        }
    }

    /// Begins the stall time of streams that wait because the connection's window is used up.
    #[cold]
    fn wait_for_connection(&mut self, now: Time) {
        debug_assert!(!self.flow.send.is_open() && !self.streams.contents.is_empty());
        self.flow.stalled.get_or_insert(Stalled { since: now, left: 0 });
        self.starve(now);
    }

    /// Begins a stall time because a window is used up, if the peer can still open it.
    fn starve(&mut self, now: Time) {
        self.wake_at(now);
        if let Some(half_closed) = &mut self.shutdown.half_closed {
            half_closed.starves = true;
        }
    }

    /// Whether a stream has output, or an application that waits for a permit, and its own window or that of the
    /// connection is used up.
    pub(super) fn starves(&self, slot: Slot) -> bool {
        let stream = self.streams.peek(slot);
        self.waits_for_window(slot)
            || !self.flow.send.is_open() && matches!(stream.waits_for, WaitsFor::Content | WaitsFor::Flush)
    }

    /// Whether a stream has output, or an application that waits for a permit, and its own window is used up.
    pub(super) fn waits_for_window(&self, slot: Slot) -> bool {
        let stream = self.streams.peek(slot);
        let waits = match stream.tunnel() {
            Some(tunnel) => tunnel.has_output() || tunnel.wants_write(),
            None => {
                let content = matches!(stream.message(), Message::Content(_));
                let wants =
                    stream.core.notices.has(Notices::WANTED) || stream.is_throttled() && stream.has_held();
                stream.pending().is_some() || content && wants
            }
        };
        waits && !stream.send.is_open()
    }
}

// Content.

impl Session {
    /// Sends content of the stream at `slot`: now, as far as the windows and the queue allow, and the rest later. All
    /// of it waits while another stream comes first, unless this stream has been given the turn. A head that ended the
    /// stream has been noted already.
    pub(in crate::h2) fn write_content(
        &mut self,
        link: &mut Link,
        resources: &mut Resources,
        slot: Slot,
        mut content: Payload<'_>,
        end: bool,
    ) {
        self.note_progress(slot, link.now);
        let stream = self.streams.peek(slot);
        let (id, priority) = (stream.id, stream.priority);
        let mut turn = self.flow.turn.take_if(|turn| *turn == slot).is_some();
        let mut first = true;
        let mut sent_end = false;
        while !content.is_empty() && link.has_room() {
            let n = self.credit(slot).min(content.len());
            // Streams that wait to send a head would send content with it.
            let waiting = if first { None } else { Some(&self.streams.heads) };
            let mut lines = waiting.into_iter().chain((!turn).then_some(&self.streams.contents));
            if n == 0 || lines.any(|line| line.is_ahead_of(id, priority)) {
                break;
            }
            (turn, first) = (false, false);
            sent_end = end && n == content.len();
            self.write_data_header(link, slot, n, sent_end);
            let part = if n == content.len() {
                core::mem::replace(&mut content, Payload::Static(b""))
            } else {
                content.split_to(n)
            };
            part.push_beside_others(&mut link.out);
        }
        // The end of the stream is sent with the last held content, so nothing follows here.
        if !content.is_empty() {
            return self.hold_content(link, resources, slot, content, end);
        }
        if end && !sent_end {
            self.write_data_header(link, slot, 0, true);
        }
        if end {
            self.end_message(link, slot);
        }
    }

    /// Writes the head of a DATA frame, whose content the windows have room for.
    #[inline]
    fn write_data_header(&mut self, link: &mut Link, slot: Slot, len: usize, end: bool) {
        let stream = self.streams.at(slot);
        let flags = if end { flag::END_STREAM } else { 0 };
        let header = frame::FrameHeader { len: len as u32, kind: FrameKind::Data, flags, stream: stream.id };
        link.out.buffer().extend_from_slice(&header.to_bytes());
        self.flow.send.spend(len);
        self.flow.content_sent += len as u64;
        stream.send.spend(len);
        let used_up = !stream.send.is_open() || !self.flow.send.is_open();
        if let Some(stalled) = &mut stream.stalled {
            stalled.left += len;
        }
        if let Some(stalled) = &mut self.flow.stalled {
            stalled.left += len;
        }
        if !self.flow.send.is_open() && !self.streams.contents.is_empty() {
            // Streams were queued while the window was open, and their stall time begins now.
            self.wait_for_connection(link.now);
        }
        self.abuse.conduct.sent_data(len, used_up);
    }

    /// Keeps content that the windows do not allow to send.
    #[cold]
    fn hold_content(
        &mut self,
        link: &Link,
        resources: &mut Resources,
        slot: Slot,
        content: Payload<'_>,
        end: bool,
    ) {
        let stream = self.streams.at(slot);
        resources.account.charge(content.len());
        stream.push_pending(content, end);
        self.wait_for_window(slot, link.now);
    }

    /// Ends the message of this side, which is in frames completely.
    pub(in crate::h2) fn end_message(&mut self, link: &mut Link, slot: Slot) {
        let client = self.client;
        let stream = self.streams.at(slot);
        stream.stalled = None;
        stream.state = stream.state.on(Transition::Send(Frame::Data { end: true })).unwrap_or(State::Closed);
        if stream.state == State::Closed {
            let cause = stream.core.cause;
            return self.close(slot, cause);
        }
        if client {
            if !stream.has(streams::ANSWERED) {
                let due = link.now + link.config.limits.response_timeout;
                stream.due = due;
                self.wake_at(due);
            }
            return;
        }
        let paused = stream.core.notices.take(Notices::PAUSED.or(Notices::THROTTLED));
        if stream.core.notices.has(Notices::PEER_ENDED) {
            return self.end_with_peer(slot, paused);
        }
        self.discard_rest(link, slot);
    }

    /// The rest of the request is not wanted. A small rest is read and dropped, so that the stream can end without
    /// a reset.
    fn discard_rest(&mut self, link: &mut Link, slot: Slot) {
        let limits = &link.config.limits;
        let stream = self.streams.at(slot);
        stream.set(streams::UNWANTED);
        stream.delivered_bytes = 0;
        stream.content_bytes_max = None;
        let due = link.now + limits.content_period;
        stream.due = due;
        let held = core::mem::take(&mut stream.held_input);
        // The peer may have filled its window while the stream was paused, and needs room to send the rest.
        stream.receive.take(held);
        if let Some(increment) = stream.receive.give(limits.h2_stream_window_max, link.now) {
            frame::window_update(link.out.buffer(), stream.id, increment);
        }
        self.wake_at(due);
        self.flow.drop_held(held);
        self.streams.unresume(slot);
    }

    /// Ends a stream whose response and request are complete, while the request is not delivered completely: trailers
    /// are still delivered to an application that reads, and held content is dropped.
    #[cold]
    fn end_with_peer(&mut self, slot: Slot, paused: bool) {
        let held = core::mem::take(&mut self.streams.at(slot).held_input);
        self.flow.drop_held(held);
        if paused || held > 0 {
            self.peer_ended(slot);
        } else {
            self.streams.resume(slot);
        }
    }

    /// The response is complete, and the server does not want the rest of the request: "Clients MUST NOT discard responses as a
    /// result". RFC 9113 §8.1.
    pub(in crate::h2) fn stop_sending(&mut self, slot: Slot) {
        let stream = self.streams.at(slot);
        stream.take_pending();
        stream.stalled = None;
        stream.set_message(Message::Ended);
        stream.core.notices.take(Notices::WANTED);
        if stream.state.sends() {
            stream.state =
                stream.state.on(Transition::Send(Frame::Data { end: true })).unwrap_or(State::Closed);
        }
        if stream.waits_for == WaitsFor::Closed {
            return;
        }
        let (state, cause) = (stream.state, stream.core.cause);
        self.streams.move_to(slot, WaitsFor::Nothing);
        if state == State::Closed {
            self.close(slot, cause);
        }
    }
}

// Queued output of streams.

impl Session {
    /// Whether queued content of streams can be sent now.
    #[inline]
    pub(crate) fn has_flush(&self) -> bool {
        if self.shutdown.finished {
            return false;
        }
        if self.flow.returns && self.flow.receive.is_due() {
            return true;
        }
        let attached = self.lent.attached
            && self.flow.send.is_open()
            && self.streams.peek(self.lent.slot).send.is_open()
            && self.attached().is_some_and(Tunnel::has_output);
        attached || self.next_flush().is_some()
    }

    /// The next stream that may send queued output. `None` if that stream first gets a permit.
    #[inline]
    fn next_flush(&self) -> Option<Slot> {
        if let Some(&slot) = self.streams.ends.front() {
            return Some(slot);
        }
        let first = self.streams.contents.first().filter(|_| self.flow.send.is_open())?;
        (self.streams.peek(first).waits_for == WaitsFor::Flush).then_some(first)
    }

    /// Whether the limit of streams is reached, and sending queued output may end some: whether the next request is
    /// refused must not depend on how the input is cut.
    #[inline]
    pub(super) fn frees_places(&self, limits: &Limits) -> bool {
        !self.client && self.streams.len() >= limits.h2_streams_max as usize && self.has_flush()
    }

    /// Sends queued output of streams, alternating, as far as the windows and the queue of the connection allow.
    pub(crate) fn flush(&mut self, link: &mut Link, resources: &mut Resources) {
        if core::mem::take(&mut self.flow.returns) && !self.shutdown.finished {
            self.flow.give(link);
        }
        while self.flush_next(link, resources) {}
    }

    /// Sends the output that the peer's windows allow, before later input ends a stream or the connection: which
    /// responses are complete must not depend on how the input is cut.
    #[cold]
    pub(in crate::h2) fn flush_before_an_end(&mut self, link: &mut Link, resources: &mut Resources) {
        self.detach(link, resources);
        self.flush(link, resources);
    }

    /// Sends one frame of the next stream with queued output. Returns whether it did.
    #[inline]
    pub(super) fn flush_next(&mut self, link: &mut Link, resources: &mut Resources) -> bool {
        if self.shutdown.finished || !link.has_room() {
            return false;
        }
        let Some(slot) = self.next_flush() else { return false };
        // It leaves the queue before its frame is sent, and is queued behind its equals if it has more, so that
        // they alternate.
        self.streams.move_to(slot, WaitsFor::Nothing);
        self.flush_one(link, resources, slot);
        if self.streams.peek(slot).tunnel().is_some() {
            self.attach(slot, link);
            self.detach(link, resources);
        }
        true
    }

    /// Sends one frame of a stream.
    fn flush_one(&mut self, link: &mut Link, resources: &mut Resources, slot: Slot) {
        self.note_progress(slot, link.now);
        let room = self.credit(slot);
        let stream = self.streams.at(slot);
        let (mut content, end) = stream.take_output();
        let n = room.min(content.len());
        let last = end && n == content.len();
        let trailers = last && stream.pending().is_some_and(|pending| pending.trailers.is_some());
        let ends = last && !trailers;
        if n > 0 || ends {
            self.write_data_header(link, slot, n, ends);
            content.copy_to(n, &mut link.out);
        }
        let stream = self.streams.at(slot);
        let Some(tunnel) = stream.tunnel_mut() else {
            content.consume(n);
            return self.flushed(link, slot, content, end);
        };
        tunnel.channel.link.out = content;
        tunnel.transmitted(resources, link.now, n);
        if ends {
            stream.take(streams::FIN);
            self.end_tunnel(link, slot);
        }
    }

    /// Handles an exchange after a part of its queued content was sent.
    fn flushed(&mut self, link: &mut Link, slot: Slot, content: Output, end: bool) {
        let stream = self.streams.at(slot);
        if !content.is_empty() {
            if let Some(pending) = stream.pending_mut() {
                pending.content = content;
            }
            return self.wait_for_window(slot, link.now);
        }
        let trailers = stream.take_pending().and_then(|pending| pending.trailers);
        stream.stalled = None;
        if let Some(trailers) = trailers {
            self.write_trailers(link, slot, &trailers);
        }
        if end {
            self.end_message(link, slot);
        } else {
            self.line_up(slot, link.now);
            self.release_held(slot, link.now);
        }
    }

    /// Writes trailers that were checked before.
    pub(super) fn write_trailers(&mut self, link: &mut Link, slot: Slot, trailers: &FieldBuffer) {
        let id = self.streams.peek(slot).id;
        // Misuse is impossible: every field has been checked.
        let _ = self.fields.headers(&mut link.out, id, |writer, buffer| {
            for (name, value) in trailers.fields() {
                writer.field(buffer, name, value);
            }
            Ok(((), true))
        });
    }
}

impl StreamState {
    /// Whether the queued output needs no window, as it is only the end of the stream, or trailers.
    fn has_only_an_end(&self) -> bool {
        match (self.tunnel(), self.pending()) {
            (Some(tunnel), _) => self.has(streams::FIN) && !tunnel.has_output(),
            (None, Some(pending)) => pending.content.is_empty(),
            (None, None) => false,
        }
    }

    /// Takes the queued output of the stream, and whether the stream ends with it.
    fn take_output(&mut self) -> (Output, bool) {
        let fin = self.has(streams::FIN);
        if let Some(tunnel) = self.tunnel_mut() {
            return (core::mem::take(&mut tunnel.channel.link.out), fin);
        }
        match self.pending_mut() {
            Some(pending) => (core::mem::take(&mut pending.content), pending.end),
            None => (Output::default(), false),
        }
    }
}
