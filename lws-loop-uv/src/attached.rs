//! A service that is attached to a loop, as the program holds it, and how it is detached.

use crate::host::Host;
use lws_loop_external::Service;
use lws_proto::Time;
use std::fmt;
use std::io;
use std::rc::Rc;

/// A service that is attached to a loop. Dropping this detaches the service, and drops the service when libuv has
/// closed its handles.
///
/// It belongs to the thread of the loop. Other threads reach the service through the service's own
/// handle.
#[must_use = "dropping it detaches the service"]
pub struct Attached<S: Service + 'static>(Rc<Host<S>>);

/// A service that is being detached. libuv closes its handles in the loop's next turn, and descriptors are
/// closed after that.
///
/// Dropping this drops the service when libuv has closed its handles.
#[must_use = "it is where the service comes back"]
pub struct Detaching<S: Service + 'static>(Rc<Host<S>>);

/// When a service keeps its loop running. `uv_run` returns when no active, referenced handle is
/// left.
///
/// One handle is referenced on behalf of all handles of the service, so it makes no difference which of its descriptors
/// are watched at the moment.
#[doc(alias = "uv_unref")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// While the service has something to wait for: a listener, a connection, a timer, pending work. The waker, which
    /// only lets other threads end the wait, does not count.
    #[default]
    WhileWaiting,
    /// Until the service is [done](Service::is_done) or detached, even while only other threads can give it work.
    UntilDone,
    /// Never: the loop runs for other reasons, or ends.
    Never,
}

/// The error of an attachment that failed, with the service.
pub struct AttachError<S: Service + 'static> {
    /// The cause: the loop has been closed, memory has run out, or the descriptor of the waker cannot be watched. Any
    /// other descriptor that cannot be watched is reported to the service by [`Service::refused`].
    pub error: io::Error,
    /// The service, which comes back once libuv has closed the handles that were made for it.
    pub service: Detaching<S>,
}

/// The error of a call that would need the service while it is in another call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl<S: Service + 'static> Attached<S> {
    pub(crate) fn new(host: Rc<Host<S>>) -> Result<Self, AttachError<S>> {
        match host.failure() {
            None => Ok(Self(host)),
            Some(error) => Err(AttachError { error, service: Detaching(host) }),
        }
    }

    /// Calls `call` with the service and then gives the service a turn: when this returns, its changes have been
    /// applied to libuv, and the loop will wake up at its next deadline.
    ///
    /// # Errors
    /// [`Busy`] if the service is in a call already: inside one of its handlers, or inside another
    /// `with`.
    pub fn with<R>(&self, call: impl FnOnce(&mut S) -> R) -> Result<R, Busy> {
        let result = {
            let (mut service, _entered) = self.0.enter().ok_or(Busy)?;
            call(&mut service)
        };
        self.0.turn();
        Ok(result)
    }

    /// The current time, as it is passed to the service. All loops of libuv share this clock.
    #[must_use]
    pub fn now(&self) -> Time {
        self.0.now()
    }

    /// Sets when the service keeps the loop running.
    pub fn set_liveness(&self, liveness: Liveness) {
        self.0.set_liveness(liveness);
    }

    /// Starts to detach the service from the loop. May be called anywhere on the loop's thread, also
    /// in a handler of the service or a callback of libuv.
    ///
    /// The service receives no more calls from the loop. Its handles are closed after the loop's next
    /// turn.
    #[must_use = "it is where the service comes back"]
    pub fn detach(self) -> Detaching<S> {
        self.0.leave();
        Detaching(Rc::clone(&self.0))
    }
}

impl<S: Service + 'static> Drop for Attached<S> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

impl<S: Service + 'static> Detaching<S> {
    /// Whether libuv has closed every handle.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.is_gone()
    }

    /// Takes the service, with all its descriptors open, to attach it to another loop or the same
    /// one again.
    ///
    /// # Errors
    /// Gives this back if libuv has not closed every handle yet.
    pub fn try_take(self) -> Result<S, Self> {
        self.0.take().ok_or(self)
    }

    /// Calls `then` with the service when libuv has closed every handle: at once, or in a turn of
    /// the loop.
    pub fn then(self, call: impl FnOnce(S) + 'static) {
        self.0.then(Box::new(call));
    }
}

impl<S: Service + 'static> fmt::Debug for Attached<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attached").finish_non_exhaustive()
    }
}

impl<S: Service + 'static> fmt::Debug for Detaching<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Detaching").field("is_done", &self.is_done()).finish_non_exhaustive()
    }
}

impl<S: Service + 'static> fmt::Debug for AttachError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttachError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<S: Service + 'static> fmt::Display for AttachError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the loop cannot host the service: {}", self.error)
    }
}

impl<S: Service + 'static> std::error::Error for AttachError<S> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the service is in a call already")
    }
}

impl std::error::Error for Busy {}
