//! The addresses of listeners, and of peers.

use rustix::net::SocketAddrAny;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An address to listen on or connect to. No names are resolved here: see [`Target`](crate::Target).
///
/// ```
/// use lws_loop_external::Address;
///
/// let tcp: Address = "[::1]:7681".parse()?;
/// assert_eq!(tcp.to_string(), "[::1]:7681");
/// let unix: Address = "unix:/run/echo.sock".parse()?;
/// assert_eq!(unix.to_string(), "unix:/run/echo.sock");
/// assert_eq!("unix:@echo".parse::<Address>()?, Address::Abstract("echo".into()));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// TCP over IPv4 or IPv6. Port 0 of a listener lets the system choose one.
    Tcp(SocketAddr),
    /// A stream socket in the file system.
    Unix(PathBuf),
    /// A stream socket with a name of Linux's abstract namespace, which leaves no file behind. Unsupported elsewhere.
    Abstract(OsString),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Self::Unix(path)
    }
}

impl FromStr for Address {
    type Err = io::Error;

    /// `address:port`, or `unix:` and a path, or `unix:@` and an abstract name.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(name) = text.strip_prefix("unix:@") {
            return Ok(Self::Abstract(name.into()));
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let invalid =
            || io::Error::new(io::ErrorKind::InvalidInput, format!("not an address and port: {text}"));
        text.parse().map(Self::Tcp).map_err(|_| invalid())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Abstract(name) => write!(f, "unix:@{}", name.display()),
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// TCP. An IPv4 peer of an IPv6 listener has its IPv4 address.
    Tcp(SocketAddr),
    /// A process of the same machine, or something whose address is of no other known kind.
    Local,
    /// Unknown: the system forgets the address of a peer that has reset its connection. It may have come from
    /// anywhere.
    Unknown,
}

impl Peer {
    /// The address without the port.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Local | Self::Unknown => None,
        }
    }

    pub(crate) fn new(address: Option<SocketAddrAny>) -> Self {
        match address.map(SocketAddr::try_from) {
            Some(Ok(address)) => Self::Tcp(SocketAddr::new(address.ip().to_canonical(), address.port())),
            Some(Err(_)) | None => Self::Local,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Local => f.write_str("local"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}
