//! What a program decides about its service, its listeners and its connections.

use crate::net;
use crate::tls::{ListenTls, Provider};
use lws_proto::OutOfRange;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Sizes and budgets of one service.
#[derive(Clone, Debug)]
pub struct DriverOptions {
    /// The most connections at a time, outgoing ones too. At the last one the listeners pause, and go on when one has
    /// ended. An accepted one that has been idle for a second is closed for those that wait: one with TLS that has sent
    /// nothing first, then one between two requests or before its first. Default `None`: the limit of open files,
    /// less `descriptors_kept`.
    pub connections_max: Option<usize>,
    /// Descriptors that are left to everything else where `connections_max` is `None`: listeners, files, the rest of the
    /// program. Default 32.
    pub descriptors_kept: usize,
    /// Bytes of the one receive buffer that all connections share. Default 64 KiB: large messages arrive in few
    /// system calls, and it stays in the second-level cache. At least 1 KiB.
    #[doc(alias = "pt_serv_buf_size")]
    pub receive_buffer_bytes: usize,
    /// Bytes that one connection may receive in one turn before the others come. Default 256 KiB. A smaller number than
    /// the receive buffer has is kept to; of TLS they are bytes of ciphertext.
    pub read_bytes_per_turn: usize,
    /// Bytes that one connection may send in one turn before the others come. Default 256 KiB.
    pub write_bytes_per_turn: usize,
    /// Events of one connection in one turn before the others come. Default 16,384: more than one receive buffer of
    /// the shortest messages makes.
    pub events_per_turn: usize,
    /// Connections that one listener accepts in one turn. Default 64.
    pub accepts_per_turn: usize,
    /// What one turn of the whole service may take, over all its connections. What is then left to do is forced work: the
    /// host hears [`Wait::Now`](crate::Wait::Now), and it goes on where it stopped.
    pub turn: Turn,
    /// TLS handshakes of accepted connections at a time, counted from the first octet of the peer. Default 1,024, which
    /// bounds what they hold: see [`ListenTls::handshake_bytes_max`](crate::tls::ListenTls::handshake_bytes_max). More of
    /// them wait for a place, and networks take turns; one that has been at work for a second gives way to them.
    #[doc(alias = "simultaneous_ssl_handshake_restriction")]
    pub tls_handshakes_max: usize,
    /// Handshakes, and as many silent connections, that one network may have while others wait: an IPv4 address or the
    /// /64 of an IPv6 one. Default 128. A peer of the same machine that has no address is not counted.
    pub tls_handshakes_per_network_max: usize,
    /// Accepted connections with TLS whose peer has sent nothing yet. Default 1,024, of which each holds its socket and
    /// less than 1 KiB. One more makes the one give way that has been silent for the longest time.
    pub tls_silent_max: usize,
    /// Steps of TLS handshakes in one turn, after the established connections have had theirs. Default 4, which is about
    /// 2 ms with an ECDSA P-256 key.
    pub tls_steps_per_turn: usize,
    /// Messages of other threads that may wait. Default 65,536; past it [`Handle::send`](crate::Handle::send) gives the
    /// message back.
    pub mailbox_messages_max: usize,
    /// Messages that may wait for connections that are being made. Default 1,024; past it they come back as
    /// [`Application::undelivered`](crate::Application::undelivered).
    pub waiting_messages_max: usize,
    /// Names that the resolver may be looking for at a time, those included that nobody waits for any more. Default
    /// 1,024; past it a connection fails with [`ResolveError::TooMany`](crate::ResolveError::TooMany).
    pub resolver_queries_max: usize,
    /// Addresses of one name that are tried. Default 16, of each family some.
    pub resolver_addresses_max: usize,
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self {
            connections_max: None,
            descriptors_kept: 32,
            receive_buffer_bytes: 64 << 10,
            read_bytes_per_turn: 256 << 10,
            write_bytes_per_turn: 256 << 10,
            events_per_turn: 16 << 10,
            accepts_per_turn: 64,
            turn: Turn::default(),
            tls_handshakes_max: 1_024,
            tls_handshakes_per_network_max: 128,
            tls_silent_max: 1_024,
            tls_steps_per_turn: 4,
            mailbox_messages_max: 64 << 10,
            waiting_messages_max: 1_024,
            resolver_queries_max: 1_024,
            resolver_addresses_max: 16,
        }
    }
}

/// What one turn of a service may take: all that it does between two looks of its host at the descriptors.
///
/// A connection that is at work then gets to the end of what it has begun, so a turn can be longer by one handler call, one
/// read or one write.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// Time. Default 1 ms: a host draws a frame or serves its own timers in between, and one more look at the descriptors
    /// costs half a percent of it. [`Duration::MAX`] is no bound; the clock is not read then.
    pub time: Duration,
    /// Bytes, received and sent. Default 16 MiB: more than fits into the time, so that it bounds turns without a clock.
    pub bytes: usize,
    /// What time is measured by; its zero may be anywhere. Default: the system's monotonic clock. It is read about sixteen
    /// times in a turn that takes its whole time, and not at all in short ones.
    pub clock: fn() -> Duration,
}

impl Default for Turn {
    fn default() -> Self {
        Self { time: Duration::from_millis(1), bytes: 16 << 20, clock: net::monotonic }
    }
}

impl DriverOptions {
    /// Checks every option against its range: what is zero would stop the service. Whatever makes a service calls it.
    ///
    /// # Errors
    /// The first option that is outside of its range.
    pub fn validate(&self) -> Result<(), OutOfRange> {
        let Self {
            connections_max,
            receive_buffer_bytes,
            read_bytes_per_turn,
            write_bytes_per_turn,
            events_per_turn,
            accepts_per_turn,
            turn,
            descriptors_kept: _,
            tls_handshakes_max,
            tls_handshakes_per_network_max,
            tls_silent_max,
            tls_steps_per_turn,
            mailbox_messages_max,
            waiting_messages_max: _,
            resolver_queries_max,
            resolver_addresses_max,
        } = *self;
        let check = |field, value: usize, range| {
            OutOfRange::check(field, u64::try_from(value).unwrap_or(u64::MAX), range)
        };
        check("connections_max", connections_max.unwrap_or(1), 1..=u64::from(u32::MAX))?;
        check("receive_buffer_bytes", receive_buffer_bytes, 1 << 10..=1 << 30)?;
        for (field, value) in [
            ("read_bytes_per_turn", read_bytes_per_turn),
            ("write_bytes_per_turn", write_bytes_per_turn),
            ("events_per_turn", events_per_turn),
            ("accepts_per_turn", accepts_per_turn),
            ("turn.bytes", turn.bytes),
            ("tls_handshakes_max", tls_handshakes_max),
            ("tls_handshakes_per_network_max", tls_handshakes_per_network_max),
            ("tls_silent_max", tls_silent_max),
            ("tls_steps_per_turn", tls_steps_per_turn),
            ("mailbox_messages_max", mailbox_messages_max),
            ("resolver_queries_max", resolver_queries_max),
            ("resolver_addresses_max", resolver_addresses_max),
        ] {
            check(field, value, 1..=u64::MAX)?;
        }
        Ok(())
    }
}

/// What is wrong with a description, as the system would say it.
pub(crate) fn invalid(error: OutOfRange) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

/// Options of a TCP socket. Of a listener they hold for each connection that it accepts.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// Small writes leave at once: TCP_NODELAY. Default on; the engine gathers what belongs together.
    pub no_delay: bool,
    /// Probes of an idle connection by the system: SO_KEEPALIVE and its times. Default none, as WebSocket has its own.
    #[doc(alias = "ka_time")]
    pub keep_alive: Option<KeepAlive>,
    /// How long sent bytes may stay unacknowledged: TCP_USER_TIMEOUT, on Linux. Default `None`, the system's own.
    pub user_timeout: Option<Duration>,
    /// Bytes of the system's send buffer: SO_SNDBUF. The system bounds it, and Linux doubles it. Default `None`, which
    /// lets it grow by itself.
    pub send_buffer_bytes: Option<usize>,
    /// Bytes of the system's receive buffer: SO_RCVBUF. As above.
    pub receive_buffer_bytes: Option<usize>,
    /// Bytes that may lie in the system's send buffer unsent: TCP_NOTSENT_LOWAT, on Linux and Apple's systems. What lies there can no
    /// longer give way to something more urgent, and it is memory that a peer who does not read holds; what is sent and not
    /// acknowledged does not count. Linux takes no more than this, and one segment of up to 64 KiB; Apple's systems say that
    /// they take more only below it, and [`DriverOptions::write_bytes_per_turn`] bounds what is written at a time.
    /// Default 128 KiB, which at 10 Gbit/s is a tenth of a millisecond. `None` is the system's own, on Linux none.
    pub unsent_bytes_max: Option<usize>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            no_delay: true,
            keep_alive: None,
            user_timeout: None,
            send_buffer_bytes: None,
            receive_buffer_bytes: None,
            unsent_bytes_max: Some(128 << 10),
        }
    }
}

/// When and how often the system probes an idle connection. Whole seconds count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Idle time before the first probe.
    pub time: Duration,
    /// Time between two probes.
    pub interval: Duration,
    /// Unanswered probes after which the connection is given up.
    pub count: u32,
}

/// Options of a listener.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Connections that the system keeps until they are accepted. Default 4,096; the system may lower it.
    pub backlog: u32,
    /// An IPv6 listener takes IPv6 only. Default off: `[::]` takes both.
    pub v6_only: bool,
    /// Several sockets may listen on one port, and the system spreads the connections: SO_REUSEPORT. Default off. What
    /// such a listener of a shard accepts stays with that shard.
    pub reuse_port: bool,
    /// The network interface to use, by name: SO_BINDTODEVICE, on Linux. Nobody who comes by another one reaches the
    /// listener, whatever its address. Default `None`. TCP only.
    #[doc(alias = "iface")]
    #[doc(alias = "LWS_SERVER_OPTION_BINDTODEVICE")]
    pub bind_device: Option<String>,
    /// The options of the accepted connections.
    pub tcp: TcpOptions,
    /// Permission bits of a Unix socket. Default `None`, what the process's mask leaves.
    pub unix_mode: Option<u32>,
    /// TLS for the accepted connections. Default `None`.
    pub tls: Option<ListenTls>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 4_096,
            v6_only: false,
            reuse_port: false,
            bind_device: None,
            tcp: TcpOptions::default(),
            unix_mode: None,
            tls: None,
        }
    }
}

/// Options of an outgoing connection.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// What will be spoken. Default HTTP, which can become WebSocket.
    pub speak: Speak,
    /// TLS on the connection. Default `None`.
    pub tls: Option<Arc<dyn Provider>>,
    /// How long it may take in all, from the name to a connected socket, and to the end of the TLS handshake if there is
    /// one. Default 20 s.
    #[doc(alias = "connect_timeout_secs")]
    pub timeout: Duration,
    /// How long the resolver may take of it. Default 10 s.
    pub resolve_timeout: Duration,
    /// How long one address may take of it. Default 15 s.
    #[doc(alias = "timeout_secs")]
    pub attempt_timeout: Duration,
    /// How long one address is waited for before the next is tried beside it: RFC 8305 §5. Default 250 ms, at least
    /// 10 ms. An address that fails gives way to the next at once.
    pub stagger: Duration,
    /// Addresses that are tried at a time. Default 4. At least 1, which tries one after another.
    pub racing_max: usize,
    /// The address of this side; port 0 lets the system choose one. Peers of the other family cannot be reached then.
    /// Default `None`. TCP only.
    #[doc(alias = "iface")]
    pub bind: Option<SocketAddr>,
    /// The network interface to use, by name: SO_BINDTODEVICE, on Linux. Elsewhere no connection is begun. Default
    /// `None`. TCP only.
    #[doc(alias = "iface")]
    pub bind_device: Option<String>,
    /// The options of the connection.
    pub tcp: TcpOptions,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            speak: Speak::Http,
            tls: None,
            timeout: Duration::from_secs(20),
            resolve_timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(15),
            stagger: Duration::from_millis(250),
            racing_max: 4,
            bind: None,
            bind_device: None,
            tcp: TcpOptions::default(),
        }
    }
}

/// What an outgoing connection speaks first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Speak {
    /// HTTP, and WebSocket by its opening handshake.
    #[default]
    Http,
    /// HTTP/2, of which the server is known to speak it: requests and WebSockets share the connection. A server that speaks something
    /// else ends it with a violation. With TLS it is ALPN that chooses `h2`, or the handshake fails with
    /// [`Reason::NoProtocol`](crate::tls::Reason::NoProtocol). RFC 9113 §3.2, §3.3, RFC 8441.
    Http2,
    /// Bytes.
    Raw,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_out_of_range_is_named() {
        assert_eq!(DriverOptions::default().validate(), Ok(()));
        type Change = fn(&mut DriverOptions);
        let rows: [(&str, Change); 5] = [
            ("connections_max", |options| options.connections_max = Some(0)),
            ("receive_buffer_bytes", |options| options.receive_buffer_bytes = 1_023),
            ("read_bytes_per_turn", |options| options.read_bytes_per_turn = 0),
            ("accepts_per_turn", |options| options.accepts_per_turn = 0),
            ("resolver_addresses_max", |options| options.resolver_addresses_max = 0),
        ];
        for (field, change) in rows {
            let mut options = DriverOptions::default();
            change(&mut options);
            assert_eq!(options.validate().map_err(|error| error.field()), Err(field));
        }
    }
}
