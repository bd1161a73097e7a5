//! The configuration of connections: limits, and the expected protocols.

use crate::budget::HeldBytes;
use crate::refusal::RenderRefusal;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

/// The configuration that connections share, in an `Arc`.
#[derive(Debug, Default)]
pub struct Config {
    /// The limits and deadlines for a peer.
    pub limits: Limits,
    /// What a server expects of a peer's first bytes.
    pub expect: Expect,
    /// The date that responses carry.
    pub wall_clock: WallClock,
    /// Which versions of HTTP a server speaks.
    pub versions: Versions,
    /// Whether a server goes to HTTP/2 on an HTTP/1.1 connection whose client asks for it with `Upgrade: h2c`. RFC 7540 §3.2,
    /// which RFC 9113 §3.1 deprecates. Default no: a front end that forwards the field and takes the connection for a tunnel after
    /// the 101 does not see the requests behind it, and applies none of its rules to them. Without it the field is ignored.
    pub upgrade_to_http2: bool,
    /// The budget of all connections together for their peers. Default 256 MiB, for the connections of this
    /// configuration.
    pub held: HeldBytes,
    /// What the responses say by which the engine itself refuses a request. Default `None`: a line of plain text.
    pub refusals: Option<Arc<dyn RenderRefusal>>,
}

/// The versions of HTTP that a server detects by the first bytes. With TLS, ALPN decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Versions {
    /// HTTP/1.1 and HTTP/2, which a client begins with its preface; and with `Upgrade: h2c` where
    /// [`Config::upgrade_to_http2`] allows it. RFC 9113 §3.
    #[default]
    #[doc(alias = "LWS_SERVER_OPTION_H2_PRIOR_KNOWLEDGE")]
    Any,
    /// HTTP/1.1: the preface of HTTP/2 is answered 505, and `Upgrade: h2c` is ignored.
    Http1,
}

/// What a server expects of a peer's first bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expect {
    /// HTTP. Anything else is answered 400.
    #[default]
    Http,
    /// HTTP if the first bytes can be a request line, and a raw stream otherwise. The first bytes are then the
    /// first content of the stream.
    #[doc(alias = "FALLBACK_TO_APPLY_LISTEN_ACCEPT_CONFIG")]
    HttpOrRaw,
    /// A raw stream from the first byte.
    #[doc(alias = "ADOPT_APPLY_LISTEN_ACCEPT_CONFIG")]
    Raw,
}

/// The wall clock as the driver last set it, for the `Date` field. RFC 9110 §6.6.1.
///
/// It starts unknown: a server without a clock sends no `Date`.
#[derive(Debug, Default)]
pub struct WallClock(AtomicU32);

impl WallClock {
    /// Sets the time: whole seconds since the first of January 1970, UTC. Zero is "unknown".
    pub fn set(&self, unix_seconds: u32) {
        self.0.store(unix_seconds, Ordering::Relaxed);
    }

    /// Whole seconds since the first of January 1970, UTC, if they are known.
    #[must_use]
    pub fn get(&self) -> Option<u32> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            seconds => Some(seconds),
        }
    }
}

/// A rate limit: a burst, and a sustained rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// At once, after a time of quiet.
    pub burst: u32,
    /// In each second after that.
    pub per_second: u32,
}

/// The limits of what one peer can make this side hold, count or wait for. Every field has a name in
/// [`Cause`](crate::Cause), and a range that [`validate`](Self::validate) checks.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request or response head: the first line, the field lines and the empty line. Default 16 KiB,
    /// room for large cookies. Past it a request is answered 431.
    #[doc(alias = "max_http_header_data")]
    pub head_bytes_max: usize,
    /// Bytes of a request target. Default 8 KiB; RFC 9112 §3 asks for 8,000 at least. Past it: 414.
    pub target_bytes_max: usize,
    /// Field lines of one section, head or trailers. Default 100. Past it: 431. At most 256.
    pub field_lines_max: usize,
    /// From the first byte of a head (or the opening of the connection) to its last, in all and not per byte, so
    /// that a trickle does not hold a connection. Default 10 s. Past it: 408, or a silent close if nothing came.
    #[doc(alias = "timeout_secs_ah_idle")]
    pub head_timeout: Duration,
    /// Bytes of content that a peer must deliver in each `content_period` while it is being read. Default 10 KiB,
    /// which is 1 KiB/s averaged. Below it: 408.
    pub content_bytes_min: usize,
    /// The period over which `content_bytes_min` is counted. Default 10 s.
    pub content_period: Duration,
    /// Bytes of content of one message, or `None` to leave it to flow control, which is the default. Past it: 413.
    #[doc(alias = "max_http_body_size")]
    pub content_bytes_max: Option<u64>,
    /// Bytes of chunk extensions in one message. Default 4 KiB. Past it: 400. RFC 9112 §7.1.1 asks for a limit.
    pub chunk_extension_bytes_max: usize,
    /// Bytes of the trailer section. Default 4 KiB. Past it: 431.
    pub trailer_bytes_max: usize,
    /// Bytes of a request's content that are read and dropped after the response has ended, so that the connection
    /// can be used again. Default 64 KiB. Past it the connection closes.
    pub discard_bytes_max: u64,
    /// How long an HTTP/1.1 connection may stand idle between two exchanges, or an HTTP/2 one without a stream. Default 60 s. Past
    /// it: a silent close, or GOAWAY with NO_ERROR.
    #[doc(alias = "keepalive_timeout")]
    pub keep_alive_timeout: Duration,
    /// Exchanges on one HTTP/1.1 connection. Default 1,000, as memory of long-lived peers is worth renewing. The
    /// last response says `Connection: close`.
    pub keep_alive_requests_max: u32,
    /// How long a client waits for the head of a response, or for the answer to its opening handshake, after its
    /// request has been sent. An answer that refuses a WebSocket has no more time for its content and trailers. A request over
    /// HTTP/2 that waits because the server takes no more streams has as long, counted from when the last one could begin. Default 60 s.
    pub response_timeout: Duration,
    /// How long a client waits for more of a response whose head has come, content or trailers, unless it is paused: a byte is
    /// progress. Default 60 s, as other clients wait that long or for ever.
    pub between_bytes_timeout: Duration,
    /// Bytes that one connection may hold for its peer, all its streams together: content that is gathered, messages that are put
    /// together, look-ahead, queued output, compression contexts. Default 4 MiB, four times what one message or gathered
    /// request may have. Past it: 413, close code 1009, REFUSED_STREAM. See also [`HeldBytes`].
    pub held_bytes_max: usize,
    /// Received bytes that are kept while the application is not ready for them: pipelined requests, or input left
    /// after a pause. Default 16 KiB; reading stops there, so one lent buffer more can be held. Nothing is closed.
    pub look_ahead_bytes_max: usize,
    /// Bytes queued for the peer, from which on no permit is given and
    /// [`WebSocket::try_queue`](crate::WebSocket::try_queue) gives the message back. Default 64 KiB.
    pub send_queue_bytes_max: usize,
    /// How long queued bytes may make no progress. Default 30 s. See `stalled_bytes_min`.
    pub stalled_timeout: Duration,
    /// Bytes that must leave in each `stalled_timeout` to count as progress, so that a peer that takes one byte at a
    /// time holds nothing for ever. Default 1 KiB, or all that is queued if that is less.
    pub stalled_bytes_min: usize,
    /// The longest grace for a peer that takes nothing, earned by bytes that have arrived before at a rate of 2 KiB per
    /// second: the system of a peer acknowledges megabytes at once, and its program reads them slowly. Default 10 min.
    /// Meanwhile the connection holds its queue, and the unsent bytes of its socket. With zero, `stalled_timeout` alone
    /// decides. It applies where the driver reports what has arrived.
    pub stalled_grace_max: Duration,
    /// Bytes of an assembled WebSocket message, after extensions. Default 1 MiB. Past it: close code 1009. It binds
    /// where messages are assembled; streamed ones are bounded by flow control.
    pub message_bytes_max: usize,
    /// Frames of an assembled WebSocket message, empty ones too. Default 1,024. Past it: close code 1008.
    pub message_fragments_max: u32,
    /// The largest ratio of a decompressed WebSocket message to its size on the wire, for messages above 64 KiB.
    /// `None`, the default, is no limit, as DEFLATE cannot exceed 1,032 and `message_bytes_max` or flow control bounds
    /// what is held. Past it: close code 1009.
    pub inflate_ratio_max: Option<u32>,
    /// Silence from a WebSocket peer, or on an HTTP/2 connection with streams, after which a Ping is sent. Default 30 s.
    #[doc(alias = "secs_since_valid_ping")]
    pub ping_interval: Duration,
    /// Silence from such a peer after which the connection is given up. Default 60 s.
    #[doc(alias = "secs_since_valid_hangup")]
    pub dead_peer_timeout: Duration,
    /// Pongs sent in one second; of the Pings beyond it only the newest is answered, when its time comes.
    /// Default 10. RFC 6455 §5.5.3 allows it.
    pub pongs_per_second_max: u32,
    /// How long a peer may take to answer a Close frame. Default 5 s.
    pub close_timeout: Duration,
    /// How long, after the last byte was sent, what the peer still sends is read and dropped so that a reset does
    /// not destroy our last bytes on their way. Default 2 s. RFC 9112 §9.6.
    pub linger_timeout: Duration,
    /// How long an exchange whose peer has ended its direction may go on without sending it anything: such a peer has most
    /// likely left, and nothing more of it will say so. So may one that has sent more ahead of its answer than `look_ahead_bytes_max`, as
    /// no more is read of it. Default 10 s. Past it the exchange is cut off. What is queued and not
    /// taken is a matter of `stalled_timeout`. See [`Event::PeerEnded`](crate::Event::PeerEnded).
    pub half_closed_timeout: Duration,
    /// Streams that a peer may have open at once on one HTTP/2 connection, which is our SETTINGS_MAX_CONCURRENT_STREAMS.
    /// Default 100, which RFC 9113 §6.5.2 asks for at least. One more is refused with REFUSED_STREAM. A stream counts until
    /// its [`Event::Closed`](crate::Event::Closed) has been delivered.
    #[doc(alias = "SETTINGS_MAX_CONCURRENT_STREAMS")]
    pub h2_streams_max: u32,
    /// Bytes of the window of one HTTP/2 stream: what a peer may send before it is taken. Default 65,535. At most 2^31-1.
    #[doc(alias = "SETTINGS_INITIAL_WINDOW_SIZE")]
    pub h2_stream_window: u32,
    /// Bytes to which the window of a stream grows for a peer that uses it up quickly. Default 1 MiB. At most half of
    /// `h2_connection_window`, so that one paused stream leaves room for others; what is held for paused streams together is
    /// bounded by that window.
    pub h2_stream_window_max: u32,
    /// Bytes of the window of one HTTP/2 connection, all its streams together. Default 1 MiB. At least 65,535, at most
    /// 2^31-1.
    pub h2_connection_window: u32,
    /// Bytes of the dynamic table that a peer's HPACK encoder may fill. Default 4,096.
    #[doc(alias = "SETTINGS_HEADER_TABLE_SIZE")]
    pub h2_table_bytes_max: u32,
    /// CONTINUATION frames of one field block. Default 8. Past it: ENHANCE_YOUR_CALM.
    pub h2_continuations_max: u32,
    /// Streams that are reset before their end, by the peer or by its fault, beyond as many as come to their end. Default 1,000 at
    /// once and 100 a second: a map that is moved gives up dozens at a time. Past it: ENHANCE_YOUR_CALM, and the streams that
    /// run are the last ones; past it once more: the end of the connection.
    pub h2_resets: Allowance,
    /// Frames that are allowed and of no use: empty and tiny DATA, SETTINGS, PING, PRIORITY, small WINDOW_UPDATE, unknown ones, and
    /// those for streams that have ended. What the traffic explains is free: for each DATA frame that is sent a WINDOW_UPDATE of
    /// the stream, one of the connection and a PING, however late; for each that is received another frame; for each request four
    /// frames; for each stream that this side resets 64. DATA frames of less than 256 bytes that are received, or that are sent
    /// because the peer opens its window in such pieces, explain nothing. Default 1,000 at once and 100 a second. Past it as for
    /// `h2_resets`.
    pub h2_glitches: Allowance,
    /// Entries of one SETTINGS frame. Default 32. Past it: ENHANCE_YOUR_CALM.
    pub h2_settings_entries_max: usize,
    /// Answers to control frames (SETTINGS, PING, RST_STREAM) that wait for the transport. Default 64. From there on no input
    /// is taken until they have gone; nothing is closed, unless the peer takes nothing for `stalled_timeout`.
    pub h2_control_frames_max: u32,
    /// How long a peer may take to acknowledge our SETTINGS. Default 10 s. Past it: SETTINGS_TIMEOUT.
    pub h2_settings_timeout: Duration,
    /// Bytes of content that must leave in each `stalled_timeout` for each stream but one of those that wait for their own windows: a peer
    /// that opens the windows of many by a little, so that none has stalled, holds them all. Default 4 KiB, which is 136 B/s for
    /// each. Below it the connection ends with the cause of `stalled_timeout`, unless what was sent before is still arriving.
    pub h2_waiting_bytes_min: usize,
    /// Requests of a client that wait until the server takes more streams. Default 100. One more is a
    /// [`Misuse::QueueFull`](crate::Misuse::QueueFull).
    pub h2_requests_queued_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes_max: 16 << 10,
            target_bytes_max: 8 << 10,
            field_lines_max: 100,
            head_timeout: Duration::from_secs(10),
            content_bytes_min: 10 << 10,
            content_period: Duration::from_secs(10),
            content_bytes_max: None,
            chunk_extension_bytes_max: 4 << 10,
            trailer_bytes_max: 4 << 10,
            discard_bytes_max: 64 << 10,
            keep_alive_timeout: Duration::from_secs(60),
            keep_alive_requests_max: 1_000,
            response_timeout: Duration::from_secs(60),
            between_bytes_timeout: Duration::from_secs(60),
            held_bytes_max: 4 << 20,
            look_ahead_bytes_max: 16 << 10,
            send_queue_bytes_max: 64 << 10,
            stalled_timeout: Duration::from_secs(30),
            stalled_bytes_min: 1 << 10,
            stalled_grace_max: Duration::from_secs(600),
            message_bytes_max: 1 << 20,
            message_fragments_max: 1_024,
            inflate_ratio_max: None,
            ping_interval: Duration::from_secs(30),
            dead_peer_timeout: Duration::from_secs(60),
            pongs_per_second_max: 10,
            close_timeout: Duration::from_secs(5),
            linger_timeout: Duration::from_secs(2),
            half_closed_timeout: Duration::from_secs(10),
            h2_streams_max: 100,
            h2_stream_window: 65_535,
            h2_stream_window_max: 1 << 20,
            h2_connection_window: 1 << 20,
            h2_table_bytes_max: 4_096,
            h2_continuations_max: 8,
            h2_resets: Allowance { burst: 1_000, per_second: 100 },
            h2_glitches: Allowance { burst: 1_000, per_second: 100 },
            h2_settings_entries_max: 32,
            h2_control_frames_max: 64,
            h2_settings_timeout: Duration::from_secs(10),
            h2_waiting_bytes_min: 4 << 10,
            h2_requests_queued_max: 100,
        }
    }
}
