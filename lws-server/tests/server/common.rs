//! A server on a thread of its own, and a client that speaks octets.

use lws_server::{Address, Builder, Handle, Server};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use test_kit::PATIENCE;
pub(crate) use test_kit::http::Answer;
use test_kit::http::read_to_end;

/// A server that is running. Dropping it stops it.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    /// All of them, this one first.
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// Starts what `describe` describes, on a port of its own.
pub(crate) fn serve(describe: impl FnOnce(Builder) -> Builder + Send + 'static) -> Running {
    let (started, has_started) = channel();
    let thread = std::thread::spawn(move || {
        let server = describe(Server::builder().listen("127.0.0.1:0")).build().expect("the server is built");
        started.send(Running::served_by_the_test(&server)).expect("the test waits");
        server.run().expect("the server runs");
    });
    let mut running: Running = has_started.recv_timeout(PATIENCE).expect("the server starts");
    running.thread = Some(thread);
    running
}

impl Running {
    /// A server that the test itself serves.
    pub(crate) fn served_by_the_test(server: &Server) -> Self {
        let addresses = server.addresses().iter().filter_map(|address| match address {
            Address::Tcp(address) => Some(*address),
            _ => None,
        });
        let addresses: Vec<_> = addresses.collect();
        Self { address: addresses[0], addresses, handle: server.handle(), thread: None }
    }

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
        self.ask(format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n"
        ))
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.request("GET", target, "")
    }

    /// An opening handshake, answered.
    pub(crate) fn open(&self, target: &str, fields: &str) -> (Peer, Answer) {
        let mut peer = self.connect();
        peer.send(format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
        ));
        let head = peer.head();
        (peer, Answer::parse(&head))
    }

    /// Waits until the server has ended by itself.
    pub(crate) fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends well");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(std::thread::panicking() || ended.is_ok(), "the server ends well");
        }
    }
}

/// A connection.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.0.write_all(octets.as_ref()).expect("the server reads");
    }

    /// A masked text message; the mask is zero.
    pub(crate) fn send_text(&mut self, text: &str) {
        let len = u8::try_from(text.len()).ok().filter(|len| *len < 126).expect("a short text");
        self.send([&[0x81, 0x80 | len, 0, 0, 0, 0], text.as_bytes()].concat());
    }

    pub(crate) fn exactly<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.read_exact(&mut bytes).expect("so many bytes come");
        bytes
    }

    /// The next frame, which is a final one: opcode and payload.
    pub(crate) fn frame(&mut self) -> (u8, Vec<u8>) {
        let [first, len] = self.exactly();
        assert!(first & 0x80 != 0 && len < 128, "a final frame without a mask");
        let len = match len {
            126 => u16::from_be_bytes(self.exactly()).into(),
            127 => usize::try_from(u64::from_be_bytes(self.exactly())).expect("a length"),
            len => usize::from(len),
        };
        let mut payload = vec![0; len];
        self.0.read_exact(&mut payload).expect("the payload comes");
        (first & 0xf, payload)
    }

    pub(crate) fn text(&mut self) -> String {
        let (opcode, payload) = self.frame();
        assert_eq!(opcode, 1, "text");
        String::from_utf8(payload).expect("UTF-8")
    }

    /// Up to an empty line.
    pub(crate) fn head(&mut self) -> Vec<u8> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(self.exactly::<1>());
        }
        head
    }

    /// Up to the end.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        read_to_end(&mut self.0)
    }
}
