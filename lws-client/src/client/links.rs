//! The connections of a client: events of their engines, and the work that is done when they are lent.

use super::begin::plain_host;
use super::exchange::Stage;
use super::{Action, Client, Due, RequestId, Work};
use crate::failure::{Cause, Failure, Phase};
use crate::options::Versions;
use crate::pool::{After, Key, Link, Spoken};
use crate::tunnel::{Outcome, Tunnel};
use crate::ws::SocketId;
use lws_proto::{Cause as EngineCause, Connection, Event, ExchangePermit, Stream, StreamKey, Time, Writable};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A connection, from when it is being made.
pub(crate) struct LinkRecord {
    pub(crate) key: Arc<Key>,
    pub(crate) life: Life,
    /// When it was begun.
    pub(crate) begun: Time,
    pub(crate) address: Option<Arc<str>>,
    /// The server, if the connection may be used for other origins of it.
    identity: Option<Box<Identity>>,
    /// Requests that are begun when it is lent.
    pub(crate) assigned: Vec<RequestId>,
    pub(crate) streams: Streams,
    /// Streams to which wishes are applied when the connection is lent.
    pub(crate) touched: Vec<StreamKey>,
    /// Whether lending it was requested.
    pub(crate) waking: bool,
    /// Whether the connection inside its tunnel has to end.
    closing: bool,
    /// Whether it is counted. One that may turn out to be shared is not yet.
    counted: bool,
}

/// The streams of a connection: one of HTTP/1.1, at most [`Limits::streams_max`](crate::Limits::streams_max) of HTTP/2. They are searched
/// one after the other, which costs less than handling an event. Most connections need room for a single one.
#[derive(Default)]
pub(crate) struct Streams(Vec<(StreamKey, LinkStream)>);

impl Streams {
    fn insert(&mut self, key: StreamKey, stream: LinkStream) {
        if self.0.capacity() == 0 {
            self.0.reserve_exact(1);
        }
        self.0.push((key, stream));
    }

    pub(crate) fn get(&self, key: StreamKey) -> Option<&LinkStream> {
        self.0.iter().find(|(known, _)| *known == key).map(|(_, stream)| stream)
    }

    pub(crate) fn get_mut(&mut self, key: StreamKey) -> Option<&mut LinkStream> {
        self.0.iter_mut().find(|(known, _)| *known == key).map(|(_, stream)| stream)
    }

    fn remove(&mut self, key: StreamKey) -> Option<LinkStream> {
        let at = self.0.iter().position(|(known, _)| *known == key)?;
        Some(self.0.swap_remove(at).1)
    }

    /// In the order of their names.
    fn in_order(mut self) -> impl Iterator<Item = LinkStream> {
        self.0.sort_by_key(|(key, _)| *key);
        self.0.into_iter().map(|(_, stream)| stream)
    }
}

/// What decides for which other origins a connection may be used.
struct Identity {
    peer: SocketAddr,
    /// The server's certificate, which was accepted. DER.
    certificate: Box<[u8]>,
}

/// The phase of a connection.
pub(crate) enum Life {
    /// It is being made.
    Connecting,
    /// A proxy is asked for a tunnel. It is taken out while it is looked at.
    Tunnelling(Option<Box<Tunnel>>),
    /// Requests can be sent on it.
    Open(Spoken),
    /// Requests can be sent on it, inside a tunnel.
    Through(Spoken, Option<Box<Tunnel>>),
}

/// One stream of a connection.
pub(crate) struct LinkStream {
    pub(crate) used: StreamUse,
    /// Whether the server closes the connection after this response.
    closes: bool,
    /// How long the server keeps the idle connection, from `Keep-Alive`.
    hint: Option<Duration>,
}

/// The use of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamUse {
    Exchange(RequestId),
    Handshake(RequestId, SocketId),
    Socket(SocketId),
    /// Bytes of unwanted content that are read and dropped, so that the connection can be used for the next request.
    Discard {
        left: u64,
        then: Option<RequestId>,
    },
    /// It is to end.
    Abandoned,
}

impl LinkRecord {
    pub(super) fn new(key: Arc<Key>, now: Time, counted: bool) -> Self {
        Self {
            key,
            life: Life::Connecting,
            begun: now,
            address: None,
            identity: None,
            assigned: Vec::new(),
            streams: Streams::default(),
            touched: Vec::new(),
            waking: false,
            closing: false,
            counted,
        }
    }

    pub(super) fn add(&mut self, stream: StreamKey, used: StreamUse) {
        self.streams.insert(stream, LinkStream { used, closes: false, hint: None });
    }

    /// Whether others share it.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.life, Life::Open(Spoken::Http2) | Life::Through(Spoken::Http2, _))
    }

    fn tunnel(&mut self) -> Option<&mut Option<Box<Tunnel>>> {
        match &mut self.life {
            Life::Tunnelling(tunnel) | Life::Through(_, tunnel) => Some(tunnel),
            Life::Connecting | Life::Open(_) => None,
        }
    }
}

impl Client {
    /// Lets a connection be lent, once.
    pub(super) fn wake(&mut self, link: Link) {
        let Some(record) = self.links.get_mut(link.name()) else { return };
        if !std::mem::replace(&mut record.waking, true) {
            self.act(Action::Wake(link));
        }
    }

    /// Ends a connection in an orderly way.
    pub(super) fn close_link(&mut self, link: Link) {
        match self.links.get_mut(link.name()) {
            // The inner connection ends first, and the outer one follows.
            Some(record) if matches!(record.life, Life::Through(..)) => {
                record.closing = true;
                self.wake(link);
            }
            _ => self.act(Action::Close(link)),
        }
    }

    /// Requests that a stream is lent, to apply wishes to it.
    pub(crate) fn touch(&mut self, link: Link, stream: StreamKey) {
        let Some(record) = self.links.get_mut(link.name()) else { return };
        if !record.touched.contains(&stream) {
            record.touched.push(stream);
        }
        self.wake(link);
    }

    /// Ends a stream, whose end is then delivered as usual.
    pub(super) fn abandon(&mut self, link: Link, stream: StreamKey) {
        let Some(record) = self.links.get_mut(link.name()) else { return };
        if let Some(used) = record.streams.get_mut(stream) {
            used.closes = true;
        }
        self.touch(link, stream);
    }

    // Connections for other origins.

    /// Notes the address of the server and its certificate, in DER, before [`connected`](Self::connected): with them the connection can be
    /// used for other origins of the server, if [`Options::coalesce`](crate::Options::coalesce) allows that.
    pub fn identified(&mut self, link: Link, peer: SocketAddr, certificate: &[u8]) {
        if let Some(record) = self.links.get_mut(link.name()).filter(|_| self.options.coalesce) {
            record.identity = Some(Box::new(Identity { peer, certificate: certificate.into() }));
        }
    }

    /// Connections to other origins that can carry the requests of `key` if its host has their address, which comes with each.
    pub(super) fn lenders(&self, key: &Arc<Key>) -> Vec<(Link, SocketAddr)> {
        let candidate = |link: Link| {
            let record = self.links.get(link.name())?;
            let Identity { peer, certificate } = record.identity.as_deref()?;
            let is_usable = matches!(record.life, Life::Open(Spoken::Http2))
                && key.may_share(&record.key)
                && self.pool.can_lend(self.now, link, key);
            let tls = key.tls.as_ref().filter(|_| is_usable)?;
            tls.covers(certificate, plain_host(&key.origin.host)).then_some((link, *peer))
        };
        self.pool.links().into_iter().filter_map(candidate).collect()
    }

    /// A connection is not made, as its host has turned out to be at `address`, to which there is one:
    /// [`ConnectOptions::shared_with`](lws_loop_external::ConnectOptions::shared_with).
    pub fn shared(&mut self, link: Link, address: SocketAddr) {
        let Some(key) = self.pool.key(link) else { return };
        match self.lenders(&key).into_iter().find(|(_, peer)| *peer == address) {
            Some((lender, _)) => {
                self.links.remove(link.name());
                self.pool.lend(link, lender);
            }
            // It has ended in the meantime, or has no room any more.
            None => self.connect_alone(link),
        }
    }

    // Notifications by the host.

    /// Notes that a connection has been made, and whether its protocol is HTTP/2. `address` is that of the peer,
    /// for messages.
    pub fn connected(
        &mut self,
        link: Link,
        connection: &mut Connection,
        http2: bool,
        address: Option<Arc<str>>,
    ) {
        let now = self.now;
        self.count(link);
        let Some(record) = self.links.get_mut(link.name()) else { return connection.abort() };
        record.address = address;
        if record.key.tunnels() {
            let timeout = self.options.limits.proxy_timeout;
            let host = plain_host(&record.key.origin.host);
            match Tunnel::ask(now, &record.key, host, Arc::clone(&self.config), connection) {
                Ok(tunnel) => {
                    record.life = Life::Tunnelling(Some(Box::new(tunnel)));
                    self.due.set(Due::Tunnel(link), now + timeout);
                }
                Err(cause) => self.tunnel_failed(link, cause),
            }
            return;
        }
        let spoken = if http2 { Spoken::Http2 } else { Spoken::Http1 };
        record.life = Life::Open(spoken);
        self.pool.opened(now, link, spoken);
    }

    /// Whether HTTP/2 is spoken on a connection without TLS. RFC 9113 §3.3.
    pub(crate) fn speaks_http2_in_plain(&self, link: Link) -> bool {
        self.links.get(link.name()).is_some_and(|record| record.key.versions == Versions::Http2)
    }

    /// A connection could not be made.
    pub fn connect_failed(&mut self, link: Link, failure: &Failure) {
        self.count(link);
        self.not_connected(link, failure);
    }

    /// Counts a connection that was begun, once.
    fn count(&mut self, link: Link) {
        if let Some(record) = self.links.get_mut(link.name())
            && !std::mem::replace(&mut record.counted, true)
        {
            self.stats.connects_total += 1;
        }
    }

    pub(super) fn not_connected(&mut self, link: Link, failure: &Failure) {
        self.links.remove(link.name());
        self.due.cancel(Due::Tunnel(link));
        for waiter in self.pool.failed(self.now, link) {
            let id = RequestId(waiter);
            if let Some(exchange) = self.exchanges.get_mut(id.0) {
                exchange.stage = Stage::New;
                self.finish(id, Err(failure.clone()));
            }
        }
    }

    /// Handles a connection on which no tunnel could be made.
    pub(super) fn tunnel_failed(&mut self, link: Link, cause: Cause) {
        let mut failure = Failure::new(Phase::Proxy, cause);
        failure.address = self.links.get(link.name()).and_then(|record| record.address.clone());
        self.not_connected(link, &failure);
        self.act(Action::Abort(link));
    }

    /// A connection has ended.
    pub fn closed(&mut self, link: Link) {
        let Some(record) = self.links.get_mut(link.name()) else { return };
        if matches!(record.life, Life::Connecting | Life::Tunnelling(_)) {
            let cause = Cause::Stream(EngineCause::Disconnected);
            let mut failure = Failure::new(Phase::Proxy, cause);
            failure.address.clone_from(&record.address);
            return self.not_connected(link, &failure);
        }
        // The engine has delivered the end of every stream. The streams that are left were inside of a tunnel.
        let (assigned, streams) = (std::mem::take(&mut record.assigned), std::mem::take(&mut record.streams));
        self.links.remove(link.name());
        self.due.cancel(Due::Discard(link));
        self.pool.gone(self.now, link);
        for id in assigned {
            if let Some(exchange) = self.exchanges.get_mut(id.0)
                && exchange.stage == Stage::Assigned(link)
            {
                exchange.tries += 1;
                self.later(Work::Unsent(id));
            }
        }
        for stream in streams.in_order() {
            self.later(Work::EndUse(stream.used, EngineCause::Disconnected));
        }
    }

    /// A connection is lent, because [`Action::Wake`] asked for it.
    pub fn woken(&mut self, link: Link, connection: &mut Connection) {
        let Some(record) = self.links.get_mut(link.name()) else { return connection.abort() };
        record.waking = false;
        let Some(place) = record.tunnel() else { return self.use_lent(link, connection) };
        let Some(mut tunnel) = place.take() else { return };
        let closing = record.closing;
        if let Some(inner) = tunnel.inner() {
            self.use_lent(link, inner);
            if closing {
                inner.drain(self.now);
            }
        }
        self.run_tunnel(link, &mut tunnel);
        if let Some(raw) = tunnel.key().and_then(|key| connection.raw_stream(key)) {
            tunnel.flush(self.now, raw);
        }
        self.put_back(link, tunnel);
    }

    /// Carries out the wishes for a connection that is lent.
    fn use_lent(&mut self, link: Link, connection: &mut Connection) {
        let Some(record) = self.links.get_mut(link.name()) else { return };
        let assigned = std::mem::take(&mut record.assigned);
        let touched = std::mem::take(&mut record.touched);
        for id in assigned {
            self.begin_on(link, id, connection);
        }
        for key in touched {
            if let Some(stream) = connection.stream(key) {
                self.apply(link, stream);
            }
        }
    }

    /// Applies the wishes for a stream.
    fn apply(&mut self, link: Link, mut stream: Stream<'_>) {
        let key = stream.key();
        let Some(used) = self.links.get(link.name()).and_then(|record| record.streams.get(key)) else {
            return;
        };
        match used.used {
            StreamUse::Abandoned => stream.abort(),
            StreamUse::Discard { .. } => stream.resume(),
            StreamUse::Exchange(id) => {
                let closes = used.closes;
                let Some(exchange) = self.exchanges.get_mut(id.0) else { return stream.abort() };
                if exchange.received && !exchange.upload.ended && closes {
                    return stream.abort();
                }
                let pause = exchange.wishes.paused || !exchange.held.is_empty();
                if pause != exchange.wishes.is_paused {
                    exchange.wishes.is_paused = pause;
                    if pause {
                        stream.pause();
                    } else {
                        stream.resume();
                    }
                }
                if std::mem::take(&mut exchange.wishes.want_write) {
                    stream.want_write();
                }
            }
            StreamUse::Handshake(..) => {}
            StreamUse::Socket(socket) => {
                if let Ok(websocket) = stream.into_websocket() {
                    self.apply_to_socket(socket, websocket);
                }
            }
        }
    }

    // Events of engines.

    /// One event of a connection.
    pub fn event(&mut self, link: Link, event: Event<'_>) {
        let Some(record) = self.links.get_mut(link.name()) else {
            // The connection is not known any more, so it is not used.
            return;
        };
        let Some(place) = record.tunnel() else { return self.stream_event(link, event) };
        let Some(mut tunnel) = place.take() else { return };
        let (now, outcome) = (self.now, tunnel.event(self.now, event));
        match outcome {
            Outcome::Nothing => {}
            Outcome::Made(spoken) => {
                self.due.cancel(Due::Tunnel(link));
                if let Some(record) = self.links.get_mut(link.name()) {
                    record.life = Life::Through(spoken, None);
                }
                self.pool.opened(now, link, spoken);
            }
            Outcome::Failed(cause) => return self.tunnel_failed(link, cause),
        }
        self.run_tunnel(link, &mut tunnel);
        if tunnel.has_output() {
            self.wake(link);
        }
        self.put_back(link, tunnel);
    }

    /// Delivers the events of the connection inside of a tunnel.
    fn run_tunnel(&mut self, link: Link, tunnel: &mut Tunnel) {
        tunnel.pump(|event| self.stream_event(link, event));
    }

    fn put_back(&mut self, link: Link, tunnel: Box<Tunnel>) {
        if let Some(place) = self.links.get_mut(link.name()).and_then(LinkRecord::tunnel) {
            *place = Some(tunnel);
        }
    }

    /// One event of a connection that requests are sent on.
    fn stream_event(&mut self, link: Link, event: Event<'_>) {
        let key = event.key();
        let Some(record) = self.links.get_mut(link.name()) else { return };
        let Some(known) = record.streams.get_mut(key) else { return };
        match event {
            Event::Response { stream, head, end } => {
                let interim = head.status().is_some_and(|status| status.is_interim());
                if !interim {
                    known.note_head(&head);
                }
                match known.used {
                    StreamUse::Exchange(id) if interim => self.on_interim(id, &head),
                    StreamUse::Exchange(id) => self.on_head(id, &head, end),
                    StreamUse::Handshake(_, socket) if !interim => self.on_refusal(socket, &head),
                    _ => {}
                }
                self.apply(link, stream.into_any());
            }
            Event::Body { stream, chunk, end } => {
                match &mut known.used {
                    StreamUse::Exchange(id) => {
                        let id = *id;
                        self.on_content(id, chunk, end);
                    }
                    StreamUse::Handshake(_, socket) => {
                        let socket = *socket;
                        self.on_refusal_content(socket, chunk);
                    }
                    StreamUse::Discard { left, then } => match left.checked_sub(chunk.len() as u64) {
                        Some(rest) => *left = rest,
                        None => {
                            let then = *then;
                            known.used = StreamUse::Abandoned;
                            self.wait_no_longer(then);
                        }
                    },
                    StreamUse::Socket(_) | StreamUse::Abandoned => {}
                }
                self.apply(link, stream.into_any());
            }
            Event::Trailers { stream, head } => {
                if let StreamUse::Exchange(id) = known.used {
                    self.on_trailers(id, &head);
                }
                self.apply(link, stream.into_any());
            }
            Event::Writable(permit) => self.on_writable(link, permit),
            Event::Closed { cause, .. } => self.stream_closed(link, key, cause),
            event => self.socket_event(link, event),
        }
    }

    fn on_writable(&mut self, link: Link, permit: Writable<'_>) {
        let key = permit.key();
        let Some(known) = self.links.get(link.name()).and_then(|record| record.streams.get(key)) else {
            return;
        };
        match known.used {
            StreamUse::Exchange(id) => {
                if let Ok(permit) = permit.into_exchange() {
                    self.give_content(id, permit);
                }
                self.touch_if_wanted(link, key, id);
            }
            StreamUse::Socket(socket) => {
                if let Ok(permit) = permit.into_websocket() {
                    self.socket_writable(socket, permit);
                }
            }
            StreamUse::Handshake(..) | StreamUse::Discard { .. } | StreamUse::Abandoned => {}
        }
    }

    /// Wishes that a call has changed are applied when the stream is lent again.
    fn touch_if_wanted(&mut self, link: Link, stream: StreamKey, id: RequestId) {
        let Some(exchange) = self.exchanges.get(id.0) else { return };
        if exchange.wishes.want_write || exchange.wishes.paused != exchange.wishes.is_paused {
            self.touch(link, stream);
        }
    }

    /// Sends content of a request.
    fn give_content(&mut self, id: RequestId, permit: ExchangePermit<'_>) {
        let Some(exchange) = self.exchanges.get_mut(id.0) else { return };
        if exchange.upload.ended {
            return;
        }
        let mut upload = exchange.upload;
        if let crate::Body::Bytes(bytes) = &exchange.request.body {
            let bytes = bytes.clone();
            let len = bytes.len() as u64;
            if permit.data(lws_proto::Payload::Own(bytes), true).is_ok() {
                (upload.bytes, upload.begun, upload.ended) = (len, true, true);
            }
        } else {
            let sent = &mut upload;
            self.call_reply(id, |reply, cx| reply.writable(cx, crate::reply::Upload { permit, sent }));
        }
        if let Some(exchange) = self.exchanges.get_mut(id.0) {
            exchange.upload = upload;
        }
    }

    /// A stream has ended.
    fn stream_closed(&mut self, link: Link, key: StreamKey, cause: EngineCause) {
        let now = self.now;
        let Some(record) = self.links.get_mut(link.name()) else { return };
        let shared = record.is_shared();
        let Some(ended) = record.streams.remove(key) else { return };
        self.due.cancel(Due::Discard(link));
        let socket = matches!(ended.used, StreamUse::Socket(_) | StreamUse::Handshake(..));
        // A failed stream of HTTP/2 does not affect the others, unless the connection is ending.
        let going =
            matches!(cause, EngineCause::Refused | EngineCause::Disconnected | EngineCause::Truncated);
        let good = if shared { !going } else { cause == EngineCause::Complete && !ended.closes && !socket };
        self.pool.release(now, link, if good { After::Keep { hint: ended.hint } } else { After::Retire });
        self.end_use(ended.used, cause);
    }

    pub(super) fn end_use(&mut self, used: StreamUse, cause: EngineCause) {
        match used {
            StreamUse::Exchange(id) => self.on_stream_end(id, cause),
            StreamUse::Handshake(id, _) => {
                let failure = self.exchanges.get(id.0).map(|it| it.failure(Cause::Stream(cause)));
                if let Some(failure) = failure {
                    self.finish(id, Err(failure));
                }
            }
            StreamUse::Socket(socket) => self.socket_lost(socket, cause),
            StreamUse::Discard { then, .. } => self.wait_no_longer(then),
            StreamUse::Abandoned => {}
        }
    }
}

impl LinkStream {
    /// What a response says about the connection after it.
    fn note_head(&mut self, head: &lws_proto::http::Head<'_>) {
        let old = head.version() == lws_proto::http::Version::Http10;
        self.closes |= head.has_token("connection", "close");
        self.closes |= old && !head.has_token("connection", "keep-alive");
        for member in head.list("keep-alive") {
            let Some((name, value)) = std::str::from_utf8(member).ok().and_then(|it| it.split_once('='))
            else {
                continue;
            };
            let number = value.trim().trim_matches('"').parse::<u64>().ok();
            match (name.trim().to_ascii_lowercase().as_str(), number) {
                // What the server counts began before this was read.
                ("timeout", Some(seconds)) => {
                    self.hint = Some(Duration::from_secs(seconds.saturating_sub(1)))
                }
                ("max", Some(0)) => self.closes = true,
                _ => {}
            }
        }
    }
}
