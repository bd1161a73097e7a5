//! A site on its way to all threads of a server that runs.

use crate::Context;
use crate::id::SiteId;
use crate::site::Site;
use lws_loop_external::{Address, ListenerId};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// How each thread comes to a site of its own, and what is called when all have it.
pub(crate) struct Addition {
    describe: Box<dyn Fn() -> Site + Send + Sync>,
    /// Threads that have not answered yet.
    waiting: AtomicUsize,
    /// Why one of them could not.
    error: Mutex<Option<io::Error>>,
    then: Mutex<Option<Then>>,
}

/// Gets the result, on the thread that is the last to answer.
pub(crate) type Then = Box<dyn FnOnce(&mut Context<'_>, io::Result<SiteId>) + Send>;

/// A listener of the first thread, for those that follow it.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    /// Which of the listeners that the site describes.
    pub(crate) listen: usize,
    pub(crate) id: ListenerId,
    /// What the site asked for.
    pub(crate) asked: Address,
    /// What the system gave.
    pub(crate) address: Address,
}

impl Addition {
    pub(crate) fn new(describe: Box<dyn Fn() -> Site + Send + Sync>, then: Then) -> Self {
        Self { describe, waiting: AtomicUsize::new(0), error: Mutex::default(), then: Mutex::new(Some(then)) }
    }

    pub(crate) fn describe(&self) -> Site {
        (self.describe)()
    }

    /// Sets how many threads will answer, before any does.
    pub(crate) fn wait_for(&self, threads: usize) {
        self.waiting.store(threads, Ordering::Release);
    }

    /// Records that a thread has the site, or why it has not. Answers whether it was the last one.
    pub(crate) fn answered(&self, result: io::Result<()>) -> bool {
        if let Err(error) = result {
            self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        self.waiting.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Why a thread could not.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Passes the result on, once.
    pub(crate) fn finish(&self, cx: &mut Context<'_>, result: io::Result<SiteId>) {
        let then = self.then.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(then) = then {
            then(cx, result);
        }
    }
}
