//! UDP sockets: datagrams in with where they came from, datagrams out by permit. Knows no loop.
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
    /// Where a connected socket is bound to. Default `None`: any address and port.
    pub local: Option<SocketAddr>,
    /// Bytes that may wait for the socket before there are no more permits; the last datagram may go past it. Default
    /// 64 KiB: as much as one call can hand to the system.
    pub queue_bytes_max: usize,
    /// Datagrams that may wait before there are no more permits. Default 1,024: the shortest ones cost as much to keep as
    /// the bytes allow.
    pub queue_datagrams_max: usize,
    /// Longer datagrams are cut to this many bytes, and marked as [`truncated`](Datagram::is_truncated). Default 65,535:
    /// none is.
    pub datagram_bytes_max: usize,
    /// Datagrams may go to a broadcast address: SO_BROADCAST. Default off.
    #[doc(alias = "LWS_CAUDP_BROADCAST")]
    pub broadcast: bool,
    /// The network interface to use, by name: SO_BINDTODEVICE, on Linux. Default `None`.
    #[doc(alias = "iface")]
    pub bind_device: Option<String>,
    /// An IPv6 socket takes IPv6 only. Default off: `[::]` takes both.
    pub v6_only: bool,
    /// Several sockets of one group of receivers may have the same port: SO_REUSEADDR. Default off.
    pub reuse_address: bool,
    /// Several sockets may have the same port, and the system spreads the sources: SO_REUSEPORT. Default off.
    pub reuse_port: bool,
    /// Bytes that the system keeps until they are received: SO_RCVBUF. Default `None`, the system's own.
    pub receive_buffer_bytes: Option<usize>,
    /// Bytes that the system keeps until they are sent: SO_SNDBUF. Default `None`, the system's own.
    pub send_buffer_bytes: Option<usize>,
    /// Routers that a datagram to a group may pass. Default `None`, the system's: 1.
    pub multicast_hops: Option<u32>,
    /// Whether datagrams to a group come back to this machine. Default `None`, the system's: yes.
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

/// Where a datagram goes, and from which address of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// The receiver.
    pub to: SocketAddr,
    /// The address that it comes from. `None` lets the system choose; a machine with several addresses answers from the
    /// one that was asked.
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
    /// Who sent it. An IPv4 sender to an IPv6 socket has its IPv4 address.
    #[doc(alias = "lws_get_udp")]
    pub source: SocketAddr,
    /// The address that it was sent to, a group's too, where the system tells.
    pub destination: Option<IpAddr>,
    /// The index of the interface that it came in by, where the system tells.
    pub interface: Option<u32>,
    /// Its bytes, or the first [`UdpOptions::datagram_bytes_max`] of them.
    pub bytes: &'a mut [u8],
    /// How many bytes there were.
    pub length: usize,
}

impl Datagram<'_> {
    /// Whether it was longer than [`UdpOptions::datagram_bytes_max`].
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.bytes.len() < self.length
    }

    /// The way back: to the sender, from the address that it was sent to, unless that was a group's.
    #[must_use]
    pub fn reply_to(&self) -> Route {
        let own = |address: &IpAddr| match address {
            IpAddr::V4(address) => !address.is_multicast() && !address.is_broadcast(),
            IpAddr::V6(address) => !address.is_multicast(),
        };
        Route { to: self.source, from: self.destination.filter(own) }
    }
}

/// What happens to a UDP socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum UdpEvent<'a> {
    /// It is there.
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
    /// The network says that something sent earlier has not arrived: there is no listener, or no way there. The socket
    /// goes on.
    Failed {
        /// The socket.
        socket: Udp<'a>,
        /// The machine that says so, where the system tells: the receiver or a router, with port 0.
        reporter: Option<SocketAddr>,
        /// What it says.
        error: io::Error,
    },
    /// [`DriverContext::wake`](crate::DriverContext::wake) was called for it.
    Woken(Udp<'a>),
    /// The host cannot watch it. [`Application::closed`](crate::Application::closed) follows.
    Refused(io::Error),
}

/// A UDP socket, for as long as an event lends it.
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

    /// Asks for one [`UdpEvent::Writable`], when there is room. Asking twice is asking once.
    #[doc(alias = "lws_callback_on_writable")]
    pub fn want_write(&mut self) {
        self.io.writing = true;
    }

    /// Receives nothing more: the system keeps what comes, as far as it has room.
    #[doc(alias = "lws_rx_flow_control")]
    pub fn pause(&mut self) {
        self.io.reading = false;
    }

    /// Receives again.
    pub fn resume(&mut self) {
        self.io.reading = true;
    }

    /// The peer of a connected socket.
    #[must_use]
    pub fn peer(&self) -> Option<SocketAddr> {
        self.io.peer
    }

    /// Datagrams that wait for the socket.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.io.queue.len()
    }

    /// Receives what is sent to a group, on the interface with an index; `None` lets the system choose.
    ///
    /// # Errors
    /// What the system says: not a group, no such interface, a member already.
    pub fn join(&self, group: IpAddr, interface: Option<u32>) -> io::Result<()> {
        open::change_group(SockRef::from(&self.socket), group, interface, true)
    }

    /// The opposite of [`join`](Self::join).
    ///
    /// # Errors
    /// What the system says: not a member.
    pub fn leave(&self, group: IpAddr, interface: Option<u32>) -> io::Result<()> {
        open::change_group(SockRef::from(&self.socket), group, interface, false)
    }

    /// Ends the socket once what waits has been sent. Nothing more is received, and there are no more permits.
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
    /// Sends one datagram, an empty one too: it leaves in this turn, or waits for the socket. The socket comes back.
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

/// A datagram that is longer than any can be.
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

/// What is reported without any datagram.
#[derive(Debug)]
pub(crate) enum Notice {
    Opened,
    Woken,
    Refused(io::Error),
}

/// All of a socket but its descriptor and the application's state.
pub(crate) struct Io {
    system: UdpSocketState,
    queue: Queue,
    options: Box<UdpOptions>,
    peer: Option<SocketAddr>,
    is_ipv6: bool,
    reading: bool,
    /// The application wants a permit.
    writing: bool,
    closing: bool,
    /// The host says that there is an error to fetch.
    error: bool,
    /// Datagrams at the front that leave one by one: together they were refused.
    singly: usize,
    /// The first datagram was refused once, for what may be the fault of an earlier one.
    again: bool,
    /// To be reported in the next turn.
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

    /// Has something reported in the next turn.
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

    /// Notes that there is an error to fetch.
    pub(crate) fn note_error(&mut self) {
        self.error = true;
    }

    fn has_room(&self) -> bool {
        let options = &self.options;
        !self.closing
            && self.queue.bytes() < options.queue_bytes_max
            && self.queue.len() < options.queue_datagrams_max
    }

    /// An address as this socket writes it: an IPv6 socket has IPv4 addresses mapped.
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

/// An address as everybody writes it.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        // As it is: a link's address keeps its scope.
        IpAddr::V6(_) => address,
    }
}
