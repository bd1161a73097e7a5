//! The function that the program calls.

use crate::Brought;
use lws_loop_conformance::run_all;
use lws_loop_uv::{Library, UvLoop};
use std::ffi::{CStr, c_char, c_int, c_void};

/// `dlsym`, or what does the same.
type Find = unsafe extern "C" fn(handle: *mut c_void, name: *const c_char) -> *const c_void;

/// Where the functions are.
#[derive(Clone, Copy)]
struct Functions {
    find: Find,
    /// The handle, as a number: it is looked at by `find` only.
    handle: usize,
}

impl Functions {
    fn library(self) -> Library {
        let find = |name: &CStr| {
            // SAFETY: the caller of `uv_suite` says that it takes this handle and a name.
            unsafe { (self.find)(self.handle as *mut c_void, name.as_ptr()) }
        };
        // SAFETY: the caller of `uv_suite` says so.
        unsafe { Library::find(find) }.expect("a libuv that is known")
    }
}

/// Runs every scenario, says which have failed, and answers how many those are. Writes the version of the libuv to `version`.
///
/// # Safety
/// `find` answers, on every thread and for ever, with functions of one libuv by their names. There is room for the version.
#[unsafe(no_mangle)]
unsafe extern "C" fn uv_suite(find: Find, handle: *mut c_void, version: *mut u32) -> c_int {
    let functions = Functions { find, handle: handle.addr() };
    // SAFETY: the caller says so.
    unsafe { version.write(functions.library().version()) };
    let failures = run_all(move || Brought(UvLoop::of(&functions.library()).expect("a loop")));
    for failure in &failures {
        println!("{failure}");
    }
    c_int::try_from(failures.len()).unwrap_or(c_int::MAX)
}
