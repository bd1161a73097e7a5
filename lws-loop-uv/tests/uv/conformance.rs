//! libuv passes the suite: on a loop of our own, with functions that are linked or found by their names, and on one that a program runs
//! with timers of its own.

use crate::support::sys::Program;
use lws_loop_conformance::{Host, InChild, Nesting, Reentry};
use lws_loop_external::Service;
use lws_loop_uv::{Attached, Busy, Liveness, Outcome, UvLoop};
use std::cell::RefCell;
use std::rc::Rc;

/// Why a child leaves a loop of libuv alone.
const SHARED: &str = "libuv deregisters descriptors from an epoll that is the parent's too, and a child may not touch a loop before \
                      uv_loop_fork";

/// The way of a handler to the program's loop, and to the service in it. It is there while a service is hosted.
#[derive(Clone, Default)]
struct Way(Rc<RefCell<Option<Run>>>);

type Run = Box<dyn Fn() -> Reentry>;

impl Way {
    fn nesting(&self) -> Nesting {
        let Self(way) = self.clone();
        Nesting::Runs(Box::new(move |_| way.borrow().as_ref().map_or(Reentry::Refused, |run| run())))
    }
}

/// A loop of our own, to which one service is attached after the other.
struct Own(UvLoop, Way);

impl Own {
    fn new(uv_loop: UvLoop) -> Self {
        Self(uv_loop, Way::default())
    }
}

impl Host for Own {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        let Self(uv_loop, Way(way)) = self;
        let attached = Rc::new(uv_loop.attach(service).expect("attached"));
        attached.set_liveness(Liveness::UntilDone);
        let inside = Rc::downgrade(&attached);
        // `UvLoop::run` has the loop borrowed, so that a handler can only try the service.
        way.replace(Some(Box::new(move || match inside.upgrade().map(|attached| attached.with(|_| ())) {
            Some(Ok(())) => Reentry::Entered,
            Some(Err(Busy)) | None => Reentry::Refused,
        })));
        assert_eq!(uv_loop.run(), Ok(Outcome::Done));
        way.take();
        let attached = Rc::into_inner(attached).expect("the only one");
        let detaching = attached.detach();
        assert_eq!(uv_loop.run(), Ok(Outcome::Done));
        detaching.try_take().expect("it is let go of")
    }

    fn nesting(&mut self) -> Nesting {
        self.1.nesting()
    }

    fn in_child(&self) -> InChild {
        InChild::IsForgotten(SHARED)
    }

    fn name(&self) -> String {
        "libuv, a loop of our own".to_owned()
    }
}

/// The loop of a program that has its own work: its timers fire before, during and after the
/// service.
#[derive(Default)]
struct Foreign(Way);

impl Foreign {
    /// Whether the loop runs while no service is attached.
    fn run_alone(program: &Program) {
        let mut left = 3;
        program.every(1, move || {
            left -= 1;
            left > 0
        });
        assert!(!program.run());
        assert_eq!(program.handles(), 0);
    }
}

impl Host for Foreign {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        let program = Rc::new(Program::new());
        Self::run_alone(&program);
        let attached = Rc::new(RefCell::new(Some(program.reference().attach(service).expect("attached"))));
        let back = Rc::new(RefCell::new(None));
        let (inner, inside) = (Rc::clone(&program), Rc::clone(&attached));
        let Way(way) = &self.0;
        // The program's timer is what wakes the loop inside a handler.
        way.replace(Some(Box::new(move || {
            inner.once();
            match inside.borrow().as_ref().map(|attached| attached.with(|_| ())) {
                Some(Ok(())) => Reentry::Entered,
                Some(Err(Busy)) | None => Reentry::Ran,
            }
        })));
        // A timer of the program finds the service done, and detaches it.
        let (server, place) = (Rc::clone(&attached), Rc::clone(&back));
        program.every(1, move || {
            let is_done = |attached: &Attached<S>| attached.with(|service| service.is_done()) == Ok(true);
            let done = server.borrow().as_ref().is_some_and(is_done);
            let Some(attached) = server.borrow_mut().take_if(|_| done) else { return true };
            let place = Rc::clone(&place);
            attached.detach().then(move |service| *place.borrow_mut() = Some(service));
            false
        });
        assert!(!program.run());
        way.take();
        Self::run_alone(&program);
        assert_eq!(Rc::into_inner(program).map(Program::close), Some(0));
        back.take().expect("it was handed over")
    }

    fn nesting(&mut self) -> Nesting {
        self.0.nesting()
    }

    fn in_child(&self) -> InChild {
        InChild::IsForgotten(SHARED)
    }

    fn name(&self) -> String {
        "libuv, the loop of a program".to_owned()
    }
}

mod own {
    lws_loop_conformance::suite!(super::Own::new(super::UvLoop::new().expect("a loop")));
}

/// The functions as a host with its own libuv passes them: each looked up by name.
mod found {
    lws_loop_conformance::suite!({
        let library = crate::support::sys::found();
        super::Own::new(super::UvLoop::of(&library).expect("a loop"))
    });
}

mod foreign {
    lws_loop_conformance::suite!(super::Foreign::default());
}
