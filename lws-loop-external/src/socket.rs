//! System calls that make stream sockets.

use crate::address::Address;
use crate::options::{KeepAlive, ListenOptions, TcpOptions};
use rustix::io::Errno;
use rustix::net;
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};
use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A listening socket, and the file that it made.
pub(crate) fn listen(
    address: &Address,
    options: &ListenOptions,
) -> io::Result<(OwnedFd, Option<SocketFile>)> {
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
            // Before the first connection: those that are accepted inherit them.
            apply(&options.tcp, &SockRef::from(&socket))?;
            socket.bind(&(*address).into())?;
            socket.listen(backlog)?;
            Ok((socket.into(), None))
        }
        Address::Unix(path) => {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            bind_unix(&socket, path)?;
            let file = SocketFile::new(path)?;
            if let Some(mode) = options.unix_mode {
                // Nobody can connect before `listen`.
                fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
            }
            socket.listen(backlog)?;
            Ok((socket.into(), Some(file)))
        }
    }
}

/// Binds to `path`. A socket that somebody left there, and that nobody answers, gives way.
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

/// The file of a Unix listener. It goes with the listener, unless something else has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn new(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |metadata: fs::Metadata| metadata.dev() == self.device && metadata.ino() == self.inode;
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            // If it cannot be removed it is stale, and the next listener sees to that.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A socket that is being connected to `address`, or is connected already.
pub(crate) fn connect(address: &Address, tcp: &TcpOptions) -> io::Result<OwnedFd> {
    let (socket, address) = match address {
        Address::Tcp(address) => {
            let socket = Socket::new(Domain::for_address(*address), Type::STREAM, None)?;
            apply(tcp, &SockRef::from(&socket))?;
            (socket, SockAddr::from(*address))
        }
        Address::Unix(path) => (Socket::new(Domain::UNIX, Type::STREAM, None)?, SockAddr::unix(path)?),
    };
    socket.set_nonblocking(true)?;
    match socket.connect(&address) {
        Err(error) if error.raw_os_error() == Some(Errno::INPROGRESS.raw_os_error()) => {}
        // It goes on all the same.
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
        result => result?,
    }
    Ok(socket.into())
}

/// How an attempt to connect stands: `None` while it goes on.
pub(crate) fn connected(socket: BorrowedFd<'_>) -> Option<io::Result<()>> {
    match net::sockopt::socket_error(socket) {
        Ok(Ok(())) => {}
        Ok(Err(error)) | Err(error) => return Some(Err(error.into())),
    }
    match net::getpeername(socket) {
        Ok(_) => Some(Ok(())),
        Err(Errno::NOTCONN) => None,
        Err(error) => Some(Err(error.into())),
    }
}

/// Sets the options of a TCP socket.
pub(crate) fn apply(options: &TcpOptions, socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_tcp_nodelay(options.no_delay)?;
    if let Some(KeepAlive { time, interval, count }) = options.keep_alive {
        let keep_alive = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(count);
        socket.set_tcp_keepalive(&keep_alive)?;
    }
    #[cfg(target_os = "linux")]
    if options.user_timeout.is_some() {
        socket.set_tcp_user_timeout(options.user_timeout)?;
    }
    Ok(())
}
