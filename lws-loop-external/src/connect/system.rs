//! The resolver of the system, whose call blocks: on a few threads that exist only while there are names to resolve.

use super::resolver::{Query, ResolveError, Resolver};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Asks the system, getaddrinfo(3), on threads of its own.
///
/// A thread is started when a name comes and none is free, up to the most there may be; one that has had nothing to do
/// for ten seconds ends. Dropping the resolver waits for nobody: a thread in mid-call ends after it.
pub struct SystemResolver {
    pool: Arc<Pool>,
    threads_max: usize,
}

/// As many names at a time as one slow server may hold up before the others wait.
const THREADS_MAX: usize = 4;
/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

struct Pool {
    work: Mutex<Work>,
    bell: Condvar,
    lookup: fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
}

#[derive(Default)]
struct Work {
    /// Bounded by the queries that a service may have.
    queries: VecDeque<Query>,
    threads: usize,
    /// Threads that wait for work.
    idle: usize,
    closed: bool,
}

impl SystemResolver {
    /// Four threads at most.
    #[must_use]
    pub fn new() -> Self {
        Self::with_threads(THREADS_MAX)
    }

    /// `threads_max` threads at most, and at least one.
    #[must_use]
    pub fn with_threads(threads_max: usize) -> Self {
        Self::with_lookup(threads_max, |name, port| Ok((name, port).to_socket_addrs()?.collect()))
    }

    fn with_lookup(threads_max: usize, lookup: fn(&str, u16) -> io::Result<Vec<SocketAddr>>) -> Self {
        let pool = Pool { work: Mutex::default(), bell: Condvar::new(), lookup };
        Self { pool: Arc::new(pool), threads_max: threads_max.max(1) }
    }

    /// Threads that there are now.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.lock().threads
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl Resolver for SystemResolver {
    fn resolve(&mut self, query: Query) {
        let mut work = self.pool.lock();
        work.queries.push_back(query);
        if work.queries.len() <= work.idle || work.threads >= self.threads_max {
            drop(work);
            return self.pool.bell.notify_one();
        }
        let pool = Arc::clone(&self.pool);
        match thread::Builder::new().name("lws-resolver".into()).spawn(move || pool.run()) {
            Ok(_) => work.threads += 1,
            // One of those that there are comes to it.
            Err(_) if work.threads > 0 => {}
            Err(error) => {
                let query = work.queries.pop_back();
                drop(work);
                if let Some(query) = query {
                    query.answer(Err(ResolveError::Failed(error)));
                }
            }
        }
    }
}

impl Drop for SystemResolver {
    fn drop(&mut self) {
        let mut work = self.pool.lock();
        work.closed = true;
        let queries = std::mem::take(&mut work.queries);
        drop(work);
        self.pool.bell.notify_all();
        drop(queries);
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemResolver").field("threads_max", &self.threads_max).finish_non_exhaustive()
    }
}

impl Pool {
    /// A panic cannot leave the list half changed.
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What each thread does.
    fn run(&self) {
        while let Some(query) = self.next() {
            if query.is_cancelled() {
                continue;
            }
            let result = (self.lookup)(query.name(), query.port());
            query.answer(result.map_err(ResolveError::Failed));
        }
    }

    /// The next query. `None` ends the thread.
    fn next(&self) -> Option<Query> {
        let mut work = self.lock();
        loop {
            let query = work.queries.pop_front();
            if query.is_some() {
                return query;
            }
            if work.closed {
                break;
            }
            work.idle += 1;
            let waited = self.bell.wait_timeout(work, IDLE);
            let (again, result) = waited.unwrap_or_else(PoisonError::into_inner);
            work = again;
            work.idle -= 1;
            if result.timed_out() && work.queries.is_empty() {
                break;
            }
        }
        work.threads -= 1;
        None
    }
}
