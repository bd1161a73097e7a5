//! The messages that other threads have sent to a service, and the descriptor that announces them.

use crate::registration::{Changes, Registration};
use crate::service::{Interest, Token, Trigger};
use crate::waker::{Mailbox, Post};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// The service's end of its mailbox, and the state of its delivery.
pub(crate) struct Messages<M> {
    mailbox: Mailbox<M>,
    pub(crate) registration: Registration,
    /// Whether [`Command::OpenMessages`](crate::command::Command::OpenMessages) is queued.
    is_queued: bool,
    /// Whether a handler has called [`DriverContext::pace_messages`](crate::DriverContext::pace_messages).
    is_paced: bool,
}

impl<M> Messages<M> {
    pub(crate) fn new(mailbox: Mailbox<M>, changes: &mut Changes) -> Self {
        let mut registration = Registration::default();
        registration.want(Interest::READ, Token::WAKER, changes);
        Self { mailbox, registration, is_queued: false, is_paced: false }
    }

    pub(crate) fn mailbox(&self) -> &Mailbox<M> {
        &self.mailbox
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.mailbox.notifier().descriptor()
    }

    /// The registration of the waker's descriptor, and its number.
    pub(crate) fn registration(&mut self) -> (&mut Registration, RawFd) {
        let fd = self.mailbox.notifier().descriptor().as_raw_fd();
        (&mut self.registration, fd)
    }

    /// Notes that the host has reported the descriptor.
    pub(crate) fn reported(&mut self, trigger: Trigger, changes: &mut Changes) {
        self.registration.reported(trigger, Token::WAKER, changes);
        self.mailbox.acknowledge();
    }

    /// Checks whether a message may have arrived. Returns true if the caller has to queue the command that opens
    /// messages; this counts as queued then.
    #[inline]
    pub(crate) fn look(&mut self) -> bool {
        if self.mailbox.is_notified() {
            self.mailbox.acknowledge();
        }
        self.mailbox.has_more() && !std::mem::replace(&mut self.is_queued, true)
    }

    /// Begins to open messages. Returns true if another thread has called `wake` since the last time.
    pub(crate) fn begin(&mut self) -> bool {
        (self.is_queued, self.is_paced) = (false, false);
        self.mailbox.take_woken()
    }

    pub(crate) fn take(&mut self) -> Option<Post<M>> {
        self.mailbox.take()
    }

    /// Delays the next message until the commands so far have been carried out.
    pub(crate) fn pace(&mut self) {
        self.is_paced = true;
    }

    pub(crate) fn is_paced(&self) -> bool {
        self.is_paced
    }

    #[inline]
    pub(crate) fn has_more(&self) -> bool {
        self.mailbox.has_more()
    }

    /// Closes the mailbox. Messages that were accepted before are still delivered.
    pub(crate) fn close(&mut self) {
        self.mailbox.close();
    }

    pub(crate) fn close_if_empty(&mut self) {
        self.mailbox.close_if_empty();
    }

    /// Whether everything that was ever accepted has been taken, and nothing can follow.
    pub(crate) fn is_over(&self) -> bool {
        self.mailbox.is_over()
    }
}
