//! Hosts services on libuv: on a loop of its own, or on one that the program owns.
//!
//! A [`Service`](lws_loop_external::Service) is [attached](LoopRef::attach) to a loop, and detached again, at any moment
//! and from anywhere on the loop's thread. Nothing here runs a loop that the program owns, and nothing blocks it.
//!
//! * Each descriptor has a `uv_poll_t`. The descriptor is closed after libuv has closed that handle, in a later turn of
//!   the loop.
//! * Deadlines are one `uv_timer_t`; work that no descriptor announces keeps the loop from sleeping with a `uv_idle_t`.
//! * A loop that nothing else keeps running ends when the service has nothing to wait for: see [`Liveness`].
//! * After [`Attached::detach`] and one more turn, the loop has none of our handles.
//!
//! A handler that panics ends the process, as libuv has no way to pass a panic on.
//!
//! # On a loop of our own
//!
//! ```no_run
//! use lws_loop_external::{Application, Driver};
//! use lws_loop_uv::UvLoop;
//!
//! fn serve<A: Application + 'static>(service: Driver<A>) -> Result<(), Box<dyn std::error::Error>> {
//!     let mut uv_loop = UvLoop::new()?;
//!     let attached = uv_loop.attach(service)?;
//!     uv_loop.run()?;
//!     drop(attached);
//!     Ok(())
//! }
//! ```
//!
//! # On the loop of the program
//!
//! ```no_run
//! use lws_loop_external::{Application, Driver};
//! use lws_loop_uv::{Attached, LoopRef, RawLoop};
//! use std::ptr::NonNull;
//!
//! /// Begins to serve, whenever the program runs the loop.
//! ///
//! /// # Safety
//! /// As of [`LoopRef::from_raw`].
//! unsafe fn begin<A: Application + 'static>(
//!     program_loop: NonNull<RawLoop>,
//!     service: Driver<A>,
//! ) -> Result<Attached<Driver<A>>, Box<dyn std::error::Error>> {
//!     // SAFETY: the caller says so.
//!     let program_loop = unsafe { LoopRef::from_raw(program_loop) };
//!     Ok(program_loop.attach(service)?)
//! }
//!
//! /// Ends it. `done` is called when libuv has closed every handle, and the program may close the loop.
//! fn end<A: Application + 'static>(attached: Attached<Driver<A>>, done: impl FnOnce() + 'static) {
//!     attached.detach().then(move |service| {
//!         drop(service);
//!         done();
//!     });
//! }
//! ```

//!
//! # On a libuv that the host program has loaded
//!
//! Node, Neovim and Python's uvloop carry a libuv of their own, and two versions do not know each other's handles. A [`Library`] is the table
//! of the functions that are used: [`Library::linked`] has those of the system's libuv, [`Library::find`] looks them up
//! by name, for example with `dlsym` among those that the process has loaded; [`LoopRef::of`] and [`UvLoop::of`] take
//! the table. Without the feature `linked` no libuv need be installed where this is built.

#[cfg(not(unix))]
compile_error!("descriptors and their readiness are Unix's");

mod attached;
mod host;
mod library;
mod sys;
mod uv_loop;

pub use attached::{AttachError, Attached, Busy, Detaching, Liveness};
pub use library::{Library, LibraryError, RawLoop};
pub use sys::LoopRef;
pub use uv_loop::{Outcome, UvLoop};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod package_readme {}
