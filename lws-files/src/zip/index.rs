//! What is in a zip archive, and where: read once, checked whole, and then only looked up.
//!
//! An archive is believed or refused as a whole. Two readers that take different members from one file are how files are smuggled past
//! the tools that have inspected it, so everything that could be read in two ways is refused.

use super::ZipError;
use super::record::{Central, End, LOCATOR_LEN, Local, Reader, extra_field, flags, parse_locator};
use crate::vfs::is_downward;
use lws_proto::http::HttpDate;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What an archive may make us hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZipLimits {
    /// Members, each of which costs about 100 bytes and its name. Default 65,536.
    pub entries_max: u64,
    /// Bytes of the central directory, which is read at once. Default 16 MiB.
    pub directory_bytes_max: u64,
}

impl Default for ZipLimits {
    fn default() -> Self {
        Self { entries_max: 65_536, directory_bytes_max: 16 << 20 }
    }
}

/// What an archive is read from.
pub(super) trait Source {
    fn read_exact_at(&self, out: &mut [u8], at: u64) -> io::Result<()>;
}

impl Source for File {
    fn read_exact_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, out, at)
    }
}

impl Source for &[u8] {
    fn read_exact_at(&self, out: &mut [u8], at: u64) -> io::Result<()> {
        let start = usize::try_from(at).ok().and_then(|at| self.get(at..)?.get(..out.len()));
        out.copy_from_slice(start.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// A file in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Names joined by `/`.
    pub(super) names: Box<str>,
    /// Where its bytes begin.
    pub(super) data: u64,
    /// How many there are.
    pub(super) compressed: u64,
    /// How many they become.
    pub(super) size: u64,
    pub(super) crc: u32,
    pub(super) deflated: bool,
    pub(super) modified: Option<HttpDate>,
}

/// The members of an archive, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// In the order of their names.
    members: Vec<Member>,
}

/// A member whose local header has not been read.
struct ListedMember<'a> {
    header: Central<'a>,
    names: String,
    /// In the file, whatever stands before the archive.
    local: u64,
    directory: bool,
}

/// DEFLATE makes at most so many bytes of one.
const RATIO_MAX: u64 = 1032;

impl Index {
    /// Reads the directory of an archive of `len` bytes, and the header of each member.
    pub(super) fn read(source: &dyn Source, len: u64, limits: &ZipLimits) -> Result<Self, ZipError> {
        let (end, directory) = find_directory(source, len)?;
        if end.entries > limits.entries_max {
            return Err(ZipError::TooManyEntries);
        }
        if end.size > limits.directory_bytes_max {
            return Err(ZipError::DirectoryTooLong);
        }
        let mut bytes = vec![0; usize::try_from(end.size).map_err(|_| ZipError::DirectoryTooLong)?];
        source.read_exact_at(&mut bytes, directory)?;
        // Whatever stands before the archive has moved everything by as much.
        let before = directory - end.offset;
        let mut listed = list(&bytes, end.entries, before)?;
        listed.sort_by_key(|listed| listed.local);
        let mut members = Vec::with_capacity(listed.len());
        let mut free = 0;
        for listed in listed {
            let data = check_local(source, &listed)?;
            let behind = data.checked_add(listed.header.compressed).filter(|behind| *behind <= directory);
            // In the order of their places, each begins where the one before has ended, or later.
            let overlaps = listed.local < free;
            free = behind.filter(|_| !overlaps).ok_or_else(|| ZipError::Overlap(listed.names.clone()))?;
            members.extend(listed.member(data));
        }
        members.sort_by(|a: &Member, b: &Member| a.names.cmp(&b.names));
        Ok(Self { members })
    }

    pub(super) fn find(&self, names: &str) -> Option<&Member> {
        let at = self.members.binary_search_by(|member| (*member.names).cmp(names)).ok()?;
        self.members.get(at)
    }

    /// The members below the directory `names`, with what their names have behind its name and `/`.
    pub(super) fn below<'a>(&'a self, names: &str) -> impl Iterator<Item = (&'a str, &'a Member)> + use<'a> {
        let prefix = if names.is_empty() { String::new() } else { format!("{names}/") };
        let start = self.members.partition_point(|member| *member.names < *prefix);
        self.members[start..]
            .iter()
            .map_while(move |member| Some((member.names.strip_prefix(&*prefix)?, member)))
    }

    #[cfg(any(test, feature = "fuzz"))]
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }
}

/// The last end record whose comment reaches exactly to the end of the file, and the place of the central directory.
fn find_directory(source: &dyn Source, len: u64) -> Result<(End, u64), ZipError> {
    let tail_len = len.min(End::LEN as u64 + u64::from(u16::MAX));
    let mut tail = vec![0; tail_len as usize];
    source.read_exact_at(&mut tail, len - tail_len)?;
    let last = tail.len().checked_sub(End::LEN).ok_or(ZipError::NotAnArchive)?;
    for at in (0..=last).rev().filter(|at| tail[*at..].starts_with(&End::SIGNATURE)) {
        if let Some(end) = End::parse(&tail[at..])? {
            return place_directory(source, end, len - tail_len + at as u64);
        }
    }
    Err(ZipError::NotAnArchive)
}

/// The central directory ends where its end record begins, whatever stands before the archive: self-extractors put a program there.
fn place_directory(source: &dyn Source, end: End, at: u64) -> Result<(End, u64), ZipError> {
    let (end, behind) = match find_zip64(source, &end, at)? {
        Some(wide) => wide,
        None => (end, at),
    };
    let directory = behind.checked_sub(end.size).ok_or(ZipError::Truncated)?;
    if directory < end.offset {
        return Err(ZipError::Truncated);
    }
    Ok((end, directory))
}

/// The ZIP64 record and its place, if the end record at `at` needs one and has one.
fn find_zip64(source: &dyn Source, end: &End, at: u64) -> Result<Option<(End, u64)>, ZipError> {
    let Some(locator_at) = at.checked_sub(LOCATOR_LEN).filter(|_| end.is_saturated) else { return Ok(None) };
    let mut locator = [0; LOCATOR_LEN as usize];
    source.read_exact_at(&mut locator, locator_at)?;
    let Some(said) = parse_locator(&locator)? else { return Ok(None) };
    let read = |place: u64| -> Result<(End, u64), ZipError> {
        // It reaches to the locator. It is 56 bytes long, and an extensible part of it has not been used by anybody yet.
        let len =
            locator_at.checked_sub(place).filter(|len| (56..=1024).contains(len)).ok_or(ZipError::Zip64)?;
        let mut record = vec![0; len as usize];
        source.read_exact_at(&mut record, place)?;
        Ok((End::parse_zip64(&record)?, place))
    };
    // What the locator says does not count what stands before the archive.
    read(said).or_else(|error| read(locator_at.checked_sub(56).ok_or(error)?)).map(Some)
}

/// The headers in the central directory, each checked for itself.
fn list(bytes: &[u8], entries: u64, before: u64) -> Result<Vec<ListedMember<'_>>, ZipError> {
    // A header has 46 bytes at least: what claims more members than fit reserves no memory for them.
    let mut listed: Vec<ListedMember<'_>> = Vec::with_capacity((entries as usize).min(bytes.len() / 46));
    let mut reader = Reader(bytes);
    while !reader.0.is_empty() {
        if listed.len() as u64 == entries {
            return Err(ZipError::EntryCount);
        }
        listed.push(ListedMember::check(Central::parse(&mut reader)?, before)?);
    }
    if listed.len() as u64 != entries {
        return Err(ZipError::EntryCount);
    }
    let mut names: Vec<&str> = listed.iter().map(|listed| &*listed.names).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(ZipError::Duplicate(pair[0].into())),
        None => Ok(listed),
    }
}

impl<'a> ListedMember<'a> {
    fn check(header: Central<'a>, before: u64) -> Result<Self, ZipError> {
        let full = decode_name(header.name, header.flags);
        let names = full.trim_end_matches('/');
        let directory = names.len() < full.len();
        if names.is_empty() || full.len() - names.len() > 1 || !is_downward(names) {
            return Err(ZipError::Name(full));
        }
        let names = names.to_owned();
        if header.flags & flags::ENCRYPTED != 0 {
            return Err(ZipError::Encrypted(names));
        }
        let fits = match header.method {
            0 => header.size == header.compressed,
            8 => header.size <= header.compressed.saturating_mul(RATIO_MAX),
            method => return Err(ZipError::Method(names, method)),
        };
        if !fits {
            return Err(ZipError::Ratio(names));
        }
        let local = header.offset.checked_add(before).ok_or(ZipError::Truncated)?;
        Ok(Self { header, names, local, directory })
    }

    /// The file that it is; `None` for directories and for symbolic links, which are not followed.
    fn member(self, data: u64) -> Option<Member> {
        const UNIX: u16 = 3;
        let is_link = self.header.made_by >> 8 == UNIX && self.header.attributes >> 28 == 0o12;
        let Central { compressed, size, crc, method, .. } = self.header;
        let modified = modified(&self.header);
        let names = self.names.into();
        (!self.directory && !is_link).then_some(Member {
            names,
            data,
            compressed,
            size,
            crc,
            deflated: method == 8,
            modified,
        })
    }
}

/// Reads the local header of a member, which must say the same as the directory as far as it says anything. Returns where the data
/// begins: its name and its extra fields may be of other lengths there.
fn check_local(source: &dyn Source, listed: &ListedMember<'_>) -> Result<u64, ZipError> {
    let disagree = || ZipError::LocalHeader(listed.names.clone());
    let header = &listed.header;
    let mut bytes = vec![0; Local::LEN + header.name.len()];
    source.read_exact_at(&mut bytes, listed.local).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => disagree(),
        _ => error.into(),
    })?;
    let (fixed, name) = bytes.split_at(Local::LEN);
    let local = Local::parse(fixed).map_err(|_| disagree())?;
    // Sizes may be saturated, and are zero if they follow the data. Such sizes are never read, as their position is
    // unknown.
    let is = |local: u32, central: u64| u64::from(local) == central || local == u32::MAX;
    let later = local.flags & flags::DESCRIPTOR != 0;
    let sizes =
        is(local.compressed, header.compressed) && is(local.size, header.size) && local.crc == header.crc;
    let zeros = later && is(local.compressed, 0) && is(local.size, 0) && local.crc == 0;
    let same = usize::from(local.name_len) == header.name.len()
        && name == header.name
        && local.method == header.method
        && local.flags & flags::ENCRYPTED == 0
        && (local.flags ^ header.flags) & flags::UTF8 == 0;
    if !same || !(sizes || zeros) {
        return Err(disagree());
    }
    let lengths = Local::LEN as u64 + u64::from(local.name_len) + u64::from(local.extra_len);
    listed.local.checked_add(lengths).ok_or_else(disagree)
}

/// A name as text. §4.4.4, bit 11: UTF-8, or else the code page of the first PC. What claims to be UTF-8 and is not becomes
/// something that no request can ask for.
fn decode_name(name: &[u8], bits: u16) -> String {
    const UPPER: &str = "\u{c7}\u{fc}\u{e9}\u{e2}\u{e4}\u{e0}\u{e5}\u{e7}\u{ea}\u{eb}\u{e8}\u{ef}\u{ee}\u{ec}\
        \u{c4}\u{c5}\u{c9}\u{e6}\u{c6}\u{f4}\u{f6}\u{f2}\u{fb}\u{f9}\u{ff}\u{d6}\u{dc}\u{a2}\
        \u{a3}\u{a5}\u{20a7}\u{192}\u{e1}\u{ed}\u{f3}\u{fa}\u{f1}\u{d1}\u{aa}\u{ba}\u{bf}\
        \u{2310}\u{ac}\u{bd}\u{bc}\u{a1}\u{ab}\u{bb}\u{2591}\u{2592}\u{2593}\u{2502}\u{2524}\
        \u{2561}\u{2562}\u{2556}\u{2555}\u{2563}\u{2551}\u{2557}\u{255d}\u{255c}\u{255b}\
        \u{2510}\u{2514}\u{2534}\u{252c}\u{251c}\u{2500}\u{253c}\u{255e}\u{255f}\u{255a}\
        \u{2554}\u{2569}\u{2566}\u{2560}\u{2550}\u{256c}\u{2567}\u{2568}\u{2564}\u{2565}\
        \u{2559}\u{2558}\u{2552}\u{2553}\u{256b}\u{256a}\u{2518}\u{250c}\u{2588}\u{2584}\
        \u{258c}\u{2590}\u{2580}\u{3b1}\u{df}\u{393}\u{3c0}\u{3a3}\u{3c3}\u{b5}\u{3c4}\
        \u{3a6}\u{398}\u{3a9}\u{3b4}\u{221e}\u{3c6}\u{3b5}\u{2229}\u{2261}\u{b1}\u{2265}\
        \u{2264}\u{2320}\u{2321}\u{f7}\u{2248}\u{b0}\u{2219}\u{b7}\u{221a}\u{207f}\u{b2}\
        \u{25a0}\u{a0}";
    if bits & flags::UTF8 != 0 {
        return String::from_utf8(name.into()).unwrap_or_else(|_| "\0".into());
    }
    let upper = |byte: u8| UPPER.chars().nth(usize::from(byte & 0x7f)).unwrap_or('\0');
    name.iter().map(|&byte| if byte.is_ascii() { char::from(byte) } else { upper(byte) }).collect()
}

/// When a member was changed last: the extended timestamp if it has one (UTC), or else the one of MS-DOS, whose time
/// zone is unknown.
fn modified(header: &Central<'_>) -> Option<HttpDate> {
    if let Some([bits, rest @ ..]) = extra_field(header.extra, 0x5455)
        && bits & 1 != 0
        && let Some((seconds, _)) = rest.split_first_chunk()
    {
        return Some(i64::from(i32::from_le_bytes(*seconds))).filter(|at| *at > 1).map(HttpDate::from_unix);
    }
    let field = |value: u16, low: u32, bits: u32| i64::from(value >> low & ((1 << bits) - 1));
    let (year, month, day) =
        (1980 + field(header.date, 9, 7), field(header.date, 5, 4), field(header.date, 0, 5));
    let (hour, minute, second) =
        (field(header.time, 11, 5), field(header.time, 5, 6), 2 * field(header.time, 0, 5));
    // The first day of MS-DOS is what archives are given whose times are to be alike.
    if !(1..=12).contains(&month) || day == 0 || (year, month, day) == (1980, 1, 1) {
        return None;
    }
    Some(HttpDate::from_unix(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second))
}

/// Days since the first of January 1970, in years from 1980 to 2107.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_ms_dos_and_of_unix() {
        assert_eq!(days(1970, 1, 1), 0);
        assert_eq!(days(2000, 2, 29) + 1, days(2000, 3, 1));
        assert_eq!(days(2026, 11, 29), 20_786);
        let mut header = Central {
            made_by: 0,
            flags: 0,
            method: 0,
            time: 12 << 11 | 30 << 5 | 10,
            date: 46 << 9 | 11 << 5 | 29,
            crc: 0,
            compressed: 0,
            size: 0,
            attributes: 0,
            offset: 0,
            name: b"",
            extra: b"",
        };
        let date = 20_786 * 86_400 + 12 * 3600 + 30 * 60 + 20;
        assert_eq!(modified(&header), Some(HttpDate::from_unix(date)));
        header.extra = b"\x55\x54\x05\x00\x01\x00\x00\x00\x40";
        assert_eq!(modified(&header), Some(HttpDate::from_unix(0x4000_0000)));
        header.extra = b"";
        header.date = 1 << 5 | 1;
        assert_eq!(modified(&header), None);
    }

    #[test]
    fn names_are_utf_8_if_they_say_so_and_else_of_the_first_pc() {
        assert_eq!(decode_name("\u{e9}".as_bytes(), flags::UTF8), "\u{e9}");
        assert_eq!(decode_name(b"caf\x82", 0), "caf\u{e9}");
        assert_eq!(decode_name(b"\xff", flags::UTF8), "\0");
        assert_eq!(decode_name(b"\xe1", 0), "\u{df}");
    }
}
