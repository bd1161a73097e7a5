//! Where files come from: the door to directories, memory, archives and whatever an application has.
//!
//! Knows names and representations. What is answered with them is decided elsewhere.

mod chain;
mod directory;
mod memory;

pub use chain::Chain;
pub use directory::{Directory, Links};
pub use memory::Memory;

use crate::{Accepted, Coding, Content, EntityTag, Representation, Wait};
use lws_proto::Time;
use lws_proto::http::HttpDate;
use std::io;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// Names joined by `/`, as [`normalize_path`](lws_proto::http::normalize_path) leaves them; empty for the root. Without
    /// `/` at either end.
    pub names: &'a str,
    /// The codings that may be chosen from.
    pub accepted: Accepted,
    /// Whether the answer may be waited for.
    pub wait: Wait,
    /// Now.
    pub now: Time,
    /// The date, now.
    pub date: HttpDate,
}

/// A file in one coding.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The bytes.
    pub content: Content,
    /// What they are coded in.
    pub coding: Coding,
    /// Their validator: of these very bytes, and of no other coding of the same file. RFC 9110 §8.8.1.
    pub tag: Option<EntityTag>,
    /// When the file was changed last.
    pub modified: Option<HttpDate>,
    /// Whether another client may be given the file in another coding.
    pub varies: bool,
}

impl Entry {
    /// A file in memory, whose tag is made of its bytes.
    #[must_use]
    pub fn of_bytes(bytes: impl Into<bytes::Bytes>) -> Self {
        let bytes = bytes.into();
        let tag = Some(EntityTag::of_version(bytes.len() as u64, &bytes));
        Self { content: bytes.into(), coding: Coding::Identity, tag, modified: None, varies: false }
    }

    /// What conditions and ranges are decided on.
    #[must_use]
    pub fn representation(&self) -> Representation {
        let ranges = self.content.is_seekable();
        let len = self.content.len();
        Representation { len, tag: self.tag.clone(), modified: self.modified, coding: self.coding, ranges }
    }
}

/// What came of a lookup.
#[derive(Clone, Debug)]
pub enum Opened {
    /// A file.
    File(Entry),
    /// A directory.
    Directory,
    /// Nothing: the next one is asked.
    NotHere,
    /// The answer would have to be waited for. Never the answer to [`Wait::Allowed`].
    WouldBlock,
}

/// Why something that is there cannot be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The system forbids it.
    Forbidden,
    /// Descriptors, memory, or places in a queue have run out.
    Shortage,
    /// It is broken, or cannot be read.
    Failed(io::ErrorKind),
}

/// A file or directory in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name. Names are bytes; those that are not UTF-8 cannot be asked for, and are left out.
    pub name: String,
    /// Whether it is a directory.
    pub directory: bool,
    /// Bytes.
    pub len: u64,
    /// When it was changed last.
    pub modified: Option<HttpDate>,
}

/// What came of listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listing {
    /// The names in a directory, in no order; and whether there are more than were asked for.
    Names(Vec<Listed>, bool),
    /// It is no directory, or one that cannot be listed.
    NotHere,
    /// It would have to be waited for. Never the answer to [`Wait::Allowed`].
    WouldBlock,
}

/// A tree of files.
///
/// Whether an answer may be waited for is an argument: the loop asks with [`Wait::Never`], and when it hears
/// [`Opened::WouldBlock`] the same question is asked again on a thread that may wait. So a tree that always blocks answers
/// `WouldBlock` to the first and does its work at the second, and needs no queue, ticket or thread of its own.
///
/// ```
/// use lws_files::{Content, Entry, Fault, Lookup, Opened, Vfs, Wait};
///
/// /// Files that are rows of a slow database.
/// struct Rows;
///
/// impl Vfs for Rows {
///     fn open(&self, lookup: &Lookup<'_>) -> Result<Opened, Fault> {
///         if lookup.wait == Wait::Never {
///             return Ok(Opened::WouldBlock);
///         }
///         Ok(match lookup.names {
///             "" => Opened::Directory,
///             "greeting.txt" => Opened::File(Entry::of_bytes("hello")),
///             _ => Opened::NotHere,
///         })
///     }
/// }
/// # let _: Box<dyn Vfs> = Box::new(Rows);
/// ```
pub trait Vfs: Send + Sync {
    /// Looks for a file, and chooses its coding.
    ///
    /// Of the codings that it has, the most welcome one is chosen. If none of them is accepted, any one is given: that it is
    /// refused, or compressed on the way, is decided elsewhere.
    ///
    /// # Errors
    /// There is something, and it cannot be given. The next one is not asked.
    fn open(&self, lookup: &Lookup<'_>) -> Result<Opened, Fault>;

    /// The names in a directory, `max` at most.
    ///
    /// # Errors
    /// It is there, and cannot be listed.
    fn list(&self, lookup: &Lookup<'_>, max: usize) -> Result<Listing, Fault> {
        let _ = (lookup, max);
        Ok(Listing::NotHere)
    }
}

impl<V: Vfs + ?Sized> Vfs for std::sync::Arc<V> {
    fn open(&self, lookup: &Lookup<'_>) -> Result<Opened, Fault> {
        (**self).open(lookup)
    }

    fn list(&self, lookup: &Lookup<'_>, max: usize) -> Result<Listing, Fault> {
        (**self).list(lookup, max)
    }
}

/// Whether `names` lead downwards only, whatever their source. [`normalize_path`](lws_proto::http::normalize_path)
/// makes no others.
pub(crate) fn is_downward(names: &str) -> bool {
    names.is_empty()
        || names.split('/').all(|name| {
            !matches!(name, "" | "." | "..") && !name.bytes().any(|byte| matches!(byte, 0 | b'\\'))
        })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn lookup(names: &str, accepted: Accepted, wait: Wait) -> Lookup<'_> {
        Lookup { names, accepted, wait, now: Time::ZERO, date: HttpDate::from_unix(1_800_000_000) }
    }

    #[test]
    fn names_lead_downwards() {
        for names in ["", "a", "a/b", "...", "a..b", ".hidden"] {
            assert!(is_downward(names), "{names:?}");
        }
        for names in ["/", "/a", "a/", "a//b", ".", "..", "a/..", "a/./b", "a\\b", "a\0"] {
            assert!(!is_downward(names), "{names:?}");
        }
    }
}
