//! A service in a loop of libev: one watcher of a descriptor, and one of time.

#[allow(unsafe_code)]
mod sys;

use super::OnCallbacks;
use crate::service::Service;
use std::io;

pub use sys::{Loop, RawLoop, Watcher};

/// A service in a [`Loop`]. Dropping this removes it.
pub type OnLibev<S> = OnCallbacks<S, Watcher>;

impl<S: Service + 'static> OnLibev<S> {
    /// Hosts a service.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn new(service: S, ev_loop: &Loop) -> io::Result<Self> {
        Self::watched_by(service, |fd, call| Ok(ev_loop.watch(fd, call)))
    }
}
