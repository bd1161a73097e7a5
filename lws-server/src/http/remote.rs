//! What an exchange shares with another thread that works for it.
//!
//! Knows neither what is worked on nor how it is answered.

use crate::server::group::Group;
use crate::thread::command::Command;
use crate::{Context, StreamId};
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A value that two threads take turns at: the worker changes it and has the exchange woken, the exchange looks.
pub(super) struct Remote<T> {
    inner: Mutex<Inner<T>>,
    /// The worker waits for the exchange: for room, mostly.
    changed: Condvar,
}

pub(super) struct Inner<T> {
    pub(super) value: T,
    /// The exchange that waits. `None` before it has begun to.
    waiting: Option<(Arc<Group<Command>>, StreamId)>,
    /// The exchange has ended, so the work is not needed.
    pub(super) over: bool,
}

impl<T> Remote<T> {
    pub(super) fn new(value: T) -> Self {
        Self { inner: Mutex::new(Inner { value, waiting: None, over: false }), changed: Condvar::new() }
    }

    /// What is shared. A panic of the other thread leaves it as it was between two of its changes.
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change by the exchange.
    pub(super) fn wait<'a>(&self, locked: MutexGuard<'a, Inner<T>>) -> MutexGuard<'a, Inner<T>> {
        self.changed.wait(locked).unwrap_or_else(PoisonError::into_inner)
    }

    /// The exchange has made room, or is over.
    pub(super) fn notify(&self) {
        self.changed.notify_all();
    }

    /// The exchange that the call is about waits from now on: changes wake it.
    pub(super) fn begin(&self, cx: &Context<'_>) {
        self.lock().waiting = cx.id().map(|id| (Arc::clone(&cx.state.group), id));
    }

    /// The exchange is over.
    pub(super) fn end(&self) {
        let mut inner = self.lock();
        (inner.over, inner.waiting) = (true, None);
        drop(inner);
        self.notify();
    }

    /// Changes the value, and wakes the exchange if `change` says so. Answers whether the exchange is there or still to begin.
    pub(super) fn change(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let mut inner = self.lock();
        if inner.over {
            return false;
        }
        let wakes = change(&mut inner.value);
        if let Some((group, id)) = inner.waiting.as_ref().filter(|_| wakes) {
            group.wake(*id);
        }
        true
    }
}

impl<T: fmt::Debug> fmt::Debug for Remote<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().value.fmt(f)
    }
}
