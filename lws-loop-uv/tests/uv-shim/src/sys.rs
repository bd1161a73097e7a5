//! The functions that C calls.

use crate::{Server, begin};
use lws_loop_uv::{LoopRef, RawLoop};
use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

/// Begins to serve on a loop. Null if it cannot, for want of descriptors or memory.
///
/// # Safety
/// The loop is one of libuv's, which this thread runs, and stays until the server has ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn server_begin(uv_loop: *mut RawLoop) -> *mut c_void {
    let Some(raw) = NonNull::new(uv_loop) else { return std::ptr::null_mut() };
    // SAFETY: the caller says so.
    let at = unsafe { LoopRef::from_raw(raw) };
    begin(&at).map_or(std::ptr::null_mut(), |server| Box::into_raw(Box::new(server)).cast())
}

/// The port that it listens on.
///
/// # Safety
/// The server comes from `server_begin`, and `server_end` was not called.
#[unsafe(no_mangle)]
unsafe extern "C" fn server_port(server: *const c_void) -> c_int {
    // SAFETY: the caller says so.
    unsafe { &*server.cast::<Server>() }.port.into()
}

/// How many bytes it has received.
///
/// # Safety
/// As of `server_port`.
#[unsafe(no_mangle)]
unsafe extern "C" fn server_received(server: *const c_void) -> u64 {
    // SAFETY: the caller says so.
    let server = unsafe { &*server.cast::<Server>() };
    server.attached.with(|driver| driver.stats().received_bytes_total).unwrap_or(0)
}

/// Ends it. Calls `done` with `argument` when the loop has let go of everything.
///
/// # Safety
/// As of `server_port`; and `done` may be called with that argument, once.
#[unsafe(no_mangle)]
unsafe extern "C" fn server_end(
    server: *mut c_void,
    done: unsafe extern "C" fn(*mut c_void),
    argument: *mut c_void,
) {
    // SAFETY: the caller says so.
    let server = unsafe { Box::from_raw(server.cast::<Server>()) };
    // SAFETY: the caller says so.
    server.end(move || unsafe { done(argument) });
}
