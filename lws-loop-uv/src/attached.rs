//! A service on a loop, as the program holds it, and its way out.

use crate::host::Host;
use lws_loop_external::Service;
use lws_proto::Time;
use std::fmt;
use std::io;
use std::rc::Rc;

/// A service that a loop serves. Dropping it detaches the service, and drops that when the loop has let go of it.
///
/// It belongs to the thread of the loop. What other threads may touch is the handle of the service.
#[must_use = "dropping it detaches the service"]
pub struct Attached<S: Service + 'static>(Rc<Host<S>>);

/// A service that a loop has still to let go of: libuv closes handles in its next turn, and not before that are
/// descriptors closed.
///
/// Dropping it drops the service when the loop has let go of it.
#[must_use = "it is where the service comes back"]
pub struct Detaching<S: Service + 'static>(Rc<Host<S>>);

/// How long a service keeps its loop running. `uv_run` returns when nothing does.
///
/// A service does it with one handle on behalf of all others, so that it makes no difference which of its descriptors are
/// watched at the moment.
#[doc(alias = "uv_unref")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Liveness {
    /// As long as there is something to wait for: a listener, a connection, a timer, work. What only lets other threads
    /// end the wait does not count.
    #[default]
    WhileWaiting,
    /// Until the service is [done](Service::is_done), or detached: also while only other threads can give it work.
    UntilDone,
    /// Not at all: the loop goes on for other reasons, or ends.
    Never,
}

/// A loop cannot host a service.
pub struct AttachError<S: Service + 'static> {
    /// Why: the loop has been closed, memory has run out, or the descriptor that lets other threads end the wait cannot be
    /// watched. What else cannot be watched is reported to the service, with [`Service::refused`].
    pub error: io::Error,
    /// The service. The loop may have begun to host it.
    pub service: Detaching<S>,
}

/// The service is in a call already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl<S: Service + 'static> Attached<S> {
    pub(crate) fn new(host: Rc<Host<S>>) -> Result<Self, AttachError<S>> {
        match host.failure() {
            None => Ok(Self(host)),
            Some(error) => Err(AttachError { error, service: Detaching(host) }),
        }
    }

    /// Lends the service, and then lets it do what it was given to do: what it wants watched is watched, and the loop
    /// wakes up in time, when this returns.
    ///
    /// # Errors
    /// The service is in a call already: this is one of its handlers, or another such loan.
    pub fn with<R>(&self, call: impl FnOnce(&mut S) -> R) -> Result<R, Busy> {
        let result = {
            let (mut service, _entered) = self.0.enter().ok_or(Busy)?;
            call(&mut service)
        };
        self.0.turn();
        Ok(result)
    }

    /// The time that is passed to the service: now. It is the same for all loops of libuv.
    #[must_use]
    pub fn now(&self) -> Time {
        self.0.now()
    }

    /// How long the service keeps the loop running.
    pub fn set_liveness(&self, liveness: Liveness) {
        self.0.set_liveness(liveness);
    }

    /// Takes the service from the loop, from anywhere: also in a handler of the service, or of libuv.
    ///
    /// From now on the loop tells the service nothing. It has let go of every handle after its next turn.
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
    /// Whether the loop has let go of every handle.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.is_gone()
    }

    /// The service, with all its descriptors open, for another loop or the same one.
    ///
    /// # Errors
    /// The loop has not let go of it.
    pub fn try_take(self) -> Result<S, Self> {
        self.0.take().ok_or(self)
    }

    /// Calls this with the service when the loop has let go of it: at once, or in the loop's turn.
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
