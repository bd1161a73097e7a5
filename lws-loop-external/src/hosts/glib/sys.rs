//! The functions of GLib that a source needs.

use crate::hosts::Watch;
use crate::sys::Callback;
use std::cell::Cell;
use std::ffi::{c_char, c_int, c_uint, c_void};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::time::Duration;

/// `GMainContext`.
#[repr(C)]
pub struct GMainContext {
    opaque: [u8; 0],
}

/// `GSource`, whose size GLib wants to know. All of its fields are GLib's.
#[repr(C)]
struct GSource {
    callback: [*mut c_void; 3],
    ref_count: c_uint,
    context: *mut GMainContext,
    numbers: [c_uint; 3],
    lists: [*mut c_void; 3],
    name: *mut c_char,
    private: *mut c_void,
}

/// `GSourceFunc`.
type SourceFunc = unsafe extern "C" fn(data: *mut c_void) -> c_int;

/// `GSourceFuncs`.
#[repr(C)]
struct GSourceFuncs {
    prepare: Option<unsafe extern "C" fn(*mut GSource, *mut c_int) -> c_int>,
    check: Option<unsafe extern "C" fn(*mut GSource) -> c_int>,
    dispatch: unsafe extern "C" fn(*mut GSource, Option<SourceFunc>, *mut c_void) -> c_int,
    finalize: Option<unsafe extern "C" fn(*mut GSource)>,
    closure: [Option<unsafe extern "C" fn()>; 2],
}

/// A source that is dispatched when its descriptor is ready or its ready time has come, which GLib finds out by itself.
static READY: GSourceFuncs =
    GSourceFuncs { prepare: None, check: None, dispatch, finalize: None, closure: [None; 2] };

#[link(name = "glib-2.0")]
unsafe extern "C" {
    fn g_main_context_new() -> *mut GMainContext;
    fn g_main_context_ref(context: *mut GMainContext) -> *mut GMainContext;
    fn g_main_context_unref(context: *mut GMainContext);
    fn g_main_context_iteration(context: *mut GMainContext, may_block: c_int) -> c_int;
    fn g_source_new(functions: *const GSourceFuncs, size: c_uint) -> *mut GSource;
    fn g_source_add_unix_fd(source: *mut GSource, fd: c_int, condition: c_uint) -> *mut c_void;
    fn g_source_modify_unix_fd(source: *mut GSource, tag: *mut c_void, condition: c_uint);
    fn g_source_set_can_recurse(source: *mut GSource, can_recurse: c_int);
    fn g_timeout_source_new(millis: c_uint) -> *mut GSource;
    fn g_source_set_callback(
        source: *mut GSource,
        call: Option<SourceFunc>,
        data: *mut c_void,
        free: Option<unsafe extern "C" fn(*mut c_void)>,
    );
    fn g_source_set_priority(source: *mut GSource, priority: c_int);
    fn g_source_set_ready_time(source: *mut GSource, at_micros: i64);
    fn g_source_attach(source: *mut GSource, context: *mut GMainContext) -> c_uint;
    fn g_source_destroy(source: *mut GSource);
    fn g_source_unref(source: *mut GSource);
    fn g_get_monotonic_time() -> i64;
}

/// `G_IO_IN`, `G_IO_ERR` and `G_IO_HUP`.
const READABLE: c_uint = 1 | 8 | 16;
/// The ready time of a source that waits for no time.
const NEVER: i64 = -1;
/// `G_SOURCE_CONTINUE`.
const CONTINUE: c_int = 1;

/// A `GMainContext` that this thread runs.
pub struct MainContext {
    /// One reference is counted for this value.
    context: NonNull<GMainContext>,
    thread: PhantomData<*mut ()>,
}

impl MainContext {
    /// A new context.
    ///
    /// # Errors
    /// GLib has made none.
    pub fn new() -> io::Result<Self> {
        // SAFETY: it has no conditions. The reference that it returns is this value's.
        let context = NonNull::new(unsafe { g_main_context_new() });
        let context = context.ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { context, thread: PhantomData })
    }

    /// A context that the program has made, for example `g_main_context_default()`.
    ///
    /// # Safety
    /// It is a valid context, and as long as something of this library is attached to it, this thread alone runs it.
    #[must_use]
    pub unsafe fn from_raw(context: NonNull<GMainContext>) -> Self {
        // SAFETY: the caller says that it is valid. The reference that is taken is this value's.
        unsafe { g_main_context_ref(context.as_ptr()) };
        Self { context, thread: PhantomData }
    }

    /// Runs one iteration. Returns whether something was dispatched.
    pub fn iteration(&self, may_block: bool) -> bool {
        // SAFETY: the reference of this value keeps the context.
        unsafe { g_main_context_iteration(self.context.as_ptr(), may_block.into()) != 0 }
    }

    /// Calls back when a descriptor is readable, until the returned source is dropped. The descriptor must stay open
    /// until then. A loop that `call` runs inside itself calls it again, unless it has [paused](Watch::pause) the source.
    ///
    /// # Errors
    /// GLib has made no source.
    pub fn watch(&self, fd: BorrowedFd<'_>, call: impl Fn() + 'static) -> io::Result<Source> {
        self.watch_with_priority(fd, 0, call)
    }

    /// Calls back as [`watch`](Self::watch) does, with a priority: of the sources that are ready, lower numbers
    /// come first. Zero is `G_PRIORITY_DEFAULT`.
    ///
    /// # Errors
    /// GLib has made no source.
    pub fn watch_with_priority(
        &self,
        fd: BorrowedFd<'_>,
        priority: i32,
        call: impl Fn() + 'static,
    ) -> io::Result<Source> {
        // SAFETY: the functions live as long as the program, and the size is that of a source without data of its own.
        let source = unsafe { g_source_new(&raw const READY, size_of::<GSource>() as c_uint) };
        let mut source = self.attach(source, Box::new(call))?;
        let raw = source.source.as_ptr();
        // SAFETY: the source is there until the value is dropped, and the descriptor is open until then, as the caller sees to.
        unsafe {
            source.tag = g_source_add_unix_fd(raw, fd.as_raw_fd(), READABLE);
            g_source_set_priority(raw, priority);
            // Otherwise GLib takes the descriptor out and puts it in again around each dispatch, and wakes the context both times.
            g_source_set_can_recurse(raw, 1);
        }
        Ok(source)
    }

    /// Calls back at every `interval`, in whole milliseconds, until the returned source is dropped.
    ///
    /// # Errors
    /// GLib has made no source.
    pub fn every(&self, interval: Duration, call: impl Fn() + 'static) -> io::Result<Source> {
        let millis = c_uint::try_from(interval.as_millis()).unwrap_or(c_uint::MAX);
        // SAFETY: it has no conditions.
        let source = unsafe { g_timeout_source_new(millis) };
        self.attach(source, Box::new(call))
    }

    fn attach(&self, source: *mut GSource, call: Box<dyn Fn()>) -> io::Result<Source> {
        let source = NonNull::new(source).ok_or(io::ErrorKind::OutOfMemory)?;
        let callback = Callback::new(call);
        // SAFETY: source and context are there. The data lives until the `Source` is dropped, which destroys the source
        // first, so that it is never called after that.
        unsafe {
            g_source_set_callback(source.as_ptr(), Some(called), callback.as_ptr(), None);
            g_source_attach(source.as_ptr(), self.context.as_ptr());
        }
        let (tag, ready_time, paused) = (ptr::null_mut(), Cell::new(NEVER), Cell::new(false));
        Ok(Source { source, tag, ready_time, paused, _callback: callback })
    }
}

/// # Safety
/// GLib calls it with the callback of a source that has not been destroyed, on the thread that runs the context.
unsafe extern "C" fn dispatch(_: *mut GSource, call: Option<SourceFunc>, data: *mut c_void) -> c_int {
    // SAFETY: the function is `called`, and the data is its.
    call.map_or(CONTINUE, |call| unsafe { call(data) })
}

/// # Safety
/// As of [`dispatch`].
unsafe extern "C" fn called(data: *mut c_void) -> c_int {
    // SAFETY: the callback is dropped after its source was destroyed.
    unsafe { Callback::call(data) };
    CONTINUE
}

impl Drop for MainContext {
    fn drop(&mut self) {
        // SAFETY: the reference is this value's.
        unsafe { g_main_context_unref(self.context.as_ptr()) };
    }
}

impl fmt::Debug for MainContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MainContext").field(&self.context).finish()
    }
}

/// A source in a context. It ends when this is dropped.
pub struct Source {
    /// One reference is counted for this value.
    source: NonNull<GSource>,
    /// What GLib calls the descriptor in the source; null for a source of time.
    tag: *mut c_void,
    /// The source's ready time.
    ready_time: Cell<i64>,
    /// Whether it watches nothing for now.
    paused: Cell<bool>,
    _callback: Callback,
}

impl Watch for Source {
    fn arm(&self, timeout: Option<Duration>) {
        let micros = |timeout: Duration| i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX / 2);
        // SAFETY: it has no conditions.
        let now = unsafe { g_get_monotonic_time() };
        let at = timeout.map_or(NEVER, |timeout| now.saturating_add(micros(timeout)));
        let set = self.ready_time.get();
        // An earlier one stays: setting one wakes the context, and deadlines move back with each message.
        if set <= now || (at != NEVER && at < set) {
            self.set_ready_time(at);
        }
        if self.paused.replace(false) {
            self.watch(READABLE);
        }
    }

    fn pause(&self) {
        self.set_ready_time(NEVER);
        self.paused.set(true);
        self.watch(0);
    }

    fn stop(&self) {
        // SAFETY: the source is there until this is dropped, and may be destroyed more than once.
        unsafe { g_source_destroy(self.source.as_ptr()) };
    }
}

impl Source {
    fn set_ready_time(&self, at: i64) {
        if self.ready_time.replace(at) != at {
            // SAFETY: the source is there until this is dropped.
            unsafe { g_source_set_ready_time(self.source.as_ptr(), at) };
        }
    }

    fn watch(&self, condition: c_uint) {
        if !self.tag.is_null() {
            // SAFETY: the source is there until this is dropped, and the tag is of its descriptor.
            unsafe { g_source_modify_unix_fd(self.source.as_ptr(), self.tag, condition) };
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.stop();
        // SAFETY: the reference is this value's.
        unsafe { g_source_unref(self.source.as_ptr()) };
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.source).finish()
    }
}
