//! The windows of a connection, and whose turn it is with them. RFC 9113 §5.2.

use super::frame;
use super::settings::INITIAL_WINDOW;
use super::slot::Slot;
use super::streams::{Stalled, StreamState};
use super::window::{ReceiveWindow, SendWindow};
use crate::connection::link::Link;
use crate::{Limits, Time};

/// Bytes of content in one frame at most, whatever the peer would take: others want their turn.
const CONTENT_FRAME_MAX: usize = 16 << 10;

/// The windows of the connection, and whose turn it is with them.
pub(in crate::h2) struct Flow {
    pub(in crate::h2) send: SendWindow,
    /// What the window for sending is opened by when the peer's SETTINGS come.
    pub(in crate::h2) deferred: u32,
    pub(in crate::h2) receive: ReceiveWindow,
    /// Since when streams wait whose own windows are open and for which that of the connection is used up.
    pub(in crate::h2) stalled: Option<Stalled>,
    /// Bytes of content that have left.
    pub(in crate::h2) content_sent: u64,
    /// As of when and how many several streams wait for their windows.
    pub(in crate::h2) pace: Option<Pace>,
    /// The stream whose turn it is with the window of the connection, from its permit to its first frame.
    pub(in crate::h2) turn: Option<Slot>,
    /// Whether the queue of the connection took more when that was last noted.
    pub(in crate::h2) has_room: bool,
    /// Content that was held has been dropped since the last flush, so that the peer gets room back.
    pub(in crate::h2) returns: bool,
}

/// The beginning of a period in which several streams wait for their windows.
#[derive(Clone, Copy, Debug)]
pub(in crate::h2) struct Pace {
    pub(in crate::h2) since: Time,
    /// What `content_sent` was then.
    pub(in crate::h2) sent: u64,
}

impl Flow {
    pub(in crate::h2) fn new(limits: &Limits, now: Time) -> Self {
        let (receive, _) = ReceiveWindow::of_connection(limits.h2_connection_window, now);
        Self {
            send: SendWindow::new(INITIAL_WINDOW),
            deferred: 0,
            receive,
            stalled: None,
            content_sent: 0,
            pace: None,
            turn: None,
            has_room: true,
            returns: false,
        }
    }

    /// What the windows and one frame of `stream` take now.
    #[inline]
    pub(in crate::h2) fn credit(&self, stream: &StreamState, frame_size_max: u32) -> usize {
        let frame = (frame_size_max as usize).min(CONTENT_FRAME_MAX);
        stream.send.room().min(self.send.room()).min(frame)
    }

    /// Content that was held for a stream counts no more. The peer gets its room back with the next flush: no more content may come on
    /// the connection before.
    pub(in crate::h2) fn drop_held(&mut self, held: u32) {
        self.receive.take(held);
        self.returns |= held > 0;
    }

    /// Content that has been taken, or is not wanted, counts for the window of the connection.
    pub(in crate::h2) fn drop_content(&mut self, link: &mut Link, n: u32) {
        self.receive.take(n);
        self.give(link);
    }

    /// Gives the peer room on the connection for what has been taken, if it is worth a frame.
    pub(in crate::h2) fn give(&mut self, link: &mut Link) {
        let max = link.config.limits.h2_connection_window.min(frame::MAX_31_BITS);
        if let Some(increment) = self.receive.give(max, link.now) {
            frame::window_update(link.out.buffer(), 0, increment);
        }
    }
}
