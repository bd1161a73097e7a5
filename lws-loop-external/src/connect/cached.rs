//! A resolver that remembers for a while what another one has answered. Knows no sockets.

use super::resolver::{Query, ResolveError, Resolver};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Remembers the addresses that another resolver has found for names, for 30 s, and that a name has none for one second. What a resolver
/// tells has no time to live, so that this is what bounds how long a change goes unnoticed.
///
/// ```
/// use lws_loop_external::{CachedResolver, SystemResolver};
///
/// let resolver = CachedResolver::new(SystemResolver::new());
/// ```
pub struct CachedResolver<R> {
    inner: R,
    memory: Arc<Mutex<Memory>>,
    clock: fn() -> Instant,
}

/// How long addresses are remembered.
const LIFETIME: Duration = Duration::from_secs(30);
/// How long it is remembered that there are none: long enough that many who ask at once ask once.
const FAILURE_LIFETIME: Duration = Duration::from_secs(1);
/// Names that are remembered.
const NAMES_MAX: usize = 1_024;

#[derive(Default)]
struct Memory {
    names: HashMap<Box<str>, Remembered>,
}

struct Remembered {
    until: Instant,
    answer: Answer,
}

#[derive(Clone)]
enum Answer {
    Addresses(Vec<SocketAddr>),
    NoAddress,
    Failed(io::ErrorKind, Arc<str>),
}

impl<R: Resolver> CachedResolver<R> {
    /// Asks `inner` for what is not remembered.
    #[must_use]
    pub fn new(inner: R) -> Self {
        Self::with_clock(inner, Instant::now)
    }

    fn with_clock(inner: R, clock: fn() -> Instant) -> Self {
        Self { inner, memory: Arc::default(), clock }
    }
}

impl<R: Resolver> Resolver for CachedResolver<R> {
    fn resolve(&mut self, mut query: Query) {
        let name: Box<str> = query.name().trim_end_matches('.').to_ascii_lowercase().into();
        let now = (self.clock)();
        if let Some(answer) = lock(&self.memory).recall(&name, now) {
            let port = query.port();
            return query.answer(answer.for_port(port));
        }
        let (memory, clock) = (Arc::clone(&self.memory), self.clock);
        query.watch(move |result| {
            if let Some(answer) = Answer::of(result) {
                lock(&memory).remember(name, answer, clock());
            }
        });
        self.inner.resolve(query);
    }
}

/// A panic in another thread cannot leave the table half changed.
fn lock(memory: &Mutex<Memory>) -> MutexGuard<'_, Memory> {
    memory.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn recall(&self, name: &str, now: Instant) -> Option<Answer> {
        self.names.get(name).filter(|it| now < it.until).map(|it| it.answer.clone())
    }

    fn remember(&mut self, name: Box<str>, answer: Answer, now: Instant) {
        if self.names.len() >= NAMES_MAX {
            self.names.retain(|_, it| now < it.until);
        }
        if self.names.len() >= NAMES_MAX {
            // Forgetting costs each name one question too many at most.
            self.names.clear();
        }
        let lifetime = if matches!(answer, Answer::Addresses(_)) { LIFETIME } else { FAILURE_LIFETIME };
        self.names.insert(name, Remembered { until: now + lifetime, answer });
    }
}

impl Answer {
    /// Whether an answer is worth remembering. That it took too long, or that no server was asked, is none.
    fn of(result: &Result<Vec<SocketAddr>, ResolveError>) -> Option<Self> {
        match result {
            Ok(addresses) => Some(Self::Addresses(addresses.clone())),
            Err(ResolveError::NoAddress) => Some(Self::NoAddress),
            Err(ResolveError::Failed(error)) => Some(Self::Failed(error.kind(), error.to_string().into())),
            Err(ResolveError::TimedOut | ResolveError::TooMany | ResolveError::Dropped) => None,
        }
    }

    fn for_port(self, port: u16) -> Result<Vec<SocketAddr>, ResolveError> {
        match self {
            Self::Addresses(mut addresses) => {
                addresses.iter_mut().for_each(|address| address.set_port(port));
                Ok(addresses)
            }
            Self::NoAddress => Err(ResolveError::NoAddress),
            Self::Failed(kind, text) => Err(ResolveError::Failed(io::Error::new(kind, &*text))),
        }
    }
}

impl<R: fmt::Debug> fmt::Debug for CachedResolver<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedResolver").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::resolver::{Inbox, Lookup};
    use crate::token::ConnectionId;
    use crate::waker::Notify;
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU16, Ordering};

    thread_local! {
        static SECONDS: Cell<u64> = const { Cell::new(0) };
        static START: Instant = Instant::now();
    }

    fn clock() -> Instant {
        START.with(|start| *start + Duration::from_secs(SECONDS.get()))
    }

    struct Silent;

    impl Notify for Silent {
        fn notify(&self) {}
    }

    /// Answers at once, each time with another address; a name that begins with "no" has none.
    #[derive(Default)]
    struct Counting(Arc<AtomicU16>);

    impl Resolver for Counting {
        fn resolve(&mut self, query: Query) {
            let count = self.0.fetch_add(1, Ordering::Relaxed);
            let port = query.port();
            let none = query.name().starts_with("no");
            query.answer(if none {
                Err(ResolveError::NoAddress)
            } else {
                Ok(vec![SocketAddr::from(([10, 0, 0, count as u8], port))])
            });
        }
    }

    #[test]
    fn a_name_is_asked_for_once_in_thirty_seconds_and_one_without_addresses_once_in_one() {
        let asked = Arc::new(AtomicU16::new(0));
        let mut resolver = CachedResolver::with_clock(Counting(Arc::clone(&asked)), clock);
        let notifier: Arc<dyn Notify> = Arc::new(Silent);
        let inbox = Arc::new(Inbox::new(&notifier));
        let mut ask = |name: &str, port: u16| {
            let (lookup, query) = Lookup::new(&inbox, ConnectionId { index: 1, generation: 0 }, name, port);
            resolver.resolve(query);
            let (_, answer) = inbox.take().pop().expect("it answers at once");
            drop(lookup);
            answer.map(|addresses| addresses[0].to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(ask("a.test", 80).as_deref(), Ok("10.0.0.0:80"));
        SECONDS.set(29);
        assert_eq!(ask("A.test.", 81).as_deref(), Ok("10.0.0.0:81"), "the port is that of who asks");
        assert_eq!(ask("b.test", 80).as_deref(), Ok("10.0.0.1:80"));
        SECONDS.set(30);
        assert_eq!(ask("a.test", 80).as_deref(), Ok("10.0.0.2:80"), "it has grown old");
        let before = asked.load(Ordering::Relaxed);
        assert!(ask("no.test", 80).is_err() && ask("no.test", 80).is_err());
        assert_eq!(asked.load(Ordering::Relaxed), before + 1);
        SECONDS.set(31);
        assert!(ask("no.test", 80).is_err());
        assert_eq!(asked.load(Ordering::Relaxed), before + 2);
    }

    #[test]
    fn names_are_bounded() {
        let mut memory = Memory::default();
        for number in 0..3 * NAMES_MAX {
            memory.remember(number.to_string().into(), Answer::NoAddress, clock());
            assert!(memory.names.len() <= NAMES_MAX);
        }
    }
}
