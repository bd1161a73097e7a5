//! Threads for what waits: disks, and the hashing of passwords.
//!
//! Knows no files. A result is handed to a closure of the host, on a thread of the pool: it puts it into the mailbox of the loop that
//! asked, and wakes that loop.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How much a pool does at a time, and how much may wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolOptions {
    /// Threads. They are started when there is work, and end when there is none for ten seconds. A disk answers few at a time faster
    /// than many: default 4.
    pub threads_max: usize,
    /// Jobs that wait for a thread. Past it [`Refusal::QueueFull`]: a client that hears 503 at once can go elsewhere, and one whose
    /// job waits behind a thousand others cannot. Default 256.
    pub queued_max: usize,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { threads_max: 4, queued_max: 256 }
    }
}

/// Why a job was not taken. What asked for it is answered with 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// [`PoolOptions::queued_max`] jobs wait already.
    QueueFull,
    /// [`WAITERS_MAX`](crate::WAITERS_MAX) wait already for results that are being made.
    WaitersFull,
    /// The system starts no thread.
    NoThread,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QueueFull => "the queue of the pool is full",
            Self::WaitersFull => "too many wait for a result",
            Self::NoThread => "the system starts no thread",
        })
    }
}

impl std::error::Error for Refusal {}

/// The work panicked. Its result does not exist, and the pool goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// Figures of a pool at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// Threads that there are.
    pub threads: usize,
    /// Threads that have a job.
    pub running: usize,
    /// Jobs that wait for a thread.
    pub queued: usize,
    /// Jobs that were refused, since the beginning.
    pub refused_total: u64,
}

/// Threads that do what would keep a loop waiting.
///
/// ```
/// use lws_files::{Pool, PoolOptions};
/// use std::sync::mpsc;
///
/// let pool = Pool::new("disk", PoolOptions::default());
/// let (mailbox, letters) = mpsc::channel();
/// pool.reserve()?.call(|| 6 * 7, move |result| drop(mailbox.send(result)));
/// assert_eq!(letters.recv(), Ok(Ok(42)));
/// # Ok::<(), lws_files::Refusal>(())
/// ```
///
/// The last handle that is dropped lets the threads end as soon as their queue is empty, and waits for none of them: one may hang.
#[derive(Clone)]
pub struct Pool(Arc<Handle>);

/// What the handles share, and the threads do not: so that a pool without handles ends.
struct Handle(Arc<SharedPool>);

struct SharedPool {
    name: &'static str,
    options: PoolOptions,
    state: Mutex<PoolState>,
    work: Condvar,
}

type Job = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct PoolState {
    queue: VecDeque<Job>,
    /// Places in the queue that were given and not used yet.
    reserved: usize,
    threads: usize,
    /// Threads without a job, also those that are only starting.
    idle: usize,
    refused_total: u64,
    closed: bool,
}

/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(10);

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("name", &self.0.0.name).field("counts", &self.counts()).finish()
    }
}

impl Pool {
    /// A pool without threads yet. `name` is theirs.
    #[must_use]
    pub fn new(name: &'static str, options: PoolOptions) -> Self {
        let options = PoolOptions { threads_max: options.threads_max.max(1), ..options };
        let (state, work) = Default::default();
        Self(Arc::new(Handle(Arc::new(SharedPool { name, options, state, work }))))
    }

    /// A place in the queue, and a thread that will come to it.
    ///
    /// # Errors
    /// There is none. Nothing has happened: what was to be done is still in the hands of the caller.
    pub fn reserve(&self) -> Result<Slot, Refusal> {
        let shared = &self.0.0;
        let mut state = shared.lock();
        let waiting = state.queue.len() + state.reserved;
        // An idle thread takes one at once: that one does not wait.
        let free = state.idle + shared.options.threads_max.saturating_sub(state.threads);
        if waiting >= shared.options.queued_max + free {
            state.refused_total += 1;
            return Err(Refusal::QueueFull);
        }
        if state.idle <= waiting && state.threads < shared.options.threads_max {
            if shared.start_thread() {
                state.threads += 1;
                state.idle += 1;
            } else if state.threads == 0 {
                // Without a thread the work would never be done.
                state.refused_total += 1;
                return Err(Refusal::NoThread);
            }
        }
        state.reserved += 1;
        Ok(Slot { shared: Arc::clone(shared), used: false })
    }

    /// How much is being done, and how much waits.
    #[must_use]
    pub fn counts(&self) -> PoolCounts {
        let state = self.0.0.lock();
        PoolCounts {
            threads: state.threads,
            running: state.threads - state.idle,
            queued: state.queue.len(),
            refused_total: state.refused_total,
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.work.notify_all();
    }
}

/// A place in the queue of a [`Pool`]. Given back if it is dropped.
pub struct Slot {
    shared: Arc<SharedPool>,
    used: bool,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").finish_non_exhaustive()
    }
}

impl Slot {
    /// Has `work` done, and `deliver` called with its result; both on a thread of the pool.
    pub fn call<T>(
        mut self,
        work: impl FnOnce() -> T + Send + 'static,
        deliver: impl FnOnce(Result<T, Panicked>) + Send + 'static,
    ) {
        let job: Job = Box::new(move || deliver(catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)));
        self.used = true;
        let mut state = self.shared.lock();
        state.reserved -= 1;
        state.queue.push_back(job);
        drop(state);
        self.shared.work.notify_one();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.used {
            self.shared.lock().reserved -= 1;
        }
    }
}

impl SharedPool {
    /// No job runs while this is held, so that a panic of one leaves the state whole.
    fn lock(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start_thread(self: &Arc<Self>) -> bool {
        let shared = Arc::clone(self);
        thread::Builder::new().name(self.name.into()).spawn(move || shared.work()).is_ok()
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            // `deliver` is of the host. A panic of it is lost with its message, and no reason to lose a thread.
            let _ = catch_unwind(AssertUnwindSafe(job));
            self.lock().idle += 1;
        }
    }

    /// The next job. `None` lets the thread end; it is not counted any more then.
    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        let mut waited = false;
        loop {
            if let Some(job) = state.queue.pop_front() {
                state.idle -= 1;
                return Some(job);
            }
            // Who has a place relies on a thread.
            if state.reserved == 0 && (state.closed || waited) {
                state.threads -= 1;
                state.idle -= 1;
                return None;
            }
            let (woken, timeout) =
                self.work.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            waited = timeout.timed_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{self, Receiver, Sender};

    /// A job that runs until it is let go.
    fn hang(pool: &Pool) -> Result<Sender<()>, Refusal> {
        let (go, gone): (Sender<()>, Receiver<()>) = mpsc::channel();
        pool.reserve()?.call(move || gone.recv(), |_| ());
        Ok(go)
    }

    fn wait_until(mut holds: impl FnMut() -> bool) {
        for _ in 0..2000 {
            if holds() {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("it never came");
    }

    #[test]
    fn what_hangs_takes_its_threads_and_its_queue_and_then_all_others_are_refused() {
        let pool = Pool::new("test", PoolOptions { threads_max: 2, queued_max: 3 });
        let hanging: Vec<_> = (0..2).map(|_| hang(&pool).expect("a thread is free")).collect();
        wait_until(|| pool.counts().running == 2 && pool.counts().queued == 0);
        let queued: Vec<_> = (0..3).map(|_| hang(&pool).expect("at the limit they wait")).collect();
        assert_eq!(hang(&pool).err(), Some(Refusal::QueueFull));
        assert_eq!(pool.counts(), PoolCounts { threads: 2, running: 2, queued: 3, refused_total: 1 });
        drop(hanging);
        drop(queued);
        wait_until(|| pool.counts().running == 0);
        hang(&pool).expect("there is room again");
    }

    #[test]
    fn a_panic_is_a_result_and_the_thread_goes_on() {
        let pool = Pool::new("test", PoolOptions { threads_max: 1, queued_max: 4 });
        let (sender, results) = mpsc::channel();
        for divisor in [0, 2] {
            let sender = sender.clone();
            let slot = pool.reserve().expect("there is room");
            slot.call(
                move || 10_u32.checked_div(divisor).expect("not by zero"),
                move |result| {
                    sender.send(result).expect("it listens");
                },
            );
        }
        assert_eq!(results.recv(), Ok(Err(Panicked)));
        assert_eq!(results.recv(), Ok(Ok(5)));
        assert_eq!(pool.counts().threads, 1);
    }

    #[test]
    fn a_place_that_is_not_used_is_free_again_and_a_dropped_pool_does_not_wait() {
        let pool = Pool::new("test", PoolOptions { threads_max: 1, queued_max: 0 });
        let slot = pool.reserve().expect("a thread is free");
        assert_eq!(pool.reserve().err(), Some(Refusal::QueueFull));
        drop(slot);
        let _hanging = hang(&pool).expect("it was given back");
        drop(pool);
    }
}
