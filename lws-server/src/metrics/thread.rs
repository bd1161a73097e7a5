//! What one thread counts besides its sites, and how the threads answer together when somebody asks.

use super::Metrics;
use crate::Context;
use crate::server::group::Group;
use crate::server::stats::Counters;
use crate::thread::command::Command;
use crate::tls::Info;
use lws_loop_external::DriverStats;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// TLS handshakes of one version that were done: full ones, and those that resumed an earlier session.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TlsHandshakes {
    pub(crate) full: u64,
    pub(crate) resumed: u64,
}

/// Versions of TLS, as labels.
pub(super) const TLS_VERSIONS: [&str; 2] = ["1.2", "1.3"];

/// What one thread has counted, as it was when it was asked.
#[derive(Debug)]
pub(super) struct ThreadMetrics {
    pub(super) thread: u16,
    pub(super) driver: DriverStats,
    pub(super) counters: Counters,
    pub(super) listeners: Vec<ListenerMetrics>,
}

/// Connections of one listener on one thread.
#[derive(Clone, Debug)]
pub(super) struct ListenerMetrics {
    pub(super) address: String,
    pub(super) connections: usize,
    pub(super) accepted: u64,
}

impl Counters {
    /// A TLS handshake of an accepted connection is done.
    pub(crate) fn count_handshake(&mut self, info: &Info) {
        let version = usize::from(info.version == "TLSv1.3");
        let handshakes = &mut self.tls_handshakes[version];
        *(if info.resumed { &mut handshakes.resumed } else { &mut handshakes.full }) += 1;
    }
}

type Then = Box<dyn FnOnce(Metrics) + Send>;

/// Calls what waits for the answers of all threads: when the last of them has answered or has ended, whose message is dropped then.
pub(super) struct Gathering {
    group: Arc<Group<Command>>,
    answers: Mutex<Vec<ThreadMetrics>>,
    then: Mutex<Option<Then>>,
}

impl Gathering {
    pub(super) fn new(group: Arc<Group<Command>>, then: impl FnOnce(Metrics) + Send + 'static) -> Self {
        Self { group, answers: Mutex::default(), then: Mutex::new(Some(Box::new(then))) }
    }

    pub(super) fn answer(&self, metrics: ThreadMetrics) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).push(metrics);
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        let mut threads = std::mem::take(&mut *self.answers.lock().unwrap_or_else(PoisonError::into_inner));
        threads.sort_by_key(|answer| answer.thread);
        let then = self.then.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(then) = then {
            then(Metrics { threads, group: Arc::clone(&self.group) });
        }
    }
}

impl fmt::Debug for Gathering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathering").finish_non_exhaustive()
    }
}

impl Context<'_> {
    /// What this thread has counted. It takes the same time however many sites there are.
    pub(super) fn thread_metrics(&self) -> ThreadMetrics {
        ThreadMetrics {
            thread: self.state.shard,
            driver: self.driver.driver_stats().clone(),
            counters: self.state.counters.clone(),
            listeners: self.state.sites.listener_metrics(|address, connections, accepted| ListenerMetrics {
                address: address.to_string(),
                connections,
                accepted,
            }),
        }
    }
}
