//! The program's own use of libuv: a loop, timers, and standard input. A program in C has this already.

use lws_loop_uv::{LoopRef, RawLoop};
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::ffi::{c_int, c_uint, c_void};
use std::io::{self, Read};
use std::ptr::NonNull;

type Call = unsafe extern "C" fn(*mut c_void);
type PollCall = unsafe extern "C" fn(*mut c_void, c_int, c_int);

// SAFETY: libuv's declarations, with every pointer to a handle as one to void.
unsafe extern "C" {
    safe fn uv_loop_size() -> usize;
    safe fn uv_handle_size(kind: c_int) -> usize;
    fn uv_loop_init(uv_loop: *mut RawLoop) -> c_int;
    fn uv_loop_close(uv_loop: *mut RawLoop) -> c_int;
    fn uv_run(uv_loop: *mut RawLoop, mode: c_uint) -> c_int;
    fn uv_handle_get_data(handle: *const c_void) -> *mut c_void;
    fn uv_handle_set_data(handle: *mut c_void, data: *mut c_void);
    fn uv_timer_init(uv_loop: *mut RawLoop, timer: *mut c_void) -> c_int;
    fn uv_timer_start(timer: *mut c_void, call: Option<Call>, timeout: u64, repeat: u64) -> c_int;
    fn uv_poll_init(uv_loop: *mut RawLoop, poll: *mut c_void, fd: c_int) -> c_int;
    fn uv_poll_start(poll: *mut c_void, events: c_int, call: Option<PollCall>) -> c_int;
    fn uv_close(handle: *mut c_void, closed: Option<Call>);
}

const UV_POLL: c_int = 8;
const UV_TIMER: c_int = 13;
const UV_READABLE: c_int = 1;

fn check(code: c_int) -> io::Result<()> {
    if code < 0 { Err(io::Error::from_raw_os_error(-code)) } else { Ok(()) }
}

/// Memory that the program keeps until its end.
fn memory(bytes: usize) -> NonNull<c_void> {
    let layout = Layout::from_size_align(bytes.max(16), 16).unwrap_or(Layout::new::<u128>());
    // SAFETY: the size is not zero.
    let memory = NonNull::new(unsafe { alloc_zeroed(layout) });
    memory.unwrap_or_else(|| handle_alloc_error(layout)).cast()
}

/// The loop of the program.
pub(crate) struct Program(NonNull<RawLoop>);

/// A repeating timer that stops when it is dropped.
pub(crate) struct Ticking(NonNull<c_void>);

impl Drop for Ticking {
    fn drop(&mut self) {
        // SAFETY: the timer is initialised, and closed here only.
        unsafe { uv_close(self.0.as_ptr(), None) };
    }
}

type Tick = Box<dyn FnMut()>;
type Input = Box<dyn FnMut(Option<&[u8]>)>;

impl Program {
    pub(crate) fn new() -> io::Result<Self> {
        let raw = memory(uv_loop_size()).cast::<RawLoop>();
        // SAFETY: the memory is as large as libuv says.
        check(unsafe { uv_loop_init(raw.as_ptr()) })?;
        Ok(Self(raw))
    }

    pub(crate) fn reference(&self) -> LoopRef {
        // SAFETY: the loop is initialised, this thread runs it, in `run`, and it closes only when nothing is attached.
        unsafe { LoopRef::from_raw(self.0) }
    }

    pub(crate) fn every(&self, millis: u64, call: impl FnMut() + 'static) -> io::Result<Ticking> {
        let timer = memory(uv_handle_size(UV_TIMER));
        let call: *mut Tick = Box::into_raw(Box::new(Box::new(call)));
        // SAFETY: the memory is as large as a timer, and is never freed; nor is the call.
        unsafe {
            check(uv_timer_init(self.0.as_ptr(), timer.as_ptr()))?;
            uv_handle_set_data(timer.as_ptr(), call.cast());
            check(uv_timer_start(timer.as_ptr(), Some(on_tick), millis, millis))?;
        }
        Ok(Ticking(timer))
    }

    /// Calls `call` with each piece of standard input, and with `None` at its end.
    pub(crate) fn on_input(&self, call: impl FnMut(Option<&[u8]>) + 'static) -> io::Result<()> {
        let poll = memory(uv_handle_size(UV_POLL));
        let call: *mut Input = Box::into_raw(Box::new(Box::new(call)));
        // SAFETY: as in `every`.
        unsafe {
            check(uv_poll_init(self.0.as_ptr(), poll.as_ptr(), 0))?;
            uv_handle_set_data(poll.as_ptr(), call.cast());
            check(uv_poll_start(poll.as_ptr(), UV_READABLE, Some(on_input)))
        }
    }

    pub(crate) fn run(&self) {
        // SAFETY: the loop is initialised, and no service is in a call.
        unsafe { uv_run(self.0.as_ptr(), 0) };
    }

    /// The result of `uv_loop_close`: 0 if no handle is left.
    pub(crate) fn close(self) -> c_int {
        // SAFETY: the loop does not run.
        unsafe { uv_loop_close(self.0.as_ptr()) }
    }
}

unsafe extern "C" fn on_tick(timer: *mut c_void) {
    // SAFETY: the data of a timer is set in `every`.
    let call = unsafe { &mut *uv_handle_get_data(timer).cast::<Tick>() };
    call();
}

unsafe extern "C" fn on_input(poll: *mut c_void, _status: c_int, _events: c_int) {
    // SAFETY: the data is set in `on_input` above.
    let call = unsafe { &mut *uv_handle_get_data(poll).cast::<Input>() };
    let mut line = [0; 1_024];
    match io::stdin().read(&mut line) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Ok(n) if n > 0 => call(Some(&line[..n])),
        Ok(_) | Err(_) => {
            call(None);
            // SAFETY: the handle is open, and is not called again.
            unsafe { uv_close(poll, None) };
        }
    }
}
