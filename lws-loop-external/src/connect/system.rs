//! The resolver of the system. Its call blocks, so it runs on a few threads that exist only while there are names to
//! resolve.

use super::resolver::{Query, ResolveError, Resolver};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Resolves names by the system's getaddrinfo(3), on threads of its own.
///
/// A thread is started when a name comes and none is free, up to the most there may be; one that has had nothing to do
/// for ten seconds ends. Dropping the resolver does not wait: a thread in the middle of a call ends after it.
pub struct SystemResolver {
    pool: Arc<ResolverPool>,
    threads_max: usize,
}

/// The most threads by default, and so the number of slow lookups that it takes to make others wait.
const THREADS_MAX: usize = 4;
/// The time after which a thread without work ends.
const IDLE: Duration = Duration::from_secs(10);

struct ResolverPool {
    work: Mutex<Work>,
    changed: Condvar,
    lookup: fn(&str, u16) -> io::Result<Vec<SocketAddr>>,
}

#[derive(Default)]
struct Work {
    /// Queries that wait for a thread. Bounded by the number of queries that a service may have.
    queries: VecDeque<Query>,
    threads: usize,
    /// The number of threads that wait for work.
    idle: usize,
    closed: bool,
}

impl SystemResolver {
    /// A resolver with at most four threads.
    #[must_use]
    pub fn new() -> Self {
        Self::with_threads(THREADS_MAX)
    }

    /// A resolver with at most `threads_max` threads, and at least one.
    #[must_use]
    pub fn with_threads(threads_max: usize) -> Self {
        Self::with_lookup(threads_max, |name, port| Ok((name, port).to_socket_addrs()?.collect()))
    }

    fn with_lookup(threads_max: usize, lookup: fn(&str, u16) -> io::Result<Vec<SocketAddr>>) -> Self {
        let pool = ResolverPool { work: Mutex::default(), changed: Condvar::new(), lookup };
        Self { pool: Arc::new(pool), threads_max: threads_max.max(1) }
    }

    /// The number of threads at the moment.
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
            return self.pool.changed.notify_one();
        }
        let pool = Arc::clone(&self.pool);
        match thread::Builder::new().name("lws-resolver".into()).spawn(move || pool.run()) {
            Ok(_) => work.threads += 1,
            // No new thread could be started; one of the existing threads takes the query.
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
        self.pool.changed.notify_all();
        drop(queries);
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemResolver").field("threads_max", &self.threads_max).finish_non_exhaustive()
    }
}

impl ResolverPool {
    /// A panic cannot leave the list half changed.
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The main function of each thread.
    fn run(&self) {
        while let Some(query) = self.next() {
            if query.is_cancelled() {
                continue;
            }
            let result = (self.lookup)(query.name(), query.port());
            query.answer(result.map_err(ResolveError::Failed));
        }
    }

    /// Waits for the next query. `None` ends the thread.
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
            let waited = self.changed.wait_timeout(work, IDLE);
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

#[cfg(test)]
mod tests {
    use super::super::resolver::{Inbox, Lookup};
    use super::*;
    use crate::token::ConnectionId;
    use crate::waker::Notify;
    use std::sync::mpsc;

    struct Channel(Mutex<mpsc::Sender<()>>);

    impl Notify for Channel {
        fn notify(&self) {
            let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).send(());
        }
    }

    /// An inbox, its notifier, and a channel that receives something at each notification.
    fn inbox() -> (Arc<Inbox>, Arc<dyn Notify>, mpsc::Receiver<()>) {
        let (sender, notices) = mpsc::channel();
        let notifier: Arc<dyn Notify> = Arc::new(Channel(Mutex::new(sender)));
        (Arc::new(Inbox::new(&notifier)), notifier, notices)
    }

    fn query(inbox: &Arc<Inbox>, index: u32, name: &str) -> (Lookup, Query) {
        Lookup::new(inbox, ConnectionId { index, generation: 0 }, name, 80)
    }

    /// Longer than anything here takes.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn threads_come_with_work_and_there_are_never_more_than_may_be() {
        static GATE: Mutex<()> = Mutex::new(());
        let gate = GATE.lock().expect("no panic");
        let (inbox, _notifier, notices) = inbox();
        let mut resolver = SystemResolver::with_lookup(2, |_, port| {
            drop(GATE.lock());
            Ok(vec![([127, 0, 0, 1], port).into()])
        });
        assert_eq!(resolver.threads(), 0, "lazily");
        let lookups: Vec<_> = (0..10)
            .map(|n| {
                let (lookup, query) = query(&inbox, n, "a.test");
                resolver.resolve(query);
                assert_eq!(resolver.threads(), (n as usize + 1).min(2));
                lookup
            })
            .collect();
        assert_eq!(inbox.queries(), 10);
        drop(gate);
        for _ in 0..10 {
            notices.recv_timeout(PATIENCE).expect("an answer");
        }
        let mut answered: Vec<_> = inbox.take().into_iter().map(|(id, _)| id.index).collect();
        answered.sort_unstable();
        assert!(answered.into_iter().eq(0..10));
        assert_eq!((inbox.queries(), resolver.threads()), (0, 2));
        drop(lookups);
    }

    #[test]
    fn a_cancelled_query_is_not_looked_up() {
        let (inbox, _notifier, notices) = inbox();
        let mut resolver = SystemResolver::with_lookup(1, |name, _| {
            assert_eq!(name, "wanted.test");
            Ok(vec![])
        });
        let (lookup, unwanted) = query(&inbox, 0, "unwanted.test");
        drop(lookup);
        resolver.resolve(unwanted);
        let (_lookup, wanted) = query(&inbox, 1, "wanted.test");
        resolver.resolve(wanted);
        notices.recv_timeout(PATIENCE).expect("an answer");
        assert_eq!(inbox.take().len(), 1);
        assert_eq!(inbox.queries(), 0);
    }

    #[test]
    fn a_resolver_that_goes_answers_what_waits_and_does_not_block() {
        static GATE: Mutex<()> = Mutex::new(());
        let gate = GATE.lock().expect("no panic");
        let (inbox, _notifier, notices) = inbox();
        let mut resolver = SystemResolver::with_lookup(1, |_, _| {
            drop(GATE.lock());
            Ok(vec![])
        });
        let lookups: Vec<_> = (0..5)
            .map(|n| {
                let (lookup, query) = query(&inbox, n, "a.test");
                resolver.resolve(query);
                lookup
            })
            .collect();
        // One query is in its call, or will be; the others are dropped.
        drop(resolver);
        let dropped = inbox.take();
        assert!(dropped.len() >= 4);
        assert!(dropped.iter().all(|(_, result)| matches!(result, Err(ResolveError::Dropped))));
        drop(gate);
        for _ in 0..5 {
            notices.recv_timeout(PATIENCE).expect("an answer");
        }
        assert_eq!(inbox.queries(), 0);
        drop(lookups);
    }
}
