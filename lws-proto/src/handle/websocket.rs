//! A WebSocket, whichever version of HTTP it was opened with.

use super::{Sent, Stream, Writable, spoken};
use crate::payload::Payload;
use crate::ws::{self, CloseCode};
use crate::{Liveness, MessageKind, Misuse};
use bytes::Bytes;

/// A WebSocket, for as long as an event or a look-up lends it. What only other protocols can do does not compile:
///
/// ```compile_fail,E0599
/// # use lws_proto::WebSocket;
/// fn more(websocket: WebSocket<'_>) {
///     websocket.last_exchange();
/// }
/// ```
///
/// One that has ended meanwhile answers every call with [`Misuse::UnknownStream`].
pub type WebSocket<'a> = Stream<'a, spoken::WebSocket>;

impl<'a> WebSocket<'a> {
    /// Whether a WebSocket message of this side has been begun and not ended.
    #[must_use]
    pub fn is_in_message(&self) -> bool {
        self.outbound.is_in_message()
    }

    /// The messages that this side has sent on it so far, also after its end.
    #[must_use]
    #[inline]
    pub fn sent(&self) -> ws::SentMessages {
        self.outbound.sent_messages()
    }

    /// How long the peer may be silent, from now on; `None` goes back to what
    /// [`Limits`](crate::Limits) say for all.
    ///
    /// # Errors
    /// [`Misuse::UnknownStream`] if the WebSocket has ended.
    pub fn set_liveness(&mut self, liveness: Option<Liveness>) -> Result<(), Misuse> {
        command!(
            self.outbound,
            Command::SetLiveness(
                liveness.map(|Liveness { ping_after, drop_after }| [ping_after, drop_after])
            )
        );
        let (sender, ..) = self.outbound.websocket().ok_or(Misuse::UnknownStream)?;
        sender.set_liveness(liveness);
        Ok(())
    }

    /// Queues a whole WebSocket message without a permit, if it fits below `send_queue_bytes_max` with its header.
    ///
    /// # Errors
    /// The message, when it does not fit, or the WebSocket has ended, or is in the middle of a message.
    pub fn try_queue(&mut self, kind: MessageKind, message: Bytes) -> Result<(), Bytes> {
        command!(self.outbound, Command::TryQueue(kind, message[..].into()));
        match self.outbound.websocket() {
            Some((sender, channel, resources)) => {
                sender.try_queue(&mut channel.link, &mut resources.entropy, kind, message)
            }
            None => Err(message),
        }
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
        command!(self.outbound, Command::SetExtensionOption([extension.into(), name.into(), value.into()]));
        let (sender, ..) = self.outbound.websocket().ok_or(ws::OptionError::Inactive)?;
        sender.set_extension_option(extension, name, value)
    }

    /// Begins the WebSocket closing handshake. Messages that the peer sent before its own Close frame still come.
    /// RFC 6455 §7.1.2.
    ///
    /// # Errors
    /// [`Misuse`] if the WebSocket has ended, or `code` may not be on the wire, or `reason` has over 123 bytes.
    /// A second close is no error and does nothing.
    #[doc(alias = "lws_close_reason")]
    pub fn close(self, code: CloseCode, reason: &str) -> Result<(), Misuse> {
        command!(self.outbound, Command::Close(code, reason.into()));
        let (sender, channel, resources) = self.outbound.websocket().ok_or(Misuse::UnknownStream)?;
        sender.close_handshake(&mut channel.link, &mut resources.entropy, code, reason)
    }
}

/// The permit to write once on a WebSocket. See [`Writable`].
///
/// ```compile_fail,E0599
/// # use lws_proto::{Payload, WebSocketPermit, http::Status};
/// fn respond(permit: WebSocketPermit<'_>) {
///     let _ = permit.respond(Status::OK, [("a", "b")], Payload::Static(b""), true);
/// }
/// ```
pub type WebSocketPermit<'a> = Writable<'a, spoken::WebSocket>;

impl<'a> WebSocketPermit<'a> {
    /// Sends a WebSocket message, or the next part of one as a frame. In mid-message `kind` does not count. Text must be
    /// UTF-8. RFC 6455 §6.1.
    ///
    /// # Errors
    /// [`Misuse`] if the WebSocket has ended, which no permit outlives.
    #[doc(alias = "lws_write")]
    #[inline(always)]
    pub fn message(
        self,
        kind: MessageKind,
        payload: Payload<'_>,
        end: bool,
    ) -> Result<Sent<'a, spoken::WebSocket>, Misuse> {
        command!(
            self.outbound,
            Command::Message { kind, payload: payload.as_ref().into(), end, compress: true }
        );
        // Inlined, so that which of them it is is known where it is called, and what is copied has nothing to drop.
        match payload {
            Payload::Copy(bytes) => self.copied(kind, bytes, end),
            payload => self.owned(kind, payload, end),
        }
    }

    #[inline]
    fn copied(
        self,
        kind: MessageKind,
        bytes: &[u8],
        end: bool,
    ) -> Result<Sent<'a, spoken::WebSocket>, Misuse> {
        let (sender, channel, resources) =
            self.outbound.permitted_websocket().ok_or(Misuse::UnknownStream)?;
        sender.copied(&mut channel.link.out, &mut resources.entropy, kind, bytes, end);
        Ok(Sent::new(self.outbound))
    }

    #[inline(never)]
    fn owned(
        self,
        kind: MessageKind,
        payload: Payload<'_>,
        end: bool,
    ) -> Result<Sent<'a, spoken::WebSocket>, Misuse> {
        let (sender, channel, resources) =
            self.outbound.permitted_websocket().ok_or(Misuse::UnknownStream)?;
        sender.message(&mut channel.link.out, &mut resources.entropy, kind, 0, payload, end);
        Ok(Sent::new(self.outbound))
    }

    /// As [`message`](Self::message), with the reserved bits of an extension that was agreed on. In mid-message they do
    /// not count, as they stand on the first frame.
    ///
    /// # Errors
    /// [`Misuse`] if the WebSocket has ended, which no permit outlives.
    pub fn extended_message(
        self,
        kind: MessageKind,
        reserved: ws::ReservedBits,
        payload: Payload<'_>,
        end: bool,
    ) -> Result<Sent<'a, spoken::WebSocket>, Misuse> {
        note!(self.outbound, Note::Unsupported("a message of an extension".into()));
        let (sender, channel, resources) =
            self.outbound.permitted_websocket().ok_or(Misuse::UnknownStream)?;
        sender.message(&mut channel.link.out, &mut resources.entropy, kind, reserved.bits(), payload, end);
        Ok(Sent::new(self.outbound))
    }

    /// As [`message`](Self::message), for content that is compressed already: no extension tries to make it smaller.
    ///
    /// # Errors
    /// [`Misuse`] if the WebSocket has ended, which no permit outlives.
    pub fn uncompressed_message(
        self,
        kind: MessageKind,
        payload: Payload<'_>,
        end: bool,
    ) -> Result<Sent<'a, spoken::WebSocket>, Misuse> {
        command!(
            self.outbound,
            Command::Message { kind, payload: payload.as_ref().into(), end, compress: false }
        );
        let (sender, channel, resources) =
            self.outbound.permitted_websocket().ok_or(Misuse::UnknownStream)?;
        sender.uncompressed_message(&mut channel.link.out, &mut resources.entropy, kind, payload, end);
        Ok(Sent::new(self.outbound))
    }

    /// Sends a whole WebSocket message that goes to many peers, and is compressed once for all with the same parameters.
    ///
    /// # Errors
    /// [`Misuse`] if the WebSocket is in the middle of a message.
    pub fn prepared(self, message: &ws::Prepared) -> Result<Sent<'a, spoken::WebSocket>, Misuse> {
        command!(self.outbound, Command::Prepared(message.kind(), message.bytes()[..].into()));
        let (sender, channel, resources) =
            self.outbound.permitted_websocket().ok_or(Misuse::UnknownStream)?;
        sender.prepared(&mut channel.link.out, &mut resources.entropy, message)?;
        Ok(Sent::new(self.outbound))
    }

    /// Sends a whole WebSocket text message.
    ///
    /// # Errors
    /// [`Misuse`] if the WebSocket has ended, which no permit outlives.
    pub fn text(self, text: &str) -> Result<Sent<'a, spoken::WebSocket>, Misuse> {
        self.message(MessageKind::Text, Payload::Copy(text.as_bytes()), true)
    }

    /// Sends a Ping with up to 125 bytes of payload; more are left out. RFC 6455 §5.5.2.
    ///
    /// # Errors
    /// [`Misuse`] if the WebSocket has ended, which no permit outlives.
    pub fn ping(self, payload: &[u8]) -> Result<Sent<'a, spoken::WebSocket>, Misuse> {
        command!(self.outbound, Command::Ping(payload.into()));
        let (sender, channel, resources) =
            self.outbound.permitted_websocket().ok_or(Misuse::UnknownStream)?;
        sender.ping(&mut channel.link.out, &mut resources.entropy, payload);
        Ok(Sent::new(self.outbound))
    }
}
