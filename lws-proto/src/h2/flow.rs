//! The flow control of a connection: its windows, and the stream that may use them next. RFC 9113 §5.2.

use super::frame;
use super::settings::INITIAL_WINDOW;
use super::slot::Slot;
use super::streams::{Stalled, StreamState};
use super::window::{ReceiveWindow, SendWindow};
use crate::connection::link::Link;
use crate::{Limits, Time};

/// The most content of one frame, whatever the peer allows, so that streams can alternate.
const CONTENT_FRAME_MAX: usize = 16 << 10;

/// The windows of the connection, and the stream that may use them next.
pub(in crate::h2) struct Flow {
    pub(in crate::h2) send: SendWindow,
    /// The increment of the send window that is applied when the peer's SETTINGS arrive.
    pub(in crate::h2) deferred: u32,
    pub(in crate::h2) receive: ReceiveWindow,
    /// Set while streams with open windows of their own wait because that of the connection is used up.
    pub(in crate::h2) stalled: Option<Stalled>,
    /// Bytes of content that were sent.
    pub(in crate::h2) content_sent: u64,
    /// The period in which several streams wait for their own windows.
    pub(in crate::h2) pace: Option<Pace>,
    /// The stream that may use the window of the connection next, from its permit to its first frame.
    pub(in crate::h2) turn: Option<Slot>,
    /// Whether the queue of the connection took more when that was last noted.
    pub(in crate::h2) has_room: bool,
    /// Whether held content was dropped since the last flush, so that the peer has to be given room.
    pub(in crate::h2) returns: bool,
}

/// The beginning of a period in which several streams wait for their windows.
#[derive(Clone, Copy, Debug)]
pub(in crate::h2) struct Pace {
    pub(in crate::h2) since: Time,
    /// The value of `content_sent` at the beginning.
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

    /// The bytes of `stream` that the windows and one frame take now.
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
