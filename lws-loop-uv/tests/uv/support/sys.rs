//! A program with a loop of libuv: made and run here, with a timer and a pipe of its own, as a C program would.

use lws_loop_uv::{Library, LoopRef, RawLoop};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::Cell;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr::NonNull;

type Call = extern "C" fn(*mut c_void);
type Walk = unsafe extern "C" fn(*mut c_void, *mut c_void);

// SAFETY: libuv's declarations, with every pointer to a handle as one to void.
unsafe extern "C" {
    safe fn uv_loop_size() -> usize;
    safe fn uv_handle_size(kind: c_int) -> usize;
    fn uv_loop_init(uv_loop: *mut RawLoop) -> c_int;
    fn uv_loop_close(uv_loop: *mut RawLoop) -> c_int;
    fn uv_run(uv_loop: *mut RawLoop, mode: c_uint) -> c_int;
    fn uv_walk(uv_loop: *mut RawLoop, each: Option<Walk>, argument: *mut c_void);
    fn uv_handle_get_data(handle: *const c_void) -> *mut c_void;
    fn uv_handle_set_data(handle: *mut c_void, data: *mut c_void);
    fn uv_timer_init(uv_loop: *mut RawLoop, timer: *mut c_void) -> c_int;
    fn uv_timer_start(timer: *mut c_void, call: Option<Call>, timeout: u64, repeat: u64) -> c_int;
    fn uv_close(handle: *mut c_void, closed: Option<Call>);
}

// SAFETY: the declaration of POSIX.
unsafe extern "C" {
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// The functions of a libuv that the process has loaded, by their names.
pub(crate) fn found() -> Library {
    // SAFETY: null stands for all libraries of the program. libuv is one of them, and is never
    // unloaded.
    unsafe { Library::find(|name| dlsym(std::ptr::null_mut(), name.as_ptr())) }.expect("libuv is there")
}

const UV_TIMER: c_int = 13;

/// A loop that the program owns.
pub(crate) struct Program {
    raw: NonNull<RawLoop>,
    layout: Layout,
}

impl Program {
    pub(crate) fn new() -> Self {
        let layout = Layout::from_size_align(uv_loop_size(), 16).expect("a size");
        // SAFETY: the size is not zero, and as large as libuv says.
        let raw = NonNull::new(unsafe { alloc_zeroed(layout) }).expect("memory").cast::<RawLoop>();
        // SAFETY: the memory is a loop's.
        assert_eq!(unsafe { uv_loop_init(raw.as_ptr()) }, 0);
        Self { raw, layout }
    }

    pub(crate) fn reference(&self) -> LoopRef {
        // SAFETY: the loop is initialised, is used by this thread only, and closed when nothing is attached any more.
        unsafe { LoopRef::from_raw(self.raw) }
    }

    /// `uv_run(UV_RUN_DEFAULT)`: true if it was stopped.
    pub(crate) fn run(&self) -> bool {
        // SAFETY: the loop is open, and no service is in a call.
        unsafe { uv_run(self.raw.as_ptr(), 0) != 0 }
    }

    /// `uv_run(UV_RUN_ONCE)`.
    pub(crate) fn once(&self) -> bool {
        // SAFETY: the loop is open. Handlers that run it are what one test is about.
        unsafe { uv_run(self.raw.as_ptr(), 1) != 0 }
    }

    /// `uv_run(UV_RUN_NOWAIT)`.
    pub(crate) fn turn(&self) -> bool {
        // SAFETY: as in `run`.
        unsafe { uv_run(self.raw.as_ptr(), 2) != 0 }
    }

    /// The number of handles of the loop, with those that are being closed.
    pub(crate) fn handles(&self) -> usize {
        unsafe extern "C" fn count(_: *mut c_void, argument: *mut c_void) {
            // SAFETY: the argument is the cell below.
            let count = unsafe { &*argument.cast::<Cell<usize>>() };
            count.set(count.get() + 1);
        }
        let handles = Cell::new(0_usize);
        // SAFETY: the loop is open, and the cell outlives the call.
        unsafe { uv_walk(self.raw.as_ptr(), Some(count), (&raw const handles).cast_mut().cast()) };
        handles.get()
    }

    /// Calls `call` every `millis` milliseconds, until it returns `false`.
    pub(crate) fn every(&self, millis: u64, call: impl FnMut() -> bool + 'static) {
        let layout = Layout::from_size_align(uv_handle_size(UV_TIMER), 16).expect("a size");
        let timer = Box::new(Timer { layout, call: Box::new(call) });
        // SAFETY: the memory is as large as a timer, which is initialised before anything else is done with it; memory
        // and box are freed when it has closed.
        unsafe {
            let handle = alloc_zeroed(layout).cast::<c_void>();
            assert_eq!(uv_timer_init(self.raw.as_ptr(), handle), 0);
            uv_handle_set_data(handle, Box::into_raw(timer).cast());
            assert_eq!(uv_timer_start(handle, Some(on_timer), millis, millis), 0);
        }
    }

    /// `uv_loop_close`, and its result.
    pub(crate) fn close(self) -> c_int {
        // SAFETY: the loop is open, and does not run.
        let code = unsafe { uv_loop_close(self.raw.as_ptr()) };
        if code == 0 {
            // SAFETY: it was allocated with this layout, and libuv is done with it.
            unsafe { dealloc(self.raw.as_ptr().cast(), self.layout) };
        }
        code
    }
}

struct Timer {
    layout: Layout,
    call: Box<dyn FnMut() -> bool>,
}

extern "C" fn on_timer(handle: *mut c_void) {
    // SAFETY: the handle is one of `every`, and the box lives until it has closed.
    let timer = unsafe { &mut *uv_handle_get_data(handle).cast::<Timer>() };
    if !(timer.call)() {
        // SAFETY: the handle is open; as it is closed, it is not called again.
        unsafe { uv_close(handle, Some(on_timer_closed)) };
    }
}

extern "C" fn on_timer_closed(handle: *mut c_void) {
    // SAFETY: box and memory come from `every`, and libuv is done with them.
    unsafe {
        let timer = Box::from_raw(uv_handle_get_data(handle).cast::<Timer>());
        dealloc(handle.cast(), timer.layout);
    }
}
