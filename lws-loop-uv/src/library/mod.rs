//! The libuv in use: the one that this program is linked with, or one that a host program has
//! loaded.

mod sys;

pub(crate) use sys::{Call, RawHandle, Table};
pub use sys::{Library, RawLoop};

use std::fmt;

/// The first version whose constants and functions this crate relies on, and the first that is not supported.
const VERSION_MIN: u32 = 0x01_13_00;
const VERSION_END: u32 = 0x02_00_00;

/// A libuv that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LibraryError {
    /// It has no function with this name.
    Missing(&'static str),
    /// The version, as `uv_version` returns it, is not supported: this crate knows the constants of 1.19 and later
    /// versions before 2.
    Unknown(u32),
    /// The loop was made by a libuv of another version than the functions are of.
    Other {
        /// The version of the functions.
        functions: u32,
        /// That of the loop.
        of_loop: u32,
    },
}

/// Formats a version as `major.minor.patch`.
struct Version(u32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, major, minor, patch] = self.0.to_be_bytes();
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for LibraryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Missing(name) => write!(f, "libuv's function {name} is not there"),
            Self::Unknown(version) => {
                write!(f, "libuv {} is none of 1.19 and later versions of 1", Version(version))
            }
            Self::Other { functions, of_loop } => write!(
                f,
                "the loop is of libuv {}, and the functions are of libuv {}: it takes those of its own libuv",
                Version(of_loop),
                Version(functions)
            ),
        }
    }
}

impl std::error::Error for LibraryError {}
