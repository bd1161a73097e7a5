//! One connection: where protocols meet and are switched.
//!
//! `Detect -> Http1 -> WebSocket | Raw | Http2`, `Detect -> Http2 | Raw`. Bytes that have been received already go on in the protocol that takes
//! over, and the driver of the connection never learns of it.

pub(crate) mod buffer;
pub(crate) mod carried;
pub(crate) mod channel;
pub(crate) mod delivery;
mod detect;
mod dispatch;
mod feed;
pub(crate) mod item;
pub(crate) mod link;
pub(crate) mod outbound;
pub(crate) mod resources;
pub(crate) mod stream;
pub(crate) mod transmit;

pub use feed::Feed;
pub use transmit::{SLICES_MAX, Transmit};

use crate::handle::{Exchange, RawStream, Sent, Stream, WebSocket, Writable, WriteTicket, spoken};
use crate::http::{Request, Scheme};
use crate::key::StreamKey;
use crate::time::earliest;
use crate::{Cause, Config, Deadline, Entropy, Event, Expect, Misuse, Payload, Protocol, Time, h1, raw, ws};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use carried::{Carried, CarriedReceiver};
use core::fmt;
use dispatch::{Found, Inbound, Receiving, advance, has_more, is_waiting, lend};
use link::LinkEnd;
use outbound::{LentExchange, Outbound, Sending};

/// What a connection needs from its driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Whether to read from the transport.
    pub read: bool,
    /// Whether bytes for the peer are queued.
    pub write: bool,
    /// Whether nothing more will be queued: FIN should follow the queued bytes.
    pub shutdown: bool,
    /// Whether [`Connection::next_event`] has an event although nothing was received: forced service.
    pub service: bool,
    /// The time at which [`Connection::handle_timeout`] is due.
    pub deadline: Option<Time>,
    /// Whether the transport may be closed: nothing is left to send or to deliver.
    pub close: bool,
    /// With `close`: what was sent is incomplete, and the peer must not take it for all. The transport ends by a reset (RST) and not
    /// by FIN, and TLS without `close_notify`: RFC 9112 §8, RFC 8446 §6.1.
    pub reset: bool,
}

/// A connection, as client or server, without its transport.
///
/// Its driver calls, in any order that suits:
/// * [`receive`](Self::receive) (or [`recv_buf`](Self::recv_buf) and [`received`](Self::received)) with bytes of the peer, and
///   [`received_eof`](Self::received_eof) when there will be no more; then `next_event` until `None`;
/// * [`transmit`](Self::transmit) when the transport can take bytes;
/// * [`handle_timeout`](Self::handle_timeout) when [`next_timeout`](Self::next_timeout) has come;
/// * [`interest`](Self::interest) before it sleeps.
///
/// How the input is cut, and how little the transport takes at a time, changes neither the events (adjacent content
/// joined) nor the bytes that are sent.
///
/// ```
/// use lws_proto::{Config, Connection, Event, Payload, Time, http::Status};
///
/// let mut server = Connection::server(Time::ZERO, Config::default().into());
/// let mut input = *b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// let mut feed = server.receive(Time::ZERO, &mut input);
/// while let Some(event) = feed.next_event() {
///     if let Event::Request { stream, head, .. } = event {
///         assert_eq!(head.target(), "/");
///         if let Ok(permit) = stream.permit() {
///             permit.respond(Status::OK, [("content-type", "text/plain")], Payload::Static(b"hi"), true)?;
///         }
///     }
/// }
/// drop(feed);
/// let transmit = server.transmit(Time::ZERO).ok_or("nothing to send")?;
/// assert_eq!(transmit.first(), b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 2\r\n\r\nhi");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Connection {
    inbound: Inbound,
    outbound: Outbound,
}

impl Connection {
    /// The server's side of a connection that was opened at `now`, whose protocol is detected by the first bytes. Over
    /// TLS use [`server_http2`](Self::server_http2) or [`server_http1`](Self::server_http1).
    #[must_use]
    pub fn server(now: Time, config: Arc<Config>) -> Self {
        match config.expect {
            Expect::Raw => Self::raw(now, config),
            Expect::Http | Expect::HttpOrRaw => {
                Self::new(Receiving::Detect(None), Outbound::new(now, config, Sending::Silent, None))
            }
        }
    }

    /// The server's side of a connection for which ALPN has chosen `h2`: anything else than HTTP/2 is a violation.
    /// [`Config::versions`] and [`Config::expect`] do not count. RFC 7301 §3.2, RFC 9113 §3.2.
    #[must_use]
    pub fn server_http2(now: Time, config: Arc<Config>) -> Self {
        let mut outbound = Outbound::new(now, config, Sending::Silent, None);
        let receiver = outbound.begin_http2();
        Self::new(Receiving::Http2(receiver), outbound)
    }

    /// The server's side of a connection with TLS for which ALPN has not chosen `h2`: as [`server`](Self::server), but the
    /// preface of HTTP/2 is answered 505, and `Upgrade: h2c` is ignored. RFC 7301 §3.2, RFC 9113 §3.2.
    #[must_use]
    pub fn server_http1(now: Time, config: Arc<Config>) -> Self {
        let mut connection = Self::server(now, config);
        connection.outbound.agree_on_http1();
        connection
    }

    /// The client's side of a connection that was opened at `now`, for HTTP and WebSocket.
    #[must_use]
    pub fn client(now: Time, config: Arc<Config>, entropy: Box<dyn Entropy>) -> Self {
        let receiver = Receiving::Http1(Box::new(h1::MessageReader::client(now)));
        let sender = Sending::Http1(Box::new(h1::MessageWriter::client(&config)));
        Self::new(receiver, Outbound::new(now, config, sender, Some(entropy)))
    }

    /// The client's side of a connection that was opened at `now`, for HTTP/2: with prior knowledge, or because ALPN chose `h2`.
    /// Requests and WebSockets share it. `scheme` is that of the requests. RFC 9113 §3.3.
    #[must_use]
    pub fn client_http2(now: Time, config: Arc<Config>, entropy: Box<dyn Entropy>, scheme: Scheme) -> Self {
        let mut outbound = Outbound::new(now, config, Sending::Silent, Some(entropy));
        let receiver = outbound.begin_http2();
        if let Sending::Http2(session) = &mut outbound.sender {
            session.set_scheme(scheme);
        }
        Self::new(Receiving::Http2(receiver), outbound)
    }

    /// The client's side of a connection that was opened at `now`, for bytes.
    #[must_use]
    pub fn client_raw(now: Time, config: Arc<Config>) -> Self {
        Self::raw(now, config)
    }

    fn new(receiver: Receiving, outbound: Outbound) -> Self {
        Self { inbound: Inbound::new(receiver), outbound }
    }

    fn raw(now: Time, config: Arc<Config>) -> Self {
        let mut outbound = Outbound::new(now, config, Sending::Silent, None);
        outbound.channel.open_stream();
        outbound.begin_raw(false);
        Self::new(Receiving::Carried(CarriedReceiver::Raw(raw::ByteReceiver)), outbound)
    }

    /// The exchange on which a client's request begins. Also sets the time.
    fn client_exchange(&mut self, now: Time) -> Result<LentExchange<'_>, Misuse> {
        self.outbound.channel.link.now = now;
        self.outbound.detach();
        self.outbound.for_request()
    }

    // Requests of a client.

    /// Sends a request. Over HTTP/1.1 one exchange runs at a time. Over HTTP/2 there are as many as the server takes, and more
    /// wait for their turn, with their content, up to `h2_requests_queued_max`. RFC 9112 §3, RFC 9113 §8.1.
    ///
    /// # Errors
    /// [`Misuse`] if this is no client, or an exchange is running or too many wait, or the server takes no more on this
    /// connection, or the request cannot be written.
    pub fn request<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        now: Time,
        request: &Request<'_>,
        fields: impl IntoIterator<Item = (N, V)>,
        content: Payload<'_>,
        end: bool,
    ) -> Result<Sent<'_, spoken::Http>, Misuse> {
        #[cfg(feature = "record")]
        let fields = crate::record::SentFields::new(self.outbound.tape(), fields);
        note!(
            self.outbound,
            Note::Request {
                now,
                line: [request.method.into(), request.target.into(), request.host.into()],
                fields: fields.kept().into(),
                content: content.as_ref().into(),
                end,
            }
        );
        match self.client_exchange(now)? {
            LentExchange::Http1(sender, channel, _) => {
                h1::request(sender, channel, request, fields, content, end)?;
            }
            LentExchange::Http2(session, link, resources) => {
                session.request(link, resources, (request, fields), content, end)?;
            }
        }
        Ok(Sent::new(&mut self.outbound))
    }

    /// Sends a WebSocket opening handshake; over HTTP/2 an extended CONNECT, as soon as the server has said that it takes them.
    /// [`Event::Established`] follows, or [`Event::Closed`]. RFC 6455 §4.1, RFC 8441 §4.
    ///
    /// # Errors
    /// [`Misuse`] if this is no client, or an exchange is running, or the handshake cannot be written.
    pub fn connect_websocket(&mut self, now: Time, connect: &ws::Connect<'_>) -> Result<StreamKey, Misuse> {
        note!(self.outbound, Note::Unsupported("a client's WebSocket".into()));
        match self.client_exchange(now)? {
            LentExchange::Http1(sender, channel, resources) => {
                h1::connect_websocket(sender, channel, resources, connect)
            }
            LentExchange::Http2(session, link, _) => session.connect_websocket(link, connect),
        }
    }

    // Input.

    /// Room for bytes of the peer: the engine's own buffer, which exists only while it holds something.
    pub fn recv_buf(&mut self) -> &mut [u8] {
        self.inbound.kept.get_or_insert_with(|| Box::new(buffer::Kept::with_room())).room()
    }

    /// The first `n` bytes of [`recv_buf`](Self::recv_buf) have been filled.
    pub fn received(&mut self, now: Time, n: usize) {
        self.outbound.channel.link.received(now);
        self.count_held();
        if let Some(kept) = &mut self.inbound.kept {
            note!(self.outbound, {
                let room = kept.room();
                Note::Received { now, own: true, bytes: room.get(..n).unwrap_or(room).into() }
            });
            kept.fill(n);
        }
    }

    /// The peer will send no more.
    pub fn received_eof(&mut self, now: Time) {
        note!(self.outbound, Note::Eof(now));
        self.end_input(now);
    }

    fn end_input(&mut self, now: Time) {
        self.outbound.channel.link.now = now;
        if !core::mem::replace(&mut self.inbound.eof, true) {
            self.outbound.received_eof();
            if self.is_waiting() {
                self.outbound.notify_peer_end();
            }
        }
    }

    /// The peer's direction has ended without the end that the transport has for it, as TLS without `close_notify`:
    /// the input may be truncated. Content whose end is that of the connection ends with [`Cause::Truncated`], as
    /// do WebSockets and raw streams.
    pub fn received_truncation(&mut self, now: Time) {
        note!(self.outbound, Note::Truncation(now));
        self.outbound.channel.link.received_truncation();
        self.end_input(now);
    }

    /// The transport has failed: nothing can be sent or received any more.
    pub fn transport_failed(&mut self, now: Time) {
        note!(self.outbound, Note::Failed(now));
        self.outbound.channel.link.now = now;
        self.outbound.abort(Cause::Disconnected);
    }

    /// Lends bytes of the peer. They are unmasked in place, and events lend content from them. Bytes that were not
    /// processed when the feed is dropped are copied and kept.
    #[inline]
    pub fn receive<'c, 'b>(&'c mut self, now: Time, bytes: &'b mut [u8]) -> Feed<'c, 'b> {
        note!(self.outbound, Note::Received { now, own: false, bytes: (&*bytes).into() });
        self.outbound.channel.link.received(now);
        Feed::new(self, bytes)
    }

    // Events.

    /// The next event, from kept input and notices. `None` until something is received, resumed or due.
    ///
    /// ```compile_fail,E0499
    /// # use lws_proto::Connection;
    /// fn two(connection: &mut Connection) {
    ///     let first = connection.next_event();
    ///     let second = connection.next_event();
    ///     drop(first);
    /// }
    /// ```
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        note!(self.outbound, Note::Event);
        self.next_kept()
    }

    /// The next event from kept input and notices, without recording the call: a feed has recorded its own.
    fn next_kept(&mut self) -> Option<Event<'_>> {
        self.inbound.release(&mut self.outbound);
        let item = self.advance_kept()?;
        Some(self.lend_kept(item))
    }

    /// Advances over kept input, which comes before lent input.
    fn advance_kept(&mut self) -> Option<Found> {
        let Self { inbound, outbound } = self;
        loop {
            let mut at = 0;
            let found = match &mut inbound.kept {
                None => advance(&mut inbound.receiver, outbound, &mut [], &mut at),
                Some(kept) => {
                    let start = kept.start();
                    let found = advance(&mut inbound.receiver, outbound, kept.filled(), &mut at);
                    kept.consume(at);
                    found.map(|(item, base)| (item, base + start))
                }
            };
            if found.is_some() {
                return found;
            }
            if inbound.kept.as_ref().is_some_and(|kept| kept.is_empty()) {
                inbound.kept = None;
            }
            if !inbound.replay(outbound) {
                return None;
            }
        }
    }

    fn lend_kept(&mut self, (item, base): Found) -> Event<'_> {
        let Self { inbound, outbound } = self;
        inbound.assembled = item.is_assembled();
        let input = match &mut inbound.kept {
            Some(kept) => kept.lent(),
            None => &mut [],
        };
        lend(item, base, input, &mut inbound.receiver, outbound)
    }

    // Output.

    /// The bytes that the transport should take now, if there are any.
    #[inline]
    pub fn transmit(&mut self, now: Time) -> Option<Transmit<'_>> {
        note!(self.outbound, Note::Transmit(now));
        self.outbound.flush(now);
        let link = &mut self.outbound.channel.link;
        if link.out.is_empty() {
            return None;
        }
        link.delivery.offer(now);
        Some(Transmit::new(self, now))
    }

    /// The transport has taken `n` of the queued bytes: for loops that complete later.
    #[inline]
    pub fn transmitted(&mut self, now: Time, n: usize) {
        #[cfg(feature = "record")]
        self.note_sent(now, n);
        self.outbound.transmitted(now, n);
    }

    /// Lends a buffer to write into, if the connection has none: swaps it out of `buffer`. A driver that keeps one buffer
    /// for all its connections saves each of them an allocation; [`reclaim`](Self::reclaim) swaps it back.
    #[inline]
    pub fn lend(&mut self, buffer: &mut Vec<u8>) {
        self.outbound.channel.link.out.lend(buffer);
    }

    /// Swaps a lent buffer back into `buffer`, if everything in it has been sent. Otherwise the connection keeps what is
    /// queued, without the room that it does not need, until it has been sent.
    #[inline]
    pub fn reclaim(&mut self, buffer: &mut Vec<u8>) {
        if !self.outbound.channel.link.out.reclaim(buffer) {
            self.outbound.resources.account.charge(1);
        }
        self.count_held();
    }

    // Held memory.

    /// Bytes that are held for the peer now: by the engine, by the application as far as it has said so with
    /// [`Stream::hold`], and by the driver. An idle connection holds none, but for the tables of HTTP/2.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.inbound.held() + self.outbound.held()
    }

    /// Sets how many bytes the driver holds for this connection, outside of the engine: for example ciphertext that
    /// waits for the transport.
    pub fn set_held_outside(&mut self, bytes: usize) {
        self.outbound.detach();
        let outside = u32::try_from(bytes).unwrap_or(u32::MAX);
        if core::mem::replace(&mut self.outbound.resources.account.outside, outside) != outside {
            self.count_all();
        }
    }

    /// Counts the held bytes, if there may be some.
    #[inline]
    fn count_held(&mut self) {
        if self.outbound.is_charged() {
            self.count_charged();
        }
    }

    #[cold]
    fn count_charged(&mut self) {
        self.outbound.detach();
        if self.outbound.resources.account.is_touched() {
            self.count_all();
        }
    }

    fn count_all(&mut self) {
        let held = self.held_bytes();
        let account = &mut self.outbound.resources.account;
        let held = held.saturating_add(account.outside as usize);
        account.count(held, &self.outbound.channel.link.config.held);
    }

    // Time and the loop.

    /// Spreads the probes of silent peers: a connection probes up to an eighth of its interval earlier than
    /// [`Limits::ping_interval`](crate::Limits::ping_interval) or its [`Liveness`](crate::Liveness) says, and after a
    /// stall of the driver that much later. A driver of many connections gives each a different number, so that they do
    /// not probe at one moment. Zero, the default, is no spread.
    pub fn set_spread(&mut self, spread: u8) {
        note!(self.outbound, Note::Spread(spread));
        self.outbound.channel.link.spread = spread;
    }

    /// Says that the driver sends [regions](crate::Region) by itself, so that
    /// [`Transmit::region`](crate::Transmit::region) has to be asked before every write. A connection that is recorded has none
    /// all the same, as its record is to have what was sent.
    pub fn send_regions(&mut self) {
        #[cfg(feature = "record")]
        if self.outbound.tape().is_some() {
            return;
        }
        self.outbound.channel.link.sends_regions = true;
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    #[inline(always)]
    pub fn next_timeout(&self) -> Option<Time> {
        if self.outbound.is_done() {
            return None;
        }
        let receiver = dispatch::next_timeout(&self.inbound.receiver, &self.outbound);
        let receiver = receiver.filter(|_| self.outbound.link().is_open());
        let due = earliest(receiver, self.outbound.next_timeout());
        if self.inbound.kept.is_some() { earliest(due, self.unseen_until()) } else { due }
    }

    /// When an exchange is cut off whose peer has sent more ahead than is read.
    #[cold]
    fn unseen_until(&self) -> Option<Time> {
        if self.inbound.eof || !self.outbound.link().is_open() || self.looks_further_ahead() {
            return None;
        }
        match (&self.inbound.receiver, &self.outbound.sender) {
            (Receiving::Http1(reader), Sending::Http1(writer)) => {
                reader.unseen_until(writer, &self.outbound.channel)
            }
            _ => None,
        }
    }

    /// Reports that `under_way` of the bytes that the transport has taken have not arrived yet: they are unsent or
    /// unacknowledged. For drivers that can ask their transport, before [`handle_timeout`](Self::handle_timeout) and
    /// with the same `now`, if [`next_timeout`](Self::next_timeout) has come.
    ///
    /// The deadlines for a slow or dead peer then count bytes that have arrived, and the time for an answer begins when
    /// the probe has arrived. Without reports they count what the transport has taken, which may be megabytes ahead of
    /// the peer. An error of a few bytes, such as the overhead of encryption, does no harm.
    pub fn delivered(&mut self, now: Time, under_way: usize) {
        note!(self.outbound, Note::Delivered(now, under_way));
        let link = &mut self.outbound.channel.link;
        link.delivery.report(now, under_way, link.out.len());
    }

    /// Does what is due at `now`. A call before its time does nothing.
    pub fn handle_timeout(&mut self, now: Time) {
        note!(self.outbound, Note::Timeout(now));
        self.outbound.handle_timeout(now);
        if self.inbound.kept.is_some() && self.unseen_until().is_some_and(|due| due <= now) {
            self.outbound.abort(Cause::Timeout(Deadline::HalfClosed));
        }
        if self.outbound.link().is_open() {
            dispatch::handle_timeout(&mut self.inbound.receiver, &mut self.outbound, now);
        }
    }

    /// What the connection needs from its driver before that sleeps.
    #[must_use]
    #[inline(always)]
    pub fn interest(&self) -> Interest {
        let deadline = self.next_timeout();
        let write = self.outbound.wants_output();
        if self.outbound.channel.is_undisturbed() && !self.inbound.eof && self.inbound.kept.is_none() {
            let shutdown = self.outbound.has_fin();
            let service = has_more(&self.inbound.receiver, &self.outbound);
            return Interest { read: true, write, shutdown, service, deadline, close: false, reset: false };
        }
        self.disturbed_interest(write, deadline)
    }

    /// The interest while input is held or the end is near.
    fn disturbed_interest(&self, write: bool, deadline: Option<Time>) -> Interest {
        let service = self.needs_service();
        let over = match self.outbound.link().end() {
            LinkEnd::Open => self.inbound.eof && self.is_over_at_eof(),
            LinkEnd::Draining { .. } => self.inbound.eof,
            LinkEnd::Done => true,
        };
        let close = over && !service && (!write || self.outbound.is_done());
        let reset = close && self.outbound.link().is_reset();
        let (read, shutdown) = (self.wants_input(), self.outbound.has_fin());
        Interest { read, write, shutdown, service, deadline, close, reset }
    }

    fn wants_input(&self) -> bool {
        let Self { inbound, outbound } = self;
        if inbound.eof || outbound.is_done() {
            return false;
        }
        if !outbound.link().is_open() {
            return true;
        }
        !outbound.would_hold_input() && self.looks_further_ahead()
    }

    /// Whether more input may be kept ahead of the application. Pipelined requests are read up to a limit, so that the
    /// end of the peer is detected.
    fn looks_further_ahead(&self) -> bool {
        let look_ahead = self.outbound.link().config.limits.look_ahead_bytes_max;
        self.inbound.kept.as_ref().is_none_or(|kept| kept.len() < look_ahead)
    }

    /// Whether the connection is over now that the peer will send no more.
    fn is_over_at_eof(&self) -> bool {
        match &self.outbound.sender {
            Sending::Carried(Carried::Raw(sender)) => sender.is_over(),
            Sending::Silent => true,
            Sending::Http2(session) => session.streams.is_empty(),
            Sending::Http1(_) | Sending::Carried(Carried::WebSocket(_)) => {
                !self.outbound.channel.has_stream()
            }
        }
    }

    /// Whether [`next_event`](Self::next_event) has an event although nothing new was received.
    #[doc(alias = "lws_service_adjust_timeout")]
    #[must_use]
    #[inline]
    pub fn needs_service(&self) -> bool {
        let Self { inbound, outbound } = self;
        if outbound.notice_is_due() {
            return true;
        }
        if outbound.would_hold_input() || !outbound.link().is_open() {
            return false;
        }
        let keeps = inbound.kept.as_ref().is_some_and(|kept| !kept.is_empty());
        if self.is_waiting() {
            // The end of the peer is delivered even so, once there is no input before it.
            return outbound.link().has_eof() && !keeps;
        }
        outbound.link().has_eof() || keeps || has_more(&inbound.receiver, outbound)
    }

    /// The time since which a server's connection is idle: the peer has sent no request, or every request was answered.
    /// `None` for a client, a WebSocket or a raw stream, and while anything is read, answered or queued. A driver that
    /// has reached a limit may end such a connection, which HTTP allows: RFC 9112 §9.5.
    #[must_use]
    pub fn idle_since(&self) -> Option<Time> {
        let Self { inbound, outbound } = self;
        let link = outbound.link();
        let busy = outbound.channel.has_stream() || outbound.wants_output() || inbound.kept.is_some();
        if link.is_client() || !link.is_open() || busy {
            return None;
        }
        let idle = match (&inbound.receiver, &outbound.sender) {
            (Receiving::Detect(first), _) => first.is_none(),
            (Receiving::Http1(receiver), _) => receiver.is_between_requests(),
            (Receiving::Http2(_), Sending::Http2(session)) => session.streams.is_empty(),
            (Receiving::Http2(_) | Receiving::Carried(_), _) => false,
        };
        idle.then(|| link.last_received.max(link.last_sent))
    }

    fn is_waiting(&self) -> bool {
        is_waiting(&self.inbound.receiver, &self.outbound)
    }

    // Handles.

    /// The stream called `key`, unless it has ended.
    pub fn stream(&mut self, key: StreamKey) -> Option<Stream<'_>> {
        note!(self.outbound, Note::Select(key));
        self.outbound.select(key).then(|| Stream::new(&mut self.outbound))
    }

    /// The exchange of that name, if it is one that has not ended. See [`stream`](Self::stream).
    pub fn exchange(&mut self, key: StreamKey) -> Option<Exchange<'_>> {
        self.stream(key)?.into_exchange().ok()
    }

    /// The WebSocket of that name, if it is one that has not ended. See [`stream`](Self::stream).
    pub fn websocket(&mut self, key: StreamKey) -> Option<WebSocket<'_>> {
        self.stream(key)?.into_websocket().ok()
    }

    /// The raw stream of that name, if it is one that has not ended. See [`stream`](Self::stream).
    pub fn raw_stream(&mut self, key: StreamKey) -> Option<RawStream<'_>> {
        self.stream(key)?.into_raw().ok()
    }

    /// Turns a ticket back into a permit.
    ///
    /// # Errors
    /// The ticket, if the stream may not write now; it can be redeemed later. If the stream has ended it never can.
    pub fn redeem(&mut self, ticket: WriteTicket) -> Result<Writable<'_>, WriteTicket> {
        note!(self.outbound, Note::Redeem(ticket.key()));
        if !self.outbound.select(ticket.key()) {
            return Err(ticket);
        }
        self.outbound.set_ticket(false);
        if self.outbound.may_write() {
            return Ok(Writable::new(&mut self.outbound));
        }
        self.outbound.set_ticket(true);
        Err(ticket)
    }

    /// Ends the connection in an orderly way: a WebSocket gets close code 1001, a running exchange is the last one, and
    /// an idle connection ends now. Over HTTP/2 the peer is asked to begin no more streams, and those that run come to their
    /// end. RFC 9113 §6.8.
    pub fn drain(&mut self, now: Time) {
        note!(self.outbound, Note::Drain(now));
        self.outbound.drain(now);
    }

    /// Lets the connection end by itself: a WebSocket and a raw stream go on for as long as both sides want, the running exchange is the last
    /// one, or the next if none is running or its response has begun, and over HTTP/2 the peer is asked to begin no more streams. Nothing
    /// is cut off, and no request that is on its way is lost. On a connection whose protocol is not known yet nothing happens: it may be called again.
    pub fn retire(&mut self, now: Time) {
        note!(self.outbound, Note::Retire(now));
        self.outbound.retire(now);
    }

    /// Ends the connection at once. What is queued is lost.
    pub fn abort(&mut self) {
        note!(self.outbound, Note::Abort);
        self.outbound.abort(Cause::Aborted);
    }

    /// Records the connection on `tape`. Call it before anything has happened to the connection. The record can be
    /// replayed.
    #[cfg(feature = "record")]
    pub fn record(&mut self, tape: Box<dyn crate::record::Tape>) {
        use crate::record::{Note, NotedEntropy, Role, Running, describe};
        let Self { inbound, outbound } = self;
        let tape = Running::new(tape);
        let role = match &inbound.receiver {
            Receiving::Http1(_) => Role::Client,
            Receiving::Http2(_) => Role::ServerHttp2,
            Receiving::Carried(_) => Role::Raw,
            Receiving::Detect(_) if outbound.has_agreed_on_http1() => Role::ServerHttp1,
            Receiving::Detect(_) => Role::Server,
        };
        let link = outbound.link();
        let config = describe(&link.config).into();
        tape.note(&link.config, Note::Begin { role, now: link.opened(), config });
        tape.note(&link.config, Note::Spread(link.spread));
        if link.is_client() && role == Role::ServerHttp2 {
            tape.note(&link.config, Note::Unsupported("a client of HTTP/2".into()));
        }
        if let Some(entropy) = outbound.resources.entropy.take() {
            outbound.resources.entropy = Some(Box::new(NotedEntropy { entropy, tape: tape.clone() }));
        }
        outbound.resources.tape = Some(tape);
    }

    /// Notes what the transport has taken.
    #[cfg(feature = "record")]
    fn note_sent(&self, now: Time, n: usize) {
        let Some(tape) = &self.outbound.resources.tape else { return };
        let link = self.outbound.link();
        let mut slices: [&[u8]; crate::SLICES_MAX] = [&[]; crate::SLICES_MAX];
        let count = link.out.slices(&mut slices);
        let mut left = n;
        for slice in &slices[..count] {
            let part = &slice[..left.min(slice.len())];
            left -= part.len();
            if !part.is_empty() {
                tape.note(&link.config, crate::record::Note::Sent(part.into()));
            }
        }
        tape.note(&link.config, crate::record::Note::Took(now, n));
    }

    /// Why an HTTP/2 peer was sent GOAWAY with an error: the rule that it broke, or the limit or deadline that it
    /// reached. The connection has ended or is going to, though streams may still run to their end: over
    /// [`Limits::h2_glitches`](crate::Limits::h2_glitches) and [`h2_resets`](crate::Limits::h2_resets) no stream ends
    /// with this cause. RFC 9113 §6.8.
    #[must_use]
    pub fn sent_away(&self) -> Option<Cause> {
        match &self.outbound.sender {
            Sending::Http2(session) => session.sent_away(),
            _ => None,
        }
    }

    /// Whether the connection speaks HTTP/2, where many streams share it. RFC 9113.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        matches!(&self.outbound.sender, Sending::Http2(_))
    }

    /// The protocol after HTTP: a WebSocket or a raw stream, if the connection has switched to one.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        match &self.outbound.sender {
            Sending::Carried(carried) if self.outbound.link().is_open() => Some(carried.protocol()),
            _ => None,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.outbound.resources.account.count(0, &self.outbound.channel.link.config.held);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("protocol", &self.protocol())
            .field("end", &self.outbound.link().end())
            .field("queued", &self.outbound.link().out.len())
            .finish_non_exhaustive()
    }
}
