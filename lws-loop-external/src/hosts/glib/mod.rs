//! A service in a main context of GLib: one source, with a ready time. For GTK and everything else on GLib.
//!
//! A dozen functions are declared by hand, because the `glib` crate would bring thirty dependencies for them.

#[allow(unsafe_code)]
mod sys;

use super::OnCallbacks;
use crate::service::Service;
use std::io;

pub use sys::{GMainContext, MainContext, Source};

/// The priority of a service unless another is given: `G_PRIORITY_DEFAULT_IDLE`, behind user input, timers and GTK's redraw, so
/// that a flood of requests delays none of them.
pub const PRIORITY: i32 = 200;

/// A service in a [`MainContext`]. Dropping this removes it.
pub type OnGlib<S> = OnCallbacks<S, Source>;

impl<S: Service + 'static> OnGlib<S> {
    /// Hosts a service at [`PRIORITY`].
    ///
    /// # Errors
    /// The system has no descriptor left, or GLib no memory.
    pub fn new(service: S, context: &MainContext) -> io::Result<Self> {
        Self::with_priority(service, context, PRIORITY)
    }

    /// Hosts a service. Sources that are ready and have a lower number come first: 0 is that of GLib's own timers and of
    /// user input, 120 that of GTK's redraw.
    ///
    /// # Errors
    /// The system has no descriptor left, or GLib no memory.
    pub fn with_priority(service: S, context: &MainContext, priority: i32) -> io::Result<Self> {
        Self::watched_by(service, |fd, call| context.watch_with_priority(fd, priority, call))
    }
}
