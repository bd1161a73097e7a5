//! Files in memory: those that are part of the program.

use super::{Entry, Fault, Listed, Listing, Lookup, Opened, Vfs};
use crate::Coding;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Files in memory. Their tags are made of their bytes, so that they stay the same after a restart.
///
/// ```
/// use lws_files::{Coding, Memory};
///
/// let files = Memory::new()
///     .file("index.html", &b"<!doctype html><title>Hello</title>"[..])
///     .coded("app.js", Coding::Gzip, &b"\x1f\x8b..."[..]);
/// # let _ = files;
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Memory {
    files: BTreeMap<String, Vec<Entry>>,
}

impl Memory {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file. `names` is its path below the root, without `/` in front.
    pub fn file(self, names: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        self.coded(names, Coding::Identity, bytes)
    }

    /// Adds a file in another coding.
    pub fn coded(mut self, names: impl Into<String>, coding: Coding, bytes: impl Into<Bytes>) -> Self {
        let entries = self.files.entry(names.into()).or_default();
        entries.retain(|entry| entry.coding != coding);
        entries.push(Entry { coding, ..Entry::of_bytes(bytes) });
        let varies = entries.len() > 1;
        entries.iter_mut().for_each(|entry| entry.varies = varies);
        self
    }

    /// The files below the directory `names`, and what their names have behind its name and `/`.
    fn below<'a>(&'a self, names: &'a str) -> impl Iterator<Item = (&'a str, &'a Vec<Entry>)> {
        let prefix = if names.is_empty() { String::new() } else { format!("{names}/") };
        let start = prefix.clone();
        self.files
            .range(start..)
            .map_while(move |(name, entries)| Some((name.strip_prefix(&prefix)?, entries)))
    }
}

impl Vfs for Memory {
    fn open(&self, lookup: &Lookup<'_>) -> Result<Opened, Fault> {
        let Some(entries) = self.files.get(lookup.names) else {
            let is_directory = lookup.names.is_empty() || self.below(lookup.names).next().is_some();
            return Ok(if is_directory { Opened::Directory } else { Opened::NotHere });
        };
        let with = |coding| entries.iter().find(|entry| entry.coding == coding);
        let chosen = lookup.accepted.iter().find_map(with).or_else(|| entries.first());
        Ok(chosen.map_or(Opened::NotHere, |entry| Opened::File(entry.clone())))
    }

    fn list(&self, lookup: &Lookup<'_>, max: usize) -> Result<Listing, Fault> {
        let mut listed: Vec<Listed> = Vec::new();
        for (rest, entries) in self.below(lookup.names) {
            let (name, directory) = match rest.split_once('/') {
                Some((name, _)) => (name, true),
                None => (rest, false),
            };
            if listed.last().is_some_and(|last| last.name == name) {
                continue;
            }
            if listed.len() == max {
                return Ok(Listing::Names(listed, true));
            }
            let identity = entries.iter().find(|entry| entry.coding == Coding::Identity).or(entries.first());
            let len = identity.and_then(|entry| entry.content.len()).filter(|_| !directory).unwrap_or(0);
            listed.push(Listed { name: name.into(), directory, len, modified: None });
        }
        let is_none = listed.is_empty() && !lookup.names.is_empty();
        Ok(if is_none { Listing::NotHere } else { Listing::Names(listed, false) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::lookup;
    use super::*;
    use crate::{Accepted, Wait};

    fn files() -> Memory {
        Memory::new()
            .file("a.html", &b"a"[..])
            .coded("a.html", Coding::Gzip, &b"gzip"[..])
            .file("sub/b.txt", &b"bb"[..])
            .file("sub-c", &b"c"[..])
    }

    fn open(names: &str, accepted: Accepted) -> Opened {
        files().open(&lookup(names, accepted, Wait::Never)).expect("memory does not fail")
    }

    #[test]
    fn the_most_welcome_coding_is_given_and_each_has_its_own_tag() {
        let gzip = Accepted::parse([&b"br, gzip"[..]]);
        let Opened::File(identity) = open("a.html", Accepted::IDENTITY) else { panic!("it is there") };
        let Opened::File(coded) = open("a.html", gzip) else { panic!("it is there") };
        assert_eq!((identity.coding, coded.coding), (Coding::Identity, Coding::Gzip));
        assert!(identity.varies && coded.varies && identity.tag != coded.tag);
        let Opened::File(other) = open("sub/b.txt", gzip) else { panic!("it is there") };
        assert!(other.coding == Coding::Identity && !other.varies);
    }

    #[test]
    fn directories_are_what_files_lie_in() {
        assert!(matches!(open("", Accepted::IDENTITY), Opened::Directory));
        assert!(matches!(open("sub", Accepted::IDENTITY), Opened::Directory));
        for names in ["su", "sub/", "b.txt", "a.html/x"] {
            assert!(matches!(open(names, Accepted::IDENTITY), Opened::NotHere), "{names}");
        }
    }

    #[test]
    fn a_listing_has_each_name_once() {
        let list = |names, max| files().list(&lookup(names, Accepted::IDENTITY, Wait::Never), max);
        let Ok(Listing::Names(names, false)) = list("", 3) else { panic!("there are three") };
        let names: Vec<_> = names.iter().map(|name| (&*name.name, name.directory, name.len)).collect();
        assert_eq!(names, [("a.html", false, 1), ("sub-c", false, 1), ("sub", true, 0)]);
        assert!(matches!(list("", 2), Ok(Listing::Names(names, true)) if names.len() == 2));
        assert_eq!(list("none", 2), Ok(Listing::NotHere));
    }
}
