//! What is behind the functions that loops call: a server; and for tests of those functions, any other service.

#[cfg(feature = "conformance")]
use crate::conformance::Stranger;
use crate::error::Error;
use lws_loop_external::{Change, Readiness, Service, Token, Trigger, Wait};
use lws_proto::Time;
use lws_server::ServerService;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// What a host of C waits for.
#[cfg_attr(
    feature = "conformance",
    expect(clippy::large_enum_variant, reason = "a library has servers alone, which need no box for it")
)]
pub(crate) enum Hosted {
    Server(ServerService),
    /// A service that a test brings. The library that C links with has no such thing, so that nothing is asked there.
    #[cfg(feature = "conformance")]
    Stranger(Box<dyn Stranger>),
}

impl Hosted {
    /// The server, which calls about streams are for.
    pub(crate) fn server(&mut self) -> Result<&mut ServerService, Error> {
        match self {
            Self::Server(server) => Ok(server),
            #[cfg(feature = "conformance")]
            Self::Stranger(_) => Err(Error::State),
        }
    }
}

/// Passes a call on to whatever is hosted.
macro_rules! pass {
    ($hosted:ident, $service:ident => $call:expr) => {
        match $hosted {
            Hosted::Server($service) => $call,
            #[cfg(feature = "conformance")]
            Hosted::Stranger($service) => $call,
        }
    };
}

impl Service for Hosted {
    fn attach(&mut self, trigger: Trigger) {
        pass!(self, service => service.attach(trigger));
    }

    #[inline]
    fn poll_change(&mut self) -> Option<Change> {
        pass!(self, service => service.poll_change())
    }

    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        pass!(self, service => service.descriptor(token))
    }

    #[inline]
    fn handle_ready(&mut self, now: Time, token: Token, ready: Readiness) {
        pass!(self, service => service.handle_ready(now, token, ready));
    }

    fn removed(&mut self, token: Token) {
        pass!(self, service => service.removed(token));
    }

    fn refused(&mut self, token: Token, error: io::Error) {
        pass!(self, service => service.refused(token, error));
    }

    #[inline]
    fn settle(&mut self, now: Time) -> Wait {
        pass!(self, service => service.settle(now))
    }

    fn limit_turn(&mut self, time: Option<Duration>) {
        pass!(self, service => service.limit_turn(time));
    }

    fn is_forked(&self) -> bool {
        pass!(self, service => service.is_forked())
    }

    fn is_done(&self) -> bool {
        pass!(self, service => service.is_done())
    }

    fn keeps_alive(&self, token: Token) -> bool {
        pass!(self, service => service.keeps_alive(token))
    }
}
