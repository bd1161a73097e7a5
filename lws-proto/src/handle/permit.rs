//! The permit to write on a stream, and what is left of one once it is spent or kept.

use super::{ExchangePermit, RawPermit, Stream, WebSocketPermit};
use crate::connection::outbound::Outbound;
use crate::http::Status;
use crate::key::StreamKey;
use crate::payload::Payload;
use crate::{MessageKind, Misuse, ws};
use core::fmt;

/// The permit to write once. Every send takes it by value, so that a second send does not compile:
///
/// ```compile_fail,E0382
/// # use lws_proto::{MessageKind, Payload, Writable};
/// fn twice(permit: Writable<'_>) {
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
/// For late producers there is [`into_ticket`](Self::into_ticket). Dropping a permit writes nothing.
#[must_use = "a permit that is dropped writes nothing"]
pub struct Writable<'a> {
    outbound: &'a mut Outbound,
}

impl<'a> Writable<'a> {
    #[inline]
    pub(crate) fn new(outbound: &'a mut Outbound) -> Self {
        Self { outbound }
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
    pub fn into_stream(self) -> Stream<'a> {
        Stream::new(self.outbound)
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

    /// Sends the head of the final response, and content with it. RFC 9112 §4.
    ///
    /// The framing is chosen here: `Content-Length` if `end`, or as the fields say; otherwise chunked, or up to the
    /// close of the connection for HTTP/1.0.
    ///
    /// # Errors
    /// [`Misuse`]; nothing has been sent then.
    #[doc(alias = "lws_add_http_common_headers")]
    #[doc(alias = "lws_finalize_http_header")]
    #[inline]
    pub fn respond<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        status: Status,
        fields: impl IntoIterator<Item = (N, V)>,
        content: Payload<'_>,
        end: bool,
    ) -> Result<Sent<'a>, Misuse> {
        ExchangePermit::new(self.outbound).respond(status, fields, content, end)
    }

    /// Sends content of a response, request or raw stream.
    ///
    /// # Errors
    /// [`Misuse`]; nothing has been sent then.
    #[doc(alias = "lws_write")]
    #[inline]
    pub fn data(self, content: Payload<'_>, end: bool) -> Result<Sent<'a>, Misuse> {
        if self.outbound.lends_exchange() {
            ExchangePermit::new(self.outbound).data(content, end)
        } else {
            RawPermit::new(self.outbound).data(content, end)
        }
    }

    /// Ends a chunked message with a trailer section. RFC 9112 §7.1.2.
    ///
    /// # Errors
    /// [`Misuse`] if the message is not chunked; nothing has been sent then.
    pub fn trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Sent<'a>, Misuse> {
        ExchangePermit::new(self.outbound).trailers(fields)
    }

    /// Sends content that `fill` writes in place: up to `max` bytes, of which it returns how many it wrote and whether
    /// they are the last.
    ///
    /// # Errors
    /// [`Misuse`]; `fill` has not been called then.
    pub fn fill(self, max: usize, fill: impl FnOnce(&mut [u8]) -> (usize, bool)) -> Result<Sent<'a>, Misuse> {
        if self.outbound.lends_exchange() {
            ExchangePermit::new(self.outbound).fill(max, fill)
        } else {
            RawPermit::new(self.outbound).fill(max, fill)
        }
    }

    /// Sends a WebSocket message, or the next part of one as a frame. In mid-message `kind` does not count. Text must be
    /// UTF-8. RFC 6455 §6.1.
    ///
    /// # Errors
    /// [`Misuse`] if the stream is no WebSocket.
    #[doc(alias = "lws_write")]
    #[inline]
    pub fn message(self, kind: MessageKind, payload: Payload<'_>, end: bool) -> Result<Sent<'a>, Misuse> {
        WebSocketPermit::new(self.outbound).message(kind, payload, end)
    }

    /// As [`message`](Self::message), with the reserved bits of an extension that was agreed on. In mid-message they do
    /// not count, as they stand on the first frame.
    ///
    /// # Errors
    /// [`Misuse`] if the stream is no WebSocket.
    pub fn extended_message(
        self,
        kind: MessageKind,
        reserved: ws::ReservedBits,
        payload: Payload<'_>,
        end: bool,
    ) -> Result<Sent<'a>, Misuse> {
        WebSocketPermit::new(self.outbound).extended_message(kind, reserved, payload, end)
    }

    /// As [`message`](Self::message), for content that is compressed already: no extension tries to make it smaller.
    ///
    /// # Errors
    /// [`Misuse`] if the stream is no WebSocket.
    pub fn uncompressed_message(
        self,
        kind: MessageKind,
        payload: Payload<'_>,
        end: bool,
    ) -> Result<Sent<'a>, Misuse> {
        WebSocketPermit::new(self.outbound).uncompressed_message(kind, payload, end)
    }

    /// Sends a whole WebSocket message that goes to many peers, and is compressed once for all with the same parameters.
    ///
    /// # Errors
    /// [`Misuse`] if the stream is no WebSocket, or is in the middle of a message.
    pub fn prepared(self, message: &ws::Prepared) -> Result<Sent<'a>, Misuse> {
        WebSocketPermit::new(self.outbound).prepared(message)
    }

    /// Sends a whole WebSocket text message.
    ///
    /// # Errors
    /// [`Misuse`] if the stream is no WebSocket.
    pub fn text(self, text: &str) -> Result<Sent<'a>, Misuse> {
        self.message(MessageKind::Text, Payload::Copy(text.as_bytes()), true)
    }

    /// Sends a Ping with up to 125 bytes of payload; more are left out. RFC 6455 §5.5.2.
    ///
    /// # Errors
    /// [`Misuse`] if the stream is no WebSocket.
    pub fn ping(self, payload: &[u8]) -> Result<Sent<'a>, Misuse> {
        WebSocketPermit::new(self.outbound).ping(payload)
    }

    /// Keeps the permit beyond the event. No other is given meanwhile; [`Connection::redeem`](crate::Connection::redeem)
    /// turns it back.
    pub fn into_ticket(self) -> WriteTicket {
        command!(self.outbound, Command::Ticket);
        self.outbound.set_ticket(true);
        WriteTicket { key: self.outbound.key() }
    }
}

impl fmt::Debug for Writable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writable").field(&self.key()).finish()
    }
}

/// A permit that was spent.
pub struct Sent<'a> {
    outbound: &'a mut Outbound,
}

impl<'a> Sent<'a> {
    #[inline]
    pub(crate) fn new(outbound: &'a mut Outbound) -> Self {
        Self { outbound }
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

    /// Takes no input for this stream until it may write again, so that an application that answers each message needs no queue.
    /// Does nothing if it may write now.
    #[inline]
    pub fn throttle(self) {
        command!(self.outbound, Command::Throttle);
        if self.outbound.is_full() {
            self.outbound.throttle();
        }
    }

    /// The stream.
    #[must_use]
    pub fn into_stream(self) -> Stream<'a> {
        Stream::new(self.outbound)
    }
}

impl fmt::Debug for Sent<'_> {
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
