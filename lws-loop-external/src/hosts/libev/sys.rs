//! The functions of libev that two watchers need, and the layout of watchers: the program owns those structures, and
//! they are the same in every version 4 with the default build options.

use crate::hosts::Watch;
use crate::sys::Callback;
use std::ffi::{c_int, c_uint, c_void};
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::time::Duration;

/// `struct ev_loop`.
#[repr(C)]
pub struct RawLoop {
    opaque: [u8; 0],
}

/// What every watcher begins with, `ev_watcher`.
#[repr(C)]
struct Common {
    active: c_int,
    pending: c_int,
    priority: c_int,
    data: *mut c_void,
    call: unsafe extern "C" fn(ev_loop: *mut RawLoop, watcher: *mut Common, events: c_int),
}

/// `ev_io`.
#[repr(C)]
struct IoWatcher {
    common: Common,
    next: *mut c_void,
    fd: c_int,
    events: c_int,
}

/// `ev_timer`.
#[repr(C)]
struct Timer {
    common: Common,
    at: f64,
    repeat: f64,
}

// libev exports some of libevent's names too; those refer to libevent only if that is linked first.
#[cfg_attr(feature = "libevent", link(name = "event_core"))]
#[link(name = "ev")]
unsafe extern "C" {
    fn ev_loop_new(flags: c_uint) -> *mut RawLoop;
    fn ev_loop_destroy(ev_loop: *mut RawLoop);
    fn ev_run(ev_loop: *mut RawLoop, flags: c_int) -> c_int;
    fn ev_io_start(ev_loop: *mut RawLoop, io: *mut IoWatcher);
    fn ev_io_stop(ev_loop: *mut RawLoop, io: *mut IoWatcher);
    fn ev_timer_again(ev_loop: *mut RawLoop, timer: *mut Timer);
    fn ev_timer_stop(ev_loop: *mut RawLoop, timer: *mut Timer);
    fn ev_now_update(ev_loop: *mut RawLoop);
}

const EV_READ: c_int = 0x01;
/// The flag that `ev_io_set` adds: the descriptor is new to the loop.
const EV_IOFDSET: c_int = 0x80;
const EVRUN_ONCE: c_int = 2;

/// A loop of libev that this thread runs.
#[derive(Clone)]
pub struct Loop(Rc<OwnedLoop>);

struct OwnedLoop {
    ev_loop: NonNull<RawLoop>,
    /// Whether the program owns the loop, and destroys it.
    foreign: bool,
}

impl Loop {
    /// A new loop. It is destroyed when this and all its watchers are dropped.
    ///
    /// # Errors
    /// libev has made none.
    pub fn new() -> io::Result<Self> {
        // SAFETY: it has no conditions; 0 lets libev choose.
        let ev_loop = NonNull::new(unsafe { ev_loop_new(0) }).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self(Rc::new(OwnedLoop { ev_loop, foreign: false })))
    }

    /// A loop that the program has made, for example `ev_default_loop(0)`.
    ///
    /// # Safety
    /// It is a valid loop of a libev built with several loops and with priorities, which is the default; it is not
    /// destroyed before all that is made of this value is dropped; and this thread alone runs it.
    #[must_use]
    pub unsafe fn from_raw(ev_loop: NonNull<RawLoop>) -> Self {
        Self(Rc::new(OwnedLoop { ev_loop, foreign: true }))
    }

    /// Runs until no watcher is active.
    pub fn run(&self) {
        self.run_with(0);
    }

    /// Waits once, and calls the callbacks that are due.
    pub fn run_once(&self) {
        self.run_with(EVRUN_ONCE);
    }

    fn run_with(&self, flags: c_int) {
        let kept = self.clone();
        // SAFETY: the loop is there as long as `kept` is.
        unsafe { ev_run(kept.as_ptr(), flags) };
    }

    /// Calls back when a descriptor is readable, until the returned watcher is dropped. The descriptor must stay open
    /// until then.
    #[must_use]
    pub fn watch(&self, fd: BorrowedFd<'_>, call: impl Fn() + 'static) -> Watcher {
        let watcher = Watcher::new(self, Some(fd), Box::new(call));
        // SAFETY: the watcher is on the heap, where it is not moved, and not freed before it was stopped.
        unsafe { ev_io_start(self.as_ptr(), watcher.io()) };
        watcher
    }

    /// Calls back at every `interval`, until the returned watcher is dropped.
    #[must_use]
    pub fn every(&self, interval: Duration, call: impl Fn() + 'static) -> Watcher {
        let watcher = Watcher::new(self, None, Box::new(call));
        watcher.arm(Some(interval));
        watcher
    }

    fn as_ptr(&self) -> *mut RawLoop {
        self.0.ev_loop.as_ptr()
    }
}

/// # Safety
/// libev calls it with a watcher that was not stopped, on the thread that runs the loop.
unsafe extern "C" fn called(_: *mut RawLoop, watcher: *mut Common, _: c_int) {
    // SAFETY: the watcher is there, and its callback is dropped after it was stopped.
    unsafe { Callback::call((*watcher).data) };
}

impl Drop for OwnedLoop {
    fn drop(&mut self) {
        if !self.foreign {
            // SAFETY: every watcher and every run holds a count of this, so nothing uses the loop any more.
            unsafe { ev_loop_destroy(self.ev_loop.as_ptr()) };
        }
    }
}

impl fmt::Debug for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Loop").field(&self.0.ev_loop).finish()
    }
}

/// A descriptor, a time or both in a loop. It ends when this is dropped.
pub struct Watcher {
    /// Both watchers, on the heap. libev keeps pointers to them and writes through those, so this is a raw pointer:
    /// moving a `Box` would assert that it is the only pointer.
    watchers: NonNull<(IoWatcher, Timer)>,
    _callback: Callback,
    ev_loop: Loop,
}

impl Watcher {
    fn new(ev_loop: &Loop, fd: Option<BorrowedFd<'_>>, call: Box<dyn Fn()>) -> Self {
        let callback = Callback::new(call);
        let common = || Common { active: 0, pending: 0, priority: 0, data: callback.as_ptr(), call: called };
        let fd = fd.map_or(-1, |fd| fd.as_raw_fd());
        let io = IoWatcher { common: common(), next: ptr::null_mut(), fd, events: EV_READ | EV_IOFDSET };
        let timer = Timer { common: common(), at: 0.0, repeat: 0.0 };
        let watchers = NonNull::from(Box::leak(Box::new((io, timer))));
        Self { watchers, _callback: callback, ev_loop: ev_loop.clone() }
    }

    fn io(&self) -> *mut IoWatcher {
        // SAFETY: the pointer is to what `new` has allocated and `drop` frees; no reference is made of it.
        unsafe { &raw mut (*self.watchers.as_ptr()).0 }
    }

    fn timer(&self) -> *mut Timer {
        // SAFETY: as in `io`.
        unsafe { &raw mut (*self.watchers.as_ptr()).1 }
    }
}

impl Watch for Watcher {
    fn arm(&self, timeout: Option<Duration>) {
        // A repeat of zero stops the timer in libev, so the shortest timeout is a microsecond.
        let repeat = timeout.map_or(0.0, |timeout| timeout.as_secs_f64().max(1e-6));
        // SAFETY: loop and watcher are there until this is dropped, and only this thread touches them. The loop's time may
        // be that of an iteration long ago, and is read anew.
        unsafe {
            if (*self.io()).fd >= 0 {
                // The watcher may have been paused. Starting an active one changes nothing.
                ev_io_start(self.ev_loop.as_ptr(), self.io());
            }
            (*self.timer()).repeat = repeat;
            if timeout.is_some() {
                ev_now_update(self.ev_loop.as_ptr());
            }
            ev_timer_again(self.ev_loop.as_ptr(), self.timer());
        }
    }

    fn pause(&self) {
        self.stop();
    }

    fn stop(&self) {
        // SAFETY: loop and watchers are there until this is dropped, and may be stopped more than once.
        unsafe {
            ev_io_stop(self.ev_loop.as_ptr(), self.io());
            ev_timer_stop(self.ev_loop.as_ptr(), self.timer());
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.stop();
        // SAFETY: it comes from a box that `new` has leaked, once; libev has let go of it, so that nothing else leads there.
        drop(unsafe { Box::from_raw(self.watchers.as_ptr()) });
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}
