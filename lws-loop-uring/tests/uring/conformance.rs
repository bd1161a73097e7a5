//! The loop on io_uring passes the suite, also with a ring that is far too small for what it is given.

use lws_loop_conformance::{Host, Nesting};
use lws_loop_external::Service;
use lws_loop_uring::{Outcome, UringLoop};
use std::num::NonZeroU32;

/// A loop for each service, whose ring has room for this many completions.
struct OfSize(u32);

impl Host for OfSize {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        let completions = NonZeroU32::new(self.0).expect("room for one");
        let mut uring_loop = UringLoop::with_completions(completions).expect("a ring");
        let id = uring_loop.add(service).expect("room");
        assert_eq!(uring_loop.run().expect("a run"), Outcome::Done);
        uring_loop.remove(id).expect("the service")
    }

    fn nesting(&mut self) -> Nesting {
        Nesting::No("`UringLoop::run` has the loop borrowed while a handler runs")
    }

    fn name(&self) -> String {
        format!("io_uring with room for {} completions", self.0)
    }
}

mod uring {
    lws_loop_conformance::suite!(super::OfSize(4_096));
}

/// Requests wait in the backlog, and the kernel ends those whose completions find no room.
mod tiny_uring {
    lws_loop_conformance::suite!(super::OfSize(2));
}
