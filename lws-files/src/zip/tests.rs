//! Archives of every honest shape, and of every dishonest one that has a name.

use super::*;
use crate::vfs::tests::lookup;
use crate::{Accepted, Body};
use std::io::{Cursor, Read, Write};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};
use zlib_rs::crc32::crc32;

/// A member as it is written, so that each of its numbers may be a lie.
#[derive(Clone)]
struct Written {
    name: &'static [u8],
    local_name: &'static [u8],
    flags: u16,
    local_flags: u16,
    method: u16,
    local_method: u16,
    data: Vec<u8>,
    /// In the local header; `None` writes zeros, and a descriptor behind the data.
    local_size: Option<u32>,
    size: u64,
    compressed: u64,
    crc: u32,
    local_extra: &'static [u8],
    attributes: u32,
    /// Where the directory says that it is, if not where it is.
    offset: Option<u32>,
    zip64: bool,
}

fn stored(name: &'static str, data: &str) -> Written {
    Written {
        name: name.as_bytes(),
        local_name: name.as_bytes(),
        flags: 0,
        local_flags: 0,
        method: 0,
        local_method: 0,
        data: data.into(),
        local_size: Some(data.len() as u32),
        size: data.len() as u64,
        compressed: data.len() as u64,
        crc: crc32(0, data.as_bytes()),
        local_extra: b"",
        attributes: 0,
        offset: None,
        zip64: false,
    }
}

/// What the end record says, if not the truth.
#[derive(Clone, Copy, Default)]
struct Lies {
    disk: u16,
    entries: Option<u16>,
    comment: &'static [u8],
    before: &'static [u8],
    zip64: bool,
    behind_directory: &'static [u8],
}

fn push(out: &mut Vec<u8>, numbers: &[(u64, usize)]) {
    numbers.iter().for_each(|(number, len)| out.extend_from_slice(&number.to_le_bytes()[..*len]));
}

fn write_local(out: &mut Vec<u8>, member: &Written) {
    let (crc, size) = member.local_size.map_or((0, 0), |size| (member.crc, size));
    let method = member.local_method;
    push(
        out,
        &[
            (0x0403_4b50, 4),
            (20, 2),
            (member.local_flags.into(), 2),
            (method.into(), 2),
            (0, 4),
            (crc.into(), 4),
        ],
    );
    push(out, &[(size.into(), 4), (size.into(), 4)]);
    push(out, &[(member.local_name.len() as u64, 2), (member.local_extra.len() as u64, 2)]);
    out.extend_from_slice(member.local_name);
    out.extend_from_slice(member.local_extra);
    out.extend_from_slice(&member.data);
    if member.local_size.is_none() {
        push(out, &[(0x0807_4b50, 4), (member.crc.into(), 4), (member.compressed, 4), (member.size, 4)]);
    }
}

fn write_central(out: &mut Vec<u8>, member: &Written, offset: u64) {
    let mut extra = Vec::new();
    let (mut compressed, mut size, mut place) = (member.compressed, member.size, offset);
    if member.zip64 {
        push(&mut extra, &[(1, 2), (24, 2), (size, 8), (compressed, 8), (place, 8)]);
        (compressed, size, place) = (u32::MAX.into(), u32::MAX.into(), u32::MAX.into());
    }
    push(
        out,
        &[(0x0201_4b50, 4), (3 << 8 | 20, 2), (20, 2), (member.flags.into(), 2), (member.method.into(), 2)],
    );
    push(out, &[(0, 4), (member.crc.into(), 4), (compressed, 4), (size, 4), (member.name.len() as u64, 2)]);
    push(out, &[(extra.len() as u64, 2), (0, 2), (0, 2), (0, 2), (member.attributes.into(), 4), (place, 4)]);
    out.extend_from_slice(member.name);
    out.extend_from_slice(&extra);
}

fn write(members: &[Written], lies: Lies) -> Vec<u8> {
    let (mut archive, mut directory) = (Vec::new(), Vec::new());
    for member in members {
        let offset = member.offset.map_or(archive.len() as u64, Into::into);
        write_local(&mut archive, member);
        write_central(&mut directory, member, offset);
    }
    let (mut offset, mut size, mut entries) =
        (archive.len() as u64, directory.len() as u64, members.len() as u64);
    archive.extend_from_slice(&directory);
    if lies.zip64 {
        let record = archive.len() as u64;
        push(&mut archive, &[(0x0606_4b50, 4), (44, 8), (45, 2), (45, 2), (0, 4), (0, 4)]);
        push(&mut archive, &[(entries, 8), (entries, 8), (size, 8), (offset, 8)]);
        push(&mut archive, &[(0x0706_4b50, 4), (0, 4), (record, 8), (1, 4)]);
        (offset, size, entries) = (u32::MAX.into(), u32::MAX.into(), u16::MAX.into());
    }
    archive.extend_from_slice(lies.behind_directory);
    let entries = lies.entries.map_or(entries, Into::into);
    push(
        &mut archive,
        &[(0x0605_4b50, 4), (lies.disk.into(), 2), (lies.disk.into(), 2), (entries, 2), (entries, 2)],
    );
    push(&mut archive, &[(size, 4), (offset, 4), (lies.comment.len() as u64, 2)]);
    archive.extend_from_slice(lies.comment);
    [lies.before, &archive].concat()
}

fn read(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ZipError> {
    let members = members_of(bytes, &ZipLimits::default())?;
    let content = |data: u64, size: u64| bytes[data as usize..][..size as usize].to_vec();
    Ok(members.into_iter().map(|(name, data, size, _)| (name, content(data, size))).collect())
}

fn check(members: &[Written], lies: Lies, expected: Result<&[(&str, &str)], ZipError>) {
    let expected = expected.map(|members| {
        members.iter().map(|(name, text)| (name.to_string(), text.as_bytes().to_vec())).collect()
    });
    assert_eq!(read(&write(members, lies)), expected);
}

const BOTH: &[(&str, &str)] = &[("a.txt", "first"), ("dir/b.txt", "second")];

fn both() -> [Written; 2] {
    [stored("a.txt", "first"), stored("dir/b.txt", "second")]
}

#[test]
fn archives_with_comments_prefixes_descriptors_and_zip64_are_read() {
    let descriptors = both().map(|member| Written { local_size: None, flags: 8, local_flags: 8, ..member });
    let wide = both().map(|member| Written { zip64: true, ..member });
    let extra = both().map(|member| Written { local_extra: b"\xfe\xca\x02\x00ab", ..member });
    // The signature of an end record inside of the comment is no end record: its own comment does not reach the end.
    let comment = b"a comment PK\x05\x06 with the signature of an end record, and then some more";
    for members in [both(), descriptors, wide, extra] {
        for before in [&b""[..], b"#!/bin/sh\nexit\n"] {
            for comment in [&b""[..], b"short", comment] {
                for zip64 in [false, true] {
                    check(&members, Lies { before, comment, zip64, ..Lies::default() }, Ok(BOTH));
                }
            }
        }
    }
    check(&[], Lies::default(), Ok(&[]));
}

#[test]
fn directories_and_links_are_no_files() {
    let link = Written { attributes: 0o120_777 << 16, ..stored("link", "/etc/passwd") };
    let [a, b] = both();
    check(&[stored("dir/", ""), a, b, link], Lies::default(), Ok(BOTH));
}

#[test]
fn a_dishonest_member_is_refused_with_the_reason() {
    let first = || stored("a.txt", "first");
    let named =
        |name: &'static str| Written { name: name.as_bytes(), local_name: name.as_bytes(), ..first() };
    let a = || "a.txt".to_owned();
    let encrypted = |flags| Written { flags, ..first() };
    let rows = [
        (named("../a"), ZipError::Name("../a".into())),
        (named("/etc/passwd"), ZipError::Name("/etc/passwd".into())),
        (named("a/../../b"), ZipError::Name("a/../../b".into())),
        (named("a\\b"), ZipError::Name("a\\b".into())),
        (named("a\0.txt"), ZipError::Name("a\0.txt".into())),
        (named("a//b"), ZipError::Name("a//b".into())),
        (named(""), ZipError::Name("".into())),
        (named("/"), ZipError::Name("/".into())),
        (encrypted(1), ZipError::Encrypted(a())),
        (encrypted(1 << 6), ZipError::Encrypted(a())),
        (encrypted(1 << 13), ZipError::Encrypted(a())),
        (Written { method: 12, local_method: 12, ..first() }, ZipError::Method(a(), 12)),
        (Written { method: 8, local_method: 8, size: 5 * 1032 + 1, ..first() }, ZipError::Ratio(a())),
        (Written { size: 6, ..first() }, ZipError::Ratio(a())),
        (Written { local_name: b"b.txt", ..first() }, ZipError::LocalHeader(a())),
        (Written { local_name: b"a.txt.js", ..first() }, ZipError::LocalHeader(a())),
        (Written { local_method: 8, ..first() }, ZipError::LocalHeader(a())),
        (Written { local_flags: 1, ..first() }, ZipError::LocalHeader(a())),
        (Written { local_size: Some(4), ..first() }, ZipError::LocalHeader(a())),
        (Written { local_size: None, ..first() }, ZipError::LocalHeader(a())),
        (Written { offset: Some(3), ..first() }, ZipError::LocalHeader(a())),
        (Written { offset: Some(70_000), ..first() }, ZipError::LocalHeader(a())),
        (Written { size: 90, compressed: 90, local_size: Some(90), ..first() }, ZipError::Overlap(a())),
    ];
    for (member, expected) in rows {
        check(&[member], Lies::default(), Err(expected));
    }
}

#[test]
fn members_that_share_a_name_or_bytes_are_refused() {
    let [a, b] = both();
    check(&[a.clone(), a.clone()], Lies::default(), Err(ZipError::Duplicate("a.txt".into())));
    // A file and a directory that would have the same name.
    check(&[stored("a", ""), stored("a/", "")], Lies::default(), Err(ZipError::Duplicate("a".into())));
    // Two members that are one: how a small archive becomes a large one.
    let again = Written { offset: Some(0), name: b"b.txt", ..a.clone() };
    check(&[a.clone(), again], Lies::default(), Err(ZipError::LocalHeader("b.txt".into())));
    let nested = Written { size: 20, compressed: 20, local_size: Some(20), ..a };
    check(&[nested, b], Lies::default(), Err(ZipError::Overlap("dir/b.txt".into())));
}

#[test]
fn a_dishonest_end_is_refused_with_the_reason() {
    for (lies, expected) in [
        (Lies { disk: 1, ..Lies::default() }, ZipError::MultiDisk),
        (Lies { entries: Some(1), ..Lies::default() }, ZipError::EntryCount),
        (Lies { entries: Some(3), ..Lies::default() }, ZipError::EntryCount),
        (Lies { behind_directory: b"more", ..Lies::default() }, ZipError::Truncated),
    ] {
        check(&both(), lies, Err(expected));
    }
    let archive = write(&both(), Lies::default());
    for cut in 0..archive.len() {
        assert!(read(&archive[..cut]).is_err(), "{cut} bytes");
        // What is missing at the front moves everything: the directory no longer leads to members.
        assert!(cut == 0 || read(&archive[cut..]).is_err(), "without {cut} bytes");
    }
    let limits = ZipLimits { entries_max: 2, ..ZipLimits::default() };
    assert!(members_of(&archive, &limits).is_ok());
    let limits = ZipLimits { entries_max: 1, ..limits };
    assert_eq!(members_of(&archive, &limits), Err(ZipError::TooManyEntries));
    let directory_bytes_max = 46 * 2 + 5 + 9;
    let limits = ZipLimits { directory_bytes_max, ..ZipLimits::default() };
    assert!(members_of(&archive, &limits).is_ok());
    let limits = ZipLimits { directory_bytes_max: directory_bytes_max - 1, ..limits };
    assert_eq!(members_of(&archive, &limits), Err(ZipError::DirectoryTooLong));
}

fn text(len: usize) -> String {
    (0..len / 8).map(|n| format!("{:07} ", n % 1000)).collect()
}

/// An archive that the crate has made.
fn made(members: &[(&str, &[u8], CompressionMethod)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes, method) in members {
        writer.start_file(*name, SimpleFileOptions::default().compression_method(*method)).expect("a member");
        writer.write_all(bytes).expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}

/// Each member as the crate reads it; `None` where it refuses.
fn read_by_crate(bytes: &[u8]) -> Option<Vec<(String, u64, u64, u32)>> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).ok()?;
    let mut members = Vec::new();
    for at in 0..archive.len() {
        let member = archive.by_index_raw(at).ok()?;
        members.push((member.name().ok()?.into_owned(), member.data_start()?, member.size(), member.crc32()));
    }
    members.sort();
    Some(members)
}

#[test]
fn whatever_is_taken_is_read_as_the_zip_crate_reads_it() {
    let large = text(5000);
    let archive = made(&[
        ("a.txt", b"first", CompressionMethod::Stored),
        ("dir/b.txt", large.as_bytes(), CompressionMethod::Deflated),
        ("dir/c", b"", CompressionMethod::Stored),
    ]);
    assert_eq!(members_of(&archive, &ZipLimits::default()).ok(), read_by_crate(&archive));
    // Every single bit of the headers wrong, and some bytes: what we take, the crate takes, and both find the same bytes.
    let mut taken = 0;
    for at in 0..archive.len() {
        for flip in [1_u8, 2, 4, 8, 16, 32, 64, 128, 0xff] {
            let mut changed = archive.clone();
            changed[at] ^= flip;
            let Ok(ours) = members_of(&changed, &ZipLimits::default()) else { continue };
            taken += 1;
            if let Some(theirs) = read_by_crate(&changed) {
                // What has become a link, or a directory, is no file of ours.
                assert!(ours.iter().all(|member| theirs.contains(member)), "byte {at}, {flip:#x}");
            }
        }
    }
    assert!(taken > 100, "bits of the content are no business of the index");
}

/// An archive in a file.
struct OnDisk(PathBuf);

impl OnDisk {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("lws-files-{}-{name}.zip", std::process::id()));
        let disk = Self(path);
        disk.replace(bytes);
        disk
    }

    fn replace(&self, bytes: &[u8]) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, bytes).expect("a temporary file");
        std::fs::rename(new, &self.0).expect("ours");
    }
}

impl Drop for OnDisk {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn read_all(mut body: Body) -> io::Result<Vec<u8>> {
    let (mut all, mut out) = (Vec::new(), [0; 1000]);
    loop {
        match body.read(&mut out)? {
            Progress::Bytes(n) => all.extend_from_slice(&out[..n]),
            Progress::End => return Ok(all),
            Progress::WouldBlock => body.wait(),
        }
    }
}

fn open(zip: &Zip, names: &str, accept: &str, now: u64) -> Option<Entry> {
    let accepted = Accepted::parse([accept.as_bytes()]);
    let lookup = Lookup { now: Time::from_micros(now), ..lookup(names, accepted, Wait::Allowed) };
    match Vfs::open(zip, &lookup) {
        Ok(Opened::File(entry)) => Some(entry),
        Ok(_) => None,
        Err(fault) => panic!("{fault:?}"),
    }
}

#[test]
fn a_deflated_member_goes_out_as_gzip_untouched_or_is_inflated_in_parts() {
    let (large, small) = (text(200_000), text(2000));
    let archive = OnDisk::new(
        "codings",
        &made(&[
            ("large.js", large.as_bytes(), CompressionMethod::Deflated),
            ("small.js", small.as_bytes(), CompressionMethod::Deflated),
            ("plain.png", b"png", CompressionMethod::Stored),
            ("both.js", large.as_bytes(), CompressionMethod::Deflated),
            ("both.js.br", b"brotli", CompressionMethod::Stored),
        ]),
    );
    let zip = Zip::open(&archive.0, ZipLimits::default()).expect("honest");
    let mut tags = Vec::new();
    for (names, accept, coding, seekable, text) in [
        ("large.js", "gzip", Coding::Gzip, true, &large),
        ("large.js", "identity", Coding::Identity, false, &large),
        ("small.js", "br, gzip", Coding::Gzip, true, &small),
        ("small.js", "", Coding::Identity, true, &small),
        ("both.js", "gzip", Coding::Gzip, true, &large),
    ] {
        let entry = open(&zip, names, accept, 0).expect("it is there");
        assert_eq!(
            (entry.coding, entry.varies, entry.content.is_seekable()),
            (coding, true, seekable),
            "{names}"
        );
        let len = entry.content.len().expect("it is known");
        let bytes = read_all(entry.content.body()).expect("it can be read");
        assert_eq!(bytes.len() as u64, len, "{names}");
        let plain = match coding {
            Coding::Gzip => {
                let mut out = vec![0; 1 << 20];
                let mut inflate = zlib_rs::Inflate::new(true, 15 + 16);
                let status = inflate.decompress(&bytes, &mut out, zlib_rs::InflateFlush::Finish);
                assert_eq!(status, Ok(zlib_rs::Status::StreamEnd), "{names}");
                out.truncate(inflate.total_out() as usize);
                out
            }
            _ => bytes,
        };
        assert_eq!(plain, text.as_bytes(), "{names}");
        tags.push((names, entry.tag.expect("it has one")));
    }
    assert!(tags[0].1 != tags[1].1 && tags[2].1 != tags[3].1);
    let stored = open(&zip, "plain.png", "gzip", 0).expect("it is there");
    assert_eq!((stored.coding, stored.varies, stored.content.is_seekable()), (Coding::Identity, false, true));
    let sibling = open(&zip, "both.js", "br, gzip", 0).expect("it is there");
    assert_eq!(sibling.coding, Coding::Brotli);
    assert_eq!(read_all(sibling.content.body()).expect("it can be read"), b"brotli");
}

#[test]
fn a_corrupt_member_never_looks_complete() {
    for (at, names) in [(100, "large"), (60, "small")] {
        let text = text(if names == "large" { 100_000 } else { 3000 });
        let mut bytes = made(&[(names, text.as_bytes(), CompressionMethod::Deflated)]);
        bytes[at] ^= 0x10;
        let archive = OnDisk::new(&format!("corrupt-{names}"), &bytes);
        let zip = Zip::open(&archive.0, ZipLimits::default()).expect("its index is honest");
        match Vfs::open(&zip, &lookup(names, Accepted::IDENTITY, Wait::Allowed)) {
            Ok(Opened::File(entry)) => assert!(read_all(entry.content.body()).is_err(), "{names}"),
            other => assert!(matches!(other, Err(Fault::Failed(_))), "{other:?}"),
        }
    }
}

#[test]
fn a_replaced_archive_is_noticed_and_what_runs_is_finished_from_the_old_one() {
    let (old, new) = (text(100_000), "new");
    let archive = OnDisk::new("replaced", &made(&[("a", old.as_bytes(), CompressionMethod::Stored)]));
    let zip = Zip::open(&archive.0, ZipLimits::default()).expect("honest");
    let running = open(&zip, "a", "", 0).expect("it is there").content.body();
    archive.replace(b"no archive at all");
    assert!(open(&zip, "a", "", 1_000_000).is_some(), "the old one stays");
    assert_eq!(zip.refused(), Some(ZipError::NotAnArchive));
    archive.replace(&made(&[("a", new.as_bytes(), CompressionMethod::Stored)]));
    let len = |now| open(&zip, "a", "", now).and_then(|entry| entry.content.len());
    assert_eq!(len(1_500_000), Some(old.len() as u64), "believed for a second");
    // The loop that first sees that it is time has it looked at elsewhere; the others go on.
    let now = Time::from_micros(2_000_000);
    let never = Lookup { now, ..lookup("a", Accepted::IDENTITY, Wait::Never) };
    assert!(matches!(Vfs::open(&zip, &never), Ok(Opened::WouldBlock)));
    assert!(matches!(Vfs::open(&zip, &never), Ok(Opened::File(_))));
    assert_eq!(len(2_000_001), Some(3));
    assert_eq!(zip.refused(), None);
    assert_eq!(read_all(running).expect("it can be read"), old.as_bytes());
}

#[test]
fn a_stream_of_the_crate_has_descriptors_and_is_read() {
    let mut writer = ZipWriter::new_stream(Vec::new());
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    writer.start_file("a/b", options.large_file(true)).expect("a member");
    writer.write_all(b"streamed").expect("memory");
    let bytes = writer.finish().expect("memory").into_inner();
    let members = members_of(&bytes, &ZipLimits::default()).expect("honest");
    assert_eq!(members.iter().map(|(name, _, size, _)| (&**name, *size)).collect::<Vec<_>>(), [("a/b", 8)]);
    let mut text = String::new();
    let mut archive = ZipArchive::new(Cursor::new(&bytes)).expect("honest");
    archive.by_index(0).expect("a member").read_to_string(&mut text).expect("text");
    assert_eq!(text, "streamed");
}

#[test]
fn a_listing_has_files_and_directories_once() {
    let archive = OnDisk::new(
        "listing",
        &made(&[
            ("a", b"a", CompressionMethod::Stored),
            ("d/x", b"xx", CompressionMethod::Stored),
            ("d/y", b"y", CompressionMethod::Stored),
        ]),
    );
    let zip = Zip::open(&archive.0, ZipLimits::default()).expect("honest");
    let list = |names, max| zip.list(&lookup(names, Accepted::IDENTITY, Wait::Allowed), max);
    let Ok(Listing::Names(names, false)) = list("", 9) else { panic!("the root is a directory") };
    let names: Vec<_> = names.iter().map(|name| (&*name.name, name.directory, name.len)).collect();
    assert_eq!(names, [("a", false, 1), ("d", true, 0)]);
    assert!(matches!(list("d", 1), Ok(Listing::Names(names, true)) if names.len() == 1));
    assert_eq!(list("a", 9), Ok(Listing::NotHere));
}
