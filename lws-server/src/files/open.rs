//! Names below a root, opened without leaving it.
//!
//! No name is looked at twice: what decides whether a file may be served is what is then read.

#[cfg(not(target_os = "linux"))]
use rustix::fs::{AtFlags, FileType, statat};
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::os::fd::{AsFd, OwnedFd};
#[cfg(target_os = "linux")]
use std::os::unix::fs::MetadataExt;
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
    /// All, wherever they lead. Every user who can make a link in the directory then decides what is served.
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

/// How a regular file is opened. One that something else was put in the place of must neither block us nor become ours.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

/// How a name is looked at: the result says what it leads to, and opens nothing. To open a FIFO lets go who waits at its other
/// end, and to open a device may begin what it does.
#[cfg(target_os = "linux")]
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

impl Root {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let canonical = path.canonicalize().map_err(named)?;
        let directory = open(&canonical, DIRECTORY, Mode::empty()).map_err(|error| named(error.into()))?;
        Ok(Self { directory: Arc::new(directory), path: canonical, links: Links::default() })
    }

    /// What `names`, as `normalize_path` leaves them, lead to, and the file if it is a regular one. Nothing else is opened.
    #[cfg(target_os = "linux")]
    pub(super) fn open_file(&self, names: &str) -> io::Result<(Metadata, Option<File>)> {
        let found = File::from(self.resolve(names, LOOK)?);
        let metadata = found.metadata()?;
        if !metadata.is_file() {
            return Ok((metadata, None));
        }
        // What was looked at is opened, whatever its name leads to by now.
        let file = match open(format!("/proc/self/fd/{}", found.as_raw_fd()), FILE, Mode::empty()) {
            Ok(file) => file.into(),
            // There is no /proc, or not one of this process. By its name it may have become something else.
            Err(Errno::NOENT | Errno::NOTDIR) => self.same_file(names, &metadata)?,
            Err(error) => return Err(error.into()),
        };
        Ok((metadata, Some(file)))
    }

    #[cfg(target_os = "linux")]
    fn same_file(&self, names: &str, metadata: &Metadata) -> io::Result<File> {
        let file = File::from(self.resolve(names, FILE)?);
        let opened = file.metadata()?;
        let same = (opened.dev(), opened.ino()) == (metadata.dev(), metadata.ino());
        if same { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// The same where a name cannot be held without opening it: between the two looks it may come to mean something else, which is
    /// opened without waiting for anybody, and not served.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn open_file(&self, names: &str) -> io::Result<(Metadata, Option<File>)> {
        let kind = FileType::from_raw_mode(statat(&self.directory, names, AtFlags::empty())?.st_mode);
        if !matches!(kind, FileType::RegularFile | FileType::Directory) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = File::from(self.resolve(names, FILE)?);
        let metadata = file.metadata()?;
        let is_file = metadata.is_file();
        Ok((metadata, is_file.then_some(file)))
    }

    /// The descriptor that `flags` make of what `names` lead to.
    fn resolve(&self, names: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        match self.links {
            Links::Followed => openat(&self.directory, names, flags, Mode::empty()),
            Links::Inside | Links::Refused => self.open_beneath(names, flags),
        }
    }

    /// The kernel resolves the name and sees to the policy, in one step.
    #[cfg(target_os = "linux")]
    fn open_beneath(&self, names: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        use rustix::fs::{ResolveFlags, openat2};

        let mut resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        if self.links == Links::Refused {
            resolve |= ResolveFlags::NO_SYMLINKS;
        }
        match openat2(&self.directory, names, flags, Mode::empty(), resolve) {
            // A kernel before 5.6, or a sandbox without the call; an absolute link, which may lead back inside; a rename
            // that raced with it.
            Err(Errno::NOSYS | Errno::PERM | Errno::XDEV | Errno::AGAIN) => self.open_resolved(names, flags),
            opened => opened,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn open_beneath(&self, names: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        self.open_resolved(names, flags)
    }

    /// Resolves the links first and then opens the result without following any: one that is put in between is refused.
    fn open_resolved(&self, names: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.links == Links::Refused {
            return self.open_without_links(Path::new(names), flags);
        }
        let resolved = self.path.join(names).canonicalize();
        let resolved = resolved.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOENT))?;
        self.open_without_links(resolved.strip_prefix(&self.path).map_err(|_| Errno::NOENT)?, flags)
    }

    fn open_without_links(&self, names: &Path, file: OFlags) -> Result<OwnedFd, Errno> {
        let mut names = names.components().peekable();
        let mut opened = openat(&self.directory, ".", DIRECTORY, Mode::empty())?;
        while let Some(name) = names.next() {
            let Component::Normal(name) = name else { return Err(Errno::NOENT) };
            let flags = if names.peek().is_some() { DIRECTORY } else { file };
            opened = openat(opened.as_fd(), name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(opened)
    }
}

/// Whether it was for want of descriptors or memory that something could not be opened.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM))
}
