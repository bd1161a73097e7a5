//! The conformance kit: scenarios that every loop passes which hosts a [`Service`].
//!
//! Whoever writes a host says how it runs a service, as a [`Host`], and applies the [`suite!`].
#![forbid(unsafe_code)]

mod auditor;
mod guest;
mod pattern;
mod random;
mod scarcity;
mod scenario;
mod setup;
mod stage;
mod watch;

pub use auditor::{Auditor, heard_another_thread};
#[doc(hidden)]
pub use watch::test;
pub use watch::{Failure, run, run_all};

use lws_loop_external::Service;

/// A loop under test.
///
/// A loop that can report readiness in several ways is several hosts, one for each [`Trigger`](lws_loop_external::Trigger).
pub trait Host {
    /// Runs the service on the loop under test, on this thread, until [`Service::is_done`], and gives it back with the
    /// loop left as it was found: with none of the service's descriptors, and nothing of the host that still waits.
    ///
    /// A service may say that it is done while it has descriptors, as the kit lets one leave a loop for another. They
    /// stay open, and the host lets go of them all the same.
    fn host<S: Service + 'static>(&mut self, service: S) -> S;

    /// What the loop is called in failures. By default the name of the type.
    fn name(&self) -> String {
        std::any::type_name::<Self>().to_owned()
    }
}
