//! What streams and permits of which nothing is known can do of one protocol: it answers [`Misuse`] where they speak another one.

use super::{Exchange, ExchangePermit, RawPermit, Sent, Stream, WebSocket, WebSocketPermit, Writable};
use crate::http::{Head, Status};
use crate::payload::Payload;
use crate::ws::{self, CloseCode};
use crate::{Liveness, MessageKind, Misuse};
use bytes::Bytes;

impl<'a> Stream<'a> {
    /// Whether a WebSocket message of this side has been begun and not ended.
    #[must_use]
    pub fn is_in_message(&self) -> bool {
        self.outbound.is_in_message()
    }

    /// How long the peer of a WebSocket may be silent, from now on; `None` goes back to what
    /// [`Limits`](crate::Limits) say for all.
    ///
    /// # Errors
    /// [`Misuse::WrongProtocol`] if the stream is no WebSocket: nothing else has a way to ask a peer.
    pub fn set_liveness(&mut self, liveness: Option<Liveness>) -> Result<(), Misuse> {
        WebSocket::new(self.outbound).set_liveness(liveness)
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
}

impl<'a> Writable<'a> {
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
        ExchangePermit::new(self.outbound).respond(status, fields, content, end).map(untyped)
    }

    /// Sends content of a response, request or raw stream.
    ///
    /// # Errors
    /// [`Misuse`]; nothing has been sent then.
    #[doc(alias = "lws_write")]
    #[inline]
    pub fn data(self, content: Payload<'_>, end: bool) -> Result<Sent<'a>, Misuse> {
        if self.outbound.lends_exchange() {
            ExchangePermit::new(self.outbound).data(content, end).map(untyped)
        } else {
            RawPermit::new(self.outbound).data(content, end).map(untyped)
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
        ExchangePermit::new(self.outbound).trailers(fields).map(untyped)
    }

    /// Sends content that `fill` writes in place: up to `max` bytes, of which it returns how many it wrote and whether
    /// they are the last.
    ///
    /// # Errors
    /// [`Misuse`]; `fill` has not been called then.
    pub fn fill(self, max: usize, fill: impl FnOnce(&mut [u8]) -> (usize, bool)) -> Result<Sent<'a>, Misuse> {
        if self.outbound.lends_exchange() {
            ExchangePermit::new(self.outbound).fill(max, fill).map(untyped)
        } else {
            RawPermit::new(self.outbound).fill(max, fill).map(untyped)
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
        WebSocketPermit::new(self.outbound).message(kind, payload, end).map(untyped)
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
        WebSocketPermit::new(self.outbound).extended_message(kind, reserved, payload, end).map(untyped)
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
        WebSocketPermit::new(self.outbound).uncompressed_message(kind, payload, end).map(untyped)
    }

    /// Sends a whole WebSocket message that goes to many peers, and is compressed once for all with the same parameters.
    ///
    /// # Errors
    /// [`Misuse`] if the stream is no WebSocket, or is in the middle of a message.
    pub fn prepared(self, message: &ws::Prepared) -> Result<Sent<'a>, Misuse> {
        WebSocketPermit::new(self.outbound).prepared(message).map(untyped)
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
        WebSocketPermit::new(self.outbound).ping(payload).map(untyped)
    }
}

fn untyped<P>(sent: Sent<'_, P>) -> Sent<'_> {
    Sent::new(sent.outbound)
}
