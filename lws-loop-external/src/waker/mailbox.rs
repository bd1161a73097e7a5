//! A queue that other threads fill, and the protocol by which a bell rings neither too rarely nor too often.
//!
//! Knows no descriptor and no service: the bell and the primitives of synchronisation are those of the module around
//! it. The test `interleavings` puts others there, and walks through every order of events.

use super::bell::Bell;
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
    /// Swapped with the queue, so that both keep their room.
    spare: VecDeque<T>,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    items_max: usize,
    /// The bell has rung and nobody has looked yet.
    rung: AtomicBool,
    bell: Bell,
}

struct Queue<T> {
    items: VecDeque<T>,
    /// Somebody has called `wake`.
    woken: bool,
    /// The service has gone. Known under the lock, so that nothing is put where nobody will ever look.
    closed: bool,
}

impl<T> Sender<T> {
    /// Puts what `item` makes of `message` into the queue, and rings.
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
        self.ring();
        Ok(())
    }

    /// Rings, and leaves word that it was not for a message.
    pub(crate) fn wake(&self) {
        self.shared.lock().woken = true;
        self.ring();
    }

    /// Whether the service has gone.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }

    /// Rings once until somebody looks.
    pub(crate) fn ring(&self) {
        if !self.shared.rung.swap(true, Ordering::AcqRel) {
            self.shared.bell.ring();
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
    pub(crate) fn new(bell: Bell, items_max: usize) -> Self {
        let shared = Shared {
            queue: Mutex::new(Queue { items: VecDeque::new(), woken: false, closed: false }),
            items_max,
            rung: AtomicBool::new(false),
            bell,
        };
        Self { shared: Arc::new(shared), spare: VecDeque::new() }
    }

    pub(crate) fn sender(&self) -> Sender<T> {
        Sender { shared: Arc::clone(&self.shared) }
    }

    pub(crate) fn bell(&self) -> &Bell {
        &self.shared.bell
    }

    /// Whether the bell has rung.
    #[inline]
    pub(crate) fn has_rung(&self) -> bool {
        self.shared.rung.load(Ordering::Acquire)
    }

    /// What has come since the last look: whether `wake` was called, and the messages. They are to be given back empty.
    pub(crate) fn take(&mut self) -> (bool, VecDeque<T>) {
        // In this order: whoever finds it rung has put something there already, which is taken below, and whoever
        // does not rings a bell that nobody hushes. A swap and no store: it reads what the last one to ring has
        // written, so that what that one did before is seen here.
        self.shared.bell.hush();
        self.shared.rung.swap(false, Ordering::AcqRel);
        let mut queue = self.shared.lock();
        let items = std::mem::replace(&mut queue.items, std::mem::take(&mut self.spare));
        (std::mem::take(&mut queue.woken), items)
    }

    pub(crate) fn give_back(&mut self, items: VecDeque<T>) {
        self.spare = items;
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
