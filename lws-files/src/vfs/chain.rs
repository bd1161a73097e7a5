//! Several trees as one.

use super::{Fault, Listing, Lookup, Opened, Vfs};

/// Trees that are asked one after the other until one has what is looked for.
///
/// ```
/// use lws_files::{Chain, Memory};
///
/// let defaults = Memory::new().file("index.html", &b"nothing here yet"[..]);
/// let files = Chain::new().then(Memory::new()).then(defaults);
/// # let _ = files;
/// ```
#[derive(Default)]
#[must_use]
pub struct Chain(Vec<Box<dyn Vfs>>);

impl Chain {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, which is asked for what those before it do not have.
    pub fn then(mut self, vfs: impl Vfs + 'static) -> Self {
        self.0.push(Box::new(vfs));
        self
    }
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Chain").field(&self.0.len()).finish()
    }
}

impl Vfs for Chain {
    fn open(&self, lookup: &Lookup<'_>) -> Result<Opened, Fault> {
        let mut found = Opened::NotHere;
        for vfs in &self.0 {
            match vfs.open(lookup)? {
                Opened::NotHere => {}
                // The next one may have a file where this one has a directory; and files in it, if not.
                Opened::Directory => found = Opened::Directory,
                // What this one has is not known yet, and it comes before the others.
                opened => return Ok(opened),
            }
        }
        Ok(found)
    }

    fn list(&self, lookup: &Lookup<'_>, max: usize) -> Result<Listing, Fault> {
        let mut all = None;
        for vfs in &self.0 {
            match vfs.list(lookup, max)? {
                Listing::NotHere => {}
                Listing::WouldBlock => return Ok(Listing::WouldBlock),
                Listing::Names(names, more) => {
                    let (listed, cut): &mut (Vec<super::Listed>, bool) = all.get_or_insert_default();
                    // Sorted, so that what is listed already is found fast. The names of one tree are different.
                    listed.sort_by(|a, b| a.name.cmp(&b.name));
                    let new =
                        |name: &super::Listed| listed.binary_search_by(|a| a.name.cmp(&name.name)).is_err();
                    let new: Vec<_> = names.into_iter().filter(new).collect();
                    listed.extend(new);
                    *cut |= more || listed.len() > max;
                    listed.truncate(max);
                }
            }
        }
        Ok(all.map_or(Listing::NotHere, |(names, more)| Listing::Names(names, more)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::lookup;
    use super::super::{Entry, Memory};
    use super::*;
    use crate::{Accepted, Wait};

    struct Blocks;

    impl Vfs for Blocks {
        fn open(&self, lookup: &Lookup<'_>) -> Result<Opened, Fault> {
            match lookup.wait {
                Wait::Never => Ok(Opened::WouldBlock),
                Wait::Allowed => Ok(Opened::NotHere),
            }
        }
    }

    fn text(chain: &Chain, names: &str, wait: Wait) -> String {
        match chain.open(&lookup(names, Accepted::IDENTITY, wait)) {
            Ok(Opened::File(Entry { content, .. })) => {
                String::from_utf8_lossy(content.in_memory().expect("bytes")).into_owned()
            }
            Ok(other) => format!("{other:?}"),
            Err(fault) => format!("{fault:?}"),
        }
    }

    #[test]
    fn the_first_that_has_a_file_gives_it() {
        let first = Memory::new().file("a", "first a").file("dir/x", "x");
        let second = Memory::new().file("a", "second a").file("b", "second b").file("dir", "a file");
        let chain = Chain::new().then(first.clone()).then(second.clone());
        for (names, expected) in [
            ("a", "first a"),
            ("b", "second b"),
            ("dir", "a file"),
            ("dir/x", "x"),
            ("c", "NotHere"),
            ("", "Directory"),
        ] {
            assert_eq!(text(&chain, names, Wait::Never), expected, "{names}");
        }
        let Ok(Listing::Names(names, false)) = chain.list(&lookup("", Accepted::IDENTITY, Wait::Never), 9)
        else {
            panic!("memory can be listed")
        };
        let names: Vec<_> = names.iter().map(|name| (&*name.name, name.directory)).collect();
        assert_eq!(names, [("a", false), ("dir", true), ("b", false)]);
        let chain = Chain::new().then(Blocks).then(second);
        assert_eq!(text(&chain, "a", Wait::Never), "WouldBlock");
        assert_eq!(text(&chain, "a", Wait::Allowed), "second a");
    }
}
