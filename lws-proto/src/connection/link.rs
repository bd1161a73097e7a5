//! What every protocol writes through: the transport of a connection, or the stream of HTTP/2 that is the transport of a tunnel.
//!
//! Knows no protocol.

use crate::connection::delivery::Delivery;
use crate::connection::transmit::Output;
use crate::time::earliest;
use crate::{Cause, Config, Deadline, Time};
use alloc::sync::Arc;

/// One transport: what is queued for it, what is known of it, and where its end stands.
pub(crate) struct Link {
    pub(crate) config: Arc<Config>,
    /// The last time that the driver has passed.
    pub(crate) now: Time,
    /// When bytes of the peer last came.
    pub(crate) last_received: Time,
    /// When the transport last had everything that was queued.
    pub(crate) last_sent: Time,
    /// When it was opened.
    opened: Time,
    pub(crate) out: Output,
    /// How much of what was sent has arrived.
    pub(crate) delivery: Delivery,
    end: LinkEnd,
    flags: LinkFlags,
    /// Bytes from which on the queue is full: `send_queue_bytes_max`, and for a tunnel no more than the window of its stream.
    room: usize,
    /// For a tunnel, what its stream takes at once: its windows, and one frame.
    credit: usize,
    client: bool,
    kind: LinkKind,
    /// Where between other connections this one probes a silent peer; zero is at the very moment.
    pub(crate) spread: u8,
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinkKind {
    Connection,
    /// A stream of HTTP/2. Its end is that of the stream.
    Tunnel,
}

/// Where the end of a link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkEnd {
    /// It is in use.
    Open,
    /// Nothing is understood any more. What is queued goes out, then FIN if `fin`; what the peer still sends is dropped
    /// until it ends too, or until `give_up`, which is set when the last byte has gone.
    Draining { fin: bool, give_up: Option<Time> },
    /// The transport may be closed.
    Done,
}

/// How a transport ends once what is queued has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastWord {
    /// FIN follows.
    Fin,
    /// The peer closes first. RFC 6455 §7.1.1.
    PeerFirst,
    /// What was sent is incomplete, and the peer must not take FIN for its end.
    Reset,
}

/// Facts about a link that keep its input from the shortest way. None is set on almost every link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct LinkFlags(u8);

impl LinkFlags {
    /// The peer's direction has ended, which is handed on behind the input.
    const EOF: u8 = 1;
    /// It may have been cut before its end.
    const TRUNCATED: u8 = 2;
    /// The end is no longer [`LinkEnd::Open`].
    const ENDING: u8 = 4;
    /// What was sent is incomplete, and the transport is to end in a way that shows it.
    const RESET: u8 = 8;
    /// Many streams share it, which keep their notices themselves, so that they are always asked.
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

impl Link {
    /// The transport of a connection that was opened at `now`.
    pub(crate) fn new(now: Time, config: Arc<Config>, client: bool) -> Self {
        let room = config.limits.send_queue_bytes_max;
        Self {
            config,
            now,
            last_received: now,
            last_sent: now,
            opened: now,
            out: Output::default(),
            delivery: Delivery::new(),
            end: LinkEnd::Open,
            flags: LinkFlags::default(),
            room,
            credit: usize::MAX,
            client,
            kind: LinkKind::Connection,
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

    /// Whether the queue takes more.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() < self.room
    }

    /// How much can be queued before the queue is full, or the windows and one frame of the stream that is the transport. At least 1.
    pub(crate) fn budget(&self) -> usize {
        let queue = self.room.saturating_sub(self.out.len());
        queue.min(self.credit.saturating_sub(self.out.len())).max(1)
    }

    /// What the queue itself takes, whatever the transport takes at once.
    pub(crate) fn queue_room(&self) -> usize {
        self.room.saturating_sub(self.out.len())
    }

    /// Bounds the queue of a tunnel by the window of its stream. One message may always be queued, so that an application that answers
    /// each message has a permit for the first.
    pub(crate) fn set_window(&mut self, window: usize) {
        debug_assert!(self.kind == LinkKind::Tunnel);
        self.room = window.clamp(1, self.config.limits.send_queue_bytes_max);
    }

    /// Bounds what a permit of a tunnel promises by what its stream takes at once.
    pub(crate) fn set_credit(&mut self, credit: usize) {
        debug_assert!(self.kind == LinkKind::Tunnel);
        self.credit = credit;
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

    /// Bytes of the peer have come.
    #[inline]
    pub(crate) fn received(&mut self, now: Time) {
        self.now = now;
        self.last_received = now;
    }

    /// The peer will send no more.
    pub(crate) fn received_eof(&mut self) {
        self.flags.set(LinkFlags::EOF);
    }

    /// The peer will send no more, and has not said so in the way that its transport has for it.
    pub(crate) fn received_truncation(&mut self) {
        self.flags.set(LinkFlags::TRUNCATED);
    }

    /// Whether the end of the peer's direction is still to be handed on.
    #[inline]
    pub(crate) fn has_eof(&self) -> bool {
        self.flags.has(LinkFlags::EOF)
    }

    /// Takes the end of the peer's direction, which is handed on once, behind the input before it.
    pub(crate) fn take_eof(&mut self) -> bool {
        self.flags.take(LinkFlags::EOF)
    }

    pub(crate) fn is_truncated(&self) -> bool {
        self.flags.has(LinkFlags::TRUNCATED)
    }

    /// Why a stream ends that needed more input.
    pub(crate) fn loss(&self) -> Cause {
        if self.is_truncated() { Cause::Truncated } else { Cause::Disconnected }
    }

    /// Whether nothing is known of it but that it is in use by one stream.
    #[inline]
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.flags == LinkFlags::default()
    }

    // Many streams.

    /// Many streams share it from here on.
    pub(crate) fn multiplex(&mut self) {
        self.flags.set(LinkFlags::MULTIPLEXED);
    }

    #[inline]
    pub(crate) fn is_multiplexed(&self) -> bool {
        self.flags.has(LinkFlags::MULTIPLEXED)
    }

    // The end.

    /// Whether what the peer sends is still understood.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        !self.flags.has(LinkFlags::ENDING)
    }

    #[inline]
    pub(crate) fn end(&self) -> LinkEnd {
        self.end
    }

    /// Lets what is queued go out, and ends the transport behind it. The first call counts.
    pub(crate) fn finish(&mut self, last_word: LastWord) {
        if !self.is_open() {
            return;
        }
        // What is queued still goes out, so the queue stays and only the end is noted.
        self.flags.set(LinkFlags::ENDING);
        if last_word == LastWord::Reset {
            self.flags.set(LinkFlags::RESET);
        }
        // The stream that is the transport of a tunnel ends with it, whichever side is asked to close a connection first.
        let first = last_word == LastWord::PeerFirst && self.kind == LinkKind::Tunnel;
        self.end = LinkEnd::Draining { fin: first || last_word == LastWord::Fin, give_up: None };
        self.arm_linger();
        debug_assert!(self.is_consistent());
    }

    /// Ends it at once. What is queued is lost; `reset` is whether the peer must be shown that something is missing.
    pub(crate) fn abort(&mut self, reset: bool) {
        self.flags.set(LinkFlags::ENDING);
        if reset {
            self.flags.set(LinkFlags::RESET);
        }
        // The driver may close at once: whatever is left could only be taken for a message that is complete.
        self.out.clear();
        self.delivery.forget();
        self.end = LinkEnd::Done;
        debug_assert!(self.is_consistent());
    }

    /// Whether the transport is to end in a way that no peer takes for an end in order.
    pub(crate) fn is_reset(&self) -> bool {
        self.flags.has(LinkFlags::RESET)
    }

    /// Whether FIN is to follow what is queued, unless the protocol wants one on a link that is still open.
    pub(crate) fn has_fin(&self) -> bool {
        matches!(self.end, LinkEnd::Draining { fin: true, .. })
    }

    fn arm_linger(&mut self) {
        if let LinkEnd::Draining { give_up: give_up @ None, .. } = &mut self.end
            && self.out.is_empty()
        {
            if self.flags.has(LinkFlags::RESET) {
                // There is no last byte that a reset could destroy on its way.
                self.end = LinkEnd::Done;
            } else {
                *give_up = Some(self.now + self.config.limits.linger_timeout);
            }
        }
    }

    /// A link that is not open says so in its flags, and one that is open is never to be reset.
    fn is_consistent(&self) -> bool {
        self.is_open() == (self.end == LinkEnd::Open) && (!self.is_reset() || !self.is_open())
    }

    // Deadlines.

    /// When the next look at a queue that does not empty is due, or a peer that does not end has had its time.
    #[inline(always)]
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        let lingering = match self.end {
            LinkEnd::Draining { give_up, .. } => give_up,
            LinkEnd::Open | LinkEnd::Done => None,
        };
        earliest(self.delivery.next_timeout(&self.config.limits), lingering)
    }

    /// Does what is due at `now`. Returns the deadline that the peer has missed, if it has: everything is over then.
    pub(crate) fn handle_timeout(&mut self, now: Time) -> Option<Deadline> {
        self.now = now;
        if self.delivery.has_stalled(&self.config.limits, now, self.out.len()) {
            return Some(Deadline::Stalled);
        }
        if let LinkEnd::Draining { give_up: Some(give_up), .. } = &mut self.end
            && *give_up <= now
        {
            // Our last bytes may still be on their way, which is what this waits for.
            if self.delivery.is_arriving(&self.config.limits, now) {
                *give_up = now + self.config.limits.linger_timeout;
            } else {
                self.end = LinkEnd::Done;
            }
        }
        None
    }
}
