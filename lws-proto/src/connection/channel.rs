//! A link with one stream on it: a connection that does not multiplex, or a tunnel in a stream of HTTP/2.
//!
//! Knows no protocol. The protocol's conditions for permits and ends are arguments.

use crate::connection::item::Item;
use crate::connection::link::{LastWord, Link};
use crate::connection::stream::{Notices, StreamCore};
use crate::key::StreamKey;
use crate::time::{earliest, unless_never};
use crate::{Cause, Time};

/// The two directions of one stream, and what carries them.
pub(crate) struct Channel {
    pub(crate) link: Link,
    pub(crate) stream: StreamCore,
    /// When the application last resumed input.
    pub(crate) last_resumed: Time,
}

impl Channel {
    /// A connection on which no stream has begun.
    pub(crate) fn new(link: Link) -> Self {
        let mut stream = StreamCore::new(StreamKey::new(0, 0));
        stream.notices.set(Notices::ABSENT);
        Self { last_resumed: link.now, link, stream }
    }

    /// A channel for a stream that keeps its key, and is carried by `link`.
    pub(crate) fn tunnel(link: Link, key: StreamKey) -> Self {
        Self { last_resumed: link.now, link, stream: StreamCore::new(key) }
    }

    // The stream.

    #[inline]
    pub(crate) fn has_stream(&self) -> bool {
        !self.stream.notices.has(Notices::ABSENT)
    }

    /// Opens the next stream.
    pub(crate) fn open_stream(&mut self) -> StreamKey {
        self.stream.renew();
        debug_assert!(self.is_consistent());
        self.stream.key
    }

    /// Hands the stream on to a session: nothing more is delivered for it here.
    pub(crate) fn hand_stream_on(&mut self) {
        self.stream.notices.set(Notices::ABSENT);
    }

    /// Ends the stream, if one is open: `Closed` is delivered next.
    pub(crate) fn close_stream(&mut self, cause: Cause) {
        if self.has_stream() {
            self.stream.close(cause);
            self.stream.notices.set(Notices::ABSENT);
        }
        debug_assert!(self.is_consistent());
    }

    /// The invariant: an absent stream waits for nothing, has no timeout, and only its end to deliver; and a present
    /// stream has an open link, unless that is just being ended.
    fn is_consistent(&self) -> bool {
        let notices = self.stream.notices;
        self.has_stream() && !notices.has(Notices::CLOSED)
            || !self.has_stream() && !notices.has(Notices::OF_STREAM) && self.stream.timeout == Time::NEVER
    }

    /// Ends the stream and its link. Queued bytes are still sent.
    pub(crate) fn finish(&mut self, cause: Cause, last_word: LastWord) {
        // The stream first: once the link has ended, nothing may find a stream that is still open.
        self.close_stream(cause);
        self.link.finish(last_word);
        debug_assert!(!self.has_stream() && !self.link.is_open());
    }

    /// Ends everything at once, and drops the queue. `incomplete` is true if the peer could take what it has received
    /// for complete, because only the end of the transport would show the difference.
    pub(crate) fn abort(&mut self, cause: Cause, incomplete: bool) {
        let lost = !self.link.out.is_empty();
        // The cause of an end that has not been delivered yet changes: the exchange was not complete.
        if lost && self.stream.notices.has(Notices::CLOSED) && self.stream.cause == Cause::Complete {
            self.stream.cause = cause;
        }
        self.close_stream(cause);
        self.link.abort(lost || incomplete);
        debug_assert!(!self.has_stream() && self.link.out.is_empty());
    }

    // Requests of the application.

    pub(crate) fn pause(&mut self) {
        if self.has_stream() {
            self.stream.notices.set(Notices::PAUSED);
        }
    }

    /// Resumes input. The peer's silence counts from here, as its input was not read before.
    pub(crate) fn resume(&mut self) {
        if self.stream.notices.take(Notices::PAUSED) {
            self.link.last_received = self.link.now;
            self.last_resumed = self.link.now;
        }
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.stream.notices.has(Notices::PAUSED)
    }

    /// Takes no input until the stream may write.
    pub(crate) fn throttle(&mut self) {
        if self.has_stream() {
            self.stream.notices.set(Notices::THROTTLED);
        }
    }

    pub(crate) fn want_write(&mut self) {
        if self.has_stream() {
            self.stream.notices.set(Notices::WANTED);
        }
    }

    pub(crate) fn set_timeout(&mut self, at: Option<Time>) {
        if self.has_stream() {
            self.stream.set_timeout(at);
        }
    }

    /// Notes that the permit is out as a ticket, or has come back.
    pub(crate) fn set_ticket(&mut self, out: bool) {
        if out {
            self.stream.notices.set(Notices::TICKET);
        } else {
            self.stream.notices.take(Notices::TICKET);
        }
    }

    // Conditions.

    /// Whether the channel allows a permit; the protocol may not.
    #[inline]
    pub(crate) fn may_write(&self) -> bool {
        !self.stream.notices.has(Notices::ABSENT.or(Notices::TICKET)) && self.link.has_room()
    }

    /// Whether there is a stream that waits for input only, and has no notice. Such a stream has an open link.
    #[inline]
    pub(crate) fn only_reads(&self) -> bool {
        self.stream.notices.is_empty()
    }

    /// Whether there are no notices, and input is wanted.
    #[inline]
    pub(crate) fn is_undisturbed(&self) -> bool {
        !self.stream.notices.has(Notices::DISTURBING) && self.link.is_undisturbed()
    }

    /// Whether the application may hold the input.
    #[inline]
    pub(crate) fn may_hold_input(&self) -> bool {
        self.stream.notices.has(Notices::PAUSED.or(Notices::THROTTLED))
    }

    /// Whether the application holds input back. `waits` is whether it waits for a permit that will come.
    pub(crate) fn holds_input(&mut self, waits: bool) -> bool {
        if !waits && self.stream.notices.take(Notices::THROTTLED) {
            self.last_resumed = self.link.now;
        }
        self.may_hold_input()
    }

    /// Whether the application would hold input back; unlike [`holds_input`](Self::holds_input) it changes nothing.
    pub(crate) fn would_hold_input(&self, waits: bool) -> bool {
        self.stream.notices.has(Notices::PAUSED) || waits && self.stream.notices.has(Notices::THROTTLED)
    }

    /// Whether the receiver has more to deliver, without more input.
    #[inline]
    pub(crate) fn has_more(&self) -> bool {
        self.stream.notices.has(Notices::MORE)
    }

    /// Notes whether the receiver has more to deliver, without more input.
    pub(crate) fn set_more(&mut self, more: bool) {
        if more {
            self.stream.notices.set(Notices::MORE);
        } else {
            self.stream.notices.take(Notices::MORE);
        }
    }

    // Notices.

    /// The next notice of the stream. `may_write` is whether a permit could be given.
    pub(crate) fn notice(&mut self, may_write: impl FnOnce(&Self) -> bool) -> Option<Item> {
        let notices = &mut self.stream.notices;
        if notices.take(Notices::CLOSED) {
            return Some(Item::Closed { key: self.stream.key, cause: self.stream.cause });
        }
        if notices.take(Notices::TIMEOUT) {
            return Some(Item::Timeout);
        }
        if notices.take(Notices::PEER_ENDED) {
            return Some(Item::PeerEnded);
        }
        if notices.has(Notices::WANTED) && may_write(self) {
            self.stream.notices.take(Notices::WANTED);
            return Some(Item::Writable);
        }
        None
    }

    /// Whether there is a notice other than the end of the peer. `may_write` is whether a permit could be given.
    pub(crate) fn notice_is_due(&self, may_write: impl FnOnce(&Self) -> bool) -> bool {
        let at_once = Notices::CLOSED.or(Notices::SWITCH).or(Notices::TIMEOUT);
        self.stream.notices.has(at_once) || self.stream.notices.has(Notices::WANTED) && may_write(self)
    }

    // Deadlines.

    #[inline(always)]
    pub(crate) fn next_timeout(&self) -> Option<Time> {
        earliest(self.link.next_timeout(), unless_never(self.stream.timeout))
    }

    /// Handles the application's timeout.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        if self.stream.timeout <= now {
            self.stream.timeout = Time::NEVER;
            self.stream.notices.set(Notices::TIMEOUT);
        }
    }
}
