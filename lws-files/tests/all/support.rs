//! What the tests share: directories that vanish, and bodies read to their end.

use lws_files::{Accepted, Body, Files, Found, Lookup, Pool, PoolOptions, Progress, Request, Response, Wait};
use lws_proto::Time;
use lws_proto::http::{HttpDate, Method, normalize_path};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;

/// A directory of one test, gone when it ends.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lws-files-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a directory for temporary files");
        Self(path.canonicalize().expect("it was made"))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("it is below the root")).expect("a directory");
        fs::write(path, text).expect("a file");
    }

    pub(crate) fn append(&self, name: &str, text: &str) {
        let mut file = fs::File::options().append(true).open(self.0.join(name)).expect("it is there");
        file.write_all(text.as_bytes()).expect("there is room");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn lookup(names: &str, accepted: Accepted, wait: Wait) -> Lookup<'_> {
    Lookup { names, accepted, wait, now: Time::ZERO, date: HttpDate::from_unix(1_900_000_000) }
}

/// All of a body, waiting where it has to.
pub(crate) fn read_all(mut body: Body) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut out = vec![0; 8192];
    loop {
        match body.read(&mut out)? {
            Progress::Bytes(n) => all.extend_from_slice(&out[..n]),
            Progress::End => return Ok(all),
            Progress::WouldBlock => body.wait(),
        }
    }
}

/// The date of the tests.
pub(crate) fn date() -> HttpDate {
    HttpDate::from_unix(1_900_000_000)
}

/// A request for `path` below a mount at the root.
pub(crate) fn request(method: Method, path: &str, fields: &[(&str, &str)]) -> Request {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    let names = normalize_path(path).expect("a path of a test");
    let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    Request::new(method, &names, path, query, fields, date())
}

/// What is found for a request, on a thread of a pool where it has to be.
pub(crate) fn find(files: &Files, request: &Request, now: Time) -> Found {
    if let Some(found) = files.find(request, now, date()) {
        return found;
    }
    let pool = Pool::new("test", PoolOptions::default());
    let (mailbox, letters) = mpsc::channel();
    let deliver = move |found| mailbox.send(found).expect("the test waits");
    files.fetch(request, now, date(), &pool, deliver).expect("there is room");
    letters.recv().expect("it comes")
}

/// The response to a request.
pub(crate) fn ask(files: &Files, method: Method, path: &str, fields: &[(&str, &str)]) -> Response {
    let request = request(method, path, fields);
    let found = find(files, &request, Time::ZERO);
    files.respond(&request, &found, date(), &mut || 7)
}

/// The status code and the content of the response to a GET.
pub(crate) fn get(files: &Files, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let response = ask(files, Method::Get, path, fields);
    let content = read_all(response.body).expect("it can be read");
    (response.status.code(), String::from_utf8_lossy(&content).into_owned())
}
