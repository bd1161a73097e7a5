//! The matrix: each kind of resource, asked in each way that RFC 9110 has an answer for.

use crate::support::{Scratch, ask, read_all};
use lws_files::{Coding, Compression, Directory, Files, Memory, Options, Response, Zip, ZipLimits};
use lws_proto::http::Method;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A resource in one coding, and what is asked so that it is given.
struct Row {
    kind: &'static str,
    files: Files,
    path: &'static str,
    accept_encoding: &'static str,
    coding: Option<&'static str>,
    ranges: bool,
    /// Whether the length is known before it is sent.
    sized: bool,
    /// Whether another client may get another coding.
    varies: bool,
}

impl Row {
    fn ask(&self, method: Method, fields: &[(&str, &str)]) -> Response {
        let mut all = vec![("Accept-Encoding", self.accept_encoding)];
        all.extend_from_slice(fields);
        ask(&self.files, method, self.path, &all)
    }

    fn check_about(&self, response: &Response, etag: &str) {
        assert_eq!(response.get("ETag"), Some(etag), "{}", self.kind);
        assert_eq!(response.get("Cache-Control"), Some("private, max-age=60"), "{}", self.kind);
        self.check_vary(response);
    }

    fn check_vary(&self, response: &Response) {
        let vary = self.varies.then_some("Accept-Encoding");
        assert_eq!(response.get("Vary"), vary, "{} {}", self.kind, response.status.code());
    }

    /// An error has two forms besides.
    fn check_error(&self, response: &Response) {
        let vary = if self.varies { "Accept, Accept-Encoding" } else { "Accept" };
        assert_eq!(response.get("Vary"), Some(vary), "{} {}", self.kind, response.status.code());
    }

    fn check_content(&self, response: &Response) {
        assert_eq!(response.get("Content-Encoding"), self.coding, "{}", self.kind);
        assert_eq!(response.get("Accept-Ranges"), self.ranges.then_some("bytes"), "{}", self.kind);
        assert_eq!(response.get("Content-Type"), Some("text/javascript; charset=utf-8"), "{}", self.kind);
    }
}

fn script() -> String {
    (0..5000).map(|n| format!("console.log({});\n", n % 50)).collect()
}

fn write_archive(scratch: &Scratch, large: &str) -> PathBuf {
    let path = scratch.path().join("archive.zip");
    let mut writer = ZipWriter::new(File::create(&path).expect("a file"));
    let (stored, deflated) = (CompressionMethod::Stored, CompressionMethod::Deflated);
    for (name, text, method) in [
        ("stored.js", large, stored),
        ("deflated.js", large, deflated),
        ("small.js", &large[..4000], deflated),
    ] {
        writer.start_file(name, SimpleFileOptions::default().compression_method(method)).expect("a member");
        writer.write_all(text.as_bytes()).expect("there is room");
    }
    writer.finish().expect("there is room");
    path
}

fn rows(scratch: &Scratch) -> Vec<Row> {
    let large = script();
    let small = &large[..4000];
    scratch.write("large.js", &large);
    scratch.write("small.js", small);
    scratch.write("coded.js", &large);
    scratch.write(
        "coded.js.gz",
        "not really gzip, but ten times ten bytes long, and that is what counts for what is asked here!",
    );
    let cache_control = lws_files::CacheControl::of_mount(60, false, true, false, false).into();
    let plain = Options { cache_control, ..Options::default() };
    let compressing = Options { compression: Some(Compression::default()), ..plain.clone() };
    let open = || Directory::open(scratch.path()).expect("it is there");
    let directory = Files::new(open(), plain.clone());
    let alone = Files::new(open().siblings(false), plain.clone());
    let on_the_fly = Files::new(open(), compressing);
    let memory =
        Memory::new().file("memory.js", small.to_owned()).coded("memory.js", Coding::Brotli, "br".repeat(60));
    let memory = Files::new(memory, plain.clone());
    let zip = Zip::open(write_archive(scratch, &large), ZipLimits::default()).expect("honest");
    let archive = Files::new(zip, plain);
    let row = |kind, files: &Files, path, accept_encoding, coding, ranges, sized, varies| Row {
        kind,
        files: files.clone(),
        path,
        accept_encoding,
        coding,
        ranges,
        sized,
        varies,
    };
    vec![
        row("identity alone", &alone, "/large.js", "gzip", None, true, true, false),
        row("identity small", &directory, "/small.js", "gzip", None, true, true, true),
        row("identity beside a sibling", &directory, "/coded.js", "identity", None, true, true, true),
        row("sibling", &directory, "/coded.js", "br, gzip", Some("gzip"), true, true, true),
        row("on the fly, kept", &on_the_fly, "/small.js", "gzip", Some("gzip"), false, true, true),
        row("on the fly", &on_the_fly, "/large.js", "gzip", Some("gzip"), false, false, true),
        row("on the fly, refused", &on_the_fly, "/large.js", "gzip;q=0", None, true, true, true),
        row("memory", &memory, "/memory.js", "gzip", None, true, true, true),
        row("memory, coded", &memory, "/memory.js", "br", Some("br"), true, true, true),
        row("archive, stored", &archive, "/stored.js", "gzip", None, true, true, false),
        row("archive, as it lies", &archive, "/deflated.js", "gzip", Some("gzip"), true, true, true),
        row("archive, inflated", &archive, "/deflated.js", "br", None, false, true, true),
        row("archive, inflated and kept", &archive, "/small.js", "", None, true, true, true),
    ]
}

#[test]
fn each_kind_of_resource_is_answered_by_the_book() {
    let scratch = Scratch::new("matrix");
    let mut tags = Vec::new();
    for row in rows(&scratch) {
        let etag = whole(&row);
        not_modified(&row, &etag);
        failed(&row, &etag);
        ranges(&row, &etag);
        tags.push((row.path, row.coding, etag));
    }
    for (at, (path, coding, etag)) in tags.iter().enumerate() {
        for (other_path, other_coding, other) in &tags[..at] {
            let same = (path, coding) == (other_path, other_coding);
            assert!(same || path != other_path || etag != other, "{path} {coding:?} {other_coding:?}");
        }
    }
}

fn whole(row: &Row) -> String {
    let get = row.ask(Method::Get, &[]);
    let head = row.ask(Method::Head, &[("Range", "bytes=0-1")]);
    let etag = get.get("ETag").expect("every representation has one").to_owned();
    for response in [&get, &head] {
        assert_eq!(response.status.code(), 200, "{}", row.kind);
        row.check_about(response, &etag);
        row.check_content(response);
        assert_eq!(response.length.is_some(), row.sized, "{}", row.kind);
    }
    assert!(get.fields().eq(head.fields()) && get.length == head.length, "{}", row.kind);
    assert!(head.body.is_empty());
    let (length, content) = (get.length, read_all(get.body).expect("it can be read"));
    assert!(length.is_none_or(|length| length == content.len() as u64), "{}", row.kind);
    if row.coding == Some("gzip") && !row.ranges {
        assert!(content.starts_with(&[0x1f, 0x8b]) && content.len() < 2000, "{}", row.kind);
    }
    etag
}

fn not_modified(row: &Row, etag: &str) {
    for method in [Method::Get, Method::Head] {
        let response = row.ask(method, &[("If-None-Match", etag), ("Range", "bytes=0-1")]);
        assert_eq!(response.status.code(), 304, "{}", row.kind);
        row.check_about(&response, etag);
        assert!(response.body.is_empty() && response.length.is_none());
        let content = ["Content-Type", "Content-Encoding", "Content-Range", "Accept-Ranges"];
        assert!(content.iter().all(|name| response.get(name).is_none()), "{}", row.kind);
    }
}

fn failed(row: &Row, etag: &str) {
    let response = row.ask(Method::Get, &[("If-Match", "\"other\""), ("Range", "bytes=99999999-")]);
    assert_eq!(response.status.code(), 412, "{}", row.kind);
    row.check_error(&response);
    assert_eq!(row.ask(Method::Get, &[("If-Match", etag)]).status.code(), 200, "{}", row.kind);
    let refused =
        ask(&row.files, Method::Get, row.path, &[("Accept-Encoding", "*;q=0"), ("If-None-Match", "*")]);
    assert_eq!(refused.status.code(), 406, "{}", row.kind);
    row.check_error(&refused);
}

fn ranges(row: &Row, etag: &str) {
    let one = row.ask(Method::Get, &[("Range", "bytes=2-5"), ("If-Range", etag)]);
    let other = row.ask(Method::Get, &[("Range", "bytes=2-5"), ("If-Range", "\"other\"")]);
    let past = row.ask(Method::Get, &[("Range", "bytes=99999999-")]);
    let two = row.ask(Method::Get, &[("Range", "bytes=0-0,-1")]);
    assert_eq!(other.status.code(), 200, "{}", row.kind);
    if !row.ranges {
        assert!([one, past, two].iter().all(|response| response.status.code() == 200), "{}", row.kind);
        return;
    }
    let all = read_all(other.body).expect("it can be read");
    assert_eq!((one.status.code(), past.status.code()), (206, 416), "{}", row.kind);
    row.check_about(&one, etag);
    row.check_content(&one);
    let range = format!("bytes 2-5/{}", all.len());
    assert_eq!((one.get("Content-Range"), one.length), (Some(&*range), Some(4)), "{}", row.kind);
    assert_eq!(read_all(one.body).expect("it can be read"), all[2..6], "{}", row.kind);
    assert_eq!(past.get("Content-Range"), Some(&*format!("bytes */{}", all.len())), "{}", row.kind);
    row.check_error(&past);
    if all.len() > 700 {
        assert_eq!(two.status.code(), 206, "{}", row.kind);
        row.check_about(&two, etag);
        assert!(two.get("Content-Type").is_some_and(|kind| kind.starts_with("multipart/byteranges")));
        assert_eq!(two.get("Content-Encoding"), row.coding, "{}", row.kind);
        assert_eq!(two.length, Some(read_all(two.body).expect("it can be read").len() as u64));
    }
}
