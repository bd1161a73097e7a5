//! The causes of ends, and the errors of callers.
//!
//! A peer's fault is never a `Result`: it becomes bytes for the peer and one [`Cause`]. A caller's fault is a
//! [`Misuse`], and has no effect.

use crate::h2::ErrorCode;
use crate::ws::CloseCode;
use core::fmt;

/// Why a stream ended. It comes with [`Event::Closed`](crate::Event::Closed), exactly once per stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// The exchange is complete: request and response were sent and received to their ends.
    Complete,
    /// The WebSocket closing handshake was done, or a raw stream ended in both directions.
    Closed {
        /// The code of the first received Close frame. 1005 if it had none, and for raw streams. RFC 6455 §7.1.5.
        code: CloseCode,
        /// Whether the peer began.
        by_peer: bool,
    },
    /// The peer broke a rule of the protocol.
    Violation(Violation),
    /// The peer reached a limit.
    Limit(Limit),
    /// The peer let a deadline pass.
    Timeout(Deadline),
    /// The server did not accept the WebSocket opening handshake.
    Handshake(HandshakeFailure),
    /// The peer reset the stream, or ended the connection under it, with this code. RFC 9113 §6.4 and §6.8.
    Reset(ErrorCode),
    /// The peer has not processed the request at all: it may be sent again, on another connection. RFC 9113 §8.7.
    Refused,
    /// The transport ended in the middle of something: close code 1006 to a WebSocket.
    Disconnected,
    /// The transport ended without the end of TLS, so an attacker may have truncated it: RFC 8446 §6.1. Close code 1006
    /// to a WebSocket.
    Truncated,
    /// This side gave up: `abort`, or an end before the response was complete.
    Aborted,
}

impl Cause {
    /// The status code that answers a request over it; 0 if it gets no response.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Violation(violation) => violation.status(),
            Self::Limit(limit) => limit.status(),
            Self::Timeout(deadline) => deadline.status(),
            _ => 0,
        }
    }

    /// The code of the Close frame that ends a WebSocket over it; 0 if there is none.
    pub(crate) fn close_code(self) -> u16 {
        match self {
            Self::Violation(violation) => violation.close_code(),
            Self::Limit(limit) => limit.close_code(),
            _ => 0,
        }
    }

    /// The description, for a person; empty of a cause that is no fault of the peer.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::Violation(violation) => violation.message(),
            Self::Limit(limit) => limit.message(),
            Self::Timeout(deadline) => deadline.message(),
            _ => "",
        }
    }

    /// A short, stable name: the label of `closed_total{reason="…"}`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Closed { by_peer: true, .. } => "closed_by_peer",
            Self::Closed { by_peer: false, .. } => "closed",
            Self::Violation(violation) => violation.name(),
            Self::Limit(limit) => limit.name(),
            Self::Timeout(deadline) => deadline.name(),
            Self::Handshake(failure) => failure.name(),
            Self::Reset(_) => "reset",
            Self::Refused => "refused",
            Self::Disconnected => "disconnected",
            Self::Truncated => "truncated",
            Self::Aborted => "aborted",
        }
    }

    /// Whether the peer has certainly not processed the request, so that it may be repeated whatever its method is. RFC
    /// 9113 §8.7.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Refused)
    }

    /// Whether both sides ended in the way of the protocol.
    #[must_use]
    pub fn is_clean(self) -> bool {
        matches!(self, Self::Complete | Self::Closed { .. })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Closed { code, by_peer: true } => write!(f, "closed by the peer with code {code}"),
            Self::Closed { code, by_peer: false } => write!(f, "closed with code {code}"),
            Self::Violation(violation) => f.write_str(violation.message()),
            Self::Limit(limit) => write!(f, "past the limit {}", limit.name()),
            Self::Timeout(deadline) => write!(f, "past the deadline {}", deadline.name()),
            Self::Handshake(failure) => write!(f, "opening handshake failed: {failure}"),
            Self::Reset(code) => write!(f, "reset by the peer: {code}"),
            Self::Refused => f.write_str("not processed by the peer: it may be sent again"),
            Self::Disconnected => f.write_str("the transport ended early"),
            Self::Truncated => f.write_str("the transport ended without close_notify"),
            Self::Aborted => f.write_str("aborted by this side"),
        }
    }
}

impl core::error::Error for Cause {}

/// Declares an enum whose variants have a metric name, an answer and a message.
macro_rules! faults {
    (
        $(#[$meta:meta])* $enum:ident {
            $($(#[$doc:meta])* $variant:ident => $name:literal, $status:literal, $close:literal, $message:literal;)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $enum { $($(#[$doc])* $variant,)* }

        impl $enum {
            /// Every variant, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// A short, stable name for counters.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The status code that answers it while HTTP is spoken; 0 if it gets no response.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// The close code that answers it while WebSocket is spoken; 0 if it gets no Close frame.
            #[must_use]
            pub fn close_code(self) -> u16 {
                match self { $(Self::$variant => $close,)* }
            }

            /// The description, for a person.
            #[must_use]
            pub fn message(self) -> &'static str {
                match self { $(Self::$variant => $message,)* }
            }
        }

        impl fmt::Display for $enum {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.message())
            }
        }
    };
}

faults! {
    /// A rule of the protocol that the peer broke.
    Violation {
        /// The first line is not a request line. RFC 9112 §3.
        RequestLine => "request_line", 400, 0, "malformed request line";
        /// The first line is not a status line. RFC 9112 §4.
        StatusLine => "status_line", 400, 0, "malformed status line";
        /// The request target has no form that the method allows. RFC 9112 §3.2.
        Target => "target", 400, 0, "malformed request target";
        /// A major version of HTTP other than 1. RFC 9110 §15.6.6.
        Version => "version", 505, 0, "HTTP version not supported";
        /// The HTTP/2 connection preface, on a connection that speaks HTTP/1.1. RFC 9113 §3.4.
        Http2Preface => "http2_preface", 505, 0, "HTTP/2 is not spoken here";
        /// A field line that is not `name ":" OWS value OWS`. RFC 9112 §5.
        FieldLine => "field_line", 400, 0, "malformed field line";
        /// A line that ends in a bare LF, or a CR without its LF. RFC 9112 §2.2.
        BareLineEnd => "bare_line_end", 400, 0, "a line does not end in CR LF";
        /// No `Host`, more than one, or one that is not `uri-host [ ":" port ]`. RFC 9112 §3.2.
        Host => "host", 400, 0, "missing, repeated or malformed Host";
        /// A `Content-Length` that is not a number, or two that differ. RFC 9110 §8.6.
        ContentLength => "content_length", 400, 0, "malformed or conflicting Content-Length";
        /// Both `Content-Length` and `Transfer-Encoding`. RFC 9112 §6.1.
        TwoFramings => "two_framings", 400, 0, "both Content-Length and Transfer-Encoding";
        /// A transfer coding other than chunked. RFC 9112 §6.1.
        TransferCoding => "transfer_coding", 501, 0, "transfer coding not implemented";
        /// `Transfer-Encoding` in HTTP/1.0, or chunked that is not the last coding or stands twice. RFC 9112 §6.1.
        TransferEncoding => "transfer_encoding", 400, 0, "Transfer-Encoding does not frame this message";
        /// A content-length is required. RFC 9110 §15.5.12.
        LengthRequired => "length_required", 411, 0, "a Content-Length is required";
        /// A chunk size, or what follows chunk data, is not what the grammar says. RFC 9112 §7.1.
        Chunk => "chunk", 400, 0, "malformed chunk";
        /// A trailer field that is malformed, or may not be a trailer. RFC 9110 §6.5.1.
        Trailer => "trailer", 400, 0, "malformed or forbidden trailer field";
        /// An expectation other than 100-continue. RFC 9110 §10.1.1.
        Expectation => "expectation", 417, 0, "unknown expectation";
        /// An opening handshake that lacks something or has it twice. RFC 6455 §4.2.1.
        Opening => "opening_handshake", 400, 0, "malformed WebSocket opening handshake";
        /// An opening handshake for a version other than 13. RFC 6455 §4.4.
        OpeningVersion => "opening_version", 426, 0, "only WebSocket version 13 is spoken here";
        /// A response that no request asked for. RFC 9112 §9.2.
        UnexpectedResponse => "unexpected_response", 0, 0, "a response without a request";
        /// A frame with a reserved bit that no extension defines. RFC 6455 §5.2.
        ReservedBit => "reserved_bit", 0, 1002, "reserved bit set";
        /// A frame with a reserved opcode. RFC 6455 §5.2.
        Opcode => "opcode", 0, 1002, "reserved opcode";
        /// A payload length that is not written in the shortest form, or has its top bit set. RFC 6455 §5.2.
        PayloadLength => "payload_length", 0, 1002, "payload length not minimal";
        /// A client's frame without a mask, or a server's with one. RFC 6455 §5.1.
        Masking => "masking", 0, 1002, "masking is wrong for this direction";
        /// A control frame that is fragmented or longer than 125 bytes. RFC 6455 §5.5.
        ControlFrame => "control_frame", 0, 1002, "control frame fragmented or too long";
        /// A continuation without a beginning. RFC 6455 §5.4.
        Continuation => "continuation", 0, 1002, "continuation of no message";
        /// A new data message inside an unfinished one. RFC 6455 §5.4.
        Interleaved => "interleaved", 0, 1002, "a message inside a message";
        /// Text, or the reason of a Close frame, that is not UTF-8. RFC 6455 §8.1.
        Utf8 => "utf8", 0, 1007, "text is not UTF-8";
        /// A compressed message that is not what DEFLATE says, or ends early. RFC 7692 §7.2.2.
        Deflate => "deflate", 0, 1007, "compressed data is malformed";
        /// A Close frame with one byte, or a code that may not be on the wire. RFC 6455 §7.4.
        CloseFrame => "close_frame", 0, 1002, "malformed Close frame";
        /// The connection does not begin with the HTTP/2 preface and SETTINGS. RFC 9113 §3.4.
        Preface => "h2_preface", 0, 0, "the connection does not begin with the preface and SETTINGS";
        /// A frame whose size is not what its kind or our SETTINGS allow. RFC 9113 §4.2.
        FrameSize => "h2_frame_size", 0, 0, "a frame of a wrong size";
        /// A frame for a stream where the connection is meant, or the other way round. RFC 9113 §6.
        FrameStream => "h2_frame_stream", 0, 0, "a frame on a stream where it has no meaning";
        /// A frame in the middle of a field block, or CONTINUATION of none. RFC 9113 §4.3 and §6.10.
        FieldBlock => "h2_field_block", 0, 0, "a field block is interrupted, or continued where none began";
        /// A field block that HPACK (RFC 7541) cannot decode. RFC 9113 §4.3.
        Compression => "h2_compression", 0, 0, "a field block cannot be decoded";
        /// Padding as long as the frame, or longer. RFC 9113 §6.1 and §6.2.
        Padding => "h2_padding", 0, 0, "padding does not fit its frame";
        /// A setting with a value that it cannot have. RFC 9113 §6.5.2, RFC 8441 §3.
        Setting => "h2_setting", 0, 0, "a setting with an impossible value";
        /// SETTINGS_INITIAL_WINDOW_SIZE beyond 2^31-1. RFC 9113 §6.5.2.
        InitialWindow => "h2_initial_window", 0, 0, "an initial window that is too large";
        /// More content than a window allows, or a window beyond 2^31-1. RFC 9113 §5.2 and §6.9.
        FlowControl => "h2_flow_control", 0, 0, "a flow-control window was exceeded";
        /// A WINDOW_UPDATE of zero. RFC 9113 §6.9.
        WindowIncrement => "h2_window_increment", 0, 0, "a window update of zero";
        /// A stream identifier that the peer may not use, or not now. RFC 9113 §5.1.1.
        StreamId => "h2_stream_id", 0, 0, "a stream identifier that may not be used";
        /// A frame for a stream that has not begun. RFC 9113 §5.1.
        StreamIdle => "h2_stream_idle", 0, 0, "a frame for a stream that has not begun";
        /// A frame for a stream that has ended. RFC 9113 §5.1.
        StreamClosed => "h2_stream_closed", 0, 0, "a frame for a stream that has ended";
        /// A stream that depends on itself. RFC 7540 §5.3.1.
        StreamDependency => "h2_stream_dependency", 0, 0, "a stream depends on itself";
        /// A push, which was not allowed. RFC 9113 §8.4.
        Push => "h2_push", 0, 0, "a push, which was not allowed";
        /// A pseudo-header field that is unknown, missing, repeated, out of place or malformed. RFC 9113 §8.3.
        PseudoHeader => "h2_pseudo_header", 0, 0, "a pseudo-header field is missing, repeated or out of place";
        /// A field that HTTP/2 does not allow: upper-case letters, connection-specific. RFC 9113 §8.2.
        Field => "h2_field", 0, 0, "a field that HTTP/2 does not allow";
        /// More or less content than `Content-Length` said. RFC 9113 §8.1.1.
        ContentLengthMismatch => "h2_content_length", 0, 0, "the content does not have the length that was said";
        /// Trailers that do not end the stream, or a field section where none may come. RFC 9113 §8.1.
        FieldSection => "h2_field_section", 0, 0, "a field section where none may come";
        /// A second GOAWAY whose last stream is above that of the first. RFC 9113 §6.8.
        GoAway => "h2_goaway", 0, 0, "a GOAWAY that names more streams than the one before";
    }
}

faults! {
    /// A field of [`Limits`](crate::Limits) that the peer met.
    Limit {
        /// `head_bytes_max`.
        HeadBytes => "head_bytes_max", 431, 0, "the head is too large";
        /// `target_bytes_max`.
        TargetBytes => "target_bytes_max", 414, 0, "the request target is too long";
        /// `field_lines_max`.
        FieldLines => "field_lines_max", 431, 0, "too many field lines";
        /// `content_bytes_max`.
        ContentBytes => "content_bytes_max", 413, 0, "the content is too large";
        /// `chunk_extension_bytes_max`.
        ChunkExtensionBytes => "chunk_extension_bytes_max", 400, 0, "the chunk extensions are too large";
        /// `trailer_bytes_max`.
        TrailerBytes => "trailer_bytes_max", 431, 0, "the trailer section is too large";
        /// `discard_bytes_max`.
        DiscardBytes => "discard_bytes_max", 0, 0, "too much content was left unread";
        /// `held_bytes_max`.
        HeldBytes => "held_bytes_max", 413, 1009, "too much is held for this connection";
        /// The budget of the service, [`HeldBytes`](crate::HeldBytes).
        ServiceBytes => "service_bytes_max", 503, 1013, "too much is held by this server: try again later";
        /// `message_bytes_max`.
        MessageBytes => "message_bytes_max", 0, 1009, "the message is too large";
        /// `message_fragments_max`.
        MessageFragments => "message_fragments_max", 0, 1008, "the message has too many fragments";
        /// `inflate_ratio_max`.
        InflateRatio => "inflate_ratio_max", 0, 1009, "the message grows too much when it is decompressed";
        /// `h2_streams_max`.
        Streams => "h2_streams_max", 0, 0, "too many streams at once";
        /// `h2_continuations_max`.
        Continuations => "h2_continuations_max", 0, 0, "too many CONTINUATION frames";
        /// `h2_resets`.
        Resets => "h2_resets", 0, 0, "too many streams are reset";
        /// `h2_glitches`.
        Glitches => "h2_glitches", 0, 0, "too many frames of no use";
        /// `h2_settings_entries_max`.
        SettingsEntries => "h2_settings_entries_max", 0, 0, "too many settings in one frame";
        /// Four times `head_bytes_max`: a field section is not decoded any further.
        FieldSection => "field_section", 0, 0, "a field section is far too large";
    }
}

faults! {
    /// A deadline of [`Limits`](crate::Limits) that passed.
    Deadline {
        /// `head_timeout`.
        Head => "head_timeout", 408, 0, "the request did not come in time";
        /// `content_bytes_min` in `content_period`.
        Content => "content_bytes_min", 408, 0, "the content came too slowly";
        /// `response_timeout`.
        Response => "response_timeout", 0, 0, "the response did not come in time";
        /// `between_bytes_timeout`.
        BetweenBytes => "between_bytes_timeout", 0, 0, "the rest of the response did not come in time";
        /// `stalled_timeout`.
        Stalled => "stalled_timeout", 0, 0, "the peer stopped reading";
        /// `dead_peer_timeout`.
        DeadPeer => "dead_peer_timeout", 0, 0, "nothing was received from the peer";
        /// `close_timeout`.
        Close => "close_timeout", 0, 0, "the peer did not answer the Close frame";
        /// `keep_alive_timeout`, of an HTTP/2 connection.
        Idle => "keep_alive_timeout", 0, 0, "nothing was asked for";
        /// `half_closed_timeout`.
        HalfClosed => "half_closed_timeout", 0, 0, "the peer has ended its direction, or sent too much ahead to show it, and was sent nothing since";
        /// `h2_settings_timeout`.
        Settings => "h2_settings_timeout", 0, 0, "our SETTINGS were not acknowledged in time";
    }
}

/// Why a server's answer to a WebSocket opening handshake was no agreement. RFC 6455 §4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandshakeFailure {
    /// A status code other than 101. The response itself came as ordinary events.
    Status(u16),
    /// No `Upgrade: websocket`.
    Upgrade,
    /// No `Connection: Upgrade`.
    Connection,
    /// `Sec-WebSocket-Accept` is missing, repeated or not the answer to our key.
    Accept,
    /// A subprotocol that was not offered.
    Protocol,
    /// An extension that was not offered, or parameters that make no sense.
    Extension,
    /// The server does not take WebSocket over HTTP/2. RFC 8441 §3.
    ExtendedConnect,
}

impl HandshakeFailure {
    /// A short, stable name for counters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Status(_) => "handshake_status",
            Self::Upgrade => "handshake_upgrade",
            Self::Connection => "handshake_connection",
            Self::Accept => "handshake_accept",
            Self::Protocol => "handshake_protocol",
            Self::Extension => "handshake_extension",
            Self::ExtendedConnect => "handshake_extended_connect",
        }
    }
}

impl fmt::Display for HandshakeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the server answered {status}"),
            Self::Upgrade => f.write_str("the response has no Upgrade: websocket"),
            Self::Connection => f.write_str("the response has no Connection: Upgrade"),
            Self::Accept => f.write_str("Sec-WebSocket-Accept does not match the key"),
            Self::Protocol => f.write_str("the server chose a subprotocol that was not offered"),
            Self::Extension => f.write_str("the server chose an extension that was not offered"),
            Self::ExtendedConnect => f.write_str("the server does not take WebSocket over HTTP/2"),
        }
    }
}

/// The caller asked for what the state of the stream does not allow. Nothing has been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Misuse {
    /// There is no such stream any more.
    UnknownStream,
    /// The role or the moment forbids it: a second response, data before the response, a request while one runs.
    WrongState,
    /// A field name that is no token, or a value with CR, LF or NUL.
    Field,
    /// A field that the engine writes itself: `Transfer-Encoding`, `Connection`, the fields of a handshake.
    ManagedField,
    /// A method, target, status code or reason that cannot be written.
    StartLine,
    /// More or less content than `Content-Length` said, or content where the status code or method forbids it.
    ContentLength,
    /// A subprotocol that the client did not offer.
    Subprotocol,
    /// A close code that may not be on the wire, or a reason over 123 bytes.
    CloseCode,
    /// As many requests wait as may: `h2_requests_queued_max`.
    QueueFull,
    /// The peer takes no more requests on this connection, or does not know extended CONNECT. RFC 9113 §6.8, RFC 8441 §3.
    NotOffered,
    /// The peer's request is no valid opening handshake. It has been answered with 400 or 426.
    NotAnOpening,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownStream => "the stream has ended",
            Self::WrongState => "not now, or not in this role",
            Self::Field => "not a field name or field value",
            Self::ManagedField => "the engine writes this field itself",
            Self::StartLine => "not a method, target, status code or reason",
            Self::ContentLength => "the content does not have the length that was said",
            Self::Subprotocol => "the subprotocol was not offered",
            Self::CloseCode => "not a close code or reason for the wire",
            Self::QueueFull => "as many requests wait as may",
            Self::NotOffered => "the peer does not take this on this connection",
            Self::NotAnOpening => "the request is no valid WebSocket opening handshake",
        })
    }
}

impl core::error::Error for Misuse {}
