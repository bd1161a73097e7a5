//! The suite for loops on the libuv that a program has brought, such as Python's uvloop: the program loads this and says where the functions
//! are.

mod sys;

use lws_loop_conformance::{Host, InChild, Nesting};
use lws_loop_external::Service;
use lws_loop_uv::{Liveness, Outcome, UvLoop};

/// A loop that the functions of the program's libuv have made.
struct Brought(UvLoop);

impl Host for Brought {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        let Self(uv_loop) = self;
        let attached = uv_loop.attach(service).expect("attached");
        attached.set_liveness(Liveness::UntilDone);
        assert_eq!(uv_loop.run(), Ok(Outcome::Done));
        let detaching = attached.detach();
        assert_eq!(uv_loop.run(), Ok(Outcome::Done));
        detaching.try_take().expect("the loop has let go of it")
    }

    fn nesting(&mut self) -> Nesting {
        Nesting::No(
            "`UvLoop::run` has the loop borrowed while a handler runs, and answers `Busy` inside `Attached::with`",
        )
    }

    fn in_child(&self) -> InChild {
        InChild::IsForgotten("libuv deregisters descriptors from an epoll that is the parent's too")
    }

    fn name(&self) -> String {
        "the libuv of the program".to_owned()
    }
}
