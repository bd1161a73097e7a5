//! The one thing that other threads may touch: a mailbox, and a descriptor that says there is something in it.

use rustix::io::Errno;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reaches a service from other threads. Cheap to clone.
pub struct Handle<M> {
    shared: Arc<Shared<M>>,
}

struct Shared<M> {
    messages: Mutex<VecDeque<M>>,
    messages_max: usize,
    /// Somebody has called `wake`.
    woken: AtomicBool,
    /// The bell has rung and nobody has looked yet.
    rung: AtomicBool,
    /// The service has gone.
    closed: AtomicBool,
    bell: Bell,
}

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

impl<M> Handle<M> {
    /// Sends a message, and ends the wait of the host.
    ///
    /// # Errors
    /// The message, if too many are waiting or the service has gone.
    pub fn send(&self, message: M) -> Result<(), SendError<M>> {
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(SendError::Closed(message));
        }
        let mut messages = self.shared.lock();
        if messages.len() >= self.shared.messages_max {
            return Err(SendError::Full(message));
        }
        messages.push_back(message);
        drop(messages);
        self.shared.ring();
        Ok(())
    }

    /// Ends the wait of the host: [`Application::notified`](crate::Application::notified) follows, once for any
    /// number of calls before it.
    pub fn wake(&self) {
        self.shared.woken.store(true, Ordering::Release);
        self.shared.ring();
    }
}

impl<M> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<M> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// Whatever can end the wait of a host.
pub(crate) trait Ring: Send + Sync {
    /// Ends it, from any thread.
    fn ring(&self);
}

impl<M: Send> Ring for Shared<M> {
    fn ring(&self) {
        Shared::ring(self);
    }
}

impl<M> Shared<M> {
    /// A panic in another thread cannot leave the queue half changed.
    fn lock(&self) -> MutexGuard<'_, VecDeque<M>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rings once until somebody looks.
    fn ring(&self) {
        if !self.rung.swap(true, Ordering::AcqRel) {
            self.bell.ring();
        }
    }
}

/// The service's end.
pub(crate) struct Mailbox<M> {
    shared: Arc<Shared<M>>,
    /// Swapped with the queue, so that both keep their room.
    spare: VecDeque<M>,
}

impl<M> Mailbox<M> {
    pub(crate) fn new(messages_max: usize) -> io::Result<Self> {
        let shared = Shared {
            messages: Mutex::default(),
            messages_max,
            woken: AtomicBool::new(false),
            rung: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            bell: Bell::new()?,
        };
        Ok(Self { shared: Arc::new(shared), spare: VecDeque::new() })
    }

    pub(crate) fn handle(&self) -> Handle<M> {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// The bell, for whoever has something else than messages to bring.
    pub(crate) fn ringer(&self) -> Arc<dyn Ring>
    where
        M: Send + 'static,
    {
        Arc::<Shared<M>>::clone(&self.shared)
    }

    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.shared.bell.listen.as_fd()
    }

    /// Whether the bell has rung.
    #[inline]
    pub(crate) fn has_rung(&self) -> bool {
        self.shared.rung.load(Ordering::Acquire)
    }

    /// What has come since the last look: whether `wake` was called, and the messages. They are to be given back empty.
    pub(crate) fn take(&mut self) -> (bool, VecDeque<M>) {
        // In this order: whoever finds it rung has put something there already, which is taken below, and whoever
        // does not rings a bell that nobody hushes.
        self.shared.bell.hush();
        self.shared.rung.store(false, Ordering::SeqCst);
        let woken = self.shared.woken.swap(false, Ordering::AcqRel);
        let messages = std::mem::replace(&mut *self.shared.lock(), std::mem::take(&mut self.spare));
        (woken, messages)
    }

    pub(crate) fn give_back(&mut self, messages: VecDeque<M>) {
        self.spare = messages;
    }
}

impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Release);
        self.shared.lock().clear();
    }
}

/// A descriptor that becomes readable.
struct Bell {
    listen: OwnedFd,
    /// Where an eventfd is not to be had.
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    pull: OwnedFd,
}

impl Bell {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        Ok(Self { listen: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    fn new() -> io::Result<Self> {
        let (listen, pull) = std::os::unix::net::UnixStream::pair()?;
        listen.set_nonblocking(true)?;
        pull.set_nonblocking(true)?;
        Ok(Self { listen: listen.into(), pull: pull.into() })
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn pull(&self) -> impl AsFd + '_ {
        &self.listen
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    fn pull(&self) -> impl AsFd + '_ {
        &self.pull
    }

    fn ring(&self) {
        // A full counter or pipe is readable already, and nothing else can fail.
        while rustix::io::write(self.pull(), &1_u64.to_ne_bytes()) == Err(Errno::INTR) {}
    }

    fn hush(&self) {
        let mut count = [0; 8];
        while rustix::io::read(&self.listen, &mut count) == Err(Errno::INTR) {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_mailbox_and_a_gone_service_give_the_message_back() {
        let mailbox = Mailbox::new(2).expect("a mailbox");
        let handle = mailbox.handle();
        assert_eq!(handle.send('a'), Ok(()));
        assert_eq!(handle.send('b'), Ok(()));
        assert_eq!(handle.send('c'), Err(SendError::Full('c')));
        drop(mailbox);
        assert_eq!(handle.send('d'), Err(SendError::Closed('d')));
    }

    #[test]
    fn messages_keep_their_order_and_many_calls_are_one_notice() {
        let mut mailbox = Mailbox::new(100).expect("a mailbox");
        let handle = mailbox.handle();
        assert!(!mailbox.has_rung());
        let other = handle.clone();
        std::thread::spawn(move || (0..100).for_each(|n| other.send(n).expect("room")))
            .join()
            .expect("no panic");
        handle.wake();
        handle.wake();
        assert!(mailbox.has_rung());
        let (woken, mut messages) = mailbox.take();
        assert!(woken);
        assert!(messages.drain(..).eq(0..100));
        mailbox.give_back(messages);
        assert!(!mailbox.has_rung());
        assert!(!mailbox.take().0);
    }

    #[test]
    fn whoever_sleeps_on_the_bell_misses_no_message() {
        use rustix::event::{PollFd, PollFlags, poll};
        const THREADS: usize = 4;
        const MESSAGES: usize = 20_000;
        let mut mailbox = Mailbox::new(THREADS * MESSAGES).expect("a mailbox");
        let send = |handle: Handle<usize>| {
            std::thread::spawn(move || (0..MESSAGES).for_each(|n| handle.send(n).expect("room")))
        };
        let threads: Vec<_> = (0..THREADS).map(|_| send(mailbox.handle())).collect();
        let mut received = 0;
        while received < THREADS * MESSAGES {
            let mut bell = [PollFd::from_borrowed_fd(mailbox.bell(), PollFlags::IN)];
            let patience = std::time::Duration::from_secs(20).try_into().expect("a short time");
            assert_eq!(poll(&mut bell, Some(&patience)), Ok(1), "after {received} messages");
            let (_, mut messages) = mailbox.take();
            received += messages.drain(..).count();
            mailbox.give_back(messages);
        }
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    }
}
