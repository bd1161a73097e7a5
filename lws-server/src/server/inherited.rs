//! Sockets that listen already when a server begins, and that its listeners take in place of new ones.

use lws_loop_external::{Address, ListeningSocket};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The sockets that no listener has taken yet, for all threads of a server.
#[derive(Clone, Default)]
pub(crate) struct Inherited(Arc<Mutex<Vec<ListeningSocket>>>);

impl Inherited {
    pub(crate) fn add(&self, sockets: impl IntoIterator<Item = ListeningSocket>) {
        self.sockets().extend(sockets);
    }

    /// The socket for an address, once.
    pub(crate) fn take(&self, address: &Address) -> Option<ListeningSocket> {
        let mut sockets = self.sockets();
        let index = sockets.iter().position(|socket| socket.address() == address)?;
        Some(sockets.remove(index))
    }

    /// Closes the sockets that no listener has taken.
    pub(crate) fn close_left(&self) {
        self.sockets().clear();
    }

    /// Where the sockets listen that no listener has taken.
    pub(crate) fn left(&self) -> Vec<Address> {
        self.sockets().iter().map(|socket| socket.address().clone()).collect()
    }

    fn sockets(&self) -> MutexGuard<'_, Vec<ListeningSocket>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.left()).finish()
    }
}
