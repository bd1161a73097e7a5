//! What the command line says of files, seen from the other end of a connection.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A program that serves until the test ends.
struct Serving {
    child: Child,
    address: String,
    _out: BufReader<ChildStdout>,
}

impl Serving {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_lwsws"))
            .args(["--port", "0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("it says where it listens");
        let address = line.trim_end().rsplit("//").next().unwrap_or_default().to_owned();
        Self { child, address, _out: out }
    }

    /// The whole response to a request.
    fn request(&self, line: &str, fields: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("it answers");
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[track_caller]
    fn check(&self, line: &str, fields: &str, status: u16, parts: &[&str]) {
        let answer = self.request(line, fields);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line} {fields}: {answer}");
        for part in parts {
            assert!(answer.contains(part), "{line} {fields}: {part} in {answer}");
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory that goes with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("lwsws-files-{}-{name}", std::process::id()));
        for (name, content) in files {
            let path = path.join(name);
            std::fs::create_dir_all(path.parent().expect("a directory")).expect("it can be made");
            std::fs::write(path, content).expect("it can be written");
        }
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const BROWSER: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";

#[test]
fn the_users_own_files_are_shadowed_by_nothing() {
    let own = Scratch::new("own", &[("hello", "mine"), ("echo", "mine, too"), ("demo/counter", "and this")]);
    let server = Serving::start(&[own.path()]);
    server.check("GET /hello", "", 200, &["\r\n\r\nmine"]);
    server.check("GET /echo", "", 200, &["\r\n\r\nmine, too"]);
    server.check("GET /demo/counter", "", 200, &["\r\n\r\nand this"]);
    server.check("POST /echo", "Content-Length: 0\r\n", 405, &["Allow: GET, HEAD, OPTIONS"]);
    server.check("GET /", "", 404, &[]);
    server.check("GET /", "Accept: application/json\r\n", 404, &["application/problem+json"]);
}

#[test]
fn listings_fall_backs_and_pages_for_what_is_not_there() {
    let files = [
        ("docs/<b>.txt", "x"),
        ("404.html", "<p>not here</p>"),
        ("app/index.html", "<p>app</p>"),
        ("a.js", "1"),
    ];
    let scratch = Scratch::new("site", &files);
    let server = Serving::start(&["--listing", "--cors", "--cache", "60", scratch.path()]);
    server.check(
        "GET /docs/",
        BROWSER,
        200,
        &["&lt;b&gt;.txt", "Content-Security-Policy: ", "\"./%3Cb%3E.txt\""],
    );
    server.check("GET /docs/", "Accept: application/json\r\n", 200, &["application/json", "Vary: Accept"]);
    let cors = "Access-Control-Allow-Origin: *";
    server.check("GET /a.js", "", 200, &[cors, "Cache-Control: public, max-age=60"]);
    server.check("GET /none", BROWSER, 404, &["<p>not here</p>"]);
    let app = scratch.0.join("app");
    let server = Serving::start(&["--spa", app.to_str().expect("UTF-8")]);
    server.check("GET /settings/profile", BROWSER, 200, &["<p>app</p>", "Cache-Control: no-cache"]);
    server.check("GET /missing.js", BROWSER, 404, &[]);
    server.check("GET /settings/profile", "", 404, &[]);
}

#[test]
fn only_users_of_the_file_are_let_in() {
    let users = "ann:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\n";
    let scratch =
        Scratch::new("auth", &[("site/a.txt", "secret"), ("users", users), ("nobody", "bob:plain\n")]);
    let (site, file) = (scratch.0.join("site"), scratch.0.join("users"));
    let (site, file) = (site.to_str().expect("UTF-8"), file.to_str().expect("UTF-8"));
    let server = Serving::start(&["--auth", file, site]);
    server.check("GET /a.txt", "", 401, &["WWW-Authenticate: Basic realm=\"lwsws\""]);
    server.check("GET /a.txt", "Authorization: Basic YW5uOnNlY3JldA==\r\n", 200, &["\r\n\r\nsecret"]);
    server.check("GET /a.txt", "Authorization: Basic YW5uOmd1ZXNz\r\n", 401, &[]);
    let nobody = scratch.0.join("nobody");
    let output = Command::new(env!("CARGO_BIN_EXE_lwsws"))
        .args(["--port", "0", "--auth", nobody.to_str().expect("UTF-8"), site])
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && told.contains("nobody:1: ") && told.contains("lets nobody in"),
        "{told}"
    );
}

#[test]
fn an_archive_is_served_without_unpacking_it() {
    // Made by Python's zipfile: `a.txt`, deflated, and `index.html`, stored.
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/site.zip");
    let server = Serving::start(&["--zip", archive.to_str().expect("UTF-8")]);
    server.check("GET /", "", 200, &["<p>from the archive</p>", "Accept-Ranges: bytes"]);
    server.check("GET /a.txt", "Accept-Encoding: gzip\r\n", 200, &["Content-Encoding: gzip"]);
    server.check("GET /a.txt", "", 200, &["line 999"]);
    server.check("GET /none", "", 404, &[]);
}
