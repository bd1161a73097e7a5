//! A socket that listens already: bound in advance, or received from a service manager or from an earlier process.

use crate::address::Address;
use crate::net::Owned;
use crate::socket::{self, SocketFile};
use crate::socket_options::ListenOptions;
use socket2::{Domain, SockRef, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A listening socket that belongs to no service yet. Connections wait in its accept queue, and are reset if it is
/// dropped.
///
/// [`bind`](Self::bind) makes one, so that a program has every address before it begins to serve at the first.
/// [`adopt`](Self::adopt) takes one over: from a service manager ("socket activation"), or from the process that this
/// one replaces. [`DriverContext::listen_on`](crate::DriverContext::listen_on) accepts its connections.
///
/// ```
/// use lws_loop_external::{ListenOptions, ListeningSocket};
/// use std::net::TcpListener;
///
/// let one = ListeningSocket::bind(&"127.0.0.1:0".parse()?, &ListenOptions::default())?;
/// let other = ListeningSocket::adopt(TcpListener::bind("127.0.0.1:0")?.into())?;
/// assert_ne!(one.address(), other.address());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ListeningSocket {
    socket: Owned,
    /// The file of a Unix socket, which is removed with the listener.
    file: Option<SocketFile>,
    address: Address,
    /// Whether the socket was made elsewhere, without the options of its listener.
    is_adopted: bool,
}

/// The parts of a listening socket that a listener needs.
pub(crate) struct Parts {
    pub(crate) socket: Owned,
    pub(crate) file: Option<SocketFile>,
    pub(crate) address: Address,
}

impl ListeningSocket {
    /// Binds a socket and has it listen.
    ///
    /// # Errors
    /// What the system says: the address is in use, is not of this machine, may not be used, and so on.
    pub fn bind(address: &Address, options: &ListenOptions) -> io::Result<Self> {
        let (socket, file) = socket::listen(address, options)?;
        let address = match &file {
            Some(_) => address.clone(),
            None => socket::listening_address(socket.as_fd())?,
        };
        Ok(Self { socket, file, address, is_adopted: false })
    }

    /// Takes a socket that listens already. It is made non-blocking, and is not passed on to programs that this one starts. The file
    /// of a Unix socket stays when the listener closes: it is the other program's, unless [`with_file`](Self::with_file) says
    /// otherwise.
    ///
    /// # Errors
    /// It is no stream socket, it does not listen, or it is neither TCP nor a Unix socket.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = SockRef::from(&descriptor);
        let is_stream = socket.r#type().is_ok_and(|kind| kind == Type::STREAM);
        if !is_stream || !socket::listens(descriptor.as_fd()) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a stream socket that listens"));
        }
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        let address = socket::listening_address(descriptor.as_fd())?;
        Ok(Self { socket: descriptor.into(), file: None, address, is_adopted: true })
    }

    /// A socket in the place of one that would listen: it is not bound, and accepts no connection. For a service that is described
    /// and never run, beside another that has the address.
    ///
    /// # Errors
    /// The system has no descriptor left, or does not know such addresses.
    pub fn unbound(address: &Address) -> io::Result<Self> {
        let domain = match address {
            Address::Tcp(SocketAddr::V4(_)) => Domain::IPV4,
            Address::Tcp(SocketAddr::V6(_)) => Domain::IPV6,
            _ => Domain::UNIX,
        };
        let socket = OwnedFd::from(Socket::new(domain, Type::STREAM, None)?);
        Ok(Self { socket: socket.into(), file: None, address: address.clone(), is_adopted: false })
    }

    /// Has the file of an adopted Unix socket go with the listener, as that of one that was bound here does.
    ///
    /// # Errors
    /// The file does not exist. Sockets without a file are returned as they are.
    pub fn with_file(mut self) -> io::Result<Self> {
        if let Address::Unix(path) = &self.address {
            self.file = Some(SocketFile::new(path)?);
        }
        Ok(self)
    }

    /// The address of the socket, with the port that the system chose.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Takes the socket apart. The options of its connections are set if it was made without them.
    pub(crate) fn into_parts(self, options: &ListenOptions) -> io::Result<Parts> {
        let Self { socket, file, address, is_adopted } = self;
        if is_adopted && matches!(address, Address::Tcp(_)) {
            socket::apply(&options.tcp, &SockRef::from(&socket))?;
        }
        Ok(Parts { socket, file, address })
    }
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_a_stream_socket_that_listens_is_adopted() -> io::Result<()> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let expected = Address::Tcp(listener.local_addr()?);
        assert_eq!(ListeningSocket::adopt(listener.into())?.address(), &expected);
        assert!(ListeningSocket::adopt(UdpSocket::bind("127.0.0.1:0")?.into()).is_err());
        assert!(ListeningSocket::adopt(std::fs::File::open("/dev/null")?.into()).is_err());
        Ok(())
    }

    #[test]
    fn the_file_of_an_adopted_socket_stays_unless_it_is_taken_over() -> io::Result<()> {
        let path = std::env::temp_dir().join(format!("lws-adopted-{}.sock", std::process::id()));
        let adopted = |listener: UnixListener| ListeningSocket::adopt(listener.into());
        let listener = UnixListener::bind(&path)?;
        let other = listener.try_clone()?;
        let socket = adopted(listener)?;
        assert_eq!(socket.address(), &Address::Unix(path.clone()));
        drop(socket);
        assert!(path.exists());
        drop(adopted(other)?.with_file()?);
        assert!(!path.exists());
        Ok(())
    }
}
