//! A service in a task on tokio's reactor, of either runtime.

#[allow(unsafe_code)]
mod sys;

use crate::clock::Clock;
use crate::one_descriptor::OneDescriptor;
use crate::service::Service;
use std::io;
use tokio::io::unix::AsyncFd;

/// A service that a task serves: [`run`](Self::run) to the end of the service, or [`turn`](Self::turn) by turn among what
/// else the task waits for.
///
/// A task that serves moves between threads if the service can. Otherwise let it run where it was made: in `block_on`, of
/// the multi-thread runtime too, or in a `LocalSet`.
///
/// ```
/// use lws_loop_external::hosts::OnTokio;
/// use lws_loop_external::{Application, Driver};
///
/// fn spawn<A: Application<State: Send> + Send>(service: Driver<A>) {
///     tokio::spawn(async move { OnTokio::new(service)?.run().await });
/// }
/// ```
#[derive(Debug)]
pub struct OnTokio<S: Service> {
    descriptor: AsyncFd<OneDescriptor<S>>,
    clock: Clock,
}

impl<S: Service> OnTokio<S> {
    /// Hosts a service.
    ///
    /// # Errors
    /// The system has no descriptor left.
    ///
    /// # Panics
    /// Outside a runtime, or in one without its reactor, as [`AsyncFd`] does.
    pub fn new(service: S) -> io::Result<Self> {
        Ok(Self { descriptor: sys::register(OneDescriptor::new(service)?)?, clock: Clock::new() })
    }

    /// Waits until the service has something to do, and does it. Nothing is lost if the future is dropped before.
    ///
    /// # Errors
    /// The runtime shuts down, or the program has closed the descriptor of the service.
    ///
    /// # Panics
    /// In a runtime without timers.
    pub async fn turn(&mut self) -> io::Result<()> {
        let deadline = self.descriptor.get_ref().wait().deadline();
        let readable = self.descriptor.readable_mut();
        let ready = match deadline {
            Some(at) => tokio::time::timeout(at - self.clock.now(), readable).await.ok(),
            None => Some(readable.await),
        };
        // Readiness is cleared before the dispatch, so that anything that becomes ready during it is reported
        // again.
        if let Some(guard) = ready {
            guard?.clear_ready();
        }
        self.descriptor.get_mut().dispatch(self.clock.now());
        self.descriptor.get_ref().check()
    }

    /// Serves until nothing will ever happen again: see [`Service::is_done`]. Nothing is lost if the future is dropped
    /// before.
    ///
    /// # Errors
    /// The runtime shuts down.
    ///
    /// # Panics
    /// In a runtime without timers.
    pub async fn run(&mut self) -> io::Result<()> {
        while !self.service().is_done() {
            self.turn().await?;
        }
        Ok(())
    }

    /// Calls `call` with the service, between turns, and then gives it a turn.
    pub fn with<R>(&mut self, call: impl FnOnce(&mut S) -> R) -> R {
        self.descriptor.get_mut().with(self.clock.now(), call)
    }

    /// The clock whose time is passed to the service.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> &S {
        self.descriptor.get_ref().service()
    }

    /// Gives the service back, for another host.
    #[must_use]
    pub fn detach(self) -> S {
        self.descriptor.into_inner().detach()
    }
}
