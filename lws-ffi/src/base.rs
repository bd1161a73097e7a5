//! What is asked of the library as a whole. See `lwx_base.h`.

use crate::error::{self, Error};
use std::ffi::{CStr, c_char};

/// The version, as two digits each of hexadecimal.
pub const VERSION: u32 = 0x0001_0000;

/// WebSocket compression is there.
const FEATURE_DEFLATE: u64 = 1;
/// TLS is there.
const FEATURE_TLS: u64 = 2;
/// `lwx_service_attach_uv` is there.
const FEATURE_UV: u64 = 4;

/// `lwx_version_number`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_version_number() -> u32 {
    VERSION
}

/// `lwx_version`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_version() -> *const c_char {
    const TEXT: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    };
    TEXT.as_ptr()
}

/// `lwx_features`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_features() -> u64 {
    let tls = if cfg!(feature = "ring") { FEATURE_TLS } else { 0 };
    let uv = if cfg!(feature = "uv") { FEATURE_UV } else { 0 };
    FEATURE_DEFLATE | tls | uv
}

/// `lwx_strerror`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_strerror(code: i32) -> *const c_char {
    Error::text_of(code).as_ptr()
}

/// `lwx_last_error`
#[unsafe(no_mangle)]
pub extern "C" fn lwx_last_error() -> *const c_char {
    error::with_last(CStr::as_ptr)
}
