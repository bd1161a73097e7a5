//! Loops on threads of their own, which begin and end together. Knows no connections.

use crate::{PollLoop, Stopper};
use lws_loop_external::Service;
use std::any::Any;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Threads with a loop each, beside the one that the caller runs.
///
/// Dropping it stops them and waits for them.
///
/// ```no_run
/// use lws_loop_external::{Application, Driver, DriverOptions, DriverShard, Shards};
/// use lws_loop_poll::{PollLoop, Threads};
/// use std::num::NonZeroU16;
///
/// fn serve<A: Application>(four: NonZeroU16, make: fn() -> A) -> std::io::Result<()> {
///     let mut shards = Shards::create(four, &DriverOptions::default())?.into_iter();
///     let mut poll_loop = PollLoop::new()?;
///     for first in shards.by_ref().take(1) {
///         // This one would listen here.
///         poll_loop.add(Driver::sharded(make(), first))?;
///     }
///     let start = |shard: DriverShard<A::Message>| {
///         move |poll_loop: &mut PollLoop<Driver<A>>| poll_loop.add(Driver::sharded(make(), shard)).map(drop)
///     };
///     let threads = Threads::start(poll_loop.stopper(), shards.map(start))?;
///     poll_loop.run()?;
///     threads.join()
/// }
/// ```
#[doc(alias = "count_threads")]
pub struct Threads {
    stop: Arc<StopAll>,
    running: Vec<JoinHandle<io::Result<()>>>,
}

/// Stops all loops of [`Threads`], and that of the caller.
#[derive(Clone, Debug)]
pub struct ThreadsStopper(Arc<StopAll>);

#[derive(Debug)]
struct StopAll {
    asked: AtomicBool,
    loops: Mutex<Vec<Stopper>>,
}

impl StopAll {
    /// Adds a loop. It is stopped at once if all were stopped already.
    fn add(&self, stopper: Stopper) {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        if self.asked.load(Ordering::Acquire) {
            stopper.stop();
        }
        loops.push(stopper);
    }

    fn stop(&self) {
        let loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        self.asked.store(true, Ordering::Release);
        loops.iter().for_each(Stopper::stop);
    }
}

impl ThreadsStopper {
    /// Ends every [`PollLoop::run`] after its turn.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl Threads {
    /// Starts one thread for each of `starts`, which gives the new loop its services there, and waits until all have. `own`
    /// is the loop that the caller will run: it is stopped when one of the threads fails.
    ///
    /// # Errors
    /// A thread could not be started, or what started there failed or panicked: the message says which one. The others
    /// have ended then.
    pub fn start<S, F>(own: Stopper, starts: impl IntoIterator<Item = F>) -> io::Result<Self>
    where
        S: Service,
        F: FnOnce(&mut PollLoop<S>) -> io::Result<()> + Send + 'static,
    {
        let stop = Arc::new(StopAll { asked: AtomicBool::new(false), loops: Mutex::new(vec![own]) });
        let mut threads = Self { stop, running: Vec::new() };
        let begun = threads.spawn_all(starts);
        match begun {
            Ok(()) => Ok(threads),
            Err(error) => {
                threads.stop.stop();
                // Joining first returns the error of the thread, of which the missing start is only a consequence.
                threads.join()?;
                Err(error)
            }
        }
    }

    fn spawn_all<S, F>(&mut self, starts: impl IntoIterator<Item = F>) -> io::Result<()>
    where
        S: Service,
        F: FnOnce(&mut PollLoop<S>) -> io::Result<()> + Send + 'static,
    {
        let mut beginnings: Vec<Receiver<()>> = Vec::new();
        for (number, start) in starts.into_iter().enumerate() {
            let (begun, has_begun) = sync_channel(1);
            let stop = Arc::clone(&self.stop);
            let name = format!("loop-{}", number + 1);
            let running = thread::Builder::new().name(name).spawn(move || run(&stop, start, &begun))?;
            self.running.push(running);
            beginnings.push(has_begun);
        }
        for has_begun in beginnings {
            let ended = |_| io::Error::other("a thread ended before it had begun");
            has_begun.recv().map_err(ended)?;
        }
        Ok(())
    }

    /// The number of threads, without that of the caller.
    #[must_use]
    pub fn count(&self) -> usize {
        self.running.len()
    }

    /// A handle that stops all of them, and the loop of the caller.
    #[must_use]
    pub fn stopper(&self) -> ThreadsStopper {
        ThreadsStopper(Arc::clone(&self.stop))
    }

    /// Waits until all threads have ended, because their services are done or because they were stopped.
    ///
    /// # Errors
    /// The first one that failed or panicked.
    pub fn join(mut self) -> io::Result<()> {
        self.join_all()
    }

    fn join_all(&mut self) -> io::Result<()> {
        let mut outcome = Ok(());
        for running in self.running.drain(..) {
            let name = running.thread().name().unwrap_or("a loop").to_owned();
            let ended = running.join().unwrap_or_else(|panic| Err(io::Error::other(panicked(&*panic))));
            let ended =
                ended.map_err(|error| io::Error::new(error.kind(), format!("thread {name}: {error}")));
            outcome = outcome.and(ended);
        }
        outcome
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if !self.running.is_empty() {
            self.stop.stop();
            // A caller that drops this value is not interested in errors.
            let _ = self.join_all();
        }
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Threads").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// The main function of a thread. If it fails, all loops are stopped.
fn run<S: Service>(
    stop: &Arc<StopAll>,
    start: impl FnOnce(&mut PollLoop<S>) -> io::Result<()>,
    begun: &SyncSender<()>,
) -> io::Result<()> {
    let mut guard = Guard(Some(stop));
    let mut poll_loop = PollLoop::new()?;
    start(&mut poll_loop)?;
    stop.add(poll_loop.stopper());
    // Sending fails if the caller has stopped waiting, because another thread has failed.
    let _ = begun.send(());
    poll_loop.run()?;
    guard.0 = None;
    Ok(())
}

/// Stops all loops when a thread fails or panics.
struct Guard<'a>(Option<&'a StopAll>);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(stop) = self.0 {
            stop.stop();
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("no message"))
}
