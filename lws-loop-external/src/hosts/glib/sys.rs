//! The functions of GLib that a source needs.

use crate::hosts::Watch;
use crate::sys::Callback;
use std::ffi::{c_int, c_uint, c_void};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::time::Duration;

/// `GMainContext`.
#[repr(C)]
pub struct GMainContext {
    opaque: [u8; 0],
}

/// `GSource`.
#[repr(C)]
struct GSource {
    opaque: [u8; 0],
}

/// `GUnixFDSourceFunc` or `GSourceFunc`, as the source is one of a descriptor or of time.
type SourceFunc = unsafe extern "C" fn();
type DescriptorFunc = unsafe extern "C" fn(fd: c_int, condition: c_uint, data: *mut c_void) -> c_int;
type TimeFunc = unsafe extern "C" fn(data: *mut c_void) -> c_int;

#[link(name = "glib-2.0")]
unsafe extern "C" {
    fn g_main_context_new() -> *mut GMainContext;
    fn g_main_context_ref(context: *mut GMainContext) -> *mut GMainContext;
    fn g_main_context_unref(context: *mut GMainContext);
    fn g_main_context_iteration(context: *mut GMainContext, may_block: c_int) -> c_int;
    fn g_unix_fd_source_new(fd: c_int, condition: c_uint) -> *mut GSource;
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
    /// until then.
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
        // SAFETY: any number will do for a descriptor.
        let source = unsafe { g_unix_fd_source_new(fd.as_raw_fd(), READABLE) };
        // SAFETY: only the type differs: GLib wants this one, and calls it as what the source is made for.
        let called = unsafe { std::mem::transmute::<DescriptorFunc, SourceFunc>(descriptor_called) };
        let source = self.attach(source, called, Box::new(call))?;
        // SAFETY: the source is there until the value is dropped.
        unsafe { g_source_set_priority(source.source.as_ptr(), priority) };
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
        // SAFETY: as in `watch`.
        let called = unsafe { std::mem::transmute::<TimeFunc, SourceFunc>(time_called) };
        self.attach(source, called, Box::new(call))
    }

    fn attach(&self, source: *mut GSource, called: SourceFunc, call: Box<dyn Fn()>) -> io::Result<Source> {
        let source = NonNull::new(source).ok_or(io::ErrorKind::OutOfMemory)?;
        let callback = Callback::new(call);
        // SAFETY: source and context are there. The data lives until the `Source` is dropped, which destroys the source
        // first, so that it is never called after that.
        unsafe {
            g_source_set_callback(source.as_ptr(), Some(called), callback.as_ptr(), None);
            g_source_attach(source.as_ptr(), self.context.as_ptr());
        }
        Ok(Source { source, _callback: callback })
    }
}

/// # Safety
/// GLib calls it with the data of a source that has not been destroyed, on the thread that runs the context.
unsafe extern "C" fn descriptor_called(_: c_int, _: c_uint, data: *mut c_void) -> c_int {
    // SAFETY: the callback is dropped after its source was destroyed.
    unsafe { Callback::call(data) };
    CONTINUE
}

/// # Safety
/// As of [`descriptor_called`].
unsafe extern "C" fn time_called(data: *mut c_void) -> c_int {
    // SAFETY: as in `descriptor_called`.
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
    _callback: Callback,
}

impl Watch for Source {
    fn arm(&self, timeout: Option<Duration>) {
        let micros = |timeout: Duration| i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX / 2);
        // SAFETY: the source is there until this is dropped.
        unsafe {
            let at = timeout.map_or(-1, |timeout| g_get_monotonic_time().saturating_add(micros(timeout)));
            g_source_set_ready_time(self.source.as_ptr(), at);
        }
    }

    fn stop(&self) {
        // SAFETY: the source is there until this is dropped, and may be destroyed more than once.
        unsafe { g_source_destroy(self.source.as_ptr()) };
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
