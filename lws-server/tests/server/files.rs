//! Files, seen from the other end of a connection.

use crate::common::{Answer, Running, serve};
use lws_server::files::{
    Asset, CacheLimits, Entry, ErrorDocuments, Fault, Files, Links, Lookup, Opened, Vfs, Wait,
};
use lws_server::http::{ErrorContent, ErrorReport, Rejection, Request, Response, Status};
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use test_kit::PATIENCE;

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    /// `served` with some files in it, and a secret beside it.
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lws-server-files-{}-{number}", std::process::id()));
        let this = Self(path);
        for (name, content) in [
            ("served/index.html", "<p>index</p>"),
            ("served/data.bin", "0123456789"),
            ("served/empty.txt", ""),
            ("served/a name.txt", "spaced"),
            ("served/sub/index.html", "<p>sub</p>"),
            ("served/sub/page.css", "p {}"),
            ("served/bare/file.js", "1"),
            ("served/.hidden", "hidden"),
            ("served/.git/config", "hidden"),
            ("served/.well-known/security.txt", "shown"),
            ("outside/secret.txt", "secret"),
        ] {
            let path = this.0.join(name);
            fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
            fs::write(path, content).expect("it can be written");
        }
        let age = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        fs::File::options()
            .write(true)
            .open(this.path("served/data.bin"))
            .and_then(|file| file.set_modified(age))
            .expect("it can be aged");
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn link(&self, target: impl AsRef<Path>, name: &str) {
        symlink(target, self.path(name)).expect("a link can be made");
    }

    fn serve(&self, describe: impl FnOnce(Files) -> Files + Send + 'static) -> Running {
        let served = self.path("served");
        serve(move |builder| builder.mount("/", describe(Files::directory(served).expect("it is there"))))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

#[test]
fn a_file_comes_with_its_type_length_and_validators() {
    let directory = Directory::new();
    let server = directory.serve(|files| files.field("Cache-Control", "no-cache"));
    for (target, content_type, content) in [
        ("/", "text/html; charset=utf-8", "<p>index</p>"),
        ("/index.html", "text/html; charset=utf-8", "<p>index</p>"),
        ("/sub/", "text/html; charset=utf-8", "<p>sub</p>"),
        ("/sub/page.css?v=1", "text/css; charset=utf-8", "p {}"),
        ("/bare/../sub/./page.css", "text/css; charset=utf-8", "p {}"),
        ("/a%20name.txt", "text/plain; charset=utf-8", "spaced"),
        ("/data.bin", "application/octet-stream", "0123456789"),
        ("/empty.txt", "text/plain; charset=utf-8", ""),
        ("/.well-known/security.txt", "text/plain; charset=utf-8", "shown"),
    ] {
        let answer = server.get(target);
        assert_eq!((answer.status, answer.text()), (200, content), "{target}");
        assert_eq!(answer.field("content-type"), Some(content_type), "{target}");
        assert_eq!(answer.field("content-length"), Some(content.len().to_string().as_str()), "{target}");
        assert_eq!(answer.field("accept-ranges"), Some("bytes"), "{target}");
        assert_eq!(answer.field("cache-control"), Some("no-cache"), "{target}");
        assert!(
            answer
                .field("etag")
                .is_some_and(|etag| etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"'))
        );
        assert!(answer.field("last-modified").is_some(), "{target}");

        let head = server.request("HEAD", target, "");
        assert_eq!((head.status, head.text()), (200, ""), "HEAD {target}");
        for name in ["content-type", "content-length", "etag", "last-modified"] {
            assert_eq!(head.field(name), answer.field(name), "HEAD {target}: {name}");
        }
    }
    assert_eq!(server.get("/data.bin").field("last-modified"), Some(DATE));
}

#[test]
fn what_is_not_there_or_not_to_be_seen_is_404() {
    let directory = Directory::new();
    let server = directory.serve(|files| files);
    for target in [
        "/none",
        "/sub/none",
        "/data.bin/",
        "/data.bin/x",
        "/bare/",
        "/.hidden",
        "/.git/config",
        "/sub/.well-known/x",
        "/index.html%20",
    ] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    let refused = server.request("DELETE", "/data.bin", "");
    assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD, OPTIONS")));
    let server = directory.serve(|files| files.dot_files(true));
    assert_eq!(server.get("/.hidden").text(), "hidden");
}

#[test]
fn a_directory_without_its_slash_is_redirected_relatively() {
    let directory = Directory::new();
    let served = directory.path("served");
    let server = serve(move |builder| builder.files("/", &served).files("/mount/point", served.join("sub")));
    for (target, location) in [
        ("/sub", "./sub/"),
        ("/sub?a=b", "./sub/?a=b"),
        ("/bare/../sub", "./sub/"),
        ("/%73ub", "./%73ub/"),
        ("/mount/point", "./point/"),
    ] {
        let answer = server.get(target);
        assert_eq!((answer.status, answer.field("location")), (301, Some(location)), "{target}");
    }
    assert_eq!(server.get("/mount/point/").text(), "<p>sub</p>");
    assert_eq!(server.get("/mount/point/page.css").text(), "p {}");
    assert_eq!(server.get("/mount/pointless").status, 404);
}

#[test]
fn preconditions_are_evaluated_in_order() {
    let directory = Directory::new();
    let server = directory.serve(|files| files);
    let etag = server.get("/data.bin").field("etag").expect("a tag").to_owned();
    let check = |fields: &str, status: u16| {
        let fields = fields.replace("{etag}", &etag).replace("{date}", DATE);
        for method in ["GET", "HEAD"] {
            let answer = server.request(method, "/data.bin", &fields);
            assert_eq!(answer.status, status, "{method} {fields}");
            if status == 304 {
                assert_eq!((answer.field("etag"), answer.text()), (Some(etag.as_str()), ""), "{fields}");
                assert_eq!(answer.field("last-modified"), Some(DATE), "{fields}");
            }
        }
    };
    check("If-None-Match: {etag}\r\n", 304);
    check("If-None-Match: W/{etag}\r\n", 304);
    check("If-None-Match: \"a,b\", {etag}\r\n", 304);
    check("If-None-Match: \"a\"\r\nIf-None-Match: {etag}\r\n", 304);
    check("If-None-Match: *\r\n", 304);
    check("If-None-Match: \"a\"\r\n", 200);
    check("If-None-Match: nonsense\r\n", 200);
    check("If-Modified-Since: {date}\r\n", 304);
    check("If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200);
    check("If-Modified-Since: nonsense\r\n", 200);
    check("If-None-Match: \"a\"\r\nIf-Modified-Since: {date}\r\n", 200);
    check("If-Match: {etag}\r\n", 200);
    check("If-Match: *\r\n", 200);
    check("If-Match: W/{etag}\r\n", 412);
    check("If-Match: \"a\"\r\n", 412);
    check("If-Match: \"a\"\r\nIf-None-Match: {etag}\r\n", 412);
    check("If-Unmodified-Since: {date}\r\n", 200);
    check("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 412);
    check("If-Match: {etag}\r\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200);
    check("If-Match: {etag}\r\nIf-None-Match: {etag}\r\n", 304);
}

#[test]
fn ranges_are_served_and_what_is_no_range_is_ignored() {
    let directory = Directory::new();
    let server = directory.serve(|files| files);
    let etag = server.get("/data.bin").field("etag").expect("a tag").to_owned();
    let check = |fields: &str, status: u16, range: Option<&str>, content: &str| {
        let fields = fields.replace("{etag}", &etag).replace("{date}", DATE);
        let answer = server.request("GET", "/data.bin", &fields);
        assert_eq!((answer.status, answer.field("content-range")), (status, range), "{fields}");
        if status != 416 {
            assert_eq!(answer.text(), content, "{fields}");
        }
    };
    check("Range: bytes=0-0\r\n", 206, Some("bytes 0-0/10"), "0");
    check("Range: bytes=3-\r\n", 206, Some("bytes 3-9/10"), "3456789");
    check("Range: bytes=8-99\r\n", 206, Some("bytes 8-9/10"), "89");
    check("Range: bytes=-2\r\n", 206, Some("bytes 8-9/10"), "89");
    check("Range: bytes=10-\r\n", 416, Some("bytes */10"), "");
    // What lies close together costs less as one part.
    check("Range: bytes=0-1,3-4\r\n", 206, Some("bytes 0-4/10"), "01234");
    check("Range: lines=0-1\r\n", 200, None, "0123456789");
    check("Range: bytes=5-4\r\n", 200, None, "0123456789");
    check("Range: bytes=0-1\r\nRange: bytes=0-1\r\n", 200, None, "0123456789");
    check("Range: bytes=0-1\r\nIf-Range: {etag}\r\n", 206, Some("bytes 0-1/10"), "01");
    check("Range: bytes=0-1\r\nIf-Range: W/{etag}\r\n", 200, None, "0123456789");
    check("Range: bytes=0-1\r\nIf-Range: {date}\r\n", 206, Some("bytes 0-1/10"), "01");
    check("Range: bytes=0-1\r\nIf-Range: Sun, 06 Nov 1994 08:49:36 GMT\r\n", 200, None, "0123456789");
    check("Range: bytes=0-1\r\nIf-None-Match: {etag}\r\n", 304, None, "");
    let head = server.request("HEAD", "/data.bin", "Range: bytes=0-1\r\n");
    assert_eq!((head.status, head.field("content-length")), (200, Some("10")));
}

#[test]
fn nothing_outside_the_root_is_served() {
    let directory = Directory::new();
    directory.link("../outside", "served/outside");
    directory.link("../outside/secret.txt", "served/secret");
    directory.link(directory.path("outside/secret.txt"), "served/absolute");
    directory.link("/proc/self/root", "served/root");
    let server = directory.serve(|files| files);
    let check = |answer: Answer, target: &str| {
        assert!(matches!(answer.status, 400 | 403 | 404), "{target}: {}", answer.status);
        assert!(!answer.text().contains("secret"), "{target}");
    };
    for target in [
        "/../outside/secret.txt",
        "/sub/../../outside/secret.txt",
        "/%2e%2e/outside/secret.txt",
        "/..%2foutside/secret.txt",
        "/..\\outside\\secret.txt",
        "/..%5coutside%5csecret.txt",
        "/%252e%252e/outside/secret.txt",
        "/....//outside/secret.txt",
        "/data.bin%00",
        "/data.bin%00.html",
        "/outside/secret.txt",
        "/secret",
        "/absolute",
        "/root/etc/passwd",
        "//outside/secret.txt",
    ] {
        check(server.get(target), target);
    }
    let everything = directory.serve(|files| files.links(Links::Followed));
    assert_eq!(everything.get("/secret").text(), "secret");
    assert_eq!(everything.get("/outside/secret.txt").text(), "secret");
    check(everything.get("/../outside/secret.txt"), "links do not make `..` pass");
}

#[test]
fn links_inside_the_root_are_followed_unless_refused() {
    let directory = Directory::new();
    directory.link("data.bin", "served/relative");
    directory.link("../data.bin", "served/sub/above");
    directory.link("sub", "served/linked");
    directory.link(directory.path("served/data.bin"), "served/absolute");
    let targets = ["/relative", "/sub/above", "/linked/page.css", "/absolute"];
    let server = directory.serve(|files| files);
    for target in targets {
        assert_eq!(server.get(target).status, 200, "{target}");
    }
    let server = directory.serve(|files| files.links(Links::Refused));
    for target in targets {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
    assert_eq!(server.get("/sub/page.css").status, 200);
}

#[test]
fn only_regular_files_are_served() {
    let directory = Directory::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, directory.path("served/fifo"), rustix::fs::Mode::RUSR)
        .expect("a FIFO can be made");
    let server = directory.serve(|files| files);
    assert_eq!(server.get("/fifo").status, 404);
}

#[test]
fn a_fifo_is_not_opened_to_find_out_that_it_is_one() {
    let directory = Directory::new();
    let path = directory.path("served/fifo");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, mode).expect("a FIFO can be made");
    symlink("fifo", directory.path("served/link")).expect("a link can be made");
    // Waits until the other end is opened, and then says whether there is still somebody.
    let writer = {
        let path = path.clone();
        std::thread::spawn(move || {
            let mut fifo = fs::File::options().write(true).open(path).expect("somebody opens it");
            std::io::Write::write_all(&mut fifo, b"x")
        })
    };
    for links in [Links::Inside, Links::Followed, Links::Refused] {
        let server = directory.serve(move |files| files.links(links));
        for target in ["/fifo", "/link", "/fifo/", "/sub/../fifo"] {
            for method in ["GET", "HEAD"] {
                assert_eq!(server.request(method, target, "").status, 404, "{links:?} {method} {target}");
            }
        }
    }
    let mut reader = fs::File::open(&path).expect("it can be opened");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut reader, &mut text).expect("the writer ends");
    writer.join().expect("it writes").expect("this is the first reader that it has had");
    assert_eq!(text, "x");
}

#[test]
fn a_tag_tells_versions_apart_and_not_where_they_lie() {
    use std::os::unix::fs::MetadataExt;
    let directory = Directory::new();
    let path = directory.path("served/data.bin");
    let tag = || directory.serve(|files| files).get("/data.bin").field("etag").expect("a tag").to_owned();
    let first = tag();
    assert_eq!(first, tag(), "the same after a restart");
    let hash =
        first.strip_prefix("\"a-").and_then(|rest| rest.strip_suffix('"')).expect("a length and a hash");
    assert!(hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{first}");
    // Another file in its place, with the same length and modification time.
    let before = fs::metadata(&path).expect("it is there");
    fs::write(directory.path("served/new"), "9876543210").expect("it can be written");
    let times = fs::FileTimes::new().set_modified(before.modified().expect("a time"));
    fs::File::options()
        .write(true)
        .open(directory.path("served/new"))
        .and_then(|file| file.set_times(times))
        .expect("it can be aged");
    fs::rename(directory.path("served/new"), &path).expect("it can be replaced");
    let changed = |metadata: &fs::Metadata| (metadata.ctime(), metadata.ctime_nsec());
    let mut after = fs::metadata(&path).expect("it is there");
    // The clock of a file system goes in steps of milliseconds, and a change is seen with the next step.
    while changed(&after) == changed(&before) {
        fs::set_permissions(&path, after.permissions()).expect("it is ours");
        after = fs::metadata(&path).expect("it is there");
    }
    assert_eq!((before.mtime_nsec(), before.len()), (after.mtime_nsec(), after.len()));
    assert_ne!(first, tag());
}

#[test]
fn a_large_file_streams_whole_and_in_parts() {
    let directory = Directory::new();
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(|number| number.to_le_bytes()).collect();
    fs::write(directory.path("served/large"), &content).expect("it can be written");
    let server = directory.serve(|files| files);
    assert!(server.get("/large").content == content);
    let part = server.request("GET", "/large", "Range: bytes=1000000-9999999\r\n");
    assert_eq!(part.field("content-range"), Some("bytes 1000000-9999999/12000000"));
    assert!(part.content == content[1_000_000..10_000_000]);
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_ends_the_connection_early() {
    let directory = Directory::new();
    let path = directory.path("served/large");
    fs::write(&path, vec![7; 64 << 20]).expect("it can be written");
    let server = directory.serve(|files| files);
    let mut peer = server.connect();
    peer.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = peer.head();
    assert!(head.starts_with(b"HTTP/1.1 200"));
    fs::File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(1 << 20))
        .expect("it can be cut");
    assert!(peer.rest().len() < 64 << 20);
}

#[test]
fn embedded_files_are_served_by_the_same_rules() {
    static ASSETS: &[Asset] = &[
        Asset { path: "index.html", content: b"<p>index</p>" },
        Asset { path: "sub/data.txt", content: b"0123456789" },
    ];
    let server = serve(|builder| builder.mount("/", Files::assets(ASSETS)));
    let whole = server.get("/sub/data.txt");
    assert_eq!((whole.status, whole.text()), (200, "0123456789"));
    assert_eq!(whole.field("content-type"), Some("text/plain; charset=utf-8"));
    let etag = whole.field("etag").expect("a tag");
    assert_eq!(server.request("GET", "/sub/data.txt", &format!("If-None-Match: {etag}\r\n")).status, 304);
    assert_eq!(server.request("GET", "/sub/data.txt", "Range: bytes=2-3\r\n").text(), "23");
    assert_eq!(server.request("HEAD", "/", "").field("content-length"), Some("12"));
    assert_eq!(server.get("/").text(), "<p>index</p>");
    assert_eq!(server.get("/sub").field("location"), Some("./sub/"));
    for target in ["/sub/", "/none", "/sub/data.txt/x", "/index.html/"] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
}

/// More than a socket takes from a server whose peer reads nothing.
const LARGE: usize = 16 << 20;

impl Directory {
    fn large(&self) -> Vec<u8> {
        let content: Vec<u8> = (0..LARGE).map(|at| (at >> 4) as u8).collect();
        fs::write(self.path("served/large.bin"), &content).expect("it can be written");
        content
    }

    /// Descriptors of this process that are files in the directory.
    fn open_files(&self) -> usize {
        let served = self.path("served");
        let is_below = |path: PathBuf| path.starts_with(&served) && path != served;
        let descriptors = fs::read_dir("/proc/self/fd").expect("a list of descriptors");
        let links = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        links.filter(|path| is_below(path.clone())).count()
    }

    #[track_caller]
    fn until_open(&self, wanted: impl Fn(usize) -> bool) {
        let start = std::time::Instant::now();
        while !wanted(self.open_files()) {
            assert!(start.elapsed() < Duration::from_secs(20), "{} files are open", self.open_files());
            std::thread::yield_now();
        }
    }
}

/// The files of a directory, each of which is opened for each transfer.
fn each_opened(directory: PathBuf) -> Files {
    let limits = CacheLimits { descriptors_max: 0, ..CacheLimits::default() };
    Files::directory(directory).expect("it is there").cache(limits)
}

/// Asks for `/large.bin` on a connection that reads nothing of it, and waits for the head.
fn stuck(server: &Running) -> crate::common::Peer {
    let mut peer = server.connect();
    peer.send("GET /large.bin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(peer.head().starts_with(b"HTTP/1.1 200"));
    peer
}

#[test]
fn files_that_wait_for_their_peers_are_open_up_to_a_limit_and_come_whole() {
    let directory = Directory::new();
    let content = directory.large();
    let served = directory.path("served");
    let server = serve(move |builder| builder.mount("/", each_opened(served)).open_files_max(8));
    let mut peers: Vec<_> = (0..8).map(|_| stuck(&server)).collect();
    directory.until_open(|open| open == 8);
    peers.extend((0..4).map(|_| stuck(&server)));
    assert_eq!(server.get("/data.bin").text(), "0123456789");
    assert!(directory.open_files() <= 8, "{} of 12", directory.open_files());
    // The first lost its descriptor to the last, and is sent to its end all the same.
    let rest = peers.remove(0).rest();
    assert!(rest == content, "{} bytes", rest.len());
    drop(peers);
    directory.until_open(|open| open == 0);
}

#[test]
fn a_file_that_was_replaced_under_a_transfer_is_not_mixed_with_the_other() {
    let directory = Directory::new();
    let content = directory.large();
    let served = directory.path("served");
    let server = serve(move |builder| builder.mount("/", each_opened(served)).open_files_max(1));
    let mut first = stuck(&server);
    directory.until_open(|open| open == 1);
    let mut second = stuck(&server);
    // The first has none, and the second keeps what it has.
    fs::write(directory.path("served/other"), vec![b'x'; LARGE]).expect("it can be written");
    fs::rename(directory.path("served/other"), directory.path("served/large.bin")).expect("it is replaced");
    let rest = first.rest();
    assert!(rest.len() < LARGE && content.starts_with(&rest), "{} bytes", rest.len());
    let rest = second.rest();
    assert!(rest.len() == LARGE && rest == content || rest.len() < LARGE && content.starts_with(&rest));
}

#[test]
fn streams_that_cannot_send_have_no_file() {
    let directory = Directory::new();
    directory.large();
    fs::write(directory.path("served/small.bin"), vec![b's'; 16 << 10]).expect("it can be written");
    let served = directory.path("served");
    let server = serve(move |builder| builder.mount("/", each_opened(served)));
    let mut peer = server.connect();
    let get = |id: u32, path: &str| {
        let fields = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", path)];
        tests::h2::headers(id, &fields, true)
    };
    // The window of the connection is used up by the first, or by the first few.
    let requests =
        (0..50).flat_map(|at| [get(4 * at + 1, "/large.bin"), get(4 * at + 3, "/small.bin")].concat());
    peer.send([tests::h2::client_begins(&[]), requests.collect()].concat());
    let mut heard = 0;
    while heard < 65_535 {
        heard += peer.0.read(&mut [0; 4_096]).expect("content");
    }
    assert_eq!(server.get("/data.bin").text(), "0123456789");
    assert!(directory.open_files() <= 8, "{} of 100", directory.open_files());
    peer.send(tests::h2::rst_stream(1, 8));
    drop(peer);
    directory.until_open(|open| open == 0);
}

#[test]
fn what_cannot_be_had_is_refused_in_the_words_of_the_application() {
    let directory = Directory::new();
    let (served, own) = (directory.path("served"), directory.path("served"));
    let page = |error: &ErrorReport<'_>| {
        let html = format!("<h1>{}</h1>{}", error.status().code(), error.reason());
        Some(ErrorContent { content_type: "text/html".into(), content: html.into() })
    };
    let server = serve(move |builder| {
        let files = |path| Files::directory(path).expect("it is there");
        builder.errors(page).mount("/", files(served)).mount("/own", files(own).not_found("a name.txt"))
    });
    let check = |method: &str, target: &str, fields: &str, status: u16, text: &str| {
        let answer = server.request(method, target, fields);
        assert_eq!((answer.status, answer.text()), (status, text), "{method} {target}");
        answer
    };
    check("GET", "/data.bin", "", 200, "0123456789");
    check("GET", "/nowhere", "", 404, "<h1>404</h1>Not Found");
    let head = check("HEAD", "/nowhere", "", 404, "");
    assert_eq!(head.field("content-length"), Some("21"));
    assert_eq!(head.field("content-type"), Some("text/html"));
    let put = check("PUT", "/data.bin", "Content-Length: 0\r\n", 405, "<h1>405</h1>Method Not Allowed");
    assert_eq!(put.field("allow"), Some("GET, HEAD, OPTIONS"));
    let range = check("GET", "/data.bin", "Range: bytes=99-\r\n", 416, "<h1>416</h1>Range Not Satisfiable");
    assert_eq!(range.field("content-range"), Some("bytes */10"));
    check("GET", "/data.bin", "If-Match: \"other\"\r\n", 412, "<h1>412</h1>Precondition Failed");
    // A mount that has a page of its own keeps it.
    check("GET", "/own/nowhere", "", 404, "spaced");
}

#[test]
fn documents_of_a_site_stand_for_the_servers_words_and_for_no_others() {
    let directory = Directory::new();
    for (name, text) in [("404.html", "<h1>Not here</h1>"), ("4xx.txt", "no"), ("5xx.html", "<h1>Later</h1>")]
    {
        fs::write(directory.path("served").join(name), text).expect("it can be written");
    }
    let served = directory.path("served");
    let server = serve(move |builder| {
        let files = Files::directory(served).expect("it is there");
        let documents = ErrorDocuments::new()
            .status(Status::NOT_FOUND, &files, "404.html")
            .and_then(|documents| documents.client_errors(&files, "4xx.txt"))
            .and_then(|documents| documents.server_errors(&files, "5xx.html"))
            .expect("they can be read");
        builder
            .error_documents(documents)
            .get("/own", |_| Response::error(Status::NOT_FOUND).content("mine"))
            .get("/gone", |_| Response::error(Status::GONE))
            .get("/query", |request: &Request<'_>| -> Result<Response, Rejection> {
                Ok(Response::text(request.query_pairs()?.require::<String>("q")?))
            })
            .get("/panic", |_| -> Response { panic!("on purpose") })
            .mount("/files", files.clone())
            .mount("/with", files.not_found("a name.txt"))
    });
    let check = |method: &str, target: &str, fields: &str, status: u16, kind: &str, text: &str| {
        let answer = server.request(method, target, fields);
        assert_eq!((answer.status, answer.text()), (status, text), "{method} {target}");
        assert_eq!(answer.field("content-type"), Some(kind), "{method} {target}");
        answer
    };
    let (html, plain) = ("text/html; charset=utf-8", "text/plain; charset=utf-8");
    for target in ["/nowhere", "/files/nowhere"] {
        check("GET", target, "", 404, html, "<h1>Not here</h1>");
        check("GET", target, "Accept: text/html, */*;q=0.1\r\n", 404, html, "<h1>Not here</h1>");
        let head = check("HEAD", target, "", 404, html, "");
        assert_eq!(head.field("content-length"), Some("17"));
        let kind = "application/problem+json";
        let json = "{\"status\":404,\"title\":\"Not Found\"}\n";
        check("GET", target, "Accept: application/json\r\n", 404, kind, json);
    }
    for target in ["/gone", "/files/data.bin"] {
        let put = check("PUT", target, "Content-Length: 0\r\n", 405, plain, "no");
        assert_eq!(put.field("allow"), Some("GET, HEAD, OPTIONS"));
    }
    let range = check("GET", "/files/data.bin", "Range: bytes=99-\r\n", 416, plain, "no");
    assert_eq!(range.field("content-range"), Some("bytes */10"));
    check("GET", "/gone", "", 410, plain, "no");
    check("GET", "/panic", "", 500, html, "<h1>Later</h1>");
    // What says more than the status code does, has content of its own, or a page of its own.
    check("GET", "/query", "", 400, plain, "q: it is missing\n");
    check("GET", "/own", "", 404, plain, "mine");
    check("GET", "/with/nowhere", "", 404, plain, "spaced");
    // What cannot be understood.
    let answer = server.ask("GET\r\n\r\n");
    assert_eq!((answer.status, answer.text()), (400, "no"));
}

/// A tree of one file that others change, and that counts how often it was asked.
#[derive(Default)]
struct Changing {
    content: Mutex<Option<&'static str>>,
    opened: AtomicU32,
}

impl Changing {
    fn set(&self, content: Option<&'static str>) {
        *self.content.lock().expect("no test panics with it") = content;
    }
}

impl Vfs for Changing {
    fn open(&self, lookup: &Lookup<'_>) -> Result<Opened, Fault> {
        assert_eq!(lookup.wait, Wait::Allowed, "the loop reads no document");
        let content = *self.content.lock().expect("no test panics with it");
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(content.map_or(Opened::NotHere, |text| Opened::File(Entry::of_bytes(text))))
    }
}

#[test]
fn a_document_that_was_replaced_is_sent_a_moment_later_and_one_that_was_removed_as_it_was() {
    let tree = Arc::new(Changing::default());
    tree.set(Some("old"));
    let files = Files::new(Arc::clone(&tree));
    let server = serve(move |builder| {
        let documents = ErrorDocuments::new().status(Status::NOT_FOUND, &files, "404.html");
        builder.error_documents(documents.expect("it can be read"))
    });
    let until = |is_so: &dyn Fn(&str) -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(server.get("/nowhere").text()) {
            assert!(Instant::now() < deadline, "it is never read again");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    assert_eq!(server.get("/nowhere").text(), "old");
    tree.set(Some("new"));
    until(&|text| text == "new");
    tree.set(None);
    let opened = tree.opened.load(Ordering::Relaxed);
    until(&|text| {
        assert_eq!(text, "new");
        tree.opened.load(Ordering::Relaxed) > opened
    });
    assert_eq!(server.get("/nowhere").text(), "new");
}

#[test]
fn a_document_that_cannot_be_read_is_refused_by_its_name() {
    let directory = Directory::new();
    fs::write(directory.path("served").join("large.html"), vec![b'x'; (1 << 20) + 1])
        .expect("it can be written");
    let files = Files::directory(directory.path("served")).expect("it is there");
    for (name, wanted) in [
        ("none.html", "none.html: entity not found"),
        ("../served/large.html", "../served/large.html: entity not found"),
        ("large.html", "large.html: it has more than 1048576 bytes"),
    ] {
        let error = ErrorDocuments::new().status(Status::NOT_FOUND, &files, name).expect_err(name);
        assert_eq!(error.to_string(), wanted);
    }
}
