//! A stream: what can be done with it whenever it is lent.

use super::{Exchange, RawStream, WebSocket, Writable};
use crate::connection::outbound::Outbound;
use crate::http::{Head, Status};
use crate::key::StreamKey;
use crate::ws::{self, CloseCode};
use crate::{Limit, Liveness, MessageKind, Misuse, Time};
use bytes::Bytes;
use core::fmt;

/// A stream, for as long as an event or a look-up lends it.
#[doc(alias = "lws")]
#[doc(alias = "wsi")]
pub struct Stream<'a> {
    outbound: &'a mut Outbound,
}

impl<'a> Stream<'a> {
    #[inline]
    pub(crate) fn new(outbound: &'a mut Outbound) -> Self {
        Self { outbound }
    }

    /// The permit to write, which is due.
    #[inline]
    pub(crate) fn into_permit(self) -> Writable<'a> {
        Writable::new(self.outbound)
    }

    /// Its name, to find it again with [`Connection::stream`](crate::Connection::stream).
    #[must_use]
    pub fn key(&self) -> StreamKey {
        self.outbound.key()
    }

    // What it speaks.

    /// The exchange, if it is one that has not ended; otherwise the stream again.
    pub fn into_exchange(self) -> Result<Exchange<'a>, Self> {
        if self.outbound.exchange().is_some() { Ok(Exchange::new(self.outbound)) } else { Err(self) }
    }

    /// The WebSocket, if it is one that has not ended; otherwise the stream again.
    pub fn into_websocket(self) -> Result<WebSocket<'a>, Self> {
        if self.outbound.websocket().is_some() { Ok(WebSocket::new(self.outbound)) } else { Err(self) }
    }

    /// The raw stream, if it is one that has not ended; otherwise the stream again.
    pub fn into_raw(self) -> Result<RawStream<'a>, Self> {
        if self.outbound.raw().is_some() { Ok(RawStream::new(self.outbound)) } else { Err(self) }
    }

    /// The time that the driver passed last.
    #[must_use]
    pub fn now(&self) -> Time {
        self.outbound.link().now
    }

    /// The permit to write, if the stream may write now; otherwise the stream again, to [`want_write`](Self::want_write).
    ///
    /// A stream may write while fewer than `send_queue_bytes_max` bytes are queued and its protocol has a place for
    /// more: after a request and until the response has ended, or until a WebSocket has sent its Close frame. Over HTTP/2 content
    /// needs at least one byte of both windows, that of the stream and that of the connection, which streams share by urgency and
    /// in turn (RFC 9218 §10): what does not fit one turn is queued, and there is no other permit until it has gone.
    #[inline]
    pub fn permit(self) -> Result<Writable<'a>, Self> {
        if self.outbound.may_write() { Ok(Writable::new(self.outbound)) } else { Err(self) }
    }

    /// Whether this side has said its last: the whole response or request, a Close frame, the end of a raw stream.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.outbound.has_ended()
    }

    /// Whether a WebSocket message of this side has been begun and not ended.
    #[must_use]
    pub fn is_in_message(&self) -> bool {
        self.outbound.is_in_message()
    }

    /// Asks for one [`Event::Writable`](crate::Event::Writable), when the stream may write. Asking twice is asking once.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self) {
        command!(self.outbound, Command::WantWrite);
        self.outbound.want_write();
    }

    /// No input is taken for this stream until [`resume`](Self::resume); the transport's own flow control then stops
    /// the peer. Bytes that were received already are kept.
    #[doc(alias = "lws_rx_flow_control")]
    pub fn pause(&mut self) {
        command!(self.outbound, Command::Pause);
        self.outbound.pause();
    }

    /// Takes input again. What was kept makes [`needs_service`](crate::Connection::needs_service) true.
    pub fn resume(&mut self) {
        command!(self.outbound, Command::Resume);
        self.outbound.resume();
    }

    /// Whether [`pause`](Self::pause) is in force.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.outbound.is_paused()
    }

    /// Asks for one [`Event::Timeout`](crate::Event::Timeout) at `at`, in place of the one asked for before; `None`
    /// takes it back.
    #[doc(alias = "lws_set_timer_usecs")]
    pub fn set_timeout(&mut self, at: Option<Time>) {
        command!(self.outbound, Command::SetTimeout(at));
        self.outbound.set_timeout(at);
    }

    /// How long the peer of a WebSocket may be silent, from now on; `None` goes back to what
    /// [`Limits`](crate::Limits) say for all.
    ///
    /// # Errors
    /// [`Misuse::WrongProtocol`] if the stream is no WebSocket: nothing else has a way to ask a peer.
    pub fn set_liveness(&mut self, liveness: Option<Liveness>) -> Result<(), Misuse> {
        WebSocket::new(self.outbound).set_liveness(liveness)
    }

    /// Says that the peer is known to be there, by something that the engine does not see: its silence counts from
    /// `now`. Everything that is received says so by itself.
    #[doc(alias = "lws_validity_confirmed")]
    pub fn confirm_liveness(&mut self, now: Time) {
        command!(self.outbound, Command::ConfirmLiveness(now));
        self.outbound.confirm_peer(now);
    }

    /// Queues a whole WebSocket message without a permit, if it fits below `send_queue_bytes_max` with its header.
    ///
    /// # Errors
    /// The message, when it does not fit, or the stream is no open WebSocket, or is in the middle of a message.
    pub fn try_queue(&mut self, kind: MessageKind, message: Bytes) -> Result<(), Bytes> {
        WebSocket::new(self.outbound).try_queue(kind, message)
    }

    /// Changes an option of an extension that is in use, by the names of libwebsockets: `compression_level`, `mem_level` and
    /// `tx_buf_size` of `permessage-deflate`. It counts from the next message on.
    ///
    /// # Errors
    /// [`OptionError`](ws::OptionError): the extension is not in use, or has no such option, or not that value, or the
    /// option was settled in the opening handshake.
    #[doc(alias = "lws_set_extension_option")]
    pub fn set_extension_option(
        &mut self,
        extension: &str,
        name: &str,
        value: &str,
    ) -> Result<(), ws::OptionError> {
        WebSocket::new(self.outbound).set_extension_option(extension, name, value)
    }

    /// Sends an interim response, such as 103 Early Hints, before the final one. RFC 9110 §15.2.
    ///
    /// # Errors
    /// [`Misuse`] if the stream is no server's exchange, its response has begun, or `status` is not 1xx (or is 101).
    pub fn interim<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        status: Status,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<(), Misuse> {
        Exchange::new(self.outbound).interim(status, fields)
    }

    /// Lets the connection end with this exchange: the response will say `Connection: close`. Over HTTP/2 the peer is asked
    /// to begin no more, and those that have begun are the last ones.
    pub fn last_exchange(&mut self) {
        Exchange::new(self.outbound).last_exchange()
    }

    /// Lets an exchange go on although its peer has ended its direction, however long it sends nothing; or not, which is how each
    /// begins: see [`Limits::half_closed_timeout`](crate::Limits::half_closed_timeout). What is kept waits for the
    /// application alone, which should have a deadline of its own.
    pub fn keep_half_closed(&mut self, keep: bool) {
        Exchange::new(self.outbound).keep_half_closed(keep)
    }

    /// Limits the content of the request or response that is being received, in place of
    /// [`Limits::content_bytes_max`](crate::Limits::content_bytes_max). Past it a request is answered 413.
    pub fn limit_content(&mut self, bytes: u64) {
        Exchange::new(self.outbound).limit_content(bytes)
    }

    /// How many bytes of the content of this request its peer must deliver in each
    /// [`Limits::content_period`](crate::Limits::content_period), in place of
    /// [`Limits::content_bytes_min`](crate::Limits::content_bytes_min). 0 lets it take its time, as for an upload that a person types:
    /// the exchange then waits for the application, which should have a deadline of its own.
    pub fn expect_content(&mut self, bytes: usize) {
        Exchange::new(self.outbound).expect_content(bytes)
    }

    /// Says that the application is about to hold `bytes` more for this stream: content that it gathers, for instance. They count with
    /// what the engine holds for the connection, until [`let_go`](Self::let_go) or the end of the stream.
    ///
    /// # Errors
    /// [`Limit::HeldBytes`] if the connection would hold more than
    /// [`Limits::held_bytes_max`](crate::Limits::held_bytes_max), and [`Limit::ServiceBytes`] if nothing is left of the budget of
    /// the service, [`HeldBytes`](crate::HeldBytes). Nothing has been counted then, and [`Limit::status`] is what to answer.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Limit> {
        command!(self.outbound, Command::Hold(bytes));
        self.outbound.hold(bytes)
    }

    /// Says that the application holds `bytes` less than it said.
    pub fn let_go(&mut self, bytes: usize) {
        command!(self.outbound, Command::LetGo(bytes));
        self.outbound.let_go(bytes);
    }

    /// Accepts the WebSocket opening handshake that `head` asks for: 101 is queued, and the stream speaks WebSocket
    /// from here on. RFC 6455 §4.2.2. [`Event::Established`](crate::Event::Established) follows.
    ///
    /// # Errors
    /// [`Misuse::NotAnOpening`] if the request breaks a rule of RFC 6455 §4.2.1: it has then been answered with 400 or
    /// 426. Any other misuse changes nothing.
    pub fn accept_websocket(self, head: &Head<'_>, accept: &ws::Accept<'_>) -> Result<Stream<'a>, Misuse> {
        let accepted = Exchange::new(self.outbound).accept_websocket(head, accept)?;
        Ok(accepted.into_stream())
    }

    /// Accepts a CONNECT request: 200 is queued, and the stream is raw from here on. RFC 9110 §9.3.6.
    ///
    /// # Errors
    /// [`Misuse`] if the request is another one or has been answered.
    pub fn accept_tunnel(self) -> Result<Stream<'a>, Misuse> {
        let accepted = Exchange::new(self.outbound).accept_tunnel()?;
        Ok(accepted.into_stream())
    }

    /// Begins the WebSocket closing handshake. Messages that the peer sent before its own Close frame still come.
    /// RFC 6455 §7.1.2.
    ///
    /// # Errors
    /// [`Misuse`] if the stream is no WebSocket, or `code` may not be on the wire, or `reason` has over 123 bytes.
    /// A second close is no error and does nothing.
    #[doc(alias = "lws_close_reason")]
    pub fn close(self, code: CloseCode, reason: &str) -> Result<(), Misuse> {
        WebSocket::new(self.outbound).close(code, reason)
    }

    /// Ends the stream at once, and a connection that has no other with it. What is queued is lost, and
    /// [`Event::Closed`](crate::Event::Closed) says [`Cause::Aborted`](crate::Cause::Aborted). Over HTTP/2 the peer gets CANCEL. RFC 9113 §6.4.
    pub fn abort(self) {
        command!(self.outbound, Command::AbortStream);
        self.outbound.abort_stream();
    }
}

impl fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.key()).finish()
    }
}
