//! One HTTP/2 connection apart from its frame reader: the streams, and sending on them. RFC 9113 §5 and §8.
//!
//! This file has the parts that it owns, and the lent stream. Each part has a file of its own.

mod content;
mod counting;
mod deadlines;
mod ends;
mod exchange;
mod going_away;
mod half_closed;
mod notices;
mod requests;
mod tunnels;

use super::abuse::Abuse;
use super::fields::FieldWriter;
use super::flow::Flow;
use super::frame;
use super::idle::Idle;
use super::requests::Requests;
use super::settings::{INITIAL_WINDOW, Settings};
use super::shutdown::Shutdown;
use super::slot::Slot;
use super::streams::{self, Message, StreamState, Streams, WaitsFor};
use super::tunnel::Tunnel;
use super::window::ReceiveWindow;
use crate::connection::channel::Channel;
use crate::connection::link::Link;
use crate::connection::stream::{Notices, StreamCore};
use crate::http::{Method, Scheme, Status};
use crate::key::StreamKey;
use crate::{Config, Time};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

/// The streams of a connection, and their shared state.
pub(crate) struct Session {
    pub(super) client: bool,
    pub(crate) streams: Streams,
    pub(super) lent: LentStream,
    pub(super) fields: FieldWriter,
    pub(super) settings: SettingsState,
    pub(super) flow: Flow,
    pub(super) incoming: Incoming,
    pub(super) requests: Requests,
    pub(super) abuse: Abuse,
    pub(super) shutdown: Shutdown,
    pub(super) idle: Idle,
    /// The earliest possible timeout of a stream.
    pub(super) next_due: Time,
    /// The buffer that tunnels write into while one is attached.
    spare: Vec<u8>,
}

/// The stream that handles act on.
pub(super) struct LentStream {
    pub(super) slot: Slot,
    /// Whether it is a tunnel and attached, so that handles may have acted on it.
    attached: bool,
}

/// The SETTINGS of both sides. RFC 9113 §6.5.
pub(super) struct SettingsState {
    pub(super) local: Settings,
    pub(super) peer: Settings,
    /// Whether the peer's SETTINGS have come.
    pub(super) received: bool,
    /// When our SETTINGS must be acknowledged.
    pub(super) ack_due: Option<Time>,
}

/// The streams that the peer of a server opens.
pub(super) struct Incoming {
    /// The highest of them.
    pub(super) last_id: u32,
    /// Identifiers that the peer left out when it last did: they will never be streams. RFC 9113 §5.1.1.
    pub(super) skipped: Range<u32>,
    /// Requests whose content may be held back until 100 is sent. RFC 9110 §10.1.1.
    pub(super) continues: Vec<Slot>,
}

impl Session {
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
        let peer = Settings::default();
        Self {
            client,
            streams: Streams::default(),
            lent: LentStream { slot: Slot::FIRST, attached: false },
            fields: FieldWriter::new(peer.header_table_size, peer.max_frame_size),
            settings: SettingsState {
                local,
                peer,
                received: false,
                ack_due: Some(now + limits.h2_settings_timeout),
            },
            flow: Flow::new(limits, now),
            incoming: Incoming { last_id: 0, skipped: 0..0, continues: Vec::new() },
            requests: Requests::new(now),
            abuse: Abuse::new(limits, now),
            shutdown: Shutdown::new(),
            idle: Idle::new(now),
            next_due: Time::NEVER,
            spare: Vec::new(),
        }
    }

    /// Writes the beginning of our side: a client's preface, SETTINGS, and the window of the connection. RFC 9113 §3.4.
    pub(crate) fn begin(&mut self, link: &mut Link) {
        let buffer = link.out.buffer();
        if self.client {
            buffer.extend_from_slice(frame::PREFACE);
        }
        let mut said = self.settings.local;
        // A server does not push anyway, and what a client says of push binds servers only.
        said.enable_push |= !self.client;
        said.write(buffer);
        let window = link.config.limits.h2_connection_window;
        let (receive, increment) = ReceiveWindow::of_connection(window, link.now);
        self.flow.receive = receive;
        if increment > 0 {
            frame::window_update(buffer, 0, increment);
        }
    }

    pub(crate) fn set_scheme(&mut self, scheme: Scheme) {
        self.requests.scheme = scheme;
    }

    /// Whether a stream has held input to deliver, or has become something else.
    #[inline]
    pub(crate) fn has_resumed(&self) -> bool {
        !self.streams.resumed.is_empty()
    }

    // The stream that is lent.

    /// The slot of the stream that is lent.
    #[inline]
    pub(crate) fn lent_slot(&self) -> Slot {
        self.lent.slot
    }

    /// Lends the exchange at `slot`.
    #[inline]
    pub(super) fn lend(&mut self, slot: Slot) {
        self.lent.slot = slot;
    }

    #[inline]
    pub(super) fn lent_stream(&mut self) -> &mut StreamState {
        self.streams.at(self.lent.slot)
    }

    /// The common state of the lent stream.
    pub(crate) fn lent_core(&mut self) -> &mut StreamCore {
        &mut self.lent_stream().core
    }

    #[inline]
    pub(crate) fn key(&self) -> StreamKey {
        self.streams.key(self.lent.slot)
    }

    /// Lends the stream that `key` names. Returns whether there is one.
    pub(crate) fn select(&mut self, key: StreamKey, link: &Link) -> bool {
        match self.streams.of_key(key) {
            Some(slot) => {
                self.attach(slot, link);
                true
            }
            None => false,
        }
    }

    /// Whether the stream that is lent is a tunnel.
    #[inline]
    pub(crate) fn lends_tunnel(&self) -> bool {
        self.lent.attached
    }

    /// The tunnel that is lent.
    #[inline]
    pub(crate) fn attached(&self) -> Option<&Tunnel> {
        if self.lent.attached { self.streams.peek(self.lent.slot).tunnel() } else { None }
    }

    /// The tunnel that is lent, to act on.
    #[inline]
    pub(crate) fn attached_tunnel(&mut self) -> Option<&mut Tunnel> {
        if self.lent.attached { self.streams.at(self.lent.slot).tunnel_mut() } else { None }
    }

    /// The channel of the tunnel that is lent.
    #[inline]
    pub(crate) fn attached_channel(&mut self) -> Option<&mut Channel> {
        self.attached_tunnel().map(|tunnel| &mut tunnel.channel)
    }

    // Permits.

    /// Whether the lent stream gets a permit at once. Its output may still have to wait in the stream, and no other
    /// permit is given until that was sent.
    #[inline]
    pub(crate) fn may_write(&self, link: &Link) -> bool {
        match self.attached() {
            Some(tunnel) => tunnel.may_write(),
            None => !self.shutdown.finished && self.may_write_at(self.lent.slot, link.has_room()),
        }
    }

    /// Whether the stream at `slot` may have a permit: a head needs `room` in the queue of the connection, content at least one byte of
    /// both windows, too.
    #[inline]
    fn may_write_at(&self, slot: Slot, room: bool) -> bool {
        let stream = self.streams.peek(slot);
        room && stream.may_write() && (stream.message() == Message::Head || self.flow.send.is_open())
    }

    #[inline]
    fn waits_to_write_at(&self, slot: Slot, room: bool) -> bool {
        self.streams.peek(slot).message() != Message::Ended && !self.may_write_at(slot, room)
    }

    /// Whether output of the lent stream waits, so that no more can be sent now.
    pub(crate) fn is_full(&self, link: &Link) -> bool {
        match self.attached() {
            Some(tunnel) => !tunnel.channel.link.has_room(),
            None => !link.has_room() || self.waits_to_write_at(self.lent.slot, true),
        }
    }

    /// The number of bytes that the lent stream can send before a window or the queue is full.
    pub(crate) fn permit_budget(&self, link: &Link) -> usize {
        match self.attached() {
            Some(tunnel) => tunnel.channel.link.budget(),
            None => link.queue_room().min(self.budget()).max(1),
        }
    }

    /// The content of the lent exchange that the windows and one frame take now.
    pub(super) fn budget(&self) -> usize {
        self.credit(self.lent.slot)
    }

    /// The bytes that the windows and one frame of the stream at `slot` take now.
    #[inline]
    pub(super) fn credit(&self, slot: Slot) -> usize {
        self.flow.credit(self.streams.peek(slot), self.settings.peer.max_frame_size)
    }

    /// Whether this side has ended its direction of the lent stream.
    pub(crate) fn has_ended(&self) -> bool {
        match self.attached() {
            Some(tunnel) => tunnel.has_ended(),
            None => self.streams.peek(self.lent.slot).message() == Message::Ended,
        }
    }

    pub(crate) fn want_write(&mut self, now: Time) {
        if let Some(channel) = self.attached_channel() {
            return channel.want_write();
        }
        let slot = self.lent.slot;
        self.lent_core().notices.set(Notices::WANTED);
        self.line_up(slot, now);
    }

    pub(crate) fn set_ticket(&mut self, out: bool, now: Time) {
        if let Some(channel) = self.attached_channel() {
            return channel.set_ticket(out);
        }
        let slot = self.lent.slot;
        if out {
            self.lent_core().notices.set(Notices::TICKET);
            self.streams.move_to(slot, WaitsFor::Nothing);
        } else {
            self.lent_core().notices.take(Notices::TICKET);
            self.line_up(slot, now);
            self.release_held(slot, now);
        }
    }

    // Input.

    pub(crate) fn is_paused(&self) -> bool {
        match self.attached() {
            Some(tunnel) => tunnel.channel.is_paused(),
            None => self.streams.peek(self.lent.slot).core.notices.has(Notices::PAUSED),
        }
    }

    pub(crate) fn pause(&mut self) {
        match self.attached_channel() {
            Some(channel) => channel.pause(),
            None => self.lent_core().notices.set(Notices::PAUSED),
        }
    }

    pub(crate) fn throttle(&mut self) {
        match self.attached_channel() {
            Some(channel) => channel.throttle(),
            None => self.lent_core().notices.set(Notices::THROTTLED),
        }
    }

    /// Resumes input. The peer's deadline counts from here, as it may have had no window before.
    pub(crate) fn resume(&mut self, link: &Link) {
        if let Some(channel) = self.attached_channel() {
            return channel.resume();
        }
        let (slot, limits) = (self.lent.slot, &link.config.limits);
        let period = if self.client { limits.between_bytes_timeout } else { limits.content_period };
        let stream = self.streams.at(slot);
        if !stream.core.notices.take(Notices::PAUSED) {
            return;
        }
        if stream.due != Time::NEVER && stream.state.receives() {
            stream.due = stream.due.max(link.now + period);
        }
        if stream.has(streams::OWES_CONTINUE) {
            self.incoming.continues.push(slot);
        }
        self.release_held(slot, link.now);
    }

    /// Whether the peer's content on the stream at `slot` is to be kept for later.
    #[inline]
    pub(super) fn holds_input(&self, slot: Slot) -> bool {
        let stream = self.streams.peek(slot);
        match stream.tunnel() {
            Some(tunnel) => tunnel.would_hold_input(),
            None => {
                let notices = stream.core.notices;
                notices.has(Notices::PAUSED)
                    || notices.has(Notices::THROTTLED) && self.waits_to_write_at(slot, self.flow.has_room)
            }
        }
    }

    /// Whether no input is taken for any stream, noting whether the queue takes more.
    #[inline]
    pub(crate) fn holds_all_input(&mut self, link: &Link) -> bool {
        self.flow.has_room = link.has_room();
        self.would_hold_all_input(link)
    }

    /// Whether no input is taken for any stream.
    #[inline]
    pub(crate) fn would_hold_all_input(&self, link: &Link) -> bool {
        // A full queue is flushed to the transport first. If the transport is full, too, input is still read: "Failure
        // to read promptly could lead to a deadlock when critical frames, such as WINDOW_UPDATE, are not read". RFC
        // 9113 §5.2.2. The same holds for output that would free slots for other streams.
        let sends = !link.has_room() || self.frees_places(&link.config.limits);
        sends && !link.delivery.waits() || self.abuse.is_choked(&link.config.limits)
    }

    /// Queues held input for delivery, if the application takes it now.
    pub(super) fn release_held(&mut self, slot: Slot, now: Time) {
        let stream = self.streams.peek(slot);
        let open = stream.tunnel().is_none_or(|tunnel| tunnel.channel.link.is_open());
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
        if let Some(channel) = self.attached_channel() {
            return channel.set_timeout(at);
        }
        let core = self.lent_core();
        core.set_timeout(at);
        let due = core.timeout;
        self.wake_at(due);
    }

    /// Makes the streams' timeouts be checked at `at` at the latest.
    #[inline]
    pub(super) fn wake_at(&mut self, at: Time) {
        self.next_due = self.next_due.min(at);
    }

    pub(crate) fn expect_content(&mut self, bytes: usize) {
        self.lent_stream().content_bytes_min = Some(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    pub(crate) fn limit_content(&mut self, bytes: u64) {
        self.lent_stream().content_bytes_max = Some(bytes);
    }

    // Streams that begin.

    /// Whether no stream `id` has begun. A queued request of a client has not begun.
    #[inline]
    pub(super) fn is_idle(&self, id: u32) -> bool {
        let first = match self.requests.queue.front() {
            _ if !self.client => self.incoming.last_id.saturating_add(1),
            Some(&slot) => self.streams.peek(slot).id,
            None => self.requests.next_id,
        };
        id.is_multiple_of(2) || id >= first && !self.is_past_the_end(id)
    }

    /// The bytes that a peer may send on a stream beyond its window while it has not acknowledged SETTINGS: "the
    /// receiver MUST be prepared to receive data that exceeds this window size, since the sender might send data that
    /// exceeds the lower limit prior to processing the SETTINGS frame". RFC 9113 §6.9.3.
    pub(super) fn unacknowledged_room(&self) -> i32 {
        INITIAL_WINDOW.saturating_sub(self.settings.local.initial_window_size) as i32
    }

    /// A new stream, with its initial windows.
    pub(super) fn new_stream(&self, id: u32, now: Time) -> StreamState {
        let SettingsState { local, peer, ack_due, .. } = &self.settings;
        let mut stream = StreamState::new(id, peer.initial_window_size, local.initial_window_size, now);
        if ack_due.is_some() {
            stream.receive.adjust(self.unacknowledged_room());
        }
        stream
    }

    /// Bytes that are held to be sent, or by the application for the streams.
    pub(crate) fn held(&self) -> usize {
        self.fields.held() + self.spare.capacity() + self.streams.held()
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("streams", &self.streams.len())
            .field("shutdown", &self.shutdown.phase)
            .finish_non_exhaustive()
    }
}

/// Whether a request of this method is answered with a tunnel by this status.
pub(super) fn is_tunnel(method: Method, status: Status) -> bool {
    method == Method::Connect && status.is_success()
}
