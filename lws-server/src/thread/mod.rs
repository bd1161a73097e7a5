//! What all handlers of one thread have in common.
//!
//! Knows no event. A [`Context`](crate::Context) lends it, with the driver beside it.

pub(crate) mod access;
pub(crate) mod command;
pub(crate) mod deferred;
pub(crate) mod drain;
pub(crate) mod observers;
pub(crate) mod panics;
#[cfg_attr(not(feature = "tracing"), path = "spans_absent.rs")]
pub(crate) mod spans;
pub(crate) mod timers;
pub(crate) mod wakes;

use crate::files::Mounted;
use crate::files::shelf::Shelf;
use crate::files::transfer::Parked;
use crate::id::RouteId;
use crate::metrics::ThreadCounters;
use crate::publish::topics::Topics;
use crate::publish::watches::TopicWatches;
use crate::server::group::Group;
use crate::server::inherited::Inherited;
use crate::server::stats::Counters;
use crate::site::sites::Sites;
use crate::site::transition::Changing;
use crate::thread::access::EntryPool;
use crate::thread::command::Command;
use crate::thread::drain::DrainWatchers;
use crate::thread::observers::{Observers, PeerAddresses};
use crate::thread::spans::Spans;
use crate::thread::timers::Timers;
use crate::thread::wakes::PendingWakes;
use lws_proto::{Config, Time};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// The state of one thread of a server.
pub(crate) struct ThreadState {
    /// The threads of the server, and which of them this is.
    pub(crate) group: Arc<Group<Command>>,
    pub(crate) shard: u16,
    pub(crate) sites: Sites,
    /// How far this thread is with changes of its sites.
    pub(crate) changing: Changing,
    /// Sockets that the program was given.
    pub(crate) inherited: Inherited,
    pub(crate) topics: Topics,
    pub(crate) watches: TopicWatches,
    pub(crate) timers: Timers,
    pub(crate) wakes: PendingWakes,
    /// Files of transfers that wait for their peers.
    pub(crate) shelf: Shelf<Parked>,
    /// Mounts that keep files open for requests to come.
    pub(crate) keeping: Vec<Rc<Mounted>>,
    pub(crate) drain_watchers: DrainWatchers,
    pub(crate) observers: Observers,
    /// For requests that are logged.
    pub(crate) entries: EntryPool,
    pub(crate) spans: Spans,
    pub(crate) peers: PeerAddresses,
    pub(crate) counters: Counters,
    /// What counts the requests that are for no site.
    pub(crate) no_site: ThreadCounters,
    pub(crate) started: Instant,
    pub(crate) unix_seconds: u32,
    /// The route whose handler or endpoint was called last, for the record of a panic.
    pub(crate) calling: RouteId,
    /// What asks other servers.
    #[cfg(feature = "client")]
    pub(crate) client: crate::client::Host,
    /// The connection to the broker, on the first thread.
    #[cfg(feature = "broker")]
    pub(crate) broker: crate::publish::broker::ThreadBroker,
    /// What streams that came back have got last.
    #[cfg(feature = "broker")]
    pub(crate) replayed: crate::publish::broker::PreparedReplay,
    /// Where its WebSockets are present.
    #[cfg(feature = "broker")]
    pub(crate) presences: crate::publish::broker::StreamPresences,
    /// What the engine is to do on outgoing connections and adopted streams.
    pub(crate) outgoing: Arc<Config>,
}

impl ThreadState {
    /// Closes files that are open in case they are wanted again: descriptors have run out.
    pub(crate) fn close_kept_files(&mut self) {
        self.shelf.clear();
        self.keeping.iter().for_each(|mounted| mounted.close_kept());
    }

    /// When something is due although nothing happens.
    pub(crate) fn next_timer(&mut self) -> Option<Time> {
        let timers = self.timers.next();
        #[cfg(feature = "client")]
        let timers = timers.into_iter().chain(self.client.next_timeout()).min();
        timers
    }
}
