//! libuv passes the suite: on a loop of our own, with functions that are linked or found by their names, and on one that a program runs
//! with timers of its own.

use crate::support::sys::Program;
use lws_loop_conformance::Host;
use lws_loop_external::Service;
use lws_loop_uv::{Attached, Liveness, Outcome, UvLoop};
use std::cell::RefCell;
use std::rc::Rc;

/// A loop of our own, to which one service is attached after the other.
struct Own(UvLoop);

impl Host for Own {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        let Self(uv_loop) = self;
        let attached = uv_loop.attach(service).expect("attached");
        attached.set_liveness(Liveness::UntilDone);
        assert_eq!(uv_loop.run(), Ok(Outcome::Done));
        let detaching = attached.detach();
        assert_eq!(uv_loop.run(), Ok(Outcome::Done));
        detaching.try_take().expect("it is let go of")
    }

    fn name(&self) -> String {
        "libuv, a loop of our own".to_owned()
    }
}

/// The loop of a program that has its own work: its timers fire before, during and after the
/// service.
struct Foreign;

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
        let program = Program::new();
        Self::run_alone(&program);
        let attached = Rc::new(RefCell::new(Some(program.reference().attach(service).expect("attached"))));
        let back = Rc::new(RefCell::new(None));
        // A timer of the program finds the service done, and detaches it.
        let (server, place) = (Rc::clone(&attached), Rc::clone(&back));
        program.every(1, move || {
            let is_done = |attached: &Attached<S>| attached.with(|service| service.is_done()) == Ok(true);
            let done = server.borrow_mut().take_if(|attached| is_done(attached));
            let Some(attached) = done else { return true };
            let place = Rc::clone(&place);
            attached.detach().then(move |service| *place.borrow_mut() = Some(service));
            false
        });
        assert!(!program.run());
        Self::run_alone(&program);
        assert_eq!(program.close(), 0);
        back.take().expect("it was handed over")
    }

    fn name(&self) -> String {
        "libuv, the loop of a program".to_owned()
    }
}

mod own {
    lws_loop_conformance::suite!(super::Own(super::UvLoop::new().expect("a loop")));
}

/// The functions as a host with its own libuv passes them: each looked up by name.
mod found {
    lws_loop_conformance::suite!({
        let library = crate::support::sys::found();
        super::Own(super::UvLoop::of(&library).expect("a loop"))
    });
}

mod foreign {
    lws_loop_conformance::suite!(super::Foreign);
}
