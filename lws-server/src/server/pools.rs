//! The threads of a server that wait where no loop may.

use crate::server::options::ServerOptions;
use lws_files::Pool;

/// Pools that all threads of a server share. They have no thread before there is work.
pub(crate) struct Pools {
    /// For disks, and for what compresses or lists.
    pub(crate) disk: Pool,
    /// For what handlers do that waits.
    pub(crate) work: Pool,
    /// For the hashing of passwords: of its own, so that guesses keep no file waiting.
    #[cfg(feature = "passwords")]
    pub(crate) passwords: Pool,
}

impl Pools {
    pub(crate) fn new(options: &ServerOptions) -> Self {
        Self {
            disk: Pool::new("disk", options.disk),
            work: Pool::new("work", options.work),
            #[cfg(feature = "passwords")]
            passwords: Pool::new("passwords", lws_files::Passwords::POOL),
        }
    }
}
