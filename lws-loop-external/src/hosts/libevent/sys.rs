//! The functions of libevent that an event needs.

use crate::hosts::Watch;
use crate::sys::Callback;
use std::ffi::{c_int, c_short, c_void};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::NonNull;
use std::rc::Rc;
use std::time::Duration;

/// `struct event_base`.
#[repr(C)]
pub struct RawBase {
    opaque: [u8; 0],
}

/// `struct event`.
#[repr(C)]
struct RawEvent {
    opaque: [u8; 0],
}

type Called = unsafe extern "C" fn(fd: c_int, what: c_short, data: *mut c_void);

#[link(name = "event_core")]
unsafe extern "C" {
    fn event_base_new() -> *mut RawBase;
    fn event_base_free(base: *mut RawBase);
    fn event_base_loop(base: *mut RawBase, flags: c_int) -> c_int;
    fn event_new(
        base: *mut RawBase,
        fd: c_int,
        what: c_short,
        call: Called,
        data: *mut c_void,
    ) -> *mut RawEvent;
    fn event_add(event: *mut RawEvent, timeout: *const libc::timeval) -> c_int;
    fn event_del(event: *mut RawEvent) -> c_int;
    fn event_free(event: *mut RawEvent);
}

const EV_READ: c_short = 0x02;
const EV_PERSIST: c_short = 0x10;
const EVLOOP_ONCE: c_int = 0x01;
/// The descriptor number of an event without a descriptor.
const NONE: RawFd = -1;
/// The timeout of an event that needs none: libevent cannot remove the timeout of a pending event without removing
/// the event.
const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// An event base that this thread runs.
#[derive(Clone)]
pub struct Base(Rc<OwnedBase>);

struct OwnedBase {
    base: NonNull<RawBase>,
    /// Whether the program owns the base, and frees it.
    foreign: bool,
}

impl Base {
    /// A new base. It is freed when this and all its events are dropped.
    ///
    /// # Errors
    /// libevent has made none.
    pub fn new() -> io::Result<Self> {
        // SAFETY: it has no conditions.
        let base = NonNull::new(unsafe { event_base_new() }).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self(Rc::new(OwnedBase { base, foreign: false })))
    }

    /// A base that the program has made.
    ///
    /// # Safety
    /// It is a valid base, which is not freed before all that is made of this value is dropped, and this thread alone
    /// runs it.
    #[must_use]
    pub unsafe fn from_raw(base: NonNull<RawBase>) -> Self {
        Self(Rc::new(OwnedBase { base, foreign: true }))
    }

    /// Runs until no event is pending.
    ///
    /// # Errors
    /// libevent cannot wait.
    pub fn run(&self) -> io::Result<()> {
        self.run_with(0)
    }

    /// Waits once, and calls the callbacks that are due.
    ///
    /// # Errors
    /// libevent cannot wait.
    pub fn run_once(&self) -> io::Result<()> {
        self.run_with(EVLOOP_ONCE)
    }

    fn run_with(&self, flags: c_int) -> io::Result<()> {
        let kept = self.clone();
        // SAFETY: the base is there as long as `kept` is.
        match unsafe { event_base_loop(kept.0.base.as_ptr(), flags) } {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Calls back when a descriptor is readable, until the returned event is dropped. The descriptor must stay open
    /// until then.
    ///
    /// # Errors
    /// libevent cannot watch it.
    pub fn watch(&self, fd: BorrowedFd<'_>, call: impl Fn() + 'static) -> io::Result<Event> {
        self.event(fd.as_raw_fd(), EV_READ | EV_PERSIST, TIMEOUT_MAX, Box::new(call))
    }

    /// Calls back at every `interval`, until the returned event is dropped.
    ///
    /// # Errors
    /// libevent has no memory for it.
    pub fn every(&self, interval: Duration, call: impl Fn() + 'static) -> io::Result<Event> {
        self.event(NONE, EV_PERSIST, interval, Box::new(call))
    }

    fn event(&self, fd: RawFd, what: c_short, timeout: Duration, call: Box<dyn Fn()>) -> io::Result<Event> {
        let callback = Callback::new(call);
        // SAFETY: the base is there. The data lives until the `Event` is dropped, which frees the event first.
        let event = unsafe { event_new(self.0.base.as_ptr(), fd, what, called, callback.as_ptr()) };
        let event = NonNull::new(event).ok_or(io::ErrorKind::OutOfMemory)?;
        let event = Event { event, _callback: callback, _base: self.clone() };
        if event.add(timeout) { Ok(event) } else { Err(io::Error::last_os_error()) }
    }
}

/// # Safety
/// libevent calls it with the data of an event that was not freed, on the thread that runs the base.
unsafe extern "C" fn called(_: c_int, _: c_short, data: *mut c_void) {
    // SAFETY: the callback is dropped after its event was freed.
    unsafe { Callback::call(data) };
}

impl Drop for OwnedBase {
    fn drop(&mut self) {
        if !self.foreign {
            // SAFETY: every event and every run holds a count of this, so nothing uses the base any more.
            unsafe { event_base_free(self.base.as_ptr()) };
        }
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Base").field(&self.0.base).finish()
    }
}

/// An event of a base. It ends when this is dropped.
pub struct Event {
    event: NonNull<RawEvent>,
    _callback: Callback,
    _base: Base,
}

impl Event {
    fn add(&self, timeout: Duration) -> bool {
        let timeout = libc::timeval {
            tv_sec: timeout.as_secs() as libc::time_t,
            // Rounded up, as a wake-up before the deadline would have to sleep again.
            tv_usec: timeout.subsec_nanos().div_ceil(1_000).min(999_999) as libc::suseconds_t,
        };
        // SAFETY: the event is there until this is dropped, and the time is copied.
        unsafe { event_add(self.event.as_ptr(), &raw const timeout) == 0 }
    }
}

impl Watch for Event {
    fn arm(&self, timeout: Option<Duration>) {
        // The event was added when it was made, so adding it again allocates nothing and cannot fail.
        self.add(timeout.unwrap_or(TIMEOUT_MAX).min(TIMEOUT_MAX));
    }

    fn pause(&self) {
        self.stop();
    }

    fn stop(&self) {
        // SAFETY: the event is there until this is dropped, and may be deleted more than once.
        unsafe { event_del(self.event.as_ptr()) };
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: nothing else frees it. libevent allows it in the event's own callback.
        unsafe { event_free(self.event.as_ptr()) };
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Event").field(&self.event).finish()
    }
}
