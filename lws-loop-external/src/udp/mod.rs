//! UDP sockets: received datagrams with their source, and datagrams that are sent by permit. Knows no loop.
//!
//! Datagrams are received and sent in batches, and equal ones to the same place leave as one, where the system can.

pub(crate) mod open;
mod queue;
#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code)]
mod sys;
pub(crate) mod turn;

use queue::Queue;
use quinn_udp::UdpSocketState;
use socket2::SockRef;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

/// The longest datagram there can be: 65,535 bytes with its header of 8. Over IPv4 it is 20 bytes less.
pub const DATAGRAM_BYTES_MAX: usize = 65_527;

/// Options of a UDP socket.
///
/// No datagram is cut into fragments on its way, as RFC 8085 §3.2 asks: one that is too long for the path is reported as
/// [`UdpEvent::Unsent`].
#[derive(Clone, Debug)]
pub struct UdpOptions {
    /// The local address of a connected socket. Default `None`: any address and port.
    pub local: Option<SocketAddr>,
    /// Bytes that may be queued before there are no more permits; the last datagram may exceed it. Default 64 KiB: as
    /// much as one call can hand to the system.
    pub queue_bytes_max: usize,
    /// Datagrams that may be queued before there are no more permits. Default 1,024: it bounds the memory of very short
    /// ones, which `queue_bytes_max` does not.
    pub queue_datagrams_max: usize,
    /// Longer datagrams are cut to this many bytes, and marked as [`truncated`](Datagram::is_truncated). Default 65,535:
    /// none is.
    pub datagram_bytes_max: usize,
    /// Whether datagrams may be sent to a broadcast address: SO_BROADCAST. Default off.
    #[doc(alias = "LWS_CAUDP_BROADCAST")]
    pub broadcast: bool,
    /// The network interface to use, by name: SO_BINDTODEVICE, on Linux. Default `None`.
    #[doc(alias = "iface")]
    pub bind_device: Option<String>,
    /// An IPv6 socket takes IPv6 only. Default off: `[::]` takes both.
    pub v6_only: bool,
    /// Whether several sockets of a multicast group may have the same port: SO_REUSEADDR. Default off.
    pub reuse_address: bool,
    /// Whether several sockets may have the same port, among which the system spreads the sources: SO_REUSEPORT.
    /// Default off.
    pub reuse_port: bool,
    /// Bytes that the system keeps until they are received: SO_RCVBUF. Default `None`, the system's own.
    pub receive_buffer_bytes: Option<usize>,
    /// Bytes that the system keeps until they are sent: SO_SNDBUF. Default `None`, the system's own.
    pub send_buffer_bytes: Option<usize>,
    /// Routers that a multicast datagram may pass. Default `None`, the system's: 1.
    pub multicast_hops: Option<u32>,
    /// Whether multicast datagrams are also delivered to this machine. Default `None`, the system's: yes.
    pub multicast_loop: Option<bool>,
}

impl Default for UdpOptions {
    fn default() -> Self {
        Self {
            local: None,
            queue_bytes_max: 64 << 10,
            queue_datagrams_max: 1_024,
            datagram_bytes_max: 65_535,
            broadcast: false,
            bind_device: None,
            v6_only: false,
            reuse_address: false,
            reuse_port: false,
            receive_buffer_bytes: None,
            send_buffer_bytes: None,
            multicast_hops: None,
            multicast_loop: None,
        }
    }
}

/// The destination of a datagram, and the local address that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// The receiver.
    pub to: SocketAddr,
    /// The local address that it comes from. `None` lets the system choose; a machine with several addresses should
    /// answer from the one that a request was sent to.
    pub from: Option<IpAddr>,
}

impl From<SocketAddr> for Route {
    fn from(to: SocketAddr) -> Self {
        Self { to, from: None }
    }
}

/// A datagram that was received.
#[derive(Debug)]
#[non_exhaustive]
pub struct Datagram<'a> {
    /// The address of the sender. An IPv4 sender to an IPv6 socket has its IPv4 address.
    #[doc(alias = "lws_get_udp")]
    pub source: SocketAddr,
    /// The address that it was sent to, which may be that of a group, if the system reports it.
    pub destination: Option<IpAddr>,
    /// The index of the interface at which it arrived, if the system reports it.
    pub interface: Option<u32>,
    /// Its bytes, or the first [`UdpOptions::datagram_bytes_max`] of them.
    pub bytes: &'a mut [u8],
    /// The length of the datagram before it was cut, in bytes.
    pub length: usize,
}

impl Datagram<'_> {
    /// Whether it was longer than [`UdpOptions::datagram_bytes_max`].
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.bytes.len() < self.length
    }

    /// The route of an answer: to the sender, from the address that the datagram was sent to, unless that was a
    /// group's.
    #[must_use]
    pub fn reply_to(&self) -> Route {
        let own = |address: &IpAddr| match address {
            IpAddr::V4(address) => !address.is_multicast() && !address.is_broadcast(),
            IpAddr::V6(address) => !address.is_multicast(),
        };
        Route { to: self.source, from: self.destination.filter(own) }
    }
}

/// An event of a UDP socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum UdpEvent<'a> {
    /// The socket is open.
    #[doc(alias = "LWS_CALLBACK_RAW_ADOPT")]
    Opened(Udp<'a>),
    /// A datagram was received.
    #[doc(alias = "LWS_CALLBACK_RAW_RX")]
    Datagram {
        /// The socket, to answer on.
        socket: Udp<'a>,
        /// The datagram.
        datagram: Datagram<'a>,
    },
    /// The permit that was asked for with [`Udp::want_write`].
    #[doc(alias = "LWS_CALLBACK_RAW_WRITEABLE")]
    Writable(DatagramPermit<'a>),
    /// The system refused to send a datagram, and it is lost: too long for the path, no route, not allowed. Datagrams are
    /// sent whole or not at all.
    Unsent {
        /// The socket.
        socket: Udp<'a>,
        /// Where the datagram should have gone.
        route: Route,
        /// Its bytes.
        length: usize,
        /// What the system says.
        error: io::Error,
    },
    /// The network reports that an earlier datagram has not arrived: the port is closed, or there is no route. The
    /// socket stays open.
    Failed {
        /// The socket.
        socket: Udp<'a>,
        /// The machine that reported it, if the system says so: the receiver or a router, with port 0.
        reporter: Option<SocketAddr>,
        /// The error that it reported.
        error: io::Error,
    },
    /// [`DriverContext::wake`](crate::DriverContext::wake) was called for it.
    Woken(Udp<'a>),
    /// The host cannot watch it. [`Application::closed`](crate::Application::closed) follows.
    Refused(io::Error),
}

/// A UDP socket, lent by an event.
pub struct Udp<'a> {
    io: &'a mut Io,
    socket: BorrowedFd<'a>,
}

impl<'a> Udp<'a> {
    /// The permit to send one datagram, if there is room for one; otherwise the socket again, to
    /// [`want_write`](Self::want_write).
    ///
    /// # Errors
    /// The socket, if as much is waiting as the options allow, or it is closing.
    pub fn permit(self) -> Result<DatagramPermit<'a>, Self> {
        if self.io.has_room() { Ok(DatagramPermit { socket: self }) } else { Err(self) }
    }

    /// Asks for one [`UdpEvent::Writable`] when there is room. Several requests count as one.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self) {
        self.io.writing = true;
    }

    /// Stops receiving. The system keeps datagrams that arrive, as far as it has room.
    #[doc(alias = "lws_rx_flow_control")]
    pub fn pause(&mut self) {
        self.io.reading = false;
    }

    /// Resumes receiving.
    pub fn resume(&mut self) {
        self.io.reading = true;
    }

    /// The peer of a connected socket.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.io.peer
    }

    /// The number of queued datagrams.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.io.queue.len()
    }

    /// Joins a multicast group, on the interface with this index; `None` lets the system choose.
    ///
    /// # Errors
    /// What the system says: not a group, no such interface, a member already.
    pub fn join(&self, group: IpAddr, interface: Option<u32>) -> io::Result<()> {
        open::change_group(SockRef::from(&self.socket), group, interface, true)
    }

    /// Leaves a multicast group: the opposite of [`join`](Self::join).
    ///
    /// # Errors
    /// What the system says: not a member.
    pub fn leave(&self, group: IpAddr, interface: Option<u32>) -> io::Result<()> {
        open::change_group(SockRef::from(&self.socket), group, interface, false)
    }

    /// Ends the socket once the queued datagrams have been sent. Nothing more is received, and there are no more
    /// permits.
    pub fn close(self) {
        self.io.closing = true;
    }
}

impl AsFd for Udp<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket
    }
}

impl fmt::Debug for Udp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Udp").field("socket", &self.socket).field("queued", &self.queued()).finish()
    }
}

/// The permit to send one datagram. Sending spends it.
///
/// ```
/// use lws_loop_external::{Application, Udp, UdpEvent};
///
/// /// Sends back what comes, as far as there is room: datagrams may get lost anyway.
/// fn echo(event: UdpEvent<'_>) {
///     if let UdpEvent::Datagram { socket, datagram } = event {
///         let route = datagram.reply_to();
///         if let Ok(permit) = socket.permit() {
///             // The socket comes back, for the next permit.
///             let _socket: Result<Udp<'_>, _> = permit.send(route, datagram.bytes);
///         }
///     }
/// }
/// ```
///
/// Not twice:
///
/// ```compile_fail,E0382
/// # use lws_loop_external::{DatagramPermit, Route};
/// fn twice(permit: DatagramPermit<'_>, route: Route) {
///     let first = permit.send(route, b"once");
///     let second = permit.send(route, b"twice");
/// }
/// ```
///
/// And not later:
///
/// ```compile_fail
/// # use lws_loop_external::{DatagramPermit, UdpEvent};
/// fn later(event: UdpEvent<'_>, kept: &mut Option<DatagramPermit<'static>>) {
///     if let UdpEvent::Writable(permit) = event {
///         *kept = Some(permit);
///     }
/// }
/// ```
#[must_use]
#[derive(Debug)]
pub struct DatagramPermit<'a> {
    socket: Udp<'a>,
}

impl<'a> DatagramPermit<'a> {
    /// Sends one datagram, which may be empty: it leaves in this turn, or is queued until the socket has room.
    /// Returns the socket.
    ///
    /// # Errors
    /// It is longer than [`DATAGRAM_BYTES_MAX`], and nothing is sent.
    pub fn send(self, route: impl Into<Route>, datagram: &[u8]) -> Result<Udp<'a>, TooLong> {
        if datagram.len() > DATAGRAM_BYTES_MAX {
            return Err(TooLong { length: datagram.len() });
        }
        self.socket.io.queue.push(route.into(), datagram);
        Ok(self.socket)
    }

    /// The socket, with nothing sent.
    #[must_use]
    pub fn into_socket(self) -> Udp<'a> {
        self.socket
    }
}

/// The error of a datagram that is longer than [`DATAGRAM_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Its bytes.
    pub length: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes are more than a datagram can have: {DATAGRAM_BYTES_MAX}", self.length)
    }
}

impl std::error::Error for TooLong {}

/// A UDP socket in the table.
pub(crate) struct Datagrams<S> {
    pub(crate) state: S,
    pub(crate) io: Io,
}

/// An event without a datagram, to be delivered in the next turn.
#[derive(Debug)]
pub(crate) enum Notice {
    Opened,
    Woken,
    Refused(io::Error),
}

/// The state of a socket, apart from its descriptor and the application's state.
pub(crate) struct Io {
    system: UdpSocketState,
    queue: Queue,
    options: Box<UdpOptions>,
    peer: Option<SocketAddr>,
    is_ipv6: bool,
    reading: bool,
    /// Whether the application waits for a permit.
    writing: bool,
    closing: bool,
    /// Whether the host has reported a pending error.
    error: bool,
    /// The number of datagrams at the front that have to be sent one by one, because the system refused them
    /// together.
    singly: usize,
    /// Whether the first datagram was refused once, which may have been the error of an earlier one.
    again: bool,
    /// The event to deliver in the next turn.
    notice: Option<Notice>,
}

impl Io {
    pub(crate) fn new(
        socket: BorrowedFd<'_>,
        local: SocketAddr,
        peer: Option<SocketAddr>,
        options: &UdpOptions,
    ) -> io::Result<Self> {
        let system = UdpSocketState::new((&socket).into())?;
        system.enable_transport_errors((&socket).into())?;
        Ok(Self {
            system,
            queue: Queue::default(),
            options: Box::new(options.clone()),
            peer,
            is_ipv6: local.is_ipv6(),
            reading: true,
            writing: false,
            closing: false,
            error: false,
            singly: 0,
            again: false,
            notice: Some(Notice::Opened),
        })
    }

    /// Queues an event for the next turn.
    pub(crate) fn notify(&mut self, notice: Notice) {
        if matches!(notice, Notice::Refused(_)) {
            self.closing = true;
            self.queue = Queue::default();
        }
        self.notice = Some(notice);
    }

    pub(crate) fn close(&mut self) {
        self.closing = true;
    }

    /// Notes that the socket has a pending error.
    pub(crate) fn note_error(&mut self) {
        self.error = true;
    }

    fn has_room(&self) -> bool {
        let options = &self.options;
        !self.closing
            && self.queue.bytes() < options.queue_bytes_max
            && self.queue.len() < options.queue_datagrams_max
    }

    /// Converts addresses to the family of this socket: an IPv6 socket uses mapped IPv4 addresses.
    fn own_form(&self, route: Route) -> (SocketAddr, Option<IpAddr>) {
        if !self.is_ipv6 {
            return (route.to, route.from);
        }
        let mapped = |address: IpAddr| match address {
            IpAddr::V4(address) => IpAddr::V6(address.to_ipv6_mapped()),
            IpAddr::V6(_) => address,
        };
        let to = match route.to {
            SocketAddr::V4(to) => SocketAddr::new(mapped((*to.ip()).into()), to.port()),
            SocketAddr::V6(_) => route.to,
        };
        (to, route.from.map(mapped))
    }
}

/// Converts a mapped IPv4 address back.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        // Unchanged, so that a link-local address keeps its scope.
        IpAddr::V6(_) => address,
    }
}
