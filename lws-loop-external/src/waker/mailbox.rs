//! A queue that other threads fill, and the protocol by which its service is notified neither too rarely nor too often.
//!
//! Knows no descriptor and no service: the notifier and the synchronisation primitives are those of the parent module.
//! The test `interleavings` substitutes others, and tries every order of events.

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

/// The sending end, for other threads.
pub(crate) struct Sender<T> {
    shared: Arc<SharedQueue<T>>,
}

/// The receiving end, for the service.
pub(crate) struct Mailbox<T> {
    shared: Arc<SharedQueue<T>>,
    /// Whether the queue may hold items that were not taken yet.
    more: bool,
    /// Whether the mailbox is closed for new messages.
    closed: bool,
}

struct SharedQueue<T> {
    queue: Mutex<LockedQueue<T>>,
    items_max: usize,
    /// Whether the service was notified, and has not acknowledged that yet.
    notified: AtomicBool,
    notifier: Notifier,
}

struct LockedQueue<T> {
    items: VecDeque<T>,
    /// Whether `wake` was called since [`Mailbox::take_woken`].
    woken: bool,
    /// Whether the service has ended. It is kept under the lock, so that no message is put into a queue from which
    /// nothing is taken any more.
    closed: bool,
}

impl<T> Sender<T> {
    /// Converts `message` by `item`, puts it into the queue, and notifies the service.
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

    /// Notifies the service without a message.
    pub(crate) fn wake(&self) {
        self.shared.lock().woken = true;
        self.notify();
    }

    /// Whether the service has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Notifies the service, unless it was notified and has not acknowledged that yet.
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

impl<T> SharedQueue<T> {
    /// A panic in another thread cannot leave the queue half changed.
    fn lock(&self) -> MutexGuard<'_, LockedQueue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Mailbox<T> {
    pub(crate) fn new(notifier: Notifier, items_max: usize) -> Self {
        let shared = SharedQueue {
            queue: Mutex::new(LockedQueue { items: VecDeque::new(), woken: false, closed: false }),
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

    /// Whether the service was notified, and has not acknowledged that yet.
    #[inline]
    pub(crate) fn is_notified(&self) -> bool {
        self.shared.notified.load(Ordering::Acquire)
    }

    /// Acknowledges a notification: messages may have arrived, which have to be taken afterwards.
    pub(crate) fn acknowledge(&mut self) {
        // The order matters: the signal is acknowledged before the flag is cleared. A sender that still finds the flag
        // set has put its message into the queue already, and the service takes it afterwards; a sender that finds it
        // cleared sends a new signal, which is not acknowledged here. The flag is cleared by a swap and not by a store,
        // because the swap reads the value of the last sender and so synchronises with it.
        self.shared.notifier.acknowledge();
        self.shared.notified.swap(false, Ordering::AcqRel);
        self.more = true;
    }

    /// Whether the queue may hold items that were not taken.
    #[inline]
    pub(crate) fn has_more(&self) -> bool {
        self.more
    }

    /// Whether `wake` was called since the last call of this.
    pub(crate) fn take_woken(&mut self) -> bool {
        std::mem::take(&mut self.shared.lock().woken)
    }

    /// Takes the oldest message.
    pub(crate) fn take(&mut self) -> Option<T> {
        let mut queue = self.shared.lock();
        let item = queue.items.pop_front();
        // With an empty queue, new messages notify again.
        self.more = !queue.items.is_empty();
        item
    }

    /// Closes the mailbox for new messages. Items that were accepted before are still to be taken.
    pub(crate) fn close(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            self.shared.lock().closed = true;
            self.more = true;
        }
    }

    /// Closes the mailbox if it is empty. Otherwise notifies the service, so that it takes the items.
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
        // Dropped outside of the lock, since a message may hold a handle to this mailbox, whose drop takes the
        // lock.
        drop(left);
    }
}
