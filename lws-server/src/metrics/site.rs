//! What one thread counts of one site. The numbers of labels are bounded here: what a peer can choose freely is no label.

use super::counter::Counter;
use crate::id::SiteId;
use lws_proto::MessageKind;
use lws_proto::http::{Method, Version};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Versions of HTTP, as labels.
pub(super) const VERSIONS: [&str; 3] = ["1.0", "1.1", "2"];
/// Methods, as labels. A peer may write any token, and so all others are one.
pub(super) const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other"];
/// Classes of status codes, as labels. The first is that of exchanges without a response.
pub(super) const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// Kinds of messages, as labels.
pub(super) const KINDS: [&str; 2] = ["text", "binary"];
/// The longest duration of each count of exchanges but the last, in microseconds.
pub(super) const DURATIONS: [u64; 8] =
    [1_000, 5_000, 25_000, 100_000, 250_000, 1_000_000, 5_000_000, 30_000_000];

const CELLS: usize = VERSIONS.len() * METHODS.len() * CLASSES.len();

/// What stands for no site: numbers of sites begin at zero, and none is used again.
const NO_SITE: SiteId = SiteId(u32::MAX);

/// What is counted of a request when it has been answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLabels {
    version: u8,
    method: u8,
}

impl RequestLabels {
    #[inline]
    pub(crate) fn new(version: Version, method: Method) -> Self {
        let version = match version {
            Version::Http10 => 0,
            Version::Http11 => 1,
            Version::Http2 => 2,
        };
        let method = match method {
            Method::Get => 0,
            Method::Head => 1,
            Method::Post => 2,
            Method::Put => 3,
            Method::Delete => 4,
            Method::Patch => 5,
            Method::Options => 6,
            _ => 7,
        };
        Self { version, method }
    }

    /// The status code with which a WebSocket is opened. RFC 6455 §4.2.2, RFC 8441 §5.1.
    pub(crate) fn opened_status(self) -> u16 {
        if usize::from(self.version) == VERSIONS.len() - 1 { 200 } else { 101 }
    }
}

/// How a thread shares the counters of a site among its streams: a stream counts a reference without a locked instruction.
pub(crate) type ThreadCounters = Rc<Arc<SiteCounters>>;

/// The counters of one site on one thread: about 1.4 KiB.
#[derive(Debug)]
pub(crate) struct SiteCounters {
    requests: [Counter; CELLS],
    durations: [Counter; DURATIONS.len() + 1],
    duration_micros: Counter,
    /// Content of responses.
    pub(crate) content_bytes: Counter,
    /// WebSockets that are open.
    pub(crate) websockets: Counter,
    received: [Counter; KINDS.len()],
    sent: [Counter; KINDS.len()],
}

impl Default for SiteCounters {
    fn default() -> Self {
        Self {
            requests: std::array::from_fn(|_| Counter::default()),
            durations: Default::default(),
            duration_micros: Counter::default(),
            content_bytes: Counter::default(),
            websockets: Counter::default(),
            received: Default::default(),
            sent: Default::default(),
        }
    }
}

fn kind(kind: MessageKind) -> usize {
    usize::from(kind == MessageKind::Binary)
}

impl SiteCounters {
    /// An exchange has ended, or has become a WebSocket.
    #[inline]
    pub(crate) fn count_request(&self, asked: RequestLabels, status: u16, bytes: u64, duration: Duration) {
        let class = usize::from(status / 100).min(CLASSES.len() - 1);
        let row = usize::from(asked.version) * METHODS.len() + usize::from(asked.method);
        if let Some(cell) = self.requests.get(row * CLASSES.len() + class) {
            cell.add(1);
        }
        self.content_bytes.add(bytes);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        // Most exchanges are over in the turn that begins them.
        let index = match micros {
            0 => 0,
            _ => DURATIONS.iter().position(|bound| micros <= *bound).unwrap_or(DURATIONS.len()),
        };
        self.durations[index].add(1);
        self.duration_micros.add(micros);
    }

    /// A message was received.
    #[inline]
    pub(crate) fn count_received(&self, of: MessageKind) {
        self.received[kind(of)].add(1);
    }

    /// Messages were sent: text and binary ones.
    #[inline]
    pub(crate) fn count_sent(&self, messages: [u64; 2]) {
        for (counter, more) in self.sent.iter().zip(messages) {
            counter.add(more);
        }
    }

    /// Adds up what the threads have counted of a site, and perhaps of others of its name.
    pub(super) fn add_to(&self, sums: &mut SiteSums) {
        let add = |sums: &mut [u64], counters: &[Counter]| {
            sums.iter_mut().zip(counters).for_each(|(sum, counter)| *sum = sum.wrapping_add(counter.get()));
        };
        add(&mut sums.requests, &self.requests);
        add(&mut sums.durations, &self.durations);
        add(&mut sums.received, &self.received);
        add(&mut sums.sent, &self.sent);
        sums.duration_micros = sums.duration_micros.wrapping_add(self.duration_micros.get());
        sums.content_bytes = sums.content_bytes.wrapping_add(self.content_bytes.get());
        sums.websockets = sums.websockets.wrapping_add(self.websockets.get());
    }
}

/// What all threads together have counted of the sites of one name.
pub(super) struct SiteSums {
    requests: [u64; CELLS],
    pub(super) durations: [u64; DURATIONS.len() + 1],
    pub(super) duration_micros: u64,
    pub(super) content_bytes: u64,
    pub(super) websockets: u64,
    pub(super) received: [u64; KINDS.len()],
    pub(super) sent: [u64; KINDS.len()],
}

impl Default for SiteSums {
    fn default() -> Self {
        Self {
            requests: [0; CELLS],
            durations: Default::default(),
            duration_micros: 0,
            content_bytes: 0,
            websockets: 0,
            received: Default::default(),
            sent: Default::default(),
        }
    }
}

impl SiteSums {
    /// The requests that have come, by version, method and class.
    pub(super) fn requests(&self) -> impl Iterator<Item = ([&'static str; 3], u64)> {
        let there = self.requests.iter().enumerate().filter(|(_, count)| **count > 0);
        there.map(|(cell, count)| {
            let (row, class) = (cell / CLASSES.len(), cell % CLASSES.len());
            ([VERSIONS[row / METHODS.len()], METHODS[row % METHODS.len()], CLASSES[class]], *count)
        })
    }
}

/// The counters of all sites, on all threads of a server. What counts has its own; this is for those who read.
#[derive(Debug, Default)]
pub(crate) struct SiteRegistry(Mutex<BTreeMap<SiteId, RegisteredSite>>);

#[derive(Debug, Default)]
struct RegisteredSite {
    label: Arc<str>,
    by_thread: BTreeMap<u16, Arc<SiteCounters>>,
}

impl SiteRegistry {
    fn sites(&self) -> MutexGuard<'_, BTreeMap<SiteId, RegisteredSite>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The counters of a site on a thread. One that takes the place of another goes on with what that has counted.
    pub(crate) fn counters(&self, id: SiteId, thread: u16) -> Arc<SiteCounters> {
        Arc::clone(self.sites().entry(id).or_default().by_thread.entry(thread).or_default())
    }

    /// The counters of what is for no site, on a thread.
    pub(crate) fn counters_of_none(&self, thread: u16) -> Arc<SiteCounters> {
        let counters = self.counters(NO_SITE, thread);
        self.name(NO_SITE, "-");
        counters
    }

    /// Says what a site is called from now on.
    pub(crate) fn name(&self, id: SiteId, label: &str) {
        if let Some(site) = self.sites().get_mut(&id)
            && *site.label != *label
        {
            site.label = label.into();
        }
    }

    /// Forgets a site.
    pub(crate) fn remove(&self, id: SiteId) {
        self.sites().remove(&id);
    }

    /// The counters of all sites, with what each is called.
    pub(super) fn all(&self) -> Vec<(Arc<str>, Vec<Arc<SiteCounters>>)> {
        let counters = |site: &RegisteredSite| site.by_thread.values().cloned().collect();
        self.sites().values().map(|site| (Arc::clone(&site.label), counters(site))).collect()
    }
}
