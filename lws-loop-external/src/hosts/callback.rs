//! A service in a loop that calls back, as C's loops do. The handle and the loop's callback share the service.

use crate::clock::Clock;
use crate::one_descriptor::OneDescriptor;
use crate::service::Service;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

/// A watch in a loop: it calls back when a descriptor is readable, and after a timeout.
pub trait Watch: 'static {
    /// Starts to call back for the descriptor, and after `timeout`, which replaces the last one. Also ends a
    /// [`pause`](Self::pause).
    fn arm(&self, timeout: Option<Duration>);

    /// Stops to call back until [`arm`](Self::arm). Needed when the loop is run again inside the callback, for example
    /// by a dialog of the program: readiness cannot be handled there, and would be reported in every nested turn. A
    /// loop that never calls a callback inside itself needs nothing here.
    fn pause(&self) {}

    /// Stops for good, so that the watch no longer keeps the loop alive.
    fn stop(&self);
}

/// A service in a loop. Dropping this removes it from the loop.
///
/// When the service is done ([`Service::is_done`]) it no longer keeps the loop alive. In a loop of C a panic of a
/// handler ends the process, as it cannot unwind through C.
pub struct OnCallbacks<S: Service + 'static, W: Watch> {
    shared: Rc<SharedService<S, W>>,
}

/// The part that the handle and the callback share. The callback holds it weakly.
struct SharedService<S, W> {
    // In this order: the loop lets go of the descriptor before it is closed.
    watch: OnceCell<W>,
    /// The service: borrowed while it is in a call, `None` after it was given back.
    one: RefCell<Option<OneDescriptor<S>>>,
    /// Whether the watch is paused, because the loop was run inside a call of the service.
    paused: Cell<bool>,
    clock: Clock,
}

impl<S: Service + 'static, W: Watch> OnCallbacks<S, W> {
    /// Hosts a service. `watch` makes the watch in the loop, for the descriptor and with the callback that it is
    /// given.
    ///
    /// # Errors
    /// The system has no descriptor left, or the loop cannot watch it.
    pub fn watched_by(
        service: S,
        watch: impl FnOnce(BorrowedFd<'_>, Box<dyn Fn()>) -> io::Result<W>,
    ) -> io::Result<Self> {
        let one = OneDescriptor::new(service)?;
        let shared = Rc::new(SharedService {
            watch: OnceCell::new(),
            one: RefCell::new(None),
            paused: Cell::new(false),
            clock: Clock::new(),
        });
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

    /// Calls `call` with the service, and then gives it a turn. `None` from inside the service's own handlers,
    /// which have a [`DriverContext`](crate::DriverContext) instead.
    pub fn with<R>(&self, call: impl FnOnce(&mut S) -> R) -> Option<R> {
        let mut one = self.shared.one.try_borrow_mut().ok()?;
        let one = one.as_mut()?;
        let result = one.with(self.shared.clock.now(), call);
        if self.shared.paused.get() {
            self.shared.arm(one);
        }
        Some(result)
    }

    /// Whether nothing will ever happen again: see [`Service::is_done`]. False from inside its own handlers.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.shared.one.try_borrow().is_ok_and(|one| one.as_ref().is_some_and(OneDescriptor::is_done))
    }

    /// The clock whose time is passed to the service.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// Gives the service back, for another host. `None` from inside the service's own handlers: there the service
    /// ends, and is dropped after the handler.
    #[must_use]
    pub fn detach(self) -> Option<S> {
        if let Some(watch) = self.shared.watch.get() {
            watch.stop();
        }
        let one = self.shared.one.try_borrow_mut().ok()?.take()?;
        Some(one.detach())
    }
}

impl<S: Service, W: Watch> SharedService<S, W> {
    fn dispatch(&self) {
        let Ok(mut one) = self.one.try_borrow_mut() else {
            // A handler of the service runs the loop. The call around that handler arms the watch when it returns.
            self.paused.set(true);
            return self.watch.get().into_iter().for_each(Watch::pause);
        };
        let Some(one) = one.as_mut() else { return };
        one.dispatch(self.clock.now());
        self.arm(one);
    }

    /// Arms the watch for the service's next deadline.
    fn arm(&self, one: &OneDescriptor<S>) {
        let Some(watch) = self.watch.get() else { return };
        self.paused.set(false);
        if one.is_done() {
            watch.stop();
        } else {
            watch.arm(one.wait().deadline().map(|at| at - self.clock.now()));
        }
    }
}

impl<S: Service, W: Watch> fmt::Debug for OnCallbacks<S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnCallbacks").field("clock", &self.shared.clock).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::{Change, Readiness, Token, Trigger, Wait};
    use lws_proto::Time;

    /// The requests that a loop has received.
    #[derive(Default)]
    struct Asked {
        arms: Cell<usize>,
        pauses: Cell<usize>,
    }

    impl Watch for Rc<Asked> {
        fn arm(&self, _: Option<Duration>) {
            self.arms.set(self.arms.get() + 1);
        }

        fn pause(&self) {
            self.pauses.set(self.pauses.get() + 1);
        }

        fn stop(&self) {}
    }

    type Callback = Rc<dyn Fn()>;

    /// Runs its loop inside each of its turns.
    #[derive(Default)]
    struct Nesting {
        callback: Rc<RefCell<Option<Callback>>>,
    }

    impl Service for Nesting {
        fn attach(&mut self, _: Trigger) {}

        fn poll_change(&mut self) -> Option<Change> {
            None
        }

        fn descriptor(&self, _: Token) -> Option<BorrowedFd<'_>> {
            None
        }

        fn handle_ready(&mut self, _: Time, _: Token, _: Readiness) {}

        fn removed(&mut self, _: Token) {}

        fn refused(&mut self, _: Token, _: io::Error) {}

        fn settle(&mut self, _: Time) -> Wait {
            let callback = self.callback.borrow().clone();
            callback.into_iter().for_each(|callback| callback());
            Wait::Now
        }
    }

    #[test]
    fn a_loop_that_is_run_inside_a_dispatch_is_silent_until_that_returns() {
        let asked = Rc::new(Asked::default());
        let service = Nesting::default();
        let inner = Rc::clone(&service.callback);
        let hosted = OnCallbacks::watched_by(service, |_, call| {
            inner.replace(Some(Rc::from(call)));
            Ok(Rc::clone(&asked))
        });
        let hosted = hosted.expect("descriptors");
        assert_eq!((asked.arms.get(), asked.pauses.get()), (1, 0));
        let call = inner.borrow().clone().expect("a callback");
        call();
        assert_eq!((asked.arms.get(), asked.pauses.get()), (2, 1), "paused inside, and armed at the end");
        assert!(hosted.with(|_| ()).is_some());
        assert_eq!((asked.arms.get(), asked.pauses.get()), (3, 2), "and so with a call of the program");
    }
}
