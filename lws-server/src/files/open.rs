//! Names below a root, opened without leaving it.
//!
//! No name is looked at twice: what decides whether a file may be served is what is then read.

use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Which symbolic links are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Links {
    /// Those that stay inside the root.
    #[default]
    Inside,
    /// None.
    Refused,
    /// All, wherever they lead. Whoever can make a link in the directory decides then what is served.
    Followed,
}

/// A directory that is served.
#[derive(Clone, Debug)]
pub(super) struct Root {
    directory: Arc<OwnedFd>,
    /// The same, without links.
    path: PathBuf,
    pub(super) links: Links,
}

/// A FIFO or terminal that somebody put there must neither block us nor become ours.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let canonical = path.canonicalize().map_err(named)?;
        let directory = open(&canonical, DIRECTORY, Mode::empty()).map_err(|error| named(error.into()))?;
        Ok(Self { directory: Arc::new(directory), path: canonical, links: Links::default() })
    }

    /// Opens what `names`, as `normalize_path` leaves them, lead to.
    pub(super) fn open_file(&self, names: &str) -> io::Result<File> {
        let file = match self.links {
            Links::Followed => openat(&self.directory, names, FILE, Mode::empty())?,
            Links::Inside | Links::Refused => self.open_beneath(names)?,
        };
        Ok(file.into())
    }

    /// The kernel resolves the name and sees to the policy, in one step.
    #[cfg(target_os = "linux")]
    fn open_beneath(&self, names: &str) -> Result<OwnedFd, Errno> {
        use rustix::fs::{ResolveFlags, openat2};

        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if self.links == Links::Refused {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        match openat2(&self.directory, names, FILE, Mode::empty(), resolve) {
            // A kernel before 5.6, or a sandbox without the call; an absolute link, which may lead back inside; a rename
            // that raced with it.
            Err(Errno::NOSYS | Errno::PERM | Errno::XDEV | Errno::AGAIN) => self.open_resolved(names),
            opened => opened,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn open_beneath(&self, names: &str) -> Result<OwnedFd, Errno> {
        self.open_resolved(names)
    }

    /// Resolves the links first and then opens the result without following any: one that is put in between is refused.
    fn open_resolved(&self, names: &str) -> Result<OwnedFd, Errno> {
        if self.links == Links::Refused {
            return self.open_without_links(Path::new(names));
        }
        let resolved = self.path.join(names).canonicalize();
        let resolved = resolved.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOENT))?;
        self.open_without_links(resolved.strip_prefix(&self.path).map_err(|_| Errno::NOENT)?)
    }

    fn open_without_links(&self, names: &Path) -> Result<OwnedFd, Errno> {
        let mut names = names.components().peekable();
        let mut opened = openat(&self.directory, ".", DIRECTORY, Mode::empty())?;
        while let Some(name) = names.next() {
            let Component::Normal(name) = name else { return Err(Errno::NOENT) };
            let flags = if names.peek().is_some() { DIRECTORY } else { FILE };
            opened = openat(opened.as_fd(), name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(opened)
    }
}

/// Whether it was for want of descriptors or memory that something could not be opened.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}
