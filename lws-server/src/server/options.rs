//! What holds for a server as a whole, whatever its sites are.

use crate::server::inherited::Inherited;
use crate::server::peers::PeerLimits;
use lws_files::PoolOptions;
use lws_loop_external::{self as external, DriverOptions, ListenOptions};
use lws_proto::SERVICE_BYTES_MAX;
use std::time::Duration;

/// Options of a server, as data. Each has a call of [`Builder`](crate::Builder) that says more.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ServerOptions {
    /// Sizes and budgets of each thread's service.
    pub driver: DriverOptions,
    /// Options of the listeners that have none of their own.
    pub listen: ListenOptions,
    /// Files that each thread has open to send them. `None` is 64, or an eighth of the limit of open files if this is less.
    pub open_files_max: Option<usize>,
    /// Bytes that the server holds for its peers, on all threads together. Default 256 MiB.
    pub held_bytes_max: usize,
    /// How long what is going on may take to end. Default 10 s.
    pub drain_timeout: Duration,
    /// Threads that wait for disks, of the whole server, and how many lookups and reads may wait for them. Past it requests for files
    /// that are not in memory are answered 503.
    pub disk: PoolOptions,
    /// The threads that do what handlers hand to [`Context::work`](crate::Context::work), for all threads of the server together.
    pub work: PoolOptions,
    /// What one peer may have. By default nothing is limited.
    pub peers: PeerLimits,
    /// Topics that one WebSocket may subscribe to. Default 256.
    pub subscriptions_max: usize,
    /// Whether it may have no listener. Default no: with none, nothing is served, which is mostly a mistake.
    pub may_listen_nowhere: bool,
    /// Sockets that listen already.
    pub(crate) inherited: Inherited,
    /// The client of each thread.
    #[cfg(feature = "client")]
    pub client: crate::client::Options,
    /// The broker by which processes share topics. Default `None`: topics are of this process.
    #[cfg(feature = "broker")]
    pub broker: Option<crate::publish::broker::BrokerOptions>,
    /// Where records of connections are written.
    #[cfg(feature = "record")]
    pub recorder: Option<std::sync::Arc<lws_record::Folder>>,
}

/// Files that a thread has open to send them, unless the limit of open files is low.
const OPEN_FILES_MAX: usize = 64;

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            driver: DriverOptions::default(),
            listen: ListenOptions::default(),
            open_files_max: None,
            held_bytes_max: SERVICE_BYTES_MAX,
            drain_timeout: Duration::from_secs(10),
            disk: PoolOptions::default(),
            work: PoolOptions::default(),
            peers: PeerLimits::default(),
            subscriptions_max: 256,
            may_listen_nowhere: false,
            inherited: Inherited::default(),
            #[cfg(feature = "client")]
            client: crate::client::Options::default(),
            #[cfg(feature = "broker")]
            broker: None,
            #[cfg(feature = "record")]
            recorder: None,
        }
    }
}

impl ServerOptions {
    /// Files that each of `threads` threads may have open to send them.
    pub(crate) fn files_max(&self, threads: u16) -> usize {
        let few = external::descriptors_max() / 8 / usize::from(threads.max(1));
        self.open_files_max.unwrap_or(few.clamp(1, OPEN_FILES_MAX))
    }

    /// Those of the driver: what files need is no connection's.
    pub(crate) fn driver_of(&self, threads: u16) -> DriverOptions {
        let files = self.files_max(threads).saturating_mul(threads.into());
        // A thread that waits for a disk has what it looks for open, and perhaps a directory on the way.
        let waiting = self.disk.threads_max.saturating_mul(2);
        let descriptors_kept = self.driver.descriptors_kept.saturating_add(files).saturating_add(waiting);
        DriverOptions { descriptors_kept, ..self.driver.clone() }
    }
}
