//! The link that every protocol writes through: to the transport of a connection, or to the stream of HTTP/2 that
//! carries a tunnel.
//!
//! Knows no protocol.

use crate::connection::delivery::Delivery;
use crate::connection::transmit::Output;
use crate::time::{earliest, unless_never};
use crate::{Cause, Config, Deadline, Time};
use alloc::sync::Arc;

/// One transport: its output queue, its state, and the state of its end.
pub(crate) struct Link {
    pub(crate) config: Arc<Config>,
    /// The last time that the driver has passed.
    pub(crate) now: Time,
    /// The last time at which bytes of the peer were received.
    pub(crate) last_received: Time,
    /// The last time at which the queue was empty.
    pub(crate) last_sent: Time,
    /// The time at which it was opened.
    opened: Time,
    pub(crate) out: Output,
    /// The delivery of sent bytes.
    pub(crate) delivery: Delivery,
    end: LinkEnd,
    /// When a link that drains waits no longer for the peer. Set when its last byte was sent, and [`Time::NEVER`] before.
    give_up: Time,
    flags: LinkFlags,
    /// Bytes from which on the queue is full: `send_queue_bytes_max`, and for a tunnel no more than the window of its stream.
    room: u32,
    /// For a tunnel, the bytes that its stream takes at once: bounded by the windows, and one frame.
    credit: u32,
    client: bool,
    /// Whether the transport has negotiated HTTP/1.1 by ALPN, so that the peer cannot switch to HTTP/2.
    pub(crate) http1_agreed: bool,
    kind: LinkKind,
    /// Whether the driver sends regions by itself.
    pub(crate) sends_regions: bool,
    /// The spread of this connection's probes; zero is none.
    pub(crate) spread: u8,
}

/// The kind of transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkKind {
    Connection,
    /// A stream of HTTP/2. Its end is that of the stream.
    Tunnel,
}

/// The state of a link's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkEnd {
    /// It is in use.
    Open,
    /// Input is ignored. Queued bytes are sent, then FIN if `fin`. Input is dropped until the peer ends too, or until
    /// `Link::give_up`.
    Draining { fin: bool },
    /// The transport may be closed.
    Done,
}

/// How a transport ends after the queued bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastWord {
    /// FIN follows.
    Fin,
    /// The peer closes first. RFC 6455 §7.1.1.
    PeerFirst,
    /// The output is incomplete, so a reset follows: the peer must not take FIN for its end.
    Reset,
}

/// Conditions that keep input off the fast path. On almost every link none is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LinkFlags(u8);

impl LinkFlags {
    /// The peer's direction has ended, which is delivered after the input.
    const EOF: u8 = 1;
    /// The input may have been truncated.
    const TRUNCATED: u8 = 2;
    /// The end is no longer [`LinkEnd::Open`].
    const ENDING: u8 = 4;
    /// The output is incomplete, and the end of the transport has to show it.
    const RESET: u8 = 8;
    /// Many streams share it. They keep their own notices, so they are always asked.
    const MULTIPLEXED: u8 = 16;

    #[inline]
    fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    #[inline]
    fn set(&mut self, flag: u8) {
        self.0 |= flag;
    }

    /// Clears a flag. Returns whether it was set.
    fn take(&mut self, flag: u8) -> bool {
        let was = self.has(flag);
        self.0 &= !flag;
        was
    }
}

/// A number of bytes as a link keeps it: no queue is longer than 4 GiB.
fn bounded(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl Link {
    /// The transport of a connection that was opened at `now`.
    pub(crate) fn new(now: Time, config: Arc<Config>, client: bool) -> Self {
        let room = bounded(config.limits.send_queue_bytes_max);
        Self {
            config,
            now,
            last_received: now,
            last_sent: now,
            opened: now,
            out: Output::default(),
            delivery: Delivery::new(),
            end: LinkEnd::Open,
            give_up: Time::NEVER,
            flags: LinkFlags::default(),
            room,
            credit: u32::MAX,
            client,
            http1_agreed: false,
            kind: LinkKind::Connection,
            sends_regions: false,
            spread: 0,
        }
    }

    /// A stream of HTTP/2 that carries something else from `now` on.
    pub(crate) fn tunnel(now: Time, config: Arc<Config>, client: bool) -> Self {
        Self { kind: LinkKind::Tunnel, ..Self::new(now, config, client) }
    }

    pub(crate) fn opened(&self) -> Time {
        self.opened
    }

    pub(crate) fn is_client(&self) -> bool {
        self.client
    }

    // The queue.

    /// Whether the queue has room.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() < self.room as usize
    }

    /// The number of bytes that can be queued until the queue is full, or the windows or one frame of the carrying
    /// stream. At least 1.
    pub(crate) fn budget(&self) -> usize {
        (self.room.min(self.credit) as usize).saturating_sub(self.out.len()).max(1)
    }

    /// The room of the queue itself, whatever the transport takes at once.
    pub(crate) fn queue_room(&self) -> usize {
        (self.room as usize).saturating_sub(self.out.len())
    }

    /// Caps the queue of a tunnel at the carrying stream's send window, but never below one byte: so an application
    /// that answers each message has a permit for the first one.
    pub(crate) fn set_window(&mut self, window: usize) {
        debug_assert!(self.kind == LinkKind::Tunnel);
        self.room = bounded(window.clamp(1, self.config.limits.send_queue_bytes_max));
    }

    /// Caps the budget of a tunnel's permits at the bytes that its stream takes at once.
    pub(crate) fn set_credit(&mut self, credit: usize) {
        debug_assert!(self.kind == LinkKind::Tunnel);
        self.credit = bounded(credit);
    }

    /// The transport has taken `n` bytes. Returns whether it has everything.
    #[inline(always)]
    pub(crate) fn transmitted(&mut self, now: Time, n: usize) -> bool {
        self.now = now;
        let empty = self.out.consume(n);
        if empty {
            self.delivery.took_all(n);
            self.last_sent = now;
            self.arm_linger();
        } else {
            self.progressed(now, n);
        }
        empty
    }

    #[cold]
    fn progressed(&mut self, now: Time, n: usize) {
        self.out.compact();
        self.delivery.took_some(n, &self.config.limits, now);
    }

    // The input.

    /// Notes that bytes of the peer were received.
    #[inline]
    pub(crate) fn received(&mut self, now: Time) {
        self.now = now;
        self.last_received = now;
    }

    /// The peer will send no more.
    pub(crate) fn received_eof(&mut self) {
        self.flags.set(LinkFlags::EOF);
    }

    /// The peer's direction has ended without the end that its transport has for it.
    pub(crate) fn received_truncation(&mut self) {
        self.flags.set(LinkFlags::TRUNCATED);
    }

    /// Whether the end of the peer's direction is still to be delivered.
    #[inline]
    pub(crate) fn has_eof(&self) -> bool {
        self.flags.has(LinkFlags::EOF)
    }

    /// Takes the end of the peer's direction, which is delivered once, after the input before it.
    pub(crate) fn take_eof(&mut self) -> bool {
        self.flags.take(LinkFlags::EOF)
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.flags.has(LinkFlags::TRUNCATED)
    }

    /// The cause for a stream that needed more input.
    pub(crate) fn loss(&self) -> Cause {
        if self.is_truncated() { Cause::Truncated } else { Cause::Disconnected }
    }

    /// Whether it is open, is used by one stream, and no condition is set.
    #[inline]
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.flags == LinkFlags::default()
    }

    // Many streams.

    /// Marks it as shared by many streams.
    pub(crate) fn multiplex(&mut self) {
        self.flags.set(LinkFlags::MULTIPLEXED);
    }

    #[inline]
    pub(crate) fn is_multiplexed(&self) -> bool {
        self.flags.has(LinkFlags::MULTIPLEXED)
    }

    // The end.

    /// Whether input is still processed.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        !self.flags.has(LinkFlags::ENDING)
    }

    #[inline]
    pub(crate) fn end(&self) -> LinkEnd {
        self.end
    }

    /// Ends the transport after the queued bytes. The first call counts.
    pub(crate) fn finish(&mut self, last_word: LastWord) {
        if !self.is_open() {
            return;
        }
        // What is queued still goes out, so the queue stays and only the end is noted.
        self.flags.set(LinkFlags::ENDING);
        if last_word == LastWord::Reset {
            self.flags.set(LinkFlags::RESET);
        }
        // The stream that carries a tunnel ends with it. The rule about which side closes first is for connections
        // only.
        let first = last_word == LastWord::PeerFirst && self.kind == LinkKind::Tunnel;
        self.end = LinkEnd::Draining { fin: first || last_word == LastWord::Fin };
        self.arm_linger();
        debug_assert!(self.is_consistent());
    }

    /// Ends it at once, and drops the queue. `reset` is whether the end has to show that something is missing.
    pub(crate) fn abort(&mut self, reset: bool) {
        self.flags.set(LinkFlags::ENDING);
        if reset {
            self.flags.set(LinkFlags::RESET);
        }
        // Queued bytes are dropped: a peer could take them for a complete message.
        self.out.clear();
        self.delivery.forget();
        self.set_done();
        debug_assert!(self.is_consistent());
    }

    /// Whether the transport has to end by a reset.
    pub(crate) fn is_reset(&self) -> bool {
        self.flags.has(LinkFlags::RESET)
    }

    /// Whether FIN is to follow what is queued, unless the protocol wants one on a link that is still open.
    pub(crate) fn has_fin(&self) -> bool {
        self.end == LinkEnd::Draining { fin: true }
    }

    fn set_done(&mut self) {
        self.end = LinkEnd::Done;
        self.give_up = Time::NEVER;
    }

    fn arm_linger(&mut self) {
        if matches!(self.end, LinkEnd::Draining { .. }) && self.give_up == Time::NEVER && self.out.is_empty()
        {
            if self.flags.has(LinkFlags::RESET) {
                // Without last bytes there is nothing that a reset could discard, so the link need not drain.
                self.set_done();
            } else {
                self.give_up = self.now + self.config.limits.linger_timeout;
            }
        }
    }

    /// The invariant: the flags mirror the state of the end, an open link is never marked for a reset, and only one that drains is
    /// given up.
    fn is_consistent(&self) -> bool {
        self.is_open() == (self.end == LinkEnd::Open)
            && (!self.is_reset() || !self.is_open())
            && (self.give_up == Time::NEVER || matches!(self.end, LinkEnd::Draining { .. }))
    }

    // Deadlines.

    /// The next timeout: a check of the queue, or the deadline of a draining peer.
    #[inline(always)]
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        earliest(self.delivery.next_timeout(&self.config.limits), unless_never(self.give_up))
    }

    /// Handles timeouts at `now`. Returns the deadline that the peer has missed, if any: then the connection is
    /// over.
    pub(crate) fn handle_timeout(&mut self, now: Time) -> Option<Deadline> {
        self.now = now;
        if self.delivery.has_stalled(&self.config.limits, now, self.out.len()) {
            return Some(Deadline::Stalled);
        }
        if self.give_up <= now {
            // The last bytes may still be arriving, which is what draining waits for.
            if self.delivery.is_arriving(&self.config.limits, now) {
                self.give_up = now + self.config.limits.linger_timeout;
            } else {
                self.set_done();
            }
        }
        debug_assert!(self.is_consistent());
        None
    }
}
