//! The adapter between a client and an application of the driver.
//!
//! An application keeps a [`Client`], makes its connection state from a [`Link`], and passes on the calls about such
//! connections. After everything else that may have asked the client for something it calls [`Client::serve`].

use crate::client::{Action, Client};
use crate::failure::Failure;
use crate::pool::Link;
use lws_loop_external::{Application, ConnectCause, ConnectError, DriverContext, Peer};
use lws_proto::{Connection, Event, Time};
use std::sync::Arc;

impl Client {
    /// From [`Application::connected`].
    pub fn on_connected<A: Application<State: From<Link>>>(
        &mut self,
        cx: &mut DriverContext<'_, A>,
        link: Link,
        connection: &mut Connection,
    ) {
        self.tell_time(cx.now(), Some(cx.unix_seconds()));
        let address = match cx.peer() {
            Some(Peer::Tcp(peer)) => {
                let certificate = cx.tls().and_then(|info| info.certificate.as_deref());
                if let Some(certificate) = certificate {
                    self.identified(link, peer, certificate);
                }
                Some(Arc::from(peer.to_string()))
            }
            _ => None,
        };
        let http2 = match cx.tls() {
            Some(info) => info.alpn.as_deref() == Some(b"h2"),
            None => self.speaks_http2_in_plain(link),
        };
        self.connected(link, connection, http2, address);
        self.serve(cx);
    }

    /// From [`Application::connect_failed`].
    pub fn on_connect_failed<A: Application<State: From<Link>>>(
        &mut self,
        cx: &mut DriverContext<'_, A>,
        link: Link,
        error: &ConnectError,
    ) {
        self.tell_time(cx.now(), Some(cx.unix_seconds()));
        self.hosted.remove(link.name());
        match error.cause() {
            ConnectCause::Shared(address) => self.shared(link, *address),
            _ => self.connect_failed(link, &Failure::connecting(error)),
        }
        self.serve(cx);
    }

    /// From [`Application::event`].
    pub fn on_event<A: Application<State: From<Link>>>(
        &mut self,
        cx: &mut DriverContext<'_, A>,
        link: Link,
        event: Event<'_>,
    ) {
        self.tell_time(cx.now(), Some(cx.unix_seconds()));
        self.event(link, event);
        self.serve(cx);
    }

    /// From [`Application::woken`].
    pub fn on_woken<A: Application<State: From<Link>>>(
        &mut self,
        cx: &mut DriverContext<'_, A>,
        link: Link,
        connection: &mut Connection,
    ) {
        self.tell_time(cx.now(), Some(cx.unix_seconds()));
        self.woken(link, connection);
        self.serve(cx);
    }

    /// From [`Application::closed`].
    pub fn on_closed<A: Application<State: From<Link>>>(
        &mut self,
        cx: &mut DriverContext<'_, A>,
        link: Link,
    ) {
        self.tell_time(cx.now(), Some(cx.unix_seconds()));
        self.hosted.remove(link.name());
        self.closed(link);
        self.serve(cx);
    }

    /// Does what is due and what was asked of the client: connections are begun, lent, closed. To be called whenever the client may
    /// have been asked for something, and at [`next_timeout`](Self::next_timeout), which may have changed: an application
    /// sets its timer to it, or to a moment of its own that is earlier.
    pub fn serve<A: Application<State: From<Link>>>(
        &mut self,
        cx: &mut DriverContext<'_, A>,
    ) -> Option<Time> {
        let now = (cx.now(), Some(cx.unix_seconds()));
        while self.needs_service() || self.next_timeout().is_some_and(|at| at <= now.0) {
            self.settle(now.0, now.1);
            while let Some(action) = self.poll_action() {
                self.perform(cx, action);
            }
        }
        self.next_timeout()
    }

    fn perform<A: Application<State: From<Link>>>(&mut self, cx: &mut DriverContext<'_, A>, action: Action) {
        match action {
            Action::Connect { link, target, config, options } => {
                match cx.connect(target, config, &options, A::State::from(link)) {
                    Ok(id) => self.hosted.insert(link.name(), id),
                    Err(error) => self.connect_failed(link, &Failure::not_begun(&error)),
                }
            }
            Action::Wake(link) => {
                if let Some(id) = self.hosted.get(link.name()) {
                    cx.wake(*id);
                }
            }
            Action::Close(link) => {
                if let Some(id) = self.hosted.get(link.name()) {
                    cx.close(*id);
                }
            }
            Action::Abort(link) => {
                if let Some(id) = self.hosted.get(link.name()) {
                    cx.abort(*id);
                }
            }
        }
    }
}
