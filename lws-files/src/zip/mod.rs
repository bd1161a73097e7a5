//! Serving from inside a zip archive, without unpacking it.
//!
//! A deflated member goes out as gzip by putting ten bytes before it and eight behind; for a client that does not
//! accept gzip it is decompressed in constant memory. The reader is our own: it needs the directory and one header per
//! member, and refuses whatever could be read in two ways, which the crates that read every archive in the wild must
//! not.

mod error;
mod index;
mod inflate;
mod record;
#[cfg(test)]
mod tests;

pub use error::ZipError;
pub use index::ZipLimits;

use crate::content::{Content, Piece, Region, Stream, Wait};
use crate::vfs::{Entry, Fault, Listed, Listing, Lookup, Opened, Vfs};
use crate::{Coding, EntityTag, Progress};
use bytes::Bytes;
use index::{Index, Member};
use inflate::Deflated;
use lws_proto::Time;
use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long an archive is believed to be the one at its path.
const FRESH: Duration = Duration::from_secs(1);

/// A member of so many bytes or fewer is decompressed when it is opened, and has ranges then.
const SMALL_BYTES_MAX: u64 = 32 << 10;

/// The files in a zip archive.
///
/// It is looked at again once a second, and one that was put in its place is served from then on; what is being sent from the old one
/// is sent to its end. If the new one is refused, the old one stays, and [`Zip::refused`] says why.
///
/// ```no_run
/// use lws_files::{Files, Options, Zip, ZipLimits};
///
/// let zip = Zip::open("site.zip", ZipLimits::default())?;
/// let files = Files::new(zip, Options::default());
/// # Ok::<(), lws_files::ZipError>(())
/// ```
pub struct Zip {
    path: PathBuf,
    limits: ZipLimits,
    state: Mutex<ArchiveState>,
}

struct ArchiveState {
    archive: Arc<Archive>,
    /// When the path was looked at last, and whether somebody who may wait is to do so.
    looked: Option<Time>,
    is_due: bool,
    /// The one that was refused, and why: it is not read again.
    refused: Option<(Identity, ZipError)>,
}

/// An archive that was read.
struct Archive {
    file: Arc<File>,
    identity: Identity,
    index: Index,
}

/// Which file it is, and in which state.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity([i64; 7]);

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        let [a, b, c, d] = times;
        Self([metadata.dev() as i64, metadata.ino() as i64, metadata.len() as i64, a, b, c, d])
    }
}

impl fmt::Debug for Zip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Zip").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Archive {
    fn open(path: &Path, limits: &ZipLimits) -> Result<Self, ZipError> {
        // To open a FIFO would wait for somebody who writes to it.
        if !path.metadata()?.is_file() {
            return Err(ZipError::NotAnArchive);
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let index = Index::read(&file, metadata.len(), limits)?;
        Ok(Self { file: Arc::new(file), identity: Identity::of(&metadata), index })
    }
}

impl Zip {
    /// Opens the archive at `path` and reads its directory, which may take a while.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn open(path: impl Into<PathBuf>, limits: ZipLimits) -> Result<Self, ZipError> {
        let path = path.into();
        let archive = Arc::new(Archive::open(&path, &limits)?);
        let state = ArchiveState { archive, looked: None, is_due: false, refused: None };
        Ok(Self { path, limits, state: Mutex::new(state) })
    }

    /// Why the archive that is at the path now is not served, if it is not.
    #[must_use]
    pub fn refused(&self) -> Option<ZipError> {
        self.lock().refused.as_ref().map(|(_, error)| error.clone())
    }

    /// Nothing that can panic runs while this is held.
    fn lock(&self) -> MutexGuard<'_, ArchiveState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The archive to answer from. `None` if the caller has to let a thread that may wait look at the path; all others
    /// go on with the one that there is.
    fn archive(&self, lookup: &Lookup<'_>) -> Option<Arc<Archive>> {
        let mut state = self.lock();
        let looked = *state.looked.get_or_insert(lookup.now);
        let is_stale = lookup.now - looked >= FRESH;
        if is_stale {
            state.looked = Some(lookup.now);
        }
        match lookup.wait {
            Wait::Never if is_stale => {
                state.is_due = true;
                return None;
            }
            Wait::Never => {}
            Wait::Allowed if is_stale || state.is_due => {
                state.is_due = false;
                drop(state);
                self.look();
                state = self.lock();
            }
            Wait::Allowed => {}
        }
        Some(Arc::clone(&state.archive))
    }

    /// Reads the archive at the path, if it is another one than before.
    fn look(&self) {
        // An archive that is being replaced may not be there for a moment: the old one stays.
        let Ok(identity) = self.path.metadata().map(|metadata| Identity::of(&metadata)) else { return };
        let state = self.lock();
        let is_known = state.archive.identity == identity
            || state.refused.as_ref().is_some_and(|(refused, _)| *refused == identity);
        drop(state);
        if is_known {
            return;
        }
        let read = Archive::open(&self.path, &self.limits);
        let mut state = self.lock();
        match read {
            Ok(archive) => {
                state.archive = Arc::new(archive);
                state.refused = None;
            }
            Err(error) => state.refused = Some((identity, error)),
        }
    }
}

impl Vfs for Zip {
    fn open(&self, lookup: &Lookup<'_>) -> Result<Opened, Fault> {
        let Some(archive) = self.archive(lookup) else { return Ok(Opened::WouldBlock) };
        let Some(member) = archive.index.find(lookup.names) else {
            let is_directory = lookup.names.is_empty() || archive.index.below(lookup.names).next().is_some();
            return Ok(if is_directory { Opened::Directory } else { Opened::NotHere });
        };
        archive.entry(member, lookup)
    }

    fn list(&self, lookup: &Lookup<'_>, max: usize) -> Result<Listing, Fault> {
        let Some(archive) = self.archive(lookup) else { return Ok(Listing::WouldBlock) };
        let mut listed: Vec<Listed> = Vec::new();
        for (rest, member) in archive.index.below(lookup.names) {
            let (name, directory) = match rest.split_once('/') {
                Some((name, _)) => (name, true),
                None => (rest, false),
            };
            // In the order of the names, what lies in one directory lies together.
            if listed.last().is_some_and(|last| last.name == name) {
                continue;
            }
            if listed.len() == max {
                return Ok(Listing::Names(listed, true));
            }
            let (len, modified) = if directory { (0, None) } else { (member.size, member.modified) };
            listed.push(Listed { name: name.into(), directory, len, modified });
        }
        let is_none = listed.is_empty() && !lookup.names.is_empty();
        Ok(if is_none { Listing::NotHere } else { Listing::Names(listed, false) })
    }
}

impl Archive {
    /// A member in the most welcome coding that there is: as it lies there, or another member beside it that is compressed already.
    fn entry(&self, member: &Member, lookup: &Lookup<'_>) -> Result<Opened, Fault> {
        let sibling = |coding: Coding| {
            let sibling = self.index.find(&format!("{}{}", member.names, coding.extension()?))?;
            (!sibling.deflated).then_some(sibling)
        };
        let has_sibling = Coding::ALL.iter().any(|coding| sibling(*coding).is_some());
        let varies = member.deflated || has_sibling;
        for coding in lookup.accepted.iter() {
            let entry = match coding {
                Coding::Identity => break,
                _ if has_sibling && let Some(sibling) = sibling(coding) => self.stored(sibling, coding),
                Coding::Gzip if member.deflated => self.gzip(member),
                _ => continue,
            };
            return Ok(Opened::File(Entry { varies, ..entry }));
        }
        if !member.deflated {
            return Ok(Opened::File(Entry { varies, ..self.stored(member, Coding::Identity) }));
        }
        self.inflated(member, lookup.wait)
    }

    fn stored(&self, member: &Member, coding: Coding) -> Entry {
        let region = Region { file: Arc::clone(&self.file), offset: member.data, len: member.compressed };
        let tag = EntityTag::strong(&format!("{:08x}-{:x}", member.crc, member.size));
        Entry {
            content: Content::One(Piece::Region(region)),
            coding,
            tag,
            modified: member.modified,
            varies: false,
        }
    }

    /// The deflated bytes as they are, between the header and the trailer of gzip. RFC 1952 §2.3.
    fn gzip(&self, member: &Member) -> Entry {
        const HEADER: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
        let length = member.size as u32;
        let trailer = [member.crc.to_le_bytes(), length.to_le_bytes()];
        let region = Region { file: Arc::clone(&self.file), offset: member.data, len: member.compressed };
        let pieces = [
            Piece::Bytes(Bytes::from_static(HEADER)),
            Piece::Region(region),
            Piece::Bytes(Bytes::copy_from_slice(trailer.as_flattened())),
        ];
        // The compressed length as well: another archiver may have made other bytes of the same content.
        let tag = format!("{:08x}-{:x}-{:x}", member.crc, member.size, member.compressed);
        let tag = EntityTag::strong(&tag).map(|tag| tag.coded(Coding::Gzip));
        let content = Content::Pieces(pieces.into());
        Entry { content, coding: Coding::Gzip, tag, modified: member.modified, varies: true }
    }

    fn inflated(&self, member: &Member, wait: Wait) -> Result<Opened, Fault> {
        let deflated = Deflated { file: Arc::clone(&self.file), member: member.clone() };
        let tag = EntityTag::strong(&format!("{:08x}-{:x}", member.crc, member.size));
        let content = if member.size > SMALL_BYTES_MAX {
            Content::Sequential(Arc::new(deflated))
        } else if wait == Wait::Never {
            return Ok(Opened::WouldBlock);
        } else {
            Content::from(inflate_all(&deflated).map_err(|error| Fault::Failed(error.kind()))?)
        };
        let modified = member.modified;
        Ok(Opened::File(Entry { content, coding: Coding::Identity, tag, modified, varies: true }))
    }
}

/// All of a small member.
fn inflate_all(deflated: &Deflated) -> io::Result<Vec<u8>> {
    use crate::content::Sequential as _;

    let mut stream: Box<dyn Stream> = deflated.begin();
    let mut bytes = vec![0; deflated.member.size as usize];
    let mut made = 0;
    while made < bytes.len() {
        match stream.read(&mut bytes[made..], Wait::Allowed)? {
            Progress::Bytes(n) => made += n,
            Progress::End | Progress::WouldBlock => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    Ok(bytes)
}

/// Reads an archive from memory: the name, the place, the length and the checksum of each member.
#[cfg(test)]
fn members_of(bytes: &[u8], limits: &ZipLimits) -> Result<Vec<(String, u64, u64, u32)>, ZipError> {
    let index = Index::read(&bytes, bytes.len() as u64, limits)?;
    let members = index.members().iter();
    Ok(members.map(|member| (member.names.to_string(), member.data, member.size, member.crc)).collect())
}

/// Reads an archive from memory: the name, the place and the compressed length of each member.
#[cfg(feature = "fuzz")]
pub(crate) fn extents_of(bytes: &[u8], limits: &ZipLimits) -> Result<Vec<(String, u64, u64)>, ZipError> {
    let index = Index::read(&bytes, bytes.len() as u64, limits)?;
    let members = index.members().iter();
    Ok(members.map(|member| (member.names.to_string(), member.data, member.compressed)).collect())
}
