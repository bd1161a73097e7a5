//! The hook for a simulation: a network, a wall clock and random bytes that replace the system's on one thread.
//!
//! This is the interface to the crate `lws-simulation`. Only the feature `simulation` compiles it.

use crate::address::Address;
use crate::socket_options::{ConnectOptions, ListenOptions};
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

/// A simulated environment of a service.
///
/// Each of its sockets has a real descriptor, on which no socket call is ever made: it reserves the number, so that
/// ownership and borrowing of descriptors work as usual. The methods are the system's calls, and fail with the system's
/// errors ([`io::Error::from_raw_os_error`]). None of them may call back into a service.
pub trait Network: 'static {
    /// Whether the descriptor of this number is one of its sockets, and not closed.
    fn owns(&self, socket: RawFd) -> bool;

    /// socket(2), bind(2) and listen(2).
    ///
    /// # Errors
    /// Those of the calls.
    fn listen(&mut self, address: &Address, options: &ListenOptions) -> io::Result<OwnedFd>;

    /// accept(2), which gives a socket that does not block and the address of its peer: `None` for a Unix socket.
    ///
    /// # Errors
    /// Those of the call.
    fn accept(&mut self, listener: RawFd) -> io::Result<(OwnedFd, Option<SocketAddr>)>;

    /// socket(2) and connect(2), which goes on when this returns.
    ///
    /// # Errors
    /// Those of the calls, without EINPROGRESS.
    fn connect(&mut self, address: &Address, options: &ConnectOptions) -> io::Result<OwnedFd>;

    /// SO_ERROR: takes the error that the socket has.
    ///
    /// # Errors
    /// That one.
    fn take_error(&mut self, socket: RawFd) -> io::Result<()>;

    /// getpeername(2); `None` for a Unix socket.
    ///
    /// # Errors
    /// Those of the call: ENOTCONN while a connection is being made, and when it has been reset.
    fn peer_address(&mut self, socket: RawFd) -> io::Result<Option<SocketAddr>>;

    /// getsockname(2).
    ///
    /// # Errors
    /// Those of the call.
    fn own_address(&mut self, socket: RawFd) -> io::Result<SocketAddr>;

    /// recv(2). Zero bytes are the end.
    ///
    /// # Errors
    /// Those of the call.
    fn receive(&mut self, socket: RawFd, buffer: &mut [u8]) -> io::Result<usize>;

    /// sendmsg(2).
    ///
    /// # Errors
    /// Those of the call.
    fn send(&mut self, socket: RawFd, buffers: &[IoSlice<'_>]) -> io::Result<usize>;

    /// shutdown(2) of the sending direction.
    ///
    /// # Errors
    /// Those of the call.
    fn finish(&mut self, socket: RawFd) -> io::Result<()>;

    /// Whether poll(2) would report POLLHUP: both directions have ended.
    fn has_hung_up(&mut self, socket: RawFd) -> bool {
        let _ = socket;
        false
    }

    /// SO_LINGER of no time: the close that follows resets the connection. A network that has no resets closes in order.
    ///
    /// # Errors
    /// Those of the call.
    fn reset_on_close(&mut self, socket: RawFd) -> io::Result<()> {
        let _ = socket;
        Ok(())
    }

    /// SIOCOUTQ: bytes that were taken and have not been acknowledged. `None` where the system does not say.
    fn under_way(&mut self, socket: RawFd) -> Option<usize> {
        let _ = socket;
        None
    }

    /// The descriptor is about to be closed.
    fn close(&mut self, socket: RawFd);

    /// Random bytes.
    fn random(&mut self, bytes: &mut [u8]);

    /// What the wall clock shows, from the first of January 1970 on, UTC.
    fn wall_clock(&mut self) -> Duration;
}

thread_local! {
    static ENTERED: RefCell<Option<Rc<RefCell<dyn Network>>>> = const { RefCell::new(None) };
}

/// Makes every service of this thread use `network`, until the returned value is dropped. Drop the services before
/// it.
#[must_use = "the network is left when this is dropped"]
pub fn enter(network: Rc<RefCell<dyn Network>>) -> Entered {
    Entered { before: ENTERED.replace(Some(network)), stays: PhantomData }
}

/// The guard of [`enter`]: while it exists, the services of this thread use the simulated network.
pub struct Entered {
    before: Option<Rc<RefCell<dyn Network>>>,
    /// Makes the type neither `Send` nor `Sync`, as it belongs to its thread.
    stays: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        // While a thread ends, its thread-local value may be gone already, and there is nothing to restore.
        let _ = ENTERED.try_with(|entered| entered.replace(before));
    }
}

impl std::fmt::Debug for Entered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}

/// Calls the network that this thread has entered, if there is one.
pub(crate) fn ask<R>(call: impl FnOnce(&mut dyn Network) -> R) -> Option<R> {
    let network = ENTERED.try_with(|entered| entered.borrow().clone()).ok()??;
    let mut network = network.borrow_mut();
    Some(call(&mut *network))
}

/// Calls the network about a socket, if the socket is one of its own.
pub(crate) fn of<R>(socket: RawFd, call: impl FnOnce(&mut dyn Network, RawFd) -> R) -> Option<R> {
    ask(|network| network.owns(socket).then(|| call(network, socket)))?
}
