//! A run as plain data: drawn from a seed, printed as Rust code, and shrunk piece by piece.
//!
//! Knows no world and no engine.

use crate::random::Random;
use crate::weather::Weather;
use lws_proto::Limits;
use std::fmt;
use std::ops::Deref;
use std::time::Duration;

/// A list whose `Debug` is Rust: `list([..])`.
#[derive(Clone, PartialEq, Eq)]
pub struct List<T>(Vec<T>);

/// A [`List`] of `items`.
pub fn list<T, const N: usize>(items: [T; N]) -> List<T> {
    List(items.into())
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for List<T> {
    type Target = Vec<T>;

    fn deref(&self) -> &Vec<T> {
        &self.0
    }
}

impl<T> List<T> {
    pub(crate) fn inner(&mut self) -> &mut Vec<T> {
        &mut self.0
    }
}

impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

impl<T: fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("list(")?;
        self.0.fmt(f)?;
        f.write_str(")")
    }
}

/// Octets whose `Debug` is Rust: `octets(b"..")`.
#[derive(Clone, PartialEq, Eq)]
pub struct Octets(Vec<u8>);

/// [`Octets`].
pub fn octets(octets: impl AsRef<[u8]>) -> Octets {
    Octets(octets.as_ref().into())
}

impl Deref for Octets {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "octets(b\"{}\")", self.0.escape_ascii())
    }
}

/// One run: the network, the limits, the clients and peers, and what they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seed of all random choices.
    pub seed: u64,
    /// The faults that occur until the liveness phase.
    pub weather: Weather,
    /// The trigger of the hosts.
    pub delivery: Delivery,
    /// Whether hosts let go of descriptors some turns after the removal, as libuv does.
    pub lets_go_late: bool,
    /// Limits that differ from [`Plan::limits`].
    pub limits: List<Change>,
    /// Connections of the project's client.
    pub clients: List<Client>,
    /// Connections of scripted peers.
    pub peers: List<Peer>,
    /// Milliseconds after which the server is drained, while clients and peers are at work.
    pub drains: Option<u32>,
    /// Messages that another thread sends to the server, all at once.
    pub posts: u32,
}

/// How a host reports readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of `Trigger`")]
pub enum Delivery {
    Level,
    Edge,
    OneShot,
}

/// A limit, and its value in the unit of the limit: octets, frames, or milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of `Limits`")]
pub enum Change {
    HeadBytes(u32),
    HeadTimeout(u32),
    ContentBytesMin(u32),
    ContentPeriod(u32),
    DiscardBytes(u32),
    KeepAlive(u32),
    KeepAliveRequests(u32),
    ResponseTimeout(u32),
    LookAhead(u32),
    SendQueue(u32),
    Stalled(u32),
    StalledBytesMin(u32),
    MessageBytes(u32),
    Ping(u32),
    DeadPeer(u32),
    CloseTimeout(u32),
    Linger(u32),
    Streams(u32),
    StreamWindow(u32),
    StreamWindowMax(u32),
    ConnectionWindow(u32),
    TableBytes(u32),
    ControlFrames(u32),
    SettingsTimeout(u32),
}

impl Change {
    fn apply(self, limits: &mut Limits) {
        let time = |millis: u32| Duration::from_millis(millis.into());
        match self {
            Self::HeadBytes(bytes) => limits.head_bytes_max = bytes as usize,
            Self::HeadTimeout(millis) => limits.head_timeout = time(millis),
            Self::ContentBytesMin(bytes) => limits.content_bytes_min = bytes as usize,
            Self::ContentPeriod(millis) => limits.content_period = time(millis),
            Self::DiscardBytes(bytes) => limits.discard_bytes_max = bytes.into(),
            Self::KeepAlive(millis) => limits.keep_alive_timeout = time(millis),
            Self::KeepAliveRequests(requests) => limits.keep_alive_requests_max = requests,
            Self::ResponseTimeout(millis) => limits.response_timeout = time(millis),
            Self::LookAhead(bytes) => limits.look_ahead_bytes_max = bytes as usize,
            Self::SendQueue(bytes) => limits.send_queue_bytes_max = bytes as usize,
            Self::Stalled(millis) => limits.stalled_timeout = time(millis),
            Self::StalledBytesMin(bytes) => limits.stalled_bytes_min = bytes as usize,
            Self::MessageBytes(bytes) => limits.message_bytes_max = bytes as usize,
            Self::Ping(millis) => limits.ping_interval = time(millis),
            Self::DeadPeer(millis) => limits.dead_peer_timeout = time(millis),
            Self::CloseTimeout(millis) => limits.close_timeout = time(millis),
            Self::Linger(millis) => limits.linger_timeout = time(millis),
            Self::Streams(streams) => limits.h2_streams_max = streams,
            Self::StreamWindow(bytes) => limits.h2_stream_window = bytes,
            Self::StreamWindowMax(bytes) => limits.h2_stream_window_max = bytes,
            Self::ConnectionWindow(bytes) => limits.h2_connection_window = bytes,
            Self::TableBytes(bytes) => limits.h2_table_bytes_max = bytes,
            Self::ControlFrames(frames) => limits.h2_control_frames_max = frames,
            Self::SettingsTimeout(millis) => limits.h2_settings_timeout = time(millis),
        }
    }

    fn draw(random: &mut Random) -> Self {
        let mut size = |low, high| random.magnitude(low, high) as u32;
        let (bytes, millis, few) = (size(1, 1 << 20), size(200, 60_000), size(1, 200));
        let ways = [
            Self::HeadBytes(bytes.max(1_024)),
            Self::HeadTimeout(millis),
            Self::ContentBytesMin(few),
            Self::ContentPeriod(millis.max(1_000)),
            Self::DiscardBytes(bytes),
            Self::KeepAlive(millis),
            Self::KeepAliveRequests(few),
            Self::ResponseTimeout(millis.max(5_000)),
            Self::LookAhead(bytes),
            Self::SendQueue(bytes),
            Self::Stalled(millis.max(2_000)),
            Self::StalledBytesMin(few),
            Self::MessageBytes(bytes.max(70_000)),
            Self::Ping(millis),
            Self::DeadPeer(millis.saturating_mul(2)),
            Self::CloseTimeout(millis),
            Self::Linger(millis),
            Self::Streams(few),
            Self::StreamWindow(bytes),
            Self::StreamWindowMax(bytes),
            Self::ConnectionWindow(bytes.max(65_535)),
            Self::TableBytes(bytes.min(64 << 10)),
            Self::ControlFrames(few),
            Self::SettingsTimeout(millis.max(2_000)),
        ];
        *random.pick(&ways).unwrap_or(&Self::SendQueue(bytes))
    }
}

/// A connection of the project's client, which makes exchanges: one after the other over HTTP/1.1, concurrently over
/// HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Milliseconds after which it connects.
    pub begins: u32,
    /// Its protocol.
    pub speaks: Speaks,
    /// Its requests.
    pub exchanges: List<Exchange>,
    /// Milliseconds for which it keeps the connection after its last exchange.
    pub keeps: u32,
}

/// The protocol of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Speaks {
    Http1,
    Http2,
    Http1Tls,
    Http2Tls,
}

impl Speaks {
    pub(crate) fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2Tls)
    }

    pub(crate) fn is_tls(self) -> bool {
        matches!(self, Self::Http1Tls | Self::Http2Tls)
    }
}

/// One exchange of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Milliseconds after the connection is established.
    pub begins: u32,
    /// Its requests.
    pub asks: Ask,
    /// How it reads the response.
    pub reads: Reading,
    /// The urgency of its request, of which 3 is the default. RFC 9218 §4.1.
    pub urgency: u8,
}

/// The request of a client. All except [`Get`](Self::Get) are for the built-in server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A short text.
    Hello,
    /// GET for a path, of a server that the caller of `run_with` describes.
    Get(Octets),
    /// HEAD for a response of this many octets.
    Head(u32),
    /// A response of this many octets, with this framing and this end.
    Bytes(u32, Framing, Ends),
    /// A response after this many milliseconds.
    Wait(u32),
    /// A request that is never answered.
    Silence,
    /// Content of this many octets that is echoed, sent in pieces of this size at this interval in milliseconds.
    Echo(u32, u32, u32),
    /// Content of this many octets, which the server counts.
    Collect(u32),
    /// The largest file of at most this many octets.
    File(u32),
    /// A WebSocket with this many messages of this size, which are echoed.
    Chat(u32, u32),
    /// A WebSocket on which the server sends this many messages of this size.
    Push(u32, u32),
    /// An idle WebSocket.
    Idle,
    /// A WebSocket handshake that is refused by a response of this many octets, with this end.
    Refused(u32, Ends),
}

/// The framing of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By `Content-Length`.
    Length,
    /// By the end of the chunks or of the stream.
    Streamed,
}

/// How a handler ends its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ends {
    /// With all octets.
    Whole,
    /// It aborts after this many octets.
    Aborts(u32),
    /// It stops sending after this many octets, and waits.
    Stalls(u32),
}

/// How a client reads a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Without pauses.
    Steady,
    /// After each run of this many octets it pauses for this many milliseconds.
    Slow(u32, u32),
    /// It pauses for ever after this many octets.
    Stops(u32),
    /// It gives up after this many octets.
    Leaves(u32),
    /// Its machine vanishes from the network after this many octets.
    Vanishes(u32),
}

/// A connection of a scripted peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Milliseconds after which it connects.
    pub begins: u32,
    /// Whether it connects to the listener with TLS.
    pub tls: bool,
    /// Whether it keeps every rule, so that each of its requests must be answered completely.
    pub honest: bool,
    /// Its steps, in order. It closes its socket afterwards.
    pub steps: List<Step>,
}

/// A step of a scripted peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Sends these octets.
    Says(Octets),
    /// Sends these octets in pieces of this size, at this interval in milliseconds.
    Trickles(Octets, u32, u32),
    /// Sends these octets this many times.
    Repeats(Octets, u32),
    /// Sends HTTP/2 requests for a target: how many, how many at once, and the milliseconds between.
    Requests(Octets, u32, u32, u32),
    /// Answers each DATA frame from now on with a WINDOW_UPDATE for the connection, and if true with one for the
    /// stream, too.
    Grants(bool),
    /// Only reads, for this many milliseconds.
    Waits(u32),
    /// Reads at most this many octets per second from now on; 0 is nothing at all.
    Reads(u32),
    /// Ends its sending direction.
    Finishes,
    /// Stays until the server ends the connection.
    Stays,
    /// Resets the connection.
    Resets,
    /// Its machine vanishes from the network.
    Vanishes,
}

impl Plan {
    /// A run without faults, clients and peers.
    #[must_use]
    pub fn calm(seed: u64) -> Self {
        Self {
            seed,
            weather: Weather::CALM,
            delivery: Delivery::Level,
            lets_go_late: false,
            limits: List::default(),
            clients: List::default(),
            peers: List::default(),
            drains: None,
            posts: 0,
        }
    }

    /// Draws the run of a seed.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x6c77_7369);
        match random.below(12) {
            0 => crate::scenes::share(seed, &mut random),
            1 => crate::scenes::patience(seed, &mut random),
            2 => crate::scenes::proxy(seed, &mut random),
            _ => Self::draw_swarm(seed, random),
        }
    }

    fn draw_swarm(seed: u64, mut random: Random) -> Self {
        let weather = if random.chance(150) { Weather::CALM } else { Weather::draw(&mut random) };
        let deliveries = [Delivery::Level, Delivery::Edge, Delivery::OneShot];
        let delivery = *random.pick(&deliveries).unwrap_or(&Delivery::Level);
        let changes = if random.chance(400) { random.magnitude(1, 8) } else { 0 };
        let tls = random.chance(250);
        let (clients, peers) = match random.below(4) {
            0 => (0, random.between(1, 5)),
            1 => (random.between(1, 5), 0),
            _ => (random.between(1, 4), random.between(1, 3)),
        };
        Self {
            seed,
            weather,
            delivery,
            lets_go_late: random.chance(400),
            limits: (0..changes).map(|_| Change::draw(&mut random)).collect(),
            clients: (0..clients).map(|_| Client::draw(&mut random, tls)).collect(),
            peers: (0..peers).map(|_| Peer::draw(&mut random, tls)).collect(),
            drains: random.chance(150).then(|| random.magnitude(1, 10_000) as u32),
            posts: if random.chance(100) { random.magnitude(1, 20_000) as u32 } else { 0 },
        }
    }

    /// The limits of both sides, with the changes of the plan.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        for change in self.limits.iter() {
            change.apply(&mut limits);
        }
        // Limits that depend on each other are made consistent, whatever was drawn.
        limits.h2_stream_window_max = limits.h2_stream_window_max.max(limits.h2_stream_window);
        limits.h2_connection_window = limits.h2_connection_window.max(2 * limits.h2_stream_window_max);
        limits.dead_peer_timeout = limits.dead_peer_timeout.max(2 * limits.ping_interval);
        limits
    }
}

impl Client {
    fn draw(random: &mut Random, tls: bool) -> Self {
        let speaks = match (random.chance(500), tls && random.chance(600)) {
            (false, false) => Speaks::Http1,
            (true, false) => Speaks::Http2,
            (false, true) => Speaks::Http1Tls,
            (true, true) => Speaks::Http2Tls,
        };
        let count = random.magnitude(1, 8);
        Self {
            begins: random.magnitude(1, 2_000) as u32,
            speaks,
            exchanges: (0..count).map(|_| Exchange::draw(random)).collect(),
            keeps: if random.chance(500) { 0 } else { random.magnitude(1, 30_000) as u32 },
        }
    }
}

impl Exchange {
    fn draw(random: &mut Random) -> Self {
        let size = random.magnitude(1, 300_000) as u32;
        let some = random.below(u64::from(size) + 1) as u32;
        let few = random.magnitude(1, 40) as u32;
        let framing = if random.chance(500) { Framing::Length } else { Framing::Streamed };
        let asks = match random.below(16) {
            0 | 1 => Ask::Hello,
            2 => Ask::Head(size),
            3 | 4 => Ask::Bytes(size, framing, Ends::Whole),
            5 => Ask::Bytes(size, framing, Ends::Aborts(some)),
            6 => Ask::Bytes(size, framing, Ends::Stalls(some)),
            7 => Ask::Wait(random.magnitude(1, 20_000) as u32),
            8 => Ask::Silence,
            9 | 10 => {
                let piece = random.magnitude(1, 60_000) as u32;
                Ask::Echo(size, piece.max(size / 200), random.below(50) as u32)
            }
            11 => Ask::Collect(size),
            12 => Ask::File(size),
            13 => Ask::Chat(few, random.magnitude(1, 40_000) as u32),
            14 => Ask::Push(few, random.magnitude(1, 40_000) as u32),
            15 if random.chance(300) => {
                Ask::Refused(size, if random.chance(500) { Ends::Whole } else { Ends::Stalls(some) })
            }
            _ => Ask::Idle,
        };
        let reads = match random.below(12) {
            0 => {
                let every = random.magnitude(100, 100_000) as u32;
                Reading::Slow(every.max(size / 50), random.magnitude(1, 1_000) as u32)
            }
            1 => Reading::Stops(some),
            2 => Reading::Leaves(some),
            3 => Reading::Vanishes(some),
            _ => Reading::Steady,
        };
        let urgency = if random.chance(700) { 3 } else { random.below(8) as u8 };
        Self { begins: random.magnitude(1, 3_000) as u32, asks, reads, urgency }
    }
}
