//! The functions of libuv that this crate calls, as a table. Every type of libuv is opaque here.

use super::{LibraryError, VERSION_END, VERSION_MIN, Version};
use lws_proto::Time;
use std::ffi::{CStr, c_int, c_uint, c_void};
use std::fmt;
use std::marker::{PhantomData, PhantomPinned};
use std::mem::transmute;
use std::ptr::NonNull;
use std::rc::Rc;

/// A loop as libuv's functions take it: `uv_loop_t`.
#[doc(alias = "uv_loop_t")]
#[repr(C)]
pub struct RawLoop {
    opaque: [u8; 0],
    of_one_thread: PhantomData<(*mut u8, PhantomPinned)>,
}

impl fmt::Debug for RawLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawLoop").finish_non_exhaustive()
    }
}

/// `uv_handle_t`, and what begins like it.
#[repr(C)]
pub(crate) struct RawHandle {
    opaque: [u8; 0],
    of_one_thread: PhantomData<(*mut u8, PhantomPinned)>,
}

pub(crate) type Call = unsafe extern "C" fn(*mut RawHandle);
type PollCall = unsafe extern "C" fn(*mut RawHandle, c_int, c_int);

/// Declares the functions of libuv that are called, with `uv_handle_t` in place of each type of handle: as a table
/// whose addresses are those of the library that this program is linked with, or are looked up by name.
macro_rules! functions {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) $(-> $result:ty)?;)*) => {
        #[derive(Clone, Copy)]
        pub(crate) struct Table {
            $(pub(crate) $name: unsafe extern "C" fn($($kind),*) $(-> $result)?,)*
        }

        #[cfg(feature = "linked")]
        mod linked {
            use super::*;

            // SAFETY: these are libuv's declarations.
            unsafe extern "C" {
                $(pub(super) fn $name($($argument: $kind),*) $(-> $result)?;)*
            }
        }

        impl Table {
            #[cfg(feature = "linked")]
            const LINKED: Self = Self { $($name: linked::$name,)* };

            /// # Safety
            /// As of [`Library::find`].
            unsafe fn find(mut find: impl FnMut(&CStr) -> *const c_void) -> Result<Self, LibraryError> {
                Ok(Self {
                    $($name: {
                        let address = NonNull::new(find(name_of(concat!(stringify!($name), "\0"))).cast_mut());
                        let address = address.ok_or(LibraryError::Missing(stringify!($name)))?;
                        // SAFETY: the caller says that the function with this name is there, which libuv declares so.
                        unsafe {
                            transmute::<NonNull<c_void>, unsafe extern "C" fn($($kind),*) $(-> $result)?>(address)
                        }
                    },)*
                })
            }
        }
    };
}

/// A name as a C string. Every name in the table ends with a NUL.
fn name_of(name: &str) -> &CStr {
    CStr::from_bytes_until_nul(name.as_bytes()).unwrap_or_default()
}

functions! {
    fn uv_version() -> c_uint;
    fn uv_hrtime() -> u64;
    fn uv_loop_size() -> usize;
    fn uv_handle_size(kind: c_int) -> usize;

    fn uv_loop_init(uv_loop: *mut RawLoop) -> c_int;
    fn uv_loop_close(uv_loop: *mut RawLoop) -> c_int;
    fn uv_loop_alive(uv_loop: *const RawLoop) -> c_int;
    fn uv_now(uv_loop: *const RawLoop) -> u64;
    fn uv_run(uv_loop: *mut RawLoop, mode: c_uint) -> c_int;
    fn uv_stop(uv_loop: *mut RawLoop);

    fn uv_ref(handle: *mut RawHandle);
    fn uv_unref(handle: *mut RawHandle);
    fn uv_close(handle: *mut RawHandle, closed: Option<Call>);

    fn uv_poll_init(uv_loop: *mut RawLoop, poll: *mut RawHandle, fd: c_int) -> c_int;
    fn uv_poll_start(poll: *mut RawHandle, events: c_int, call: Option<PollCall>) -> c_int;
    fn uv_poll_stop(poll: *mut RawHandle) -> c_int;
    fn uv_timer_init(uv_loop: *mut RawLoop, timer: *mut RawHandle) -> c_int;
    fn uv_timer_start(timer: *mut RawHandle, call: Option<Call>, timeout: u64, repeat: u64) -> c_int;
    fn uv_timer_stop(timer: *mut RawHandle) -> c_int;
    fn uv_prepare_init(uv_loop: *mut RawLoop, prepare: *mut RawHandle) -> c_int;
    fn uv_prepare_start(prepare: *mut RawHandle, call: Option<Call>) -> c_int;
    fn uv_check_init(uv_loop: *mut RawLoop, check: *mut RawHandle) -> c_int;
    fn uv_check_start(check: *mut RawHandle, call: Option<Call>) -> c_int;
    fn uv_idle_init(uv_loop: *mut RawLoop, idle: *mut RawHandle) -> c_int;
    fn uv_idle_start(idle: *mut RawHandle, call: Option<Call>) -> c_int;
    fn uv_idle_stop(idle: *mut RawHandle) -> c_int;
}

/// The functions of one libuv: the one that this program is linked with, or one that a host program has loaded, as
/// Node, Neovim and Python's uvloop do. A loop is only given to the functions of the libuv that has made it.
#[derive(Clone)]
pub struct Library(Rc<Table>);

impl Library {
    /// The libuv that this program is linked with.
    #[cfg(feature = "linked")]
    #[must_use]
    pub fn linked() -> Self {
        Self(Rc::new(Table::LINKED))
    }

    /// A libuv whose functions `find` looks up by name; `find` returns null for a name that does not exist. With
    /// `dlsym` this is a libuv that the process has loaded already.
    ///
    /// # Errors
    /// A function is missing, or the version is not supported.
    ///
    /// # Safety
    /// Each address that `find` returns is that of libuv's function with that name. All belong to one libuv, which
    /// stays loaded as long as this value, its clones, and the loops and services that use them live.
    pub unsafe fn find(find: impl FnMut(&CStr) -> *const c_void) -> Result<Self, LibraryError> {
        // SAFETY: the caller says so.
        let library = Self(Rc::new(unsafe { Table::find(find) }?));
        match library.version() {
            VERSION_MIN..VERSION_END => Ok(library),
            version => Err(LibraryError::Unknown(version)),
        }
    }

    /// The version, as `uv_version` returns it: `0x012c02` is 1.44.2.
    #[must_use]
    pub fn version(&self) -> u32 {
        // SAFETY: it takes nothing, and answers with a constant.
        unsafe { (self.0.uv_version)() }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.0
    }

    /// The monotonic clock of libuv's timers. It is the same for all loops.
    pub(crate) fn now(&self) -> Time {
        // SAFETY: it takes nothing.
        Time::from_micros(unsafe { (self.0.uv_hrtime)() } / 1_000)
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Library").field(&Version(self.version())).finish()
    }
}

#[cfg(all(test, feature = "linked"))]
mod tests {
    use super::*;

    /// Stands in for libuv: each name has an address, but only `uv_version` is ever called.
    fn found(version: extern "C" fn() -> c_uint, missing: &'static CStr) -> Result<Library, LibraryError> {
        let find = |name: &CStr| match name {
            name if name == missing => std::ptr::null(),
            name if name == c"uv_version" => version as *const c_void,
            _ => linked::uv_run as *const c_void,
        };
        // SAFETY: the result is dropped before anything but the version is asked for.
        unsafe { Library::find(find) }
    }

    #[test]
    fn a_libuv_that_is_not_known_is_refused_with_words() {
        extern "C" fn oldest() -> c_uint {
            0x01_13_00
        }
        extern "C" fn too_old() -> c_uint {
            0x01_12_05
        }
        extern "C" fn too_new() -> c_uint {
            0x02_00_00
        }
        assert_eq!(found(oldest, c"").map(|library| library.version()).ok(), Some(0x01_13_00));
        let check = |version, missing, words: &str| {
            assert_eq!(found(version, missing).err().map(|error| error.to_string()).as_deref(), Some(words));
        };
        check(too_old, c"", "libuv 1.18.5 is none of 1.19 and later versions of 1");
        check(too_new, c"", "libuv 2.0.0 is none of 1.19 and later versions of 1");
        check(oldest, c"uv_poll_init", "libuv's function uv_poll_init is not there");
    }
}
