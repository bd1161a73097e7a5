//! The application that a server is to its driver: events in, calls of handlers out.
//!
//! What is to be done with a request is decided in `route/resolve.rs`, and done here: `requests.rs` begins exchanges and WebSockets,
//! `admission.rs` has guards asked before, `subrequests.rs` has other routes asked, `events.rs` calls the handlers of what has begun,
//! `ends.rs` ends it, `delivery.rs` sends what was published, `commands.rs` does what other handlers and threads ask for, `changes.rs` changes the
//! sites on all threads, `client.rs` serves the thread's client, and `links.rs` is
//! about connections that no listener has accepted. Knows no socket and no loop.

mod admission;
mod changes;
#[cfg(feature = "client")]
mod client;
mod commands;
mod delivery;
mod driver_access;
mod ends;
mod events;
mod links;
mod requests;
mod subrequests;

use crate::context::{Context, Subject};
use crate::id::{RouteId, StreamId};
use crate::link::Link;
use crate::link::stream::{StreamPhase, StreamState};
use crate::link::streams::{Ingress, Streams};
use crate::publish::topics::Subscriptions;
use crate::site::Speaks;
use crate::thread::ThreadState;
use crate::thread::access::{self, AccessRecord, RequestOrigin};
use crate::thread::command::{Command, StreamCommand};
use crate::thread::panics::{self, PanicRecord, Panicked};
use crate::tls::{self, Failure, Info, Plain};
use crate::{Peer, ws};
use lws_loop_external as external;
use lws_loop_external::{
    Accepted, Application, ConnectError, ConnectionId, Descriptor, DescriptorEvent, ListenerId, ProxyFailure,
    UdpEvent,
};
use lws_proto::{Cause, Connection, Event, StreamKey};
use std::sync::Arc;
#[cfg(feature = "proxies")]
use std::time::Duration;

/// One thread of a server.
pub(crate) struct App {
    pub(crate) state: ThreadState,
    #[cfg(feature = "record")]
    pub(crate) recorder: Option<Arc<lws_record::Folder>>,
}

pub(crate) type Lent<'a> = external::DriverContext<'a, App>;

/// The context of a call about a WebSocket.
#[inline]
fn context_of<'a>(
    state: &'a mut ThreadState,
    cx: &'a mut Lent<'_>,
    route: RouteId,
    key: StreamKey,
    subscriptions: &'a mut Subscriptions,
) -> Context<'a> {
    Context::new(cx, state, Subject { route, key: Some(key) }, Some(subscriptions))
}

impl App {
    /// The context of a call that is about no stream.
    pub(crate) fn nowhere<'a>(&'a mut self, cx: &'a mut Lent<'_>) -> Context<'a> {
        Context::new(cx, &mut self.state, Subject::NONE, None)
    }

    /// Reports the counters of this thread to the others.
    fn report(&mut self, cx: &mut Lent<'_>) {
        let group = Arc::clone(&self.state.group);
        if group.shards.count() > 1 {
            group.report(self.state.shard, self.nowhere(cx).thread_stats());
        }
    }

    /// Who is at the other end of the connection that is looked at.
    fn peer(&self, cx: &Lent<'_>) -> Peer {
        self.state.peers.get(cx.connection(), || cx.peer())
    }

    #[inline]
    fn log<'r>(&self, cx: &Lent<'_>, record: impl FnOnce() -> AccessRecord<'r>) {
        let (log, is_traced) = (&self.state.observers.log, self.state.spans.has(cx.connection()));
        if log.is_none() && !is_traced {
            return;
        }
        let record = record();
        // First: an observer may panic.
        self.state.spans.recorded(&record);
        if let Some(log) = log {
            log(&record);
        }
    }

    /// Where and when something has come that is looked at now, for its record.
    fn arrival(&self, cx: &Lent<'_>, key: Option<StreamKey>) -> RequestOrigin {
        let shard = self.state.shard;
        let stream = |(connection, key)| StreamId { shard, connection, key };
        RequestOrigin {
            peer: self.peer(cx),
            unix_seconds: self.state.unix_seconds,
            millis: cx.millis(),
            tls: cx.tls().map(|info| info.version),
            stream: cx.connection().zip(key).map(stream),
        }
    }

    // Panics.

    /// Calls something that may call a handler or an endpoint. `None` if one has panicked; the panic has been counted and reported.
    #[inline(always)]
    fn guard<R>(&mut self, cx: &mut Lent<'_>, call: impl FnOnce(&mut Self, &mut Lent<'_>) -> R) -> Option<R> {
        match panics::catch(|| call(&mut *self, &mut *cx)) {
            Ok(result) => Some(result),
            Err(panicked) => {
                self.report_panic(cx, &panicked);
                None
            }
        }
    }

    #[cold]
    fn report_panic(&mut self, cx: &Lent<'_>, panicked: &Panicked) {
        self.state.counters.panics += 1;
        let Some(on_panic) = &self.state.observers.on_panic else { return };
        let path = self.state.group.path(self.state.calling);
        let record = PanicRecord {
            route: path.as_deref(),
            peer: Some(self.peer(cx)).filter(|peer| *peer != Peer::Unknown),
            thread: usize::from(self.state.shard),
            message: panicked.message(),
        };
        // A panic of the observer of panics has no observer.
        let _ = panics::catch(|| on_panic(&record));
    }

    /// There is no client to serve.
    #[cfg(not(feature = "client"))]
    #[inline(always)]
    pub(crate) fn serve_client(&mut self, _: &mut Lent<'_>) {}

    fn report_tls(&mut self, cx: &mut Lent<'_>, event: tls::Event<'_>) -> Option<bool> {
        self.state.calling = RouteId::NONE;
        self.guard(cx, |app, cx| {
            app.state.observers.on_tls.as_ref().is_none_or(|on_tls| on_tls(&app.peer(cx), event))
        })
    }

    /// Whether the program wants a connection with this peer. One about which its hook panics it does not.
    #[cold]
    fn wants(&mut self, cx: &mut Lent<'_>, peer: &Peer) -> bool {
        self.state.calling = RouteId::NONE;
        let wanted = |app: &mut Self, _: &mut Lent<'_>| {
            app.state.observers.on_accept.as_ref().is_none_or(|it| it(peer))
        };
        self.guard(cx, wanted).unwrap_or(false)
    }

    /// Whether a connection of a listener may be another's than the system says.
    #[cfg(feature = "proxies")]
    fn may_be_proxied(&self, listener: ListenerId) -> bool {
        self.state.sites.has_proxies(listener)
    }

    #[cfg(not(feature = "proxies"))]
    #[inline(always)]
    fn may_be_proxied(&self, _: ListenerId) -> bool {
        false
    }

    /// A connection of a listener begins.
    fn accept(&mut self, cx: &mut Lent<'_>, listener: ListenerId) -> Option<Accepted<Self>> {
        let (index, listener) = self.state.sites.accept(listener)?;
        let (config, raw) = (Arc::clone(&listener.config), listener.raw.clone());
        let phase = match listener.speaks {
            Speaks::Http => Some(StreamPhase::Idle),
            Speaks::Raw => {
                let handler = self.guard(cx, |app, cx| raw?.raw(&mut app.nowhere(cx)));
                handler.flatten().map(StreamPhase::Raw)
            }
        };
        let Some(phase) = phase else {
            self.state.sites.disconnected(index);
            return None;
        };
        let ingress = Ingress { listener: index, plain: false };
        let streams = Streams::beginning_with(ingress, StreamState { key: None, phase });
        Some(Accepted { config, state: Link::Accepted(streams) })
    }
}

impl Application for App {
    type State = Link;
    type Message = Command;

    #[cfg(feature = "proxies")]
    fn expects_proxy_header(
        &mut self,
        _: &mut Lent<'_>,
        listener: ListenerId,
        peer: &Peer,
    ) -> Option<Duration> {
        self.state.sites.proxy_header_timeout(listener, peer)
    }

    fn proxy_failed(&mut self, cx: &mut Lent<'_>, _: ListenerId, _: &Peer, failure: ProxyFailure) {
        self.state.calling = RouteId::NONE;
        self.guard(cx, |app, cx| {
            app.log(cx, || access::not_understood(app.arrival(cx, None), 0, failure.name()));
        });
    }

    fn accepted(&mut self, cx: &mut Lent<'_>, listener: ListenerId, peer: &Peer) -> Option<Accepted<Self>> {
        if self.state.observers.on_accept.is_some() && !self.wants(cx, peer) {
            return None;
        }
        let peers = self.state.group.peers.clone();
        if peers.as_ref().is_some_and(|peers| !peers.connect(peer, cx.now())) {
            return None;
        }
        if let Some(id) = cx.connection() {
            // The system knows the proxy alone.
            let proxied = self.may_be_proxied(listener) && cx.peer() != Some(*peer);
            self.state.peers.insert(id, *peer, proxied);
        }
        let Some(accepted) = self.accept(cx, listener) else {
            cx.connection().and_then(|id| self.state.peers.remove(id));
            peers.iter().for_each(|peers| peers.disconnect(peer, cx.now()));
            return None;
        };
        self.state.spans.opened(self.state.shard, cx.connection(), || *peer, "server");
        self.serve_client(cx);
        self.report(cx);
        Some(accepted)
    }

    #[cfg(feature = "record")]
    fn opened(&mut self, cx: &mut Lent<'_>, _: &mut Link, connection: &mut Connection) {
        let Some(recorder) = &self.recorder else { return };
        let mut ends = lws_record::Ends::unknown();
        if let Peer::Tcp(peer) = self.peer(cx) {
            ends.peer = peer;
        }
        if let Some(local) = cx.local_address() {
            ends.local = local;
        }
        // A connection that cannot be recorded is served all the same: most often descriptors are short.
        if let Ok(Some(tape)) = recorder.tape(ends) {
            connection.record(tape);
        }
    }

    fn connected(&mut self, cx: &mut Lent<'_>, link: &mut Link, connection: &mut Connection) {
        let peer = || cx.peer().unwrap_or(Peer::Unknown);
        self.state.spans.opened(self.state.shard, cx.connection(), peer, "client");
        self.outgoing_connected(cx, link, connection);
        self.serve_client(cx);
    }

    fn connect_failed(&mut self, cx: &mut Lent<'_>, link: Link, error: ConnectError) {
        self.outgoing_failed(cx, link, &error);
        self.serve_client(cx);
    }

    fn tls_established(&mut self, cx: &mut Lent<'_>, link: &mut Link, info: &Info) -> bool {
        self.state.spans.secured(cx.connection(), info);
        if link.is_outgoing() {
            self.outgoing_secured(cx, link, info);
        } else {
            self.state.counters.count_handshake(info);
        }
        // An observer that panics has not accepted the peer.
        link.is_outgoing() || self.report_tls(cx, tls::Event::Established(info)).unwrap_or(false)
    }

    fn tls_failed(&mut self, cx: &mut Lent<'_>, link: &mut Link, failure: &Failure) {
        self.outgoing_tls_failed(cx, link, failure);
        self.report_tls(cx, tls::Event::Failed(failure));
    }

    fn plain(&mut self, _: &mut Lent<'_>, link: &mut Link) {
        let Some(streams) = link.streams() else { return };
        let listener = self.state.sites.listener(streams.ingress.listener);
        streams.ingress.plain = listener.is_none_or(|listener| listener.plain() != Plain::Serve);
    }

    #[inline]
    fn event(&mut self, cx: &mut Lent<'_>, link: &mut Link, event: Event<'_>) {
        let Some(streams) = link.streams() else { return self.outgoing_event(cx, link, event) };
        // Messages are most of what there is, so that they pay for nothing else.
        if let Event::Message { stream, kind, chunk, first, remaining, end, .. } = event {
            let key = stream.key();
            let message = ws::Message { kind, chunk, first, remaining, end };
            if self.guard(cx, |app, cx| app.on_message(cx, streams, key, stream, message)).is_none() {
                self.end_panicked(cx, streams, key);
            }
            return self.serve_client(cx);
        }
        self.other_event(cx, streams, event);
        self.serve_client(cx);
    }

    fn descriptor(
        &mut self,
        cx: &mut Lent<'_>,
        link: &mut Link,
        event: DescriptorEvent,
        descriptor: &mut Descriptor<'_>,
    ) {
        self.descriptor_event(cx, link, event, descriptor);
        self.serve_client(cx);
    }

    fn udp(&mut self, cx: &mut Lent<'_>, link: &mut Link, event: UdpEvent<'_>) {
        self.datagrams_event(cx, link, event);
        self.serve_client(cx);
    }

    fn sent_away(&mut self, cx: &mut Lent<'_>, _: &mut Link, cause: Cause) {
        self.state.spans.ended(cx.connection(), cause);
        self.state.calling = RouteId::NONE;
        self.guard(cx, |app, cx| {
            if let Some(on_sent_away) = &app.state.observers.on_sent_away {
                on_sent_away(&app.peer(cx), cause);
            }
        });
    }

    fn closed(&mut self, cx: &mut Lent<'_>, link: Link) {
        self.end_link(cx, link);
        self.state.spans.closed(cx.connection());
        self.serve_client(cx);
        let peer = cx.connection().and_then(|id| self.state.peers.remove(id));
        if let (Some(peer), Some(peers)) = (peer, &self.state.group.peers) {
            peers.disconnect(&peer, cx.now());
        }
        self.report(cx);
    }

    fn woken(&mut self, cx: &mut Lent<'_>, link: &mut Link, connection: &mut Connection) {
        self.outgoing_woken(cx, link, connection);
        self.serve_client(cx);
    }

    fn message(&mut self, cx: &mut Lent<'_>, command: Command) {
        self.on_command(cx, command);
        self.serve_client(cx);
    }

    fn message_to(
        &mut self,
        cx: &mut Lent<'_>,
        link: &mut Link,
        connection: &mut Connection,
        command: Command,
    ) {
        if let (Command::ToStream(key, command), Some(streams)) = (command, link.streams()) {
            self.on_stream_command(cx, streams, connection, key, command);
            self.serve_client(cx);
        }
    }

    #[cfg_attr(not(feature = "broker"), allow(unused_variables))]
    fn undelivered(&mut self, cx: &mut Lent<'_>, id: ConnectionId, command: Command) {
        match command {
            Command::ToStream(key, StreamCommand::Wake) => self.state.wakes.end(id, key),
            #[cfg(feature = "broker")]
            Command::ToStream(_, StreamCommand::Recovered(recovery)) => {
                self.nowhere(cx).end_recovery(&recovery);
            }
            _ => {}
        }
    }

    fn notified(&mut self, cx: &mut Lent<'_>) {
        let group = Arc::clone(&self.state.group);
        for route in group.take_wanted(self.state.shard) {
            self.nowhere(cx).want_write_here(route);
        }
        for woken in group.take_woken(self.state.shard) {
            if self.state.wakes.begin(woken.connection, woken.key) {
                cx.send_to(woken.connection, Command::ToStream(woken.key, StreamCommand::Wake));
            }
        }
        self.nowhere(cx).see_to_removals();
        for command in group.take_overflow(self.state.shard) {
            self.on_command(cx, command);
        }
        self.nowhere(cx).wake_at_drain();
        self.nowhere(cx).end_broker();
        self.report(cx);
    }

    fn exhausted(&mut self, _: &mut Lent<'_>) {
        self.state.close_kept_files();
    }

    fn timer(&mut self, cx: &mut Lent<'_>) {
        self.call_timers(cx);
        #[cfg(feature = "client")]
        self.serve_client_now(cx);
    }

    fn clock(&mut self, unix_seconds: u32) {
        self.state.unix_seconds = unix_seconds;
        self.state.sites.clock(unix_seconds);
        self.state.outgoing.wall_clock.set(unix_seconds);
    }
}
