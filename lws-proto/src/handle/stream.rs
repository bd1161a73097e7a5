//! The stream handle, with the calls of all protocols.

use super::{ByProtocol, Exchange, RawStream, WebSocket, Writable, spoken};
use crate::connection::outbound::Outbound;
use crate::key::StreamKey;
use crate::{Limit, Time};
use core::fmt;
use core::marker::PhantomData;

/// A stream, for as long as an event or a look-up lends it.
///
/// `P` is what it is known to speak, one of the types of [`spoken`]. An [`Exchange`], a [`WebSocket`] and a [`RawStream`] are streams, each
/// with the calls of its protocol beside those that all streams have. A stream of which nothing is known becomes one of them with
/// [`into_exchange`](Stream::into_exchange), [`into_websocket`](Stream::into_websocket) or [`into_raw`](Stream::into_raw).
#[doc(alias = "lws")]
#[doc(alias = "wsi")]
pub struct Stream<'a, P = spoken::Any> {
    pub(super) outbound: &'a mut Outbound,
    speaks: PhantomData<P>,
}

impl<'a, P> Stream<'a, P> {
    /// The caller knows that the stream that is lent speaks `P`, or did before it ended.
    #[inline]
    pub(crate) fn new(outbound: &'a mut Outbound) -> Self {
        Self { outbound, speaks: PhantomData }
    }

    /// The stream, as one of which nothing is known.
    #[must_use]
    pub fn into_any(self) -> Stream<'a> {
        Stream::new(self.outbound)
    }

    /// The same stream for a while: a call that takes it leaves this one.
    #[must_use]
    pub fn reborrow(&mut self) -> Stream<'_, P> {
        Stream::new(self.outbound)
    }

    /// Its name, to find it again with [`Connection::stream`](crate::Connection::stream).
    #[must_use]
    pub fn key(&self) -> StreamKey {
        self.outbound.key()
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
    pub fn permit(self) -> Result<Writable<'a, P>, Self> {
        if self.outbound.may_write() { Ok(Writable::new(self.outbound)) } else { Err(self) }
    }

    /// Whether this side has ended its direction: by the end of the response or request, a Close frame, or the end
    /// of a raw stream.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.outbound.has_ended()
    }

    /// Asks for one [`Event::Writable`](crate::Event::Writable) when the stream may write. Several requests count as
    /// one.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self) {
        command!(self.outbound, Command::WantWrite);
        self.outbound.want_write();
    }

    /// Pauses input of this stream until [`resume`](Self::resume); flow control then stops the peer. Bytes that were
    /// received already are kept.
    #[doc(alias = "lws_rx_flow_control")]
    pub fn pause(&mut self) {
        command!(self.outbound, Command::Pause);
        self.outbound.pause();
    }

    /// Resumes input. Kept bytes make [`needs_service`](crate::Connection::needs_service) true.
    pub fn resume(&mut self) {
        command!(self.outbound, Command::Resume);
        self.outbound.resume();
    }

    /// Whether [`pause`](Self::pause) is in force.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.outbound.is_paused()
    }

    /// Asks for one [`Event::Timeout`](crate::Event::Timeout) at `at`, which replaces the last request; `None`
    /// cancels it.
    #[doc(alias = "lws_set_timer_usecs")]
    pub fn set_timeout(&mut self, at: Option<Time>) {
        command!(self.outbound, Command::SetTimeout(at));
        self.outbound.set_timeout(at);
    }

    /// Confirms that the peer is alive, by evidence that the engine does not see: its silence counts from `now`.
    /// Received bytes do this by themselves.
    #[doc(alias = "lws_validity_confirmed")]
    pub fn confirm_liveness(&mut self, now: Time) {
        command!(self.outbound, Command::ConfirmLiveness(now));
        self.outbound.confirm_peer(now);
    }

    /// Charges `bytes` that the application is about to hold for this stream: for example content that it gathers. They
    /// count with what the engine holds for the connection, until [`let_go`](Self::let_go) or the end of the stream.
    ///
    /// # Errors
    /// [`Limit::HeldBytes`] if the connection would hold more than
    /// [`Limits::held_bytes_max`](crate::Limits::held_bytes_max), and [`Limit::ServiceBytes`] if nothing is left of the budget of
    /// the service, [`HeldBytes`](crate::HeldBytes). Nothing has been counted then, and [`Limit::status`] is what to answer.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Limit> {
        command!(self.outbound, Command::Hold(bytes));
        self.outbound.hold(bytes)
    }

    /// Releases `bytes` that the application does not hold any more.
    pub fn let_go(&mut self, bytes: usize) {
        command!(self.outbound, Command::LetGo(bytes));
        self.outbound.let_go(bytes);
    }

    /// Ends the stream at once, and a connection that has no other with it. What is queued is lost, and
    /// [`Event::Closed`](crate::Event::Closed) says [`Cause::Aborted`](crate::Cause::Aborted). Over HTTP/2 the peer gets CANCEL. RFC 9113 §6.4.
    pub fn abort(self) {
        command!(self.outbound, Command::AbortStream);
        self.outbound.abort_stream();
    }
}

impl<'a> Stream<'a> {
    /// The handle for its protocol; or the stream again, if it has ended.
    pub fn by_protocol(self) -> Result<ByProtocol<Exchange<'a>, WebSocket<'a>, RawStream<'a>>, Self> {
        self.into_exchange()
            .map(ByProtocol::Exchange)
            .or_else(|stream| stream.into_websocket().map(ByProtocol::WebSocket))
            .or_else(|stream| stream.into_raw().map(ByProtocol::Raw))
    }

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
}

impl<P> fmt::Debug for Stream<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.key()).finish()
    }
}
