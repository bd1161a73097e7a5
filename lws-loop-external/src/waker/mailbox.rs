//! A queue that other threads fill, and the protocol by which its service is notified neither too rarely nor too often.
//!
//! Knows no descriptor and no service: the notifier and the primitives of synchronisation are those of the module around
//! it. The test `interleavings` puts others there, and walks through every order of events.

use super::notifier::Notifier;
use super::sync::{Arc, AtomicBool, Mutex, MutexGuard, Ordering, PoisonError};
use std::collections::VecDeque;
use std::fmt;

/// A message that could not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError<M> {
    /// As many as [`DriverOptions::mailbox_messages_max`](crate::DriverOptions::mailbox_messages_max) are waiting.
    Full(M),
    /// The service has gone.
    Closed(M),
}

impl<M> fmt::Display for SendError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "the mailbox of the service is full",
            Self::Closed(_) => "the service has gone",
        })
    }
}

impl<M: fmt::Debug> std::error::Error for SendError<M> {}

/// The end of the other threads.
pub(crate) struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The service's end.
pub(crate) struct Mailbox<T> {
    shared: Arc<Shared<T>>,
    /// Something may lie in the queue that was not taken yet.
    more: bool,
    /// Nothing is accepted any more.
    closed: bool,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    items_max: usize,
    /// The service was notified, and has not looked yet.
    notified: AtomicBool,
    notifier: Notifier,
}

struct Queue<T> {
    items: VecDeque<T>,
    /// `wake` was called since the service has looked.
    woken: bool,
    /// The service has gone. Known under the lock, so that no message is put where it would stay for ever.
    closed: bool,
}

impl<T> Sender<T> {
    /// Puts what `item` makes of `message` into the queue, and notifies the service.
    #[inline]
    pub(crate) fn send<M>(&self, message: M, item: impl FnOnce(M) -> T) -> Result<(), SendError<M>> {
        let mut queue = self.shared.lock();
        if queue.closed {
            return Err(SendError::Closed(message));
        }
        if queue.items.len() >= self.shared.items_max {
            return Err(SendError::Full(message));
        }
        queue.items.push_back(item(message));
        drop(queue);
        self.notify();
        Ok(())
    }

    /// Notifies the service, and leaves word that it was not for a message.
    pub(crate) fn wake(&self) {
        self.shared.lock().woken = true;
        self.notify();
    }

    /// Whether the service has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Notifies the service, once until it looks.
    pub(crate) fn notify(&self) {
        if !self.shared.notified.swap(true, Ordering::AcqRel) {
            self.shared.notifier.notify();
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Shared<T> {
    /// A panic in another thread cannot leave the queue half changed.
    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Mailbox<T> {
    pub(crate) fn new(notifier: Notifier, items_max: usize) -> Self {
        let shared = Shared {
            queue: Mutex::new(Queue { items: VecDeque::new(), woken: false, closed: false }),
            items_max,
            notified: AtomicBool::new(false),
            notifier,
        };
        Self { shared: Arc::new(shared), more: false, closed: false }
    }

    pub(crate) fn sender(&self) -> Sender<T> {
        Sender { shared: Arc::clone(&self.shared) }
    }

    pub(crate) fn notifier(&self) -> &Notifier {
        &self.shared.notifier
    }

    /// Whether the service was notified and has not looked yet.
    #[inline]
    pub(crate) fn is_notified(&self) -> bool {
        self.shared.notified.load(Ordering::Acquire)
    }

    /// The service looks: something may have come, which is then to be taken.
    pub(crate) fn acknowledge(&mut self) {
        // In this order: a sender that finds the service notified has put its message there already, and the service takes it
        // later; one that does not notifies by a new signal, which is not acknowledged here. A swap and no store: it reads what
        // the last sender has written, so that what that one did before is seen here.
        self.shared.notifier.acknowledge();
        self.shared.notified.swap(false, Ordering::AcqRel);
        self.more = true;
    }

    /// Whether something may lie there that was not taken.
    #[inline]
    pub(crate) fn has_more(&self) -> bool {
        self.more
    }

    /// Whether `wake` was called since this was asked last.
    pub(crate) fn take_woken(&mut self) -> bool {
        std::mem::take(&mut self.shared.lock().woken)
    }

    /// Takes the oldest message.
    pub(crate) fn take(&mut self) -> Option<T> {
        let mut queue = self.shared.lock();
        let item = queue.items.pop_front();
        // What comes from now on notifies again.
        self.more = !queue.items.is_empty();
        item
    }

    /// Accepts nothing any more. What was accepted before is still to be taken.
    pub(crate) fn close(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            self.shared.lock().closed = true;
            self.more = true;
        }
    }

    /// Accepts nothing any more if nothing is there. Otherwise notifies, so that what is there is taken.
    pub(crate) fn close_if_empty(&mut self) {
        let mut queue = self.shared.lock();
        if !queue.items.is_empty() || queue.woken {
            drop(queue);
            return self.sender().notify();
        }
        queue.closed = true;
        drop(queue);
        self.closed = true;
        self.more = false;
    }

    /// Whether everything that was ever accepted has been taken, and nothing can follow.
    pub(crate) fn is_over(&self) -> bool {
        self.closed && !self.more
    }
}

impl<T> Drop for Mailbox<T> {
    fn drop(&mut self) {
        let left = {
            let mut queue = self.shared.lock();
            queue.closed = true;
            std::mem::take(&mut queue.items)
        };
        // Not under the lock: a message may hold a way back to here.
        drop(left);
    }
}
