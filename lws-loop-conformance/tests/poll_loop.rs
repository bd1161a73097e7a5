//! The built-in loop passes the suite.

use lws_loop_conformance::{Host, Nesting};
use lws_loop_external::Service;
use lws_loop_poll::{Outcome, PollLoop};

/// A loop that hosts several services one after the other.
struct BuiltIn;

impl Host for BuiltIn {
    fn host<S: Service + 'static>(&mut self, service: S) -> S {
        let mut poll_loop = PollLoop::new().expect("a loop");
        let id = poll_loop.add(service).expect("room");
        assert_eq!(poll_loop.run().expect("a run"), Outcome::Done);
        poll_loop.remove(id).expect("the service")
    }

    fn nesting(&mut self) -> Nesting {
        Nesting::No("`PollLoop::run` has the loop borrowed while a handler runs")
    }

    fn name(&self) -> String {
        "the built-in loop".to_owned()
    }
}

lws_loop_conformance::suite!(BuiltIn);
