//! The same WebSocket echo on every loop, as programs that `loops` starts.

use std::sync::Arc;

use lws_loop_external::{
    Accepted, Address, Application, Driver, DriverContext, DriverOptions, ListenOptions, ListenerId, Peer,
    Service,
};
use lws_loop_poll::PollLoop;
use lws_proto::{Config, Event, Payload, Time, ws};

use crate::Result;

/// The loop of a server.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
pub enum Kind {
    /// The built-in loop.
    BuiltIn,
    /// io_uring.
    #[cfg(feature = "loops")]
    Uring,
    /// libuv.
    #[cfg(feature = "loops")]
    Uv,
    /// The host for plain poll(2).
    #[cfg(feature = "loops")]
    Poll,
    /// The host for `polling`, edge-triggered.
    #[cfg(feature = "loops")]
    Polling,
    /// One descriptor, in plain poll(2).
    #[cfg(feature = "loops")]
    One,
    /// The host for `async-io`.
    #[cfg(feature = "loops")]
    AsyncIo,
    /// The host for tokio, on its current-thread runtime.
    #[cfg(feature = "loops")]
    Tokio,
    /// The host for calloop.
    #[cfg(feature = "loops")]
    Calloop,
    /// The host for GLib.
    #[cfg(feature = "loops")]
    Glib,
    /// The host for libevent.
    #[cfg(feature = "loops")]
    Libevent,
    /// The host for libev.
    #[cfg(feature = "loops")]
    Libev,
}

struct Echo(Arc<Config>);

impl Application for Echo {
    type State = ();
    type Message = ();

    fn accepted(
        &mut self,
        _: &mut DriverContext<'_, Self>,
        _: ListenerId,
        _: &Peer,
    ) -> Option<Accepted<Self>> {
        Some(Accepted { config: Arc::clone(&self.0), state: () })
    }

    fn event(&mut self, _: &mut DriverContext<'_, Self>, (): &mut (), event: Event<'_>) {
        match event {
            Event::Message { stream, kind, chunk, end, .. } => {
                if let Ok(permit) = stream.permit()
                    && let Ok(sent) = permit.message(kind, Payload::Copy(chunk), end)
                {
                    sent.throttle();
                }
            }
            Event::Request { stream, head, .. } => {
                // A request that is no opening handshake has been answered already.
                let _ = stream.accept_websocket(&head, &ws::Accept::new().streamed());
            }
            _ => {}
        }
    }

    fn clock(&mut self, unix_seconds: u32) {
        self.0.wall_clock.set(unix_seconds);
    }
}

/// Serves on `port` of 127.0.0.1 until the process is ended.
///
/// # Errors
/// When the port is taken or the loop fails.
pub fn run(kind: Kind, port: u16) -> Result<()> {
    serve(kind, service(port)?)
}

/// An echo that listens on `port` of 127.0.0.1.
pub(super) fn service(port: u16) -> Result<Driver<impl Application>> {
    let address: Address = format!("127.0.0.1:{port}").parse()?;
    let mut service = Driver::new(Echo(Arc::default()), DriverOptions::default())?;
    service.with(Time::ZERO, |_, cx| cx.listen(&address, &ListenOptions::default()))?;
    Ok(service)
}

/// Serves for as long as the loop runs.
pub(super) fn serve<S: Service + 'static>(kind: Kind, service: S) -> Result<()> {
    match kind {
        Kind::BuiltIn => {
            let mut poll_loop = PollLoop::new()?;
            poll_loop.add(service)?;
            poll_loop.run()?;
            Ok(())
        }
        #[cfg(feature = "loops")]
        foreign => foreign::run(foreign, service),
    }
}

#[cfg(feature = "loops")]
mod foreign {
    use std::sync::Arc;

    use lws_loop_external::hosts::{self, PollFd};
    use lws_loop_external::{Clock, Interest, OneDescriptor, Service, Trigger};
    use std::os::fd::AsRawFd;

    use super::Kind;
    use crate::Result;

    pub(super) fn run<S: Service + 'static>(kind: Kind, service: S) -> Result<()> {
        match kind {
            Kind::BuiltIn => Ok(()),
            Kind::Uring => {
                let mut uring_loop = lws_loop_uring::UringLoop::new()?;
                uring_loop.add(service)?;
                uring_loop.run()?;
                Ok(())
            }
            Kind::Uv => {
                let mut uv_loop = lws_loop_uv::UvLoop::new()?;
                let _service = uv_loop.attach(service).map_err(|error| error.error)?;
                uv_loop.run()?;
                Ok(())
            }
            Kind::Poll => poll(service),
            Kind::Polling => polling(service),
            Kind::One => one(service),
            Kind::AsyncIo => Ok(async_io::block_on(async { hosts::OnAsyncIo::new(service)?.run().await })?),
            Kind::Tokio => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                Ok(runtime.block_on(async { hosts::OnTokio::new(service)?.run().await })?)
            }
            Kind::Calloop => calloop(service),
            Kind::Glib => {
                let context = hosts::glib::MainContext::new()?;
                let service = hosts::OnGlib::new(service, &context)?;
                while !service.is_done() {
                    context.iteration(true);
                }
                Ok(())
            }
            Kind::Libevent => {
                let base = hosts::libevent::Base::new()?;
                let _service = hosts::OnLibevent::new(service, &base)?;
                Ok(base.run()?)
            }
            Kind::Libev => {
                let ev_loop = hosts::libev::Loop::new()?;
                let _service = hosts::OnLibev::new(service, &ev_loop)?;
                ev_loop.run();
                Ok(())
            }
        }
    }

    fn poll<S: Service + 'static>(service: S) -> Result<()> {
        let clock = Clock::new();
        let mut fds = Vec::new();
        let mut service = hosts::OnPoll::new(service);
        loop {
            let wait = service.settle(&mut fds, clock.now());
            if service.service().is_done() {
                return Ok(());
            }
            hosts::poll(&mut fds, wait.timeout(clock.now()))?;
            let now = clock.now();
            for fd in &mut fds {
                if fd.revents != 0 {
                    service.service_fd(fd, now);
                }
            }
        }
    }

    fn polling<S: Service + 'static>(service: S) -> Result<()> {
        let clock = Clock::new();
        let poller = Arc::new(polling::Poller::new()?);
        let mut events = polling::Events::new();
        let mut service = hosts::OnPolling::new(service, Arc::clone(&poller), Trigger::Edge, 1)?;
        loop {
            let wait = service.settle(clock.now());
            if service.service().is_done() {
                return Ok(());
            }
            events.clear();
            poller.wait(&mut events, wait.timeout(clock.now()))?;
            let now = clock.now();
            for event in events.iter() {
                service.handle(&event, now);
            }
        }
    }

    fn one<S: Service + 'static>(service: S) -> Result<()> {
        let clock = Clock::new();
        let mut one = OneDescriptor::new(service)?;
        while !one.is_done() {
            let mut fds = [PollFd::new(one.as_raw_fd(), Interest::READ)];
            hosts::poll(&mut fds, one.wait().timeout(clock.now()))?;
            one.dispatch(clock.now());
        }
        Ok(())
    }

    fn calloop<S: Service + 'static>(service: S) -> Result<()> {
        let mut event_loop = calloop::EventLoop::<bool>::try_new()?;
        let source = hosts::OnCalloop::new(service)?;
        let inserted = event_loop.handle().insert_source(source, |(), _, done| *done = true);
        inserted.map_err(|error| error.error)?;
        let mut done = false;
        while !done {
            event_loop.dispatch(None, &mut done)?;
        }
        Ok(())
    }
}
