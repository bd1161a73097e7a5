//! The system call that sends several datagrams, each to its own destination: sendmmsg(2). Knows no queue.

use rustix::io::Errno;
use socket2::SockAddr;
use std::array;
use std::io;
use std::mem::{self, offset_of};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// The most datagrams of one call: enough to make the cost of a call small, and few enough for a few KiB of stack.
pub(super) const COUNT_MAX: usize = 16;

/// A datagram in the system's form.
pub(super) struct Parcel<'a> {
    to: SockAddr,
    from: Control,
    bytes: &'a [u8],
}

impl<'a> Parcel<'a> {
    pub(super) fn new(to: SocketAddr, from: Option<IpAddr>, bytes: &'a [u8]) -> Self {
        Self { to: to.into(), from: from.map_or(Control::None, Control::from), bytes }
    }
}

/// Sends up to [`COUNT_MAX`] datagrams. Returns how many the socket took, which is at least one; an error is about the
/// first.
pub(super) fn send<'a>(
    socket: BorrowedFd<'_>,
    mut parcels: impl Iterator<Item = Parcel<'a>>,
) -> io::Result<usize> {
    let parcels: [_; COUNT_MAX] = array::from_fn(|_| parcels.next());
    let mut slices = parcels.each_ref().map(|parcel| match parcel {
        Some(Parcel { bytes, .. }) => {
            libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() }
        }
        None => libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 },
    });
    let mut headers: [libc::mmsghdr; COUNT_MAX] = array::from_fn(|_| {
        // SAFETY: it is made of numbers and pointers, for which zero stands.
        unsafe { mem::zeroed() }
    });
    let present = parcels.iter().flatten().zip(&mut slices).zip(&mut headers);
    let count = present
        .map(|((parcel, slice), libc::mmsghdr { msg_hdr: header, .. })| {
            header.msg_name = parcel.to.as_ptr().cast_mut().cast();
            header.msg_namelen = parcel.to.len();
            header.msg_iov = slice;
            header.msg_iovlen = 1;
            let (control, length) = parcel.from.octets();
            header.msg_control = control.cast_mut();
            header.msg_controllen = length as _;
        })
        .count();
    let flags = libc::MSG_DONTWAIT;
    loop {
        // SAFETY: the first `count` headers point into `parcels` and `slices`, which live here, and the call writes to
        // nothing but the headers.
        let sent = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count as libc::c_uint, flags as _)
        };
        match usize::try_from(sent).map_err(|_| io::Error::last_os_error()) {
            Err(error) if error.raw_os_error() == Some(Errno::INTR.raw_os_error()) => {}
            result => return result,
        }
    }
}

/// The control message that sets the local address of a datagram: ip(7), ipv6(7).
enum Control {
    None,
    V4(Message<libc::in_pktinfo>),
    V6(Message<libc::in6_pktinfo>),
}

/// A control message with its padding: cmsg(3).
#[repr(C, align(8))]
struct Message<T> {
    header: libc::cmsghdr,
    content: T,
}

impl<T> Message<T> {
    fn new(level: libc::c_int, kind: libc::c_int, content: T) -> Self {
        // SAFETY: it is made of numbers.
        let mut header: libc::cmsghdr = unsafe { mem::zeroed() };
        header.cmsg_len = (offset_of!(Self, content) + size_of::<T>()) as _;
        header.cmsg_level = level;
        header.cmsg_type = kind;
        Self { header, content }
    }
}

impl From<IpAddr> for Control {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => {
                let address = libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) };
                let any = libc::in_addr { s_addr: libc::INADDR_ANY };
                let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: any };
                Self::V4(Message::new(libc::IPPROTO_IP, libc::IP_PKTINFO, info))
            }
            IpAddr::V6(address) => {
                let address = libc::in6_addr { s6_addr: address.octets() };
                let info = libc::in6_pktinfo { ipi6_addr: address, ipi6_ifindex: 0 };
                Self::V6(Message::new(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info))
            }
        }
    }
}

impl Control {
    /// The message's address and length.
    fn octets(&self) -> (*const libc::c_void, usize) {
        match self {
            Self::None => (ptr::null(), 0),
            Self::V4(message) => (ptr::from_ref(message).cast(), size_of_val(message)),
            Self::V6(message) => (ptr::from_ref(message).cast(), size_of_val(message)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn one_call_sends_several_each_to_its_place_and_from_its_address() {
        for (any, froms) in [("0.0.0.0:0", ["127.0.0.1", "127.0.0.2"]), ("[::]:0", ["::1", "::1"])] {
            let socket = UdpSocket::bind(any).expect("a socket");
            let peers = froms.map(|from| UdpSocket::bind((from, 0)).expect("a socket"));
            let to = peers.each_ref().map(|peer| peer.local_addr().expect("an address"));
            let parcels = [0, 1, 0].map(|n| {
                let from = froms[n].parse().expect("an address");
                Parcel::new(to[n], Some(from), &b"some bytes"[..10 - n])
            });
            assert_eq!(send(socket.as_fd(), parcels.into_iter()).expect("a send"), 3);
            for (n, length) in [(0, 10), (1, 9), (0, 10)] {
                let (count, source) = peers[n].recv_from(&mut [0; 20]).expect("a datagram");
                assert_eq!((count, source.ip().to_string()), (length, froms[n].to_owned()));
            }
        }
    }

    #[test]
    fn one_call_takes_no_more_than_it_has_room_for_and_stops_before_what_is_refused() {
        let (socket, peer) = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a socket")).into();
        let to = peer.local_addr().expect("an address");
        let parcel = |n: usize| Parcel::new(to, None, &[7; COUNT_MAX * 2][..n]);
        assert_eq!(send(socket.as_fd(), (0..COUNT_MAX * 2).map(parcel)).expect("a send"), COUNT_MAX);
        // Without SO_BROADCAST the system refuses a broadcast address.
        let everybody = || Parcel::new(([255, 255, 255, 255], 9).into(), None, b"all");
        let mixed = [parcel(1), parcel(2), everybody(), parcel(3)];
        assert_eq!(send(socket.as_fd(), mixed.into_iter()).expect("a send"), 2);
        let error = send(socket.as_fd(), [everybody(), parcel(3)].into_iter()).expect_err("a refusal");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
