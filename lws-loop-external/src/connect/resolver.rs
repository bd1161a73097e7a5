//! The seam to name resolvers, which may answer on any thread. Knows no sockets.

use crate::token::ConnectionId;
use crate::waker::Notify;
use std::error::Error;
use std::fmt;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Finds the addresses of names. [`SystemResolver`](crate::SystemResolver) asks the system.
///
/// It is called on the thread of the loop and must not block: an answer that takes time comes from another thread, or
/// from a later call of the loop.
///
/// ```
/// use lws_loop_external::{Query, ResolveError, Resolver};
/// use std::collections::HashMap;
/// use std::net::IpAddr;
///
/// /// A table that answers at once.
/// struct Hosts(HashMap<String, IpAddr>);
///
/// impl Resolver for Hosts {
///     fn resolve(&mut self, query: Query) {
///         let answer = match self.0.get(query.name()) {
///             Some(address) => Ok(vec![(*address, query.port()).into()]),
///             None => Err(ResolveError::NoAddress),
///         };
///         query.answer(answer);
///     }
/// }
/// ```
pub trait Resolver: Send + 'static {
    /// Begins to resolve a name. The query is answered now or later, once.
    fn resolve(&mut self, query: Query);
}

/// A request for the addresses of a name. Dropping it unanswered answers [`ResolveError::Dropped`].
pub struct Query {
    name: Box<str>,
    port: u16,
    id: ConnectionId,
    cancelled: Arc<AtomicBool>,
    inbox: Arc<Inbox>,
    answered: bool,
    watcher: Option<Watcher>,
}

/// Sees the answer to a query before the loop does.
type Watcher = Box<dyn FnOnce(&Result<Vec<SocketAddr>, ResolveError>) + Send>;

/// Why a name has no addresses.
#[derive(Debug)]
#[non_exhaustive]
pub enum ResolveError {
    /// There is no such name, or it has no address.
    NoAddress,
    /// The resolver failed, with this error.
    Failed(io::Error),
    /// No answer came within [`ConnectOptions::resolve_timeout`](crate::ConnectOptions::resolve_timeout).
    TimedOut,
    /// The resolver has as many queries as
    /// [`DriverOptions::resolver_queries_max`](crate::DriverOptions::resolver_queries_max) allows.
    TooMany,
    /// The resolver dropped the query without an answer.
    Dropped,
}

impl Query {
    /// The name: neither empty nor a numeric address.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The port that the addresses should have.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether no connection waits for the answer any more.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    /// Gives the addresses, the best one first, as RFC 6724 sorts them. May be called on any thread.
    ///
    /// Of many addresses [`DriverOptions::resolver_addresses_max`](crate::DriverOptions::resolver_addresses_max) are
    /// used, of each family some.
    pub fn answer(mut self, result: Result<Vec<SocketAddr>, ResolveError>) {
        self.give(result);
    }

    /// Has `watcher` see the answer, on whatever thread gives it.
    pub(super) fn watch(
        &mut self,
        watcher: impl FnOnce(&Result<Vec<SocketAddr>, ResolveError>) + Send + 'static,
    ) {
        self.watcher = Some(Box::new(watcher));
    }

    fn give(&mut self, result: Result<Vec<SocketAddr>, ResolveError>) {
        if !mem::replace(&mut self.answered, true) {
            if let Some(watcher) = self.watcher.take() {
                watcher(&result);
            }
            self.inbox.queries.fetch_sub(1, Ordering::AcqRel);
            if !self.is_cancelled() {
                self.inbox.lock().push((self.id, result));
                if let Some(notifier) = self.inbox.notifier.upgrade() {
                    notifier.notify();
                }
            }
        }
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        self.give(Err(ResolveError::Dropped));
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").field("name", &self.name).field("port", &self.port).finish_non_exhaustive()
    }
}

impl ResolveError {
    /// The closest [`io::ErrorKind`].
    #[must_use]
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::NoAddress | Self::Dropped => io::ErrorKind::NotFound,
            Self::Failed(error) => error.kind(),
            Self::TimedOut => io::ErrorKind::TimedOut,
            Self::TooMany => io::ErrorKind::QuotaExceeded,
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("the name has no address"),
            Self::Failed(error) => error.fmt(f),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::TooMany => f.write_str("too many names are being resolved"),
            Self::Dropped => f.write_str("the resolver gave no answer"),
        }
    }
}

impl Error for ResolveError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Failed(error) => Some(error),
            Self::NoAddress | Self::TimedOut | Self::TooMany | Self::Dropped => None,
        }
    }
}

pub(super) type Answer = (ConnectionId, Result<Vec<SocketAddr>, ResolveError>);

/// The answers that wait for the loop's thread. There are at most as many as there may be queries.
pub(super) struct Inbox {
    answers: Mutex<Vec<Answer>>,
    /// The number of queries that the resolver holds, including cancelled ones.
    queries: AtomicUsize,
    /// Weak, so that a query which outlives its service does not keep the service's descriptor open.
    notifier: Weak<dyn Notify>,
}

impl Inbox {
    pub(super) fn new(notifier: &Arc<dyn Notify>) -> Self {
        Self { answers: Mutex::default(), queries: AtomicUsize::new(0), notifier: Arc::downgrade(notifier) }
    }

    pub(super) fn queries(&self) -> usize {
        self.queries.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> Vec<Answer> {
        mem::take(&mut *self.lock())
    }

    /// A panic in another thread cannot leave the list half changed.
    fn lock(&self) -> MutexGuard<'_, Vec<Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The loop's end of a query. Dropping it cancels the query.
#[derive(Debug)]
pub(super) struct Lookup {
    cancelled: Arc<AtomicBool>,
}

impl Lookup {
    /// The two ends of a new query.
    pub(super) fn new(inbox: &Arc<Inbox>, id: ConnectionId, name: &str, port: u16) -> (Self, Query) {
        inbox.queries.fetch_add(1, Ordering::AcqRel);
        let cancelled = Arc::new(AtomicBool::new(false));
        let query = Query {
            name: name.into(),
            port,
            id,
            cancelled: Arc::clone(&cancelled),
            inbox: Arc::clone(inbox),
            answered: false,
            watcher: None,
        };
        (Self { cancelled }, query)
    }
}

impl Drop for Lookup {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Release);
    }
}
