//! System calls for which no crate has a safe wrapper, or none as cheap: `poll` on an array that the program owns, the
//! unacknowledged bytes of a socket, the pages of a file that are in memory, the detection of a fork, and the clock. And a hint to
//! the processor, and the promise of a program that its service may change threads.

use crate::hosts::PollFd;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The identity of a process, which differs from that of its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process {
    /// The number of forks between the first process that asked and this one.
    forks: u32,
    /// The process id, on systems where forks cannot be counted.
    number: u32,
}

/// The fork count of this process. Zero is kept for [`Process::NONE`].
static FORKS: AtomicU32 = AtomicU32::new(1);

impl Process {
    /// The identity of no process.
    pub(crate) const NONE: Self = Self { forks: 0, number: 0 };

    /// The identity of this process. After the first time it costs no system call.
    #[inline]
    pub(crate) fn current() -> Self {
        static COUNTED: OnceLock<bool> = OnceLock::new();
        let counted = *COUNTED.get_or_init(|| {
            // SAFETY: the handler touches nothing but an atomic number, which a child may do whatever other threads of its parent
            // were at; it is a function of the program, and there as long as that runs.
            unsafe { libc::pthread_atfork(None, None, Some(forked)) == 0 }
        });
        let number = if counted { 0 } else { std::process::id() };
        Self { forks: FORKS.load(Ordering::Relaxed), number }
    }
}

/// The handler of pthread_atfork(3) that runs in the child before `fork` returns there.
extern "C" fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Waits until an entry of the array is ready, sets the returned events of each, and returns how many are ready:
/// poll(2). `None` waits without a limit; other times are rounded up to milliseconds.
///
/// # Errors
/// What poll(2) says; [`io::ErrorKind::Interrupted`] when a signal came.
pub fn poll(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<usize> {
    let millis = timeout
        .map_or(-1, |timeout| i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX));
    // SAFETY: a `PollFd` is laid out as a `pollfd`, and the call writes to no more of them than their number says.
    let count = unsafe { libc::poll(fds.as_mut_ptr().cast(), fds.len() as libc::nfds_t, millis) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Has the processor bring a value into its caches while it goes on, where there is such a hint: on x86-64. Its content is not read.
#[inline]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        /// The bytes that a processor brings at once.
        const LINE: usize = 64;
        let start = std::ptr::from_ref(value).cast::<i8>();
        for offset in (0..size_of::<T>()).step_by(LINE) {
            // SAFETY: a prefetch changes nothing that a program can see and faults nowhere, and all of x86-64 has it.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(offset)) };
        }
    }
    let _ = value;
}

/// The system's monotonic clock. [`std::time::Instant`] reads the same clock but gives no number, and the difference of
/// two instants costs more than reading the clock.
#[inline]
pub(crate) fn monotonic() -> Duration {
    let mut shown = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one `timespec` to the address that it gets. It fails for a clock that the system does not have, and every
    // system has this one.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut shown) };
    // Neither is negative, and nanoseconds are less than a second.
    Duration::new(u64::try_from(shown.tv_sec).unwrap_or_default(), shown.tv_nsec.unsigned_abs() as u32)
}

/// Bytes that a socket has taken and that its peer has not acknowledged, sent or not. `None` where the system does not say.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn under_way(socket: BorrowedFd<'_>) -> Option<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ, which is the same number, writes one `int` to the address that it gets, and fails for what is no socket.
    let code = unsafe { libc::ioctl(raw(socket), libc::TIOCOUTQ, &raw mut bytes) };
    usize::try_from(bytes).ok().filter(|_| code == 0)
}

/// Bytes that a socket has taken and that its peer has not acknowledged, sent or not. `None` where the system does not say.
#[cfg(target_vendor = "apple")]
pub(crate) fn under_way(socket: BorrowedFd<'_>) -> Option<usize> {
    let mut bytes: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: SO_NWRITE writes one `int`, whose size it gets, and fails for what is no socket.
    let code = unsafe {
        libc::getsockopt(
            raw(socket),
            libc::SOL_SOCKET,
            libc::SO_NWRITE,
            (&raw mut bytes).cast(),
            &raw mut len,
        )
    };
    usize::try_from(bytes).ok().filter(|_| code == 0)
}

/// This system does not report the number of unacknowledged bytes.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn under_way(_: BorrowedFd<'_>) -> Option<usize> {
    None
}

/// The number of a descriptor, for a call that returns while the borrow lasts.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn raw(socket: BorrowedFd<'_>) -> libc::c_int {
    std::os::fd::AsRawFd::as_raw_fd(&socket)
}

/// The pages of a part of a file that lie in the memory of the system: cachestat(2). `None` where the system does not say.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn cached_pages(file: BorrowedFd<'_>, offset: u64, len: u64) -> Option<u64> {
    /// <linux/mman.h>
    #[repr(C)]
    struct Range {
        offset: u64,
        len: u64,
    }
    #[repr(C)]
    #[derive(Default)]
    struct Counts {
        cached: u64,
        dirty: u64,
        writeback: u64,
        evicted: u64,
        recently_evicted: u64,
    }
    /// The same on all architectures of Linux, but for one that numbers its calls from elsewhere.
    const CACHESTAT: libc::c_long = 451;
    if cfg!(any(target_arch = "mips", target_arch = "mips64", target_abi = "x32")) {
        return None;
    }
    let range = Range { offset, len };
    let mut counts = Counts::default();
    // SAFETY: the call reads one structure and writes to the other, both of which are laid out as its header says and outlive it. A kernel
    // that does not know it fails.
    let code = unsafe { libc::syscall(CACHESTAT, raw(file), &raw const range, &raw mut counts, 0) };
    (code == 0).then_some(counts.cached)
}

/// This system does not say what it has in memory.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn cached_pages(_: BorrowedFd<'_>, _: u64, _: u64) -> Option<u64> {
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
        // SAFETY: the option is an int, and the call reads one from `value`, which outlives it.
        let result =
            unsafe { libc::setsockopt(raw(socket), libc::IPPROTO_TCP, NAME, (&raw const value).cast(), len) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    let _ = (socket, bytes);
    Ok(())
}

/// What a TCP socket may hold unsent, if it has a limit of its own: TCP_NOTSENT_LOWAT.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn unsent_bytes_max(socket: BorrowedFd<'_>) -> Option<usize> {
    let mut bytes: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option is an int, whose size the call gets, and which it writes to `bytes`. It fails for what is no TCP socket.
    let code = unsafe {
        libc::getsockopt(
            raw(socket),
            libc::IPPROTO_TCP,
            libc::TCP_NOTSENT_LOWAT,
            (&raw mut bytes).cast(),
            &raw mut len,
        )
    };
    usize::try_from(bytes).ok().filter(|bytes| code == 0 && *bytes > 0)
}

/// A closure that C calls with a pointer to it. It stays alive while it runs, even if the closure drops its owner.
#[cfg(any(feature = "glib", feature = "libevent", feature = "libev"))]
pub(crate) struct Callback(std::rc::Rc<Box<dyn Fn()>>);

#[cfg(any(feature = "glib", feature = "libevent", feature = "libev"))]
impl Callback {
    pub(crate) fn new(call: Box<dyn Fn()>) -> Self {
        Self(std::rc::Rc::new(call))
    }

    /// The pointer to pass to C.
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

/// A service on its way to another thread, where the compiler cannot see that it may go: the handlers of `lws_server` need not
/// be `Send`, so its service is not. A program whose own handlers are says so here.
///
/// A service whose [`Application`](crate::Application) is `Send` needs none of this.
///
/// ```
/// use lws_loop_external::{AssertSend, Clock, hosts::OnPoll};
/// # struct Application;
/// # impl lws_loop_external::Application for Application {
/// #     type State = std::rc::Rc<()>;
/// #     type Message = ();
/// #     fn accepted(
/// #         &mut self,
/// #         _: &mut lws_loop_external::DriverContext<'_, Self>,
/// #         _: lws_loop_external::ListenerId,
/// #         _: &lws_loop_external::Peer,
/// #     ) -> Option<lws_loop_external::Accepted<Self>> {
/// #         None
/// #     }
/// #     fn event(
/// #         &mut self,
/// #         _: &mut lws_loop_external::DriverContext<'_, Self>,
/// #         _: &mut Self::State,
/// #         _: lws_proto::Event<'_>,
/// #     ) {
/// #     }
/// # }
/// # let service = lws_loop_external::Driver::new(Application, Default::default())?;
/// let mut fds = Vec::new();
/// let mut hosted = OnPoll::new(service);
/// hosted.settle(&mut fds, Clock::new().now());
/// // The first host lets go of the service before it leaves.
/// let service = hosted.detach(&mut fds);
/// // SAFETY: the handlers have numbers and sockets, which are `Send`, and nothing of them stays behind.
/// let leaving = unsafe { AssertSend::new(service) };
/// std::thread::spawn(move || {
///     let mut hosted = OnPoll::new(leaving.into_inner());
///     hosted.settle(&mut Vec::new(), Clock::new().now());
/// });
/// # Ok::<_, std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct AssertSend<S>(S);

// SAFETY: who makes one has promised that its content may change threads.
unsafe impl<S> Send for AssertSend<S> {}

impl<S> AssertSend<S> {
    /// Promises that `service` may be moved to another thread, and dropped there.
    ///
    /// # Safety
    /// Everything that the program has given to the service goes along, and may: its application or handlers, what their
    /// closures have captured, the states of connections and the messages that wait. Each is `Send`; or, as an `Rc`, has all of its
    /// owners in this service. Nothing of that is used any more on the thread that it leaves.
    ///
    /// `Driver`, and what `lws_server`, its files, its client and its proxy add to it, keep nothing that belongs to a service outside of
    /// it: of what a thread has, they use random bytes and a formatted date in store, which any thread has of its own.
    pub unsafe fn new(service: S) -> Self {
        Self(service)
    }

    /// The service, for a host of this thread.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::SystemEntropy;
    use lws_proto::Entropy;
    use std::io::{Read, Write};

    #[test]
    fn a_child_does_not_repeat_what_its_parent_has_in_store() {
        let mut entropy = SystemEntropy::new().expect("random bytes");
        entropy.fill(&mut [0; 16]);
        let (mut reader, mut writer) = io::pipe().expect("a pipe");
        let before = Process::current();
        // SAFETY: the child asks for memory and locks nowhere: it fills an array, writes to a pipe and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let mut bytes = [0; 32];
            entropy.fill(&mut bytes);
            let reported = Process::current() != before && writer.write_all(&bytes).is_ok();
            // SAFETY: it has no conditions.
            unsafe { libc::_exit(i32::from(!reported)) };
        }
        assert!(child > 0, "a child is made");
        drop(writer);
        let (mut theirs, mut ours) = (Vec::new(), [0; 32]);
        reader.read_to_end(&mut theirs).expect("the child tells");
        entropy.fill(&mut ours);
        let mut status = 0;
        // SAFETY: the status is written to a number that lives.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!((status, theirs.len()), (0, 32));
        assert_ne!(theirs, ours);
        assert_eq!(Process::current(), before, "the parent is what it was");
    }
}
