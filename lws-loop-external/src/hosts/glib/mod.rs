//! A service in a main context of GLib: one source, with a ready time. For GTK and everything else on GLib.
//!
//! A dozen functions are declared by hand: the `glib` crate would bring a tree of thirty for them.

#[allow(unsafe_code)]
mod sys;

use super::OnCallbacks;
use crate::service::Service;
use std::io;

pub use sys::{GMainContext, MainContext, Source};

/// A service that a [`MainContext`] serves as long as this is kept.
pub type OnGlib<S> = OnCallbacks<S, Source>;

impl<S: Service + 'static> OnGlib<S> {
    /// Hosts a service.
    ///
    /// # Errors
    /// The system has no descriptor left, or GLib no memory.
    pub fn new(service: S, context: &MainContext) -> io::Result<Self> {
        Self::watched_by(service, |fd, call| context.watch(fd, call))
    }
}
