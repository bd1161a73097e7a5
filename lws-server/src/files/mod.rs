//! Files behind a path: of a directory, in memory, inside an archive, or of a tree that the application has.
//!
//! What a request is answered with is decided by [`lws_files`]. Here stands how its answers reach a peer: `mount.rs` is the endpoint,
//! `documents.rs` has files that stand for the server's words of errors, `transfer.rs` sends a response permit by permit and waits for
//! disks without keeping the loop waiting, and `shelf.rs` bounds what is open for peers that take nothing.

mod documents;
mod mount;
pub(crate) mod shelf;
pub(crate) mod transfer;

pub use documents::ErrorDocuments;
pub use lws_files::{
    Accepted, Body, CacheControl, CacheLimits, CachePolicy, Chain, Coding, Compression, Content, Directory,
    Encoder, EntityTag, Entry, Fault, Field, Links, Listed, Listing, Lookup, Memory, Opened, Options, Piece,
    PoolOptions, Progress, ReadAt, Region, Sequential, Stream, Types, Vfs, Wait,
};
#[cfg(feature = "zip")]
pub use lws_files::{Zip, ZipError, ZipLimits};
pub(crate) use mount::{Mount, Mounted};

use lws_loop_external::descriptors_max;
use lws_proto::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// An embedded file.
///
/// ```
/// use lws_server::files::{Asset, Files};
///
/// static PAGES: &[Asset] = &[Asset { path: "index.html", content: b"<!doctype html><title>Hello</title>" }];
/// let files = Files::assets(PAGES);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// Its path below the mount, without `/` in front.
    pub path: &'static str,
    /// Its bytes: `include_bytes!` gives them.
    pub content: &'static [u8],
}

/// Files to serve: GET and HEAD, with conditional requests, ranges and content codings. RFC 9110 §12.5.3, §13 and §14.
///
/// A directory is answered with its `index.html`, or with a list if [`listing`](Self::listing) says so, or 404. One that is asked for
/// without the `/` at its end is redirected. Only regular files are served, and none whose name, or that of a directory above it, begins
/// with a dot, except below `.well-known`. Precompressed siblings (`app.js.br`, `.zst`, `.gz`) are sent to clients that accept them.
///
/// The loop waits for no disk: what is not in the memory of the system is looked for and read by a few threads that all loops of
/// the server share ([`ServerOptions::disk`](crate::ServerOptions::disk)), and the exchange waits meanwhile.
///
/// ```no_run
/// use lws_server::{Server, files::{CacheControl, Compression, Files, Links}};
///
/// let files = Files::directory("public")?
///     .links(Links::Refused)
///     .cache_control(CacheControl::NoCache)
///     .compression(Compression::default());
/// let server = Server::builder().listen("127.0.0.1:7681").mount("/", files).build()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// Descriptions that were cloned and not changed share what they keep of files, on all threads.
#[doc(alias = "lws_http_mount")]
#[derive(Clone)]
#[must_use]
pub struct Files {
    source: FileSource,
    options: Options,
    disk_timeout: Duration,
    /// Made for the first route that has these files.
    served: Arc<OnceLock<lws_files::Files>>,
}

#[derive(Clone)]
enum FileSource {
    Directory(Directory),
    Tree(Arc<dyn Vfs>),
}

/// How long an exchange waits for a disk.
const DISK_TIMEOUT: Duration = Duration::from_secs(30);

/// Descriptors that one mount keeps open, unless few may be had.
const KEPT_OPEN_MAX: usize = 64;

impl Files {
    /// Those of a directory.
    ///
    /// # Errors
    /// If it cannot be opened, with its name in the message.
    pub fn directory(directory: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::from_source(FileSource::Directory(Directory::open(directory)?)))
    }

    /// Embedded ones. Their entity tags are made of their bytes.
    pub fn assets(assets: &'static [Asset]) -> Self {
        let add = |memory: Memory, asset: &Asset| memory.file(asset.path, Bytes::from_static(asset.content));
        Self::new(assets.iter().fold(Memory::new(), add))
    }

    /// Those of a zip archive, which is not unpacked: deflated members are sent as gzip to clients that accept it. One that is put in
    /// its place is served from then on.
    ///
    /// # Errors
    /// Why it is refused, with its name in the message.
    #[cfg(feature = "zip")]
    pub fn zip(archive: impl AsRef<Path>) -> io::Result<Self> {
        let archive = archive.as_ref();
        let zip = Zip::open(archive, ZipLimits::default());
        let named = |error| io::Error::other(format!("{}: {error}", archive.display()));
        Ok(Self::new(zip.map_err(named)?))
    }

    /// Those of a tree: of [`Memory`], a [`Chain`] of several trees, or one of the application.
    pub fn new(tree: impl Vfs + 'static) -> Self {
        Self::from_source(FileSource::Tree(Arc::new(tree)))
    }

    fn from_source(source: FileSource) -> Self {
        let mut options = Options::default();
        options.cache.descriptors_max = (descriptors_max() / 32).clamp(1, KEPT_OPEN_MAX);
        Self { source, options, disk_timeout: DISK_TIMEOUT, served: Arc::default() }
    }

    /// Changes the options. What was kept is of other files now.
    fn with(mut self, change: impl FnOnce(&mut Options)) -> Self {
        change(&mut self.options);
        self.served = Arc::default();
        self
    }

    fn with_directory(mut self, change: impl FnOnce(Directory) -> Directory) -> Self {
        if let FileSource::Directory(directory) = self.source {
            self.source = FileSource::Directory(change(directory));
        }
        self.with(|_| {})
    }

    /// Which symbolic links of a directory are followed. Default [`Links::Inside`].
    pub fn links(self, links: Links) -> Self {
        self.with_directory(|directory| directory.links(links))
    }

    /// Whether precompressed siblings are looked for in a directory. Default yes.
    #[doc(alias = "gzip_static")]
    pub fn siblings(self, siblings: bool) -> Self {
        self.with_directory(|directory| directory.siblings(siblings))
    }

    /// The file that stands for its directory. Default `index.html`.
    pub fn index(self, name: impl Into<String>) -> Self {
        self.with(|options| options.index = vec![name.into()])
    }

    /// Whether names that begin with a dot are served. Default no.
    pub fn dot_files(self, served: bool) -> Self {
        self.with(|options| options.hidden = served)
    }

    /// Whether a directory without an index is listed: as a page, or as JSON for clients that like it better. Default no.
    pub fn listing(self, listed: bool) -> Self {
        self.with(|options| options.listing = listed)
    }

    /// The file that is sent where there is none, to a browser that goes there: the page of an application with paths of its own. Not
    /// to a page that loads what it consists of, nor for names with an extension.
    pub fn fallback(self, name: impl Into<String>) -> Self {
        self.with(|options| options.fallback = Some(name.into()))
    }

    /// The file that is sent with 404.
    pub fn not_found(self, name: impl Into<String>) -> Self {
        self.with(|options| options.not_found = Some(name.into()))
    }

    /// Content types by the extensions of names.
    pub fn types(self, types: Types) -> Self {
        self.with(|options| options.types = types)
    }

    /// How long caches may keep what: a [`CacheControl`] for all files, or a [`CachePolicy`]. By default nothing is said, and caches
    /// decide by `Last-Modified`. RFC 9111 §4.2.2.
    #[doc(alias = "cache_max_age")]
    pub fn cache_control(self, policy: impl Into<CachePolicy>) -> Self {
        self.with(|options| options.cache_control = policy.into())
    }

    /// Compresses files on the way that have no precompressed sibling. Off unless this is called.
    pub fn compression(self, compression: Compression) -> Self {
        self.with(|options| options.compression = Some(compression))
    }

    /// Adds a field line to the responses that carry a file or say that it has not changed.
    pub fn field(self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        self.with(|options| options.fields.push((name.into(), value.into())))
    }

    /// What is kept of files between requests. Default: 16 MiB of contents and 64 open files, or fewer if the limit of open files
    /// is low, each believed for one second.
    pub fn cache(self, limits: CacheLimits) -> Self {
        self.with(|options| options.cache = limits)
    }

    /// How long an exchange waits for a disk at a time. Default 30 s. Past it the answer is 503, or a response that has begun is cut
    /// off.
    pub fn disk_timeout(mut self, timeout: Duration) -> Self {
        self.disk_timeout = timeout;
        self
    }

    /// What all threads and mounts share.
    pub(crate) fn shared(&self) -> lws_files::Files {
        let files = self.served.get_or_init(|| match &self.source {
            FileSource::Directory(directory) => {
                lws_files::Files::new(directory.clone(), self.options.clone())
            }
            FileSource::Tree(tree) => lws_files::Files::new(Arc::clone(tree), self.options.clone()),
        });
        files.clone()
    }

    pub(crate) fn mounted_at(self, path: &str) -> Mount {
        Mount::new(path, Mounted::new(self.shared(), self.disk_timeout))
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("options", &self.options).finish_non_exhaustive()
    }
}
