//! A server on several threads: what each of them needs to build its part, and how they run together.

use crate::group::{Command, Group};
use crate::server::{Builder, Service, Settings};
use lws_loop_external as external;
use lws_loop_external::{Address, ListenerId};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread;

/// How many threads, and what each serves.
pub(crate) struct Description {
    pub(crate) count: u16,
    pub(crate) describe: Describe,
}

pub(crate) type Describe = Arc<dyn Fn(Builder) -> Builder + Send + Sync>;

/// How each thread comes to its own handlers.
pub(crate) struct Blueprint {
    pub(crate) builder: Settings,
    pub(crate) describe: Describe,
}

impl Blueprint {
    pub(crate) fn describe(&self) -> Builder {
        (self.describe)(self.builder.builder())
    }
}

/// The blueprint of a server with several threads, and where the first of them listens: the listener's name, its address
/// and which of the described ones it is.
type Plan = (Option<Blueprint>, Vec<(ListenerId, Address, usize)>);

/// What becomes the part of a server on one of its other threads.
pub struct Shard {
    seat: external::Shard<Command>,
    group: Arc<Group>,
    plan: Arc<Plan>,
}

impl Shard {
    pub(crate) fn new(seat: external::Shard<Command>, group: Arc<Group>, plan: Arc<Plan>) -> Self {
        Self { seat, group, plan }
    }

    /// Its number, from one on: zero is the thread that built the server.
    #[must_use]
    pub fn index(&self) -> usize {
        self.seat.index().into()
    }

    /// Makes its handlers: on the thread that will host the service.
    ///
    /// # Errors
    /// The description is another than the first time, or its own listener met something.
    pub fn build(self) -> io::Result<Service> {
        let Self { seat, group, plan } = self;
        let (blueprint, bound) = &*plan;
        // Without one there is no other thread.
        let blueprint = blueprint.as_ref().ok_or(io::ErrorKind::InvalidInput)?;
        blueprint.describe().build_shard(seat, &group, bound)
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shard").field("index", &self.index()).finish_non_exhaustive()
    }
}

/// As many as were asked for, or as there are processors.
pub(crate) fn count(asked: usize) -> io::Result<u16> {
    let count = if asked == 0 { thread::available_parallelism()?.get() } else { asked };
    let too_many = || io::Error::new(io::ErrorKind::InvalidInput, format!("{count} threads are too many"));
    u16::try_from(count).ok().filter(|count| *count <= THREADS_MAX).ok_or_else(too_many)
}

/// More than any machine has processors to gain from.
const THREADS_MAX: u16 = 1_024;

/// Runs the first part here, and each of the others on a thread of its own, until all have ended.
#[cfg(feature = "run")]
pub(crate) fn run(first: Service, others: Vec<Shard>) -> io::Result<()> {
    use lws_loop_poll::{PollLoop, Threads};
    let group = Arc::clone(&first.driver.application().shared.group);
    let mut poll_loop = PollLoop::new()?;
    poll_loop.add(first)?;
    let start =
        |shard: Shard| move |poll_loop: &mut PollLoop<Service>| poll_loop.add(shard.build()?).map(drop);
    let threads = Threads::start(poll_loop.stopper(), others.into_iter().map(start))?;
    let ran = poll_loop.run().map(drop);
    if ran.is_err() {
        group.drain();
    }
    drop(poll_loop);
    threads.join().and(ran)
}
