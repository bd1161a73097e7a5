//! Ready hosts for the loops of other libraries.
//!
//! Some register each descriptor in the loop, the others only the one of a `OneDescriptor`. None of them waits; that is
//! the loop's part. `docs/embedding.md` helps to choose.
//!
//! | loop | host | feature | watches |
//! |---|---|---|---|
//! | poll(2) | [`OnPoll`] | none | each |
//! | mio | `OnMio` | `mio` | each |
//! | `polling` | `OnPolling` | `polling` | each |
//! | `async-io`, smol | `OnAsyncIo` | `async-io` | one |
//! | tokio | `OnTokio` | `tokio` | one |
//! | `calloop` | `OnCalloop` | `calloop` | one |
//! | GLib | `OnGlib` | `glib` | one |
//! | libevent | `OnLibevent` | `libevent` | one |
//! | libev | `OnLibev` | `libev` | one |
//!
//! To write a host that watches each descriptor, use [`settle`] and [`detach`]; for a loop that calls back,
//! `OnCallbacks`.

#[cfg(feature = "async-io")]
mod async_io;
#[cfg(feature = "mio")]
mod callback;
#[cfg(feature = "calloop")]
mod calloop;
mod each;
#[cfg(feature = "glib")]
pub mod glib;
#[cfg(feature = "libev")]
pub mod libev;
#[cfg(feature = "libevent")]
pub mod libevent;
#[cfg(feature = "mio")]
mod mio;
#[cfg(any(feature = "mio", feature = "polling"))]
mod numbers;
mod poll;
#[cfg(feature = "polling")]
mod polling;
#[cfg(feature = "tokio")]
mod tokio;

#[cfg(feature = "async-io")]
pub use self::async_io::OnAsyncIo;
#[cfg(feature = "mio")]
pub use self::callback::{OnCallbacks, Watch};
#[cfg(feature = "calloop")]
pub use self::calloop::OnCalloop;
pub use self::each::{detach, settle};
#[cfg(feature = "glib")]
pub use self::glib::OnGlib;
#[cfg(feature = "libev")]
pub use self::libev::OnLibev;
#[cfg(feature = "libevent")]
pub use self::libevent::OnLibevent;
#[cfg(feature = "mio")]
pub use self::mio::OnMio;
pub use self::poll::{OnPoll, PollFd};
#[cfg(feature = "polling")]
pub use self::polling::OnPolling;
#[cfg(feature = "tokio")]
pub use self::tokio::OnTokio;
pub use crate::sys::poll;
