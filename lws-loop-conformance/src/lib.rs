//! The conformance kit: scenarios that every loop which hosts a [`Service`] has to pass, and a host that audits the
//! service.
//!
//! The author of a loop, or of the glue for one, implements [`Host`], which says how the loop runs a service, and
//! applies [`suite!`]: it makes one test for each scenario, which fails with an explanation and never hangs. A host for
//! a plain poll(2) loop:
//!
//! ```
//! use lws_loop_conformance::{Host, Nesting};
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
//!                         // The service may have more to do now.
//!                         wait = Some(Duration::ZERO);
//!                     }
//!                 }
//!             }
//!             if service.is_done() {
//!                 // The registrations are local to this function, so there is nothing to remove.
//!                 return service;
//!             }
//!             // A descriptor without interest is not watched.
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
//!     fn nesting(&mut self) -> Nesting {
//!         Nesting::No("the loop is `host`, which has the service borrowed while a handler runs")
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
//! WebSockets over TCP, and raw streams over Unix sockets. In some scenarios the other end is a plain socket or a plain
//! thread.
//!
//! * Echo, large transfers both ways, short writes, work beyond the budget of a turn.
//! * Slow readers, pauses and resumes from timers, from other connections and with input that was received already.
//! * Timers in order, many at once, and an earlier one that is set during a long sleep; messages of many threads, and
//!   about connections that are still being made.
//! * A host that was away for longer than a deadline, while input that met the deadline lies in the socket.
//! * Hundreds of connections; each direction's end; resets; refused, unanswered and aborted attempts to connect.
//! * Closing from inside callbacks; descriptor numbers that are used again at once.
//! * A service that moves to another loop in the middle of a transfer, is dropped there, or is drained with a
//!   deadline.
//! * A process without free descriptors; and a thousand services on one loop, with start-ups that fail at each step,
//!   each of which must leave as many descriptors open as before.
//! * A handler that runs the loop again, as a dialog does; and a child by fork(2), which leaves the service to its parent. What a loop
//!   cannot do, its [`Host`] says with the reason ([`Nesting`], [`InChild`]).
//!
//! Scenarios that change the whole process, or copy it, run in a process of their own.
//!
//! In every scenario the service also checks its host: it must attach first, take changes before it waits, let go of
//! removed descriptors and of no others, report only registered descriptors, refuse none, and never turn time back.
//!
//! # The auditor
//!
//! [`Auditor`] is a host that checks the service in turn.
#![deny(unsafe_code)]

mod auditor;
mod bench;
mod checked_service;
mod conduct;
mod pattern;
mod random;
mod runner;
mod scarcity;
mod scenario;
mod setup;
#[allow(unsafe_code)]
mod sys;
mod watchdog;

pub use auditor::{Auditor, received_from_another_thread};
pub use conduct::{InChild, Nesting, Reentry, RunAgain};
#[doc(hidden)]
pub use runner::test;
pub use runner::{Failure, run, run_all};

#[cfg(not(target_os = "linux"))]
compile_error!("the edges that the auditor reports are those of epoll(7)");

use lws_loop_external::Service;

/// A loop under test.
///
/// A loop that can report readiness in several ways is several hosts, one for each [`Trigger`](lws_loop_external::Trigger).
pub trait Host {
    /// Runs the service on the loop under test, on this thread, until [`Service::is_done`], and gives it back with the
    /// loop left as it was found: with none of the service's descriptors, and nothing of the host that still waits.
    ///
    /// A service may be done while it still has descriptors, because the kit moves services between loops. The
    /// descriptors stay open, and the host has to let go of them nevertheless.
    fn host<S: Service + 'static>(&mut self, service: S) -> S;

    /// How a handler runs this loop again, inside the call of [`host`](Self::host) that follows; or why no handler can.
    fn nesting(&mut self) -> Nesting;

    /// What this host does in the child of a fork(2). By default it gives the service back there too, and lets go of nothing.
    fn in_child(&self) -> InChild {
        InChild::GivesBack
    }

    /// The name of the loop in failures. By default that of the type.
    fn name(&self) -> String {
        std::any::type_name::<Self>().to_owned()
    }
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
