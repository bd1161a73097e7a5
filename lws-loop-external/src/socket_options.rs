//! The options of listeners and outgoing connections.

use crate::tls::{ListenTls, Provider};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Options of a TCP socket. Those of a listener apply to each connection that it accepts.
#[derive(Clone, Debug)]
pub struct TcpOptions {
    /// Whether small writes are sent at once: TCP_NODELAY. Default on; the engine itself gathers small pieces into
    /// one write.
    pub no_delay: bool,
    /// Probes of an idle connection by the system: SO_KEEPALIVE and its times. Default none, as WebSocket has its own.
    #[doc(alias = "ka_time")]
    pub keep_alive: Option<KeepAlive>,
    /// How long sent bytes may stay unacknowledged: TCP_USER_TIMEOUT, on Linux. Default `None`, the system's own.
    pub user_timeout: Option<Duration>,
    /// Bytes of the system's send buffer: SO_SNDBUF. The system bounds it, and Linux doubles it. Default `None`, which
    /// lets it grow by itself.
    pub send_buffer_bytes: Option<usize>,
    /// Bytes of the system's receive buffer: SO_RCVBUF. The system bounds it, and Linux doubles it. Default `None`,
    /// which lets it grow by itself.
    pub receive_buffer_bytes: Option<usize>,
    /// Bytes that may lie in the system's send buffer unsent: TCP_NOTSENT_LOWAT, on Linux and Apple's systems. What lies there can no
    /// longer give way to something more urgent, and it is memory that a peer who does not read holds; what is sent and not
    /// acknowledged does not count. Linux takes no more than this, and one segment of up to 64 KiB; Apple's systems say that
    /// they take more only below it, and [`write_bytes_per_turn`](crate::DriverOptions::write_bytes_per_turn) bounds what is written at a time.
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
    /// Whether several sockets may listen on one port, among which the system spreads the connections: SO_REUSEPORT.
    /// Default off. Connections that such a listener of a shard accepts stay with that shard.
    pub reuse_port: bool,
    /// The network interface to use, by name: SO_BINDTODEVICE, on Linux. Connections that arrive by another
    /// interface do not reach the listener, whatever its address. Default `None`. TCP only.
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
    /// The protocol of the connection. Default HTTP, which can become WebSocket.
    pub speak: Speak,
    /// TLS on the connection. Default `None`.
    pub tls: Option<Arc<dyn Provider>>,
    /// The time for everything: from the name to a connected socket, and to the end of the TLS handshake if there is
    /// one. Default 20 s.
    #[doc(alias = "connect_timeout_secs")]
    pub timeout: Duration,
    /// The part of it that the resolver may take. Default 10 s.
    pub resolve_timeout: Duration,
    /// The part of it that one address may take. Default 15 s.
    #[doc(alias = "timeout_secs")]
    pub attempt_timeout: Duration,
    /// The delay before the next address is tried beside one that has not answered: RFC 8305 §5. Default 250 ms, at
    /// least 10 ms. After an address has failed, the next is tried at once.
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
    /// Peers of connections that may serve in place of this one. If the name of the target resolves to one of these addresses, no socket
    /// is made and the attempt ends with [`ConnectCause::Shared`](crate::ConnectCause::Shared). Default none. RFC 9113 §9.1.1.
    pub shared_with: Vec<SocketAddr>,
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
            shared_with: Vec::new(),
        }
    }
}

/// The protocol with which an outgoing connection begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Speak {
    /// HTTP, and WebSocket by its opening handshake.
    #[default]
    Http,
    /// HTTP/2, with prior knowledge that the server speaks it: requests and WebSockets share the connection. A server
    /// that speaks something else ends it with a violation. With TLS it is ALPN that chooses `h2`, or the handshake
    /// fails with [`Reason::NoProtocol`](crate::tls::Reason::NoProtocol). RFC 9113 §3.2, §3.3, RFC 8441.
    Http2,
    /// Bytes.
    Raw,
}
