//! System calls that make stream sockets.

use crate::address::Address;
use crate::net::{self, Owned};
#[cfg(feature = "simulation")]
use crate::simulation;
use crate::socket_options::{ConnectOptions, KeepAlive, ListenOptions, TcpOptions};
use crate::sys;
use rustix::io::Errno;
use rustix::net::SocketAddrAny;
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Makes a listening socket, and returns the file that it created, if it is a Unix socket with a path.
pub(crate) fn listen(address: &Address, options: &ListenOptions) -> io::Result<(Owned, Option<SocketFile>)> {
    #[cfg(feature = "simulation")]
    if let Some(listener) = simulation::ask(|network| network.listen(address, options)) {
        return Ok((listener?.into(), None));
    }
    let backlog = i32::try_from(options.backlog).unwrap_or(i32::MAX);
    match address {
        Address::Tcp(address) => {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            if address.is_ipv6() {
                socket.set_only_v6(options.v6_only)?;
            }
            socket.set_reuse_address(true)?;
            if options.reuse_port {
                socket.set_reuse_port(true)?;
            }
            // Accepted sockets inherit these options, so they are set before the first connection.
            apply(&options.tcp, &SockRef::from(&socket))?;
            bind_device(&socket, options.bind_device.as_deref())?;
            socket.bind(&(*address).into())?;
            socket.listen(backlog)?;
            Ok((OwnedFd::from(socket).into(), None))
        }
        Address::Unix(path) => {
            let socket = unix()?;
            bind_unix(&socket, path)?;
            let file = SocketFile::new(path)?;
            if let Some(mode) = options.unix_mode {
                // The permissions are set before `listen`, as no peer can connect until then.
                fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
            }
            socket.listen(backlog)?;
            Ok((OwnedFd::from(socket).into(), Some(file)))
        }
        Address::Abstract(name) => {
            let socket = unix()?;
            socket.bind(&abstract_name(name)?)?;
            socket.listen(backlog)?;
            Ok((OwnedFd::from(socket).into(), None))
        }
    }
}

/// Binds to `path`. A socket file that an earlier process has left there is replaced if no process listens on it.
fn bind_unix(socket: &Socket, path: &Path) -> io::Result<()> {
    let address = SockAddr::unix(path)?;
    match socket.bind(&address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_stale(path, &address) => {
            fs::remove_file(path)?;
            socket.bind(&address)
        }
        result => result,
    }
}

fn is_stale(path: &Path, address: &SockAddr) -> bool {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    let probe = || {
        let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        probe.set_nonblocking(true)?;
        probe.connect(address)
    };
    is_socket && probe().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// The file of a Unix listener. It is removed with the listener, unless another file has replaced it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |metadata: fs::Metadata| metadata.dev() == self.device && metadata.ino() == self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            // A file that cannot be removed is stale, and the next listener replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Fails if this system does not support one of these options.
pub(crate) fn supports(options: &ConnectOptions) -> io::Result<()> {
    if options.bind_device.is_some() && cfg!(not(any(target_os = "linux", target_os = "android"))) {
        return Err(no_devices());
    }
    Ok(())
}

fn no_devices() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this system cannot bind a socket to a network interface")
}

/// Binds a socket to a network interface, if one is named.
pub(crate) fn bind_device(socket: &Socket, device: Option<&str>) -> io::Result<()> {
    let Some(device) = device else { return Ok(()) };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return socket.bind_device(Some(device.as_bytes()));
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (socket, device);
        Err(no_devices())
    }
}

/// Makes a socket, and begins to connect it to `address`.
pub(crate) fn connect(address: &Address, options: &ConnectOptions) -> io::Result<Owned> {
    #[cfg(feature = "simulation")]
    if let Some(socket) = simulation::ask(|network| network.connect(address, options)) {
        return socket.map(Owned::from);
    }
    let (socket, address) = match address {
        Address::Tcp(address) => (tcp(*address, options)?, SockAddr::from(*address)),
        Address::Unix(path) => (unix()?, SockAddr::unix(path)?),
        Address::Abstract(name) => (unix()?, abstract_name(name)?),
    };
    match socket.connect(&address) {
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
        // An interrupted connect(2) continues in the background.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        // connect(2) returns EAGAIN for Unix sockets only, when the listener's queue is full, and nothing continues
        // in the background.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(io::Error::new(error.kind(), "the queue of the listener is full"));
        }
        result => result?,
    }
    Ok(OwnedFd::from(socket).into())
}

fn unix() -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Makes a TCP socket with the options that have to be set before connecting.
fn tcp(peer: SocketAddr, options: &ConnectOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(peer), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    apply(&options.tcp, &SockRef::from(&socket))?;
    bind_device(&socket, options.bind_device.as_deref())?;
    if let Some(address) = options.bind {
        if address.is_ipv6() != peer.is_ipv6() {
            let text = "the address to bind to is of the other family";
            return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, text));
        }
        // Allows a fixed local port that still is in TIME_WAIT.
        socket.set_reuse_address(address.port() != 0)?;
        socket.bind(&address.into())?;
    }
    Ok(socket)
}

/// unix(7): "an abstract socket address is distinguished by the fact that sun_path\[0\] is a null byte".
fn abstract_name(name: &OsStr) -> io::Result<SockAddr> {
    if cfg!(not(any(target_os = "linux", target_os = "android"))) {
        let text = "this system has no abstract socket names";
        return Err(io::Error::new(io::ErrorKind::Unsupported, text));
    }
    SockAddr::unix(OsStr::from_bytes(&[b"\0", name.as_bytes()].concat()))
}

/// The address at which a socket listens, with the port that the system chose.
pub(crate) fn listening_address(socket: BorrowedFd<'_>) -> io::Result<Address> {
    let address = net::own_address(socket)?;
    match SocketAddr::try_from(address.clone()) {
        Ok(address) => Ok(Address::Tcp(address)),
        Err(_) => unix_address(address),
    }
}

/// The path or the abstract name of a Unix socket.
fn unix_address(address: SocketAddrAny) -> io::Result<Address> {
    let address = rustix::net::SocketAddrUnix::try_from(address)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.abstract_name() {
        return Ok(Address::Abstract(OsStr::from_bytes(name).to_owned()));
    }
    let path = address.path().ok_or(io::ErrorKind::Unsupported)?;
    Ok(Address::Unix(OsStr::from_bytes(path.to_bytes()).into()))
}

/// Whether a socket listens. True on systems that do not report it.
pub(crate) fn listens(socket: BorrowedFd<'_>) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = socket;
        true
    }
}

/// The result of connecting: `None` while it is under way.
pub(crate) fn connected(socket: BorrowedFd<'_>) -> Option<io::Result<()>> {
    if let Err(error) = net::take_error(socket) {
        return Some(Err(error.into()));
    }
    match net::peer_address(socket) {
        Ok(Some(peer)) if is_itself(socket, &peer) => Some(Err(io::ErrorKind::ConnectionRefused.into())),
        Ok(_) => Some(Ok(())),
        Err(Errno::NOTCONN) => None,
        Err(error) => Some(Err(error.into())),
    }
}

/// Whether a socket is connected to itself: on a loopback address the system may choose the port that is connected to
/// as the local one, and RFC 9293 §3.5 allows a simultaneous open.
fn is_itself(socket: BorrowedFd<'_>, peer: &SocketAddrAny) -> bool {
    let loopback = SocketAddr::try_from(peer.clone()).is_ok_and(|peer| peer.ip().is_loopback());
    loopback && net::own_address(socket).is_ok_and(|own| own == *peer)
}

/// Sets the options of a TCP socket.
pub(crate) fn apply(options: &TcpOptions, socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(options.no_delay)?;
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(KeepAlive { time, interval, count }) = options.keep_alive {
        let keep_alive = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(count);
        socket.set_tcp_keepalive(&keep_alive)?;
    }
    if let Some(bytes) = options.unsent_bytes_max {
        // The option is an optimisation, so a kernel that does not know it is no failure.
        let _ = sys::set_unsent_bytes_max(socket.as_fd(), bytes);
    }
    #[cfg(target_os = "linux")]
    if options.user_timeout.is_some() {
        socket.set_tcp_user_timeout(options.user_timeout)?;
    }
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::Write;

    /// The number of bytes that the system takes for a peer that does not read.
    fn taken(unsent_bytes_max: Option<usize>) -> io::Result<usize> {
        let tcp = TcpOptions { unsent_bytes_max, ..TcpOptions::default() };
        let options = ListenOptions { tcp, ..ListenOptions::default() };
        let (listener, _) = listen(&Address::Tcp(([127, 0, 0, 1], 0).into()), &options)?;
        let listener = SockRef::from(&listener);
        listener.set_nonblocking(false)?;
        let peer = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        // A fixed size keeps the system from growing the buffer.
        peer.set_recv_buffer_size(64 << 10)?;
        peer.connect(&listener.local_addr()?)?;
        let (mut accepted, _) = listener.accept()?;
        accepted.set_nonblocking(true)?;
        let mut taken = 0;
        loop {
            match accepted.write(&[0; 1 << 10]) {
                Ok(n) => taken += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(taken),
                Err(error) => return Err(error),
            }
        }
    }

    /// Bytes that were sent and not read are the same in each case. The rest lies unsent in the system, and is bounded
    /// except for one segment.
    #[test]
    fn an_accepted_socket_holds_no_more_unsent_than_its_option_says() -> io::Result<()> {
        let (little, default) = (taken(Some(1))?, taken(TcpOptions::default().unsent_bytes_max)?);
        assert!(default > little, "{little} {default}");
        assert!(default - little <= (128 << 10) + (64 << 10), "{little} {default}");
        assert!(taken(None)? > default + (256 << 10), "{default}: the option does nothing");
        Ok(())
    }
}
