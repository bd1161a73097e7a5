//! A connection that a proxy has made: it says first whom it stands for, by a header of the PROXY protocol.
//!
//! Knows the socket and the header. What becomes of the connection behind it is the driver's affair.

use crate::address::Peer;
use crate::flags::Flags;
use crate::net;
use crate::stats::DriverStats;
use crate::tls::ListenTls;
use crate::token::ListenerId;
use lws_proto::Time;
use lws_proto::proxy_protocol::{Malformed, Parsed, parse};
use rustix::io::Errno;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

/// An accepted connection whose header has not come yet. Nothing above the driver knows of it.
pub(crate) struct Announced {
    pub(crate) listener: ListenerId,
    /// The proxy.
    pub(crate) peer: Peer,
    pub(crate) tls: Option<ListenTls>,
    /// When the header must have come.
    pub(crate) deadline: Time,
    /// What has come of it, [`V2_BYTES_MAX`](lws_proto::proxy_protocol::V2_BYTES_MAX) at most.
    header: Vec<u8>,
}

/// What came of a look at the socket.
pub(crate) enum Announcement {
    /// It goes on when there is more to read.
    Waiting,
    /// The connection stands for this peer.
    For(Peer),
    Failed(ProxyFailure),
}

/// Why the header of a proxy has not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// What came is no header.
    Malformed(Malformed),
    /// It was not complete in time.
    Timeout,
    /// The connection has ended before it was complete.
    Disconnected,
}

impl ProxyFailure {
    /// A short, stable name, for logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed(malformed) => malformed.name(),
            Self::Timeout => "proxy_timeout",
            Self::Disconnected => "proxy_disconnected",
        }
    }
}

impl fmt::Display for ProxyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::Timeout => f.write_str("no header of the PROXY protocol in time"),
            Self::Disconnected => f.write_str("the connection ended before its header of the PROXY protocol"),
        }
    }
}

impl std::error::Error for ProxyFailure {}

impl Announced {
    pub(crate) fn new(listener: ListenerId, peer: Peer, tls: Option<ListenTls>, deadline: Time) -> Self {
        Self { listener, peer, tls, deadline, header: Vec::new() }
    }

    /// Reads what has come of the header, and nothing of what follows it: that is TLS or the protocol's, and stays in the socket.
    pub(crate) fn read(
        &mut self,
        socket: BorrowedFd<'_>,
        flags: &mut Flags,
        stats: &mut DriverStats,
    ) -> Announcement {
        loop {
            let least = match parse(&self.header) {
                Ok(Parsed::Header(header)) => {
                    let source = header.addresses.map(|addresses| addresses.source);
                    return Announcement::For(source.map_or(self.peer, canonical));
                }
                Ok(Parsed::Incomplete(least)) => least,
                Err(malformed) => return Announcement::Failed(ProxyFailure::Malformed(malformed)),
            };
            if !flags.has(Flags::READABLE) {
                return Announcement::Waiting;
            }
            let held = self.header.len();
            self.header.resize(held + least, 0);
            let received = net::receive(socket, &mut self.header[held..]);
            let n = *received.as_ref().unwrap_or(&0);
            self.header.truncate(held + n);
            stats.received_bytes_total += n as u64;
            match received {
                Ok(0) => return Announcement::Failed(ProxyFailure::Disconnected),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => flags.remove(Flags::READABLE),
                Err(_) => return Announcement::Failed(ProxyFailure::Disconnected),
            }
        }
    }
}

fn canonical(address: SocketAddr) -> Peer {
    Peer::Tcp(SocketAddr::new(address.ip().to_canonical(), address.port()))
}
