//! A service in a loop that calls back, as C's do: whatever the loop, its handle and its callback share the service.

use crate::clock::Clock;
use crate::one_descriptor::OneDescriptor;
use crate::service::Service;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

/// Something in a loop that calls back when a descriptor is readable, and after a time.
pub trait Watch: 'static {
    /// Calls back for the descriptor, and also after `timeout`, if not before; in place of the time set before. It goes on
    /// after a [`pause`](Self::pause).
    fn arm(&self, timeout: Option<Duration>);

    /// Calls back no more until it is armed again: the loop was run again inside the callback, by a dialog of the program
    /// say, and would call back all the time for what cannot be done now. Nothing for a loop that never calls one callback
    /// inside itself.
    fn pause(&self) {}

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
    /// The loop was run inside a call of the service, and its watch was paused.
    paused: Cell<bool>,
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
        let shared = Rc::new(Shared {
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

    /// Lends the service, and does what it was given to do. `None` from inside its own handlers, which are lent a
    /// [`DriverContext`](crate::DriverContext) for that.
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

    /// The clock whose time the service gets.
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
        let Ok(mut one) = self.one.try_borrow_mut() else {
            // A handler of the service runs the loop. The call that it is in arms the watch when it returns.
            self.paused.set(true);
            return self.watch.get().into_iter().for_each(Watch::pause);
        };
        let Some(one) = one.as_mut() else { return };
        one.dispatch(self.clock.now());
        self.arm(one);
    }

    /// Says when the loop is to call back.
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

    /// What a loop has been asked for.
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
