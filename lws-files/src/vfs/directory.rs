//! A directory of the file system, opened without leaving it and, where the system can tell, without waiting.
//!
//! No name is looked at twice: what decides whether a file may be served is what is then read.

use super::{Entry, Fault, Listed, Listing, Lookup, Opened, Vfs, is_downward};
use crate::content::{Content, Progress, Region, Wait, read_exact_at};
use crate::{Coding, EntityTag};
use lws_proto::http::HttpDate;
use rustix::fs::{Dir, Mode, OFlags, open, openat};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd;
use std::os::fd::{AsFd, OwnedFd};
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
    /// All links are followed, wherever they lead. A user who can make a link in the directory then decides what is
    /// served.
    Followed,
}

/// A file of so many bytes or fewer is read when it is opened: it costs less to hold than to keep open.
const SMALL_BYTES_MAX: u64 = 32 << 10;

/// A directory that is served: regular files only, and precompressed siblings (`app.js.br` beside `app.js`) to those who accept
/// them.
///
/// On Linux nothing outside is ever opened, whatever is renamed meanwhile. FIFOs and devices are not opened to find out what they
/// are.
#[derive(Clone, Debug)]
#[must_use]
pub struct Directory {
    root: Arc<OwnedFd>,
    /// The same, without links.
    path: PathBuf,
    links: Links,
    siblings: bool,
    /// Whether what is in memory can be looked at without waiting.
    #[cfg(target_os = "linux")]
    local: bool,
}

/// How a regular file is opened. One that something else was put in the place of must neither block us nor become ours.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::DIRECTORY);

/// How a name is looked at: the result says what it leads to, and opens nothing. To open a FIFO lets go who waits at its other
/// end, and to open a device may begin what it does.
#[cfg(target_os = "linux")]
const LOOK: OFlags = OFlags::PATH.union(OFlags::CLOEXEC);

/// What a name leads to.
enum FoundEntry {
    File(Metadata, File),
    Directory,
    /// Neither.
    Special,
}

impl Directory {
    /// Opens the directory at `path`.
    ///
    /// # Errors
    /// If it cannot be opened, with its name in the message.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let canonical = path.canonicalize().map_err(named)?;
        let root = open(&canonical, DIRECTORY, Mode::empty()).map_err(|error| named(error.into()))?;
        Ok(Self {
            #[cfg(target_os = "linux")]
            local: is_local(&root),
            root: Arc::new(root),
            path: canonical,
            links: Links::default(),
            siblings: true,
        })
    }

    /// Which symbolic links are followed. Default [`Links::Inside`].
    pub fn links(mut self, links: Links) -> Self {
        self.links = links;
        self
    }

    /// Whether precompressed siblings are looked for. Default yes.
    #[doc(alias = "gzip_static")]
    pub fn siblings(mut self, siblings: bool) -> Self {
        self.siblings = siblings;
        self
    }

    fn open_file(&self, lookup: &Lookup<'_>) -> Result<Opened, Errno> {
        let (metadata, file) = match self.find(lookup.names, lookup.wait)? {
            FoundEntry::File(metadata, file) => (metadata, file),
            FoundEntry::Directory => return Ok(Opened::Directory),
            FoundEntry::Special => return Ok(Opened::NotHere),
        };
        let sibling = if self.siblings { self.sibling(lookup)? } else { None };
        let (coding, metadata, file) = sibling.unwrap_or((Coding::Identity, metadata, file));
        let Some(read) = Read::of(file, metadata, lookup.wait)? else { return Ok(Opened::WouldBlock) };
        let tag = tag(&read.metadata, lookup.date);
        Ok(Opened::File(Entry {
            content: read.content,
            coding,
            tag: Some(if read.settled { tag } else { tag.weakened() }),
            modified: modified(&read.metadata, lookup.date),
            // Another client may accept what this one does not, whether or not it is there today.
            varies: self.siblings,
        }))
    }

    /// The sibling in the most welcome coding, unless the file itself is more welcome.
    fn sibling(&self, lookup: &Lookup<'_>) -> Result<Option<(Coding, Metadata, File)>, Errno> {
        for coding in lookup.accepted.iter() {
            let Some(extension) = coding.extension() else { return Ok(None) };
            match self.find(&format!("{}{extension}", lookup.names), lookup.wait) {
                Ok(FoundEntry::File(metadata, file)) => return Ok(Some((coding, metadata, file))),
                Ok(_) => {}
                // Not known yet: another coding, chosen now, would not be the one chosen later.
                Err(error) if error == Errno::AGAIN || is_shortage(error) => return Err(error),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// What `names` lead to. With [`Wait::Never`] the error is `AGAIN` if that would have to be waited for.
    #[cfg(target_os = "linux")]
    fn find(&self, names: &str, wait: Wait) -> Result<FoundEntry, Errno> {
        let found = File::from(self.resolve(names, LOOK, wait)?);
        let metadata = found.metadata().map_err(of_io)?;
        if !metadata.is_file() {
            return Ok(if metadata.is_dir() { FoundEntry::Directory } else { FoundEntry::Special });
        }
        // What was looked at is opened, whatever its name leads to by now.
        let file = match open(format!("/proc/self/fd/{}", found.as_raw_fd()), FILE, Mode::empty()) {
            Ok(file) => file.into(),
            // There is no /proc, or not one of this process. By its name it may have become something else.
            Err(Errno::NOENT | Errno::NOTDIR) if wait == Wait::Allowed => self.same_file(names, &metadata)?,
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(Errno::AGAIN),
            Err(error) => return Err(error),
        };
        Ok(FoundEntry::File(metadata, file))
    }

    #[cfg(target_os = "linux")]
    fn same_file(&self, names: &str, metadata: &Metadata) -> Result<File, Errno> {
        let file = File::from(self.resolve(names, FILE, Wait::Allowed)?);
        let opened = file.metadata().map_err(of_io)?;
        let same = (opened.dev(), opened.ino()) == (metadata.dev(), metadata.ino());
        if same { Ok(file) } else { Err(Errno::NOENT) }
    }

    /// What `names` lead to, where a name cannot be held without opening it: between the two looks it may come to mean something
    /// else, which is opened without waiting for anybody, and not served.
    #[cfg(not(target_os = "linux"))]
    fn find(&self, names: &str, wait: Wait) -> Result<FoundEntry, Errno> {
        use rustix::fs::{AtFlags, FileType, statat};

        let at = if names.is_empty() { "." } else { names };
        if wait == Wait::Never {
            return Err(Errno::AGAIN);
        }
        match FileType::from_raw_mode(statat(&self.root, at, AtFlags::empty())?.st_mode) {
            FileType::Directory => return Ok(FoundEntry::Directory),
            FileType::RegularFile => {}
            _ => return Ok(FoundEntry::Special),
        }
        let file = File::from(self.resolve(names, FILE, wait)?);
        let metadata = file.metadata().map_err(of_io)?;
        Ok(if metadata.is_file() { FoundEntry::File(metadata, file) } else { FoundEntry::Special })
    }

    /// The descriptor that `flags` make of what `names` lead to.
    fn resolve(&self, names: &str, flags: OFlags, wait: Wait) -> Result<OwnedFd, Errno> {
        // Only the kernel's `BENEATH` would stop `..`, and `Links::Followed` does without it.
        if !is_downward(names) {
            return Err(Errno::NOENT);
        }
        let names = if names.is_empty() { "." } else { names };
        match wait {
            Wait::Never => self.resolve_now(names, flags),
            Wait::Allowed => self.resolve_waiting(names, flags),
        }
    }

    /// Resolves what is in the cache of names, on the file system of the root: another one that is mounted below it may be one that
    /// waits. `AGAIN` for everything else.
    #[cfg(target_os = "linux")]
    fn resolve_now(&self, names: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        use rustix::fs::{ResolveFlags, openat2};

        if !self.local {
            return Err(Errno::AGAIN);
        }
        let resolve = resolve_flags(self.links) | ResolveFlags::CACHED | ResolveFlags::NO_XDEV;
        match openat2(&self.root, names, flags, Mode::empty(), resolve) {
            // A kernel before 5.12, or a sandbox; a mount; a link that leads out, perhaps.
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::XDEV) => Err(Errno::AGAIN),
            opened => opened,
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn resolve_now(&self, _: &str, _: OFlags) -> Result<OwnedFd, Errno> {
        Err(Errno::AGAIN)
    }

    fn resolve_waiting(&self, names: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        match self.links {
            Links::Followed => openat(&self.root, names, flags, Mode::empty()),
            Links::Inside | Links::Refused => self.open_beneath(names, flags),
        }
    }

    /// The kernel resolves the name and sees to the policy, in one step.
    #[cfg(target_os = "linux")]
    fn open_beneath(&self, names: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        match rustix::fs::openat2(&self.root, names, flags, Mode::empty(), resolve_flags(self.links)) {
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
        let resolved = self.path.join(names).canonicalize().map_err(of_io)?;
        self.open_without_links(resolved.strip_prefix(&self.path).map_err(|_| Errno::NOENT)?, flags)
    }

    fn open_without_links(&self, names: &Path, file: OFlags) -> Result<OwnedFd, Errno> {
        let names = names.components().filter(|name| *name != Component::CurDir);
        let mut names = names.peekable();
        let mut opened = openat(&self.root, ".", DIRECTORY, Mode::empty())?;
        while let Some(name) = names.next() {
            let Component::Normal(name) = name else { return Err(Errno::NOENT) };
            let flags = if names.peek().is_some() { DIRECTORY } else { file };
            opened = openat(opened.as_fd(), name, flags | OFlags::NOFOLLOW, Mode::empty())?;
        }
        Ok(opened)
    }

    fn list_directory(&self, names: &str, max: usize) -> Result<Listing, Errno> {
        let opened = match self.resolve(names, DIRECTORY, Wait::Allowed) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Listing::NotHere),
            opened => opened?,
        };
        let mut listed = Vec::new();
        for entry in Dir::read_from(&opened)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if matches!(name, "." | "..") {
                continue;
            }
            if listed.len() == max {
                return Ok(Listing::Names(listed, true));
            }
            listed.extend(self.listed(names, name));
        }
        Ok(Listing::Names(listed, false))
    }

    /// What a listing says of a name: of what a link leads to, if it may be followed. `None` if it would not be served.
    fn listed(&self, names: &str, name: &str) -> Option<Listed> {
        let path = if names.is_empty() { name.into() } else { format!("{names}/{name}") };
        let found = self.resolve(&path, Self::LISTED, Wait::Allowed).ok()?;
        let metadata = File::from(found).metadata().ok()?;
        let directory = metadata.is_dir();
        (directory || metadata.is_file()).then(|| Listed {
            name: name.into(),
            directory,
            len: if directory { 0 } else { metadata.len() },
            modified: Some(HttpDate::from_unix(metadata.mtime())),
        })
    }

    #[cfg(target_os = "linux")]
    const LISTED: OFlags = LOOK;
    #[cfg(not(target_os = "linux"))]
    const LISTED: OFlags = FILE;
}

impl Vfs for Directory {
    fn open(&self, lookup: &Lookup<'_>) -> Result<Opened, Fault> {
        self.open_file(lookup).or_else(|error| match error {
            Errno::AGAIN if lookup.wait == Wait::Never => Ok(Opened::WouldBlock),
            // No such name, one that is no directory, a link that may not be followed, a name that is too long.
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NAMETOOLONG | Errno::XDEV | Errno::NXIO => {
                Ok(Opened::NotHere)
            }
            error => Err(fault(error)),
        })
    }

    fn list(&self, lookup: &Lookup<'_>, max: usize) -> Result<Listing, Fault> {
        match lookup.wait {
            Wait::Never => Ok(Listing::WouldBlock),
            Wait::Allowed => self.list_directory(lookup.names, max).map_err(fault),
        }
    }
}

#[cfg(target_os = "linux")]
fn resolve_flags(links: Links) -> rustix::fs::ResolveFlags {
    use rustix::fs::ResolveFlags;

    match links {
        Links::Inside => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS,
        Links::Refused => ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS,
        Links::Followed => ResolveFlags::empty(),
    }
}

/// Whether this is one of the file systems that answer `open` and `stat` of cached entries without asking another
/// process or machine. One of a network, or one that a program serves (FUSE), is not: there even the open of a known
/// name may hang.
#[cfg(target_os = "linux")]
fn is_local(root: &OwnedFd) -> bool {
    const LOCAL: [u64; 11] = [
        0xef53,      // ext2, ext3, ext4
        0x5846_5342, // xfs
        0x9123_683e, // btrfs
        0x0102_1994, // tmpfs
        0x8584_58f6, // ramfs
        0x794c_7630, // overlayfs
        0xf2f5_2010, // f2fs
        0x2fc1_2fc1, // zfs
        0xca45_1a4e, // bcachefs
        0xe0f5_e1e2, // erofs
        0x7371_7368, // squashfs
    ];
    rustix::fs::fstatfs(root).is_ok_and(|fs| LOCAL.contains(&(u64::from(fs.f_type as u32))))
}

/// What an opened file consists of.
struct Read {
    content: Content,
    metadata: Metadata,
    /// Whether the content still matches the metadata, because no one has written to it.
    settled: bool,
}

/// How often a file is read that is being written.
const READS_MAX: usize = 3;

impl Read {
    /// Reads a file that is small, and keeps one open that is not. `None` if it would have to be waited for.
    fn of(file: File, mut metadata: Metadata, wait: Wait) -> Result<Option<Self>, Errno> {
        let mut bytes = Vec::new();
        for _ in 0..READS_MAX {
            let len = metadata.len();
            if len > SMALL_BYTES_MAX {
                let region = Region { file: Arc::new(file), offset: 0, len };
                let content = Content::One(crate::Piece::Region(region));
                return Ok(Some(Self { content, metadata, settled: true }));
            }
            bytes.resize(usize::try_from(len).unwrap_or(0), 0);
            let progress = read_exact_at(&file, &mut bytes, 0, wait);
            if matches!(progress, Ok(Progress::WouldBlock)) {
                return Ok(None);
            }
            // The tag is of the bytes only if the file is the same as before they were read.
            let now = file.metadata().map_err(of_io)?;
            if is_same(&metadata, &now) {
                progress.map_err(of_io)?;
                return Ok(Some(Self { content: Content::from(bytes), metadata, settled: true }));
            }
            metadata = now;
        }
        // Somebody writes all the time. What was read last is given, and its tag promises nothing.
        Ok(Some(Self { content: Content::from(bytes), metadata, settled: false }))
    }
}

fn is_same(a: &Metadata, b: &Metadata) -> bool {
    let of = |metadata: &Metadata| {
        (metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec())
    };
    of(a) == of(b)
}

/// The validator of a file: when it was written and when anything about it changed. Another file in its place has another change
/// time, even where all modification times are made alike. No inode, which tells of other files on the disk.
fn tag(metadata: &Metadata, date: HttpDate) -> EntityTag {
    let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
    let tag = EntityTag::of_version(metadata.len(), times.map(i64::to_le_bytes).as_flattened());
    // A file system that counts whole seconds does not show a second change in the same one. RFC 9110 §8.8.2.2.
    let whole_seconds = metadata.mtime_nsec() == 0 && metadata.ctime_nsec() == 0;
    let changed = metadata.mtime().max(metadata.ctime());
    if whole_seconds && date.unix_seconds() - changed <= 1 { tag.weakened() } else { tag }
}

/// When a file was changed last; `None` for the epoch and the second after it, which images and archives give to all files.
fn modified(metadata: &Metadata, date: HttpDate) -> Option<HttpDate> {
    // RFC 9110 §8.8.2.1: never "later than the server's time of message origination".
    (metadata.mtime() > 1).then(|| HttpDate::from_unix(metadata.mtime()).min(date))
}

/// Whether something could not be opened because descriptors or memory ran out.
fn is_shortage(error: Errno) -> bool {
    matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOMEM)
}

fn of_io(error: io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

fn fault(error: Errno) -> Fault {
    match error {
        Errno::ACCESS | Errno::PERM => Fault::Forbidden,
        error if is_shortage(error) => Fault::Shortage,
        error => Fault::Failed(io::Error::from(error).kind()),
    }
}
