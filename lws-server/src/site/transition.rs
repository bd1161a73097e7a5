//! Changes of sites on their way over all threads of a server that runs.
//!
//! The first thread prepares them, site by site, a turn of the loop each; then the others do; and only when all are ready the first one
//! commits, and the others follow. What fails before leaves everything as it was.

use crate::Context;
use crate::id::{RouteId, SiteId};
use crate::site::changes::{SiteChange, SiteChanges};
use crate::site::install::PreparedSites;
use lws_loop_external::{Address, ListenerId};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Changes, how far the threads are with them, and what is called at their end.
pub(crate) struct Transition {
    pub(crate) steps: Vec<SiteChange>,
    /// What the first thread has prepared, for those that follow it.
    pub(crate) first: OnceLock<Vec<FirstSite>>,
    /// The listeners of the first thread, by site and place.
    pub(crate) listeners: OnceLock<Vec<Vec<ListenerId>>>,
    before: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    wanted: Mutex<Option<Box<dyn FnOnce() -> bool + Send>>>,
    /// Threads that have not answered yet.
    waiting: AtomicUsize,
    /// Why one of them could not.
    error: Mutex<Option<io::Error>>,
    then: Mutex<Option<Then>>,
}

/// Gets the names of the sites that have come, in their order, on the first thread.
pub(crate) type Then = Box<dyn FnOnce(&mut Context<'_>, io::Result<Vec<SiteId>>) + Send>;

/// A site that the first thread has prepared.
pub(crate) struct FirstSite {
    pub(crate) id: SiteId,
    pub(crate) routes: Arc<[RouteId]>,
    pub(crate) paths: Box<[Arc<str>]>,
    pub(crate) places: Vec<Place>,
}

/// Where a site listens.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Which of the listeners that the site describes.
    pub(crate) listen: usize,
    /// What the site asked for.
    pub(crate) asked: Address,
    /// What the system gave.
    pub(crate) address: Address,
}

/// A listener of a site that is open.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) place: Place,
    pub(crate) id: ListenerId,
}

impl Transition {
    pub(crate) fn new(changes: SiteChanges, then: Then) -> Self {
        Self {
            steps: changes.steps,
            first: OnceLock::new(),
            listeners: OnceLock::new(),
            before: Mutex::new(changes.before),
            wanted: Mutex::new(changes.wanted),
            waiting: AtomicUsize::new(0),
            error: Mutex::default(),
            then: Mutex::new(Some(then)),
        }
    }

    /// Sets how many threads will answer, before any does.
    pub(crate) fn wait_for(&self, threads: usize) {
        self.waiting.store(threads, Ordering::Release);
    }

    /// Records that a thread has done its part, or why it could not. Answers whether it was the last one.
    pub(crate) fn answered(&self, result: io::Result<()>) -> bool {
        if let Err(error) = result {
            lock(&self.error).get_or_insert(error);
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Why a thread could not.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        lock(&self.error).take()
    }

    /// Whether the changes are still wanted where they were asked for.
    ///
    /// # Errors
    /// It has given them up.
    pub(crate) fn check_wanted(&self) -> io::Result<()> {
        let wanted = lock(&self.wanted).take();
        if wanted.is_none_or(|wanted| wanted()) {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the changes are not wanted any more"))
    }

    /// Calls what is to be called before the sites change.
    pub(crate) fn call_before(&self) {
        let before = lock(&self.before).take();
        if let Some(before) = before {
            before();
        }
    }

    /// Passes the result on, once.
    pub(crate) fn finish(&self, cx: &mut Context<'_>, result: io::Result<Vec<SiteId>>) {
        let then = lock(&self.then).take();
        if let Some(then) = then {
            then(cx, result);
        }
    }
}

/// Nothing panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The changes that a thread is about. The first thread does one after another.
#[derive(Default)]
pub(crate) struct Changing {
    pub(crate) queue: VecDeque<Arc<Transition>>,
    pub(crate) now: Option<Preparing>,
}

/// How far a thread is with changes.
pub(crate) struct Preparing {
    pub(crate) transition: Arc<Transition>,
    /// The step that comes next.
    pub(crate) step: usize,
    pub(crate) sites: PreparedSites,
    /// What the first thread has prepared so far.
    pub(crate) first: Vec<FirstSite>,
}

impl Changing {
    pub(crate) fn is_busy(&self) -> bool {
        self.now.is_some()
    }
}

impl Preparing {
    pub(crate) fn new(transition: Arc<Transition>) -> Self {
        Self { transition, step: 0, sites: PreparedSites::default(), first: Vec::new() }
    }
}
