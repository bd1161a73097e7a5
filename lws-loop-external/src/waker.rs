//! The only part of a service that other threads use: a mailbox, and a descriptor that announces messages.

mod mailbox;
mod notifier;
#[cfg(test)]
mod tests;

use crate::address::Peer;
use crate::net::Owned;
use crate::tls::ListenTls;
use crate::token::{ConnectionId, ListenerId};
pub use mailbox::SendError;
pub(crate) use notifier::Notifier;
use std::fmt;

/// The synchronisation primitives of the mailbox.
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, Ordering};
    pub(super) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
}

/// An item of the mailbox.
pub(crate) enum Post<M> {
    /// A message to the application.
    Message(M),
    /// A message to the application about one connection.
    To(ConnectionId, M),
    /// A connection that a listener of another shard has accepted, for which a place is reserved here.
    Socket(Box<Handover>),
}

/// A connection on its way to another shard.
pub(crate) struct Handover {
    /// The name of the listener in the shard that accepted the connection.
    pub(crate) listener: ListenerId,
    pub(crate) socket: Owned,
    pub(crate) peer: Peer,
    /// The TLS options of its listener.
    pub(crate) tls: Option<ListenTls>,
}

pub(crate) type Mailbox<M> = mailbox::Mailbox<Post<M>>;

/// A handle to a service, for other threads. Cheap to clone.
pub struct DriverHandle<M> {
    sender: mailbox::Sender<Post<M>>,
}

impl<M> DriverHandle<M> {
    pub(crate) fn of(mailbox: &Mailbox<M>) -> Self {
        Self { sender: mailbox.sender() }
    }

    /// Sends a message, and ends the wait of the host.
    ///
    /// # Errors
    /// The message, if too many are waiting or the service has gone.
    pub fn send(&self, message: M) -> Result<(), SendError<M>> {
        self.sender.send(message, Post::Message)
    }

    /// Sends a message about one connection: [`Application::message_to`](crate::Application::message_to) follows if the
    /// connection is there then, or when it is, and [`Application::undelivered`](crate::Application::undelivered) otherwise.
    ///
    /// # Errors
    /// The message, if too many are waiting or the service has gone.
    pub fn send_to(&self, id: ConnectionId, message: M) -> Result<(), SendError<M>> {
        self.sender.send(message, |message| Post::To(id, message))
    }

    /// Ends the wait of the host: [`Application::notified`](crate::Application::notified) follows, once for any
    /// number of calls before it.
    #[doc(alias = "lws_cancel_service_pt")]
    pub fn wake(&self) {
        self.sender.wake();
    }

    /// Whether the service has gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Ends the wait of the host, without a call to the application.
    pub(crate) fn notify(&self) {
        self.sender.notify();
    }

    pub(crate) fn hand_over(&self, handover: Handover) -> Result<(), SendError<Handover>> {
        self.sender.send(handover, |handover| Post::Socket(Box::new(handover)))
    }
}

impl<M> Clone for DriverHandle<M> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone() }
    }
}

impl<M> fmt::Debug for DriverHandle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverHandle").finish_non_exhaustive()
    }
}

/// A notifier that can end the wait of a host.
pub(crate) trait Notify: Send + Sync {
    /// Ends the wait, from any thread.
    fn notify(&self);
}

impl<M: Send> Notify for DriverHandle<M> {
    fn notify(&self) {
        DriverHandle::notify(self);
    }
}
