//! A server as its program sees it: what runs, how it runs, how other threads reach it.
//!
//! Knows no protocol and no event.

pub(crate) mod description;
pub(crate) mod group;
pub(crate) mod inherited;
pub(crate) mod options;
pub(crate) mod peers;
pub(crate) mod pools;
#[cfg(feature = "run")]
pub(crate) mod run;
pub(crate) mod shard;
pub(crate) mod start;
pub(crate) mod stats;
pub(crate) mod threads;

use crate::Context;
use crate::app::App;
use crate::handle::Handle;
use crate::id::SiteId;
use crate::server::shard::Shard;
use lws_loop_external as external;
use lws_loop_external::{Address, Change, Driver, Readiness, Token, Trigger, Wait};
use lws_proto::Time;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;

/// A server that is listening, and has not begun to run.
///
/// It belongs to the thread that built it, as its handlers do; [`Builder::threads`](crate::Builder::threads) gives others handlers of their own. See
/// [`Handle`] for what any thread may do.
#[doc(alias = "lws_context")]
pub struct Server {
    pub(crate) service: ServerService,
    /// What the other threads will serve.
    pub(crate) others: Vec<Shard>,
}

impl Server {
    /// The server as a service, for a loop that already runs. Of a server with several threads it is that of the first one,
    /// and the others get nothing to do: see [`into_shards`](Self::into_shards).
    #[must_use]
    pub fn into_service(self) -> ServerService {
        self.service
    }

    /// The service of this thread, and what becomes the services of others: for loops of your own on each.
    #[must_use]
    pub fn into_shards(self) -> (ServerService, Vec<Shard>) {
        (self.service, self.others)
    }

    /// How many threads it will have.
    #[must_use]
    #[doc(alias = "lws_get_count_threads")]
    pub fn threads(&self) -> usize {
        self.handle().threads()
    }

    /// What other threads may hold.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.service.handle()
    }

    /// Where the server listens, in the order of the calls that said so. A port 0 has become a real one. Listeners of sites that are
    /// added later are not among them.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.service.addresses
    }

    /// The names of the sites that were described, in their order: the builder's own one first, if it says anything.
    #[must_use]
    pub fn sites(&self) -> &[SiteId] {
        &self.service.sites
    }

    /// The addresses of [`Builder::listening_sockets`](crate::Builder::listening_sockets) that no site has used so far:
    /// a client that connects there gets no answer.
    #[must_use]
    pub fn unclaimed_sockets(&self) -> Vec<Address> {
        self.service.driver.application().state.inherited.left()
    }

    /// The first TCP address of [`addresses`](Self::addresses).
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.addresses().iter().find_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            _ => None,
        })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

/// A server that any loop can host. Dropping it closes everything at once.
pub struct ServerService {
    pub(crate) driver: Driver<App>,
    pub(crate) addresses: Vec<Address>,
    /// The sites that it began with.
    pub(crate) sites: Vec<SiteId>,
}

impl ServerService {
    /// What other threads may hold.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.driver.application().state.group))
    }

    /// Reaches the server on the thread of its loop, between the calls of its host: to publish, to wake, to ask for permits, to
    /// look at the counters. The context belongs to no stream. `now` is the host's.
    ///
    /// What was asked for is done in the next [`settle`](external::Service::settle). Hosts with a `with` of their own see to that:
    ///
    /// ```
    /// use lws_loop_external::hosts::OnPoll;
    /// # use lws_loop_external::Clock;
    /// # use lws_server::{MessageKind, Server, ws::Broadcast};
    /// # let clock = Clock::new();
    /// let mut hosted = OnPoll::new(Server::builder().listen("127.0.0.1:0").build()?.into_service());
    /// let open = hosted.service_mut().with(clock.now(), |cx| cx.stats().connections);
    /// assert_eq!(open, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn with<R>(&mut self, now: Time, call: impl FnOnce(&mut Context<'_>) -> R) -> R {
        self.driver.with(now, |app, cx| {
            let result = call(&mut app.nowhere(cx));
            app.serve_client(cx);
            result
        })
    }
}

impl fmt::Debug for ServerService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerService").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

// Every one of them inline: a crate that hosts a server has the driver compiled once, where it is hosted, and not for some calls here as well.
impl external::Service for ServerService {
    #[inline]
    fn attach(&mut self, trigger: Trigger) {
        self.driver.attach(trigger);
    }

    #[inline]
    fn poll_change(&mut self) -> Option<Change> {
        self.driver.poll_change()
    }

    #[inline]
    fn handle_ready(&mut self, now: Time, token: Token, ready: Readiness) {
        self.driver.handle_ready(now, token, ready);
    }

    #[inline]
    fn descriptor(&self, token: Token) -> Option<BorrowedFd<'_>> {
        self.driver.descriptor(token)
    }

    #[inline]
    fn removed(&mut self, token: Token) {
        self.driver.removed(token);
    }

    #[inline]
    fn refused(&mut self, token: Token, error: io::Error) {
        self.driver.refused(token, error);
    }

    #[inline]
    fn settle(&mut self, now: Time) -> Wait {
        self.driver.settle(now)
    }

    #[inline]
    fn limit_turn(&mut self, time: Option<Duration>) {
        self.driver.limit_turn(time);
    }

    #[inline]
    fn is_forked(&self) -> bool {
        self.driver.is_forked()
    }

    #[inline]
    fn is_done(&self) -> bool {
        self.driver.is_done()
    }

    #[inline]
    fn keeps_alive(&self, token: Token) -> bool {
        self.driver.keeps_alive(token)
    }
}
