//! The conformance kit: scenarios that every loop passes which hosts a [`Service`], and a host that audits the service.
//!
//! Whoever writes a loop, or the glue for one, says how it runs a service, as a [`Host`], and applies the [`suite!`]: one
//! test for each scenario, which fails with a sentence and never hangs. A host for a plain poll(2) loop:
//!
//! ```
//! use lws_loop_conformance::Host;
//! use lws_loop_external::{Change, Interest, Readiness, Service, Token, Trigger};
//! use lws_proto::Time;
//! use rustix::event::{PollFd, PollFlags, poll};
//! use std::time::{Duration, Instant};
//!
//! struct PollHost;
//!
//! impl Host for PollHost {
//!     fn host<S: Service + 'static>(&mut self, mut service: S) -> S {
//!         service.attach(Trigger::Level);
//!         let start = Instant::now();
//!         let clock = || Time::ZERO + start.elapsed();
//!         let mut watched: Vec<(Token, Interest)> = Vec::new();
//!         loop {
//!             let mut wait = service.settle(clock()).timeout(clock());
//!             while let Some(change) = service.poll_change() {
//!                 let (Change::Add { token, .. } | Change::Modify { token, .. } | Change::Remove { token, .. }) = change;
//!                 watched.retain(|(other, _)| *other != token);
//!                 match change {
//!                     Change::Add { interest, .. } | Change::Modify { interest, .. } => watched.push((token, interest)),
//!                     Change::Remove { .. } => {
//!                         service.removed(token);
//!                         // It may have more to do now.
//!                         wait = Some(Duration::ZERO);
//!                     }
//!                 }
//!             }
//!             if service.is_done() {
//!                 // Nothing to let go of: the descriptors are known to this function only.
//!                 return service;
//!             }
//!             // A descriptor without interest is left out.
//!             let wanted: Vec<_> = watched.iter().filter(|(_, interest)| !interest.is_empty()).collect();
//!             let descriptor = |(token, interest): &&(Token, Interest)| {
//!                 let mut flags = PollFlags::empty();
//!                 flags.set(PollFlags::IN, interest.contains(Interest::READ));
//!                 flags.set(PollFlags::OUT, interest.contains(Interest::WRITE));
//!                 Some(PollFd::from_borrowed_fd(service.descriptor(*token)?, flags))
//!             };
//!             let mut descriptors: Vec<_> = wanted.iter().filter_map(descriptor).collect();
//!             let timeout = wait.and_then(|wait| wait.try_into().ok());
//!             poll(&mut descriptors, timeout.as_ref()).expect("a wait");
//!             let ready: Vec<_> = descriptors.iter().map(PollFd::revents).collect();
//!             for ((token, _), flags) in wanted.iter().zip(ready).filter(|(_, flags)| !flags.is_empty()) {
//!                 let ready = Readiness::READABLE.when(flags.contains(PollFlags::IN))
//!                     | Readiness::WRITABLE.when(flags.contains(PollFlags::OUT))
//!                     | Readiness::HANG_UP.when(flags.contains(PollFlags::HUP))
//!                     | Readiness::ERROR.when(flags.contains(PollFlags::ERR));
//!                 service.handle_ready(clock(), *token, ready);
//!             }
//!         }
//!     }
//!
//!     fn name(&self) -> String {
//!         "poll(2)".to_owned()
//!     }
//! }
//!
//! // In a file of tests:
//! mod poll_host {
//!     use super::PollHost;
//!     lws_loop_conformance::suite!(PollHost);
//! }
//!
//! // Or one of the scenarios, or with `run_all` all of them, without a test runner:
//! fn main() -> Result<(), lws_loop_conformance::Failure> {
//!     lws_loop_conformance::run("what_is_sent_comes_back", || PollHost)
//! }
//! ```
//!
//! # What the scenarios do
//!
//! Each is an application on a [`Driver`](lws_loop_external::Driver) that serves and connects to itself, with raw streams and
//! WebSockets over TCP, and raw streams over Unix sockets. Where the other end is a plain socket or a plain thread, the
//! scenario says so.
//!
//! * Echo, large transfers both ways, short writes, work beyond the budget of a turn.
//! * Slow readers, pauses and resumes from timers, from other connections and with input that was received already.
//! * Timers in order, many at once, and an earlier one that comes up in a long sleep; messages of many threads, and about
//!   connections that are still being made.
//! * A host that was away for longer than a deadline, with what was to come in time in the socket.
//! * Hundreds of connections; each direction's end; resets; refused, unanswered and aborted attempts to connect.
//! * Closing from inside callbacks; descriptor numbers that are used again at once.
//! * A service that leaves for another loop in mid-transfer, is dropped there, is drained with a deadline.
//! * No descriptor left; and a thousand services on one loop with a start-up that fails at each step, after each of which
//!   as many descriptors are open as before. These two run their test again in a process of its own.
//!
//! All the while the service watches its host: that it attaches first, flushes before it waits, lets go of what it is asked
//! to and of nothing else, reports nothing that it was not told of, refuses nothing, and never turns time back.
//!
//! # The auditor
//!
//! [`Auditor`] is a host too, and holds the service to the same standard: see there.
#![forbid(unsafe_code)]

mod auditor;
mod bench;
mod checked_service;
mod pattern;
mod random;
mod runner;
mod scarcity;
mod scenario;
mod setup;
mod watchdog;

pub use auditor::{Auditor, heard_another_thread};
#[doc(hidden)]
pub use runner::test;
pub use runner::{Failure, run, run_all};

#[cfg(not(target_os = "linux"))]
compile_error!("the edges that the auditor reports are those of epoll(7)");

use lws_loop_external::Service;

/// A loop under test: how it runs a service.
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

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
