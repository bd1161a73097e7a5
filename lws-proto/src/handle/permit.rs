//! The permit to write on a stream, and its spent and kept forms.

use super::{ByProtocol, ExchangePermit, RawPermit, Stream, WebSocketPermit, spoken};
use crate::connection::outbound::Outbound;
use crate::key::StreamKey;
use core::fmt;
use core::marker::PhantomData;

/// The permit to write once. Every send takes it by value, so that a second send does not compile:
///
/// ```compile_fail,E0382
/// # use lws_proto::{MessageKind, Payload, WebSocketPermit};
/// fn twice(permit: WebSocketPermit<'_>) {
///     let _ = permit.message(MessageKind::Text, Payload::Static(b"one"), true);
///     let _ = permit.message(MessageKind::Text, Payload::Static(b"two"), true);
/// }
/// ```
///
/// Nor does a permit that outlives its event:
///
/// ```compile_fail,E0499
/// # use lws_proto::{Connection, Event};
/// fn keep(connection: &mut Connection) {
///     let Some(Event::Writable(permit)) = connection.next_event() else { return };
///     connection.next_event();
///     drop(permit);
/// }
/// ```
///
/// `P` is what the stream is known to speak, as of a [`Stream`]: an [`ExchangePermit`], a [`WebSocketPermit`] and a [`RawPermit`] are permits.
/// For late producers there is [`into_ticket`](Self::into_ticket). Dropping a permit writes nothing.
#[must_use = "a permit that is dropped writes nothing"]
pub struct Writable<'a, P = spoken::Any> {
    pub(super) outbound: &'a mut Outbound,
    speaks: PhantomData<P>,
}

impl<'a, P> Writable<'a, P> {
    /// The caller knows that the stream that is lent may write, and speaks `P`.
    #[inline]
    pub(crate) fn new(outbound: &'a mut Outbound) -> Self {
        Self { outbound, speaks: PhantomData }
    }

    /// The permit, as one for a stream of which nothing is known.
    pub fn into_any(self) -> Writable<'a> {
        Writable::new(self.outbound)
    }

    /// The stream that it is for.
    #[must_use]
    pub fn key(&self) -> StreamKey {
        self.outbound.key()
    }

    /// How many bytes can be sent before the peer or the queue says stop. A larger payload is taken all the same, and
    /// the next permit waits until it has gone. At least 1.
    #[doc(alias = "lws_get_peer_write_allowance")]
    #[must_use]
    pub fn budget(&self) -> usize {
        self.outbound.budget()
    }

    /// The stream, with the permit given back.
    #[must_use]
    pub fn into_stream(self) -> Stream<'a, P> {
        Stream::new(self.outbound)
    }

    /// Keeps the permit beyond the event. No other is given meanwhile; [`Connection::redeem`](crate::Connection::redeem)
    /// turns it back.
    pub fn into_ticket(self) -> WriteTicket {
        command!(self.outbound, Command::Ticket);
        self.outbound.set_ticket(true);
        WriteTicket { key: self.outbound.key() }
    }
}

impl<'a> Writable<'a> {
    /// The permit for what the stream speaks; or the permit again, if the stream has ended.
    pub fn by_protocol(
        self,
    ) -> Result<ByProtocol<ExchangePermit<'a>, WebSocketPermit<'a>, RawPermit<'a>>, Self> {
        self.into_exchange()
            .map(ByProtocol::Exchange)
            .or_else(|permit| permit.into_websocket().map(ByProtocol::WebSocket))
            .or_else(|permit| permit.into_raw().map(ByProtocol::Raw))
    }

    /// The permit of an exchange, if it is for one that has not ended; otherwise the permit again.
    pub fn into_exchange(self) -> Result<ExchangePermit<'a>, Self> {
        if self.outbound.exchange().is_some() { Ok(ExchangePermit::new(self.outbound)) } else { Err(self) }
    }

    /// The permit of a WebSocket, if it is for one that has not ended; otherwise the permit again.
    pub fn into_websocket(self) -> Result<WebSocketPermit<'a>, Self> {
        if self.outbound.websocket().is_some() { Ok(WebSocketPermit::new(self.outbound)) } else { Err(self) }
    }

    /// The permit of a raw stream, if it is for one that has not ended; otherwise the permit again.
    pub fn into_raw(self) -> Result<RawPermit<'a>, Self> {
        if self.outbound.raw().is_some() { Ok(RawPermit::new(self.outbound)) } else { Err(self) }
    }
}

impl<P> fmt::Debug for Writable<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writable").field(&self.key()).finish()
    }
}

/// A permit that was spent.
pub struct Sent<'a, P = spoken::Any> {
    pub(super) outbound: &'a mut Outbound,
    speaks: PhantomData<P>,
}

impl<'a, P> Sent<'a, P> {
    #[inline]
    pub(crate) fn new(outbound: &'a mut Outbound) -> Self {
        Self { outbound, speaks: PhantomData }
    }

    /// The stream that it was for.
    #[must_use]
    pub fn key(&self) -> StreamKey {
        self.outbound.key()
    }

    /// Asks for the next permit.
    pub fn again(self) {
        command!(self.outbound, Command::Again);
        self.outbound.want_write();
    }

    /// Pauses input of this stream until it may write again, so that an application that answers each message needs no
    /// queue. Does nothing if it may write now.
    #[inline]
    pub fn throttle(self) {
        command!(self.outbound, Command::Throttle);
        if self.outbound.is_full() {
            self.outbound.throttle();
        }
    }

    /// The stream.
    #[must_use]
    pub fn into_stream(self) -> Stream<'a, P> {
        Stream::new(self.outbound)
    }

    /// What is left of the permit, as of one for a stream of which nothing is known.
    #[must_use]
    pub fn into_any(self) -> Sent<'a> {
        Sent::new(self.outbound)
    }
}

impl<P> fmt::Debug for Sent<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sent").field(&self.key()).finish()
    }
}

/// A permit that outlives its event. It is checked again when it is redeemed.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "no other permit is given while a ticket is out"]
pub struct WriteTicket {
    key: StreamKey,
}

impl WriteTicket {
    /// The stream that it is for.
    #[must_use]
    pub fn key(&self) -> StreamKey {
        self.key
    }
}
