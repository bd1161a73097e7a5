//! The target of an outgoing connection: a name to resolve, or addresses.

use crate::address::Address;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// The target of an outgoing connection.
///
/// ```
/// use lws_loop_external::{Address, Target};
///
/// let name: Target = "example.org:443".parse()?;
/// assert_eq!(name, Target::from(("example.org", 443)));
/// let numeric: Target = "[::1]:7681".parse()?;
/// assert_eq!(numeric, Target::Addresses(vec![Address::Tcp(([0, 0, 0, 0, 0, 0, 0, 1], 7681).into())]));
/// let unix: Target = "unix:/run/echo.sock".parse()?;
/// assert_eq!(unix.to_string(), "unix:/run/echo.sock");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// A host name to resolve and a port. A numeric address in place of a name is used as it is.
    Name {
        /// The name, or an IPv4 or IPv6 address without brackets.
        host: String,
        /// The TCP port.
        port: u16,
    },
    /// One peer's addresses, the best one first: they race as those of a name do.
    Addresses(Vec<Address>),
}

/// RFC 1035 §2.3.4 allows 255 octets on the wire, which are 253 characters and the root's dot.
const HOST_BYTES_MAX: usize = 254;

impl Target {
    /// Fails if no connection to this target is possible.
    pub(crate) fn check(&self) -> io::Result<()> {
        let invalid = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        match self {
            Self::Name { host, .. } if host.is_empty() => invalid("the host name is empty"),
            Self::Name { host, .. } if host.len() > HOST_BYTES_MAX => invalid("the host name is too long"),
            Self::Name { host, .. } if host.bytes().any(|byte| byte <= b' ' || byte == 0x7f) => {
                invalid("the host name has a character that no name has")
            }
            Self::Addresses(addresses) if addresses.is_empty() => invalid("no address to connect to"),
            Self::Name { .. } | Self::Addresses(_) => Ok(()),
        }
    }
}

impl From<Address> for Target {
    fn from(address: Address) -> Self {
        Self::Addresses(vec![address])
    }
}

impl From<&Address> for Target {
    fn from(address: &Address) -> Self {
        address.clone().into()
    }
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Address::Tcp(address).into()
    }
}

impl From<Vec<SocketAddr>> for Target {
    fn from(addresses: Vec<SocketAddr>) -> Self {
        Self::Addresses(addresses.into_iter().map(Address::Tcp).collect())
    }
}

impl From<PathBuf> for Target {
    fn from(path: PathBuf) -> Self {
        Address::Unix(path).into()
    }
}

impl From<(&str, u16)> for Target {
    fn from((host, port): (&str, u16)) -> Self {
        match host.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, port).into(),
            Err(_) => Self::Name { host: host.to_owned(), port },
        }
    }
}

impl FromStr for Target {
    type Err = io::Error;

    /// `host:port`, `address:port`, or `unix:` and a path.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<Address>() {
            return Ok(address.into());
        }
        let invalid = || io::Error::new(io::ErrorKind::InvalidInput, format!("not a host and port: {text}"));
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits).ok_or_else(invalid)?;
        // A colon in a host is part of an IPv6 address without its brackets: where the port begins is ambiguous.
        if host.contains([':', '[', ']', '/', '@']) {
            return Err(invalid());
        }
        let target = Self::from((host, port));
        target.check()?;
        Ok(target)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Addresses(addresses) => {
                for (n, address) in addresses.iter().enumerate() {
                    write!(f, "{}{address}", if n > 0 { ", " } else { "" })?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_name_and_port_or_an_address() {
        let check = |text: &str, expected: Target| {
            assert_eq!(text.parse::<Target>().expect(text), expected);
            assert_eq!(expected.to_string(), text);
        };
        check("example.org:443", Target::Name { host: "example.org".into(), port: 443 });
        check("localhost:0", Target::Name { host: "localhost".into(), port: 0 });
        check("127.0.0.1:80", SocketAddr::from(([127, 0, 0, 1], 80)).into());
        check("[::1]:80", SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 80)).into());
        check("unix:/a/b", PathBuf::from("/a/b").into());
        for text in
            ["", "example.org", ":80", "a:", "a:+5", "a:65536", "a:b", "::1:80", "[::1]", "[a]:1", "a b:1"]
        {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
        let long = format!("{}:1", "a".repeat(HOST_BYTES_MAX + 1));
        assert!(long[1..].parse::<Target>().is_ok());
        assert!(long.parse::<Target>().is_err());
    }
}
