//! A server on a thread of its own, scripts in a folder of their own, and a client that speaks octets.

use lws_server::{Address, Builder, Handle, Server};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use test_kit::http::{self, read_to_end};
use test_kit::{PATIENCE, eventually};

/// A folder for one test, which is gone with it.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lws-cgi-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).expect("a folder is made");
        Self(folder)
    }

    /// Writes a script for the shell.
    pub(crate) fn shell(&self, name: &str, text: &str) -> PathBuf {
        self.script(name, &format!("#!/bin/sh\n{text}\n"))
    }

    /// Writes a script for Python.
    pub(crate) fn python(&self, name: &str, text: &str) -> PathBuf {
        self.script(name, &format!("#!/usr/bin/env -S python3 -S -E\n{text}\n"))
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("a script is written");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("it can be executed");
        path
    }

    /// What a script has written to the file called `name`, once it has.
    pub(crate) fn said(&self, name: &str) -> String {
        let path = self.0.join(name);
        eventually(|| std::fs::read_to_string(&path).is_ok_and(|text| text.ends_with('\n')));
        std::fs::read_to_string(&path).expect("it was there").trim().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a process is there. One that has ended and was not waited for is.
pub(crate) fn is_there(pid: &str) -> bool {
    Path::new("/proc").join(pid).exists()
}

/// Whether a process is at work: an orphan is waited for by another process, and stays a zombie until then.
pub(crate) fn is_at_work(pid: &str) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

/// A server that is running. Dropping it stops it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// Starts what `describe` describes, on a port of its own.
pub(crate) fn serve(describe: impl FnOnce(Builder) -> Builder + Send + 'static) -> Running {
    let (started, has_started) = channel();
    let thread = std::thread::spawn(move || {
        let server = describe(Server::builder().listen("127.0.0.1:0")).build().expect("the server is built");
        let Some(Address::Tcp(address)) = server.addresses().first() else { panic!("it listens on TCP") };
        started.send((*address, server.handle())).expect("the test waits");
        server.run().expect("the server runs");
    });
    let (address, handle) = has_started.recv_timeout(PATIENCE).expect("the server starts");
    Running { address, handle, thread: Some(thread) }
}

impl Running {
    pub(crate) fn connect(&self) -> Peer {
        let stream = TcpStream::connect(self.address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout is set");
        Peer(stream)
    }

    /// What is answered to `octets`, up to the end.
    pub(crate) fn ask(&self, octets: impl AsRef<[u8]>) -> Answer {
        let mut peer = self.connect();
        peer.send(octets);
        Answer::parse(&peer.rest())
    }

    /// The answer to a request without content.
    pub(crate) fn request(&self, method: &str, target: &str, fields: &str) -> Answer {
        self.ask(request(method, target, fields))
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.request("GET", target, "")
    }

    pub(crate) fn post(&self, target: &str, content: &[u8]) -> Answer {
        let head = request("POST", target, &format!("Content-Length: {}\r\n", content.len()));
        self.ask([head.as_bytes(), content].concat())
    }

    /// Stops it, and waits until it has ended.
    pub(crate) fn stop(mut self) {
        self.handle.stop();
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok(), "the server ends well");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        self.join();
    }
}

/// A request head.
pub(crate) fn request(method: &str, target: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n")
}

/// A connection.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.0.write_all(octets.as_ref()).expect("the server reads");
    }

    /// Up to an empty line.
    pub(crate) fn head(&mut self) -> Vec<u8> {
        let (mut head, mut octet) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut octet).expect("a head comes");
            head.extend(octet);
        }
        head
    }

    /// Up to the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        read_to_end(&mut self.0)
    }
}

/// A response; its status is 0 if there was none, and its content is without the chunked coding.
#[derive(Debug)]
pub(crate) struct Answer {
    response: http::Answer,
    /// Whether all of the content has come.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn parse(octets: &[u8]) -> Self {
        if octets.is_empty() {
            let response = http::Answer { status: 0, head: String::new(), content: Vec::new() };
            return Self { response, whole: false };
        }
        let mut answer = Self { response: http::Answer::parse(octets), whole: true };
        if answer.field("transfer-encoding").is_some() {
            answer.dechunk();
        } else if answer.field("content-length").is_some() {
            answer.whole = answer.is_whole();
        }
        answer
    }

    fn dechunk(&mut self) {
        let coded = std::mem::take(&mut self.response.content);
        let mut rest = &coded[..];
        self.whole = loop {
            let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else { break false };
            let size = std::str::from_utf8(&rest[..line]).expect("a size");
            let size = usize::from_str_radix(size, 16).expect("a size");
            rest = &rest[line + 2..];
            if size == 0 {
                break rest == b"\r\n";
            }
            self.response.content.extend_from_slice(&rest[..size.min(rest.len())]);
            rest = rest.get(size + 2..).unwrap_or_default();
        };
    }
}

impl std::ops::Deref for Answer {
    type Target = http::Answer;

    fn deref(&self) -> &http::Answer {
        &self.response
    }
}
