//! System calls that no crate offers in safe words.

use crate::hosts::PollFd;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Waits until an entry of a plain array is ready, and notes in each what it is ready for. Answers how many are. `None`
/// waits for ever; other times are rounded up to milliseconds.
///
/// # Errors
/// What poll(2) says; [`io::ErrorKind::Interrupted`] when a signal came.
pub fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<usize> {
    let millis = timeout
        .map_or(-1, |timeout| i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
    // SAFETY: a `PollFd` is laid out as a `pollfd`, and the call writes to no more of them than it is told.
    let count = unsafe { libc::poll(fds.as_mut_ptr().cast(), fds.len() as libc::nfds_t, millis) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Bytes that a socket has taken and that its peer has not acknowledged, sent or not. `None` where nobody can tell.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn under_way(socket: BorrowedFd<'_>) -> Option<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which is the same number, writes one `int` to where it is told, and fails for what is no socket.
    let code = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    usize::try_from(bytes).ok().filter(|_| code == 0)
}

/// Bytes that a socket has taken and that its peer has not acknowledged, sent or not. `None` where nobody can tell.
#[cfg(target_vendor = "apple")]
pub(crate) fn under_way(socket: BorrowedFd<'_>) -> Option<usize> {
    let mut bytes: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: SO_NWRITE writes one `int`, whose size it is told, and fails for what is no socket.
    let code = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_NWRITE,
            (&raw mut bytes).cast(),
            &raw mut len,
        )
    };
    usize::try_from(bytes).ok().filter(|_| code == 0)
}

/// Nobody can tell.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn under_way(_: BorrowedFd<'_>) -> Option<usize> {
    None
}

/// Bounds what a TCP socket holds unsent: TCP_NOTSENT_LOWAT. Does nothing where there is no such option.
///
/// # Errors
/// What setsockopt(2) says.
pub(crate) fn set_unsent_bytes_max(socket: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const NAME: libc::c_int = libc::TCP_NOTSENT_LOWAT;
    // <netinet/tcp.h>
    #[cfg(target_vendor = "apple")]
    const NAME: libc::c_int = 0x201;
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
        let len = size_of_val(&value) as libc::socklen_t;
        let socket = socket.as_raw_fd();
        // SAFETY: the option is an int, and the call reads one from `value`, which outlives it.
        let result =
            unsafe { libc::setsockopt(socket, libc::IPPROTO_TCP, NAME, (&raw const value).cast(), len) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    let _ = (socket, bytes);
    Ok(())
}

/// A closure that C calls with a pointer. It stays alive while it runs, whoever lets go of it in the meantime.
#[cfg(any(feature = "glib", feature = "libevent", feature = "libev"))]
pub(crate) struct Callback(std::rc::Rc<Box<dyn Fn()>>);

#[cfg(any(feature = "glib", feature = "libevent", feature = "libev"))]
impl Callback {
    pub(crate) fn new(call: Box<dyn Fn()>) -> Self {
        Self(std::rc::Rc::new(call))
    }

    /// What C is given.
    pub(crate) fn as_ptr(&self) -> *mut std::ffi::c_void {
        std::rc::Rc::as_ptr(&self.0).cast_mut().cast()
    }

    /// Calls the closure.
    ///
    /// # Safety
    /// `data` is from [`as_ptr`](Self::as_ptr) of a callback that is still there, on the thread that made it.
    pub(crate) unsafe fn call(data: *mut std::ffi::c_void) {
        let data = data.cast::<Box<dyn Fn()>>();
        // SAFETY: as the caller says, it is the content of an `Rc` that is there; it is counted once more for the call.
        let call = unsafe {
            std::rc::Rc::increment_strong_count(data);
            std::rc::Rc::from_raw(data)
        };
        call();
    }
}
