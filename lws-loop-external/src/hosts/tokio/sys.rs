//! The one unsafe call of tokio.

use crate::one_descriptor::OneDescriptor;
use crate::service::Service;
use std::io;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers the descriptor of a service with the reactor, for reading.
pub(super) fn register<S: Service>(one: OneDescriptor<S>) -> io::Result<AsyncFd<OneDescriptor<S>>> {
    // SAFETY: a `OneDescriptor` has the same epoll from its creation on, which it closes when it is dropped; and the one that
    // has the `AsyncFd` puts no other in its place.
    unsafe { Ok(AsyncFd::register_with_interest(one, Interest::READABLE)?) }
}
