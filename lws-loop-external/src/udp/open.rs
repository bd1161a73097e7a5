//! System calls that make and change UDP sockets.

use super::UdpOptions;
use crate::socket::bind_device;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

/// Opens a socket that is bound to `local`, and connected to `peer` if there is one.
pub(crate) fn open(
    local: SocketAddr,
    peer: Option<SocketAddr>,
    options: &UdpOptions,
) -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    if local.is_ipv6() {
        socket.set_only_v6(options.v6_only)?;
    }
    socket.set_reuse_address(options.reuse_address)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    bind_device(&socket, options.bind_device.as_deref())?;
    socket.bind(&local.into())?;
    if let Some(peer) = peer {
        socket.connect(&peer.into())?;
    }
    apply(SockRef::from(&socket), local.is_ipv4(), options)?;
    let local = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::Unsupported)?;
    Ok((socket.into(), local))
}

/// The default local address of a socket that is connected to `peer`.
pub(crate) fn unspecified_for(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

fn apply(socket: SockRef<'_>, is_ipv4: bool, options: &UdpOptions) -> io::Result<()> {
    if options.broadcast {
        socket.set_broadcast(true)?;
    }
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(hops) = options.multicast_hops {
        if is_ipv4 {
            socket.set_multicast_ttl_v4(hops)?;
        } else {
            socket.set_multicast_hops_v6(hops)?;
        }
    }
    if let Some(on) = options.multicast_loop {
        if is_ipv4 {
            socket.set_multicast_loop_v4(on)?;
        } else {
            socket.set_multicast_loop_v6(on)?;
        }
    }
    Ok(())
}

/// Joins or leaves a multicast group.
pub(crate) fn change_group(
    socket: SockRef<'_>,
    group: IpAddr,
    interface: Option<u32>,
    join: bool,
) -> io::Result<()> {
    let interface = interface.unwrap_or(0);
    let by_index = InterfaceIndexOrAddress::Index(interface);
    match (group, join) {
        (IpAddr::V4(group), true) => socket.join_multicast_v4_n(&group, &by_index),
        (IpAddr::V4(group), false) => socket.leave_multicast_v4_n(&group, &by_index),
        (IpAddr::V6(group), true) => socket.join_multicast_v6(&group, interface),
        (IpAddr::V6(group), false) => socket.leave_multicast_v6(&group, interface),
    }
}
