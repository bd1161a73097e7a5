//! Why an archive is refused.

use std::fmt;
use std::io;

/// Why an archive is not served. Members are named as far as they are text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ZipError {
    /// It cannot be read.
    Io(io::ErrorKind),
    /// There is no end of central directory record.
    NotAnArchive,
    /// A record does not lie inside the file, or is cut off.
    Truncated,
    /// It is one part of several.
    MultiDisk,
    /// It has more members than [`ZipLimits::entries_max`](crate::ZipLimits::entries_max).
    TooManyEntries,
    /// Its directory is longer than [`ZipLimits::directory_bytes_max`](crate::ZipLimits::directory_bytes_max).
    DirectoryTooLong,
    /// Its directory has another number of members than it says.
    EntryCount,
    /// A ZIP64 record does not have what it must have.
    Zip64,
    /// A member is encrypted.
    Encrypted(String),
    /// A member is compressed by a method other than "stored" and "deflated".
    Method(String, u16),
    /// A name leads elsewhere, or cannot be a path: `..`, an absolute one, `\`, NUL.
    Name(String),
    /// Two members have one name.
    Duplicate(String),
    /// A member shares bytes with another one, or with the directory.
    Overlap(String),
    /// A member claims to be longer than its compressed bytes can be.
    Ratio(String),
    /// The header before a member says something else than the directory.
    LocalHeader(String),
}

impl fmt::Display for ZipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(kind) => write!(f, "the archive cannot be read: {kind}"),
            Self::NotAnArchive => f.write_str("the file is no zip archive"),
            Self::Truncated => f.write_str("the archive is cut off"),
            Self::MultiDisk => f.write_str("the archive is one part of several"),
            Self::TooManyEntries => f.write_str("the archive has too many members"),
            Self::DirectoryTooLong => f.write_str("the directory of the archive is too long"),
            Self::EntryCount => f.write_str("the archive has another number of members than it says"),
            Self::Zip64 => f.write_str("a ZIP64 record is malformed"),
            Self::Encrypted(name) => write!(f, "{name:?} is encrypted"),
            Self::Method(name, method) => write!(f, "{name:?} is compressed by method {method}"),
            Self::Name(name) => write!(f, "{name:?} is no path below the archive"),
            Self::Duplicate(name) => write!(f, "{name:?} is there twice"),
            Self::Overlap(name) => write!(f, "{name:?} overlaps something else"),
            Self::Ratio(name) => write!(f, "{name:?} claims to be longer than it can be"),
            Self::LocalHeader(name) => write!(f, "the two headers of {name:?} disagree"),
        }
    }
}

impl std::error::Error for ZipError {}

impl From<io::Error> for ZipError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            kind => Self::Io(kind),
        }
    }
}
