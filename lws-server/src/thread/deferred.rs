//! Results that another thread makes for a stream: of a lookup on a disk, of a password that is hashed.
//!
//! The stream's handler keeps the [`Deferred`], and the other thread completes it. Then the handler is woken and takes the result. It
//! waits by a deadline of its own, as the other thread may hang.

use crate::Context;
use crate::id::StreamId;
use crate::server::group::Group;
use crate::thread::command::Command;
use std::sync::{Arc, Mutex, PoisonError};

/// A result that may not be there yet.
pub(crate) struct Deferred<T>(Arc<Mutex<Option<T>>>);

impl<T> Deferred<T> {
    /// The result, once, if it is there.
    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Completes a [`Deferred`], on whatever thread. One that is dropped wakes nothing.
pub(crate) struct Completer<T> {
    result: Arc<Mutex<Option<T>>>,
    group: Arc<Group<Command>>,
    stream: StreamId,
}

impl<T> Completer<T> {
    /// Whether the stream still waits for it.
    pub(crate) fn is_awaited(&self) -> bool {
        Arc::strong_count(&self.result) > 1
    }

    /// Hands the result over, and has the handler of the stream woken. If the stream has gone nothing happens.
    pub(crate) fn complete(self, result: T) {
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        self.group.wake(self.stream);
    }
}

impl Context<'_> {
    /// Begins to wait for a result of another thread. `None` for a call that is about no stream.
    pub(crate) fn deferred_result<T>(&self) -> Option<(Deferred<T>, Completer<T>)> {
        let stream = self.id()?;
        let result = Arc::new(Mutex::new(None));
        let completer =
            Completer { result: Arc::clone(&result), group: Arc::clone(&self.state.group), stream };
        Some((Deferred(result), completer))
    }
}
