//! What all handlers of one thread have in common.
//!
//! Knows no event. A [`Context`](crate::Context) lends it, with the driver beside it.

use crate::command::Command;
use crate::files::shelf::Shelf;
use crate::group::Group;
use crate::id::RouteId;
use crate::observers::{Observers, PeerAddresses};
use crate::sites::Sites;
use crate::stats::Counters;
use crate::timers::Timers;
use crate::topics::Topics;
use crate::wakes::PendingWakes;
use lws_proto::Config;
use std::sync::Arc;
use std::time::Instant;

/// The state of one thread of a server.
pub(crate) struct ThreadState {
    /// The threads of the server, and which of them this is.
    pub(crate) group: Arc<Group<Command>>,
    pub(crate) shard: u16,
    pub(crate) sites: Sites,
    pub(crate) topics: Topics,
    pub(crate) timers: Timers,
    pub(crate) wakes: PendingWakes,
    /// Files that are being sent.
    pub(crate) shelf: Shelf,
    pub(crate) observers: Observers,
    pub(crate) peers: PeerAddresses,
    pub(crate) counters: Counters,
    pub(crate) started: Instant,
    pub(crate) unix_seconds: u32,
    /// The route whose handler or endpoint was called last, for the record of a panic.
    pub(crate) calling: RouteId,
    /// What the engine is to do on outgoing connections and adopted streams.
    pub(crate) client: Arc<Config>,
}
