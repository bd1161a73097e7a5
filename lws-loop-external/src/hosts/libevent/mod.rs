//! A service in an event base of libevent: one event, with a timeout.

#[allow(unsafe_code)]
mod sys;

use super::OnCallbacks;
use crate::service::Service;
use std::io;

pub use sys::{Base, Event, RawBase};

/// A service in a [`Base`]. Dropping this removes it.
pub type OnLibevent<S> = OnCallbacks<S, Event>;

impl<S: Service + 'static> OnLibevent<S> {
    /// Hosts a service.
    ///
    /// # Errors
    /// The system has no descriptor left, or libevent cannot watch it.
    pub fn new(service: S, base: &Base) -> io::Result<Self> {
        Self::watched_by(service, |fd, call| base.watch(fd, call))
    }
}
