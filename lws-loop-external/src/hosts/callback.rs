//! A service in a loop that calls back, as C's do: whatever the loop, its handle and its callback share the service.

use crate::clock::Clock;
use crate::one_descriptor::OneDescriptor;
use crate::service::Service;
use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

/// Something in a loop that calls back when a descriptor is readable, and after a time.
pub trait Watch: 'static {
    /// Also calls back after `timeout`, if not before for the descriptor; in place of the time set before.
    fn arm(&self, timeout: Option<Duration>);

    /// Calls back no more, and keeps the loop alive no longer.
    fn stop(&self);
}

/// A service that a loop serves as long as this is kept.
///
/// When the service is done ([`Service::is_done`]) it no longer keeps the loop alive. A panic of a handler ends the process
/// where the loop is C's, as it cannot pass through.
pub struct OnCallbacks<S: Service + 'static, W: Watch> {
    shared: Rc<Shared<S, W>>,
}

/// What the callback has too, as long as there is a handle.
struct Shared<S, W> {
    // In this order: the loop lets go of the descriptor before it is closed.
    watch: OnceCell<W>,
    /// Borrowed while the service works. Empty after it was given back.
    one: RefCell<Option<OneDescriptor<S>>>,
    clock: Clock,
}

impl<S: Service + 'static, W: Watch> OnCallbacks<S, W> {
    /// Hosts a service in the loop in which `watch` makes a watch of the descriptor, with what is to be called.
    ///
    /// # Errors
    /// The system has no descriptor left, or the loop cannot watch it.
    pub fn watched_by(
        service: S,
        watch: impl FnOnce(BorrowedFd<'_>, Box<dyn Fn()>) -> io::Result<W>,
    ) -> io::Result<Self> {
        let one = OneDescriptor::new(service)?;
        let shared = Rc::new(Shared { watch: OnceCell::new(), one: RefCell::new(None), clock: Clock::new() });
        let callback = {
            let shared = Rc::downgrade(&shared);
            Box::new(move || {
                if let Some(shared) = shared.upgrade() {
                    shared.dispatch();
                }
            })
        };
        let watch = watch(one.as_fd(), callback)?;
        watch.arm(None);
        shared.watch.get_or_init(|| watch);
        shared.one.replace(Some(one));
        Ok(Self { shared })
    }

    /// Lends the service, and does what it was given to do. `None` from inside its own handlers, which are lent a
    /// [`Context`](crate::Context) for that.
    pub fn with<R>(&self, call: impl FnOnce(&mut S) -> R) -> Option<R> {
        let mut one = self.shared.one.try_borrow_mut().ok()?;
        Some(one.as_mut()?.with(self.shared.clock.now(), call))
    }

    /// Whether nothing will ever happen again: see [`Service::is_done`]. False from inside its own handlers.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.shared.one.try_borrow().is_ok_and(|one| one.as_ref().is_some_and(OneDescriptor::is_done))
    }

    /// What the service is told the time by.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// Gives the service back, for another host. From inside its own handlers that cannot be: there it ends, and is
    /// dropped after the handler.
    #[must_use]
    pub fn detach(self) -> Option<S> {
        if let Some(watch) = self.shared.watch.get() {
            watch.stop();
        }
        let one = self.shared.one.try_borrow_mut().ok()?.take()?;
        Some(one.detach())
    }
}

impl<S: Service, W: Watch> Shared<S, W> {
    fn dispatch(&self) {
        // It is borrowed if a handler of the service runs the loop: then there will be another call.
        let Ok(mut one) = self.one.try_borrow_mut() else { return };
        let (Some(one), Some(watch)) = (one.as_mut(), self.watch.get()) else { return };
        let now = self.clock.now();
        let wait = one.dispatch(now);
        if one.is_done() {
            watch.stop();
        } else {
            watch.arm(wait.deadline().map(|at| at - now));
        }
    }
}

impl<S: Service, W: Watch> fmt::Debug for OnCallbacks<S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnCallbacks").field("clock", &self.shared.clock).finish_non_exhaustive()
    }
}
