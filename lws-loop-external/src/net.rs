//! The system calls on stream sockets, all in one place.
//!
//! Each is the bare call. With the feature `simulation`, a socket of the [`Network`](crate::simulation::Network) that
//! this thread has entered is handled there. Knows no protocol and no connection.

#[cfg(feature = "simulation")]
use crate::simulation;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Result;
use rustix::net::{self, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketAddrAny};
use std::io::IoSlice;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, SystemTime};

/// Writing to a closed connection is an error of the call and never raises SIGPIPE. Where no flag of a call does that,
/// an option of the socket does, set at its creation or by [`silence`](crate::transport::silence).
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// Returns the answer of the simulated network, if the socket is one of its sockets.
macro_rules! simulate {
    ($socket:expr, |$network:ident, $number:ident| $call:expr) => {
        #[cfg(feature = "simulation")]
        if let Some(answer) = simulation::of($socket.as_raw_fd(), |$network, $number| $call) {
            return answer
                .map_err(|error| rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO));
        }
    };
}

/// A descriptor that this service closes. A simulated network is informed of the close.
#[derive(Debug)]
pub(crate) struct Owned(OwnedFd);

impl From<OwnedFd> for Owned {
    #[inline]
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }
}

impl AsFd for Owned {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Owned {
    #[inline]
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(feature = "simulation")]
impl Drop for Owned {
    fn drop(&mut self) {
        simulation::of(self.0.as_raw_fd(), |network, number| network.close(number));
    }
}

/// Reads once. Zero bytes are the end.
#[inline]
pub(crate) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    simulate!(socket, |network, number| network.receive(number, buffer));
    net::recv(socket, buffer, RecvFlags::empty()).map(|(n, _)| n)
}

/// Writes once.
#[inline]
pub(crate) fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize> {
    simulate!(socket, |network, number| network.send(number, &[IoSlice::new(bytes)]));
    net::send(socket, bytes, NO_SIGNAL)
}

/// Writes once, from several buffers. `more` says that more follows at once, for which a packet that is not full waits.
#[inline]
pub(crate) fn send_several(socket: BorrowedFd<'_>, vectors: &[IoSlice<'_>], more: bool) -> Result<usize> {
    simulate!(socket, |network, number| network.send(number, vectors));
    let mut nothing = SendAncillaryBuffer::default();
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let flags = if more { NO_SIGNAL | SendFlags::MORE } else { NO_SIGNAL };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let flags = {
        let _ = more;
        NO_SIGNAL
    };
    net::sendmsg(socket, vectors, &mut nothing, flags)
}

/// Has the system write up to `len` bytes of a file from `offset` on, once: sendfile(2). Returns how many; none at the end of the file.
/// The socket is none of a simulated network.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn send_file(
    socket: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    mut offset: u64,
    len: usize,
) -> Result<usize> {
    use crate::sys::{set_unsent_bytes_max, unsent_bytes_max};
    let mut send = || rustix::fs::sendfile(socket, file, Some(&mut offset), len);
    let is_long = len >= LONG_FILE_BYTES_MIN;
    let own_max = if is_long { unsent_bytes_max(socket) } else { None };
    match own_max.filter(|max| *max < FILE_BYTES_UNSENT_MAX) {
        None => send(),
        // The option is an optimisation, so that a failure is none of the call's.
        Some(max) => {
            let _ = set_unsent_bytes_max(socket, FILE_BYTES_UNSENT_MAX);
            let sent = send();
            let _ = set_unsent_bytes_max(socket, max);
            sent
        }
    }
}

/// Fewer bytes are not worth the calls that change the limit.
#[cfg(any(target_os = "linux", target_os = "android"))]
const LONG_FILE_BYTES_MIN: usize = 128 << 10;

/// What a socket may hold unsent of a file, in place of its own limit. Nothing of it is copied, so that what bounds memory elsewhere
/// would only cause turns: as much as a send buffer of Linux has by default. The socket is reported writable when less than
/// its own limit is left. At 128 KiB 10 MiB over loopback took 2.2 times the processor time.
#[cfg(any(target_os = "linux", target_os = "android"))]
const FILE_BYTES_UNSENT_MAX: usize = 4 << 20;

/// Other systems have another call of that name, or none.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn send_file(_: BorrowedFd<'_>, _: BorrowedFd<'_>, _: u64, _: usize) -> Result<usize> {
    Err(rustix::io::Errno::NOSYS)
}

/// Ends the sending direction: shutdown(2).
#[inline]
pub(crate) fn finish(socket: BorrowedFd<'_>) -> Result<()> {
    simulate!(socket, |network, number| network.finish(number));
    net::shutdown(socket, Shutdown::Write)
}

/// Makes the close of the socket reset the connection, which discards unsent bytes.
#[cold]
pub(crate) fn reset_on_close(socket: BorrowedFd<'_>) -> Result<()> {
    simulate!(socket, |network, number| network.reset_on_close(number));
    net::sockopt::set_socket_linger(socket, Some(Duration::ZERO))
}

/// The address of the peer; `None` for a Unix socket without a name.
#[inline]
pub(crate) fn peer_address(socket: BorrowedFd<'_>) -> Result<Option<SocketAddrAny>> {
    simulate!(socket, |network, number| network.peer_address(number).map(|it| it.map(Into::into)));
    net::getpeername(socket)
}

/// The address of this side.
#[inline]
pub(crate) fn own_address(socket: BorrowedFd<'_>) -> Result<SocketAddrAny> {
    simulate!(socket, |network, number| network.own_address(number).map(Into::into));
    net::getsockname(socket)
}

/// Takes the pending error of a socket: SO_ERROR.
#[inline]
pub(crate) fn take_error(socket: BorrowedFd<'_>) -> Result<()> {
    simulate!(socket, |network, number| network.take_error(number));
    net::sockopt::socket_error(socket)?
}

/// Whether both directions have ended.
pub(crate) fn has_hung_up(socket: BorrowedFd<'_>) -> bool {
    #[cfg(feature = "simulation")]
    if let Some(answer) = simulation::of(socket.as_raw_fd(), |network, number| network.has_hung_up(number)) {
        return answer;
    }
    let mut asked = [PollFd::from_borrowed_fd(socket, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut asked, Some(&now)), Ok(1) if asked[0].revents().contains(PollFlags::HUP))
}

/// Bytes that the socket has taken and its peer has not acknowledged, sent or not. `None` where the system does not say.
pub(crate) fn under_way(socket: BorrowedFd<'_>) -> Option<usize> {
    #[cfg(feature = "simulation")]
    if let Some(answer) = simulation::of(socket.as_raw_fd(), |network, number| network.under_way(number)) {
        return answer;
    }
    crate::sys::under_way(socket)
}

/// Accepts a connection as a non-blocking, close-on-exec socket.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> Result<(Owned, Option<SocketAddrAny>)> {
    simulate!(listener, |network, number| {
        network.accept(number).map(|(socket, peer)| (socket.into(), peer.map(Into::into)))
    });
    let (socket, peer) = accept_from_system(listener)?;
    Ok((socket.into(), peer))
}

#[cfg(not(target_vendor = "apple"))]
#[inline]
fn accept_from_system(listener: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddrAny>)> {
    use rustix::net::SocketFlags;
    net::acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
}

/// Accepts a connection on a system without accept4(2), which needs three calls.
#[cfg(target_vendor = "apple")]
fn accept_from_system(listener: BorrowedFd<'_>) -> Result<(OwnedFd, Option<SocketAddrAny>)> {
    use rustix::io::{FdFlags, fcntl_setfd, ioctl_fionbio};
    let (socket, address) = net::acceptfrom(listener)?;
    fcntl_setfd(&socket, FdFlags::CLOEXEC)?;
    ioctl_fionbio(&socket, true)?;
    Ok((socket, address))
}

/// Whether a descriptor is the socket of a simulated network.
pub(crate) fn is_simulated(descriptor: BorrowedFd<'_>) -> bool {
    #[cfg(feature = "simulation")]
    return simulation::of(descriptor.as_raw_fd(), |_, _| ()).is_some();
    #[cfg(not(feature = "simulation"))]
    {
        let _ = descriptor;
        false
    }
}

/// The monotonic clock, whose zero is the same for all threads. In a simulation no time passes while a service works.
pub(crate) fn monotonic() -> Duration {
    #[cfg(feature = "simulation")]
    if let Some(still) = simulation::ask(|_| Duration::ZERO) {
        return still;
    }
    crate::sys::monotonic()
}

/// The wall clock, since the first of January 1970, UTC.
pub(crate) fn wall_clock() -> Duration {
    #[cfg(feature = "simulation")]
    if let Some(shown) = simulation::ask(|network| network.wall_clock()) {
        return shown;
    }
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
