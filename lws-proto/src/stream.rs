//! Handles: a stream, the permit to write on it, and what is left of a permit once it is spent.

use crate::http::{Head, Status};
use crate::transmit::Output;
use crate::tx::{Sender, SwitchTo, Tx};
use crate::ws::{self, CloseCode};
use crate::{Cause, Limit, MessageKind, Misuse, Time, Validity, raw};
use alloc::boxed::Box;
use bytes::Bytes;
use core::fmt;

/// Names one stream: an HTTP exchange, the WebSocket or tunnel that it became, or a raw stream.
///
/// The key carries a generation: that of a stream which has ended finds nothing, even when its place is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl StreamKey {
    /// Its place among the streams of its connection, which is small, and zero where there is only one: for whoever keeps
    /// something for each stream. Places are used again.
    #[must_use]
    #[inline]
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// What is sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Payload<'a> {
    /// Copied once, behind its header.
    Copy(&'a [u8]),
    /// Never copied, unless it is so small that a copy is cheaper, or a client must mask it.
    Own(Bytes),
    /// As `Own`.
    Static(&'static [u8]),
}

impl Payload<'_> {
    /// Bytes.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::Copy(bytes) => bytes.len(),
            Self::Own(bytes) => bytes.len(),
            Self::Static(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `n` bytes; the rest stays.
    pub(crate) fn split_to(&mut self, n: usize) -> Self {
        match self {
            Self::Copy(bytes) => {
                let (first, rest) = bytes.split_at(n.min(bytes.len()));
                *bytes = rest;
                Self::Copy(first)
            }
            Self::Own(bytes) => Self::Own(bytes.split_to(n.min(bytes.len()))),
            Self::Static(bytes) => {
                let (first, rest) = bytes.split_at(n.min(bytes.len()));
                *bytes = rest;
                Self::Static(first)
            }
        }
    }

    /// Queues it.
    #[inline(always)]
    pub(crate) fn push(self, out: &mut Output) {
        match self {
            Self::Copy(bytes) => out.push_copy(bytes),
            Self::Own(bytes) => out.push_owned(bytes),
            Self::Static(bytes) => out.push_static(bytes),
        }
    }
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Copy(bytes) => bytes,
            Self::Own(bytes) => bytes,
            Self::Static(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Copy(bytes)
    }
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(text: &'a str) -> Self {
        Self::Copy(text.as_bytes())
    }
}

impl From<Bytes> for Payload<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Own(bytes)
    }
}

/// A stream, for as long as an event or a look-up lends it.
#[doc(alias = "lws")]
#[doc(alias = "wsi")]
pub struct Stream<'a> {
    pub(crate) tx: &'a mut Tx,
}

impl<'a> Stream<'a> {
    /// Its name, to find it again with [`Connection::stream`](crate::Connection::stream).
    #[must_use]
    pub fn key(&self) -> StreamKey {
        self.tx.key()
    }

    /// The time that the driver told last.
    #[must_use]
    pub fn now(&self) -> Time {
        self.tx.now
    }

    /// The permit to write, if the stream may write now; otherwise the stream again, to [`want_write`](Self::want_write).
    ///
    /// A stream may write while fewer than `send_queue_bytes_max` bytes are queued and its protocol has a place for
    /// more: after a request and until the response has ended, or until a WebSocket has sent its Close frame. Over HTTP/2 content
    /// needs at least one byte of both windows, that of the stream and that of the connection, which streams share by urgency and
    /// in turn (RFC 9218 §10): what does not fit one turn is queued, and there is no other permit until it has gone.
    #[inline]
    pub fn permit(self) -> Result<Writable<'a>, Self> {
        if self.tx.may_write() { Ok(Writable { tx: self.tx }) } else { Err(self) }
    }

    /// Whether this side has said its last: the whole response or request, a Close frame, the end of a raw stream.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match &self.tx.sender {
            Sender::Http1(sender) => sender.has_ended(),
            Sender::Http2(sender) => sender.has_ended(),
            Sender::WebSocket(sender) => !sender.may_write(),
            Sender::Raw(sender) => sender.has_ended(),
            Sender::Silent => true,
        }
    }

    /// Whether a WebSocket message of this side has been begun and not ended.
    #[must_use]
    pub fn is_in_message(&self) -> bool {
        matches!(&self.tx.sender, Sender::WebSocket(sender) if sender.is_in_message())
    }

    /// Asks for one [`Event::Writable`](crate::Event::Writable), when the stream may write. Asking twice is asking once.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self) {
        command!(self.tx, Command::WantWrite);
        self.tx.want_write();
    }

    /// No input is taken for this stream until [`resume`](Self::resume); the transport's own flow control then stops
    /// the peer. Bytes that were received already are kept.
    #[doc(alias = "lws_rx_flow_control")]
    pub fn pause(&mut self) {
        command!(self.tx, Command::Pause);
        self.tx.pause();
    }

    /// Takes input again. What was kept makes [`needs_service`](crate::Connection::needs_service) true.
    pub fn resume(&mut self) {
        command!(self.tx, Command::Resume);
        self.tx.resume();
    }

    /// Whether [`pause`](Self::pause) is in force.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.tx.is_paused()
    }

    /// Asks for one [`Event::Timeout`](crate::Event::Timeout) at `at`, in place of the one asked for before; `None`
    /// takes it back.
    #[doc(alias = "lws_set_timer_usecs")]
    pub fn set_timeout(&mut self, at: Option<Time>) {
        command!(self.tx, Command::SetTimeout(at));
        self.tx.set_timeout(at);
    }

    /// How long the peer of a WebSocket may be silent, from now on; `None` goes back to what
    /// [`Limits`](crate::Limits) say for all.
    ///
    /// # Errors
    /// [`Misuse::WrongProtocol`] if the stream is no WebSocket: nothing else has a way to ask a peer.
    pub fn set_validity(&mut self, validity: Option<Validity>) -> Result<(), Misuse> {
        command!(
            self.tx,
            Command::SetValidity(
                validity.map(|Validity { ping_after, drop_after }| [ping_after, drop_after])
            )
        );
        match &mut self.tx.sender {
            Sender::WebSocket(sender) => {
                sender.set_validity(validity);
                Ok(())
            }
            _ => Err(Misuse::WrongProtocol),
        }
    }

    /// Says that the peer is known to be there, by something that the engine does not see: its silence counts from
    /// `now`. Everything that is received says so by itself.
    #[doc(alias = "lws_validity_confirmed")]
    pub fn confirm_validity(&mut self, now: Time) {
        command!(self.tx, Command::ConfirmValidity(now));
        self.tx.heard = self.tx.heard.max(now);
    }

    /// Queues a whole WebSocket message without a permit, if it fits below `send_queue_bytes_max` with its header.
    ///
    /// # Errors
    /// The message, when it does not fit, or the stream is no open WebSocket, or is in the middle of a message.
    pub fn try_queue(&mut self, kind: MessageKind, message: Bytes) -> Result<(), Bytes> {
        command!(self.tx, Command::TryQueue(kind, message[..].into()));
        let queued = self.tx.out.len() + ws::HEADER_BYTES_MAX + message.len();
        if queued > self.tx.config.limits.send_queue_bytes_max {
            return Err(message);
        }
        let Tx { sender: Sender::WebSocket(sender), out, entropy, .. } = &mut *self.tx else {
            return Err(message);
        };
        if !sender.may_write() || sender.is_in_message() {
            return Err(message);
        }
        sender.message(out, entropy, kind, 0, Payload::Own(message), true);
        Ok(())
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
        command!(self.tx, Command::SetExtensionOption([extension.into(), name.into(), value.into()]));
        match &mut self.tx.sender {
            Sender::WebSocket(sender) => sender.set_extension_option(extension, name, value),
            _ => Err(ws::OptionError::Inactive),
        }
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
        #[cfg(feature = "record")]
        let fields = crate::record::SentFields::new(self.tx, fields);
        command!(self.tx, Command::Interim(status, fields.kept().into()));
        match &mut self.tx.sender {
            Sender::Http1(sender) if self.tx.stream.open => sender.interim(&mut self.tx.out, status, fields),
            Sender::Http2(sender) => sender.interim(&mut self.tx.out, status, fields),
            _ => Err(Misuse::WrongProtocol),
        }
    }

    /// Lets the connection end with this exchange: the response will say `Connection: close`. Over HTTP/2 the peer is asked
    /// to begin no more, and those that have begun are the last ones.
    pub fn last_exchange(&mut self) {
        command!(self.tx, Command::LastExchange);
        match &mut self.tx.sender {
            Sender::Http1(sender) => sender.last_exchange(),
            Sender::Http2(sender) => sender.announce_end(&mut self.tx.out, &self.tx.config, self.tx.now),
            _ => {}
        }
    }

    /// Lets an exchange go on although its peer has ended its direction, however long it sends nothing; or not, which is how each
    /// begins: see [`Limits::half_closed_timeout`](crate::Limits::half_closed_timeout). What is kept waits for the
    /// application alone, which should have a deadline of its own.
    pub fn keep_half_closed(&mut self, keep: bool) {
        command!(self.tx, Command::KeepHalfClosed(keep));
        match &mut self.tx.sender {
            Sender::Http1(sender) => sender.keep_half_closed(keep),
            Sender::Http2(sender) => sender.keep_half_closed(keep, self.tx.now),
            _ => {}
        }
    }

    /// Limits the content of the request or response that is being received, in place of
    /// [`Limits::content_bytes_max`](crate::Limits::content_bytes_max). Past it a request is answered 413.
    pub fn limit_content(&mut self, bytes: u64) {
        command!(self.tx, Command::LimitContent(bytes));
        match &mut self.tx.sender {
            Sender::Http1(sender) => sender.limit_content(bytes),
            Sender::Http2(sender) => sender.limit_content(bytes),
            _ => {}
        }
    }

    /// How many bytes of the content of this request its peer must deliver in each
    /// [`Limits::content_period`](crate::Limits::content_period), in place of
    /// [`Limits::content_bytes_min`](crate::Limits::content_bytes_min). 0 lets it take its time, as for an upload that somebody types:
    /// the exchange then waits for the application, which should have a deadline of its own.
    pub fn expect_content(&mut self, bytes: usize) {
        command!(self.tx, Command::ExpectContent(bytes));
        match &mut self.tx.sender {
            Sender::Http1(sender) => sender.expect_content(bytes),
            Sender::Http2(sender) => sender.expect_content(bytes),
            _ => {}
        }
    }

    /// Says that the application is about to hold `bytes` more for this stream: content that it gathers, for instance. They count with
    /// what the engine holds for the connection, until [`let_go`](Self::let_go) or the end of the stream.
    ///
    /// # Errors
    /// [`Limit::HeldBytes`] if the connection would hold more than
    /// [`Limits::held_bytes_max`](crate::Limits::held_bytes_max), and [`Limit::ServiceBytes`] if nothing is left of the budget of
    /// the service, [`HeldBytes`](crate::HeldBytes). Nothing has been counted then, and [`Limit::status`] is what to answer.
    pub fn hold(&mut self, bytes: usize) -> Result<(), Limit> {
        command!(self.tx, Command::Hold(bytes));
        self.tx.hold(bytes)
    }

    /// Says that the application holds `bytes` less than it said.
    pub fn let_go(&mut self, bytes: usize) {
        command!(self.tx, Command::LetGo(bytes));
        self.tx.let_go(bytes);
    }

    /// Accepts the WebSocket opening handshake that `head` asks for: 101 is queued, and the stream speaks WebSocket
    /// from here on. RFC 6455 §4.2.2. [`Event::Established`](crate::Event::Established) follows.
    ///
    /// # Errors
    /// [`Misuse::NotAnOpening`] if the request breaks a rule of RFC 6455 §4.2.1: it has then been answered with 400 or
    /// 426. Any other misuse changes nothing.
    pub fn accept_websocket(self, head: &Head<'_>, accept: &ws::Accept<'_>) -> Result<Stream<'a>, Misuse> {
        note!(
            self.tx,
            match accept.command() {
                Some(command) => Note::Command(self.tx.key(), command),
                None => Note::Unsupported("an extension of the application".into()),
            }
        );
        if let Tx { sender: Sender::Http2(sender), out, config, entropy, now, .. } = &mut *self.tx {
            sender.accept_websocket(out, config, *now, head, accept)?;
            sender.enter_lent(entropy, *now);
            return Ok(Stream { tx: self.tx.lent() });
        }
        let Sender::Http1(sender) = &mut self.tx.sender else { return Err(Misuse::WrongProtocol) };
        if !self.tx.stream.open || !sender.may_respond() {
            return Err(Misuse::WrongState);
        }
        // A handshake with content is among the peer's faults that are judged here: if what has come of its content decided
        // first, nothing would answer it.
        match ws::accept(self.tx.out.buffer(), head, accept) {
            Ok(ws::Opened { agreed, codec }) => {
                let (encoder, decoder) = codec.map(|codec| (codec.encoder, codec.decoder)).unzip();
                let sender = ws::Sender::new(self.tx.now, encoder);
                let receiver = ws::Receiver::new(agreed, decoder, self.tx.is_client());
                self.tx.heard = self.tx.now;
                self.tx.account.charge(sender.held());
                let receiver = SwitchTo::WebSocket(Box::new(receiver));
                self.tx.switch_to(Sender::WebSocket(sender), receiver, false);
                Ok(self)
            }
            Err(ws::Refused::Peer(violation)) => {
                crate::h1::refuse(self.tx, Cause::Violation(violation), violation.status());
                Err(Misuse::NotAnOpening)
            }
            Err(ws::Refused::Caller(misuse)) => Err(misuse),
        }
    }

    /// Accepts a CONNECT request: 200 is queued, and the stream is raw from here on. RFC 9110 §9.3.6.
    ///
    /// # Errors
    /// [`Misuse`] if the request is another one or has been answered.
    pub fn accept_tunnel(self) -> Result<Stream<'a>, Misuse> {
        command!(self.tx, Command::AcceptTunnel);
        if let Tx { sender: Sender::Http2(sender), out, config, entropy, now, .. } = &mut *self.tx {
            sender.accept_tunnel(out, config, *now)?;
            sender.enter_lent(entropy, *now);
            return Ok(Stream { tx: self.tx.lent() });
        }
        let Sender::Http1(sender) = &mut self.tx.sender else { return Err(Misuse::WrongProtocol) };
        if !self.tx.stream.open {
            return Err(Misuse::WrongState);
        }
        sender.accept_tunnel(&mut self.tx.out, &self.tx.config)?;
        let receiver = SwitchTo::Raw(raw::Receiver::default());
        self.tx.switch_to(Sender::Raw(raw::Sender::default()), receiver, false);
        Ok(self)
    }

    /// Begins the WebSocket closing handshake. Messages that the peer sent before its own Close frame still come.
    /// RFC 6455 §7.1.2.
    ///
    /// # Errors
    /// [`Misuse`] if the stream is no WebSocket, or `code` may not be on the wire, or `reason` has over 123 bytes.
    /// A second close is no error and does nothing.
    #[doc(alias = "lws_close_reason")]
    pub fn close(self, code: CloseCode, reason: &str) -> Result<(), Misuse> {
        command!(self.tx, Command::Close(code, reason.into()));
        let Tx { sender: Sender::WebSocket(sender), out, entropy, config, now, .. } = self.tx else {
            return Err(Misuse::WrongProtocol);
        };
        sender.close(out, entropy, code, reason, *now + config.limits.close_timeout)
    }

    /// Ends the stream at once, and a connection that has no other with it. What is queued is lost, and
    /// [`Event::Closed`](crate::Event::Closed) says [`Cause::Aborted`]. Over HTTP/2 the peer gets CANCEL. RFC 9113 §6.4.
    pub fn abort(self) {
        command!(self.tx, Command::AbortStream);
        match &mut self.tx.sender {
            Sender::Http2(sender) => sender.abort_stream(&mut self.tx.out),
            _ => self.tx.abort(Cause::Aborted),
        }
    }
}

impl fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.key()).finish()
    }
}

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
    tx: &'a mut Tx,
}

impl<'a> Writable<'a> {
    pub(crate) fn new(tx: &'a mut Tx) -> Self {
        Self { tx }
    }

    /// The stream that it is for.
    #[must_use]
    pub fn key(&self) -> StreamKey {
        self.tx.key()
    }

    /// How many bytes can be sent before the peer or the queue says stop. A larger payload is taken all the same, and
    /// the next permit waits until it has gone. At least 1.
    #[doc(alias = "lws_get_peer_write_allowance")]
    #[must_use]
    pub fn budget(&self) -> usize {
        self.tx.budget()
    }

    /// The stream, with the permit given back.
    #[must_use]
    pub fn into_stream(self) -> Stream<'a> {
        Stream { tx: self.tx }
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
        #[cfg(feature = "record")]
        let fields = crate::record::SentFields::new(self.tx, fields);
        command!(
            self.tx,
            Command::Respond { status, fields: fields.kept().into(), content: content.as_ref().into(), end }
        );
        let Tx { sender, out, config, now, .. } = &mut *self.tx;
        match sender {
            Sender::Http1(sender) => sender.respond(out, config, status, fields, content, end)?,
            Sender::Http2(sender) => sender.respond(out, config, *now, (status, fields), content, end)?,
            _ => return Err(Misuse::WrongProtocol),
        }
        Ok(self.sent())
    }

    /// Sends content of a response, request or raw stream.
    ///
    /// # Errors
    /// [`Misuse`]; nothing has been sent then.
    #[doc(alias = "lws_write")]
    #[inline]
    pub fn data(self, content: Payload<'_>, end: bool) -> Result<Sent<'a>, Misuse> {
        command!(self.tx, Command::Data(content.as_ref().into(), end));
        let Tx { sender, out, config, now, .. } = &mut *self.tx;
        match sender {
            Sender::Http1(sender) => sender.data(out, content, end)?,
            Sender::Http2(sender) => {
                return sender.data(out, config, *now, content, end).map(|()| self.sent());
            }
            Sender::Raw(sender) => sender.data(out, content, end)?,
            _ => return Err(Misuse::WrongProtocol),
        }
        raw::finish_if_over(self.tx);
        Ok(self.sent())
    }

    /// Ends a chunked message with a trailer section. RFC 9112 §7.1.2.
    ///
    /// # Errors
    /// [`Misuse`] if the message is not chunked; nothing has been sent then.
    pub fn trailers<N: AsRef<[u8]>, V: AsRef<[u8]>>(
        self,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Sent<'a>, Misuse> {
        #[cfg(feature = "record")]
        let fields = crate::record::SentFields::new(self.tx, fields);
        command!(self.tx, Command::Trailers(fields.kept().into()));
        let Tx { sender, out, config, now, .. } = &mut *self.tx;
        match sender {
            Sender::Http1(sender) => sender.trailers(out, fields)?,
            Sender::Http2(sender) => sender.trailers(out, config, *now, fields)?,
            _ => return Err(Misuse::WrongProtocol),
        }
        Ok(self.sent())
    }

    /// Sends content that `fill` writes in place: up to `max` bytes, of which it returns how many it wrote and whether
    /// they are the last.
    ///
    /// # Errors
    /// [`Misuse`]; `fill` has not been called then.
    pub fn fill(self, max: usize, fill: impl FnOnce(&mut [u8]) -> (usize, bool)) -> Result<Sent<'a>, Misuse> {
        #[cfg(feature = "record")]
        let fill = crate::record::filling(self.tx, max, fill);
        let Tx { sender, out, config, now, .. } = &mut *self.tx;
        match sender {
            Sender::Http1(sender) => sender.fill(out, max, fill)?,
            Sender::Http2(sender) => {
                return sender.fill(out, config, *now, max, fill).map(|()| self.sent());
            }
            Sender::Raw(sender) => sender.fill(out, max, fill),
            _ => return Err(Misuse::WrongProtocol),
        }
        raw::finish_if_over(self.tx);
        Ok(self.sent())
    }

    /// Sends a WebSocket message, or the next part of one as a frame. In mid-message `kind` does not count. Text must be
    /// UTF-8. RFC 6455 §6.1.
    ///
    /// # Errors
    /// [`Misuse`] if the stream is no WebSocket.
    #[doc(alias = "lws_write")]
    #[inline]
    pub fn message(self, kind: MessageKind, payload: Payload<'_>, end: bool) -> Result<Sent<'a>, Misuse> {
        command!(self.tx, Command::Message { kind, payload: payload.as_ref().into(), end, compress: true });
        let Tx { sender: Sender::WebSocket(sender), out, entropy, .. } = &mut *self.tx else {
            return Err(Misuse::WrongProtocol);
        };
        sender.message(out, entropy, kind, 0, payload, end);
        Ok(self.sent())
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
        note!(self.tx, Note::Unsupported("a message of an extension".into()));
        let Tx { sender: Sender::WebSocket(sender), out, entropy, .. } = &mut *self.tx else {
            return Err(Misuse::WrongProtocol);
        };
        sender.message(out, entropy, kind, reserved.bits(), payload, end);
        Ok(self.sent())
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
        command!(self.tx, Command::Message { kind, payload: payload.as_ref().into(), end, compress: false });
        let Tx { sender: Sender::WebSocket(sender), out, entropy, .. } = &mut *self.tx else {
            return Err(Misuse::WrongProtocol);
        };
        sender.uncompressed_message(out, entropy, kind, payload, end);
        Ok(self.sent())
    }

    /// Sends a whole WebSocket message that goes to many peers, and is compressed once for all with the same parameters.
    ///
    /// # Errors
    /// [`Misuse`] if the stream is no WebSocket, or is in the middle of a message.
    pub fn prepared(self, message: &ws::Prepared) -> Result<Sent<'a>, Misuse> {
        command!(self.tx, Command::Prepared(message.kind(), message.bytes()[..].into()));
        let Tx { sender: Sender::WebSocket(sender), out, entropy, .. } = &mut *self.tx else {
            return Err(Misuse::WrongProtocol);
        };
        sender.prepared(out, entropy, message)?;
        Ok(self.sent())
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
        command!(self.tx, Command::Ping(payload.into()));
        let Tx { sender: Sender::WebSocket(sender), out, entropy, .. } = &mut *self.tx else {
            return Err(Misuse::WrongProtocol);
        };
        sender.ping(out, entropy, payload);
        Ok(self.sent())
    }

    /// Keeps the permit beyond the event. No other is given meanwhile; [`Connection::redeem`](crate::Connection::redeem)
    /// turns it back.
    pub fn into_ticket(self) -> WriteTicket {
        command!(self.tx, Command::Ticket);
        self.tx.set_ticket(true);
        WriteTicket { key: self.tx.key() }
    }

    #[inline]
    fn sent(self) -> Sent<'a> {
        Sent { tx: self.tx }
    }
}

impl fmt::Debug for Writable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Writable").field(&self.key()).finish()
    }
}

/// A permit that was spent.
pub struct Sent<'a> {
    tx: &'a mut Tx,
}

impl<'a> Sent<'a> {
    pub(crate) fn new(tx: &'a mut Tx) -> Self {
        Self { tx }
    }

    /// The stream that it was for.
    #[must_use]
    pub fn key(&self) -> StreamKey {
        self.tx.key()
    }

    /// Asks for the next permit.
    pub fn again(self) {
        command!(self.tx, Command::Again);
        self.tx.want_write();
    }

    /// Takes no input for this stream until it may write again, so that whoever answers each message needs no queue.
    /// Does nothing if it may write now.
    #[inline]
    pub fn throttle(self) {
        command!(self.tx, Command::Throttle);
        if self.tx.is_full() {
            self.tx.throttle();
        }
    }

    /// The stream.
    #[must_use]
    pub fn into_stream(self) -> Stream<'a> {
        Stream { tx: self.tx }
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
