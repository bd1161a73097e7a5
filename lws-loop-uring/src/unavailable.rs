//! Why there is no ring.

use rustix::io::Errno;
use std::fmt;
use std::io;

/// The error of making a loop where the system has no io_uring for it.
///
/// Programs use another loop then: this error comes before anything was changed. Converts into [`io::Error`], whose source it is, with
/// the kind [`Unsupported`](io::ErrorKind::Unsupported), [`PermissionDenied`](io::ErrorKind::PermissionDenied), or that of the system's
/// own error.
#[derive(Debug)]
pub struct Unavailable {
    reason: Reason,
    source: io::Error,
}

/// Why the system has no io_uring for a loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The kernel was built without it, or something that stands for a kernel, as gVisor does, has none.
    Absent,
    /// It is older than that of Linux 6.1.
    TooOld,
    /// `kernel.io_uring_disabled`, or the filter for system calls of a container, forbids it.
    Forbidden,
    /// There are no descriptors or there is no memory left, or something else is wrong: the source says what.
    Failed,
}

impl Unavailable {
    /// The meaning of an error of io_uring_setup(2) or of the first io_uring_enter(2).
    pub(crate) fn of(source: io::Error) -> Self {
        let reason = match Errno::from_io_error(&source) {
            Some(Errno::NOSYS) => Reason::Absent,
            Some(Errno::INVAL) => Reason::TooOld,
            Some(Errno::PERM | Errno::ACCESS) => Reason::Forbidden,
            _ => Reason::Failed,
        };
        Self { reason, source }
    }

    pub(crate) fn too_old() -> Self {
        Self { reason: Reason::TooOld, source: Errno::INVAL.into() }
    }

    /// Why there is none.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Absent => f.write_str("this system has no io_uring"),
            Reason::TooOld => f.write_str("io_uring of this system is older than that of Linux 6.1"),
            Reason::Forbidden => f.write_str(
                "io_uring is forbidden here, by the setting kernel.io_uring_disabled or by the system call filter of a container",
            ),
            Reason::Failed => write!(f, "io_uring cannot be set up: {}", self.source),
        }
    }
}

impl std::error::Error for Unavailable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl From<Unavailable> for io::Error {
    fn from(error: Unavailable) -> Self {
        let kind = match error.reason {
            Reason::Absent | Reason::TooOld => io::ErrorKind::Unsupported,
            Reason::Forbidden => io::ErrorKind::PermissionDenied,
            Reason::Failed => error.source.kind(),
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_the_system_has_its_reason_and_a_sentence() {
        let check = |errno: Errno, reason: Reason, kind: io::ErrorKind, words: &str| {
            let error = Unavailable::of(errno.into());
            assert_eq!(error.reason(), reason, "{errno}");
            assert!(error.to_string().contains(words), "{errno}: {error}");
            let error = io::Error::from(error);
            assert_eq!(error.kind(), kind, "{errno}");
            assert!(error.to_string().contains(words), "{errno}: {error}");
        };
        check(Errno::NOSYS, Reason::Absent, io::ErrorKind::Unsupported, "has no io_uring");
        check(Errno::INVAL, Reason::TooOld, io::ErrorKind::Unsupported, "older than that of Linux 6.1");
        for errno in [Errno::PERM, Errno::ACCESS] {
            check(errno, Reason::Forbidden, io::ErrorKind::PermissionDenied, "kernel.io_uring_disabled");
        }
        let kind = io::Error::from(Errno::MFILE).kind();
        check(Errno::MFILE, Reason::Failed, kind, "cannot be set up: Too many open files");
    }
}
