//! Codes of the C interface: what a call answers, and the text of each.

use lws_proto::Misuse;
use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::fmt;

/// Why a call did nothing. As C sees it: a negative number, `LWX_E_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Error {
    /// A pointer is NULL that must not be.
    Null = -1,
    /// An argument has a value that it cannot have.
    Argument = -2,
    /// The `size` of a struct is smaller than its first version, or it has set what this library does not know.
    Size = -3,
    /// The key is of something that has gone, or never was.
    Stale = -4,
    /// No permit now.
    Again = -5,
    /// Not now, or not in this role.
    State = -6,
    /// The stream speaks another protocol.
    Protocol = -7,
    /// A field, method, target, status or close code that cannot be written, or that the library writes itself.
    Field = -8,
    /// More or less content than was said.
    Length = -9,
    /// The call is inside another one that does not allow it.
    Recursive = -10,
    /// Another thread than that of the service.
    Thread = -11,
    /// The process is a child, by fork, of the one that made the service.
    Forked = -12,
    /// A defect of the library: the handle can only be freed.
    Panic = -13,
    /// The system said no: `lwx_last_error` says what.
    System = -14,
    /// A limit is reached.
    Limit = -15,
    /// Not in this build.
    Unsupported = -16,
    /// The service has ended.
    Gone = -17,
}

impl Error {
    /// Every error, by number.
    pub const ALL: [Self; 17] = [
        Self::Null,
        Self::Argument,
        Self::Size,
        Self::Stale,
        Self::Again,
        Self::State,
        Self::Protocol,
        Self::Field,
        Self::Length,
        Self::Recursive,
        Self::Thread,
        Self::Forked,
        Self::Panic,
        Self::System,
        Self::Limit,
        Self::Unsupported,
        Self::Gone,
    ];

    /// The text, for a person.
    #[must_use]
    pub const fn text(self) -> &'static CStr {
        match self {
            Self::Null => c"a pointer is NULL that must not be",
            Self::Argument => c"an argument has a value that it cannot have",
            Self::Size => {
                c"the size of a struct is wrong, or it has something set that this library does not know"
            }
            Self::Stale => c"the key is of something that has gone",
            Self::Again => c"no permit to write now: nothing was taken",
            Self::State => c"not now, or not in this role",
            Self::Protocol => c"the stream speaks another protocol",
            Self::Field => {
                c"a field, start line or close code that cannot be written, or that is written already"
            }
            Self::Length => c"more or less content than was said",
            Self::Recursive => c"not inside this call",
            Self::Thread => c"not on this thread",
            Self::Forked => c"this process is a child of the one that the service belongs to",
            Self::Panic => c"a defect of the library: the handle can only be freed",
            Self::System => c"the system said no: see lwx_last_error",
            Self::Limit => c"a limit is reached",
            Self::Unsupported => c"not in this build of the library",
            Self::Gone => c"the service has ended",
        }
    }

    /// The text of a code as C has it.
    #[must_use]
    pub fn text_of(code: i32) -> &'static CStr {
        let known = Self::ALL.into_iter().find(|error| *error as i32 == code);
        match known {
            Some(error) => error.text(),
            None if code >= 0 => c"no error",
            None => c"unknown error",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().to_str().unwrap_or_default())
    }
}

impl std::error::Error for Error {}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        match misuse {
            Misuse::UnknownStream => Self::Stale,
            Misuse::Field
            | Misuse::ManagedField
            | Misuse::StartLine
            | Misuse::Subprotocol
            | Misuse::CloseCode
            | Misuse::NotAnOpening => Self::Field,
            Misuse::ContentLength => Self::Length,
            Misuse::QueueFull => Self::Limit,
            // `WrongState`, `NotOffered`, and what later versions of the engine may add.
            _ => Self::State,
        }
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Keeps the text of what is wrong with an argument, for `lwx_last_error`.
pub(crate) fn argument(error: &dyn fmt::Display) -> Error {
    keep(error);
    Error::Argument
}

/// Keeps the text of what the system said, for `lwx_last_error`.
pub(crate) fn system(error: &dyn fmt::Display) -> Error {
    keep(error);
    Error::System
}

fn keep(error: &dyn fmt::Display) {
    // What lies behind a NUL would be lost to C anyway.
    let text = CString::new(error.to_string().replace('\0', " ")).unwrap_or_default();
    LAST.with_borrow_mut(|last| *last = text);
}

/// Calls with the text of what the system said last on this thread.
pub(crate) fn with_last<R>(call: impl FnOnce(&CStr) -> R) -> R {
    LAST.with_borrow(|last| call(last))
}
