//! The part of a server on one of its other threads, before it is built there.

use crate::server::description::DescribeThread;
use crate::server::group::Group;
use crate::site::transition::{Bound, FirstSite};
use crate::thread::command::Command;
use lws_loop_external as external;
use std::fmt;
use std::sync::Arc;

/// What becomes the part of a server on one of its other threads.
pub struct Shard {
    pub(crate) shard: external::DriverShard<Command>,
    pub(crate) group: Arc<Group<Command>>,
    pub(crate) plan: Arc<Plan>,
}

/// What the other threads build from: what describes them, and the sites of the first one.
pub(crate) struct Plan {
    /// `None` if there is no other thread.
    pub(crate) describe: Option<DescribeThread>,
    pub(crate) sites: Vec<FirstSite>,
    /// The listeners of each of these sites.
    pub(crate) bound: Vec<Vec<Bound>>,
}

impl Shard {
    /// Its number, from one on: zero is the thread that built the server.
    #[must_use]
    pub fn index(&self) -> usize {
        self.shard.index().into()
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("index", &self.index()).finish_non_exhaustive()
    }
}
