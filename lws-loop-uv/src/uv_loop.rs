//! A libuv loop of our own, and how services are attached to any loop.

use crate::attached::{AttachError, Attached, Busy};
use crate::host::Host;
use crate::library::Library;
use crate::sys::{LoopRef, Mode, Owner, Timer};
use lws_loop_external::Service;
use lws_proto::Time;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

impl LoopRef {
    /// Attaches a service, which the loop serves from now on. May be called in a handler of another service, or
    /// in a callback of libuv.
    ///
    /// # Errors
    /// The loop cannot host the service, which comes back in the error.
    pub fn attach<S: Service + 'static>(&self, service: S) -> Result<Attached<S>, AttachError<S>> {
        Attached::new(Host::attach(self, service))
    }

    /// The current time, as it is passed to services. All loops of libuv share this clock.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock()
    }
}

/// A loop of our own. Other code may put its own handles of libuv on it: see [`LoopRef::as_raw`].
///
/// Dropping it detaches all services and closes it. If other code has handles on it, it stays open and its memory is
/// never freed.
#[doc(alias = "uv_loop_t")]
pub struct UvLoop {
    /// The timer that ends the wait of `run_once` early. A field before the loop, so that it is
    /// dropped first.
    limit: Timer<Limit>,
    own: Own,
}

/// Closes the loop.
struct Own(LoopRef);

impl Drop for Own {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Why a run of the loop has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// [`LoopRef::stop`] was called. The services are as they were; the loop can run again.
    Stopped,
    /// Nothing keeps the loop running. See [`Liveness`](crate::Liveness).
    Done,
}

struct Limit;

impl Owner for Limit {}

impl UvLoop {
    /// A loop with nothing on it, of the libuv that this program is linked with.
    ///
    /// # Errors
    /// The system has no descriptor or memory left.
    #[cfg(feature = "linked")]
    pub fn new() -> io::Result<Self> {
        Self::of(&Library::linked())
    }

    /// A loop with nothing on it, of `library`.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    pub fn of(library: &Library) -> io::Result<Self> {
        let own = Own(LoopRef::create(library)?);
        Ok(Self { limit: Timer::new(&own.0, &Rc::new(Limit))?, own })
    }

    /// Runs until the loop is stopped or nothing keeps it running. Sleeps when there is nothing to
    /// do.
    ///
    /// # Errors
    /// The call comes from inside a service of this loop, where the loop cannot run.
    pub fn run(&mut self) -> Result<Outcome, Busy> {
        let stopped = self.run_in(Mode::Default)?;
        Ok(if stopped { Outcome::Stopped } else { Outcome::Done })
    }

    /// Runs one turn, which sleeps for at most `timeout`; with `None` it sleeps until there is something to
    /// do. Returns [`Outcome::Done`] when nothing keeps the loop running.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
    pub fn run_once(&mut self, timeout: Option<Duration>) -> Result<Option<Outcome>, Busy> {
        let mode = if timeout == Some(Duration::ZERO) { Mode::NoWait } else { Mode::Once };
        if let Some(timeout) = timeout.filter(|timeout| !timeout.is_zero()) {
            self.limit.start(self.own.0.clock() + timeout);
        }
        let ran = self.run_in(mode);
        self.limit.stop();
        ran.map(|_| (!self.own.0.is_alive()).then_some(Outcome::Done))
    }

    /// Runs one turn without sleeping.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
    pub fn dispatch(&mut self) -> Result<Option<Outcome>, Busy> {
        self.run_once(Some(Duration::ZERO))
    }

    /// Runs one turn without sleeping, and for at most about `time`, whatever the options of the services say; the
    /// services share that time. For the rest of a frame, in a program that draws.
    ///
    /// # Errors
    /// As of [`run`](Self::run).
    pub fn dispatch_within(&mut self, time: Duration) -> Result<Option<Outcome>, Busy> {
        self.own.0.limit_turns(Some(time));
        let outcome = self.dispatch();
        self.own.0.limit_turns(None);
        outcome
    }

    fn run_in(&mut self, mode: Mode) -> Result<bool, Busy> {
        if self.own.0.is_entered() { Err(Busy) } else { Ok(self.own.0.run(mode)) }
    }
}

impl Deref for UvLoop {
    type Target = LoopRef;

    fn deref(&self) -> &LoopRef {
        &self.own.0
    }
}

impl fmt::Debug for UvLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UvLoop").field("at", &self.own.0).finish_non_exhaustive()
    }
}
