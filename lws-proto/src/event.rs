//! The events that the engine delivers to the application.

use crate::Cause;
use crate::handle::{Exchange, RawStream, Stream, WebSocket, Writable};
use crate::http::Head;
use crate::key::StreamKey;
use crate::protocol::{MessageKind, Protocol};
use crate::ws::{CloseCode, ReservedBits};

/// An event. Content is lent from the input, and the handle of the stream borrows the transmit half, so an application
/// can look at the content and answer at the same time. The handle offers what the protocol of the stream can do.
///
/// Everything that an event lends ends with the event. Events are not repeated.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A server has received the head of a request.
    #[doc(alias = "LWS_CALLBACK_HTTP")]
    Request {
        /// The exchange.
        stream: Exchange<'a>,
        /// Method, target and fields.
        head: Head<'a>,
        /// Whether there is no content.
        end: bool,
    },
    /// A client has received the head of a response, interim ones (1xx) too.
    #[doc(alias = "LWS_CALLBACK_ESTABLISHED_CLIENT_HTTP")]
    Response {
        /// The exchange.
        stream: Exchange<'a>,
        /// Status and fields.
        head: Head<'a>,
        /// Whether there is no content.
        end: bool,
    },
    /// Content of a request or response, without its framing.
    #[doc(alias = "LWS_CALLBACK_HTTP_BODY")]
    #[doc(alias = "LWS_CALLBACK_RECEIVE_CLIENT_HTTP_READ")]
    Body {
        /// The exchange.
        stream: Exchange<'a>,
        /// The next bytes; empty only if `end` is delivered late.
        chunk: &'a mut [u8],
        /// Whether these are the last.
        end: bool,
    },
    /// The trailer section. It comes after the last content, if there is one. RFC 9110 §6.5.
    Trailers {
        /// The exchange.
        stream: Exchange<'a>,
        /// The fields.
        head: Head<'a>,
    },
    /// The stream now speaks WebSocket, or is raw.
    #[doc(alias = "LWS_CALLBACK_ESTABLISHED")]
    #[doc(alias = "LWS_CALLBACK_CLIENT_ESTABLISHED")]
    #[doc(alias = "LWS_CALLBACK_RAW_ADOPT")]
    Established {
        /// The stream. Its key is that of the exchange which made it.
        stream: Established<'a>,
        /// A client's response to the opening handshake, where subprotocol and extensions can be read.
        head: Option<Head<'a>>,
    },
    /// A WebSocket message, or a part of it. RFC 6455 §5.6.
    #[doc(alias = "LWS_CALLBACK_RECEIVE")]
    #[doc(alias = "LWS_CALLBACK_CLIENT_RECEIVE")]
    Message {
        /// The WebSocket.
        stream: WebSocket<'a>,
        /// Text or binary.
        kind: MessageKind,
        /// The reserved bits of the message's first frame: those of an extension that was agreed on, whose meaning is
        /// the application's to know.
        reserved: ReservedBits,
        /// The next bytes, unmasked. A part of a text may end inside a character.
        chunk: &'a mut [u8],
        /// Whether these are the first.
        #[doc(alias = "lws_is_first_fragment")]
        first: bool,
        /// How many bytes of this frame are still to come.
        #[doc(alias = "lws_remaining_packet_payload")]
        remaining: u64,
        /// Whether these are the last of the message.
        #[doc(alias = "lws_is_final_fragment")]
        end: bool,
    },
    /// A WebSocket control frame. Pings and Closes are answered by the engine. RFC 6455 §5.5.
    Control {
        /// The WebSocket.
        stream: WebSocket<'a>,
        /// Which one.
        control: Control<'a>,
    },
    /// Bytes of a raw stream.
    #[doc(alias = "LWS_CALLBACK_RAW_RX")]
    Raw {
        /// The stream.
        stream: RawStream<'a>,
        /// The next bytes; empty only if `end`.
        chunk: &'a mut [u8],
        /// Whether the peer has ended its direction. This side may still write.
        end: bool,
    },
    /// The permit that [`Stream::want_write`] asked for.
    #[doc(alias = "LWS_CALLBACK_SERVER_WRITEABLE")]
    #[doc(alias = "LWS_CALLBACK_CLIENT_WRITEABLE")]
    #[doc(alias = "LWS_CALLBACK_HTTP_WRITEABLE")]
    Writable(Writable<'a>),
    /// The moment that [`Stream::set_timeout`] asked for.
    #[doc(alias = "LWS_CALLBACK_TIMER")]
    Timeout {
        /// The stream.
        stream: Stream<'a>,
    },
    /// The peer of an exchange that is still to be answered has ended its direction. To a server, once per exchange, and behind the
    /// whole request: that of an incomplete one is over at once.
    ///
    /// Such a peer has left, or still reads and has nothing more to send; a transport does not show which. An exchange
    /// that sends it nothing for [`half_closed_timeout`](crate::Limits::half_closed_timeout) ends, unless
    /// [`Exchange::keep_half_closed`] says otherwise. A WebSocket ends with its peer's direction, and a raw stream by
    /// [`Raw`](Self::Raw).
    PeerEnded {
        /// The exchange.
        stream: Exchange<'a>,
    },
    /// The stream has ended. Delivered exactly once per stream; no event of the stream follows.
    #[doc(alias = "LWS_CALLBACK_CLOSED")]
    #[doc(alias = "LWS_CALLBACK_CLOSED_HTTP")]
    Closed {
        /// The stream.
        key: StreamKey,
        /// Why.
        cause: Cause,
    },
}

impl<'a> Event<'a> {
    /// The stream that the event is about.
    #[must_use]
    #[inline]
    pub fn key(&self) -> StreamKey {
        match self {
            Self::Request { stream, .. }
            | Self::Response { stream, .. }
            | Self::Body { stream, .. }
            | Self::Trailers { stream, .. }
            | Self::PeerEnded { stream } => stream.key(),
            Self::Message { stream, .. } | Self::Control { stream, .. } => stream.key(),
            Self::Raw { stream, .. } => stream.key(),
            Self::Established { stream, .. } => stream.key(),
            Self::Timeout { stream } => stream.key(),
            Self::Writable(permit) => permit.key(),
            Self::Closed { key, .. } => *key,
        }
    }

    /// The stream that the event is about, of whatever protocol, unless it has ended. A permit is given back.
    #[must_use]
    pub fn into_stream(self) -> Option<Stream<'a>> {
        Some(match self {
            Self::Request { stream, .. }
            | Self::Response { stream, .. }
            | Self::Body { stream, .. }
            | Self::Trailers { stream, .. }
            | Self::PeerEnded { stream } => stream.into_any(),
            Self::Message { stream, .. } | Self::Control { stream, .. } => stream.into_any(),
            Self::Raw { stream, .. } => stream.into_any(),
            Self::Established { stream, .. } => stream.into_stream(),
            Self::Timeout { stream } => stream,
            Self::Writable(permit) => permit.into_stream(),
            Self::Closed { .. } => return None,
        })
    }
}

/// The stream of [`Event::Established`], with its new protocol.
#[derive(Debug)]
pub enum Established<'a> {
    /// The opening handshake is done. RFC 6455 §4.
    WebSocket(WebSocket<'a>),
    /// A tunnel, or what was raw from its beginning. RFC 9110 §9.3.6.
    Raw(RawStream<'a>),
}

impl<'a> Established<'a> {
    /// The protocol of the stream, as a value.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::WebSocket(_) => Protocol::WebSocket,
            Self::Raw(_) => Protocol::Raw,
        }
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> StreamKey {
        match self {
            Self::WebSocket(websocket) => websocket.key(),
            Self::Raw(stream) => stream.key(),
        }
    }

    /// The stream, of whatever protocol.
    #[must_use]
    pub fn into_stream(self) -> Stream<'a> {
        match self {
            Self::WebSocket(websocket) => websocket.into_any(),
            Self::Raw(stream) => stream.into_any(),
        }
    }
}

/// A control frame that was received. RFC 6455 §5.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control<'a> {
    /// A Ping. The engine sends the Pong.
    Ping(&'a [u8]),
    /// A Pong, in answer to a Ping or unsolicited.
    #[doc(alias = "LWS_CALLBACK_RECEIVE_PONG")]
    Pong(&'a [u8]),
    /// A Close frame. The engine answers it, and [`Event::Closed`] follows.
    #[doc(alias = "LWS_CALLBACK_WS_PEER_INITIATED_CLOSE")]
    Close {
        /// 1005 if the frame had none.
        code: CloseCode,
        /// For a person.
        reason: &'a str,
    },
}
