//! One connection: where protocols meet and are switched.
//!
//! `Detect -> Http1 -> WebSocket | Raw | Http2`, `Detect -> Http2`. A switch consumes the old receiver by value; bytes already received go on in
//! the new one, and whoever drives the connection never learns of it.

use crate::buffer::Kept;
use crate::dispatch::{
    Found, Receiver, Rx, advance, begin_http2, begin_raw, lend, lend_in_one, message_in_one,
};
use crate::h1;
use crate::http::{Request, Scheme};
use crate::stream::{Sent, Stream, StreamKey, Writable, WriteTicket};
use crate::time::earliest;
use crate::transmit::Transmit;
use crate::tx::{Ending, Sender, Tx};
use crate::ws;
use crate::{Cause, Config, Entropy, Event, Expect, Misuse, Payload, Protocol, Time, raw};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

/// What the driver of a connection has to see to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Bytes of the peer are wanted.
    pub read: bool,
    /// Bytes for the peer are queued.
    pub write: bool,
    /// Nothing more will be queued: once what is queued has gone, FIN should follow.
    pub shutdown: bool,
    /// [`Connection::next_event`] has something to say although nothing was received: forced service.
    pub service: bool,
    /// When [`Connection::handle_timeout`] is due.
    pub deadline: Option<Time>,
    /// The transport may be closed: nothing is left to send or to say.
    pub close: bool,
    /// With `close`: what was sent is incomplete, and the peer must not take it for all. The transport ends by a reset (RST) and not
    /// by FIN, and TLS without `close_notify`: RFC 9112 §8, RFC 8446 §6.1.
    pub reset: bool,
}

/// A connection, as client or server, without its transport.
///
/// Whoever drives it calls, in any order that suits:
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
    rx: Rx,
    pub(crate) tx: Tx,
}

impl Connection {
    /// The server's side of a connection that was opened at `now`, where nothing but the first bytes tells what is spoken.
    /// Over TLS it is [`server_http2`](Self::server_http2) or [`server_http1`](Self::server_http1).
    #[must_use]
    pub fn server(now: Time, config: Arc<Config>) -> Self {
        match config.expect {
            Expect::Raw => Self::raw(now, config),
            Expect::Http | Expect::HttpOrRaw => {
                let tx = Tx::new(now, config, Sender::Silent, None);
                Self::new(Receiver::Detect(None), tx)
            }
        }
    }

    /// The server's side of a connection for which ALPN has chosen `h2`: anything else than HTTP/2 is a violation.
    /// [`Config::versions`] and [`Config::expect`] do not count. RFC 7301 §3.2, RFC 9113 §3.2.
    #[must_use]
    pub fn server_http2(now: Time, config: Arc<Config>) -> Self {
        let mut tx = Tx::new(now, config, Sender::Silent, None);
        let receiver = begin_http2(&mut tx);
        Self::new(receiver, tx)
    }

    /// The server's side of a connection with TLS for which ALPN has not chosen `h2`: as [`server`](Self::server), but the
    /// preface of HTTP/2 is answered 505, and `Upgrade: h2c` is ignored. RFC 7301 §3.2, RFC 9113 §3.2.
    #[must_use]
    pub fn server_http1(now: Time, config: Arc<Config>) -> Self {
        let mut connection = Self::server(now, config);
        connection.tx.agree_on_http1();
        connection
    }

    /// The client's side of a connection that was opened at `now`, for HTTP and WebSocket.
    #[must_use]
    pub fn client(now: Time, config: Arc<Config>, entropy: Box<dyn Entropy>) -> Self {
        let receiver = Receiver::Http1(Box::new(h1::Receiver::client(now)));
        let sender = Sender::Http1(Box::new(h1::Sender::client(&config)));
        Self::new(receiver, Tx::new(now, config, sender, Some(entropy)))
    }

    /// The client's side of a connection that was opened at `now`, for HTTP/2: with prior knowledge, or because ALPN chose `h2`.
    /// Requests and WebSockets share it. `scheme` is that of the requests. RFC 9113 §3.3.
    #[must_use]
    pub fn client_http2(now: Time, config: Arc<Config>, entropy: Box<dyn Entropy>, scheme: Scheme) -> Self {
        let mut tx = Tx::new(now, config, Sender::Silent, Some(entropy));
        let receiver = begin_http2(&mut tx);
        if let Sender::Http2(sender) = &mut tx.sender {
            sender.set_scheme(scheme);
        }
        Self::new(receiver, tx)
    }

    /// The client's side of a connection that was opened at `now`, for bytes.
    #[must_use]
    pub fn client_raw(now: Time, config: Arc<Config>) -> Self {
        Self::raw(now, config)
    }

    fn new(receiver: Receiver, tx: Tx) -> Self {
        Self { rx: Rx { receiver, kept: None, assembled: false, eof: false }, tx }
    }

    fn raw(now: Time, config: Arc<Config>) -> Self {
        let mut tx = Tx::new(now, config, Sender::Silent, None);
        begin_raw(&mut tx);
        Self::new(Receiver::Raw(raw::Receiver::default()), tx)
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
    ) -> Result<Sent<'_>, Misuse> {
        #[cfg(feature = "record")]
        let fields = crate::record::SentFields::new(&self.tx, fields);
        note!(
            self.tx,
            Note::Request {
                now,
                line: [request.method.into(), request.target.into(), request.host.into()],
                fields: fields.kept().into(),
                content: content.as_ref().into(),
                end,
            }
        );
        self.tx.now = now;
        self.tx.settle();
        match &mut self.tx {
            Tx { sender: Sender::Http2(sender), out, config, .. } => {
                sender.request(out, config, now, (request, fields), content, end)?;
            }
            tx => h1::request(tx, request, fields, content, end)?,
        }
        Ok(Sent::new(&mut self.tx))
    }

    /// Sends a WebSocket opening handshake; over HTTP/2 an extended CONNECT, as soon as the server has said that it takes them.
    /// [`Event::Established`] follows, or [`Event::Closed`]. RFC 6455 §4.1, RFC 8441 §4.
    ///
    /// # Errors
    /// [`Misuse`] if this is no client, or an exchange is running, or the handshake cannot be written.
    pub fn connect_websocket(&mut self, now: Time, connect: &ws::Connect<'_>) -> Result<StreamKey, Misuse> {
        note!(self.tx, Note::Unsupported("a client's WebSocket".into()));
        self.tx.now = now;
        self.tx.settle();
        match &mut self.tx {
            Tx { sender: Sender::Http2(sender), out, config, .. } => {
                sender.connect_websocket(out, config, now, connect)
            }
            tx => h1::connect_websocket(tx, connect),
        }
    }

    // Input.

    /// Room for bytes of the peer: the engine's own buffer, which exists only while it holds something.
    pub fn recv_buf(&mut self) -> &mut [u8] {
        self.rx.kept.get_or_insert_with(|| Box::new(Kept::with_room())).room()
    }

    /// The first `n` bytes of [`recv_buf`](Self::recv_buf) have been filled.
    pub fn received(&mut self, now: Time, n: usize) {
        self.hear(now);
        self.count_held();
        if let Some(kept) = &mut self.rx.kept {
            note!(self.tx, {
                let room = kept.room();
                Note::Received { now, own: true, bytes: room.get(..n).unwrap_or(room).into() }
            });
            kept.fill(n);
        }
    }

    /// The peer will send no more.
    pub fn received_eof(&mut self, now: Time) {
        note!(self.tx, Note::Eof(now));
        self.end_input(now);
    }

    fn end_input(&mut self, now: Time) {
        self.tx.now = now;
        if !self.rx.eof {
            self.rx.eof = true;
            self.tx.eof();
            if self.is_waiting() {
                self.tx.tell_peer_end();
            }
        }
    }

    /// The peer will send no more, but has not said so in the way that the transport foresees, as TLS without
    /// `close_notify`: what came before may be cut. Content whose end is that of the connection ends with
    /// [`Cause::Truncated`], as do WebSockets and raw streams.
    pub fn received_truncation(&mut self, now: Time) {
        note!(self.tx, Note::Truncation(now));
        self.tx.truncate();
        self.end_input(now);
    }

    /// The transport has failed: nothing can be sent or received any more.
    pub fn transport_failed(&mut self, now: Time) {
        note!(self.tx, Note::Failed(now));
        self.tx.now = now;
        self.tx.abort(Cause::Disconnected);
    }

    /// Lends bytes of the peer. They are unmasked in place, and content is lent on from them; what has not been looked
    /// at when the feed is dropped is copied and kept.
    #[inline]
    pub fn receive<'c, 'b>(&'c mut self, now: Time, bytes: &'b mut [u8]) -> Feed<'c, 'b> {
        note!(self.tx, Note::Received { now, own: false, bytes: (&*bytes).into() });
        self.hear(now);
        Feed { connection: self, bytes, at: 0 }
    }

    #[inline]
    fn hear(&mut self, now: Time) {
        self.tx.now = now;
        self.tx.heard = now;
    }

    // Events.

    /// The next thing that happened, out of what is kept. `None` until something is received, resumed or due.
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
        note!(self.tx, Note::Event);
        self.next_kept()
    }

    /// The same, asked by a feed.
    fn next_kept(&mut self) -> Option<Event<'_>> {
        self.rx.release(&mut self.tx);
        let item = self.advance_kept()?;
        Some(self.lend_kept(item))
    }

    /// Looks at what is kept, before any lent input.
    fn advance_kept(&mut self) -> Option<Found> {
        let Self { rx, tx } = self;
        loop {
            let mut at = 0;
            let found = match &mut rx.kept {
                None => advance(&mut rx.receiver, tx, &mut [], &mut at),
                Some(kept) => {
                    let start = kept.start();
                    let found = advance(&mut rx.receiver, tx, kept.filled(), &mut at);
                    kept.consume(at);
                    found.map(|(item, base)| (item, base + start))
                }
            };
            if found.is_some() {
                return found;
            }
            if rx.kept.as_ref().is_some_and(|kept| kept.is_empty()) {
                rx.kept = None;
            }
            if !rx.replay(tx) {
                return None;
            }
        }
    }

    fn lend_kept(&mut self, (item, base): Found) -> Event<'_> {
        let Self { rx, tx } = self;
        rx.assembled = item.is_assembled();
        let input = match &mut rx.kept {
            Some(kept) => kept.lent(),
            None => &mut [],
        };
        lend(item, base, input, &mut rx.receiver, tx)
    }

    // Output.

    /// What the transport should take now, if anything.
    #[inline]
    pub fn transmit(&mut self, now: Time) -> Option<Transmit<'_>> {
        note!(self.tx, Note::Transmit(now));
        if let Tx { sender: Sender::Http2(sender), out, config, entropy, .. } = &mut self.tx {
            sender.settle(entropy, now);
            sender.flush(out, config, entropy, now);
        }
        if self.tx.out.is_empty() {
            return None;
        }
        self.tx.offer(now);
        Some(Transmit { connection: self, now })
    }

    /// The transport has taken `n` of the queued bytes: for loops that complete later.
    #[inline]
    pub fn transmitted(&mut self, now: Time, n: usize) {
        #[cfg(feature = "record")]
        self.note_sent(now, n);
        self.tx.transmitted(now, n);
    }

    /// Lends a buffer to write into, if the connection has none: swaps it out of `buffer`. A driver that keeps one buffer
    /// for all its connections saves each of them an allocation; [`reclaim`](Self::reclaim) swaps it back.
    #[inline]
    pub fn lend(&mut self, buffer: &mut Vec<u8>) {
        self.tx.out.lend(buffer);
    }

    /// Swaps a lent buffer back into `buffer`, if everything in it has been sent. Otherwise the connection keeps what is
    /// queued, without the room that it does not need, until it has been sent.
    #[inline]
    pub fn reclaim(&mut self, buffer: &mut Vec<u8>) {
        if !self.tx.out.reclaim(buffer) {
            self.tx.account().charge(1);
        }
        self.count_held();
    }

    // What is held.

    /// Bytes that are held for the peer now: by the engine, by the application as far as it has said so with
    /// [`Stream::hold`], and by the driver. An idle connection holds none, but for the tables of HTTP/2.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.rx.held() + self.tx.held()
    }

    /// Says how many bytes the driver holds for this connection, outside the engine: ciphertext that waits for the transport,
    /// for instance.
    pub fn set_held_outside(&mut self, bytes: usize) {
        self.tx.settle();
        let outside = u32::try_from(bytes).unwrap_or(u32::MAX);
        if self.tx.account().outside != outside {
            self.tx.account().outside = outside;
            self.count_all();
        }
    }

    /// Counts what is held, if that may be something.
    #[inline]
    fn count_held(&mut self) {
        if self.tx.is_charged() {
            self.count_charged();
        }
    }

    #[cold]
    fn count_charged(&mut self) {
        self.tx.settle();
        if self.tx.account().is_touched() {
            self.count_all();
        }
    }

    fn count_all(&mut self) {
        let held = self.held_bytes();
        let service = Arc::clone(&self.tx.config);
        let account = self.tx.account();
        account.count(held.saturating_add(account.outside as usize), &service.held);
    }

    // Time and the loop.

    /// Asks a silent peer up to an eighth of its time earlier than [`Limits::ping_interval`](crate::Limits::ping_interval) or its
    /// [`Validity`](crate::Validity) says, and after a stall of the driver that much later. For a driver of many connections: with
    /// another number for each they do not all ask at one moment. Zero, the default, is the very moment.
    pub fn set_spread(&mut self, spread: u8) {
        note!(self.tx, Note::Spread(spread));
        self.tx.spread = spread;
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    #[must_use]
    #[inline(always)]
    pub fn next_timeout(&self) -> Option<Time> {
        if self.tx.ending == Ending::Done {
            return None;
        }
        let receiver = match &self.rx.receiver {
            Receiver::Detect(_) => Some(self.tx.opened() + self.tx.config.limits.head_timeout),
            Receiver::Http1(receiver) => receiver.next_timeout(&self.tx),
            Receiver::Http2(receiver) => receiver.next_timeout(&self.tx),
            Receiver::WebSocket(_) | Receiver::Raw(_) => None,
        };
        let receiver = receiver.filter(|_| self.tx.is_open());
        earliest(receiver, self.tx.next_timeout())
    }

    /// So many of the bytes that the transport has taken have not arrived yet: not acknowledged, and not sent. For drivers that can
    /// ask, before [`handle_timeout`](Self::handle_timeout) and with the same `now`, if [`next_timeout`](Self::next_timeout)
    /// has come.
    ///
    /// The verdicts about a peer that is slow or dead then count what has arrived, and a question to it waits until it has come to it. Of a
    /// driver that says nothing they count what the transport has taken, which may be megabytes that nobody has seen. An error of a
    /// few bytes, as of what encryption adds, does no harm.
    pub fn delivered(&mut self, now: Time, under_way: usize) {
        note!(self.tx, Note::Delivered(now, under_way));
        self.tx.delivery.report(now, under_way, self.tx.out.len());
    }

    /// Does what is due at `now`. A call before its time does nothing.
    pub fn handle_timeout(&mut self, now: Time) {
        note!(self.tx, Note::Timeout(now));
        self.tx.handle_timeout(now);
        if !self.tx.is_open() {
            return;
        }
        match &mut self.rx.receiver {
            Receiver::Detect(first) => {
                if self.tx.opened() + self.tx.config.limits.head_timeout <= now {
                    h1::refuse_undetected(&mut self.tx, first.is_some());
                }
            }
            Receiver::Http1(receiver) => receiver.handle_timeout(&mut self.tx, now),
            Receiver::Http2(receiver) => receiver.handle_timeout(&mut self.tx, now),
            Receiver::WebSocket(_) | Receiver::Raw(_) => {}
        }
    }

    /// What the driver has to see to before it sleeps.
    #[must_use]
    #[inline(always)]
    pub fn interest(&self) -> Interest {
        let deadline = self.next_timeout();
        let write = self.wants_output();
        if self.tx.is_undisturbed() && !self.rx.eof && self.rx.kept.is_none() {
            let shutdown = self.tx.fin();
            let service = self.rx.receiver.has_more(&self.tx);
            return Interest { read: true, write, shutdown, service, deadline, close: false, reset: false };
        }
        self.disturbed_interest(write, deadline)
    }

    /// The same, where input is held or an end is near.
    fn disturbed_interest(&self, write: bool, deadline: Option<Time>) -> Interest {
        let service = self.needs_service();
        let over = match self.tx.ending {
            Ending::Open => self.rx.eof && self.is_over_at_eof(),
            Ending::Draining { .. } => self.rx.eof,
            Ending::Done => true,
        };
        let close = over && !service && (!write || self.tx.ending == Ending::Done);
        let (read, shutdown, reset) = (self.wants_input(), self.tx.fin(), close && self.tx.is_cut());
        Interest { read, write, shutdown, service, deadline, close, reset }
    }

    /// Whether the transport has something to take.
    #[inline]
    fn wants_output(&self) -> bool {
        !self.tx.out.is_empty() || matches!(&self.tx.sender, Sender::Http2(sender) if sender.has_flush())
    }

    fn wants_input(&self) -> bool {
        if self.rx.eof || self.tx.ending == Ending::Done {
            return false;
        }
        if !self.tx.is_open() {
            return true;
        }
        match &self.rx.kept {
            None => !self.tx.would_hold_input(),
            // More than one request ahead is read up to a limit, so that the end of the peer is seen.
            Some(kept) => {
                !self.tx.would_hold_input() && kept.len() < self.tx.config.limits.look_ahead_bytes_max
            }
        }
    }

    /// Whether nothing is left to do for a peer that will send no more.
    fn is_over_at_eof(&self) -> bool {
        match &self.tx.sender {
            Sender::Raw(sender) => sender.is_over(),
            Sender::Silent => true,
            Sender::Http2(sender) => sender.streams.is_empty(),
            Sender::Http1(_) | Sender::WebSocket(_) => !self.tx.stream.open,
        }
    }

    /// Whether [`next_event`](Self::next_event) has something to say although nothing new was received.
    #[doc(alias = "lws_service_adjust_timeout")]
    #[must_use]
    #[inline]
    pub fn needs_service(&self) -> bool {
        if self.tx.notice_is_due() {
            return true;
        }
        if self.tx.would_hold_input() || !self.tx.is_open() {
            return false;
        }
        let keeps = self.rx.kept.as_ref().is_some_and(|kept| !kept.is_empty());
        if self.is_waiting() {
            // The end of the peer is heard even so, once there is no input before it.
            return self.tx.has_eof_notice() && !keeps;
        }
        self.tx.has_eof_notice() || keeps || self.rx.receiver.has_more(&self.tx)
    }

    /// Since when a server has nothing to do for this connection: its peer has asked nothing yet, or everything it asked
    /// was answered. `None` of a client, of a WebSocket or a raw stream, and while anything is read, answered or queued. A
    /// driver that is short of room may end such a connection: HTTP foresees it, RFC 9112 §9.5.
    #[must_use]
    pub fn idle_since(&self) -> Option<Time> {
        let Self { rx, tx } = self;
        if tx.is_client() || !tx.is_open() || tx.stream.open || self.wants_output() || rx.kept.is_some() {
            return None;
        }
        let idle = match &rx.receiver {
            Receiver::Detect(first) => first.is_none(),
            Receiver::Http1(receiver) => receiver.is_between_requests(),
            Receiver::Http2(_) => {
                matches!(&tx.sender, Sender::Http2(sender) if sender.streams.is_empty())
            }
            Receiver::WebSocket(_) | Receiver::Raw(_) => false,
        };
        idle.then(|| tx.heard.max(tx.sent))
    }

    /// Whether input has to wait for the response to the request before it.
    fn is_waiting(&self) -> bool {
        matches!(&self.rx.receiver, Receiver::Http1(receiver) if receiver.is_waiting(&self.tx))
    }

    // Handles.

    /// The stream called `key`, unless it has ended.
    pub fn stream(&mut self, key: StreamKey) -> Option<Stream<'_>> {
        note!(self.tx, Note::Select(key));
        self.tx.select(key).map(|tx| Stream { tx })
    }

    /// Turns a ticket back into a permit.
    ///
    /// # Errors
    /// The ticket, if the stream may not write now; it can be redeemed later. If the stream has ended it never can.
    pub fn redeem(&mut self, ticket: WriteTicket) -> Result<Writable<'_>, WriteTicket> {
        note!(self.tx, Note::Redeem(ticket.key()));
        let Some(tx) = self.tx.select(ticket.key()) else { return Err(ticket) };
        tx.set_ticket(false);
        if tx.may_write() {
            return Ok(Writable::new(tx));
        }
        tx.set_ticket(true);
        Err(ticket)
    }

    /// Ends the connection in an orderly way: a WebSocket gets close code 1001, a running exchange is the last one, and
    /// an idle connection ends now. Over HTTP/2 the peer is asked to begin no more streams, and those that run come to their
    /// end. RFC 9113 §6.8.
    pub fn drain(&mut self, now: Time) {
        note!(self.tx, Note::Drain(now));
        self.tx.drain(now);
    }

    /// Ends the connection at once. What is queued is lost.
    pub fn abort(&mut self) {
        note!(self.tx, Note::Abort);
        self.tx.abort(Cause::Aborted);
    }

    /// Lets `tape` run from here on, on a connection to which nothing has happened yet. What it is given can be done again.
    #[cfg(feature = "record")]
    pub fn record(&mut self, tape: Box<dyn crate::record::Tape>) {
        use crate::record::{Note, Noted, Role, Running, describe};
        let tape = Running::new(tape);
        let role = match &self.rx.receiver {
            Receiver::Http1(_) => Role::Client,
            Receiver::Http2(_) => Role::ServerHttp2,
            Receiver::Raw(_) => Role::Raw,
            _ if self.tx.has_agreed_on_http1() => Role::ServerHttp1,
            _ => Role::Server,
        };
        let config = describe(&self.tx.config).into();
        tape.note(&self.tx.config, Note::Begin { role, now: self.tx.opened(), config });
        tape.note(&self.tx.config, Note::Spread(self.tx.spread));
        if self.tx.is_client() && role == Role::ServerHttp2 {
            tape.note(&self.tx.config, Note::Unsupported("a client of HTTP/2".into()));
        }
        if let Some(entropy) = self.tx.entropy.take() {
            self.tx.entropy = Some(Box::new(Noted { entropy, tape: tape.clone() }));
        }
        self.tx.tape = Some(tape);
    }

    /// Notes what the transport has taken.
    #[cfg(feature = "record")]
    fn note_sent(&self, now: Time, n: usize) {
        let Some(tape) = &self.tx.tape else { return };
        let mut slices: [&[u8]; crate::SLICES_MAX] = [&[]; crate::SLICES_MAX];
        let count = self.tx.out.slices(&mut slices);
        let mut left = n;
        for slice in &slices[..count] {
            let part = &slice[..left.min(slice.len())];
            left -= part.len();
            if !part.is_empty() {
                tape.note(&self.tx.config, crate::record::Note::Sent(part.into()));
            }
        }
        tape.note(&self.tx.config, crate::record::Note::Took(now, n));
    }

    /// Why an HTTP/2 peer was told to go away, unless the connection is to end in order: the rule that it broke, or the limit or deadline
    /// that it met. The connection has ended or is going to, though streams may still run to their end: over
    /// [`Limits::h2_glitches`](crate::Limits::h2_glitches) and [`h2_resets`](crate::Limits::h2_resets) no stream ends with
    /// this cause. RFC 9113 §6.8.
    #[must_use]
    pub fn sent_away(&self) -> Option<Cause> {
        match &self.tx.sender {
            Sender::Http2(sender) => sender.sent_away(),
            _ => None,
        }
    }

    /// What is spoken now, if it is no longer HTTP.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        match &self.tx.sender {
            Sender::WebSocket(_) => Some(Protocol::WebSocket),
            Sender::Raw(_) => Some(Protocol::Raw),
            Sender::Http1(_) | Sender::Http2(_) | Sender::Silent => None,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.tx.settle();
        let service = Arc::clone(&self.tx.config);
        self.tx.account().count(0, &service.held);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("protocol", &self.protocol())
            .field("ending", &self.tx.ending)
            .field("queued", &self.tx.out.len())
            .finish_non_exhaustive()
    }
}

/// Bytes of the peer, lent for a while. See [`Connection::receive`].
pub struct Feed<'c, 'b> {
    connection: &'c mut Connection,
    bytes: &'b mut [u8],
    /// Where the part begins that has not been looked at.
    at: usize,
}

impl Feed<'_, '_> {
    /// The next thing that happened. `None` when everything has been looked at, or the application holds the input.
    #[inline(always)]
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        note!(self.connection.tx, Note::Event);
        let Connection { rx, tx } = &mut *self.connection;
        if rx.is_bare() && tx.is_undisturbed() {
            if self.at == self.bytes.len() && rx.receiver.is_settled(tx) {
                return None;
            }
            if let Receiver::WebSocket(receiver) = &mut rx.receiver
                && let Some(found) = message_in_one(receiver, tx, self.bytes, &mut self.at)
            {
                return Some(lend_in_one(found, &mut self.connection.tx, self.bytes));
            }
        }
        self.next_item()
    }

    /// The same for everything but a whole message in the input of an undisturbed WebSocket, and the end of the input.
    fn next_item(&mut self) -> Option<Event<'_>> {
        let Connection { rx, tx } = &mut *self.connection;
        rx.release(tx);
        if self.connection.rx.kept.is_some() {
            if let Some(found) = self.connection.advance_kept() {
                return Some(self.connection.lend_kept(found));
            }
            if self.connection.rx.kept.is_some() {
                return None;
            }
        }
        let Connection { rx, tx } = &mut *self.connection;
        let found = advance(&mut rx.receiver, tx, self.bytes, &mut self.at);
        if found.is_none() && rx.replay(tx) {
            return self.connection.next_kept();
        }
        let (item, base) = found?;
        let Connection { rx, tx } = &mut *self.connection;
        rx.assembled = item.is_assembled();
        Some(lend(item, base, self.bytes, &mut rx.receiver, tx))
    }

    /// What the transport should take now: when the application holds the input until its answers have gone.
    pub fn transmit(&mut self, now: Time) -> Option<Transmit<'_>> {
        self.connection.transmit(now)
    }

    /// Bytes that have not been looked at.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }
}

impl Drop for Feed<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        note!(self.connection.tx, Note::FeedEnd);
        if self.at < self.bytes.len() {
            self.connection.tx.account().charge(self.bytes.len() - self.at);
            self.connection.rx.keep(&self.bytes[self.at..]);
        }
        let Connection { rx, tx } = &mut *self.connection;
        rx.release(tx);
        if tx.has_streams() {
            self.connection.count_held();
        }
    }
}

impl fmt::Debug for Feed<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("remaining", &self.remaining()).finish_non_exhaustive()
    }
}
