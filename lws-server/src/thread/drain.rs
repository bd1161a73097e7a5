//! Streams that end by nothing but the end of the server, and are woken when it drains: streams of events, mostly.
//!
//! WebSockets get their Close from the engine, and an exchange that runs comes to its end. What has no end is cut off otherwise.

use crate::Context;
use lws_loop_external::ConnectionId;
use lws_proto::StreamKey;
use std::collections::BTreeSet;

/// Those of one thread.
#[derive(Debug, Default)]
pub(crate) struct DrainWatchers {
    streams: BTreeSet<(ConnectionId, StreamKey)>,
    /// They have been woken.
    woken: bool,
}

impl Context<'_> {
    /// Whether the server drains: what has no end of its own should end.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.state.group.shards.draining().is_some()
    }

    /// Has the stream that the call is about woken when the server drains, until [`unwatch_drain`](Self::unwatch_drain).
    pub(crate) fn watch_drain(&mut self) {
        if let (Some(connection), Some(key)) = (self.driver.connection(), self.subject.key) {
            self.state.drain_watchers.streams.insert((connection, key));
            if self.is_draining() {
                self.driver.wake_stream(connection, key);
            }
        }
    }

    /// The stream that the call is about is over.
    pub(crate) fn unwatch_drain(&mut self) {
        if let (Some(connection), Some(key)) = (self.driver.connection(), self.subject.key) {
            self.state.drain_watchers.streams.remove(&(connection, key));
        }
    }

    /// Wakes those that watch, once, if the server drains.
    pub(crate) fn wake_at_drain(&mut self) {
        if !self.is_draining() || std::mem::replace(&mut self.state.drain_watchers.woken, true) {
            return;
        }
        for (connection, key) in &self.state.drain_watchers.streams {
            self.driver.wake_stream(*connection, *key);
        }
    }
}
