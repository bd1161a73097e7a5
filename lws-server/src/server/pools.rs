//! The threads of a server that wait where no loop may.

use crate::server::options::ServerOptions;
use lws_files::Pool;

/// Pools that all threads of a server share. They have no thread before there is work.
pub(crate) struct Pools {
    /// For disks, and for what compresses or lists.
    pub(crate) disk: Pool,
}

impl Pools {
    pub(crate) fn new(options: &ServerOptions) -> Self {
        Self { disk: Pool::new("disk", options.disk) }
    }
}
